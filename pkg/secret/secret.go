// Package secret holds values that must never be printed: Read reads them from files, and every way to print one shows a
// mask. Mask and Writer mask all of them in the words of others: servers and drivers quote what they were sent.
package secret

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

const mask = "<secret>"

// Value is a secret. Its zero value is empty. It holds a pointer: package fmt calls no method of a value in an unexported field
// of a struct, and prints what it holds.
type Value struct{ v *string }

// New wraps a value that is already in memory.
func New(v string) Value {
	if v == "" {
		return Value{}
	}
	known.add(v)
	return Value{&v}
}

// Read reads a secret from a file, without the line break at its end. An empty file is an error: a missing secret
// must not look like a wrong one.
func Read(path string) (Value, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Value{}, fmt.Errorf("read secret %s: %w", path, errors.Unwrap(err))
	}
	v := New(strings.TrimRight(string(b), "\r\n"))
	if v.IsZero() {
		return Value{}, fmt.Errorf("read secret %s: the file is empty", path)
	}
	return v, nil
}

// IsZero reports whether there is no secret.
func (s Value) IsZero() bool { return s.v == nil }

// Reveal returns the value itself, for the one place that hands it to a server.
func (s Value) Reveal() string {
	if s.v == nil {
		return ""
	}
	return *s.v
}

// Mask replaces the secret, however short it is, wherever it stands in a text, and all that the function Mask knows. It is for a
// text that is cut or quoted afterwards: half a secret would not be found.
func (s Value) Mask(text string) string {
	if s.v != nil {
		text = strings.ReplaceAll(text, *s.v, mask)
	}
	return Mask(text)
}

// String, GoString, Format, MarshalText and LogValue keep the value out of prints, JSON, YAML and logs.
func (s Value) String() string               { return mask }
func (s Value) GoString() string             { return mask }
func (s Value) Format(f fmt.State, _ rune)   { fmt.Fprint(f, mask) }
func (s Value) MarshalText() ([]byte, error) { return []byte(mask), nil }
func (s Value) LogValue() slog.Value         { return slog.StringValue(mask) }

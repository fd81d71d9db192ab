// Package secret holds values that must never be printed: Read reads them from files, and every way to print one shows a
// mask.
package secret

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

const mask = "<secret>"

// Value is a secret. Its zero value is empty.
type Value struct{ v string }

// New wraps a value that is already in memory.
func New(v string) Value { return Value{v} }

// Read reads a secret from a file, without the line break at its end. An empty file is an error: a missing secret
// must not look like a wrong one.
func Read(path string) (Value, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Value{}, fmt.Errorf("read secret %s: %w", path, errors.Unwrap(err))
	}
	v := strings.TrimRight(string(b), "\r\n")
	if v == "" {
		return Value{}, fmt.Errorf("read secret %s: the file is empty", path)
	}
	return Value{v}, nil
}

// Reveal returns the value itself, for the one place that hands it to a server.
func (s Value) Reveal() string { return s.v }

// Mask replaces the secret wherever it stands in a text.
func (s Value) Mask(text string) string {
	if s.v == "" {
		return text
	}
	return strings.ReplaceAll(text, s.v, mask)
}

// String, GoString, Format, MarshalText and LogValue keep the value out of prints, JSON, YAML and logs.
func (s Value) String() string               { return mask }
func (s Value) GoString() string             { return mask }
func (s Value) Format(f fmt.State, _ rune)   { fmt.Fprint(f, mask) }
func (s Value) MarshalText() ([]byte, error) { return []byte(mask), nil }
func (s Value) LogValue() slog.Value         { return slog.StringValue(mask) }

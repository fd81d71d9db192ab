// Package yamlfile reads YAML configuration strictly, and says of each mistake in which file, on which line and under
// which key it stands. It knows nothing of what the files mean.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// File is a YAML file that was decoded: it finds the line of a key for a message.
type File struct {
	// Name is the path, or whatever name the text was given.
	Name string
	// Text is the content.
	Text []byte
	root *yaml.Node
}

// Read reads the file and decodes it into v, which is a pointer. Unknown and repeated keys are errors.
func Read(path string, v any) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, errors.Unwrap(err))
	}
	return Parse(path, text, v)
}

// Parse is Read for a text that has a name.
func Parse(name string, text []byte, v any) (*File, error) {
	f := &File{Name: name, Text: text, root: &yaml.Node{}}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: the file is empty", name)
		}
		return nil, f.explain(err)
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: the file holds more than one YAML document", name)
	}
	if err := yaml.Unmarshal(text, f.root); err != nil {
		return nil, f.explain(err)
	}
	return f, nil
}

var (
	lineOf  = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknown = regexp.MustCompile(`^field (.+) not found in type .*$`)
	into    = regexp.MustCompile(` into \S*?([A-Za-z0-9]+)$`)
)

// explain turns the decoder's message into `file:line: message`, without names of Go types that a user does not know.
func (f *File) explain(err error) error {
	msgs := []string{err.Error()}
	if te := (*yaml.TypeError)(nil); errors.As(err, &te) {
		msgs = te.Errors
	}
	var errs []error
	for _, m := range msgs {
		place := f.Name
		if p := lineOf.FindStringSubmatch(m); p != nil {
			place, m = f.Name+":"+p[1], p[2]
		}
		m = unknown.ReplaceAllString(strings.TrimPrefix(m, "yaml: "), "unknown key \"$1\"")
		m = into.ReplaceAllString(m, " as $1")
		errs = append(errs, fmt.Errorf("%s: %s", place, m))
	}
	return errors.Join(errs...)
}

// Errorf makes an error about a key, with file and line. The key is a path of names and indexes, like
// "queries.2.sql"; a key that is absent is placed at the nearest part of the path that is there.
func (f *File) Errorf(key, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s: %w", f.Name, f.Line(key), key, fmt.Errorf(format, args...))
}

// Line is the line on which the key stands, or its nearest parent that does. It counts from 1.
func (f *File) Line(key string) int {
	n, line := f.root, 1
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	for part := range strings.SplitSeq(key, ".") {
		at, next := child(n, part)
		if next == nil {
			break
		}
		n, line = next, at
	}
	return line
}

func child(n *yaml.Node, part string) (line int, next *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == part {
				return n.Content[i].Line, n.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i].Line, n.Content[i]
		}
	}
	return 0, nil
}

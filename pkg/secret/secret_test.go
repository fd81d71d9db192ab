package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestNoWayToPrintASecretShowsIt(t *testing.T) {
	s := New("hunter2")
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&b, verb+" "+verb+"\n", s, struct{ S Value }{s})
	}
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		out, err := marshal(map[string]any{"s": s, "p": &s})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(out)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "s", s, "in", struct{ S Value }{s})
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "s", s, "in", struct{ S Value }{s})
	b.WriteString(s.Mask("dial user:hunter2@host"))
	if strings.Contains(b.String(), "hunter2") || strings.Contains(b.String(), "68756e74") {
		t.Errorf("the secret was printed:\n%s", b.String())
	}
	if !strings.Contains(b.String(), "dial user:<secret>@host") {
		t.Errorf("Mask left no mask:\n%s", b.String())
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not give the value")
	}
}

func TestASecretComesFromAFileWithoutItsLineBreak(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("missing file: %v", err)
	}
	for text, want := range map[string]string{"abc\n": "abc", "abc\r\n": "abc", " a b ": " a b "} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Read(path); err != nil || s.Reveal() != want {
			t.Errorf("%q reads as %q, %v", text, s.Reveal(), err)
		}
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("empty file: %v", err)
	}
}

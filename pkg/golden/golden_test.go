package golden

import (
	"os"
	"path/filepath"
	"testing"
)

// failing is a test that may fail.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Errorf(string, ...any) { f.failed = true }

func TestCompareFailsOnWhatDiffersOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scrape_response.txt")
	if err := os.WriteFile(file, []byte("a\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for got, differs := range map[string]bool{"a\nb\n": false, "a\nb": true, "a\nc\n": true} {
		f := &failing{TB: t}
		Compare(f, file, got)
		if f.failed != differs && !Update() {
			t.Errorf("%q: fails %t", got, f.failed)
		}
	}
}

package serverstest

import (
	"path/filepath"
	"testing"
)

// Inputs names files that a program reads which the test starts, by patterns relative to the package: Go's test cache sees only what the test itself looks
// at, and would call a test ok that has not seen a change of them. A pattern without files fails the test.
func Inputs(t testing.TB, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		// To list the files is to look at each one's size and time.
		if files, err := filepath.Glob(p); err != nil || len(files) == 0 {
			t.Fatalf("no file is %s: %v", p, err)
		}
	}
}

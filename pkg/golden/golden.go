// Package golden compares what a test gets with a file. It is for tests only: it adds the flag -update, with which the files are written anew.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Update reports whether the files are to be written anew.
func Update() bool { return *update }

// Compare fails the test with the lines in which got differs from a file.
func Compare(t testing.TB, file, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.Split(string(Read(t, file, []byte(got))), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s is not what the test got; run it with -update, and look at what has changed (-want +got):\n%s", file, diff)
	}
}

// Read is what a file has; with -update it is written first.
func Read(t testing.TB, file string, got []byte) []byte {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (run the test with -update, and look at what it has written)", err)
	}
	return want
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runIn runs the command, and returns the exit status and output.
func runIn(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	problems, err := os.Create(filepath.Join(t.TempDir(), "err"))
	if err != nil {
		t.Fatal(err)
	}
	defer problems.Close()
	status = run(args, out, problems)
	read := func(f *os.File) string {
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return status, read(out), read(problems)
}

func TestCheckPassesWhatIsShipped(t *testing.T) {
	status, stdout, stderr := runIn(t, "check", "--root", "../..")
	if status != 0 || !strings.HasSuffix(stdout, ": OK\n") || stderr != "" {
		t.Errorf("check ended with %d:\n%s%s", status, stdout, stderr)
	}
}

func TestCheckNamesEachProblemAndFails(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("../../pkg/alerting/bundle/testdata/good")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "coverage.yml"), []byte("BM.U.active: {due: [later]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := runIn(t, "check", "--root", root)
	if want := "docs/coverage.yml:1: BM.U.active: due \"later\" is not one of"; status != 1 || !strings.Contains(stdout, want) {
		t.Errorf("check ended with %d:\n%s\nwant 1 and %s", status, stdout, want)
	}
	if want := "consignwatch: 119 problems\n"; stderr != want {
		t.Errorf("stderr %q, want %q", stderr, want)
	}
}

func TestCheckCountsASingleProblemAsOne(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"rules", "alertmanager", "docs", "grafana-dashboards"} {
		if err := os.CopyFS(filepath.Join(root, folder), os.DirFS(filepath.Join("../..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(root, "docs", "thresholds.md")); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := runIn(t, "check", "--root", root)
	if want := "consignwatch: 1 problem\n"; status != 1 || stderr != want {
		t.Errorf("check ended with %d:\n%s%swant 1 and %s", status, stdout, stderr, want)
	}
}

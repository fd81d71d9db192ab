package executable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindLooksInTheNamedFolderFirstAndOnThePathLast(t *testing.T) {
	named, onPath := t.TempDir(), t.TempDir()
	t.Setenv(FolderVariable, named)
	t.Setenv("PATH", onPath)
	for _, folder := range []string{onPath, named} {
		executable := filepath.Join(folder, "some-server")
		if err := os.WriteFile(executable, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := Find("some-server"); err != nil || got != executable {
			t.Errorf("Find = %q, %v, want %q", got, err, executable)
		}
	}
}

func TestFindLooksInTheProjectsBuildFolderFromAnywhereInIt(t *testing.T) {
	project := t.TempDir()
	inside := filepath.Join(project, "pkg", "deep")
	executable := filepath.Join(project, ".build", "bin", "some-server")
	for _, folder := range []string{inside, filepath.Dir(executable)} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{
		filepath.Join(project, "go.mod"):        "module " + modulePath + "\n",
		filepath.Join(project, "pkg", "go.mod"): "module example.com/another\n",
		executable:                              "",
	} {
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(inside)
	if got, err := Find("some-server"); err != nil || got != executable {
		t.Errorf("Find = %q, %v, want %q", got, err, executable)
	}
}

func TestFindSaysWhereItLookedAndWhatInstallsIt(t *testing.T) {
	folder := t.TempDir()
	t.Setenv(FolderVariable, folder)
	t.Setenv("PATH", "")
	t.Chdir(t.TempDir())
	_, err := Find("no-such-server")
	var missing *MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("error %v is not a *MissingError", err)
	}
	for _, part := range []string{"no-such-server is missing", folder, "/usr/sbin", "make build"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	if got := installs("prometheus"); got != "make deps" {
		t.Errorf("prometheus comes from %q, want make deps", got)
	}
}

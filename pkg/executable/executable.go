// Package executable finds the programs that ours and the tests start: servers, tools and our own. It starts none of them, and installs none.
package executable

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// FolderVariable names the environment variable with a folder in which Find looks
// first.
const FolderVariable = "CONSIGNWATCH_BIN"

const modulePath = "github.com/consignwatch/consignwatch"

// installs says which make target brings an executable. What is not in it is
// one of ours.
func installs(name string) string {
	switch name {
	case "mariadbd", "mariadb-install-db", "redis-server", "kcat",
		"prometheus", "promtool", "alertmanager", "amtool", "node_exporter", "prom-label-proxy", "staticcheck":
		return "make deps"
	}
	return "make build"
}

// MissingError says that an executable is not on this machine, where it was
// looked for, and what installs it.
type MissingError struct {
	Name    string
	Looked  []string // folders, in order
	Install string   // command
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is missing (looked in %s); to get it, run in the project's folder: %s",
		e.Name, strings.Join(e.Looked, ", "), e.Install)
}

// Find returns the path of an executable: from the folder in
// $CONSIGNWATCH_BIN, from .build/bin of the project that the current folder
// belongs to, from the folder of the running executable, from the PATH, and
// from the folders of system servers that a user's PATH often lacks. The error
// is a *MissingError when there is none.
func Find(name string) (string, error) {
	var looked []string
	if folder := os.Getenv(FolderVariable); folder != "" {
		looked = append(looked, folder)
	}
	if root, ok := projectRoot(); ok {
		looked = append(looked, filepath.Join(root, ".build", "bin"))
	}
	if self, err := os.Executable(); err == nil {
		looked = append(looked, filepath.Dir(self))
	}
	looked = append(looked, filepath.SplitList(os.Getenv("PATH"))...)
	looked = append(looked, "/usr/sbin", "/usr/local/sbin")
	looked = unique(looked)
	for _, folder := range looked {
		// With a separator in the name LookPath checks that one file.
		if path, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", &MissingError{Name: name, Looked: looked, Install: installs(name)}
}

func unique(folders []string) []string {
	var kept []string
	for _, folder := range folders {
		if filepath.IsAbs(folder) && !slices.Contains(kept, folder) {
			kept = append(kept, folder)
		}
	}
	return kept
}

// projectRoot returns the folder of this project's go.mod, at or above the
// current folder.
func projectRoot() (string, bool) {
	folder, err := os.Getwd()
	if err != nil {
		return "", false
	}
	for {
		if declaresModule(filepath.Join(folder, "go.mod")) {
			return folder, true
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", false
		}
		folder = parent
	}
}

func declaresModule(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if path, ok := strings.CutPrefix(lines.Text(), "module "); ok {
			return strings.TrimSpace(path) == modulePath
		}
	}
	return false
}

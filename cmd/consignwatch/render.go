package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/routing"
	"github.com/consignwatch/consignwatch/pkg/thresholds"
)

// rendering makes files of the bundle from the data that it finds below the root: their texts, by path. The same data make
// the same texts.
type rendering func(root fs.FS) (map[string][]byte, error)

// renderings are all of them. No two make the same file.
func renderings() []rendering {
	return []rendering{
		thresholds.Render,
		routing.Render,
	}
}

func addRender(app *kingpin.Application) (string, action) {
	command := app.Command("render", "Write the generated files of the bundle anew from their data.")
	root := command.Flag("root", "Folder that has rules/, alertmanager/ and docs/.").Default(".").ExistingDir()
	check := command.Flag("check", "Write nothing, and fail when a file is not what its data say.").Bool()
	policy := command.Flag("print-policy", "Write nothing, and say in words who hears of which alert, and when.").Bool()
	return command.FullCommand(), func(_ context.Context, stdout *os.File) error {
		if *policy {
			return printPolicy(os.DirFS(*root), stdout)
		}
		if *check {
			return checkRendered(os.DirFS(*root), stdout)
		}
		return render(*root, stdout)
	}
}

// printPolicy says what the routing does.
func printPolicy(root fs.FS, stdout io.Writer) error {
	r, err := routing.Load(root)
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, r.Policy())
	return err
}

// render writes what differs, and says which files that were.
func render(root string, stdout io.Writer) error {
	files, err := rendered(os.DirFS(root))
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, filepath.FromSlash(name))
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, files[name]) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
		fmt.Fprintln(stdout, name)
	}
	return nil
}

// checkRendered says which files are not what their data say, with the first line that differs.
func checkRendered(root fs.FS, stdout io.Writer) error {
	files, err := rendered(root)
	if err != nil {
		return err
	}
	different := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		is, err := fs.ReadFile(root, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fmt.Fprintf(stdout, "%s: the file is missing; run consignwatch render\n", name)
		case err != nil:
			return err
		case bytes.Equal(is, files[name]):
			continue
		default:
			fmt.Fprintf(stdout, "%s:%d: not what its data say; run consignwatch render\n", name, firstDifference(is, files[name]))
		}
		different++
	}
	if different > 0 {
		return fmt.Errorf("%d files are not rendered from their data", different)
	}
	return nil
}

// rendered has all generated files as they should be.
func rendered(root fs.FS) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, render := range renderings() {
		files, err := render(root)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, files)
	}
	return all, nil
}

// firstDifference is the line on which two texts begin to differ, from 1.
func firstDifference(a, b []byte) int {
	line := 1
	for i := 0; i < min(len(a), len(b)) && a[i] == b[i]; i++ {
		if a[i] == '\n' {
			line++
		}
	}
	return line
}

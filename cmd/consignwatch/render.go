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

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundleversion"
	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/alerting/slo"
	"github.com/consignwatch/consignwatch/pkg/alerting/thresholds"
	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/dashboards"
	"github.com/consignwatch/consignwatch/pkg/demo/drill"
)

// renderFunc renders generated files of the bundle from the files below root, by path. The result depends on nothing but these
// files.
type renderFunc func(root fs.FS) (map[string][]byte, error)

// renderFuncs are all render functions. No two render the same file.
func renderFuncs() []renderFunc {
	return []renderFunc{
		thresholds.Render,
		routing.Render,
		dashboards.Render,
		slo.Render,
		bundleversion.Render,
		drill.Render,
	}
}

func addRender(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("render", "Write what is generated from sources: rules, Alertmanager's configuration and templates, dashboards and docs.")
	root := command.Flag("root", "Folder that has rules/, alertmanager/, docs/ and grafana-dashboards/.").Default(".").ExistingDir()
	check := command.Flag("check", "Write nothing, and exit 1 if a generated file is out of date.").Bool()
	policy := command.Flag("print-policy", "Write nothing, and print in words who is notified of which alert, and when.").Bool()
	return command.FullCommand(), func(_ context.Context, stdout io.Writer) error {
		if *policy {
			return printPolicy(os.DirFS(*root), stdout)
		}
		if !*check {
			return render(*root, stdout)
		}
		stale, err := staleFiles(os.DirFS(*root))
		for _, problem := range stale {
			fmt.Fprintln(stdout, problem)
		}
		if err == nil && len(stale) > 0 {
			err = fmt.Errorf("%s out of date", counted(len(stale), "file"))
		}
		return err
	}
}

// printPolicy prints the description of the routing.
func printPolicy(root fs.FS, stdout io.Writer) error {
	r, err := routing.Load(root)
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, r.Policy())
	return err
}

// render writes the generated files that differ, and prints their names.
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
		if err := replaceFile(path, files[name]); err != nil {
			return err
		}
		fmt.Fprintln(stdout, name)
	}
	return nil
}

// replaceFile writes a file in one step: Prometheus and Alertmanager, which may reload meanwhile, read all of the old one or all of the new one.
// The name of the new one ends like none that they read. A link stays one.
func replaceFile(path string, data []byte) error {
	mode := fs.FileMode(0o644)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
	}
	out, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // unless it is renamed
	_, err = out.Write(data)
	if err := errors.Join(err, out.Chmod(mode), out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(out.Name(), path)
}

// staleFiles reports generated files that are out of date, with the first line that differs.
func staleFiles(root fs.FS) ([]bundle.Problem, error) {
	files, err := rendered(root)
	if err != nil {
		return nil, err
	}
	var stale []bundle.Problem
	for _, name := range slices.Sorted(maps.Keys(files)) {
		is, err := fs.ReadFile(root, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			stale = append(stale, bundle.Problem{File: name, Line: 1, Text: "the file is missing; run consignwatch render"})
		case err != nil:
			return nil, err
		case !bytes.Equal(is, files[name]):
			stale = append(stale, bundle.Problem{File: name, Line: bundle.FirstDifference(is, files[name]), Text: "the file is out of date; run consignwatch render"})
		}
	}
	return stale, nil
}

// rendered renders all generated files. Render functions without input files are skipped.
func rendered(root fs.FS) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, render := range renderFuncs() {
		files, err := render(root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		maps.Copy(all, files)
	}
	return all, nil
}

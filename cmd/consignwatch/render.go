package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/routing"
)

// renderings make generated files from the files below the root.
func renderings() []func(fs.FS) (map[string][]byte, error) {
	return []func(fs.FS) (map[string][]byte, error){routing.Render}
}

func addRender(app *kingpin.Application) (string, action) {
	command := app.Command("render", "Write the files that are made from others: routing, escalation.")
	root := command.Flag("root", "Folder that has rules/ and alertmanager/.").Default(".").ExistingDir()
	policy := command.Flag("print-policy", "Print who hears of what and when, and write nothing.").Bool()
	return command.FullCommand(), func(_ context.Context, stdout *os.File) error {
		files := os.DirFS(*root)
		if *policy {
			r, err := routing.Load(files)
			if err != nil {
				return err
			}
			_, err = stdout.WriteString(r.Policy())
			return err
		}
		for _, render := range renderings() {
			made, err := render(files)
			if err != nil {
				return err
			}
			for _, name := range slices.Sorted(maps.Keys(made)) {
				if err := os.WriteFile(filepath.Join(*root, name), made[name], 0o644); err != nil {
					return fmt.Errorf("render: %w", err)
				}
			}
		}
		return nil
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/cli"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/webconfig"
)

// addWebConfig declares the replacement for htpasswd where there is none.
func addWebConfig(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("web-config", "Write a file for the exporters' --web.config.file that lets in one user, with a hash of the password.")
	user := command.Flag("user", "Name of the user.").Default("prometheus").String()
	passwordFile := command.Flag("password-file", "File with the password.").Required().String()
	output := command.Flag("output", "File to write; standard output unless set.").String()
	return command.FullCommand(), func(_ context.Context, stdout io.Writer) error {
		password, err := secret.Read(*passwordFile)
		if err != nil {
			return fmt.Errorf("--password-file: %w", err)
		}
		text, err := webconfig.BasicAuth(*user, password.Reveal())
		if err != nil {
			return err
		}
		if *output == "" {
			_, err = stdout.Write(text)
			return err
		}
		// Renamed, so that an exporter never reads half of it.
		if err := os.WriteFile(*output+".new", text, 0o600); err != nil {
			return fmt.Errorf("--output: %w", err)
		}
		return os.Rename(*output+".new", filepath.Clean(*output))
	}
}

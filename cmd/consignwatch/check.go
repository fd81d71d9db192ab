package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/cli"
)

func addCheck(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("check", "Check rules, their tests, runbooks, dashboards and coverage against the catalog of metrics and against each other, and generated files against their sources.")
	root := command.Flag("root", "Folder that has rules/, alertmanager/, docs/ and grafana-dashboards/.").Default(".").ExistingDir()
	return command.FullCommand(), func(_ context.Context, stdout io.Writer) error {
		b, err := bundle.Load(os.DirFS(*root))
		if err != nil {
			return err
		}
		problems, err := staleFiles(os.DirFS(*root)) // first: others may follow from them
		if err != nil {
			return err
		}
		problems = append(problems, b.Check(catalog.Shipped())...)
		for _, p := range problems {
			fmt.Fprintln(stdout, p)
		}
		if len(problems) > 0 {
			return errors.New(counted(len(problems), "problem"))
		}
		fmt.Fprintf(stdout, "%s: OK\n", b)
		return nil
	}
}

// counted returns a number with its noun: "1 problem", "2 problems".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

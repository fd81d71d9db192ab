package main

import (
	"context"
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/cli"
)

func addCatalog(app *kingpin.Application) (string, cli.Action) {
	command := app.Command("catalog", "Print every metric that the exporters expose, or an estimate of the number of series.")
	format := command.Flag("format", "Output format: table, json, or markdown, as in docs/metrics.md.").Default("table").Enum("table", "json", "markdown")
	estimate := command.Flag("estimate", "Print the estimated number of series, for each metric and exporter.").Bool()
	clients := command.Flag("clients", "With --estimate: the number of clients.").Default("200").Int()
	events := command.Flag("events", "With --estimate: the number of sale events that are exported, of all clients together. 0: as many as clients.").Default("0").Int()
	return command.FullCommand(), func(_ context.Context, stdout io.Writer) error {
		c := catalog.Shipped()
		if *estimate {
			if *clients < 1 || *events < 0 {
				return fmt.Errorf("--clients must be at least 1, --events at least 0")
			}
			sizes := catalog.SizesFor(*clients)
			if *events > 0 {
				sizes.Events = *events
			}
			return c.WriteEstimate(stdout, sizes)
		}
		switch *format {
		case "json":
			return c.WriteJSON(stdout)
		case "markdown":
			return c.WriteMarkdown(stdout)
		}
		return c.WriteTable(stdout)
	}
}

package events

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// defaultMapping is the mapping that is shipped: the contract with the platform, section 1.
//
//go:embed mapping.yml
var defaultMapping []byte

// App is the event-exporter.
func App() web.App {
	return web.App{
		Name:        catalog.Events,
		Description: "The platform's Kafka event stream as exact counters and histograms.",
		Port:        9474,
		Load:        loadConfig,
		Commands:    commands,
		Drains:      true,
	}
}

// loadConfig reads the configuration and all that it names. It does not connect.
func loadConfig(path string, log *slog.Logger) (*exporter.Setup, error) {
	c := defaultConfig()
	f, err := yamlfile.Read(path, &c)
	if err != nil {
		return nil, err
	}
	if err := c.check(f); err != nil {
		return nil, err
	}
	c.resolve(filepath.Dir(path))
	mapping, text, err := loadMapping(c.MappingFile)
	if err != nil {
		return nil, err
	}
	sizes := catalog.Sizes{Clients: c.Limits.Clients, Events: c.Limits.Events}
	aggregator, err := aggregate.New(mapping, aggregate.Options{Sizes: sizes})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.mappingName(), err)
	}
	if len(c.Clients) > 0 { // without an inventory the first clients that come are admitted
		if rejected := aggregator.SetInventory(c.Clients); len(rejected) > 0 {
			return nil, f.Errorf("clients", "%q are no slugs, or more than the limit of %d", rejected, c.Limits.Clients)
		}
	}
	options, err := c.Kafka.clientOptions(log)
	if err != nil {
		return nil, configError(path, err)
	}
	var offsets *offsetSource
	if c.ResumeFrom == resumePrometheus {
		if offsets, err = newOffsetSource(&c.Prometheus); err != nil {
			return nil, configError(path, err)
		}
	}
	var declared []catalog.Metric
	for _, m := range mapping.Metrics() {
		declared = append(declared, *m)
	}
	metrics, err := catalog.New(declared...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.mappingName(), err)
	}
	d := newDelivery(&c, aggregator, offsets, log)
	n, err := newConsumer(&c, options, aggregator, d, offsets, metrics, log)
	if err != nil {
		return nil, err
	}
	masked, err := yaml.Marshal(c)
	if err != nil {
		return nil, configError(path, err)
	}
	return &exporter.Setup{
		Catalog:    metrics,
		Sizes:      sizes,
		Collectors: []exporter.Collector{collector{n}},
		Gatherer:   d,
		Text:       bytes.Join([][]byte{masked, []byte("# " + c.mappingName()), text}, []byte("\n")),
		Close:      n.stop,
	}, nil
}

func loadMapping(path string) (*mapping.Mapping, []byte, error) {
	name, text := "mapping.yml (embedded)", defaultMapping
	if path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return nil, nil, fmt.Errorf("mapping_file: %w", err)
		}
		name = path
	}
	m, err := mapping.Parse(name, text, catalog.Shipped())
	return m, text, err
}

// commands adds `map`.
func commands(_ context.Context, app *kingpin.Application, stdout io.Writer) {
	command := app.Command("map", "Print what each event in a file would do to the metrics; exit 1 if one would not be counted.")
	file := command.Arg("FILE", "Structured CloudEvents, one on each line; - for standard input.").Required().String()
	mapping := command.Flag("mapping-file", "Mapping to use instead of the embedded one.").String()
	command.Action(func(*kingpin.ParseContext) error {
		m, _, err := loadMapping(*mapping)
		if err != nil {
			return err
		}
		in := os.Stdin
		if *file != "-" && *file != "" { // kingpin makes "" of a lone dash
			if in, err = os.Open(*file); err != nil {
				return err
			}
			defer in.Close()
		}
		uncounted, err := explain(in, stdout, m)
		if err == nil && uncounted > 0 {
			err = fmt.Errorf("%d events would not be counted", uncounted)
		}
		return err
	})
}

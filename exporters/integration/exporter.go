// Package integration monitors the external services that the platform depends on: Shopify (a shop for each client), Clerk and
// Mandrill. It reports whether they are up, how much of their rate limits remains, and whether anything was lost between them
// and the platform. It only reads.
package integration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// App is the integration-exporter.
func App() exporter.App { return appOn((&net.Dialer{Timeout: 10 * time.Second}).DialContext) }

// dialer opens the connections to the services, as the method of a net.Dialer does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// appOn is App on a network.
func appOn(dial dialer) exporter.App {
	return exporter.App{
		Name:        catalog.Integration,
		Description: "State of the services that the platform depends on: Shopify, Clerk and Mandrill.",
		Port:        9472,
		Load:        func(path string, log *slog.Logger) (*exporter.Setup, error) { return load(path, dial, log) },
	}
}

// load reads the configuration and all that it names. It does not connect.
func load(path string, dial dialer, log *slog.Logger) (*exporter.Setup, error) {
	c, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(c.Config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.resolve()
	b := builder{configuration: c, dial: dial, log: log, catalog: catalog.Shipped().ForExporter(catalog.Integration)}
	for _, build := range []func() error{b.shopify, b.clerk, b.mandrill} {
		if err := build(); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return &exporter.Setup{
		Catalog:    b.catalog,
		Sizes:      catalog.SizesFor(c.Limits.Clients + 1), // and the platform, whose mail account is a value of the label client
		Collectors: b.collectors,
		Text:       text,
		Close:      b.close,
	}, nil
}

// builder makes the collectors of a configuration.
type builder struct {
	*configuration
	dial       dialer
	log        *slog.Logger
	catalog    *catalog.Catalog
	collectors []exporter.Collector
	closers    []func() error
}

func (b *builder) close() error {
	var errs []error
	for _, c := range b.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// add makes a collector, unless it has no targets.
func (b *builder) add(name string, s exporter.Schedule, targets ...exporter.Target) {
	if len(targets) > 0 {
		b.collectors = append(b.collectors, collector{name, s, targets})
	}
}

// collector is the targets of one kind.
type collector struct {
	name     string
	schedule exporter.Schedule
	targets  []exporter.Target
}

func (c collector) Name() string                { return c.name }
func (c collector) Schedule() exporter.Schedule { return c.schedule }
func (c collector) Targets() []exporter.Target  { return c.targets }

// maxHeader bounds the header of a response, in bytes.
const maxHeader = 64 << 10

// Package integration monitors the external services that the platform depends on: Shopify (a shop for each client), Clerk and
// Mandrill. It reports whether they are up, how much of their rate limits remains, and whether anything was lost between them
// and the platform. It only reads.
package integration

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/exporters/integration/clerk"
	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/exporters/integration/mandrill"
	"github.com/consignwatch/consignwatch/exporters/integration/platformdb"
	"github.com/consignwatch/consignwatch/exporters/integration/shopify"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// App is the integration-exporter.
func App() web.App { return appOn((&net.Dialer{Timeout: 10 * time.Second}).DialContext) }

// appOn is App on a network.
func appOn(dial httpapi.Dial) web.App {
	return web.App{
		Name:        catalog.Integration,
		Description: "State of the services that the platform depends on: Shopify, Clerk and Mandrill.",
		Port:        9472,
		Load:        func(path string, log *slog.Logger) (*exporter.Setup, error) { return load(path, dial, log) },
	}
}

// load reads the configuration and all that it names. It does not connect.
func load(path string, dial httpapi.Dial, log *slog.Logger) (*exporter.Setup, error) {
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
	dial       httpapi.Dial
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

// shopify makes the collectors of all shops.
func (b *builder) shopify() error {
	var db *platformdb.DB
	if b.Platform != nil {
		var err error
		if db, err = b.platform(); err != nil {
			return err
		}
	}
	shops, err := shopify.New(shopify.Options{Config: &b.Shopify, Clients: b.slugs(), DB: db, Dial: b.dial, Catalog: b.catalog, Log: b.log})
	if err != nil {
		return b.file.Errorf("shopify.tls", "%w", err)
	}
	b.closers = append(b.closers, shops.Close)
	for i, c := range b.Clients {
		if c.Shopify == nil {
			continue
		}
		if err := shops.Add(b.clientsFile, fmt.Sprintf("clients.%d.shopify", i), c.Slug, c.Shopify); err != nil {
			return err
		}
	}
	b.collectors = append(b.collectors, shops.Collectors()...)
	return nil
}

// platform opens the platform's database.
func (b *builder) platform() (*platformdb.DB, error) {
	dsn, err := secret.Read(b.Platform.DSNFile)
	if err != nil {
		return nil, b.file.Errorf("platform.dsn_file", "%w", err)
	}
	security, err := database.TLSConfig(b.Platform.TLS)
	if err != nil {
		return nil, b.file.Errorf("platform.tls", "%w", err)
	}
	db, err := platformdb.Open(b.Platform, dsn, security)
	if err != nil {
		return nil, b.file.Errorf("platform.dsn_file", "%w", err)
	}
	b.closers = append(b.closers, db.Close)
	return db, nil
}

// clerk makes the collectors of Clerk.
func (b *builder) clerk() error {
	c := b.Clerk
	if c == nil {
		return nil
	}
	key, err := secret.Read(c.SecretKeyFile)
	if err != nil {
		return b.file.Errorf("clerk.secret_key_file", "%w", err)
	}
	client, err := b.httpClient(c.TLS)
	if err != nil {
		return b.file.Errorf("clerk.tls", "%w", err)
	}
	b.collectors = append(b.collectors, clerk.Collectors(clerk.Options{Config: c, Key: key, HTTP: client, Catalog: b.catalog, Log: b.log})...)
	return nil
}

// mandrill makes the collectors of Mandrill.
func (b *builder) mandrill() error {
	c := b.Mandrill
	if c == nil {
		return nil
	}
	key, err := secret.Read(c.KeyFile)
	if err != nil {
		return b.file.Errorf("mandrill.key_file", "%w", err)
	}
	client, err := b.httpClient(c.TLS)
	if err != nil {
		return b.file.Errorf("mandrill.tls", "%w", err)
	}
	b.collectors = append(b.collectors, mandrill.Collectors(mandrill.Options{Config: c, Key: key, HTTP: client, Clients: b.slugs(), Catalog: b.catalog, Log: b.log})...)
	return nil
}

// httpClient makes a client that lives as long as the configuration.
func (b *builder) httpClient(t *commonconfig.TLSConfig) (*http.Client, error) {
	client, err := httpapi.NewClient(b.dial, t)
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() error { client.CloseIdleConnections(); return nil })
	return client, nil
}

// Package system reads the state of the platform's own servers, from inside and from outside: database, cache, queues, and
// probes that send requests as a user would. It changes nothing on the servers, except for one key of its own in a cache.
package system

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/exporters/system/kafka"
	"github.com/consignwatch/consignwatch/exporters/system/mysql"
	"github.com/consignwatch/consignwatch/exporters/system/probe"
	"github.com/consignwatch/consignwatch/exporters/system/redis"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// App is the system-exporter.
func App() web.App { return appOn((&net.Dialer{}).DialContext) }

// appOn is App with probes on a network.
func appOn(dial probe.Dial) web.App {
	return web.App{
		Name:        catalog.System,
		Description: "State of the platform's database, cache and queues, and probes from outside.",
		Port:        9471,
		Load:        func(path string, log *slog.Logger) (*exporter.Setup, error) { return load(path, dial, log) },
	}
}

// load reads the configuration and all that it names. It does not connect.
func load(path string, dial probe.Dial, log *slog.Logger) (*exporter.Setup, error) {
	c := defaultConfig()
	f, err := yamlfile.Read(path, &c)
	if err != nil {
		return nil, err
	}
	c.fill()
	if err := c.check(f); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.resolve(filepath.Dir(path))
	b := builder{config: &c, file: f, dial: dial, log: log, catalog: catalog.Shipped().ForExporter(catalog.System)}
	for _, build := range []func() error{b.mysql, b.redis, b.kafka, b.probes} {
		if err := build(); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return &exporter.Setup{
		Catalog:    b.catalog,
		Sizes:      catalog.SizesFor(catalog.DefaultClients),
		Collectors: b.collectors,
		Text:       text,
		Close:      b.close,
	}, nil
}

// builder makes the collectors of a configuration.
type builder struct {
	config     *Config
	file       *yamlfile.File
	dial       probe.Dial
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

func (b *builder) mysql() error {
	var all []scheduled
	for i, t := range b.config.MySQL {
		at := fmt.Sprintf("mysql.%d.", i)
		dsn, err := secret.Read(t.DSNFile)
		if err != nil {
			return b.file.Errorf(at+"dsn_file", "%w", err)
		}
		security, err := database.TLSConfig(t.TLS)
		if err != nil {
			return b.file.Errorf(at+"tls", "%w", err)
		}
		server, err := mysql.New(mysql.Options{Name: t.Name, Role: t.Role, DSN: dsn, TLS: security, Timeout: time.Duration(t.Timeout), Catalog: b.catalog, Log: b.log})
		if err != nil {
			return b.file.Errorf(at+"dsn_file", "%w", err)
		}
		b.closers = append(b.closers, server.Close)
		all = append(all, scheduled{server, t.schedule(b.config.MaxAge)})
	}
	b.add("mysql", all)
	return nil
}

func (b *builder) redis() error {
	var state, operations []scheduled
	for i, t := range b.config.Redis {
		at := fmt.Sprintf("redis.%d.", i)
		var password secret.Value
		if t.PasswordFile != "" {
			var err error
			if password, err = secret.Read(t.PasswordFile); err != nil {
				return b.file.Errorf(at+"password_file", "%w", err)
			}
		}
		security, err := clientTLS(t.TLS)
		if err != nil {
			return b.file.Errorf(at+"tls", "%w", err)
		}
		conn := redis.NewConn(redis.Options{Address: t.Address, Username: t.Username, Password: password, TLS: security})
		b.closers = append(b.closers, conn.Close)
		schedule := t.schedule(b.config.MaxAge)
		state = append(state, scheduled{redis.NewServer(t.Name, *t.Essential, conn, b.catalog), schedule})
		if *t.Operations {
			operations = append(operations, scheduled{redis.NewOperations(t.Name, conn, t.KeyPrefix, b.catalog), schedule})
		}
	}
	b.add("redis", state)
	b.add("redis_operations", operations)
	return nil
}

func (b *builder) kafka() (err error) {
	if b.catalog, err = b.catalog.WithQueueSizes(b.config.KafkaLimits); err != nil {
		return b.file.Errorf("kafka_limits", "%w", err)
	}
	var all []scheduled
	for i, config := range b.config.Kafka {
		schedule := config.schedule(b.config.MaxAge)
		t, err := kafka.New(kafka.Options{Name: config.Name, Essential: *config.Essential, Config: config.Config, Schedule: schedule, Log: b.log})
		if err != nil {
			return b.file.Errorf(fmt.Sprintf("kafka.%d", i), "%w", err)
		}
		b.closers = append(b.closers, t.Close)
		all = append(all, scheduled{t, schedule})
	}
	b.add("kafka", all)
	return nil
}

func (b *builder) probes() error {
	var all []scheduled
	for i, t := range b.config.Probes {
		at := fmt.Sprintf("probes.%d.", i)
		headers, err := probe.ReadHeaders(t.HeadersFile)
		if err != nil {
			return b.file.Errorf(at+"headers_file", "%w", err)
		}
		security, err := clientTLS(t.TLS)
		if err != nil {
			return b.file.Errorf(at+"tls", "%w", err)
		}
		schedule := t.schedule(b.config.MaxAge)
		p := probe.New(probe.Options{
			Name: t.Name, Client: t.Client, Essential: *t.Essential, Config: t.Config, Header: headers, TLS: security,
			Timeout: schedule.Timeout, MaxAge: schedule.MaxAge, Dial: b.dial, Catalog: b.catalog,
		})
		schedule.Timeout += time.Second // the probe's own deadline comes first, and is an outcome
		all = append(all, scheduled{p, schedule})
	}
	b.add("probe", all)
	return nil
}

// clientTLS is nil without a TLS configuration.
func clientTLS(c *config.TLSConfig) (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	return config.NewTLSConfig(c)
}

// scheduled is a target with a schedule of its own.
type scheduled struct {
	target   exporter.Target
	schedule exporter.Schedule
}

// add makes collectors of targets: one for each schedule, all with the same name.
func (b *builder) add(name string, all []scheduled) {
	var schedules []exporter.Schedule
	targets := map[exporter.Schedule][]exporter.Target{}
	for _, s := range all {
		if targets[s.schedule] == nil {
			schedules = append(schedules, s.schedule)
		}
		targets[s.schedule] = append(targets[s.schedule], s.target)
	}
	for _, s := range schedules {
		b.collectors = append(b.collectors, exporter.NewCollector(name, s, targets[s]...))
	}
}

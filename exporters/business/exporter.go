// Package business reads the state of the business from the platform's MySQL database: items, sales, consignors,
// slots, integrity. A query pack, which operators can replace, defines what is read, and from which tables. The package
// only reads, and never selects a personal column.
package business

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the configuration file.
type Config struct {
	MySQL MySQL `yaml:"mysql"`
	// QueriesFile is a query pack; empty for the embedded one.
	QueriesFile string `yaml:"queries_file,omitempty"`
	// MaxAge is how long the last good values are exposed after the database has stopped answering.
	MaxAge yamlfile.Duration `yaml:"max_age"`
	Limits Limits            `yaml:"limits"`
}

// MySQL says how to reach the database.
type MySQL struct {
	// DSNFile holds the data source name, user:password@tcp(host:port)/database. It is read again on reload.
	DSNFile string `yaml:"dsn_file"`
	// TLS, when it is there, replaces what the data source name says about TLS.
	TLS *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// MaxOpenConnections bounds the exporter's load on the database.
	MaxOpenConnections int `yaml:"max_open_connections"`
	// Replica says that the database is a replica: its replication lag is read, too. That needs one more privilege.
	Replica bool `yaml:"replica"`
}

// Limits bound the number of series.
type Limits struct {
	Clients int `yaml:"clients"`
	Events  int `yaml:"events"`
}

const defaultMaxAge = 5 * time.Minute

// App is the business-exporter.
func App() web.App { return appWith(func(*Pack) {}) }

// appWith is App with a change to each query pack after it was read and checked.
func appWith(change func(*Pack)) web.App {
	return web.App{
		Name:        catalog.Business,
		Description: "State of the consignment-sale business, read from the platform's MySQL database.",
		Port:        9473,
		Load:        func(path string, log *slog.Logger) (*exporter.Setup, error) { return load(path, log, change) },
		Commands:    commands,
	}
}

// load reads the configuration and all that it names. It does not connect.
func load(path string, log *slog.Logger, change func(*Pack)) (*exporter.Setup, error) {
	c := Config{
		MySQL:  MySQL{MaxOpenConnections: 2},
		MaxAge: yamlfile.Duration(defaultMaxAge),
		Limits: Limits{Clients: catalog.DefaultClients, Events: catalog.DefaultClients},
	}
	f, err := yamlfile.Read(path, &c)
	if err != nil {
		return nil, err
	}
	if err := c.check(f); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	dsn, err := secret.Read(inDir(dir, c.MySQL.DSNFile))
	if err != nil {
		return nil, f.Errorf("mysql.dsn_file", "%w", err)
	}
	pack, packFile, metrics, err := loadPack(inDir(dir, c.QueriesFile), catalog.Shipped())
	if err != nil {
		return nil, err
	}
	change(pack)
	c.MySQL.TLS.SetDirectory(dir)
	security, err := database.TLSConfig(c.MySQL.TLS)
	if err != nil {
		return nil, f.Errorf("mysql.tls", "%w", err)
	}
	db, err := openReader(dsn, security, c.MySQL.MaxOpenConnections)
	if err != nil {
		return nil, f.Errorf("mysql.dsn_file", "%w", err)
	}
	lists := newDirectory(db, pack)
	if log != nil {
		lists.log = log
	}
	var all []exporter.Collector
	for _, c := range collectors(lists, pack, duration(c.MaxAge)) {
		all = append(all, c)
	}
	if c.MySQL.Replica {
		all = append(all, replicaCollector{db})
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &exporter.Setup{
		Catalog:    metrics,
		Sizes:      catalog.Sizes{Clients: c.Limits.Clients, Events: c.Limits.Events},
		Collectors: all,
		Text:       bytes.Join([][]byte{text, []byte("# " + packFile.Name), packText(packFile), nil}, []byte("\n")),
		Close:      db.close,
	}, nil
}

func (c *Config) check(f *yamlfile.File) error {
	switch {
	case c.MySQL.DSNFile == "":
		return f.Errorf("mysql.dsn_file", "is missing: the path of a file with user:password@tcp(host:port)/database")
	case c.MySQL.MaxOpenConnections < 1 || c.MySQL.MaxOpenConnections > 16:
		return f.Errorf("mysql.max_open_connections", "must be from 1 to 16, not %d", c.MySQL.MaxOpenConnections)
	case c.MaxAge <= 0:
		return f.Errorf("max_age", "must be longer than 0, like %s", yamlfile.Duration(defaultMaxAge))
	case c.Limits.Clients < 1:
		return f.Errorf("limits.clients", "must be at least 1")
	case c.Limits.Events < 1:
		return f.Errorf("limits.events", "must be at least 1")
	}
	return nil
}

// inDir makes a path relative to the folder of the configuration file, as Prometheus does.
func inDir(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// collectors makes one collector of each query.
func collectors(dir *directory, p *Pack, maxAge time.Duration) []*collector {
	all := make([]*collector, len(p.Queries))
	for i := range p.Queries {
		q := &p.Queries[i]
		all[i] = &collector{query: q, maxAge: maxAge}
		if q.Per == "event" {
			events := newEventQuery(dir, q, duration(p.RefreshEnded))
			all[i].targets = []exporter.Target{liveTarget{events}, endedTarget{events}}
		} else {
			all[i].targets = []exporter.Target{&wholeTarget{dir: dir, query: q, rejected: newRejections()}}
		}
	}
	return all
}

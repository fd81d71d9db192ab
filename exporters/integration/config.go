package integration

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the configuration file.
type Config struct {
	// Clients are the tenants of the platform.
	Clients []Client `yaml:"clients,omitempty"`
	// ClientsFile holds the list of clients instead, under the key `clients`, so that other programs can share it. It is read
	// again on reload.
	ClientsFile string          `yaml:"clients_file,omitempty"`
	Limits      Limits          `yaml:"limits,omitempty"`
	Shopify     shopifyConfig   `yaml:"shopify,omitempty"`
	Platform    *platformConfig `yaml:"platform,omitempty"`
	Clerk       *clerkConfig    `yaml:"clerk,omitempty"`
	Mandrill    *mandrillConfig `yaml:"mandrill,omitempty"`
}

// Client is one tenant.
type Client struct {
	// Slug is the label `client`.
	Slug string `yaml:"slug"`
	// Shopify is the client's shop; without it, the client has none.
	Shopify *shopConfig `yaml:"shopify,omitempty"`
}

// Limits bound the number of series.
type Limits struct {
	Clients int `yaml:"clients,omitempty"`
}

// platformConfig is the platform's own database, which the shops are compared with.
type platformConfig struct {
	// DSNFile holds the data source name, user:password@tcp(host:port)/database. It is read again on reload.
	DSNFile string                  `yaml:"dsn_file"`
	TLS     *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// Timeout is the time limit of a statement, on the server.
	Timeout yamlfile.Duration `yaml:"timeout,omitempty"`
	// OrdersSQL and ProductsSQL look orders and products up, in databases whose tables are not those of the contract. Each has
	// {ids} in place of the numbers, and returns the client's slug and the number of those that it finds.
	OrdersSQL   string `yaml:"orders_sql,omitempty"`
	ProductsSQL string `yaml:"products_sql,omitempty"`
}

// clientList is what clients_file holds.
type clientList struct {
	Clients []Client `yaml:"clients"`
}

// configuration is a Config with the files that it stands in: the list of clients may have one of its own.
type configuration struct {
	Config
	file        *yamlfile.File
	clientsFile *yamlfile.File
}

// readConfig reads the configuration and the list of clients, fills in the defaults and checks all of it. Paths are still those
// of the file.
func readConfig(path string) (*configuration, error) {
	c := &configuration{}
	var err error
	if c.file, err = yamlfile.Read(path, &c.Config); err != nil {
		return nil, err
	}
	c.clientsFile = c.file
	if c.ClientsFile != "" {
		if len(c.Clients) > 0 {
			return nil, c.file.Errorf("clients_file", "there is a list of clients already, under clients")
		}
		var list clientList
		if c.clientsFile, err = yamlfile.Read(inDir(filepath.Dir(path), c.ClientsFile), &list); err != nil {
			return nil, c.file.Errorf("clients_file", "%w", err)
		}
		c.Clients = list.Clients
	}
	c.fill()
	return c, c.check()
}

func (c *configuration) fill() {
	if c.Limits.Clients == 0 {
		c.Limits.Clients = catalog.DefaultClients
	}
	c.Shopify.fill()
	if c.Platform != nil {
		c.Platform.fill()
	}
	if c.Clerk != nil {
		c.Clerk.fill()
	}
	if c.Mandrill != nil {
		c.Mandrill.fill()
	}
}

// resolve makes paths relative to the folder of the file that they stand in, as Prometheus does.
func (c *configuration) resolve() {
	dir := filepath.Dir(c.file.Name)
	join := func(path *string) { *path = inDir(dir, *path) }
	c.Shopify.TLS.SetDirectory(dir)
	if c.Platform != nil {
		join(&c.Platform.DSNFile)
		c.Platform.TLS.SetDirectory(dir)
	}
	if c.Clerk != nil {
		c.Clerk.resolve(join)
	}
	if c.Mandrill != nil {
		c.Mandrill.resolve(join)
	}
	clientsDir := filepath.Dir(c.clientsFile.Name)
	for _, client := range c.Clients {
		client.Shopify.resolve(func(path *string) { *path = inDir(clientsDir, *path) })
	}
}

func inDir(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func (c *configuration) check() error {
	shops := 0
	for _, client := range c.Clients {
		if client.Shopify != nil {
			shops++
		}
	}
	switch {
	case c.Limits.Clients < 1:
		return c.file.Errorf("limits.clients", "must be at least 1")
	case len(c.Clients) > c.Limits.Clients:
		return c.clientsFile.Errorf("clients", "there are %d clients, and limits.clients allows %d: raise it, or divide them among several exporters", len(c.Clients), c.Limits.Clients)
	case shops == 0 && c.Clerk == nil && c.Mandrill == nil:
		return c.file.Errorf("clients", "there is nothing to watch: name a client with a shop, or a section clerk or mandrill")
	}
	if err := c.checkClients(); err != nil {
		return err
	}
	if err := c.Shopify.check(c.file); err != nil {
		return err
	}
	if c.Platform != nil {
		if err := c.Platform.check(c.file); err != nil {
			return err
		}
	}
	if c.Clerk != nil {
		if err := c.Clerk.check(c.file); err != nil {
			return err
		}
	}
	if c.Mandrill != nil {
		return c.Mandrill.check(c.file, len(c.Clients))
	}
	return nil
}

var clientSlug = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (c *configuration) checkClients() error {
	slugs, domains := map[string]bool{}, map[string]bool{}
	for i, client := range c.Clients {
		at := fmt.Sprintf("clients.%d.", i)
		switch {
		case client.Slug == "":
			return c.clientsFile.Errorf(at+"slug", "is missing")
		case !clientSlug.MatchString(client.Slug):
			return c.clientsFile.Errorf(at+"slug", "%q is not lower-case letters, digits, - and _, at most 63", client.Slug)
		case client.Slug == catalog.Other:
			return c.clientsFile.Errorf(at+"slug", "%q stands for all clients that are not admitted", client.Slug)
		case slugs[client.Slug]:
			return c.clientsFile.Errorf(at+"slug", "%q is there twice", client.Slug)
		}
		slugs[client.Slug] = true
		if client.Shopify == nil {
			continue
		}
		if err := client.Shopify.check(c.clientsFile, at+"shopify."); err != nil {
			return err
		}
		if domains[client.Shopify.Domain] {
			return c.clientsFile.Errorf(at+"shopify.domain", "%q is the shop of another client already", client.Shopify.Domain)
		}
		domains[client.Shopify.Domain] = true
	}
	return nil
}

// slugs are the clients' names, in the order of the configuration.
func (c *configuration) slugs() []string {
	var all []string
	for _, client := range c.Clients {
		all = append(all, client.Slug)
	}
	return slices.Clip(all)
}

func (p *platformConfig) fill() {
	if p.Timeout == 0 {
		p.Timeout = defaultStatementTimeout
	}
	if p.OrdersSQL == "" {
		p.OrdersSQL = defaultOrdersSQL
	}
	if p.ProductsSQL == "" {
		p.ProductsSQL = defaultProductsSQL
	}
}

func (p *platformConfig) check(f *yamlfile.File) error {
	switch {
	case p.DSNFile == "":
		return f.Errorf("platform.dsn_file", "is missing: the path of a file with user:password@tcp(host:port)/database")
	case strings.Count(p.OrdersSQL, idsPlaceholder) != 1:
		return f.Errorf("platform.orders_sql", "must have %s once: the place where the numbers of orders stand", idsPlaceholder)
	case strings.Count(p.ProductsSQL, idsPlaceholder) != 1:
		return f.Errorf("platform.products_sql", "must have %s once: the place where the numbers of products stand", idsPlaceholder)
	}
	return nil
}

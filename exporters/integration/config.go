package integration

import (
	"fmt"
	"path/filepath"
	"slices"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/exporters/integration/clerk"
	"github.com/consignwatch/consignwatch/exporters/integration/mandrill"
	"github.com/consignwatch/consignwatch/exporters/integration/platformdb"
	"github.com/consignwatch/consignwatch/exporters/integration/shopify"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the configuration file.
type Config struct {
	// Clients are the tenants of the platform.
	Clients []Client `yaml:"clients,omitempty"`
	// ClientsFile holds the list of clients instead, under the key `clients`, so that other programs can share it. It is read
	// again on reload.
	ClientsFile string             `yaml:"clients_file,omitempty"`
	Limits      Limits             `yaml:"limits,omitempty"`
	Shopify     shopify.Config     `yaml:"shopify,omitempty"`
	Platform    *platformdb.Config `yaml:"platform,omitempty"`
	Clerk       *clerk.Config      `yaml:"clerk,omitempty"`
	Mandrill    *mandrill.Config   `yaml:"mandrill,omitempty"`
}

// Client is one tenant.
type Client struct {
	// Slug is the label `client`.
	Slug string `yaml:"slug"`
	// Shopify is the client's shop; without it, the client has none.
	Shopify *shopify.ShopConfig `yaml:"shopify,omitempty"`
}

// Limits bound the number of series.
type Limits struct {
	Clients int `yaml:"clients,omitempty"`
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
		if c.clientsFile, err = yamlfile.Read(commonconfig.JoinDir(filepath.Dir(path), c.ClientsFile), &list); err != nil {
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
	c.Shopify.Fill()
	if c.Platform != nil {
		c.Platform.Fill()
	}
	if c.Clerk != nil {
		c.Clerk.Fill()
	}
	if c.Mandrill != nil {
		c.Mandrill.Fill()
	}
}

// resolve makes paths relative to the folder of the file that they stand in, as Prometheus does.
func (c *configuration) resolve() {
	dir := filepath.Dir(c.file.Name)
	c.Shopify.SetDirectory(dir)
	if c.Platform != nil {
		c.Platform.SetDirectory(dir)
	}
	if c.Clerk != nil {
		c.Clerk.SetDirectory(dir)
	}
	if c.Mandrill != nil {
		c.Mandrill.SetDirectory(dir)
	}
	clientsDir := filepath.Dir(c.clientsFile.Name)
	for _, client := range c.Clients {
		if client.Shopify != nil {
			client.Shopify.SetDirectory(clientsDir)
		}
	}
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
	if err := c.Shopify.Check(c.file); err != nil {
		return err
	}
	if c.Platform != nil {
		if err := c.Platform.Check(c.file); err != nil {
			return err
		}
	}
	if c.Clerk != nil {
		if err := c.Clerk.Check(c.file); err != nil {
			return err
		}
	}
	if c.Mandrill != nil {
		return c.Mandrill.Check(c.file, len(c.Clients))
	}
	return nil
}

func (c *configuration) checkClients() error {
	slugs, domains := map[string]bool{}, map[string]bool{}
	for i, client := range c.Clients {
		key := fmt.Sprintf("clients.%d", i)
		switch {
		case client.Slug == "":
			return c.clientsFile.Errorf(key+".slug", "is missing")
		case !catalog.IsSlug(client.Slug):
			return c.clientsFile.Errorf(key+".slug", "%q is not lower-case letters, digits, - and _, at most 63", client.Slug)
		case client.Slug == catalog.Other:
			return c.clientsFile.Errorf(key+".slug", "%q stands for all clients that are not admitted", client.Slug)
		case slugs[client.Slug]:
			return c.clientsFile.Errorf(key+".slug", "%q is there twice", client.Slug)
		}
		slugs[client.Slug] = true
		if client.Shopify == nil {
			continue
		}
		if err := client.Shopify.Check(c.clientsFile, key+".shopify", &c.Shopify); err != nil {
			return err
		}
		if domains[client.Shopify.Domain] {
			return c.clientsFile.Errorf(key+".shopify.domain", "%q is the shop of another client already", client.Shopify.Domain)
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

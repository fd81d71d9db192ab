package mandrill

import (
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the section `mandrill` of the configuration: one account, with a subaccount for each client.
type Config struct {
	// URL is the base of the API, with its version.
	URL string `yaml:"url,omitempty"`
	// KeyFile holds the API key. It is read again on reload.
	KeyFile string `yaml:"key_file"`
	// ClientSubaccounts says that the name of a subaccount is the slug of a client.
	ClientSubaccounts bool `yaml:"client_subaccounts,omitempty"`
	// SubaccountsPerRound bounds how many subaccounts are fetched one by one in a round.
	SubaccountsPerRound int `yaml:"subaccounts_per_round,omitempty"`
	// AllowHTTP allows addresses without TLS to other hosts than this one: the key then travels in the clear.
	AllowHTTP bool                    `yaml:"allow_http,omitempty"`
	TLS       *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// Interval and Timeout are those of the account and the list of subaccounts, SlowInterval that of webhooks and domains.
	Interval     yamlfile.Duration `yaml:"interval,omitempty"`
	Timeout      yamlfile.Duration `yaml:"timeout,omitempty"`
	SlowInterval yamlfile.Duration `yaml:"slow_interval,omitempty"`
}

const (
	defaultURL              = "https://mandrillapp.com/api/1.0"
	defaultSubaccountRounds = 20
	maxSubaccountsPerRound  = 200
)

// Fill sets the defaults of what is not set.
func (c *Config) Fill() {
	if c.URL == "" {
		c.URL = defaultURL
	}
	if c.SubaccountsPerRound == 0 {
		c.SubaccountsPerRound = defaultSubaccountRounds
	}
	if c.Interval == 0 {
		c.Interval = yamlfile.Duration(time.Minute)
	}
	if c.Timeout == 0 {
		c.Timeout = min(yamlfile.Duration(20*time.Second), c.Interval)
	}
	if c.SlowInterval == 0 {
		c.SlowInterval = max(yamlfile.Duration(5*time.Minute), c.Interval)
	}
}

// SetDirectory makes paths relative to a folder.
func (c *Config) SetDirectory(dir string) {
	c.KeyFile = commonconfig.JoinDir(dir, c.KeyFile)
	c.TLS.SetDirectory(dir)
}

// Check reports the first mistake, with so many clients in the inventory. It is called after Fill.
func (c *Config) Check(f *yamlfile.File, clients int) error {
	switch {
	case !httpapi.IsAddress(c.URL):
		return f.Errorf("mandrill.url", "is not an address like %s, without user, query and fragment", defaultURL)
	case !c.AllowHTTP && httpapi.IsClear(c.URL):
		return f.Errorf("mandrill.url", "is not https: the key would travel in the clear (allow_http: true allows it)")
	case c.KeyFile == "":
		return f.Errorf("mandrill.key_file", "is missing: the path of a file with the API key")
	case c.ClientSubaccounts && clients == 0:
		return f.Errorf("mandrill.client_subaccounts", "there are no clients whose subaccounts these could be: list them under clients")
	case c.SubaccountsPerRound < 1 || c.SubaccountsPerRound > maxSubaccountsPerRound:
		return f.Errorf("mandrill.subaccounts_per_round", "must be from 1 to %d", maxSubaccountsPerRound)
	case c.SlowInterval < c.Timeout:
		return f.Errorf("mandrill.slow_interval", "cannot be shorter than the timeout of %s", c.Timeout)
	}
	return httpapi.CheckTiming(f, "mandrill", c.Interval, c.Timeout)
}

func (c *Config) schedule(interval yamlfile.Duration) exporter.Schedule {
	return exporter.Schedule{Interval: time.Duration(interval), Timeout: time.Duration(c.Timeout), MaxAge: 5 * time.Duration(interval)}
}

package daemon

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// config is the configuration file of the daemon.
type config struct {
	Alertmanager alertmanagerConfig `yaml:"alertmanager"`
	// PolicyFile is the part of the notification policy that is about acknowledgements, as `consignwatch render` writes it: what the rules of the
	// escalation were rendered from, too.
	PolicyFile string `yaml:"policy_file"`
	// Interval is how often Alertmanager is polled. It should be shorter than group_interval, so that the silence of a resolved alert has
	// expired before Alertmanager sends the resolved notification.
	Interval yamlfile.Duration `yaml:"interval"`
	Timeout  yamlfile.Duration `yaml:"timeout"`
	// RenewFor is the remaining duration that a renewed acknowledgement gets while its alert fires.
	RenewFor yamlfile.Duration `yaml:"renew_for"`
	// Settle is how long after its start Alertmanager may lack alerts: Prometheus sends all firing alerts once a minute.
	Settle    yamlfile.Duration `yaml:"settle"`
	Heartbeat heartbeatConfig   `yaml:"heartbeat"`
	// Clients are the slugs of the inventory. The cardinality limiter admits these values of the label client before all others.
	Clients []string     `yaml:"clients,omitempty"`
	Limits  limitsConfig `yaml:"limits"`

	policy ack.Policy // the content of PolicyFile
}

// alertmanagerConfig has the address and HTTP client settings of Alertmanager.
type alertmanagerConfig struct {
	URL  string                        `yaml:"url"`
	HTTP commonconfig.HTTPClientConfig `yaml:"http,omitempty"`
}

// heartbeatConfig describes the alert that always fires.
type heartbeatConfig struct {
	// Alertname is empty when there is no such alert.
	Alertname string `yaml:"alertname"`
	// MaxAge is the longest time since Prometheus last sent the heartbeat for which the list of alerts counts as complete.
	MaxAge yamlfile.Duration `yaml:"max_age"`
}

// limitsConfig bounds the number of series.
type limitsConfig struct {
	Clients int `yaml:"clients"`
}

func defaultConfig() config {
	return config{
		Alertmanager: alertmanagerConfig{HTTP: commonconfig.DefaultHTTPClientConfig},
		Interval:     yamlfile.Duration(10 * time.Second),
		Timeout:      yamlfile.Duration(5 * time.Second),
		RenewFor:     yamlfile.Duration(ack.DefaultLength),
		Settle:       yamlfile.Duration(2 * time.Minute),
		Heartbeat:    heartbeatConfig{"Watchdog", yamlfile.Duration(2 * time.Minute)},
		Limits:       limitsConfig{catalog.DefaultClients},
	}
}

// readConfig reads a configuration file. Paths in it are relative to its folder.
func readConfig(path string) (*config, error) {
	c := defaultConfig()
	f, err := yamlfile.Read(path, &c)
	if err != nil {
		return nil, err
	}
	if err := c.check(f); err != nil {
		return nil, err
	}
	c.Alertmanager.HTTP.SetDirectory(filepath.Dir(path))
	c.PolicyFile = commonconfig.JoinDir(filepath.Dir(path), c.PolicyFile)
	if c.policy, err = readPolicy(c.PolicyFile); err != nil {
		return nil, err
	}
	// An acknowledgement whose alert is missing is not renewed. When that begins, two thirds of its length are left, or a poll less.
	if grace := c.policy.ResolveGrace; grace > time.Duration(c.RenewFor)*2/3-2*time.Duration(c.Interval) {
		return nil, f.Errorf("renew_for", "%s is too short for an acknowledgement to outlive an alert that is missing for resolve_grace, which is %s", c.RenewFor, yamlfile.Duration(grace))
	}
	return &c, nil
}

// policyFile is the file that `consignwatch render` writes.
type policyFile struct {
	ResolveGrace yamlfile.Duration            `yaml:"resolve_grace"`
	AckTimeout   map[string]yamlfile.Duration `yaml:"ack_timeout"`
}

func readPolicy(path string) (ack.Policy, error) {
	var p policyFile
	f, err := yamlfile.Read(path, &p)
	if err != nil {
		return ack.Policy{}, err
	}
	if p.ResolveGrace <= 0 {
		return ack.Policy{}, f.Errorf("resolve_grace", "missing: this is not the file that `consignwatch render` writes")
	}
	policy := ack.Policy{ResolveGrace: time.Duration(p.ResolveGrace), AckTimeout: map[string]time.Duration{}}
	for priority, timeout := range p.AckTimeout {
		switch {
		case !slices.Contains(catalog.Priorities(), priority):
			return ack.Policy{}, f.Errorf("ack_timeout."+priority, "is not a priority: one of %s", strings.Join(catalog.Priorities(), ", "))
		case timeout <= 0:
			return ack.Policy{}, f.Errorf("ack_timeout."+priority, "must be longer than 0")
		}
		policy.AckTimeout[priority] = time.Duration(timeout)
	}
	return policy, nil
}

func (c *config) check(f *yamlfile.File) error {
	u, err := url.Parse(c.Alertmanager.URL)
	switch {
	case c.Alertmanager.URL == "":
		return f.Errorf("alertmanager.url", "is missing: the address of Alertmanager, like http://alertmanager:9093")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return f.Errorf("alertmanager.url", "is not an address like http://alertmanager:9093")
	case u.User != nil: // it would be printed with the configuration
		return f.Errorf("alertmanager.url", "holds a user name or a password: set them in alertmanager.http.basic_auth, with a password_file")
	case c.Interval < yamlfile.Duration(time.Second):
		return f.Errorf("interval", "must be at least 1s")
	case c.Timeout <= 0 || c.Timeout > c.Interval:
		return f.Errorf("timeout", "must be longer than 0 and not longer than interval, which is %s", c.Interval)
	case c.RenewFor < 6*c.Interval:
		return f.Errorf("renew_for", "must be at least 6 times interval, which is %s: an acknowledgement must outlive a few failures", c.Interval)
	case c.Settle < 0:
		return f.Errorf("settle", "cannot be negative")
	case c.Heartbeat.Alertname != "" && c.Heartbeat.MaxAge <= 0:
		return f.Errorf("heartbeat.max_age", "must be longer than 0")
	case c.Limits.Clients < 1:
		return f.Errorf("limits.clients", "must be at least 1")
	}
	for i, client := range c.Clients {
		if !catalog.IsSlug(client) {
			return f.Errorf(fmt.Sprintf("clients.%d", i), "%q is not a slug like north-sale", client)
		}
	}
	if err := c.Alertmanager.HTTP.Validate(); err != nil {
		return f.Errorf("alertmanager.http", "%w", err)
	}
	if c.PolicyFile == "" {
		return f.Errorf("policy_file", "is missing: the path of acknowledgement.yml, which `consignwatch render` writes beside alertmanager.yml")
	}
	return nil
}

package events

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the configuration file.
type Config struct {
	Kafka Kafka `yaml:"kafka"`
	// ResumeFrom says where the start offsets come from: `kafka` (committed) or `prometheus` (ingested).
	ResumeFrom string     `yaml:"resume_from"`
	Prometheus Prometheus `yaml:"prometheus,omitempty"`
	// Scrapers are those to which values are delivered.
	Scrapers []Scraper `yaml:"scrapers"`
	// MappingFile is a mapping; empty for the embedded one.
	MappingFile string `yaml:"mapping_file,omitempty"`
	// Clients are the slugs of the inventory, admitted before all others.
	Clients []string `yaml:"clients,omitempty"`
	Limits  Limits   `yaml:"limits"`
}

// Kafka says how to reach the brokers, and which topics to consume.
type Kafka struct {
	Brokers []string `yaml:"brokers"`
	Group   string   `yaml:"group"`
	Topics  []string `yaml:"topics"`
	// InstanceID makes the process a static member of the group: restarted, it takes its partitions back at once.
	InstanceID string `yaml:"instance_id,omitempty"`
	// SessionTimeout is how long the group waits for a member that sends no heartbeat.
	SessionTimeout yamlfile.Duration `yaml:"session_timeout"`
	// Initial is the start offset of a partition that was never counted: `oldest` or `newest`.
	Initial string `yaml:"initial"`
	// MaxBatchBytes is the largest size of a batch of records, decompressed. Larger ones are skipped.
	MaxBatchBytes int                     `yaml:"max_batch_bytes"`
	TLS           *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	SASL          *kafkaclient.SASL       `yaml:"sasl,omitempty"`
}

// Prometheus says where the ingested offsets are queried, in the exact mode.
type Prometheus struct {
	URL string `yaml:"url"`
	// Matchers are label matchers that select the offsets of this group, like job: event-exporter.
	Matchers map[string]string `yaml:"matchers,omitempty"`
	// Lookback is the longest time that the exporter may have been away.
	Lookback yamlfile.Duration `yaml:"lookback"`
	// Settle is how long a scrape response may still be on its way after the process that sent it has died.
	Settle yamlfile.Duration             `yaml:"settle"`
	HTTP   commonconfig.HTTPClientConfig `yaml:"http,omitempty"`
}

// Scraper is who asks for /metrics?scraper=NAME.
type Scraper struct {
	Name string `yaml:"name"`
	// User is the user of basic auth, or the name in the client certificate, that the web config asks for.
	User string `yaml:"user,omitempty"`
	// Anonymous allows a scraper without a user where what was written to it counts as delivered: everybody who reaches the
	// exporter can make it lose what was counted.
	Anonymous bool `yaml:"anonymous,omitempty"`
}

// UnmarshalYAML reads a mapping, and says so to who writes just a name.
func (s *Scraper) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a scraper is written {name: %s, user: prometheus}", n.Line, cmp.Or(n.Value, "main"))
	}
	for i := 0; i < len(n.Content); i += 2 { // Decode does not mind keys that it does not know
		if key := n.Content[i]; !slices.Contains([]string{"name", "user", "anonymous"}, key.Value) {
			return fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
		}
	}
	type plain Scraper
	return n.Decode((*plain)(s))
}

// Limits bound the number of series.
type Limits struct {
	Clients int `yaml:"clients"`
	Events  int `yaml:"events"`
}

func defaultConfig() Config {
	return Config{
		Kafka: Kafka{
			Group:          "consignwatch-events",
			Topics:         []string{"consign.telemetry", "consign.commerce", "consign.integration"},
			SessionTimeout: yamlfile.Duration(10 * time.Second),
			Initial:        "oldest",
			MaxBatchBytes:  64 << 20,
		},
		ResumeFrom: resumeKafka,
		Prometheus: Prometheus{
			Lookback: yamlfile.Duration(7 * 24 * time.Hour),
			Settle:   yamlfile.Duration(2 * time.Second),
			HTTP:     commonconfig.DefaultHTTPClientConfig,
		},
		Scrapers: []Scraper{{Name: "main"}},
		Limits:   Limits{Clients: catalog.DefaultClients, Events: catalog.DefaultClients},
	}
}

// The two ways to resume.
const (
	resumeKafka      = "kafka"
	resumePrometheus = "prometheus"
)

func (c *Config) check(f *yamlfile.File) error {
	k := &c.Kafka
	switch {
	case len(k.Brokers) == 0:
		return f.Errorf("kafka.brokers", "is missing: a list of host:port")
	case k.Group == "":
		return f.Errorf("kafka.group", "is empty: the name of the consumer group that replicas share")
	case len(k.Topics) == 0:
		return f.Errorf("kafka.topics", "is empty")
	case hasDuplicates(k.Topics):
		return f.Errorf("kafka.topics", "a topic is there twice")
	case k.InstanceID != "" && !kafkaName.MatchString(k.InstanceID):
		return f.Errorf("kafka.instance_id", "%q is not made of letters, digits and ._-", k.InstanceID)
	case k.SessionTimeout < yamlfile.Duration(time.Second):
		return f.Errorf("kafka.session_timeout", "must be at least 1s")
	case k.Initial != "oldest" && k.Initial != "newest":
		return f.Errorf("kafka.initial", "%q is not one of oldest, newest", k.Initial)
	case k.MaxBatchBytes < 1<<20 || k.MaxBatchBytes > 1<<30:
		return f.Errorf("kafka.max_batch_bytes", "must be between 1 MiB (%d) and 1 GiB (%d)", 1<<20, 1<<30)
	case c.ResumeFrom != resumeKafka && c.ResumeFrom != resumePrometheus:
		return f.Errorf("resume_from", "%q is not one of kafka, prometheus", c.ResumeFrom)
	case len(c.Scrapers) == 0:
		return f.Errorf("scrapers", "is empty: nothing would ever count as delivered. Name the scraper, and let Prometheus ask for /metrics?scraper=NAME")
	case c.Limits.Clients < 1:
		return f.Errorf("limits.clients", "must be at least 1")
	case c.Limits.Events < 1:
		return f.Errorf("limits.events", "must be at least 1")
	}
	for i, b := range k.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return f.Errorf(fmt.Sprintf("kafka.brokers.%d", i), "%q is not host:port", secret.Address(b))
		}
	}
	for i, topic := range k.Topics {
		if !kafkaName.MatchString(topic) {
			return f.Errorf(fmt.Sprintf("kafka.topics.%d", i), "%q is not the name of a topic", topic)
		}
	}
	if k.SASL != nil {
		if err := k.SASL.Check(f, "kafka.sasl"); err != nil {
			return err
		}
	}
	if c.ResumeFrom == resumePrometheus {
		if err := c.Prometheus.check(f); err != nil {
			return err
		}
	}
	return c.checkScrapers(f)
}

func (c *Config) checkScrapers(f *yamlfile.File) error {
	for i, s := range c.Scrapers {
		key := fmt.Sprintf("scrapers.%d", i)
		switch {
		case s.Name == "":
			return f.Errorf(key+".name", "is missing: Prometheus asks for /metrics?scraper=NAME")
		case slices.ContainsFunc(c.Scrapers[:i], func(o Scraper) bool { return o.Name == s.Name }):
			return f.Errorf(key+".name", "%q is there twice", s.Name)
		case s.User != "" && s.Anonymous:
			return f.Errorf(key+".anonymous", "contradicts user")
		case s.User == "" && !s.Anonymous && c.ResumeFrom == resumeKafka:
			return f.Errorf(key+".user", "is missing: with resume_from: kafka what was written to this scraper counts as delivered, so that anybody could make values disappear. Name the user of the web config's basic auth, or in the client certificate; "+
				"or set anonymous: true where nobody else reaches the exporter")
		}
	}
	return nil
}

// kafkaName is what Kafka allows for topics and instance ids.
var kafkaName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func hasDuplicates(names []string) bool {
	sorted := slices.Sorted(slices.Values(names))
	return len(slices.Compact(sorted)) < len(names)
}

func (p *Prometheus) check(f *yamlfile.File) error {
	u, err := url.Parse(p.URL)
	switch {
	case p.URL == "":
		return f.Errorf("prometheus.url", "is missing: resume_from: prometheus reads the offsets there, like http://prometheus:9090")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return f.Errorf("prometheus.url", "is not an address like http://prometheus:9090")
	case u.User != nil: // it would be printed with the configuration
		return f.Errorf("prometheus.url", "holds a user name or a password: they belong into prometheus.http.basic_auth, with a password_file")
	case p.Lookback <= 0:
		return f.Errorf("prometheus.lookback", "must be longer than 0")
	case p.Settle < 0:
		return f.Errorf("prometheus.settle", "cannot be negative")
	}
	for name := range p.Matchers {
		if !catalogLabel(name) {
			return f.Errorf("prometheus.matchers."+name, "is not the name of a label")
		}
	}
	if err := p.HTTP.Validate(); err != nil {
		return f.Errorf("prometheus.http", "%w", err)
	}
	return nil
}

// catalogLabel reports whether a name can stand in a selector as it is.
func catalogLabel(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && (name[0] < '0' || name[0] > '9')
}

// resolve makes paths relative to the folder of the configuration file, as Prometheus does.
func (c *Config) resolve(dir string) {
	join := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	join(&c.MappingFile)
	if c.Kafka.SASL != nil {
		c.Kafka.SASL.SetDirectory(dir)
	}
	if c.Kafka.TLS != nil {
		c.Kafka.TLS.SetDirectory(dir)
	}
	c.Prometheus.HTTP.SetDirectory(dir)
}

// mappingName says which file the mapping comes from, for messages.
func (c *Config) mappingName() string {
	if c.MappingFile == "" {
		return "mapping.yml (embedded)"
	}
	return c.MappingFile
}

func configError(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }

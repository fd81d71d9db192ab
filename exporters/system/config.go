package system

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config is the configuration file.
type Config struct {
	// Timing is that of all targets that have none of their own.
	Timing `yaml:",inline"`
	// MaxAge is how long the last good values are exposed after a target has stopped answering.
	MaxAge yamlfile.Duration `yaml:"max_age"`
	MySQL  []MySQLTarget     `yaml:"mysql,omitempty"`
	Redis  []RedisTarget     `yaml:"redis,omitempty"`
	Kafka  []KafkaTarget     `yaml:"kafka,omitempty"`
	Probes []ProbeTarget     `yaml:"probes,omitempty"`
	// KafkaLimits bound the number of series of topics and groups.
	KafkaLimits KafkaLimits `yaml:"kafka_limits,omitempty"`
}

// Timing says how often a target is collected, and how long that may take.
type Timing struct {
	Interval yamlfile.Duration `yaml:"interval,omitempty"`
	Timeout  yamlfile.Duration `yaml:"timeout,omitempty"`
}

// MySQLTarget is a MySQL or MariaDB server.
type MySQLTarget struct {
	Name string `yaml:"name"`
	// DSNFile holds the data source name, user:password@tcp(host:port)/. It is read again on reload.
	DSNFile string                  `yaml:"dsn_file"`
	TLS     *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	Timing  `yaml:",inline"`
}

// RedisTarget is a Redis or Valkey server.
type RedisTarget struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"`
	// Username is the name of an ACL user; empty for the default one.
	Username string `yaml:"username,omitempty"`
	// PasswordFile is read again on reload. Empty: no password.
	PasswordFile string                  `yaml:"password_file,omitempty"`
	TLS          *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// Operations says whether the exporter writes, reads and deletes a key of its own; true unless set.
	Operations *bool `yaml:"operations,omitempty"`
	// KeyPrefix is the prefix of the key of the operations, which no other program may use.
	KeyPrefix string `yaml:"key_prefix,omitempty"`
	Timing    `yaml:",inline"`
}

// ProbeTarget is an address that is probed as a user would use it.
type ProbeTarget struct {
	Name   string `yaml:"name"`
	URL    string `yaml:"url"`
	Method string `yaml:"method,omitempty"`
	// HeadersFile holds lines of the form `Name: value`. It is read again on reload.
	HeadersFile string `yaml:"headers_file,omitempty"`
	// ExpectStatus are the status codes that are right; empty for 200 to 299.
	ExpectStatus []int `yaml:"expect_status,omitempty"`
	// ExpectBody is a regular expression that the body must match somewhere.
	ExpectBody string `yaml:"expect_body,omitempty"`
	// FollowRedirects follows up to 10 redirects; otherwise a redirect is the answer.
	FollowRedirects bool `yaml:"follow_redirects,omitempty"`
	// MaxResponseBytes bounds the body; a longer one is the outcome too_large.
	MaxResponseBytes int64                   `yaml:"max_response_bytes,omitempty"`
	TLS              *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	Timing           `yaml:",inline"`
}

func defaultConfig() Config {
	return Config{
		Timing: Timing{Interval: yamlfile.Duration(15 * time.Second), Timeout: yamlfile.Duration(10 * time.Second)},
		MaxAge: yamlfile.Duration(time.Minute),

		KafkaLimits: catalog.DefaultQueueSizes(),
	}
}

const (
	defaultKeyPrefix        = "consignwatch:probe:"
	defaultMaxResponseBytes = 10 << 20
)

// fill gives each target the defaults that it has not set.
func (c *Config) fill() {
	for i := range c.MySQL {
		c.fillTiming(&c.MySQL[i].Timing)
	}
	for i := range c.Redis {
		t := &c.Redis[i]
		c.fillTiming(&t.Timing)
		if t.KeyPrefix == "" {
			t.KeyPrefix = defaultKeyPrefix
		}
		if t.Operations == nil {
			on := true
			t.Operations = &on
		}
	}
	for i := range c.Kafka {
		c.fillTiming(&c.Kafka[i].Timing)
		c.Kafka[i].fill()
	}
	for i := range c.Probes {
		t := &c.Probes[i]
		c.fillTiming(&t.Timing)
		if t.Method == "" {
			t.Method = "GET"
		}
		if t.MaxResponseBytes == 0 {
			t.MaxResponseBytes = defaultMaxResponseBytes
		}
	}
}

// fillTiming fills in what is not set. With an interval of its own that is shorter than the common timeout, a target's
// timeout is its interval.
func (c *Config) fillTiming(r *Timing) {
	if r.Interval == 0 {
		r.Interval = c.Interval
	}
	if r.Timeout == 0 {
		r.Timeout = min(c.Timeout, r.Interval)
	}
}

// resolve makes paths relative to the folder of the configuration file, as Prometheus does.
func (c *Config) resolve(dir string) {
	join := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	for i := range c.MySQL {
		join(&c.MySQL[i].DSNFile)
		c.MySQL[i].TLS.SetDirectory(dir)
	}
	for i := range c.Redis {
		join(&c.Redis[i].PasswordFile)
		c.Redis[i].TLS.SetDirectory(dir)
	}
	for i := range c.Kafka {
		c.Kafka[i].setDirectory(dir)
	}
	for i := range c.Probes {
		join(&c.Probes[i].HeadersFile)
		c.Probes[i].TLS.SetDirectory(dir)
	}
}

func (c *Config) check(f *yamlfile.File) error {
	switch {
	case c.Interval <= 0:
		return f.Errorf("interval", "must be longer than 0, like 15s")
	case c.Timeout <= 0:
		return f.Errorf("timeout", "must be longer than 0, like 10s")
	case c.Timeout > c.Interval:
		return f.Errorf("timeout", "cannot be longer than the interval of %s", c.Interval)
	case c.MaxAge <= 0:
		return f.Errorf("max_age", "must be longer than 0, like 1m")
	case len(c.MySQL)+len(c.Redis)+len(c.Kafka)+len(c.Probes) == 0:
		return f.Errorf("mysql", "there is nothing to watch: name a target under mysql, redis, kafka or probes")
	}
	mysql := targets{file: f, kind: "mysql", limit: catalog.MaxServers}
	for i := range c.MySQL {
		if err := mysql.check(c.MySQL[i].Name, c.MySQL[i].Timing); err != nil {
			return err
		}
		if c.MySQL[i].DSNFile == "" {
			return mysql.errorf("dsn_file", "is missing: the path of a file with user:password@tcp(host:port)/")
		}
	}
	redis := targets{file: f, kind: "redis", limit: catalog.MaxServers}
	for i := range c.Redis {
		if err := redis.check(c.Redis[i].Name, c.Redis[i].Timing); err != nil {
			return err
		}
		if err := c.Redis[i].check(&redis); err != nil {
			return err
		}
	}
	kafka := targets{file: f, kind: "kafka", limit: catalog.MaxServers}
	for i := range c.Kafka {
		if err := kafka.check(c.Kafka[i].Name, c.Kafka[i].Timing); err != nil {
			return err
		}
		if err := c.Kafka[i].check(&kafka); err != nil {
			return err
		}
	}
	if err := checkKafkaLimits(f, "kafka_limits", c.KafkaLimits); err != nil {
		return err
	}
	probes := targets{file: f, kind: "probes", limit: catalog.MaxProbes}
	for i := range c.Probes {
		if err := probes.check(c.Probes[i].Name, c.Probes[i].Timing); err != nil {
			return err
		}
		if err := c.Probes[i].check(&probes); err != nil {
			return err
		}
	}
	return nil
}

func (r *RedisTarget) check(in *targets) error {
	host, port, err := net.SplitHostPort(r.Address)
	switch {
	case r.Address == "":
		return in.errorf("address", "is missing: host:port")
	case err != nil || host == "" || port == "":
		return in.errorf("address", "is not of the form host:port")
	case r.Username != "" && r.PasswordFile == "":
		return in.errorf("username", "a user needs a password_file")
	}
	return nil
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func (p *ProbeTarget) check(in *targets) error {
	u, err := url.Parse(p.URL)
	switch {
	case p.URL == "":
		return in.errorf("url", "is missing")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return in.errorf("url", "is not an address like https://example.com/health")
	case u.User != nil:
		return in.errorf("url", "must not hold a password: put a line `Authorization: ...` into headers_file")
	case p.Method != "" && !slices.Contains(methods, p.Method):
		return in.errorf("method", "%q is not one of %s", p.Method, strings.Join(methods, ", "))
	case p.MaxResponseBytes < 0:
		return in.errorf("max_response_bytes", "cannot be negative")
	case p.ExpectBody != "" && p.Method == "HEAD":
		return in.errorf("expect_body", "an answer to HEAD has no body")
	}
	for i, status := range p.ExpectStatus {
		if status < 100 || status > 599 {
			return in.errorf(fmt.Sprintf("expect_status.%d", i), "%d is not a status code", status)
		}
	}
	if _, err := regexp.Compile(p.ExpectBody); err != nil {
		return in.errorf("expect_body", "is not a regular expression: %w", err)
	}
	return nil
}

// targets checks what all kinds of targets have in common, one after the other.
type targets struct {
	file  *yamlfile.File
	kind  string
	limit int
	names []string
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (t *targets) check(name string, r Timing) error {
	t.names = append(t.names, name)
	switch {
	case name == "":
		return t.errorf("name", "is missing")
	case !targetName.MatchString(name):
		return t.errorf("name", "%q is not lower-case letters, digits, - and _, at most 63", name)
	case slices.Contains(t.names[:len(t.names)-1], name):
		return t.errorf("name", "%q is there twice", name)
	case len(t.names) > t.limit:
		return t.errorf("name", "an exporter watches at most %d targets of a kind: start a second one for the others", t.limit)
	case r.Interval < 0:
		return t.errorf("interval", "cannot be negative")
	case r.Timeout < 0:
		return t.errorf("timeout", "cannot be negative")
	case r.Interval > 0 && r.Timeout > r.Interval:
		return t.errorf("timeout", "cannot be longer than the interval of %s", r.Interval)
	}
	return nil
}

// errorf makes an error about a key of the target that was checked last.
func (t *targets) errorf(key, format string, args ...any) error {
	return t.file.Errorf(fmt.Sprintf("%s.%d.%s", t.kind, len(t.names)-1, key), format, args...)
}

func (r Timing) schedule(maxAge yamlfile.Duration) exporter.Schedule {
	return exporter.Schedule{Interval: time.Duration(r.Interval), Timeout: time.Duration(r.Timeout), MaxAge: time.Duration(maxAge)}
}

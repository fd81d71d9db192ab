package system

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/exporters/system/kafka"
	"github.com/consignwatch/consignwatch/exporters/system/mysql"
	"github.com/consignwatch/consignwatch/exporters/system/probe"
	"github.com/consignwatch/consignwatch/exporters/system/redis"
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
	KafkaLimits kafka.Limits `yaml:"kafka_limits,omitempty"`
}

// Timing says how often a target is collected, and how long that may take.
type Timing struct {
	Interval yamlfile.Duration `yaml:"interval,omitempty"`
	Timeout  yamlfile.Duration `yaml:"timeout,omitempty"`
}

// MySQLTarget is a MySQL or MariaDB server.
type MySQLTarget struct {
	Name string `yaml:"name"`
	// Role is what the server is for, one of catalog.DatabaseRoles. Only a primary that is down is an outage of the platform.
	Role         string `yaml:"role"`
	mysql.Config `yaml:",inline"`
	Timing       `yaml:",inline"`
}

// RedisTarget is a Redis or Valkey server.
type RedisTarget struct {
	Name         string `yaml:"name"`
	Essential    *bool  `yaml:"essential"` // whether the platform is down while the server is
	redis.Config `yaml:",inline"`
	Timing       `yaml:",inline"`
}

// KafkaTarget is a Kafka cluster whose topics are the platform's queues.
type KafkaTarget struct {
	Name         string `yaml:"name"`
	Essential    *bool  `yaml:"essential"` // whether the platform is down while the cluster is
	kafka.Config `yaml:",inline"`
	Timing       `yaml:",inline"`
}

// ProbeTarget is an address that is probed as a user would use it.
type ProbeTarget struct {
	Name string `yaml:"name"`
	// Essential says whether the platform is down while the probe fails; of a client's domain, whether that client's sale is.
	Essential *bool `yaml:"essential"`
	// Client is the slug of the client whose own domain is probed; empty for what all clients share.
	Client       string `yaml:"client,omitempty"`
	probe.Config `yaml:",inline"`
	Timing       `yaml:",inline"`
}

func defaultConfig() Config {
	return Config{
		Timing: Timing{Interval: yamlfile.Duration(15 * time.Second), Timeout: yamlfile.Duration(10 * time.Second)},
		MaxAge: yamlfile.Duration(time.Minute),

		KafkaLimits: catalog.DefaultQueueSizes(),
	}
}

// fill gives each target the defaults that it has not set. A target without another one of its kind is what the platform runs on;
// which one of several is, only their owner knows.
func (c *Config) fill() {
	if len(c.MySQL) == 1 {
		c.MySQL[0].Role = cmp.Or(c.MySQL[0].Role, catalog.DatabaseRoles()[0])
	}
	essential := true
	if len(c.Redis) == 1 {
		c.Redis[0].Essential = cmp.Or(c.Redis[0].Essential, &essential)
	}
	if len(c.Kafka) == 1 {
		c.Kafka[0].Essential = cmp.Or(c.Kafka[0].Essential, &essential)
	}
	if len(c.Probes) == 1 {
		c.Probes[0].Essential = cmp.Or(c.Probes[0].Essential, &essential)
	}
	for i := range c.MySQL {
		c.fillTiming(&c.MySQL[i].Timing)
	}
	for i := range c.Redis {
		c.fillTiming(&c.Redis[i].Timing)
		c.Redis[i].Fill()
	}
	for i := range c.Kafka {
		c.fillTiming(&c.Kafka[i].Timing)
		c.Kafka[i].Fill()
	}
	for i := range c.Probes {
		c.fillTiming(&c.Probes[i].Timing)
		c.Probes[i].Fill()
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
	for i := range c.MySQL {
		c.MySQL[i].SetDirectory(dir)
	}
	for i := range c.Redis {
		c.Redis[i].SetDirectory(dir)
	}
	for i := range c.Kafka {
		c.Kafka[i].SetDirectory(dir)
	}
	for i := range c.Probes {
		c.Probes[i].SetDirectory(dir)
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
	databases := targets{file: f, kind: "mysql", limit: catalog.MaxServers}
	for i := range c.MySQL {
		t := &c.MySQL[i]
		if err := databases.check(t.Name, t.Timing, t.Config.Check); err != nil {
			return err
		}
		switch roles := strings.Join(catalog.DatabaseRoles(), " or "); {
		case t.Role == "":
			return f.Errorf(fmt.Sprintf("mysql.%d.role", i), "is missing, %s: of several servers, only those with the role primary count as an outage of the platform", roles)
		case !slices.Contains(catalog.DatabaseRoles(), t.Role):
			return f.Errorf(fmt.Sprintf("mysql.%d.role", i), "%q is not %s", t.Role, roles)
		}
	}
	caches := targets{file: f, kind: "redis", limit: catalog.MaxServers}
	for i := range c.Redis {
		t := &c.Redis[i]
		if err := caches.check(t.Name, t.Timing, t.Config.Check); err != nil {
			return err
		}
		if err := caches.checkEssential(t.Essential); err != nil {
			return err
		}
	}
	clusters := targets{file: f, kind: "kafka", limit: catalog.MaxServers}
	for i := range c.Kafka {
		t := &c.Kafka[i]
		if err := clusters.check(t.Name, t.Timing, t.Config.Check); err != nil {
			return err
		}
		if err := clusters.checkEssential(t.Essential); err != nil {
			return err
		}
	}
	if err := kafka.CheckLimits(f, "kafka_limits", c.KafkaLimits); err != nil {
		return err
	}
	probes := targets{file: f, kind: "probes", limit: catalog.MaxProbes}
	for i := range c.Probes {
		t := &c.Probes[i]
		if err := probes.check(t.Name, t.Timing, t.Config.Check); err != nil {
			return err
		}
		if err := probes.checkEssential(t.Essential); err != nil {
			return err
		}
		if t.Client != "" && !catalog.IsSlug(t.Client) {
			return f.Errorf(fmt.Sprintf("probes.%d.client", i), "%q is not a client's slug: lower-case letters, digits, - and _, at most 63", t.Client)
		}
	}
	return nil
}

// targets checks the targets of one kind, one after the other.
type targets struct {
	file  *yamlfile.File
	kind  string
	limit int
	names []string
}

var targetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// check checks what all kinds have in common, and then what is its kind's own.
func (t *targets) check(name string, r Timing, own func(f *yamlfile.File, key string) error) error {
	t.names = append(t.names, name)
	key := fmt.Sprintf("%s.%d", t.kind, len(t.names)-1)
	switch {
	case name == "":
		return t.file.Errorf(key+".name", "is missing")
	case !targetName.MatchString(name):
		return t.file.Errorf(key+".name", "%q is not lower-case letters, digits, - and _, at most 63", name)
	case slices.Contains(t.names[:len(t.names)-1], name):
		return t.file.Errorf(key+".name", "%q is there twice", name)
	case len(t.names) > t.limit:
		return t.file.Errorf(key+".name", "an exporter watches at most %d targets of a kind: start a second one for the others", t.limit)
	case r.Interval < 0:
		return t.file.Errorf(key+".interval", "cannot be negative")
	case r.Timeout < 0:
		return t.file.Errorf(key+".timeout", "cannot be negative")
	case r.Interval > 0 && r.Timeout > r.Interval:
		return t.file.Errorf(key+".timeout", "cannot be longer than the interval of %s", r.Interval)
	}
	return own(t.file, key)
}

// checkEssential checks the key of the target that was checked last.
func (t *targets) checkEssential(essential *bool) error {
	if essential != nil {
		return nil
	}
	return t.file.Errorf(fmt.Sprintf("%s.%d.essential", t.kind, len(t.names)-1),
		"is missing, true or false: of several targets of a kind, only those without which the platform is down count as an outage of it")
}

func (r Timing) schedule(maxAge yamlfile.Duration) exporter.Schedule {
	return exporter.Schedule{Interval: time.Duration(r.Interval), Timeout: time.Duration(r.Timeout), MaxAge: time.Duration(maxAge)}
}

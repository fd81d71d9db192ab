package kafka

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"sync"

	"github.com/IBM/sarama"
	commonconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/kafkaclient"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config says how to reach a Kafka cluster whose topics are the platform's queues, and what to watch there.
type Config struct {
	// Brokers are some of the brokers, as host:port: the others are found through them.
	Brokers []string `yaml:"brokers"`
	// Version is the newest protocol to speak, like 3.8.0; empty for what the broker and the client library both know.
	Version string                  `yaml:"version,omitempty"`
	TLS     *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	SASL    *kafkaclient.SASL       `yaml:"sasl,omitempty"`
	// Groups are the consumer groups to watch; empty for all.
	Groups NameFilter `yaml:"groups,omitempty"`
	// Topics are the topics to watch; empty for all but Kafka's internal ones.
	Topics NameFilter `yaml:"topics,omitempty"`
	// Capacity is how many messages topics are meant to hold.
	Capacity map[string]int64 `yaml:"capacity,omitempty"`
	// DeadLetters says where messages are dead-lettered.
	DeadLetters DeadLetters `yaml:"dead_letters,omitempty"`
	// AllowedLag is the lag of a partition up to which its condition is ok.
	AllowedLag int64 `yaml:"allowed_lag,omitempty"`
	// LookupsPerRound bounds how many records are read in a round for their timestamps; 0 for none. Without a value:
	// 200.
	LookupsPerRound *int `yaml:"lookups_per_round,omitempty"`
}

// DeadLetters says where messages are dead-lettered.
type DeadLetters struct {
	// Topic is their topic.
	Topic string `yaml:"topic,omitempty"`
	// Header names the queue that a message came from.
	Header string `yaml:"header,omitempty"`
}

const defaultLookups = 200

// Fill sets the defaults of what is not set.
func (k *Config) Fill() {
	if k.DeadLetters.Topic == "" {
		k.DeadLetters.Topic = "jobs.dead"
	}
	if k.DeadLetters.Header == "" {
		k.DeadLetters.Header = "queue"
	}
	if k.LookupsPerRound == nil {
		n := defaultLookups
		k.LookupsPerRound = &n
	}
}

// SetDirectory makes paths relative to a folder.
func (k *Config) SetDirectory(dir string) {
	k.TLS.SetDirectory(dir)
	if k.SASL != nil {
		k.SASL.SetDirectory(dir)
	}
}

// Check reports the first mistake, in f below the key.
func (k *Config) Check(f *yamlfile.File, key string) error {
	switch {
	case len(k.Brokers) == 0:
		return f.Errorf(key+".brokers", "is missing: a list of host:port")
	case k.AllowedLag < 0:
		return f.Errorf(key+".allowed_lag", "cannot be negative")
	case k.LookupsPerRound != nil && (*k.LookupsPerRound < 0 || *k.LookupsPerRound > 5000):
		return f.Errorf(key+".lookups_per_round", "must be from 0 to 5000, not %d", *k.LookupsPerRound)
	}
	for i, address := range k.Brokers {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
			return f.Errorf(fmt.Sprintf("%s.brokers.%d", key, i), "%q is not of the form host:port", secret.Address(address))
		}
	}
	for topic, n := range k.Capacity {
		if n <= 0 {
			return f.Errorf(key+".capacity."+topic, "must be more than 0")
		}
	}
	if err := checkVersion(f, key+".version", k.Version); err != nil {
		return err
	}
	if k.SASL != nil {
		return k.SASL.Check(f, key+".sasl")
	}
	return nil
}

// Limits bound the number of series, over all Kafka clusters.
type Limits = catalog.QueueSizes

// CheckLimits rejects what is out of all proportion. The key is where the limits stand.
func CheckLimits(f *yamlfile.File, key string, l Limits) error {
	for _, c := range []struct {
		name  string
		value int
	}{{"topics", l.Topics}, {"groups", l.Groups}, {"topics_per_group", l.TopicsPerGroup}} {
		if c.value < 1 || c.value > 20000 {
			return f.Errorf(key+"."+c.name, "must be from 1 to 20000, not %d", c.value)
		}
	}
	return nil
}

// maxBatchBytes bounds a batch of records after decompression: a hundred kilobytes may become a gigabyte. It is far more than a
// broker admits uncompressed.
const maxBatchBytes = 64 << 20

// limitBatches sets the library's limit, which is one for the whole process, once and before the first connection.
var limitBatches = sync.OnceFunc(func() { sarama.MaxDecompressedBatchSize = maxBatchBytes })

// clientConfig makes the configuration of the Kafka client. Secrets are read now, tokens at each connection.
func (k *Config) clientConfig() (*sarama.Config, error) {
	limitBatches()
	c := sarama.NewConfig()
	c.ClientID = "consignwatch-system-exporter"
	// The newest of all: the library negotiates with each broker the versions that it knows.
	c.Version = sarama.MaxVersion
	if k.Version != "" {
		version, err := sarama.ParseKafkaVersion(k.Version)
		if err != nil {
			return nil, fmt.Errorf("version: %w", err)
		}
		c.Version = version
	}
	if err := applySecurity(c, "", k.TLS, k.SASL); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

// NameFilter admits names: those of a list, or those that a regular expression matches as a whole. The zero value admits
// all.
type NameFilter struct {
	names   []string
	pattern *regexp.Regexp
	text    string
}

// UnmarshalYAML reads a list of names, or a regular expression.
func (n *NameFilter) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.SequenceNode {
		return node.Decode(&n.names)
	}
	if err := node.Decode(&n.text); err != nil {
		return fmt.Errorf("line %d: neither a list of names nor a regular expression", node.Line)
	}
	var err error
	if n.pattern, err = regexp.Compile("^(?:" + n.text + ")$"); err != nil {
		return fmt.Errorf("line %d: %q is not a regular expression: %w", node.Line, n.text, err)
	}
	return nil
}

// MarshalYAML writes what was read.
func (n NameFilter) MarshalYAML() (any, error) {
	if n.pattern != nil {
		return n.text, nil
	}
	return n.names, nil
}

// IsZero reports whether the filter admits all.
func (n NameFilter) IsZero() bool { return n.names == nil && n.pattern == nil }

func (n NameFilter) admits(name string) bool {
	if n.pattern != nil {
		return n.pattern.MatchString(name)
	}
	return n.names == nil || slices.Contains(n.names, name)
}

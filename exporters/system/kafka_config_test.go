package system

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/exporters/system/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// TestMistakesInTheKafkaConfiguration checks that each mistake is reported with its place.
func TestMistakesInTheKafkaConfiguration(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ config, want string }{
		"no brokers":        {"kafka:\n  - name: main\n", "2: kafka.0.brokers: is missing: a list of host:port"},
		"no port":           {"kafka:\n  - name: main\n    brokers: [kafka]\n", `3: kafka.0.brokers.0: "kafka" is not of the form host:port`},
		"bad version":       {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    version: new\n", `4: kafka.0.version: "new" is not a version of Kafka like 3.8.0`},
		"bad mechanism":     {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    sasl: {mechanism: NONE}\n", `4: kafka.0.sasl.mechanism: "NONE" is not one of`},
		"no password":       {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    sasl: {mechanism: PLAIN, username: u}\n", "4: kafka.0.sasl: PLAIN wants username and password_file"},
		"no such file":      {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    sasl: {mechanism: PLAIN, username: u, password_file: /none}\n", "2: kafka.0: sasl.password_file: read secret /none: no such file"},
		"bad group":         {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    groups: 'a('\n", `4: "a(" is not a regular expression`},
		"bad topics":        {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    topics: {a: b}\n", "4: neither a list of names nor a regular expression"},
		"bad capacity":      {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    capacity: {jobs: 0}\n", "4: kafka.0.capacity.jobs: must be more than 0"},
		"bad lag":           {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    allowed_lag: -1\n", "4: kafka.0.allowed_lag: cannot be negative"},
		"bad budget":        {"kafka:\n  - name: main\n    brokers: ['a:9092']\n    lookups_per_round: 9999\n", "4: kafka.0.lookups_per_round: must be from 0 to 5000, not 9999"},
		"bad limits":        {"kafka: [{name: main, brokers: ['a:9092']}]\nkafka_limits: {topics: 0}\n", "2: kafka_limits.topics: must be from 1 to 20000, not 0"},
		"unknown key":       {"kafka:\n  - name: main\n    broker: a\n", `3: unknown key "broker"`},
		"unknown key below": {"kafka:\n  - name: main\n    dead_letters: {queue: a}\n", `3: unknown key "queue"`},
		"twice":             {"kafka:\n  - {name: main, essential: true, brokers: ['a:1']}\n  - {name: main, essential: true, brokers: ['a:1']}\n", `3: kafka.1.name: "main" is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			path := exportertest.WriteFile(t, "system.yml", tt.config)
			_, err := load(path, nil, silentLog())
			if err == nil || !strings.Contains(err.Error(), path+":"+tt.want) {
				t.Errorf("got  %v\nwant %s:%s", err, path, tt.want)
			}
		})
	}
}

func TestTheKafkaConfigurationIsReadAndPrinted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("hunter2-of-kafka"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "system.yml")
	if err := os.WriteFile(path, []byte(`
kafka_limits: {topics: 3000, groups: 200}
kafka:
  - name: main
    essential: true
    brokers: ["a:9092", "b:9092"]
    sasl: {mechanism: SCRAM-SHA-512, username: watcher, password_file: password}
    groups: 'platform-.*|reports'
    topics: [jobs.email, jobs.image]
    capacity: {jobs.email: 1000}
    dead_letters: {topic: graveyard}
    lookups_per_round: 0
    interval: 30s
  - name: other
    essential: false
    brokers: ["c:9092"]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	setup, err := load(path, nil, silentLog())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := setup.Close(); err != nil {
			t.Error(err)
		}
	})
	if strings.Contains(string(setup.Text), "hunter2-of-kafka") {
		t.Error("the password is printed")
	}
	var c Config
	if err := yaml.Unmarshal(setup.Text, &c); err != nil {
		t.Fatal(err)
	}
	first := c.Kafka[0]
	if diff := cmp.Diff([]any{"graveyard", "queue", 0, time.Second * 30, []string{"jobs.email", "jobs.image"}, "platform-.*|reports", true, 3000, 200, 30},
		[]any{first.DeadLetters.Topic, first.DeadLetters.Header, *first.LookupsPerRound, time.Duration(first.Interval), written(t, first.Topics), written(t, first.Groups), c.Kafka[1].Groups.IsZero(),
			c.KafkaLimits.Topics, c.KafkaLimits.Groups, c.KafkaLimits.TopicsPerGroup}); diff != "" {
		t.Errorf("what is printed is not what was read (-want +got):\n%s\n%s", diff, setup.Text)
	}
	if m, _ := setup.Catalog.Lookup("consign_queue_lag_seconds"); m.Series(setup.Sizes) != 200*30 {
		t.Errorf("the limit is %d series", m.Series(setup.Sizes))
	}
	if len(setup.Collectors) != 2 {
		t.Errorf("%d collectors for two rhythms", len(setup.Collectors))
	}
}

// written is what a filter is in a configuration.
func written(t *testing.T, n kafka.NameFilter) any {
	t.Helper()
	v, err := n.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

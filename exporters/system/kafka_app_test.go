package system

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/servers/kafka"
)

func kafkaConfig(brokers ...string) string {
	return fmt.Sprintf("kafka: [{name: main, brokers: ['%s']}]\n", strings.Join(brokers, "', '"))
}

const queueUp = `consign_queue_up{server="main"}`

func queueFails(before map[string]float64, reason exporter.Reason) func(map[string]float64) bool {
	name := fmt.Sprintf(`consignwatch_collector_failures_total{collector="kafka",reason=%q}`, reason)
	return func(s map[string]float64) bool {
		up, ok := s[queueUp]
		return ok && up == 0 && s[name] > before[name] && s["consignwatch_collector_success"+collected("kafka", "main")] == 0
	}
}

func isQueueUp(s map[string]float64) bool {
	return s[queueUp] == 1 && s[`consign_queue_lag_messages{group="workers",server="main",topic="jobs.email"}`] == 1
}

func queueAbsent(s map[string]float64) bool {
	for name := range s {
		if strings.HasPrefix(name, "consign_queue_") && name != queueUp {
			return false
		}
	}
	return true
}

// TestTheClusterFailsAndComesBack breaks a whole cluster in each way, under a running exporter: the right reason, up is 0 at once,
// values vanish when they are too old, and all targets are up again without help.
func TestTheClusterFailsAndComesBack(t *testing.T) {
	t.Parallel()
	wires := &wires{}
	r := newTestCluster(t, KafkaTarget{}, kfake.NumBrokers(2), kfake.SeedTopics(1, "jobs.email"), kfake.ListenFn(wires.listen))
	r.produce(t, "jobs.email", 0, time.Hour)
	r.commit(t, "workers", "jobs.email", 0)
	running := start(t, quick+kafkaConfig(r.cluster.ListenAddrs()...))
	for _, tt := range []struct {
		mood int32
		want exporter.Reason
	}{{hung, exporter.ReasonTimeout}, {babbling, exporter.ReasonParse}, {broken, exporter.ReasonConnection}} {
		before := running.Await(t, "all is well", isQueueUp)
		for broker := range 2 {
			wires.set(broker, tt.mood)
		}
		running.Await(t, "failure for the reason "+string(tt.want), queueFails(before, tt.want))
		running.Await(t, "values vanish", queueAbsent)
		answers(t, running)
		for broker := range 2 {
			wires.set(broker, healthy)
		}
	}
	running.Await(t, "all is well again", isQueueUp)
}

// TestTheClusterRejectsThePasswordForAWhile takes the password back under a running exporter, and gives it again.
func TestTheClusterRejectsThePasswordForAWhile(t *testing.T) {
	t.Parallel()
	wires := &wires{}
	r, config := guarded(t, documentedACLs(t), kfake.ListenFn(wires.listen))
	var refused atomic.Bool
	rejectPasswords(r, func(bytes []byte) bool {
		return refused.Load() && strings.Contains(string(bytes), "\x00consignwatch\x00")
	})
	running := start(t, fmt.Sprintf("%skafka: [{name: main, brokers: ['%s'], sasl: {mechanism: PLAIN, username: consignwatch, password_file: %s}}]\n",
		quick, r.cluster.ListenAddrs()[0], config.SASL.PasswordFile))
	up := func(s map[string]float64) bool { return s[queueUp] == 1 && !queueAbsent(s) }
	before := running.Await(t, "all is well", up)
	refused.Store(true)
	wires.cut() // who is in stays in
	running.Await(t, "failure for the reason auth", queueFails(before, exporter.ReasonAuth))
	running.Await(t, "values vanish", queueAbsent)
	refused.Store(false)
	running.Await(t, "all is well again", up)
	if _, page := running.Get(t, "/metrics"); strings.Contains(page+running.Log(), kafkaPassword) {
		t.Error("the password was printed")
	}
}

func TestTheExporterStartsWhileKafkaIsDownAndFindsIt(t *testing.T) {
	t.Parallel()
	b, err := kafka.Start(t.Context(), kafka.Config{Topics: map[string]int32{"jobs.email": 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := commitAs(t.Context(), kafkaClient(t, []string{b.Address()}, kgo.MaxVersions(kversion.V3_8_0())), "workers", "jobs.email", 0); err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	running := start(t, quick+kafkaConfig(b.Address()))
	running.Await(t, "it is down", queueFails(nil, exporter.ReasonConnection))
	up := func(s map[string]float64) bool { return s[queueUp] == 1 && !queueAbsent(s) }
	for range 2 {
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := running.Await(t, "it is up", up)
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
		running.Await(t, "it is down again", queueFails(before, exporter.ReasonConnection))
		running.Await(t, "values vanish", queueAbsent)
	}
}

// TestNothingIsLeftBehindOfAClusterThatFails breaks and heals a cluster again and again, and counts goroutines and connections. It is not parallel: the goroutines
// are those of the process.
func TestNothingIsLeftBehindOfAClusterThatFails(t *testing.T) {
	wires := &wires{}
	r := newTestCluster(t, KafkaTarget{}, kfake.NumBrokers(3), kfake.SeedTopics(2, "jobs.email"), kfake.ListenFn(wires.listen))
	r.produce(t, "jobs.email", 0, time.Hour)
	r.commit(t, "workers", "jobs.email", 0)
	r.round(t) // the client library has a goroutine for the whole process, which the first connection begins
	if err := r.target.close(); err != nil {
		t.Fatal(err)
	}
	r.client.Close()
	eventually(t, "no connection yet", func() bool { open, _ := wires.counts(); return open == 0 })
	goroutines := runtime.NumGoroutine()

	config := KafkaTarget{Name: "main", Brokers: r.cluster.ListenAddrs()}
	config.fill()
	// rounds makes a target, and a round of it that has so much time.
	rounds := func(timeout time.Duration) (target *kafkaTarget, round func() error) {
		target, err := newKafkaTarget(config, exporter.Schedule{Interval: timeout, Timeout: timeout}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		return target, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			return target.collect(ctx)
		}
	}
	target, round := rounds(time.Minute)
	if err := round(); err != nil {
		t.Fatal(err)
	}
	_, before := wires.counts()
	for range 20 {
		if err := round(); err != nil {
			t.Fatal(err)
		}
	}
	if open, after := wires.counts(); open != 3 || after != before {
		t.Errorf("%d connections of ours, want 3; %d new ones in 20 rounds", open, after-before)
	}
	if err := target.close(); err != nil {
		t.Fatal(err)
	}
	target, round = rounds(300 * time.Millisecond)
	for i := range 30 {
		for broker := range 3 {
			wires.set(broker, int32((i+broker*(i/4))%4))
		}
		_ = round()
	}
	for broker := range 3 {
		wires.set(broker, healthy)
	}
	eventually(t, "a good round after all that", func() bool { return round() == nil })
	eventually(t, "one connection to each broker", func() bool { open, _ := wires.counts(); return open == 3 })
	if err := target.close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no connection", func() bool { open, _ := wires.counts(); return open == 0 })
	eventually(t, "no goroutine more than before", func() bool { return runtime.NumGoroutine() <= goroutines })
}

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
		"twice":             {"kafka:\n  - {name: main, brokers: ['a:1']}\n  - {name: main, brokers: ['a:1']}\n", `3: kafka.1.name: "main" is there twice`},
	} {
		t.Run(name, func(t *testing.T) {
			path := exportertest.WriteFile(t, "system.yml", tt.config)
			_, err := load(path, nil, quiet())
			if err == nil || !strings.Contains(err.Error(), path+":"+tt.want) {
				t.Errorf("got  %v\nwant %s:%s", err, path, tt.want)
			}
		})
	}
}

func TestTheKafkaConfigurationIsReadAndPrinted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(kafkaPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "system.yml")
	if err := os.WriteFile(path, []byte(`
kafka_limits: {topics: 3000, groups: 200}
kafka:
  - name: main
    brokers: ["a:9092", "b:9092"]
    sasl: {mechanism: SCRAM-SHA-512, username: watcher, password_file: password}
    groups: 'platform-.*|reports'
    topics: [jobs.email, jobs.image]
    capacity: {jobs.email: 1000}
    dead_letters: {topic: graveyard}
    lookups_per_round: 0
    interval: 30s
  - name: other
    brokers: ["c:9092"]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	setup, err := load(path, nil, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := setup.Close(); err != nil {
			t.Error(err)
		}
	})
	if strings.Contains(string(setup.Text), kafkaPassword) {
		t.Error("the password is printed")
	}
	var c Config
	if err := yaml.Unmarshal(setup.Text, &c); err != nil {
		t.Fatal(err)
	}
	first := c.Kafka[0]
	if diff := cmp.Diff([]any{"graveyard", "queue", 0, time.Second * 30, []string{"jobs.email", "jobs.image"}, "platform-.*|reports", true, 3000, 200, 30},
		[]any{first.DeadLetters.Topic, first.DeadLetters.Header, *first.LookupsPerRound, time.Duration(first.Interval), first.Topics.names, first.Groups.text, c.Kafka[1].Groups.IsZero(),
			c.KafkaLimits.Topics, c.KafkaLimits.Groups, c.KafkaLimits.TopicsPerGroup}); diff != "" {
		t.Errorf("what is printed is not what was read (-want +got):\n%s\n%s", diff, setup.Text)
	}
	if m, _ := setup.Catalog.Lookup("consign_queue_lag_seconds"); m.Series(setup.Sizes) != 200*30 {
		t.Errorf("the limit is %d series", m.Series(setup.Sizes))
	}
	for name, want := range map[string]bool{"platform-workers": true, "reports": true, "reports2": false, "my-platform-x": false} {
		if first.Groups.admits(name) != want {
			t.Errorf("group %s is admitted: %v", name, !want)
		}
	}
	if len(setup.Collectors) != 2 {
		t.Errorf("%d collectors for two rhythms", len(setup.Collectors))
	}
}

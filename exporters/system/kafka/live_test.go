package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

// start runs an exporter of a cluster, with values that vanish soon.
func start(t testing.TB, config Config) *exportertest.Running {
	t.Helper()
	config.Fill()
	schedule := exporter.Schedule{Interval: 400 * time.Millisecond, Timeout: 400 * time.Millisecond, MaxAge: time.Second}
	return exportertest.Start(t, web.App{Name: catalog.System, Load: func(_ string, log *slog.Logger) (*exporter.Setup, error) {
		target, err := New(Options{Name: "main", Essential: true, Config: config, Schedule: schedule, Log: log})
		if err != nil {
			return nil, err
		}
		return &exporter.Setup{
			Catalog:    catalog.Shipped().ForExporter(catalog.System),
			Sizes:      catalog.SizesFor(catalog.DefaultClients),
			Collectors: []exporter.Collector{exporter.NewCollector("kafka", schedule, target)},
			Close:      target.Close,
		}, nil
	}}, "")
}

const queueUp = `consign_queue_up{essential="true",server="main"}`

func queueFails(before map[string]float64, reason exporter.Reason) func(map[string]float64) bool {
	name := fmt.Sprintf(`consignwatch_collector_failures_total{collector="kafka",reason=%q}`, reason)
	return func(s map[string]float64) bool {
		up, ok := s[queueUp]
		return ok && up == 0 && s[name] > before[name] && s[`consignwatch_collector_success{collector="kafka",target="main"}`] == 0
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
	r := newTestCluster(t, Config{}, kfake.NumBrokers(2), kfake.SeedTopics(1, "jobs.email"), kfake.ListenFn(wires.listen))
	r.produce(t, "jobs.email", 0, time.Hour)
	r.commit(t, "workers", "jobs.email", 0)
	running := start(t, Config{Brokers: r.cluster.ListenAddrs()})
	for _, tt := range []struct {
		mood int32
		want exporter.Reason
	}{{hung, exporter.ReasonTimeout}, {babbling, exporter.ReasonParse}, {broken, exporter.ReasonConnection}} {
		before := running.Await(t, "everything is up", isQueueUp)
		for broker := range 2 {
			wires.set(broker, tt.mood)
		}
		running.Await(t, "failure for the reason "+string(tt.want), queueFails(before, tt.want))
		running.Await(t, "values vanish", queueAbsent)
		if status, _ := running.Get(t, "/metrics"); status != 200 {
			t.Fatalf("/metrics answered %d", status)
		}
		for broker := range 2 {
			wires.set(broker, healthy)
		}
	}
	running.Await(t, "everything is up again", isQueueUp)
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
	config.Brokers = r.cluster.ListenAddrs()[:1]
	running := start(t, config)
	up := func(s map[string]float64) bool { return s[queueUp] == 1 && !queueAbsent(s) }
	before := running.Await(t, "everything is up", up)
	refused.Store(true)
	wires.cut() // who is in stays in
	running.Await(t, "failure for the reason auth", queueFails(before, exporter.ReasonAuth))
	running.Await(t, "values vanish", queueAbsent)
	refused.Store(false)
	running.Await(t, "everything is up again", up)
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
	running := start(t, Config{Brokers: []string{b.Address()}})
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
	r := newTestCluster(t, Config{}, kfake.NumBrokers(3), kfake.SeedTopics(2, "jobs.email"), kfake.ListenFn(wires.listen))
	r.produce(t, "jobs.email", 0, time.Hour)
	r.commit(t, "workers", "jobs.email", 0)
	r.round(t) // the client library has a goroutine for the whole process, which the first connection begins
	if err := r.target.Close(); err != nil {
		t.Fatal(err)
	}
	r.client.Close()
	exportertest.Eventually(t, "no connection yet", func() bool { open, _ := wires.counts(); return open == 0 })
	goroutines := runtime.NumGoroutine()

	config := Config{Brokers: r.cluster.ListenAddrs()}
	config.Fill()
	// rounds makes a target, and a round of it that has so much time.
	rounds := func(timeout time.Duration) (target *Target, round func() error) {
		target, err := New(Options{Name: "main", Essential: true, Config: config, Schedule: exporter.Schedule{Interval: timeout, Timeout: timeout}, Log: quiet()})
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
	if err := target.Close(); err != nil {
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
	exportertest.Eventually(t, "a good round after all that", func() bool { return round() == nil })
	exportertest.Eventually(t, "one connection to each broker", func() bool { open, _ := wires.counts(); return open == 3 })
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	exportertest.Eventually(t, "no connection", func() bool { open, _ := wires.counts(); return open == 0 })
	exportertest.Eventually(t, "no goroutine more than before", func() bool { return runtime.NumGoroutine() <= goroutines })
}

package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// testCluster is a Kafka cluster in this process, a client that does what the platform does, and a target that reads it. Rounds are
// run by the test, at a clock that it advances.
type testCluster struct {
	cluster *kfake.Cluster
	client  *kgo.Client
	target  *Target
	log     *strings.Builder
	begin   time.Time     // the target's clock stands still
	ahead   time.Duration // and is this far from where it began
}

// newTestCluster starts a cluster. The options come after those that every test wants.
func newTestCluster(t testing.TB, config Config, options ...kfake.Opt) *testCluster {
	t.Helper()
	options = append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, options...)
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	r := &testCluster{cluster: cluster, log: &strings.Builder{}, begin: beginning()}
	r.client = kafkaClient(t, cluster.ListenAddrs(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxVersions(kversion.V3_8_0())) // later requests name topics by their ids
	r.restart(t, config)
	return r
}

func kafkaClient(t testing.TB, brokers []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.ProducerLinger(0), kgo.RetryTimeout(20 * time.Second), kgo.DisableClientMetrics()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

var testSchedule = exporter.Schedule{Interval: 15 * time.Second, Timeout: 10 * time.Second, MaxAge: time.Minute}

// restart makes a new target, as a restart of the exporter does.
func (r *testCluster) restart(t testing.TB, config Config) {
	t.Helper()
	if config.Brokers == nil {
		config.Brokers = r.cluster.ListenAddrs()
	}
	config.Fill()
	r.target = newTestTarget(t, config, testSchedule, slog.New(slog.NewTextHandler(r.log, nil)))
	r.target.now = r.now
}

// beginning is the present with the resolution of Kafka's timestamps.
func beginning() time.Time { return time.Now().Truncate(time.Millisecond) }

func (r *testCluster) now() time.Time { return r.begin.Add(r.ahead) }

func newTestTarget(t testing.TB, config Config, schedule exporter.Schedule, log *slog.Logger) *Target {
	t.Helper()
	target, err := New(Options{Name: "main", Config: config, Schedule: schedule, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
	return target
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// round does one collection and returns its samples. Label sets are written as in PromQL, without server="main".
func (r *testCluster) round(t testing.TB) map[string]float64 {
	t.Helper()
	series, err := r.target.roundOf(t.Context())
	if err != nil {
		t.Fatalf("round: %v", err)
	}
	return series
}

// rounds does several, a quarter of a minute apart, with something done before each.
func (r *testCluster) rounds(t testing.TB, n int, before func(i int)) (series map[string]float64) {
	t.Helper()
	for i := range n {
		if before != nil {
			before(i)
		}
		series = r.round(t)
		r.ahead += testSchedule.Interval
	}
	return series
}

func (t *Target) roundOf(ctx context.Context) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, testSchedule.Timeout)
	defer cancel()
	if err := t.collect(ctx); err != nil {
		return nil, err
	}
	series := sampleSet{}
	t.emit(series)
	return series, nil
}

// sampleSet is a sink that keeps the samples, and checks them against the catalog.
type sampleSet map[string]float64

var shippedCatalog = sync.OnceValue(catalog.Shipped)

func (s sampleSet) Gauge(name string, value float64, labels ...string) {
	m, ok := shippedCatalog().Lookup(name)
	if !ok || len(m.Labels) != len(labels) {
		panic(fmt.Sprintf("metric %s%v is not declared", name, labels))
	}
	var pairs []string
	for i, l := range m.Labels {
		if !l.Matches(labels[i]) && labels[i] != catalog.Other {
			panic(fmt.Sprintf("metric %s: %s=%q is not of its domain", name, l.Name, labels[i]))
		}
		if l.Name != "server" {
			pairs = append(pairs, fmt.Sprintf("%s=%q", l.Name, labels[i]))
		}
	}
	name = strings.TrimPrefix(name, "consign_queue_")
	if len(pairs) > 0 {
		name += "{" + strings.Join(pairs, ",") + "}"
	}
	if _, twice := s[name]; twice {
		panic(name + " is reported twice")
	}
	s[name] = value
}

func (s sampleSet) Counter(name string, value float64, _ time.Time, labels ...string) {
	s.Gauge(name, value, labels...)
}

func (s sampleSet) Inventory(string, []string) {}

// produce writes records with timestamps so long ago, one after the other.
func (r *testCluster) produce(t testing.TB, topic string, partition int32, ago ...time.Duration) {
	t.Helper()
	records := make([]*kgo.Record, len(ago))
	for i, d := range ago {
		records[i] = &kgo.Record{Topic: topic, Partition: partition, Timestamp: r.now().Add(-d), Value: []byte("x")}
	}
	r.write(t, records...)
}

func (r *testCluster) write(t testing.TB, records ...*kgo.Record) {
	t.Helper()
	if err := r.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// commit sets the offsets of a group without members, by partition; a negative offset is left out.
func (r *testCluster) commit(t testing.TB, group, topic string, offsets ...int64) {
	t.Helper()
	if err := commitAs(t.Context(), r.client, group, topic, offsets...); err != nil {
		t.Fatal(err)
	}
}

func commitAs(ctx context.Context, client *kgo.Client, group, topic string, offsets ...int64) error {
	return commitAll(ctx, client, group, map[string][]int64{topic: offsets})
}

// commitAll sets the offsets of several topics.
func commitAll(ctx context.Context, client *kgo.Client, group string, topics map[string][]int64) error {
	request := kmsg.NewPtrOffsetCommitRequest()
	request.Group, request.Generation = group, -1
	for topic, offsets := range topics {
		in := kmsg.NewOffsetCommitRequestTopic()
		in.Topic = topic
		for i, offset := range offsets {
			if offset < 0 {
				continue
			}
			p := kmsg.NewOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset = int32(i), offset
			in.Partitions = append(in.Partitions, p)
		}
		request.Topics = append(request.Topics, in)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, topic := range response.Topics {
		for _, p := range topic.Partitions {
			err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
		}
	}
	return err
}

// member is a consumer that has joined a group and reads nothing: the test commits.
func (r *testCluster) member(t testing.TB, group, topic string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	members := 1
	if g := r.cluster.GroupInfo(group); g != nil {
		members += len(g.Members)
	}
	client := kafkaClient(t, r.cluster.ListenAddrs(), append([]kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(6 * time.Second), kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.Balancers(kgo.RangeBalancer()), // the default one lets a second rebalance follow when a member joins: stable would not stay so
	}, options...)...)
	ctx, cancel := context.WithCancel(t.Context())
	var polling sync.WaitGroup
	polling.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx)
		}
	})
	t.Cleanup(func() { cancel(); polling.Wait() })
	if _, err := r.cluster.WaitGroupStable(t.Context(), group, members); err != nil {
		t.Fatal(err)
	}
	return client
}

// commitFrom commits as a member of the group.
func commitFrom(t testing.TB, client *kgo.Client, topic string, offsets ...int64) {
	t.Helper()
	to := map[string]map[int32]kgo.EpochOffset{topic: {}}
	for i, offset := range offsets {
		to[topic][int32(i)] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	client.CommitOffsetsSync(t.Context(), to, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		for _, topic := range response.Topics {
			for _, p := range topic.Partitions {
				err = errors.Join(err, kerr.ErrorForCode(p.ErrorCode))
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// expect compares some series. A value of absent means that there must be none.
func expect(t testing.TB, got, want map[string]float64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		value, ok := got[name]
		switch {
		case want[name] == absent && ok:
			t.Errorf("%s = %v, want it to be absent", name, value)
		case want[name] != absent && (!ok || value != want[name]):
			t.Errorf("%s = %v (there: %v), want %v", name, value, ok, want[name])
		}
	}
}

const absent = -12345

// requests counts requests by broker and kind.
type requests struct {
	mu sync.Mutex
	by map[int32]map[string]int
}

// countRequests counts all requests of clients with the exporter's name from now on.
func (r *testCluster) countRequests() *requests {
	q := &requests{by: map[int32]map[string]int{}}
	r.cluster.Control(func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		q.mu.Lock()
		defer q.mu.Unlock()
		node := r.cluster.CurrentNode()
		if q.by[node] == nil {
			q.by[node] = map[string]int{}
		}
		q.by[node][kmsg.NameForKey(request.Key())]++
		return nil, nil, false
	})
	return q
}

// take returns the counts and resets them.
func (q *requests) take() map[int32]map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	by := q.by
	q.by = map[int32]map[string]int{}
	return by
}

// wire is the listener of one broker, whose connections can be made to fail, and are counted.
type wire struct {
	net.Listener
	mood           atomic.Int32
	open, accepted atomic.Int32
	withheld       atomic.Int32 // answers that never came
	conns          sync.Map     // those that are open
}

const (
	healthy  int32 = iota
	hung           // takes requests and never answers
	babbling       // answers something that is not Kafka
	broken         // ends the connection instead of an answer
)

// wires are those of all brokers of a cluster, by number.
type wires struct {
	mu  sync.Mutex
	all []*wire
}

func (w *wires) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, &wire{Listener: l})
	return w.all[len(w.all)-1], nil
}

func (w *wires) set(broker int, mood int32) { w.all[broker].mood.Store(mood) }

// cut ends all connections.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wire := range w.all {
		wire.conns.Range(func(c, _ any) bool { _ = c.(*wiredConn).Close(); return true })
	}
}

// counts are the connections that are open, and that were ever made.
func (w *wires) counts() (open, accepted int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wire := range w.all {
		open += int(wire.open.Load())
		accepted += int(wire.accepted.Load())
	}
	return open, accepted
}

func (w *wire) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w.open.Add(1)
	w.accepted.Add(1)
	conn := &wiredConn{Conn: c, wire: w}
	w.conns.Store(conn, nil)
	return conn, nil
}

type wiredConn struct {
	net.Conn
	wire  *wire
	close sync.Once
}

// Write is what the broker answers.
func (c *wiredConn) Write(p []byte) (int, error) {
	switch c.wire.mood.Load() {
	case hung:
		c.wire.withheld.Add(1)
		return len(p), nil
	case broken:
		return 0, errors.Join(errors.New("broken"), c.Close())
	case babbling:
		if _, err := c.Conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *wiredConn) Close() error {
	c.close.Do(func() { c.wire.open.Add(-1); c.wire.conns.Delete(c) })
	return c.Conn.Close()
}

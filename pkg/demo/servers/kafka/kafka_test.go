package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

const topic = "consign.commerce"

func startBroker(t *testing.T, config Config) *Broker {
	t.Helper()
	config.Topics = map[string]int32{topic: 4}
	config.MinSessionTimeout = 100 * time.Millisecond
	b, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// produce writes n records, numbered from a number on, one partition after the other.
func produce(t *testing.T, b *Broker, from, n int) {
	t.Helper()
	produceAt(t, b, from, n, time.Now())
}

// produceAt is produce with the time of the records.
func produceAt(t *testing.T, b *Broker, from, n int, at time.Time) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for i := from; i < from+n; i++ {
		records = append(records, &kgo.Record{Partition: int32(i % 4), Value: fmt.Append(nil, i), Timestamp: at})
	}
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func consumerConfig(member string) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Return.Errors = true
	c.Consumer.Group.InstanceId = member
	c.Consumer.Group.Session.Timeout = time.Minute
	c.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
	c.Consumer.Group.Rebalance.Timeout = time.Minute
	c.Consumer.Group.Rebalance.Retry.Backoff = 100 * time.Millisecond
	c.Metadata.Retry.Backoff = 50 * time.Millisecond
	return c
}

// member is a consumer of a group that remembers what it saw and has.
type member struct {
	cancel func()
	done   chan struct{}

	mu          sync.Mutex
	values      map[string]int // how often each was delivered
	partitions  []int32        // of the present generation
	generations int
	errors      []error
}

func join(t *testing.T, b *Broker, config *sarama.Config) *member {
	t.Helper()
	group, err := sarama.NewConsumerGroup([]string{b.Address()}, "event-exporter", config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := &member{values: map[string]int{}, done: make(chan struct{})}
	m.cancel = sync.OnceFunc(func() {
		cancel()
		<-m.done
		if err := group.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(m.cancel)
	go func() {
		for err := range group.Errors() {
			m.fail(err)
		}
	}()
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{topic}, m); err != nil {
				m.fail(err)
				time.Sleep(50 * time.Millisecond)
			}
		}
	}()
	return m
}

func (m *member) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errors = append(m.errors, err)
}

func (m *member) failures() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.errors)
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions = slices.Clone(s.Claims()[topic])
	slices.Sort(m.partitions)
	m.generations++
	return nil
}

func (m *member) Cleanup(s sarama.ConsumerGroupSession) error {
	s.Commit()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions = nil
	return nil
}

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			m.mu.Lock()
			m.values[string(message.Value)]++
			m.mu.Unlock()
			s.MarkMessage(message, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

func (m *member) seen() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.values)
}

func (m *member) has() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.partitions)
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestSaramaGroupOfStaticMembersConsumesCommitsAndRebalances(t *testing.T) {
	b := startBroker(t, Config{})
	produce(t, b, 0, 400)
	first := join(t, b, consumerConfig("one"))
	waitFor(t, "all records", func() bool { return len(first.seen()) == 400 })
	if got := first.has(); len(got) != 4 {
		t.Errorf("alone it has partitions %v", got)
	}

	second := join(t, b, consumerConfig("two"))
	waitFor(t, "the second to share", func() bool { return len(first.has()) == 2 && len(second.has()) == 2 })
	produce(t, b, 400, 400)
	waitFor(t, "the new records", func() bool { return len(first.seen())+len(second.seen()) == 800 })
	for _, m := range []*member{first, second} {
		for value, n := range m.seen() {
			if n != 1 {
				t.Errorf("record %s was delivered %d times", value, n)
			}
		}
	}

	// A static member that comes back in time gets the same partitions; the other is not disturbed.
	had, generations := second.has(), first.count()
	second.cancel() // sarama leaves a group only without an instance id
	produce(t, b, 800, 400)
	again := join(t, b, consumerConfig("two"))
	waitFor(t, "the second to be back", func() bool { return slices.Equal(again.has(), had) })
	waitFor(t, "what it missed", func() bool { return len(first.seen())+len(second.seen())+len(again.seen()) == 1200 })
	if n := first.count(); n != generations {
		t.Errorf("the first was rebalanced %d times", n-generations)
	}

	// One that does not come back loses them when its session ends.
	again.cancel()
	short := consumerConfig("two")
	short.Consumer.Group.Session.Timeout = time.Second
	last := join(t, b, short)
	waitFor(t, "the second to be back once more", func() bool { return len(last.has()) == 2 })
	last.cancel()
	waitFor(t, "the first to take over", func() bool { return len(first.has()) == 4 })
}

func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generations
}

func TestRestartKeepsRecordsOffsetsAndMembers(t *testing.T) {
	b := startBroker(t, Config{})
	address := b.Address()
	produce(t, b, 0, 400)
	m := join(t, b, consumerConfig("one"))
	waitFor(t, "all records", func() bool { return len(m.seen()) == 400 })
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if b.Running() {
		t.Error("it says that it runs")
	}
	waitFor(t, "the member to notice", func() bool { return m.failures() > 0 })
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Address() != address || !b.Running() {
		t.Errorf("address %s, before %s", b.Address(), address)
	}
	produce(t, b, 400, 400)
	waitFor(t, "the rest", func() bool { return len(m.seen()) == 800 })
	m.cancel() // commits
	other := join(t, b, consumerConfig("one"))
	produce(t, b, 800, 4)
	waitFor(t, "the last four", func() bool { return len(other.seen()) == 4 })
	for value := range other.seen() {
		if len(value) != 3 || value < "800" {
			t.Errorf("record %s comes again: the offsets were lost", value)
		}
	}
}

func TestSaramaFindsOffsetsByTime(t *testing.T) {
	b := startBroker(t, Config{})
	middle := time.Now()
	produceAt(t, b, 0, 40, middle.Add(-50*time.Millisecond))
	produceAt(t, b, 40, 40, middle.Add(50*time.Millisecond))
	client, err := sarama.NewClient([]string{b.Address()}, consumerConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for at, want := range map[int64]int64{
		sarama.OffsetOldest: 0, sarama.OffsetNewest: 20, middle.UnixMilli(): 10, middle.Add(-time.Hour).UnixMilli(): 0, middle.Add(time.Hour).UnixMilli(): -1,
	} {
		if got, err := client.GetOffset(topic, 1, at); err != nil || got != want {
			t.Errorf("offset at %d: %d, %v; want %d", at, got, err, want)
		}
	}
}

func TestSaramaCommitsThroughTheCoordinator(t *testing.T) {
	b := startBroker(t, Config{})
	produce(t, b, 0, 40)
	m := join(t, b, consumerConfig("one"))
	waitFor(t, "all records", func() bool { return len(m.seen()) == 40 })
	m.cancel()
	admin, err := sarama.NewClusterAdmin([]string{b.Address()}, consumerConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	offsets, err := admin.ListConsumerGroupOffsets("event-exporter", map[string][]int32{topic: {0, 1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	for partition := range int32(4) {
		if block := offsets.GetBlock(topic, partition); block == nil || block.Offset != 10 || block.Err != sarama.ErrNoError {
			t.Errorf("partition %d: %+v", partition, block)
		}
	}
	groups, err := admin.DescribeConsumerGroups([]string{"event-exporter"})
	if err != nil || len(groups) != 1 {
		t.Fatalf("groups %v: %v", groups, err)
	}
}

func TestStartRefusesWhatIsNotLoopback(t *testing.T) {
	for _, address := range []string{"0.0.0.0:9092", ":0", "192.0.2.1:9092", "nonsense", "127.0.0.1:nine"} {
		if b, err := Start(t.Context(), Config{Address: address}); err == nil {
			_ = b.Close()
			t.Errorf("%s is accepted", address)
		}
	}
	b := startBroker(t, Config{})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("restart after close: %v", err)
	}
}

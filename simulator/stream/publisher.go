package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	buffered     = 1 << 22 // records that wait for the broker; then publishing blocks
	largestBatch = 4 << 20
	closeTimeout = 2 * time.Second // for buffered records, when the publisher is closed
	recordsTotal = "consignwatch_records_total"
)

// Publisher is an outbox: events are written to Kafka at least once, in the order in which they were published (per client and topic), and
// retried as long as the process lives. The producer is idempotent, so that a broker that restarts with its data has no duplicates.
//
// A record is counted when the broker has acknowledged it. The methods can be called from any goroutine.
type Publisher struct {
	client *kgo.Client
	books  *books

	mu     sync.Mutex
	events uint64 // published so far

	state struct {
		sync.Mutex
		acknowledged, lost int64
		failing            string
		next               map[string]map[int32]int64
	}
}

// State is the publisher's progress.
type State struct {
	Brokers      []string `json:"brokers"`
	Waiting      int64    `json:"waiting"`      // published and not acknowledged records
	Acknowledged int64    `json:"acknowledged"` // records
	Lost         int64    `json:"lost"`         // records that the broker refused for good; they are not counted
	Failing      string   `json:"failing,omitempty"`
	// Offsets are the offsets after the last acknowledged records, by topic and partition.
	Offsets map[string]map[int32]int64 `json:"offsets"`
}

// Outcomes of a record in a consumer.
const (
	Counted     = "counted"
	Duplicate   = "duplicate"
	UnknownType = "unknown_type"
	Malformed   = "malformed"
	Oversized   = "oversized"
	NotUTF8     = "not_utf8"
)

// Open makes a publisher. It does not connect: the broker may come later.
func Open(brokers []string) (*Publisher, error) {
	p := &Publisher{books: &books{totals: map[string]*Total{}}}
	p.state.next = map[string]map[int32]int64{}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("platform-sim"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.UnknownTopicRetries(-1), // it will be created
		kgo.AlwaysRetryEOF(),        // a broker that stops cuts connections that have no response yet
		kgo.MaxBufferedRecords(buffered),
		kgo.ProducerBatchMaxBytes(largestBatch),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.RetryBackoffFn(func(tries int) time.Duration { return min(time.Duration(tries)*100*time.Millisecond, time.Second) }),
	)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	p.client = client
	return p, nil
}

// Publish publishes a new event.
func (p *Publisher) Publish(e *Event) {
	p.produce(p.encode(e), Counted, e)
}

// PublishDuplicate publishes an event of the sale again.
func (p *Publisher) PublishDuplicate(e *Event) { p.produce(p.encode(e), Duplicate, nil) }

// InvalidRecord is a record that is not a valid event.
type InvalidRecord struct {
	Topic, Key string
	Headers    [][2]string
	Value      []byte
	Outcome    string // in a consumer
}

// PublishInvalid publishes an invalid record.
func (p *Publisher) PublishInvalid(invalid InvalidRecord) {
	r := &kgo.Record{Topic: invalid.Topic, Key: []byte(invalid.Key), Value: invalid.Value}
	for _, h := range invalid.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	p.produce(r, invalid.Outcome, nil)
}

func (p *Publisher) encode(e *Event) *kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := record(e, p.events)
	if err != nil {
		panic(err) // a type of data that cannot be encoded
	}
	p.events++
	return r
}

func (p *Publisher) produce(r *kgo.Record, outcome string, e *Event) {
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err == nil {
			p.books.record(r.Topic, outcome, e)
		}
		p.recordResult(r, err)
	})
}

func (p *Publisher) recordResult(r *kgo.Record, err error) {
	p.state.Lock()
	defer p.state.Unlock()
	if err != nil {
		if !errors.Is(err, kgo.ErrClientClosed) {
			p.state.failing = err.Error()
		}
		p.state.lost++
		return
	}
	p.state.acknowledged++
	if p.state.next[r.Topic] == nil {
		p.state.next[r.Topic] = map[int32]int64{}
	}
	next := p.state.next[r.Topic]
	next[r.Partition] = max(next[r.Partition], r.Offset+1)
}

// Waiting returns the number of records that wait for the broker.
func (p *Publisher) Waiting() int64 { return p.client.BufferedProduceRecords() }

// Flush waits until everything that was published so far is acknowledged, or the context ends.
func (p *Publisher) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("stream: %d records are not acknowledged: %w", p.Waiting(), err)
	}
	return nil
}

// Totals returns the totals of the acknowledged records, sorted by name and labels.
func (p *Publisher) Totals() []Total { return p.books.Totals() }

// State returns the publisher's progress.
func (p *Publisher) State() State {
	seeds, _ := p.client.OptValue(kgo.SeedBrokers).([]string)
	s := State{Brokers: seeds, Waiting: p.Waiting(), Offsets: map[string]map[int32]int64{}}
	p.state.Lock()
	defer p.state.Unlock()
	s.Acknowledged, s.Lost, s.Failing = p.state.acknowledged, p.state.lost, p.state.failing
	for topic, partitions := range p.state.next {
		s.Offsets[topic] = map[int32]int64{}
		for partition, next := range partitions {
			s.Offsets[topic][partition] = next
		}
	}
	return s
}

// Close writes what is buffered, not for long, and closes the publisher.
func (p *Publisher) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = p.client.Flush(ctx) // what is not written now is lost
	p.client.Close()
}

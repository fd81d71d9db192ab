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
	buffered     = 1 << 22 // records that wait for the broker, at most; then publishing waits, too
	largestBatch = 4 << 20
	closing      = 2 * time.Second // for what waits when the publisher is closed
	recordsTotal = "consignwatch_records_total"
)

// Publisher is an outbox: what is published is written to Kafka at least once, in the order in which it was published
// (per client and topic), and as long as the process lives it is tried again for as long as it takes. The producer is idempotent,
// so that a broker that comes back with its data writes nothing twice.
//
// The books count a record when the broker has acknowledged it. Its methods can be called from any goroutine.
type Publisher struct {
	client *kgo.Client
	books  *books

	mu sync.Mutex
	n  uint64 // events so far

	state struct {
		sync.Mutex
		acknowledged, lost int64
		failing            string
		next               map[string]map[int32]int64
	}
}

// State says how the publisher fares.
type State struct {
	Brokers      []string `json:"brokers"`
	Waiting      int64    `json:"waiting"`      // records that are published and not acknowledged
	Acknowledged int64    `json:"acknowledged"` // records
	Lost         int64    `json:"lost"`         // records that the broker refused for good; the books know nothing of them
	Failing      string   `json:"failing,omitempty"`
	// Offsets are, by topic and partition, the offsets up to which records were acknowledged, themselves excluded.
	Offsets map[string]map[int32]int64 `json:"offsets"`
}

// Outcomes of a record for whoever counts them.
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
		kgo.UnknownTopicRetries(-1), // somebody will create it
		kgo.AlwaysRetryEOF(),        // a broker that goes away cuts connections on which it has answered nothing yet
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

// Publish publishes an event that nobody has heard of.
func (p *Publisher) Publish(e *Event) {
	p.produce(p.encode(e), Counted, e)
}

// Repeat publishes an event that was published before and that counts once.
func (p *Publisher) Repeat(e *Event) { p.produce(p.encode(e), Duplicate, nil) }

// Bad is a record that is no event.
type Bad struct {
	Topic, Key string
	Headers    [][2]string
	Value      []byte
	Outcome    string // how it is counted
}

// Spoil publishes a bad record.
func (p *Publisher) Spoil(bad Bad) {
	r := &kgo.Record{Topic: bad.Topic, Key: []byte(bad.Key), Value: bad.Value}
	for _, h := range bad.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	p.produce(r, bad.Outcome, nil)
}

func (p *Publisher) encode(e *Event) *kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := record(e, p.n)
	if err != nil {
		panic(err) // a type of data that cannot be written
	}
	p.n++
	return r
}

func (p *Publisher) produce(r *kgo.Record, outcome string, e *Event) {
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err == nil {
			p.books.record(r.Topic, outcome, e)
		}
		p.note(r, err)
	})
}

func (p *Publisher) note(r *kgo.Record, err error) {
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

// Waiting returns how many records wait for the broker.
func (p *Publisher) Waiting() int64 { return p.client.BufferedProduceRecords() }

// Flush waits until everything that was published so far is acknowledged, or the context ends.
func (p *Publisher) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("stream: %d records are not acknowledged: %w", p.Waiting(), err)
	}
	return nil
}

// Totals returns the books (Total), sorted by name and labels.
func (p *Publisher) Totals() []Total { return p.books.Totals() }

// State returns how the publisher fares.
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

// Close gives what waits a little time, and ends the publisher.
func (p *Publisher) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	_ = p.client.Flush(ctx) // what is not written now never will be
	p.client.Close()
}

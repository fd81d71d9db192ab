package events

import (
	"errors"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
)

// batchSize is how many records are counted under one lock.
const batchSize = 1024

// handler counts what is fetched of a partition from an offset on. Records before start, which is where the shard stands, are
// read for their duplicates; with replay the shard waits for them.
func (n *consumer) handler(p *partition, start, from int64, replay bool) func(fetched) {
	report := func(r *cloudevent.Record, o aggregate.Outcome, problem cloudevent.Problem) {
		n.bad.report(p.id, r, o, problem)
	}
	b := batch{records: make([]cloudevent.Record, 0, batchSize)}
	position := from
	// count counts the batch, and reports whether all of it is counted.
	count := func() bool {
		if len(b.records) == 0 {
			return true
		}
		if replay {
			n.replayed(p)
			replay = false
		}
		counted := p.shard.CountBatch(time.Now(), b.records, report)
		all := counted == len(b.records)
		b.clear()
		return all
	}
	records := func(f fetched) bool {
		for _, r := range f.Records {
			position = r.Offset + 1
			switch {
			case r.Offset < start:
				if !r.Attrs.IsControl() {
					b.add(r)
					p.shard.Replay(&b.records[0])
					b.clear()
				}
			case r.Attrs.IsControl(): // the end of a transaction: nothing before it is still to come
				if !count() {
					return false
				}
				p.shard.Advance(position)
			default:
				b.add(r)
				if len(b.records) == batchSize && !count() {
					return false
				}
			}
		}
		return count()
	}
	topic := p.topicID
	ended := false // what comes after a record that is not counted must not be counted either
	return func(f fetched) {
		if f.topicID != (topicID{}) && f.topicID != topic {
			f.Err = kerr.UnknownTopicID // they are records of another topic of that name
		}
		all := !ended && (errors.Is(f.Err, kerr.UnknownTopicID) || records(f))
		for _, r := range f.Records {
			r.Recycle()
		}
		switch {
		case ended:
		case !all:
			ended = true
			n.replay(p)
		default:
			ended = !n.fetched(p, f, position)
		}
	}
}

// replay makes a partition be read again from before the event that counts once, for its duplicates.
func (n *consumer) replay(p *partition) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.counting {
		p.counting, p.replay = false, true
		signal(n.wake)
	}
}

// replayed says that the duplicates of a partition are known.
func (n *consumer) replayed(p *partition) {
	p.shard.Replayed()
	n.mu.Lock()
	defer n.mu.Unlock()
	p.replay = false
}

// batch is a number of records and their headers, in memory that is used again and again.
type batch struct {
	records []cloudevent.Record
	headers []cloudevent.Header
}

func (b *batch) clear() { b.records, b.headers = b.records[:0], b.headers[:0] }

func (b *batch) add(m *kgo.Record) {
	r := cloudevent.Record{Value: m.Value, Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli()}
	if n := len(b.headers); len(m.Headers) > 0 {
		for _, h := range m.Headers {
			// The key is read, and not kept: a copy of it would be an allocation for each header of each event.
			key := unsafe.Slice(unsafe.StringData(h.Key), len(h.Key))
			b.headers = append(b.headers, cloudevent.Header{Key: key, Value: h.Value})
		}
		r.Headers = b.headers[n:len(b.headers):len(b.headers)]
	}
	b.records = append(b.records, r)
}

// fetched takes how a fetch went: where the partition stands, and what is wrong with it. What it takes to mend that is left
// to resolve, because the goroutine that counts must not wait for brokers. It reports whether the partition goes on.
func (n *consumer) fetched(p *partition, f fetched, position int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !p.counting {
		return false
	}
	p.position = position
	var code *kerr.Error
	var loss *kgo.ErrDataLoss
	switch err := f.Err; {
	case err == nil:
		p.trouble = nil
		if f.LastStableOffset >= 0 {
			p.shard.SetEnd(f.LastStableOffset)
		}
		return true
	case errors.Is(err, kerr.UnknownTopicID):
		n.stale[p.id.topic] = true
		p.move(err)
		signal(n.wake)
		return false
	case errors.As(err, &loss):
		p.move(err)
		p.end = loss.ResetTo
		signal(n.wake)
		return false
	case errors.Is(err, kerr.OffsetOutOfRange):
		p.move(err)
		signal(n.wake)
		return false
	case !errors.As(err, &code): // no answer of the broker, but what is in it
		p.counting, p.broken = false, true
		signal(n.wake)
	}
	if p.trouble == nil {
		p.troubled = time.Now()
	}
	p.trouble = f.Err
	return p.counting
}

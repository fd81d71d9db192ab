package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// collector is the consumption of the stream as a collector: it fails while something that should be counted is not.
type collector struct{ *consumer }

func (collector) Name() string { return "stream" }

func (collector) Schedule() exporter.Schedule {
	return exporter.Schedule{Interval: 5 * time.Second, Timeout: 5 * time.Second}
}

func (c collector) Targets() []exporter.Target { return []exporter.Target{target(c)} }

type target struct{ *consumer }

func (t target) Name() string { return "kafka" }

const (
	// toleratedFetchFailure is how long fetches of a partition may fail: elections of leaders last some seconds.
	toleratedFetchFailure = 15 * time.Second
	// suspiciousStall is how long a partition stays where it is although there are records, until the batch there is looked at.
	suspiciousStall = 10 * time.Second
	// toleratedStall is how long a partition may stay where it is although there are records.
	toleratedStall = 30 * time.Second
	// toleratedStart is how long a collection waits for the group to be joined, and for the start offsets of partitions: until
	// then they are neither counted nor failing.
	toleratedStart = 3 * time.Second
	// evictInterval is the time between two evictions of label values without records.
	evictInterval = time.Hour
)

// Collect asks the brokers for the topics, and for the ends of the partitions, so that the lag is right when nothing is
// fetched. It fails while a topic or a partition is not counted, and names it.
func (t target) Collect(ctx context.Context, _ *exporter.Sink) error {
	t.evict(time.Now())
	t.awaitStart(ctx)
	select {
	case <-t.ready:
	default:
		return classify(errJoining)
	}
	if t.reader == nil || t.member == nil { // the client has refused its options
		return classify(t.failure)
	}
	states, err := describe(ctx, t.reader.client, t.config.Kafka.Topics)
	if err != nil {
		return classify(err)
	}
	owned := t.review(states)
	ends, failures := listBounds(ctx, t.reader.client, owned)
	return t.judge(states, ends, failures, time.Now())
}

// awaitStart waits until something is known of the group and of each partition, and not for longer than toleratedStart.
func (n *consumer) awaitStart(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, toleratedStart)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for n.starting() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// starting reports whether the group has just begun to be joined, or partitions to be resolved.
func (n *consumer) starting() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.joined {
		return errors.Is(n.failure, errJoining)
	}
	for _, p := range n.owned {
		if errors.Is(p.trouble, errResolving) {
			return true
		}
	}
	return false
}

// review compares what the brokers say of the topics with what is counted, and returns the partitions that are.
func (n *consumer) review(states map[string]topicState) (counted []partitionID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for topic, s := range states {
		if errors.Is(s.err, kerr.UnknownTopicOrPartition) {
			n.appeared[topic] = true
		}
	}
	for id, p := range n.owned {
		s := states[id.topic]
		switch {
		case !p.counting && !p.broken:
		case s.err == nil && s.id != p.topicID && s.id != (topicID{}): // the topic was made anew
			n.recreated(p)
		default:
			if s.partitions[id.partition] == nil {
				counted = append(counted, id)
			}
		}
	}
	return counted
}

// recreated takes that the topic of a partition was made anew. The caller holds mu.
func (n *consumer) recreated(p *partition) {
	n.appeared[p.id.topic], n.stale[p.id.topic] = true, true
	p.move(kerr.UnknownTopicID)
	signal(n.wake)
}

// judge returns why not everything is counted, nil when all is well.
func (n *consumer) judge(states map[string]topicState, ends map[partitionID]bounds, failures map[partitionID]error, now time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.joined {
		return classify(n.failure)
	}
	var wrong []error
	for _, topic := range slices.Sorted(maps.Keys(states)) {
		if err := states[topic].err; err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", topic, err))
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(n.owned), comparePartitions) {
		p := n.owned[id]
		if s := states[id.topic]; len(s.partitions) > 0 {
			if _, exists := s.partitions[id.partition]; !exists {
				// The topic was made anew with fewer partitions. The group assigns those of before, and there is nothing in them.
				p.shard.SetEnd(-1)
				continue
			}
		}
		end := int64(-1)
		if b, ok := ends[id]; ok {
			end = b.newest
			p.shard.SetEnd(end)
		}
		if states[id.topic].err != nil {
			continue // said already
		}
		err := p.health(end, now)
		if p.counting && p.trouble == nil && p.stalledFor(end, now) > suspiciousStall {
			p.counting, p.broken = false, true
			signal(n.wake)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", id, err))
		} else if err := cmp.Or(states[id.topic].partitions[id.partition], failures[id]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", id, err))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return classify(errors.Join(wrong...))
}

// health returns why a partition is not counted, or was not for too long. end is -1 when it is not known. The caller holds
// mu.
func (p *partition) health(end int64, now time.Time) error {
	if !p.counting && !p.broken {
		return p.trouble
	}
	if p.trouble != nil && now.Sub(p.troubled) > toleratedFetchFailure {
		return p.trouble
	}
	if p.stalledFor(end, now) > toleratedStall {
		return fmt.Errorf("there are %d records, and none of them comes", end-p.position)
	}
	return nil
}

// stalledFor returns how long a partition is where it is although there are records. The caller holds mu.
func (p *partition) stalledFor(end int64, now time.Time) time.Duration {
	if p.position != p.seen || end >= 0 && p.position >= end {
		p.seen, p.stalled = p.position, now
	}
	if end < 0 { // there may be records, and the brokers do not say it
		return 0
	}
	return now.Sub(p.stalled)
}

func comparePartitions(a, b partitionID) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}

func (n *consumer) evict(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if now.Sub(n.lastEviction) <= evictInterval {
		return
	}
	n.lastEviction = now
	if evicted := n.aggregator.Evict(); evicted > 0 {
		n.log.Info("series of label values without records removed", "values", evicted)
	}
}

// classify gives an error its reason.
func classify(err error) error {
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.TopicAuthorizationFailed),
		errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return exporter.Failure(exporter.ReasonAuth, err)
	case errors.Is(err, kerr.UnsupportedVersion):
		return exporter.Failure(exporter.ReasonCapability, err)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return exporter.Failure(exporter.ReasonQuery, err)
	case errors.Is(err, context.DeadlineExceeded):
		return exporter.Failure(exporter.ReasonTimeout, err)
	}
	return exporter.Failure(exporter.ReasonConnection, err)
}

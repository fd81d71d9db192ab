package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
)

// retryPause is the time between two attempts to resolve partitions.
const retryPause = time.Second

// requestTimeout bounds what is asked of the brokers at once.
const requestTimeout = 5 * time.Second

// resolveLoop finds out where the counting of new partitions starts, and mends those that cannot be read on.
func (n *consumer) resolveLoop(ctx context.Context) {
	for ctx.Err() == nil {
		pause := n.resolve(ctx)
		if pause == 0 {
			select {
			case <-n.wake:
			case <-ctx.Done():
			}
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-n.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// resolve tries once for all partitions that are not counted. It returns when to try again, 0 for when there is something
// new.
func (n *consumer) resolve(ctx context.Context) (pause time.Duration) {
	var waiting, broken []*partition
	n.mu.Lock()
	for _, p := range n.owned {
		switch settled := n.settled(p); {
		case p.counting:
		case p.broken:
			broken = append(broken, p)
		case settled > 0:
			if pause == 0 || settled < pause {
				pause = settled
			}
		default:
			waiting = append(waiting, p)
		}
	}
	n.mu.Unlock()
	if len(waiting) > 0 && !n.startAll(ctx, waiting) {
		pause = retryPause
	}
	var failed atomic.Bool
	var skips sync.WaitGroup
	for _, p := range broken { // a broker that does not answer holds up none of the others
		skips.Go(func() {
			if err := n.skip(ctx, p); err != nil {
				n.stuck(p, err)
				failed.Store(true)
			}
		})
	}
	skips.Wait()
	if failed.Load() {
		pause = retryPause
	}
	return pause
}

// stuck notes why it is not known yet what is wrong with the batch that a partition stands before, and logs it when it is
// new.
func (n *consumer) stuck(p *partition, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p.trouble == nil {
		p.troubled = time.Now()
	}
	if p.trouble == nil || p.trouble.Error() != err.Error() {
		n.log.Warn("a batch that cannot be read cannot be skipped yet", "topic", p.id.topic, "partition", p.id.partition, "err", err)
	}
	p.trouble = err
}

// settled returns how long a partition has to wait before it is resolved: in the exact mode the process that had it may have
// died while its last response was on its way. The caller holds mu.
func (n *consumer) settled(p *partition) time.Duration {
	if n.offsets == nil || p.moved {
		return 0
	}
	return time.Until(p.since.Add(time.Duration(n.config.Prometheus.Settle)))
}

// startAll begins to count partitions. What cannot be found out about one of them does not hold up the others. It reports
// whether all of them are counted now.
func (n *consumer) startAll(ctx context.Context, partitions []*partition) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*requestTimeout)
	defer cancel()
	n.member.renew(ctx, n.delivery.lease) // so that what is counted can be delivered at once
	var topics []string
	for _, p := range partitions {
		if !slices.Contains(topics, p.id.topic) {
			topics = append(topics, p.id.topic)
		}
	}
	states, err := describe(ctx, n.reader.client, topics)
	if err != nil {
		n.unresolved(partitions, err)
		return false
	}
	n.review(states)
	all := true
	var found []*partition
	var ids []partitionID
	for _, p := range partitions {
		state := states[p.id.topic]
		err, exists := state.partitions[p.id.partition]
		if err = cmp.Or(state.err, err); err == nil && !exists {
			err = kerr.UnknownTopicOrPartition
		}
		if err != nil {
			all = false
			n.unresolved([]*partition{p}, err)
			continue
		}
		found, ids = append(found, p), append(ids, p.id)
	}
	limits, failures := listBounds(ctx, n.reader.client, ids)
	var stored map[partitionID][]storedOffset
	if slices.ContainsFunc(found, func(p *partition) bool { return !p.started }) { // of the others it is known here
		if stored, err = n.stored(ctx); err != nil {
			all = false
			found = slices.DeleteFunc(found, func(p *partition) bool {
				if p.started {
					return false
				}
				n.unresolved([]*partition{p}, err)
				return true
			})
		}
	}
	if stored != nil {
		n.look(partitions, stored)
	}
	unknown, err := n.unknownToPrometheus(ctx, found, stored, states)
	if err != nil {
		n.unresolved(unknown, err)
		all = false
	}
	for _, p := range found {
		if slices.Contains(unknown, p) {
			continue
		}
		if err := failures[p.id]; err != nil {
			all = false
			n.unresolved([]*partition{p}, err)
			continue
		}
		n.begin(p, stored, states[p.id.topic], limits[p.id])
	}
	return all
}

// unresolved notes why partitions are not counted, and logs it when it is new.
func (n *consumer) unresolved(partitions []*partition, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var news []string
	for _, p := range partitions {
		if p.trouble == nil || p.trouble.Error() != err.Error() {
			news = append(news, p.id.String())
		}
		p.trouble = err
	}
	if len(news) > 0 {
		slices.Sort(news)
		n.log.Warn("the start offset is not known yet, nothing is counted until it is", "partitions", strings.Join(news, ", "), "err", err)
	}
}

// look notes which partitions have come after others were counted already. That is decided once, before those that come
// at the same time are counted.
func (n *consumer) look(partitions []*partition, stored map[partitionID][]storedOffset) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range partitions {
		if !p.looked {
			p.looked, p.added = true, len(stored) > 0
		}
	}
}

// stored returns up to which offsets the partitions of the configured topics were counted.
func (n *consumer) stored(ctx context.Context) (map[partitionID][]storedOffset, error) {
	if n.offsets == nil {
		return n.committed(ctx)
	}
	stored, err := n.offsets.stored(ctx)
	maps.DeleteFunc(stored, func(id partitionID, _ []storedOffset) bool { return !slices.Contains(n.config.Kafka.Topics, id.topic) })
	return stored, err
}

// unknownToPrometheus returns the partitions without an offset in Prometheus of which the group has committed one, and an
// error that says so. An offset is committed when Prometheus has shown it: it does not find now what it had then.
func (n *consumer) unknownToPrometheus(ctx context.Context, partitions []*partition, stored map[partitionID][]storedOffset, states map[string]topicState) (unknown []*partition, err error) {
	n.mu.Lock()
	for _, p := range partitions {
		if n.offsets != nil && !p.started && !ofTopic(stored[p.id], states[p.id.topic].id.String()) {
			unknown = append(unknown, p)
		}
	}
	n.mu.Unlock()
	if len(unknown) == 0 {
		return nil, nil
	}
	committed, err := n.committed(ctx)
	if err != nil {
		return unknown, err
	}
	unknown = slices.DeleteFunc(unknown, func(p *partition) bool { return !ofTopic(committed[p.id], states[p.id.topic].id.String()) })
	if len(unknown) > 0 {
		err = fmt.Errorf("Prometheus has no consignwatch_offset{%s} of the last %s, but the group %s has committed offsets: counting from the beginning would count twice. Check prometheus.matchers and prometheus.lookback; "+
			"for a new Prometheus take another kafka.group, or delete the offsets of this one", n.offsets.selector, n.config.Prometheus.Lookback, n.config.Kafka.Group)
	}
	return unknown, err
}

// committed returns the offsets that the group has committed for the configured topics.
func (n *consumer) committed(ctx context.Context) (map[partitionID][]storedOffset, error) {
	responses, err := kadm.NewClient(n.reader.client).FetchOffsets(ctx, n.config.Kafka.Group)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the offsets of group %s: %w", n.config.Kafka.Group, err)
	}
	stored := map[partitionID][]storedOffset{}
	for topic, partitions := range responses {
		if !slices.Contains(n.config.Kafka.Topics, topic) {
			continue
		}
		for partition, o := range partitions {
			id := partitionID{topic, partition}
			if o.Err != nil {
				return nil, fmt.Errorf("ask Kafka for the offset of group %s in %s: %w", n.config.Kafka.Group, id, o.Err)
			}
			if o.At >= 0 {
				stored[id] = []storedOffset{{o.Metadata, o.At}}
			}
		}
	}
	return stored, nil
}

// begin begins to count a partition, unless it was revoked meanwhile.
func (n *consumer) begin(p *partition, stored map[partitionID][]storedOffset, state topicState, limits bounds) {
	n.moving.Lock()
	defer n.moving.Unlock()
	n.reader.remove([]partitionID{p.id})
	n.mu.Lock()
	if n.owned[p.id] != p {
		n.mu.Unlock()
		return
	}
	if p.started && (state.id != p.topicID || p.shard.Next() > limits.newest || p.shard.Next() < limits.oldest) {
		p.moved, p.replay = true, false
	}
	forget := n.stale[p.id.topic]
	if forget { // nothing of the topic is read any more, under whatever id
		delete(n.stale, p.id.topic)
		for id, other := range n.owned {
			if other != p && id.topic == p.id.topic && other.counting {
				other.move(kerr.UnknownTopicID)
				signal(n.wake)
			}
		}
	}
	var from int64
	if p.replay {
		from = max(limits.oldest, p.shard.Next()-n.aggregator.DedupeSpan())
	} else {
		from = n.seek(p, stored, state.id, limits)
	}
	p.topicID = state.id
	p.shard.SetEnd(limits.newest)
	handle := n.resume(p, from)
	n.mu.Unlock()
	if forget {
		n.reader.forget(p.id.topic)
	}
	n.reader.add(p.id, from, handle)
}

// resume says that a partition is read from an offset on, and returns what handles that. The caller holds mu, and adds the
// partition to the reader.
func (n *consumer) resume(p *partition, from int64) func(fetched) {
	p.counting, p.moved, p.broken, p.trouble = true, false, false, nil
	p.position = from
	if p.stalled.IsZero() || p.seen != from {
		p.seen, p.stalled = from, time.Now()
	}
	return n.handler(p, p.shard.Next(), from, p.replay)
}

// seek decides where the counting of a partition starts, and tells its shard. The caller holds mu.
func (n *consumer) seek(p *partition, stored map[partitionID][]storedOffset, topic topicID, limits bounds) int64 {
	known := stored[p.id]
	if p.moved {
		// A broker that lags behind may still describe the topic of before.
		if p.counted == nil {
			p.counted = map[topicID]int64{}
		}
		p.counted[p.topicID] = p.shard.Next()
		known = nil
		for id, next := range p.counted {
			known = append(known, storedOffset{id.String(), next})
		}
		if p.end >= 0 {
			limits.newest = min(limits.newest, max(p.end, limits.oldest))
			p.end = -1
		}
	}
	added := p.added || n.appeared[p.id.topic]
	start, found := startOffset(known, limits, topic.String(), added, n.config.Kafka.Initial)
	found.log(n.log, p.id, start)
	if p.moved {
		p.shard.Move(start, topic.String())
	} else {
		p.shard.Assign(start, topic.String())
	}
	p.start, p.started = start, true
	p.shard.DeferReplay() // most partitions have no events that count once, and are not read again
	return start
}

// skip goes on behind a batch that cannot be read, whose records have an outcome like all others.
func (n *consumer) skip(ctx context.Context, p *partition) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	n.mu.Lock()
	at := p.position
	n.mu.Unlock()
	batch, err := readBatch(ctx, n.reader.client, p.id, at)
	moved := errors.Is(err, kerr.OffsetOutOfRange) || errors.Is(err, kerr.UnknownTopicID)
	if err != nil && !moved {
		return err
	}
	n.moving.Lock()
	defer n.moving.Unlock()
	n.reader.remove([]partitionID{p.id}) // nothing that was fetched before is handled any more
	n.mu.Lock()
	if n.owned[p.id] != p || !p.broken || p.position != at {
		n.mu.Unlock()
		return nil
	}
	if moved {
		n.stale[p.id.topic] = n.stale[p.id.topic] || errors.Is(err, kerr.UnknownTopicID)
		p.move(err)
		signal(n.wake)
		n.mu.Unlock()
		return nil
	}
	outcome := aggregate.Undecodable
	switch {
	case batch.err == nil || batch.records == 0:
		p.shard.Advance(batch.next)
	case errors.Is(batch.err, kgo.ErrMaxDecompress):
		outcome = p.shard.Skip(batch.first, batch.next, aggregate.Oversized, batch.records)
	default:
		outcome = p.shard.Skip(batch.first, batch.next, aggregate.Undecodable, batch.records)
	}
	handle := n.resume(p, batch.next)
	n.mu.Unlock()
	if batch.err != nil {
		n.log.Warn("a batch of records is skipped", "outcome", outcome.String(), "topic", p.id.topic, "partition", p.id.partition,
			"offset", batch.first, "next_offset", batch.next, "records", batch.records, "err", batch.err)
	}
	n.reader.add(p.id, batch.next, handle)
	return nil
}

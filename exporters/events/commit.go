package events

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
)

// deliver keeps the offsets that a scrape has delivered; they are committed in the background.
func (n *consumer) deliver(positions []aggregate.Position) {
	n.mu.Lock()
	for _, p := range positions {
		id := partitionID{p.Topic, p.Partition}
		n.delivered[id] = offset{id, p.TopicID, p.Offset}
	}
	n.mu.Unlock()
	signal(n.pending)
}

func (n *consumer) commitLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.pending:
			n.commitNow(ctx)
		}
	}
}

// commitNow commits the delivered offsets. Those that could not be committed are tried again with the next delivery. One
// commit at a time, so that the last one wins.
func (n *consumer) commitNow(ctx context.Context) {
	n.committing.Lock()
	defer n.committing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	n.mu.Lock()
	offsets := slices.Collect(maps.Values(n.delivered))
	n.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	failures, err := n.member.commit(ctx, offsets)
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range offsets {
		if why := cmp.Or(err, failures[o.partitionID]); why != nil {
			n.commits.WithLabelValues(o.topic, "failed").Inc()
			n.log.Warn("offset not committed, the next delivery tries again", "topic", o.topic, "partition", o.partition, "offset", o.offset, "err", why)
			continue
		}
		n.commits.WithLabelValues(o.topic, "succeeded").Inc()
		if n.delivered[o.partitionID] == o {
			delete(n.delivered, o.partitionID)
		}
	}
}

package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// Where to begin with a partition, and how to let it go. Together with the gate of the stream these are what makes the
// sums exact: docs/event-exporter.md has the argument.

// begin is where a partition is taken up.
type begin struct {
	offset   int64 // the first record to count
	warmFrom int64 // the first record to read, for its duplicates
}

// findStarts asks who knows how far each partition was counted. It tries until it has an answer, or the session ends.
func (h *handler) findStarts(ctx context.Context, claims map[string][]int32) (map[partitionID]begin, error) {
	if h.truth != nil {
		// The process that had the partitions may have died while its last page was on its way.
		select {
		case <-time.After(time.Duration(h.config.Prometheus.Settle)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	for {
		starts, err := h.tryStarts(ctx, claims)
		if err == nil {
			return starts, nil
		}
		h.mu.Lock()
		h.know(err)
		h.mu.Unlock()
		h.log.Warn("the start offset is not known yet, nothing is counted until it is", "err", err)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (h *handler) tryStarts(ctx context.Context, claims map[string][]int32) (map[partitionID]begin, error) {
	counted, err := h.counted(ctx, claims)
	if err != nil {
		return nil, err
	}
	starts := map[partitionID]begin{}
	for topic, partitions := range claims {
		for _, partition := range partitions {
			id := partitionID{topic, partition}
			offset, known := counted[id]
			if starts[id], err = h.place(id, offset, known); err != nil {
				return nil, err
			}
		}
	}
	return starts, nil
}

// counted returns up to which offset each partition was counted, where that is known.
func (h *handler) counted(ctx context.Context, claims map[string][]int32) (map[partitionID]int64, error) {
	if h.truth != nil {
		return h.truth.offsets(ctx)
	}
	return h.committed(claims)
}

// committed returns the offsets that the group has committed.
func (h *handler) committed(claims map[string][]int32) (map[partitionID]int64, error) {
	admin, err := sarama.NewClusterAdminFromClient(h.client)
	if err != nil {
		return nil, err
	}
	response, err := admin.ListConsumerGroupOffsets(h.config.Kafka.Group, claims)
	if err != nil {
		return nil, fmt.Errorf("ask Kafka for the offsets of group %s: %w", h.config.Kafka.Group, err)
	}
	counted := map[partitionID]int64{}
	for topic, partitions := range response.Blocks {
		for partition, block := range partitions {
			if block.Err != sarama.ErrNoError {
				return nil, fmt.Errorf("ask Kafka for the offset of group %s in %s/%d: %w", h.config.Kafka.Group, topic, partition, block.Err)
			}
			if block.Offset >= 0 {
				counted[partitionID{topic, partition}] = block.Offset
			}
		}
	}
	return counted, nil
}

// place fits an offset into what the partition holds.
func (h *handler) place(id partitionID, offset int64, known bool) (begin, error) {
	oldest, err := h.client.GetOffset(id.topic, id.partition, sarama.OffsetOldest)
	if err != nil {
		return begin{}, fmt.Errorf("oldest offset of %s/%d: %w", id.topic, id.partition, err)
	}
	newest, err := h.client.GetOffset(id.topic, id.partition, sarama.OffsetNewest)
	if err != nil {
		return begin{}, fmt.Errorf("newest offset of %s/%d: %w", id.topic, id.partition, err)
	}
	log := h.log.With("topic", id.topic, "partition", id.partition, "counted", offset, "oldest", oldest, "newest", newest)
	switch {
	case !known && h.config.Kafka.Initial == "newest":
		offset = newest
	case !known:
		offset = oldest
	case offset < oldest:
		log.Error("records were deleted before they were counted", "lost", oldest-offset)
		offset = oldest
	case offset > newest:
		// What was committed for the old topic went with it: what Kafka has now belongs to the new one. Prometheus would
		// tell the old offset for as long as it looks back, and the new topic would be counted again after each restart.
		again, err := h.committed(map[string][]int32{id.topic: {id.partition}})
		if err != nil {
			return begin{}, err
		}
		offset = oldest
		if c, ok := again[id]; ok && c >= oldest && c <= newest {
			offset = c
		}
		log.Error("the partition ends before the counted offset: the topic was recreated", "start", offset)
	}
	return begin{offset: offset, warmFrom: max(oldest, offset-h.ledger.DedupeSpan())}, nil
}

// confirmTimeout is how long partitions are held back until Prometheus has what was exposed. It leaves the group time
// to rebalance.
const confirmTimeout = rebalanceTimeout - 15*time.Second

// letGo gives the partitions of a session up. A scrape under way is finished first; what it has not delivered is
// dropped, because the next owner counts it.
//
// In the exact mode the next owner begins where Prometheus is. So nothing may be on our page that Prometheus does not
// have: if the last scrape has not been ingested, we wait for one that is. When we cannot know, because the partitions
// are no longer ours or Prometheus does not answer, all counters start anew at 0: to Prometheus that is what a kill -9
// would be, which is exact.
func (h *handler) letGo(session sarama.ConsumerGroupSession, client sarama.Client) {
	if h.truth == nil {
		h.stream.gate.Lock()
		defer h.stream.gate.Unlock()
		if !lost(session) {
			h.commit(session, client)
		}
		h.revoke(session)
		return
	}
	for end := time.Now().Add(confirmTimeout); ; {
		scraped, _ := h.stream.next()
		if h.revokeConfirmed(session, client, time.Now().After(end)) {
			return
		}
		wait := time.NewTimer(retryPause)
		select {
		case <-scraped: // nil when nobody scrapes us: the timer decides
		case <-wait.C:
		}
		wait.Stop()
	}
}

// lost reports whether the group has given our partitions to others already.
func lost(session sarama.ConsumerGroupSession) bool {
	cause := context.Cause(session.Context())
	return errors.Is(cause, sarama.ErrUnknownMemberId) || errors.Is(cause, sarama.ErrIllegalGeneration) || errors.Is(cause, sarama.ErrFencedInstancedId)
}

// revokeConfirmed gives the partitions up if Prometheus has all that was exposed, or if there is no use in waiting. No
// scrape comes in between.
func (h *handler) revokeConfirmed(session sarama.ConsumerGroupSession, client sarama.Client, late bool) bool {
	h.stream.gate.Lock()
	defer h.stream.gate.Unlock()
	ours := func() bool { return !lost(session) && h.lease.valid(time.Now()) }
	var has map[partitionID]int64
	var err error
	if ours() {
		has, err = h.truth.offsets(context.Background())
	}
	switch {
	case !ours(): // what Prometheus has may be what the next owner has delivered
		h.log.Warn("the partitions were lost, counters reset")
	case err == nil && h.confirmed(session, has):
		h.commit(session, client)
		h.revoke(session)
		return true
	case late:
		h.log.Warn("Prometheus did not ingest the last scrape response, counters reset", "err", err)
	default:
		if err != nil {
			h.log.Warn("partitions are held until Prometheus confirms the last scrape response", "err", err)
		}
		return false
	}
	h.ledger.Forget(time.Now())
	return true
}

// confirmed reports whether Prometheus has all that was exposed.
func (h *handler) confirmed(session sarama.ConsumerGroupSession, has map[partitionID]int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for topic, partitions := range session.Claims() {
		for _, partition := range partitions {
			id := partitionID{topic, partition}
			exposed := h.ledger.Shard(topic, partition).ExposedOffset()
			if exposed != h.starts[id] && has[id] < exposed {
				return false
			}
		}
	}
	return true
}

func (h *handler) revoke(session sarama.ConsumerGroupSession) {
	for topic, partitions := range session.Claims() {
		for _, partition := range partitions {
			h.ledger.Shard(topic, partition).Revoke()
		}
	}
}

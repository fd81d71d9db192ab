package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

// The start offset of a partition, and its revocation. Together with the gatherer's deliveryMu these are what makes the
// sums exact: docs/event-exporter.md has the argument.

// startOffset is where a partition is taken up.
type startOffset struct {
	offset     int64 // the first record to count
	replayFrom int64 // the first record to read, for its duplicates
}

// resolveStartOffsets looks up, in Prometheus or Kafka, up to which offset each partition was counted. It tries until it
// has an answer, or the session ends.
func (h *handler) resolveStartOffsets(ctx context.Context, claims map[string][]int32) (map[partitionID]startOffset, error) {
	if h.offsetSource != nil {
		// The process that had the partitions may have died while its last scrape response was on its way.
		select {
		case <-time.After(time.Duration(h.config.Prometheus.Settle)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	for {
		starts, err := h.startOffsets(ctx, claims)
		if err == nil {
			return starts, nil
		}
		h.mu.Lock()
		h.setStatus(err)
		h.mu.Unlock()
		h.log.Warn("the start offset is not known yet, nothing is counted until it is", "err", err)
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (h *handler) startOffsets(ctx context.Context, claims map[string][]int32) (map[partitionID]startOffset, error) {
	counted, err := h.counted(ctx, claims)
	if err != nil {
		return nil, err
	}
	starts := map[partitionID]startOffset{}
	for topic, partitions := range claims {
		for _, partition := range partitions {
			id := partitionID{topic, partition}
			offset, known := counted[id]
			if starts[id], err = h.clampOffset(id, offset, known); err != nil {
				return nil, err
			}
		}
	}
	return starts, nil
}

// counted returns up to which offset each partition was counted, where that is known.
func (h *handler) counted(ctx context.Context, claims map[string][]int32) (map[partitionID]int64, error) {
	if h.offsetSource != nil {
		return h.offsetSource.offsets(ctx)
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

// clampOffset clamps an offset to the oldest and the newest offset of the partition.
func (h *handler) clampOffset(id partitionID, offset int64, known bool) (startOffset, error) {
	oldest, err := h.client.GetOffset(id.topic, id.partition, sarama.OffsetOldest)
	if err != nil {
		return startOffset{}, fmt.Errorf("oldest offset of %s/%d: %w", id.topic, id.partition, err)
	}
	newest, err := h.client.GetOffset(id.topic, id.partition, sarama.OffsetNewest)
	if err != nil {
		return startOffset{}, fmt.Errorf("newest offset of %s/%d: %w", id.topic, id.partition, err)
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
		// The offset that was committed for the old topic was deleted with it: Kafka's belongs to the new one. Prometheus would
		// return the old offset during the whole lookback, and the new topic would be counted again after each restart.
		again, err := h.committed(map[string][]int32{id.topic: {id.partition}})
		if err != nil {
			return startOffset{}, err
		}
		offset = oldest
		if c, ok := again[id]; ok && c >= oldest && c <= newest {
			offset = c
		}
		log.Error("the partition ends before the counted offset: the topic was recreated", "start", offset)
	}
	return startOffset{offset: offset, replayFrom: max(oldest, offset-h.aggregator.DedupeSpan())}, nil
}

// confirmTimeout is how long the revocation of partitions waits until Prometheus has ingested the exposed values. It
// leaves the group time to rebalance.
const confirmTimeout = rebalanceTimeout - 15*time.Second

// revoke revokes the partitions of a session. A scrape in flight is finished first; values that it has not delivered are
// dropped, because the next owner counts them.
//
// In the exact mode the next owner starts at the offset that Prometheus has ingested. So this process must not expose
// values that Prometheus does not have: if the last scrape has not been ingested, revoke waits for one that is. When
// that cannot be known, because another member has the partitions or Prometheus does not answer, all counters are reset
// to 0: to Prometheus that is the same as a kill -9, which is exact.
func (h *handler) revoke(session sarama.ConsumerGroupSession, client sarama.Client) {
	if h.offsetSource == nil {
		h.gatherer.deliveryMu.Lock()
		defer h.gatherer.deliveryMu.Unlock()
		if !lost(session) {
			h.commit(session, client)
		}
		h.revokeShards(session)
		return
	}
	for end := time.Now().Add(confirmTimeout); ; {
		scraped, _ := h.gatherer.nextDelivery()
		if h.revokeConfirmed(session, client, time.Now().After(end)) {
			return
		}
		wait := time.NewTimer(retryPause)
		select {
		case <-scraped: // nil when there is no scraper: the timer decides
		case <-wait.C:
		}
		wait.Stop()
	}
}

// lost reports whether the group has assigned our partitions to other members already.
func lost(session sarama.ConsumerGroupSession) bool {
	cause := context.Cause(session.Context())
	return errors.Is(cause, sarama.ErrUnknownMemberId) || errors.Is(cause, sarama.ErrIllegalGeneration) || errors.Is(cause, sarama.ErrFencedInstancedId)
}

// revokeConfirmed revokes the partitions if Prometheus has ingested all exposed values, or if there is no use in waiting.
// It holds deliveryMu, so that no scrape comes in between.
func (h *handler) revokeConfirmed(session sarama.ConsumerGroupSession, client sarama.Client, late bool) bool {
	h.gatherer.deliveryMu.Lock()
	defer h.gatherer.deliveryMu.Unlock()
	ours := func() bool { return !lost(session) && h.lease.valid(time.Now()) }
	var has map[partitionID]int64
	var err error
	if ours() {
		has, err = h.offsetSource.offsets(context.Background())
	}
	switch {
	case !ours(): // Prometheus may have ingested values of the next owner
		h.log.Warn("the partitions were lost, counters reset")
	case err == nil && h.confirmed(session, has):
		h.commit(session, client)
		h.revokeShards(session)
		return true
	case late:
		h.log.Warn("Prometheus did not ingest the last scrape response, counters reset", "err", err)
	default:
		if err != nil {
			h.log.Warn("partitions are held until Prometheus confirms the last scrape response", "err", err)
		}
		return false
	}
	h.aggregator.Reset(time.Now())
	return true
}

// confirmed reports whether Prometheus has ingested all exposed values.
func (h *handler) confirmed(session sarama.ConsumerGroupSession, has map[partitionID]int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for topic, partitions := range session.Claims() {
		for _, partition := range partitions {
			id := partitionID{topic, partition}
			exposed := h.aggregator.Shard(topic, partition).ExposedOffset()
			if exposed != h.starts[id] && has[id] < exposed {
				return false
			}
		}
	}
	return true
}

func (h *handler) revokeShards(session sarama.ConsumerGroupSession) {
	for topic, partitions := range session.Claims() {
		for _, partition := range partitions {
			h.aggregator.Shard(topic, partition).Revoke()
		}
	}
}

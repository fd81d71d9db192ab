package events

import (
	"context"
	"slices"
	"time"
)

// confirmTimeout is how long the revocation of partitions waits until Prometheus has ingested the exposed values. It
// leaves the group time to rebalance.
const confirmTimeout = rebalanceTimeout - 15*time.Second

// revoked gives partitions up, before another member gets them.
func (n *consumer) revoked(topics map[string][]int32) { n.release(topics, false) }

// lost gives partitions up that other members may have already.
func (n *consumer) lost(topics map[string][]int32) {
	n.failed(errLost)
	n.release(topics, true)
}

func (n *consumer) release(topics map[string][]int32, lost bool) {
	<-n.ready
	n.mu.Lock()
	n.releasing++
	n.mu.Unlock()
	partitions := n.endReading(slices.Collect(partitionsOf(topics)))
	if len(partitions) > 0 {
		n.revoke(partitions, lost)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.releasing--
	if len(n.owned) == 0 {
		n.delivery.lease.release()
	}
}

// endReading ends the reading of partitions that this process does not own any more.
func (n *consumer) endReading(ids []partitionID) (partitions []*partition) {
	n.moving.Lock()
	defer n.moving.Unlock()
	n.mu.Lock()
	for _, id := range ids {
		if p := n.owned[id]; p != nil {
			partitions = append(partitions, p)
			delete(n.owned, id)
		}
	}
	n.mu.Unlock()
	n.reader.remove(ids)
	return partitions
}

// revoke drops the values of partitions that were not delivered, because the next owner counts them.
//
// In the exact mode the next owner starts at the offset that Prometheus has ingested. So this process must not expose
// values that Prometheus does not have: if the last response has not been ingested, revoke waits for one that is. When
// that cannot be known, because another member has the partitions or Prometheus does not answer, all counters are reset
// to 0: to Prometheus that is the same as a kill -9, which is exact.
func (n *consumer) revoke(partitions []*partition, lost bool) {
	for end := time.Now().Add(confirmTimeout); ; {
		scraped, _ := n.delivery.nextScrape()
		late := time.Now().After(end)
		select {
		case <-n.drained:
			late = true
		default:
		}
		if n.tryRevoke(partitions, lost, late) {
			return
		}
		wait := time.NewTimer(retryPause)
		select {
		case <-scraped: // nil when there is no scraper: the timer decides
		case <-wait.C:
		case <-n.drained:
		}
		wait.Stop()
	}
}

// tryRevoke revokes partitions if nothing of them is exposed that Prometheus may lack, or if there is no use in waiting. It
// takes the turn of a scrape, so that none comes in between.
func (n *consumer) tryRevoke(partitions []*partition, lost, late bool) bool {
	n.delivery.enter(context.Background())
	defer n.delivery.leave()
	ours := func() bool { return !lost && n.delivery.lease.valid(time.Now()) }
	certain, err := true, error(nil)
	if n.offsets != nil && slices.ContainsFunc(partitions, (*partition).exposed) {
		var stored map[partitionID][]storedOffset
		if ours() {
			stored, err = n.offsets.stored(context.Background())
		}
		certain = ours() && err == nil && !slices.ContainsFunc(partitions, func(p *partition) bool {
			return p.exposed() && !(ingested(stored[p.id], p.topicID.String(), p.shard.ExposedOffset()) && n.delivery.ingestedAll(p.id, stored[p.id]))
		})
	}
	switch {
	case certain:
		if ours() {
			n.commitNow(context.Background())
		}
		for _, p := range partitions {
			p.shard.Revoke()
		}
		return true
	case !ours(): // Prometheus may have ingested values of the next owner
		n.log.Warn("the partitions were lost, counters reset")
	case late:
		n.log.Warn("Prometheus did not ingest the last scrape response, counters reset", "err", err)
	default:
		if err != nil {
			n.log.Warn("partitions are held until Prometheus confirms the last scrape response", "err", err)
		}
		return false
	}
	n.reset()
	return true
}

// exposed reports whether a scrape was answered with anything that was counted of the partition, before it moved too.
func (p *partition) exposed() bool {
	return p.started && (p.counted != nil || p.shard.ExposedOffset() != p.start)
}

// reset sets all counters to 0. The partitions that stay are resolved again, as after a restart. The caller has the turn.
func (n *consumer) reset() {
	n.delivery.reset(time.Now())
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.delivered)
	for id, p := range n.owned { // what is being resolved, or counted, is not the new one, and ends
		p.counting = false
		n.owned[id] = newPartition(id, p.shard)
		n.owned[id].looked, n.owned[id].added = p.looked, p.added
	}
	signal(n.wake)
}

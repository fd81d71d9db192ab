package kafka

import (
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// cachedValue is a value that stays when a round cannot fetch it, until it is too old.
type cachedValue struct {
	value float64
	at    time.Time
}

func (h *cachedValue) set(value float64, now time.Time) { *h = cachedValue{value, now} }

// clear removes the value: it is known that there is none.
func (h *cachedValue) clear() { *h = cachedValue{} }

func (h *cachedValue) get(now time.Time, maxAge time.Duration) (float64, bool) {
	return h.value, !h.at.IsZero() && now.Sub(h.at) <= maxAge
}

// total is a counter of what was seen. It never falls, and begins with 0.
type total struct {
	cachedValue
	since time.Time
}

func (s *total) add(n int64, now time.Time) {
	if s.since.IsZero() {
		s.since = now
	}
	s.set(s.value+float64(n), now)
}

// advance moves a mark to an offset, and returns how far it went forward: not at all from an unknown mark, or when the offset
// went back, because what lies before it was not seen, or is counted.
func advance(mark *int64, offset int64) int64 {
	from := *mark
	*mark = offset
	if from == unknown {
		return 0
	}
	return max(0, offset-from)
}

// unknown stands for an offset, or a time in milliseconds, that is not known.
const unknown = -1

// queueTopic is the state of a topic.
type queueTopic struct {
	name       string
	id         sarama.Uuid
	generation int  // grows when the topic was recreated
	hidden     bool // read for the dead letters only
	read       bool // by a group that is watched
	seen       uint64
	partitions []queuePartition

	underReplicated, offline int

	messages, oldest cachedValue
	produced         total

	// minISR is min.insync.replicas; 0: not known.
	minISR int
	// retention is how long messages are kept; 0: for ever, or not known.
	retention    time.Duration
	configuredAt time.Time // when the configuration was fetched
}

// queuePartition is the state of a partition.
type queuePartition struct {
	leader         int32
	inSync         int   // replicas in sync, of the last metadata
	oldest, newest int64 // of this round, or unknown
	last           int64 // newest offset that was known last
	counted        int64 // newest offset up to which what was produced is counted, or unknown
	// The time of the first record, in milliseconds, for an oldest offset.
	firstOffset, firstTime int64
	// arrivals are the newest offsets of the last rounds, for topics that a group reads: they bound, to an interval, when a
	// record was appended.
	arrivals []int64
}

// reset clears all values that depend on the records of the old log.
func (t *queueTopic) reset() {
	t.generation++
	t.messages.clear()
	t.oldest.clear()
	for i := range t.partitions {
		t.partitions[i].reset()
	}
}

// recreate clears all that was known of the topic that had the name before, which may have had more partitions.
func (t *queueTopic) recreate() {
	t.partitions = nil
	t.reset()
	t.configuredAt, t.retention, t.minISR = time.Time{}, 0, 0
}

// noID is the id of a topic at a broker before Kafka 2.8.
var noID sarama.Uuid

// wasRecreated reports whether the metadata is that of another topic with the same name. Without ids it is certain only when
// there are fewer partitions, which a topic never loses.
func (t *queueTopic) wasRecreated(m *sarama.TopicMetadata) bool {
	if t.id == noID || m.Uuid == noID {
		return len(m.Partitions) < len(t.partitions)
	}
	return t.id != m.Uuid
}

func (p *queuePartition) reset() {
	p.last, p.firstOffset, p.firstTime = unknown, unknown, unknown
	p.arrivals = nil
}

// queueGroup is the state of a consumer group.
type queueGroup struct {
	seen    uint64 // round in which it was listed last
	state   string
	at      time.Time // when it was listed last
	members cachedValue
	topics  map[string]*groupTopic
}

// abandoned reports whether the group has no members.
func (g *queueGroup) abandoned() bool { return g.state == "empty" || g.state == "dead" }

// groupTopic is the state of a topic that a group reads.
type groupTopic struct {
	topic      *queueTopic
	generation int
	seen       uint64 // round in which its offsets were read last
	partitions []groupPartition

	consumed                    total
	lag, lagSeconds, timeToLoss cachedValue
}

// groupPartition is the state of a partition that a group reads.
type groupPartition struct {
	committed  int64 // or unknown
	counted    int64 // committed offset up to which what was consumed is counted, or unknown
	lag        int64 // or unknown
	progress   progress
	record     recordTime
	lookedUpAt uint64 // round in which a record was looked up last
}

// recordTime is the result of a look-up at an offset.
type recordTime struct {
	offset int64
	found  finding
	millis int64 // for foundTime: of the first record at or after the offset
	next   int64 // for foundNothing: the offset to look up next
	atEnd  bool  // for foundNothing: nothing could be read at next
}

type finding uint8

const (
	foundNone    finding = iota // not looked up
	foundTime                   // the record's timestamp
	foundNothing                // there is no message up to next, only markers of transactions and aborted records
	foundExpired                // the record has expired
	foundUnknown                // the record cannot be read, or has no timestamp
)

// updateTopics updates the topics from the metadata. Topics that are gone are deleted.
func (t *Target) updateTopics(m *sarama.MetadataResponse) {
	for _, topic := range m.Topics {
		wanted := t.config.Topics.admits(topic.Name)
		if t.config.Topics.IsZero() {
			wanted = !topic.IsInternal && !strings.HasPrefix(topic.Name, "__")
		}
		if !wanted && topic.Name != t.config.DeadLetters.Topic {
			continue
		}
		q := t.topics[topic.Name]
		if topic.Err != sarama.ErrNoError && len(topic.Partitions) == 0 {
			if q != nil {
				q.seen = t.round // its partitions are unknown now
				q.markUnknown()
			}
			continue
		}
		if q == nil {
			q = &queueTopic{name: topic.Name, id: topic.Uuid, hidden: !wanted}
			t.topics[topic.Name] = q
		}
		if q.wasRecreated(topic) {
			q.recreate()
		}
		if topic.Uuid != noID {
			q.id = topic.Uuid
		}
		q.seen = t.round
		q.updatePartitions(topic.Partitions)
	}
	for name, q := range t.topics {
		if q.seen != t.round {
			delete(t.topics, name)
			t.unregisterMeter(name)
		}
	}
}

// markUnknown says that leaders and offsets of the topic's partitions are unknown in this round.
func (t *queueTopic) markUnknown() {
	for i := range t.partitions {
		t.partitions[i].leader, t.partitions[i].oldest, t.partitions[i].newest = unknown, unknown, unknown
	}
}

// maxPartitions is more than a topic can sensibly have: a partition with a higher number is ignored.
const maxPartitions = 1 << 16

// updatePartitions updates leaders and replicas of the partitions.
func (t *queueTopic) updatePartitions(partitions []*sarama.PartitionMetadata) {
	t.markUnknown()
	t.underReplicated, t.offline = 0, 0
	for _, p := range partitions {
		if p.ID < 0 || p.ID >= maxPartitions {
			continue
		}
		for int(p.ID) >= len(t.partitions) {
			n := queuePartition{leader: unknown, oldest: unknown, newest: unknown, counted: unknown}
			n.reset()
			t.partitions = append(t.partitions, n)
		}
		t.partitions[p.ID].leader = p.Leader
		t.partitions[p.ID].inSync = len(p.Isr)
		if p.Leader < 0 {
			t.offline++
		}
		if len(p.Isr) < len(p.Replicas) {
			t.underReplicated++
		}
	}
}

// underMinISR counts the partitions with fewer replicas in sync than the topic wants. ok is false while it is not known how many that are.
func (t *queueTopic) underMinISR() (n int, ok bool) {
	for i := range t.partitions {
		if t.partitions[i].inSync < t.minISR {
			n++
		}
	}
	return n, t.minISR > 0
}

// updateMessages updates the number of messages, and of those that were produced, when the offsets of all partitions are known.
func (t *queueTopic) updateMessages(now time.Time) {
	var messages int64
	for i := range t.partitions {
		p := &t.partitions[i]
		if p.newest == unknown || p.oldest == unknown {
			return
		}
		messages += max(0, p.newest-p.oldest)
	}
	t.messages.set(float64(messages), now)
	produced := int64(0)
	for i := range t.partitions {
		p := &t.partitions[i]
		produced += advance(&p.counted, p.newest)
	}
	t.produced.add(produced, now)
}

// updateOldest updates the timestamp of the oldest message, when the first records of all partitions are known.
func (t *queueTopic) updateOldest(now time.Time) {
	oldest := int64(unknown)
	for i := range t.partitions {
		switch p := &t.partitions[i]; {
		case p.newest == unknown || p.oldest == unknown:
			return
		case p.newest <= p.oldest:
		case p.firstOffset != p.oldest:
			return
		case p.firstTime == unknown:
			t.oldest.clear() // a record without a timestamp
			return
		case oldest == unknown || p.firstTime < oldest:
			oldest = p.firstTime
		}
	}
	if oldest == unknown {
		t.oldest.clear()
		return
	}
	t.oldest.set(float64(oldest)/1000, now)
}

// updateCommitted updates the offsets that a group has committed.
func (t *Target) updateCommitted(g *queueGroup, blocks map[string]map[int32]*sarama.OffsetFetchResponseBlock) {
	for name, partitions := range blocks {
		topic := t.topics[name]
		if topic == nil || topic.hidden {
			continue
		}
		gt := g.topics[name]
		if gt == nil || gt.topic != topic {
			gt = &groupTopic{topic: topic, generation: topic.generation}
		}
		if gt.update(partitions) {
			gt.seen = t.round
			g.topics[name] = gt
			topic.read = true
		}
	}
	for name, gt := range g.topics {
		if gt.seen != t.round {
			delete(g.topics, name)
		}
	}
}

// update updates the committed offsets, and reports whether the group has committed any in the topic.
func (gt *groupTopic) update(partitions map[int32]*sarama.OffsetFetchResponseBlock) bool {
	if gt.generation != gt.topic.generation {
		gt.reset()
	}
	for len(gt.partitions) < len(gt.topic.partitions) {
		gt.partitions = append(gt.partitions, groupPartition{committed: unknown, counted: unknown, lag: unknown, record: recordTime{offset: unknown}})
	}
	some := false
	for i := range gt.partitions {
		p := &gt.partitions[i]
		block := partitions[int32(i)]
		if block == nil || block.Err != sarama.ErrNoError || block.Offset < 0 {
			if block == nil || block.Err == sarama.ErrNoError {
				p.counted = unknown // the offset has expired: where the group goes on says nothing of what it has read
			}
			p.committed, p.lag, p.progress = unknown, unknown, progress{}
			continue
		}
		p.committed = block.Offset
		some = true
	}
	return some
}

// reset clears all values that depend on the records of the old log.
func (gt *groupTopic) reset() {
	partitions := gt.partitions[:min(len(gt.partitions), len(gt.topic.partitions))] // a new topic may have fewer
	*gt = groupTopic{topic: gt.topic, generation: gt.topic.generation, seen: gt.seen, partitions: partitions, consumed: gt.consumed}
	for i, p := range partitions {
		partitions[i] = groupPartition{committed: p.committed, counted: p.counted, lag: unknown, record: recordTime{offset: unknown}}
	}
}

// updateOffsets updates what the group has consumed, and how far it is behind in offsets, after the newest offsets are known.
func (gt *groupTopic) updateOffsets(now time.Time) {
	if gt.generation != gt.topic.generation {
		gt.reset()
	}
	consumed := int64(0)
	for i := range gt.partitions {
		p, of := &gt.partitions[i], &gt.topic.partitions[i]
		p.lag = unknown
		if p.committed == unknown {
			continue
		}
		consumed += advance(&p.counted, p.committed)
		if of.newest != unknown {
			p.lag = max(0, of.newest-p.committed)
		}
	}
	gt.consumed.add(consumed, now)
}

// updateLag updates the lag in records and the progress, after the look-ups: they have found out where only markers and
// aborted records follow.
func (gt *groupTopic) updateLag(allowed int64, round uint64, now time.Time) {
	lag, complete := int64(0), true
	for i := range gt.partitions {
		p, of := &gt.partitions[i], &gt.topic.partitions[i]
		switch {
		case p.committed == unknown:
			continue
		case p.lag == unknown:
			complete = false
			continue
		}
		// What follows in open transactions is no reason to move on, but it is there.
		p.lag = max(0, of.newest-p.next())
		lag += p.lag
		left := p.lag
		if p.nothingLeft(of, round) {
			left = 0
		}
		p.progress.observe(p.committed, left, allowed)
	}
	if complete {
		gt.lag.set(float64(lag), now)
	}
}

// updateLagSeconds updates the lag in seconds, which is the age of the oldest unread message, and the time until that
// message is lost.
func (gt *groupTopic) updateLagSeconds(t *Target, now time.Time) {
	oldest, unread, expired := int64(0), false, false
	for i := range gt.partitions {
		p, of := &gt.partitions[i], &gt.topic.partitions[i]
		if p.committed == unknown || p.lag == 0 {
			continue
		}
		if p.lag == unknown {
			return
		}
		millis, found := p.timestamp(of, t)
		switch found {
		case foundNothing:
			continue
		case foundExpired:
			expired = true
			continue
		case foundUnknown:
			gt.lagSeconds.clear()
			gt.timeToLoss.clear()
			return
		case foundNone:
			return // not in this round: the cached value stays
		}
		if !unread || millis < oldest {
			oldest, unread = millis, true
		}
	}
	switch {
	case expired:
		gt.lagSeconds.clear()
		gt.timeToLoss.set(0, now)
	case !unread:
		gt.lagSeconds.set(0, now)
		gt.timeToLoss.clear()
	default:
		lag := max(0, now.Sub(time.UnixMilli(oldest)))
		gt.lagSeconds.set(lag.Seconds(), now)
		if gt.topic.retention > 0 {
			gt.timeToLoss.set(max(0, gt.topic.retention-lag).Seconds(), now)
		} else {
			gt.timeToLoss.clear()
		}
	}
}

// condition is the worst of the group's partitions: undecided when it is good as far as is known, but not all is known.
func (g *queueGroup) condition(allowed int64) condition {
	worst, open := undecided, false
	for _, gt := range g.topics {
		for i := range gt.partitions {
			if p := &gt.partitions[i]; p.committed != unknown {
				c := p.progress.condition(allowed, g.abandoned())
				worst = max(worst, c)
				open = open || c == undecided
			}
		}
	}
	if open && worst <= conditionOK {
		return undecided
	}
	return worst
}

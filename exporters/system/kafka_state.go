package system

import (
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// held is a value that stays when a round cannot tell it, until it is too old.
type held struct {
	value float64
	at    time.Time
}

func (h *held) set(value float64, now time.Time) { *h = held{value, now} }

// drop forgets the value: it is known that there is none.
func (h *held) drop() { *h = held{} }

func (h *held) get(now time.Time, maxAge time.Duration) (float64, bool) {
	return h.value, !h.at.IsZero() && now.Sub(h.at) <= maxAge
}

// unknown stands for an offset, or a time in milliseconds, that is not known.
const unknown = -1

// queueTopic is what is known of a topic.
type queueTopic struct {
	name       string
	id         sarama.Uuid
	generation int  // grows when the topic turns out to be another one by the same name
	hidden     bool // read for the dead letters only
	read       bool // by a group that is watched
	seen       uint64
	partitions []queuePartition

	under, offline int

	messages, produced, oldest held

	// retention is how long messages are kept; 0: for ever, or not known.
	retention time.Duration
	asked     time.Time // when the configuration was asked for
}

// queuePartition is what is known of a partition.
type queuePartition struct {
	leader         int32
	oldest, newest int64 // of this round, or unknown
	last           int64 // newest offset that was ever seen
	// The time of the first record, in milliseconds, for an oldest offset.
	firstOffset, firstTime int64
	// arrivals are the newest offsets of the last rounds, for topics that a group reads: they tell within an interval when a
	// record came.
	arrivals []int64
}

// anew forgets what belongs to the records that were there.
func (t *queueTopic) anew() {
	t.generation++
	t.messages.drop()
	t.produced.drop()
	t.oldest.drop()
	for i := range t.partitions {
		t.partitions[i].forget()
	}
}

func (p *queuePartition) forget() {
	p.last, p.firstOffset, p.firstTime = unknown, unknown, unknown
	p.arrivals = nil
}

// queueGroup is what is known of a consumer group.
type queueGroup struct {
	seen    uint64 // round in which it was listed last
	state   string
	at      time.Time // when it was listed last
	members held
	topics  map[string]*groupTopic
}

// abandoned reports whether nobody reads on behalf of the group.
func (g *queueGroup) abandoned() bool { return g.state == "empty" || g.state == "dead" }

// groupTopic is what is known of a topic that a group reads.
type groupTopic struct {
	topic      *queueTopic
	generation int
	seen       uint64 // round in which its offsets were read last
	partitions []groupPartition

	consumed, lag, lagSeconds, timeToLoss held
}

// groupPartition is what is known of a partition that a group reads.
type groupPartition struct {
	committed int64 // or unknown
	lag       int64 // or unknown
	course    course
	record    recordTime
	looked    uint64 // round in which a record was looked up last
}

// recordTime is what a look-up has found at an offset.
type recordTime struct {
	offset int64
	found  finding
	millis int64 // for foundTime: of the first record at or after the offset
	next   int64 // for foundNothing: where to read on
}

type finding uint8

const (
	foundNone    finding = iota // not looked up
	foundTime                   // the record's timestamp
	foundNothing                // there is no record up to next, only the marks of transactions
	foundExpired                // the record has expired
	foundUnknown                // the record cannot be read, or has no timestamp
)

// seeTopics takes over what the metadata say. Topics that are gone are forgotten.
func (t *kafkaTarget) seeTopics(m *sarama.MetadataResponse) {
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
				q.seen = t.round // its partitions are not known now
				q.lose()
			}
			continue
		}
		if q == nil {
			q = &queueTopic{name: topic.Name, id: topic.Uuid, hidden: !wanted}
			t.topics[topic.Name] = q
		}
		if q.id != topic.Uuid {
			q.anew()
			q.id, q.asked, q.retention = topic.Uuid, time.Time{}, 0
		}
		q.seen = t.round
		q.place(topic.Partitions)
	}
	for name, q := range t.topics {
		if q.seen != t.round {
			delete(t.topics, name)
			t.forgetMeter(name)
		}
	}
}

// lose says that the topic's partitions cannot be asked in this round.
func (t *queueTopic) lose() {
	for i := range t.partitions {
		t.partitions[i].leader, t.partitions[i].oldest, t.partitions[i].newest = unknown, unknown, unknown
	}
}

// maxPartitions is more than a topic can sensibly have: a number beyond is not believed.
const maxPartitions = 1 << 16

// place takes over where the partitions are.
func (t *queueTopic) place(partitions []*sarama.PartitionMetadata) {
	t.lose()
	t.under, t.offline = 0, 0
	for _, p := range partitions {
		if p.ID < 0 || p.ID >= maxPartitions {
			continue
		}
		for int(p.ID) >= len(t.partitions) {
			n := queuePartition{leader: unknown, oldest: unknown, newest: unknown}
			n.forget()
			t.partitions = append(t.partitions, n)
		}
		t.partitions[p.ID].leader = p.Leader
		if p.Leader < 0 {
			t.offline++
		}
		if len(p.Isr) < len(p.Replicas) {
			t.under++
		}
	}
}

// count takes stock of the topic, when the offsets of all its partitions are known.
func (t *queueTopic) count(now time.Time) {
	var messages, produced int64
	for i := range t.partitions {
		p := &t.partitions[i]
		if p.newest == unknown || p.oldest == unknown {
			return
		}
		messages += max(0, p.newest-p.oldest)
		produced += p.newest
	}
	t.messages.set(float64(messages), now)
	t.produced.set(float64(produced), now)
}

// age finds the oldest message, when the first records of all partitions are known.
func (t *queueTopic) age(now time.Time) {
	oldest := int64(unknown)
	for i := range t.partitions {
		switch p := &t.partitions[i]; {
		case p.newest == unknown || p.oldest == unknown:
			return
		case p.newest <= p.oldest:
		case p.firstOffset != p.oldest:
			return
		case p.firstTime == unknown:
			t.oldest.drop() // a record without a timestamp
			return
		case oldest == unknown || p.firstTime < oldest:
			oldest = p.firstTime
		}
	}
	if oldest == unknown {
		t.oldest.drop()
		return
	}
	t.oldest.set(float64(oldest)/1000, now)
}

// readOffsets takes over the offsets that a group has committed.
func (t *kafkaTarget) readOffsets(g *queueGroup, blocks map[string]map[int32]*sarama.OffsetFetchResponseBlock) {
	for name, partitions := range blocks {
		topic := t.topics[name]
		if topic == nil || topic.hidden {
			continue
		}
		gt := g.topics[name]
		if gt == nil || gt.topic != topic {
			gt = &groupTopic{topic: topic, generation: topic.generation}
		}
		if gt.read(partitions) {
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

// read reports whether the group has committed an offset in the topic, and takes them over.
func (gt *groupTopic) read(partitions map[int32]*sarama.OffsetFetchResponseBlock) bool {
	for len(gt.partitions) < len(gt.topic.partitions) {
		gt.partitions = append(gt.partitions, groupPartition{committed: unknown, lag: unknown, record: recordTime{offset: unknown}})
	}
	some := false
	for i := range gt.partitions {
		p := &gt.partitions[i]
		block := partitions[int32(i)]
		if block == nil || block.Err != sarama.ErrNoError || block.Offset < 0 {
			p.committed, p.lag, p.course = unknown, unknown, course{}
			continue
		}
		p.committed = block.Offset
		some = true
	}
	return some
}

// anew forgets what belongs to the records that were there.
func (gt *groupTopic) anew() {
	partitions := gt.partitions
	*gt = groupTopic{topic: gt.topic, generation: gt.topic.generation, seen: gt.seen, partitions: partitions}
	for i := range partitions {
		partitions[i] = groupPartition{committed: partitions[i].committed, lag: unknown, record: recordTime{offset: unknown}}
	}
}

// measure finds how much the group has not read, after the newest offsets are known.
func (gt *groupTopic) measure(allowed int64, now time.Time) {
	if gt.generation != gt.topic.generation {
		gt.anew()
	}
	var consumed, lag int64
	whole := true
	for i := range gt.partitions {
		p, of := &gt.partitions[i], &gt.topic.partitions[i]
		switch {
		case p.committed == unknown:
			continue
		case of.newest == unknown:
			p.lag = unknown
			whole = false
		default:
			p.lag = max(0, of.newest-p.committed)
			lag += p.lag
			p.course.observe(p.committed, p.lag, allowed)
		}
		consumed += p.committed
	}
	gt.consumed.set(float64(consumed), now)
	if whole {
		gt.lag.set(float64(lag), now)
	}
}

// wait finds how long the oldest unread message has waited, and how long until it is lost.
func (gt *groupTopic) wait(t *kafkaTarget, now time.Time) {
	oldest, unread, expired := int64(0), false, false
	for i := range gt.partitions {
		p, of := &gt.partitions[i], &gt.topic.partitions[i]
		if p.committed == unknown || p.lag == 0 {
			continue
		}
		if p.lag == unknown {
			return
		}
		millis, found := p.since(of, t)
		switch found {
		case foundNothing:
			continue
		case foundExpired:
			expired = true
			continue
		case foundUnknown:
			gt.lagSeconds.drop()
			gt.timeToLoss.drop()
			return
		case foundNone:
			return // not this time: what is held stays
		}
		if !unread || millis < oldest {
			oldest, unread = millis, true
		}
	}
	switch {
	case expired:
		gt.lagSeconds.drop()
		gt.timeToLoss.set(0, now)
	case !unread:
		gt.lagSeconds.set(0, now)
		gt.timeToLoss.drop()
	default:
		lag := max(0, now.Sub(time.UnixMilli(oldest)))
		gt.lagSeconds.set(lag.Seconds(), now)
		if gt.topic.retention > 0 {
			gt.timeToLoss.set(max(0, gt.topic.retention-lag).Seconds(), now)
		} else {
			gt.timeToLoss.drop()
		}
	}
}

// condition is the worst of the group's partitions: undecided when it is good as far as is known, but not all is known.
func (g *queueGroup) condition(allowed int64) condition {
	worst, open := undecided, false
	for _, gt := range g.topics {
		for i := range gt.partitions {
			if p := &gt.partitions[i]; p.committed != unknown {
				c := p.course.judge(allowed, g.abandoned())
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

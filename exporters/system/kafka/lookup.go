package kafka

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// The lag in seconds needs the timestamp of the next record to read. To look one up costs a part of a fetch, so there is a
// budget for each round; the result is kept until the committed offset moves, so that a group that has stopped costs nothing.
// Where the budget does not suffice, two known points bracket the timestamp: the newest offset of each of the last rounds,
// and the record that was looked up last. Nothing is ever extrapolated.

const (
	// arrivalRounds is how many rounds the newest offsets are kept: with one every 15 seconds, four minutes.
	arrivalRounds = 16
	// lookupsPerFetch and lookupBytes bound one request: a batch of a producer with default settings fits.
	lookupsPerFetch = 32
	lookupBytes     = 32 << 10
	// singleLookups bounds how many partitions of a broker are fetched one by one in a round, because a batch is larger.
	singleLookups = 4
	// skipBytes and skipsPerRound bound what a round passes over of aborted transactions that are longer than a look-up.
	skipBytes     = 1 << 20
	skipsPerRound = 4
	// firstsPerRound bounds for how many partitions of a broker the oldest timestamp is fetched in a round, in one request.
	firstsPerRound = 2000
	// retryAfterRounds is how many rounds after a failed look-up the same record is tried again.
	retryAfterRounds = 20
)

// recordArrival keeps the newest offset of this round.
func (p *queuePartition) recordArrival(round uint64) {
	if p.arrivals == nil {
		p.arrivals = make([]int64, arrivalRounds)
		for i := range p.arrivals {
			p.arrivals[i] = unknown
		}
	}
	p.arrivals[round%arrivalRounds] = p.newest
}

// bracket estimates when the record at an offset arrived, from the newest offsets of the last rounds: it arrived after the
// last round in which the newest offset was not beyond it, and before the next. The point before may also be a look-up.
func (p *queuePartition) bracket(offset int64, before recordTime, t *Target) (millis int64, ok bool) {
	type point struct{ offset, millis int64 }
	left, right := point{offset: unknown}, point{offset: unknown}
	if before.found == foundTime && before.offset <= offset {
		left = point{before.offset, before.millis}
	}
	if p.arrivals == nil {
		return 0, false
	}
	for age := range uint64(arrivalRounds) { // from the newest round to the oldest
		if age >= t.round {
			break
		}
		round := (t.round - age) % arrivalRounds
		newest, at := p.arrivals[round], t.times[round].UnixMilli()
		if newest == unknown {
			continue
		}
		if newest <= offset {
			left = point{newest, at}
			break
		}
		right = point{newest, at}
	}
	if left.offset == unknown || right.offset == unknown || right.offset <= offset {
		return 0, false
	}
	share := (float64(offset-left.offset) + 0.5) / float64(right.offset-left.offset)
	return left.millis + int64(share*float64(right.millis-left.millis)), true
}

// timestamp returns when the oldest unread message was written. foundNone: it was not looked up and cannot be bracketed.
func (p *groupPartition) timestamp(of *queuePartition, t *Target) (millis int64, found finding) {
	if of.oldest != unknown && p.committed < of.oldest {
		return 0, foundExpired
	}
	if r := p.record; r.offset == p.committed {
		switch r.found {
		case foundTime, foundExpired, foundUnknown:
			return r.millis, r.found
		case foundNothing:
			if p.nothingLeft(of, t.round) {
				return 0, foundNothing
			}
		}
	}
	if millis, ok := of.bracket(p.next(), p.record, t); ok {
		return millis, foundTime
	}
	return 0, foundNone
}

// next is the offset of the record to read next, as far as is known: markers and aborted records are passed over.
func (p *groupPartition) next() int64 {
	if r := p.record; r.offset == p.committed && r.found == foundNothing {
		return r.next
	}
	return p.committed
}

// nothingLeft reports whether it is known that nothing can be read now: only markers and aborted records follow, and, when it
// was looked up in this round, transactions that are open.
func (p *groupPartition) nothingLeft(of *queuePartition, round uint64) bool {
	if p.lag == 0 {
		return true
	}
	r := p.record
	return r.offset == p.committed && r.found == foundNothing && (r.next >= of.newest || r.atEnd && p.lookedUpAt == round)
}

// nextLookup reports whether a record has to be looked up, and at which offset.
func (p *groupPartition) nextLookup(of *queuePartition, round uint64) (offset int64, ok bool) {
	if p.committed == unknown || p.lag <= 0 || of.oldest == unknown || p.committed < of.oldest {
		return 0, false
	}
	if r := p.record; r.offset == p.committed {
		switch r.found {
		case foundTime, foundExpired:
			return 0, false
		case foundUnknown:
			return r.offset, round-p.lookedUpAt >= retryAfterRounds
		case foundNothing:
			return r.next, r.next < of.newest
		}
	}
	return p.committed, true
}

// lookup is a record to look up.
type lookup struct {
	position
	groups []*groupPartition // those whose committed offset it is
}

// candidate is a record to look up for one group, if the budget allows.
type candidate struct {
	position
	leader    int32
	group     *groupPartition
	bracketed bool // its timestamp can be bracketed meanwhile
}

// lookups chooses the records to look up in this round, by broker: first those that cannot be bracketed, then those that were
// looked up longest ago. A record that is next for several groups counts once.
func (t *Target) lookups() map[int32][]*lookup {
	if *t.config.LookupsPerRound == 0 {
		return nil
	}
	var candidates []candidate
	for _, g := range t.groups {
		for _, gt := range g.topics {
			if gt.seen != t.round {
				continue
			}
			for i := range gt.partitions {
				p, of := &gt.partitions[i], &gt.topic.partitions[i]
				if offset, ok := p.nextLookup(of, t.round); ok {
					_, bracketed := of.bracket(p.next(), p.record, t)
					candidates = append(candidates, candidate{position{gt.topic.name, int32(i), offset}, of.leader, p, bracketed})
				}
			}
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		if a.bracketed != b.bracketed {
			if b.bracketed {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.group.lookedUpAt, b.group.lookedUpAt), cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	chosen := map[position]*lookup{}
	byLeader := map[int32][]*lookup{}
	for _, w := range candidates {
		if same := chosen[w.position]; same != nil {
			same.groups = append(same.groups, w.group)
			continue
		}
		if len(chosen) < *t.config.LookupsPerRound {
			l := &lookup{w.position, []*groupPartition{w.group}}
			chosen[w.position] = l
			byLeader[w.leader] = append(byLeader[w.leader], l)
		}
	}
	return byLeader
}

// lookUp does the look-ups of one broker.
func (t *Target) lookUp(ctx context.Context, b *brokerConn, all []*lookup) {
	var single []*lookup
	for chunk := range chunksOf(all, lookupsPerFetch) {
		if left := t.lookUpChunk(ctx, b, chunk, lookupBytes); len(chunk) > 1 {
			single = append(single, left...)
		} else {
			markUnreadable(left)
		}
		if b.failed != nil {
			return
		}
	}
	for _, w := range single[:min(len(single), singleLookups)] {
		markUnreadable(t.lookUpChunk(ctx, b, []*lookup{w}, lookupBytes))
		if b.failed != nil {
			return
		}
	}
	skips := 0
	for _, w := range all {
		for ; skips < skipsPerRound && w.unfinished(); skips++ {
			w.offset = w.groups[0].record.next
			markUnreadable(t.lookUpChunk(ctx, b, []*lookup{w}, skipBytes))
			if b.failed != nil {
				return
			}
		}
	}
}

// unfinished reports whether the look-up has found only markers and aborted records, and more follows.
func (w *lookup) unfinished() bool {
	r := w.groups[0].record
	return r.found == foundNothing && !r.atEnd && r.next > w.offset
}

// chunksOf cuts the list, without two offsets of the same partition in one chunk: a request has room for one.
func chunksOf(all []*lookup, size int) func(yield func([]*lookup) bool) {
	return func(yield func([]*lookup) bool) {
		type place struct {
			topic     string
			partition int32
		}
		for len(all) > 0 {
			var chunk, rest []*lookup
			taken := map[place]bool{}
			for _, w := range all {
				at := place{w.topic, w.partition}
				if len(chunk) == size || taken[at] {
					rest = append(rest, w)
					continue
				}
				taken[at] = true
				chunk = append(chunk, w)
			}
			if !yield(chunk) {
				return
			}
			all = rest
		}
	}
}

func markUnreadable(all []*lookup) {
	for _, w := range all {
		w.set(recordTime{found: foundUnknown})
	}
}

// set sets the result for all groups that read the record next.
func (w *lookup) set(r recordTime) {
	for _, p := range w.groups {
		r.offset = p.committed
		p.record = r
	}
}

// lookUpChunk looks up some records with one fetch, and returns those for which the response had no room, or that could not
// be decoded together.
func (t *Target) lookUpChunk(ctx context.Context, b *brokerConn, chunk []*lookup, eachBytes int32) (left []*lookup) {
	positions := make([]position, len(chunk))
	for i, w := range chunk {
		positions[i] = w.position
		for _, p := range w.groups {
			p.lookedUpAt = t.round
		}
	}
	blocks, err := b.fetch(ctx, positions, eachBytes, lookupsPerFetch*eachBytes) // each position has its own bound
	if err != nil {
		if undecodable(err) {
			return chunk // the broker is healthy, a record is damaged
		}
		return nil
	}
	for _, w := range chunk {
		block := blocks[w.topic][w.partition]
		if block == nil {
			continue
		}
		switch r, ok := firstRecord(block, w.offset); {
		case !ok:
			left = append(left, w)
		case r.found != foundNone:
			w.set(r)
		}
	}
	return left
}

// firstRecord finds the timestamp of the first record at or after an offset. It is not ok when the block brings nothing where
// something must be.
func firstRecord(block *sarama.FetchResponseBlock, offset int64) (r recordTime, ok bool) {
	switch block.Err {
	case sarama.ErrNoError:
	case sarama.ErrOffsetOutOfRange:
		return recordTime{found: foundExpired}, true
	case sarama.ErrTopicAuthorizationFailed:
		return recordTime{found: foundUnknown}, true
	default:
		return recordTime{}, true // the leader has moved, or the topic is gone: the next round's metadata will say
	}
	next := offset
	for batch, messages := range batches(block) {
		if batch == nil {
			return recordTime{found: foundUnknown}, true // the format of before Kafka 0.11
		}
		if messages {
			for _, record := range batch.Records {
				if batch.FirstOffset+record.OffsetDelta < offset {
					continue
				}
				at := batch.FirstTimestamp.Add(record.TimestampDelta)
				if batch.LogAppendTime {
					at = batch.MaxTimestamp
				}
				if at.UnixMilli() < 0 || at.IsZero() {
					return recordTime{found: foundUnknown}, true
				}
				return recordTime{found: foundTime, millis: at.UnixMilli()}, true
			}
		}
		next = max(next, batch.LastOffset()+1)
	}
	if next > offset || block.LastStableOffset <= offset {
		return recordTime{found: foundNothing, next: next, atEnd: next >= block.LastStableOffset}, true
	}
	return recordTime{}, false
}

// fetchOldestTimestamps fetches the timestamps of the oldest records of the broker's partitions, in one request: ListOffsets
// for the time 0.
func (t *Target) fetchOldestTimestamps(ctx context.Context, id int32, b *brokerConn) error {
	room := firstsPerRound
	asked := map[*queuePartition]int64{}
	blocks, err := b.offsetsAt(ctx, 0, func(add func(string, int32)) {
		for name, topic := range t.topics {
			for i := range topic.partitions {
				p := &topic.partitions[i]
				if p.leader == id && p.newest > p.oldest && p.oldest != unknown && p.firstOffset != p.oldest && room > 0 {
					add(name, int32(i))
					asked[p] = p.oldest
					room--
				}
			}
		}
	})
	if err != nil {
		return err
	}
	for name, partitions := range blocks {
		for i, block := range partitions {
			p := t.partition(name, i)
			if p == nil || block.Err != sarama.ErrNoError {
				continue
			}
			p.firstOffset, p.firstTime = asked[p], unknown
			if block.Offset >= 0 && block.Timestamp >= 0 {
				p.firstTime = block.Timestamp
			}
		}
	}
	return nil
}

// partition finds a partition, or nil.
func (t *Target) partition(topic string, i int32) *queuePartition {
	q := t.topics[topic]
	if q == nil || i < 0 || int(i) >= len(q.partitions) {
		return nil
	}
	return &q.partitions[i]
}

// fetchConfigs fetches the configuration of the topics that are exported: of new ones, and of all again from time to time.
func (t *Target) fetchConfigs(ctx context.Context, b *brokerConn, now time.Time) error {
	var due []string
	for name, topic := range t.topics {
		if !topic.hidden && now.Sub(topic.configuredAt) >= configAge && len(due) < configsPerRound {
			due = append(due, name)
		}
	}
	if len(due) == 0 {
		return nil
	}
	for _, name := range due {
		t.topics[name].configuredAt = now // also without the permission to describe it: not again each round
	}
	return b.topicConfigs(ctx, due, func(name string, config map[string]string) {
		topic := t.topics[name]
		if topic == nil {
			return
		}
		topic.retention, topic.minISR = 0, 0
		if n, err := strconv.Atoi(config["min.insync.replicas"]); err == nil {
			topic.minISR = n
		}
		millis, err := strconv.ParseInt(config["retention.ms"], 10, 64)
		if err == nil && millis > 0 && strings.Contains(config["cleanup.policy"], "delete") {
			topic.retention = time.Duration(min(millis, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
		}
	})
}

// configAge is how long a topic's configuration is cached.
const configAge = 10 * time.Minute

// configsPerRound bounds of how many topics the configuration is fetched in a round, in one request.
const configsPerRound = 1000

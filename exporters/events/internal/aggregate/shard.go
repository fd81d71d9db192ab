package aggregate

import (
	"math"
	"math/bits"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/interner"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
)

// Shard counts one partition. One goroutine at a time counts; a scrape freezes the current values, and counting goes on
// beside it. Every value is there three times:
//
//	current       everything that was counted
//	inFlight      the values that the scrape in flight exposes
//	acknowledged  the values that were delivered, or may have been: they are never rolled back
//
// So pending is current less inFlight, and in flight is inFlight less acknowledged. The three are copied, never added
// up: what is exposed can only grow, and a sum of floats has no rounding that depends on when a scrape came.
type Shard struct {
	aggregator *Aggregator
	mapping    *mapping.Compiled
	topic      string
	partition  int32

	mu       sync.Mutex // held while a batch is counted, and for a freeze
	decoder  cloudevent.Decoder
	problem  cloudevent.Problem // of the last record that was not counted
	dedup    dedupWindow
	assigned bool
	topicID  string // of the last assignment
	start    int64  // offset of the last assignment
	replayed bool   // all duplicates of what stands before start are recognised
	next     int64  // offset up to which current counts
	end      int64  // of the partition, -1 when unknown
	newest   int64  // time of the newest record, in milliseconds

	index     keyIndex
	states    []seriesState
	current   []uint64
	dirty     []uint32 // indexes of the states that have changed since the last freeze
	exemplars []exemplar
	gauges    map[gaugeKey]gauge
	lastSweep int64         // when expired gauges were last deleted, in milliseconds
	records   [outcomes]int // where the words of consignwatch_records_total start
	delay     int           // where the words of consignwatch_record_delay_seconds start
	eventTime int64         // of the record being counted: its event's time, or else its own, in milliseconds; 0 when unknown

	// Scratch for one record.
	labels     []uint32
	integers   []uint64
	floats     []float64
	exponents  []uint8
	absent     []bool
	conditions []bool

	// The fields below are guarded by the Aggregator's lock.
	inFlight, acknowledged []uint64
	exposure               []exposureState
	frozenAt               []int64 // when each state was last frozen, in milliseconds
	inFlightStates         []uint32
	inFlightOffset         int64
	acknowledgedOffset     int64
	generation             uint64
}

// seriesState is the state of a series in a shard. Its values stand in current, inFlight and acknowledged from index at
// on: a header, and the words of the metric. The header in current holds the index of the state, and whether that is in
// the list dirty: it lies beside the words that change.
type seriesState struct {
	series    *series
	at        int
	exemplars int // index of its first bucket's exemplar, -1 when it has none
}

const dirtyBit = 1 << 63

// exposureState says whether a series may be exposed.
type exposureState uint8

const (
	unexposed exposureState = iota // all its values are pending
	inFlight                       // exposed by the scrape in flight, for the first time
	exposed                        // exposed by every scrape from now on
)

// exemplar is the latest trace of a bucket. Its digits are validated when it is encoded.
type exemplar struct {
	ids   [48]byte // trace and span, in hexadecimal
	time  int64    // milliseconds since 1970, 0 when there is none
	value float64
}

// keyIndex maps the key of a series to the index of its words. Linear probing, at most half full, rebuilt when it grows.
type keyIndex struct {
	slots []keyIndexSlot
	shift uint8
	used  int
}

type keyIndexSlot struct {
	key uint64
	at  int
}

func newKeyIndex(size int) keyIndex {
	return keyIndex{slots: make([]keyIndexSlot, size), shift: uint8(64 - bits.TrailingZeros(uint(size)))}
}

// find returns the index of the words of a key, or -1.
func (t *keyIndex) find(key uint64) int {
	mask := uint64(len(t.slots) - 1)
	for i := (key * 0x9e3779b97f4a7c15) >> (t.shift & 63); ; i++ {
		s := &t.slots[i&mask]
		if s.key == key {
			return s.at
		}
		if s.key == 0 {
			return -1
		}
	}
}

func (t *keyIndex) put(key uint64, at int) {
	if 2*(t.used+1) > len(t.slots) {
		old := t.slots
		*t = newKeyIndex(2 * len(old))
		for _, s := range old {
			if s.key != 0 {
				t.put(s.key, s.at)
			}
		}
	}
	mask := uint64(len(t.slots) - 1)
	i := (key * 0x9e3779b97f4a7c15) >> (t.shift & 63)
	for t.slots[i&mask].key != 0 {
		i++
	}
	t.slots[i&mask] = keyIndexSlot{key, at}
	t.used++
}

func newShard(a *Aggregator, topic string, partition int32) *Shard {
	m := a.mapping
	s := &Shard{aggregator: a, mapping: m, topic: topic, partition: partition, index: newKeyIndex(64), gauges: map[gaugeKey]gauge{}}
	s.decoder = cloudevent.NewDecoder(m.Layout)
	s.dedup = dedupWindow{span: a.options.DedupeSpan, seed: a.seed}
	s.labels = make([]uint32, m.MaxLabels)
	s.integers = make([]uint64, m.MaxValues)
	s.floats = make([]float64, m.MaxValues)
	s.exponents = make([]uint8, m.MaxValues)
	s.absent = make([]bool, m.MaxValues)
	s.conditions = make([]bool, m.MaxConditions)
	return s
}

// initStreamSeries initializes to 0 the series about the stream itself.
func (s *Shard) initStreamSeries() {
	topic, _ := s.mapping.Records.Interners[0].Reserve(s.topic)
	for o := range outcomes {
		outcome, _ := s.mapping.Records.Interners[1].Reserve(o.String())
		s.records[o] = s.findOrAdd(s.mapping.Records, s.mapping.Records.Key([]uint32{topic, outcome}))
		s.markDirty(s.records[o])
	}
	s.delay = s.findOrAdd(s.mapping.Delay, s.mapping.Delay.Key([]uint32{topic}))
	s.markDirty(s.delay)
}

// Count counts one record. When the outcome is neither Counted, Duplicate, AlreadyCounted nor NeedsReplay, the problem says
// why. Offsets must grow; a record before the offset up to which the shard has counted is AlreadyCounted.
func (s *Shard) Count(now time.Time, r *cloudevent.Record) (Outcome, cloudevent.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.count(now.UnixMilli(), r)
	if o <= Duplicate || o >= outcomes {
		return o, cloudevent.Problem{}
	}
	return o, s.problem
}

// CountBatch counts records under one lock, and calls bad for each one with a problem. It returns how many it is done with:
// all, unless the replay was deferred and records[n] NeedsReplay.
func (s *Shard) CountBatch(now time.Time, records []cloudevent.Record, bad func(r *cloudevent.Record, o Outcome, p cloudevent.Problem)) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := now.UnixMilli()
	for i := range records {
		o := s.count(ms, &records[i])
		if o == NeedsReplay {
			return i
		}
		if o > Duplicate && o < outcomes {
			bad(&records[i], o, s.problem)
		}
	}
	return len(records)
}

// Skip counts n records as o without looking at them: those of a batch at the offsets from from up to, but not including,
// to, which cannot be read. It counts as Count does. Of a batch that the start offset divides it counts no more than there
// are offsets left; one that lies before the offset up to which the shard has counted is AlreadyCounted.
func (s *Shard) Skip(from, to int64, o Outcome, n int64) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to <= s.next || !s.assigned {
		return AlreadyCounted
	}
	n = min(n, to-max(from, s.next))
	s.next = to
	at := s.records[o]
	s.markDirty(at)
	s.current[at+1] += uint64(max(n, 0))
	return o
}

// Advance says that there is nothing to count at the offsets before to that the shard has not counted: transaction markers,
// records of aborted transactions, or what compaction has removed. The offset that scrapes expose moves there.
func (s *Shard) Advance(to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.assigned {
		s.next = max(s.next, to)
	}
}

// Replay adds a record before the start offset to the dedup window, so that its duplicates after the start offset are
// recognised. It counts nothing. To recognise all duplicates, replay the last Aggregator.DedupeSpan offsets before the
// start offset, in their order.
func (s *Shard) Replay(r *cloudevent.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Offset >= s.next {
		return
	}
	if e, o := s.read(r); o == Counted && e.Dedupe {
		s.dedup.add(s.identity(), r.Offset)
	}
}

// DeferReplay leaves the replay until an event needs it; call it after Assign. A partition without events that count once is
// then never replayed. The first such event, unless it stands a whole span behind the start offset, is not counted:
// it NeedsReplay. Then replay the offsets from Aggregator.DedupeSpan before that event up to the start offset, call
// Replayed, and count on from that event. Duplicates are recognised exactly as after a replay at once, because no event
// between the start offset and this one could be one.
func (s *Shard) DeferReplay() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replayed = false
}

// Replayed says that a deferred replay is done.
func (s *Shard) Replayed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replayed = true
}

// The hot path starts here: BenchmarkCount.

func (s *Shard) count(now int64, r *cloudevent.Record) Outcome {
	if r.Offset < s.next || !s.assigned {
		return AlreadyCounted
	}
	e, o := s.read(r)
	if !s.replayed && o == Counted && e.Dedupe && r.Offset-s.dedup.span < s.start {
		return NeedsReplay
	}
	s.next = r.Offset + 1
	if o <= UnknownType {
		s.observeTime(now, r)
	}
	if o == Counted {
		if e.Dedupe && s.dedup.add(s.identity(), r.Offset) {
			o = Duplicate
		} else {
			s.resolveLabels(e, now)
			s.applyRules(e, now, r)
		}
	}
	at := s.records[o]
	s.markDirty(at)
	s.current[at+1]++
	return o
}

// read decodes a record, finds the compiled event of its type, and checks that every value is there. It counts nothing.
func (s *Shard) read(r *cloudevent.Record) (*mapping.Event, Outcome) {
	d := &s.decoder
	if len(r.Value) > s.aggregator.options.MaxBytes {
		s.problem = cloudevent.Problem{Reason: cloudevent.Oversize, At: -1}
		return nil, Oversized
	}
	if !d.Decode(r) {
		if s.problem = d.Problem(); s.problem.Reason == cloudevent.InvalidUTF8 {
			return nil, NotUTF8
		}
		return nil, Malformed
	}
	e := s.mapping.Event(d.Attribute(cloudevent.SlotType))
	if e == nil {
		s.problem = cloudevent.Problem{Reason: cloudevent.Unmapped, At: -1}
		return nil, UnknownType
	}
	for i := range e.Conditions {
		s.conditions[i] = s.meets(&e.Conditions[i])
	}
	for i := range e.Values {
		v := &e.Values[i]
		if v.Condition >= 0 && !s.conditions[v.Condition] {
			continue
		}
		if why, slot := s.resolveValue(i, v); why != "" {
			s.problem = cloudevent.Problem{Reason: why, Field: s.mapping.Layout.Name(slot), At: -1}
			return nil, Malformed
		}
	}
	return e, Counted
}

// meets reports whether an event meets a condition.
func (s *Shard) meets(c *mapping.Condition) bool {
	v := s.decoder.Get(c.Slot)
	if v == nil {
		return false
	}
	if c.Kind == cloudevent.KindText {
		return (v.Kind == cloudevent.KindText || v.Kind == cloudevent.KindEscaped) && c.Equals == string(s.decoder.Text(v))
	}
	return v.Kind == c.Kind
}

// resolveValue resolves the i-th value of an event.
func (s *Shard) resolveValue(i int, p *mapping.Value) (why cloudevent.Reason, slot int) {
	v := s.decoder.Get(p.Slot)
	s.absent[i] = v == nil
	if v == nil {
		if p.Optional {
			return "", 0
		}
		return cloudevent.MissingValue, p.Slot
	}
	if v.Kind != cloudevent.KindNumber {
		return cloudevent.NotANumber, p.Slot
	}
	if p.Kind == mapping.FloatValue {
		return s.resolveFloat(i, p, v)
	}
	n, why := v.Integer(maxAmount)
	if why == cloudevent.BelowZero && p.Clamp {
		n, why = 0, ""
	}
	if why != "" {
		return why, p.Slot
	}
	s.integers[i] = n
	if p.Kind == mapping.MoneyValue {
		c := s.decoder.Get(p.Currency)
		if c == nil || c.Kind != cloudevent.KindText && c.Kind != cloudevent.KindEscaped {
			return cloudevent.UnknownCurrency, p.Currency
		}
		exponent := s.aggregator.exponents.of(s.decoder.Text(c))
		if exponent == noCurrency {
			return cloudevent.UnknownCurrency, p.Currency
		}
		s.exponents[i] = exponent
	}
	return "", 0
}

// maxFloat is the largest valid value: more than thirty years, in seconds.
const maxFloat = 1e9

func (s *Shard) resolveFloat(i int, p *mapping.Value, v *cloudevent.Value) (why cloudevent.Reason, slot int) {
	f := v.Float()
	if p.Minus >= 0 {
		m := s.decoder.Get(p.Minus)
		switch {
		case m == nil:
			return cloudevent.MissingValue, p.Minus
		case m.Kind != cloudevent.KindNumber:
			return cloudevent.NotANumber, p.Minus
		}
		f -= m.Float()
	}
	if f < 0 && p.Clamp {
		f = 0
	}
	switch {
	case f < 0:
		return cloudevent.BelowZero, p.Slot
	case !(f <= maxFloat):
		return cloudevent.TooLarge, p.Slot
	}
	s.floats[i] = f
	return "", 0
}

// identity is the hash of what identifies an event: its source and id.
func (s *Shard) identity() uint64 {
	return s.dedup.hash(s.decoder.Attribute(cloudevent.SlotSource), s.decoder.Attribute(cloudevent.SlotID))
}

// maxAhead is how far, in milliseconds, the time of an event may be ahead of this process's clock. What is further ahead
// is no difference of clocks.
const maxAhead = 24 * 60 * 60 * 1000

// observeTime observes the delay of a record, and keeps the time of the newest one. An impossible time counts as none.
func (s *Shard) observeTime(now int64, r *cloudevent.Record) {
	s.eventTime = r.Timestamp
	if v := s.decoder.Get(cloudevent.SlotTime); v != nil {
		ms, ok := int64(0), false
		if v.Kind == cloudevent.KindText || v.Kind == cloudevent.KindEscaped {
			ms, ok = cloudevent.ParseTime(s.decoder.Text(v))
		}
		switch {
		case !ok:
			s.rejectValue(s.mapping.NotATime)
		case ms > now+maxAhead:
			s.rejectValue(s.mapping.InTheFuture)
		case now-ms > maxFloat*1000:
			s.rejectValue(s.mapping.TooLarge)
		default:
			s.eventTime = ms
			s.observe(s.delay, s.mapping.Delay.Decl.Buckets, float64(max(now-ms, 0))/1000)
		}
	}
	s.newest = max(s.newest, min(s.eventTime, now))
}

// rejectValue counts a value that a metric leaves out, in the series of that key.
func (s *Shard) rejectValue(key uint64) {
	at := s.index.find(key)
	if at < 0 {
		at = s.findOrAdd(s.mapping.ValuesRejected, key)
	}
	s.markDirty(at)
	s.current[at+1]++
}

// resolveLabels interns the label values of an event.
func (s *Shard) resolveLabels(e *mapping.Event, now int64) {
	for i := range e.Labels {
		l := &e.Labels[i]
		if l.Condition >= 0 && !s.conditions[l.Condition] {
			continue
		}
		id, ok := s.resolveLabel(l, now)
		if !ok {
			for _, r := range l.Rejected {
				r.Add(1)
			}
		}
		s.labels[i] = id
	}
}

func (s *Shard) resolveLabel(l *mapping.Label, now int64) (id uint32, ok bool) {
	d := &s.decoder
	v := d.Get(l.Slot)
	if v == nil {
		return uint32(max(l.Fallback, 0)), l.Fallback >= 0
	}
	var b []byte
	switch v.Kind {
	case cloudevent.KindText:
		b = v.Raw
	case cloudevent.KindEscaped:
		b = d.Text(v)
	case cloudevent.KindNumber:
		b = d.Digits(v)
	case cloudevent.KindTrue:
		b = []byte("true")
	case cloudevent.KindFalse:
		b = []byte("false")
	default:
		return interner.OtherID, false
	}
	if l.Classes != nil {
		if len(b) != 3 || b[0] < '1' || b[0] > '5' || b[1]-'0' > 9 || b[2]-'0' > 9 {
			return interner.OtherID, false
		}
		return l.Classes[b[0]-'0'], true
	}
	if l.Translate != nil {
		for i := range l.Translate {
			if l.Translate[i].From == string(b) {
				return l.Translate[i].ID, true
			}
		}
		return interner.OtherID, false
	}
	within := l.WithinID
	if l.Within >= 0 {
		within = s.labels[l.Within]
	}
	return l.Interner.Intern(b, within, now)
}

// applyRules applies the rules of an event to the series that they select.
func (s *Shard) applyRules(e *mapping.Event, now int64, r *cloudevent.Record) {
	for i := range e.Rules {
		f := &e.Rules[i]
		if f.Condition >= 0 && !s.conditions[f.Condition] || f.Value >= 0 && s.absent[f.Value] {
			continue
		}
		if f.Currency >= 0 && s.labels[f.Currency] == interner.OtherID { // "other" would add amounts of different currencies
			s.rejectValue(f.Metric.CurrencyLimit)
			continue
		}
		key := f.BaseKey
		for _, p := range f.KeyParts {
			key |= uint64(s.labels[p.Label]) << (p.Shift & 63)
		}
		if f.Kind == mapping.SetGauge {
			s.setGauge(f, key, now)
			continue
		}
		at := s.index.find(key)
		if at < 0 {
			at = s.findOrAdd(f.Metric, key)
		}
		switch f.Kind {
		case mapping.CountOne:
			s.markDirty(at)
			s.current[at+1]++
		case mapping.CountInteger, mapping.CountMoney:
			s.markDirty(at)
			s.current[at+1] = add(s.current[at+1], s.integers[f.Value])
		case mapping.CountFloat:
			s.markDirty(at)
			s.current[at+1] = math.Float64bits(math.Float64frombits(s.current[at+1]) + s.floats[f.Value])
		case mapping.ObserveFloat:
			bucket := s.observe(at, f.Bounds, s.floats[f.Value])
			s.recordExemplar(at, bucket, s.floats[f.Value], r, now)
		case mapping.ObserveMoney:
			major := float64(s.integers[f.Value]) / minorPerMajor[s.exponents[f.Value]&7]
			bucket := bucketOf(f.Bounds, major)
			s.markDirty(at)
			s.current[at+1+bucket]++
			sum := &s.current[at+2+len(f.Bounds)]
			*sum = add(*sum, s.integers[f.Value])
			s.recordExemplar(at, bucket, major, r, now)
		}
	}
}

// observe adds a value to a histogram, and returns its bucket.
func (s *Shard) observe(at int, bounds []float64, v float64) int {
	bucket := bucketOf(bounds, v)
	s.markDirty(at)
	words := s.current[at+1 : at+3+len(bounds)]
	words[bucket]++
	sum := &words[len(bounds)+1]
	*sum = math.Float64bits(math.Float64frombits(*sum) + v)
	return bucket
}

// bucketOf is the first bucket whose bound is not below v. Counting all bounds is faster than stopping at the first:
// the branch could not be predicted.
func bucketOf(bounds []float64, v float64) int {
	n := 0
	for _, b := range bounds {
		if v > b {
			n++
		}
	}
	return n
}

// markDirty adds the state at an index to the list of those that have changed.
func (s *Shard) markDirty(at int) {
	if h := s.current[at]; h&dirtyBit == 0 {
		s.current[at] = h | dirtyBit
		s.dirty = append(s.dirty, uint32(h))
	}
}

// recordExemplar keeps the event's trace, if it has one that was sampled, as the exemplar of a bucket.
func (s *Shard) recordExemplar(at, bucket int, v float64, r *cloudevent.Record, now int64) {
	t := s.decoder.Get(cloudevent.SlotTraceParent)
	// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	if t == nil || t.Kind != cloudevent.KindText || len(t.Raw) != 55 || t.Raw[0] != '0' || t.Raw[1] != '0' || t.Raw[54]&1 == 0 {
		return
	}
	c := &s.states[uint32(s.current[at])]
	if c.exemplars < 0 {
		c.exemplars = len(s.exemplars)
		s.exemplars = append(s.exemplars, make([]exemplar, c.series.metric.Words-1)...)
	}
	e := &s.exemplars[c.exemplars+bucket]
	copy(e.ids[:32], t.Raw[3:35])
	copy(e.ids[32:], t.Raw[36:52])
	e.value = v
	e.time = r.Timestamp
	if e.time <= 0 || e.time > now {
		e.time = now
	}
}

// The hot path ends here: a new series may take its time.

// findOrAdd adds a series that is new to this shard, or finds the series that it is folded into. It returns the index of
// its words.
func (s *Shard) findOrAdd(m *mapping.Metric, key uint64) int {
	series := s.aggregator.registry.get(m, key)
	at := s.index.find(series.key)
	if at < 0 {
		at = s.addSeries(series)
	}
	if key != series.key && s.index.used < 4*len(s.states)+1024 { // otherwise the registry is asked each time
		s.index.put(key, at)
	}
	return at
}

func (s *Shard) addSeries(series *series) int {
	at := len(s.current)
	s.states = append(s.states, seriesState{series: series, at: at, exemplars: -1})
	s.current = append(s.current, uint64(len(s.states)-1))
	s.current = append(s.current, make([]uint64, series.metric.Words)...)
	if cap(s.dirty) < cap(s.states) {
		s.dirty = append(make([]uint32, 0, cap(s.states)), s.dirty...)
	}
	s.index.put(series.key, at)
	return at
}

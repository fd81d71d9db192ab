package events

import (
	"math"
	"math/bits"
	"strconv"
	"sync"
	"time"
)

// Shard counts one partition. One goroutine at a time counts; a scrape freezes what was counted so far and goes on
// without it. Every number is there three times:
//
//	now     everything that was counted
//	frozen  what the scrape that is under way exposes
//	base    what was delivered, or may have been: it is never taken back
//
// So pending is now less frozen, and in flight is frozen less base. The three are copied as whole cells, never added
// up: what is exposed can only grow, and a sum of floats has no rounding that depends on when a scrape came.
type Shard struct {
	ledger    *Ledger
	plan      *plan
	topic     string
	partition int32

	mu       sync.Mutex // held while a batch is counted, and for a freeze
	decoder  decoder
	window   window
	assigned bool
	next     int64 // offset up to which now counts
	end      int64 // of the partition, -1 when unknown
	newest   int64 // time of the newest record, in milliseconds

	table     cellTable
	cells     []cell
	now       []uint64
	dirty     []uint32 // cells that have changed since the last freeze
	exemplars []exemplar
	gauges    map[gaugeKey]gauge
	swept     int64         // when the expired ones were last looked for, in milliseconds
	records   [outcomes]int // cells of consignwatch_records_total
	delay     int           // cell of consignwatch_record_delay_seconds

	// Scratch for one record.
	labels   []uint32
	integers []uint64
	floats   []float64
	places   []uint8
	absent   []bool
	holds    []bool

	// What follows is guarded by the ledger's lock.
	frozen, base []uint64
	state        []cellState
	touched      []int64 // when each cell was last frozen, in milliseconds
	inFlight     []uint32
	frozenOffset int64
	baseOffset   int64
	delivered    int64 // offset that may be committed
	generation   uint64
}

// cell is the place of a series in a shard: a header, and the words of the metric. The header holds the number of the
// cell, and whether the cell is in the list of those that have changed: it lies beside what changes.
type cell struct {
	series    *series
	at        int
	exemplars int // where those of its buckets begin, -1 when it has none
}

const dirtyBit = 1 << 63

// cellState says what the page may show.
type cellState uint8

const (
	unseen  cellState = iota // only pending
	flying                   // exposed by the scrape under way, for the first time
	exposed                  // stays on the page forever
)

// exemplar is the latest trace that a bucket has seen. Whether its digits are valid is looked at when it is shown.
type exemplar struct {
	ids   [48]byte // trace and span, in hexadecimal
	time  int64    // milliseconds since 1970, 0 when there is none
	value float64
}

// cellTable finds cells by the key of their series. Linear probing, at most half full, rebuilt when it grows.
type cellTable struct {
	slots []cellSlot
	shift uint8
	used  int
}

type cellSlot struct {
	key uint64
	at  int
}

func newCellTable(size int) cellTable {
	return cellTable{slots: make([]cellSlot, size), shift: uint8(64 - bits.TrailingZeros(uint(size)))}
}

// find returns where the cell of a key is, or -1.
func (t *cellTable) find(key uint64) int {
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

func (t *cellTable) put(key uint64, at int) {
	if 2*(t.used+1) > len(t.slots) {
		old := t.slots
		*t = newCellTable(2 * len(old))
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
	t.slots[i&mask] = cellSlot{key, at}
	t.used++
}

func newShard(l *Ledger, topic string, partition int32) *Shard {
	p := l.plan
	s := &Shard{ledger: l, plan: p, topic: topic, partition: partition, table: newCellTable(64), gauges: map[gaugeKey]gauge{}}
	s.decoder.layout = p.layout
	s.window = window{span: l.options.DedupeSpan, seed: l.seed}
	s.labels = make([]uint32, p.labels)
	s.integers = make([]uint64, p.values)
	s.floats = make([]float64, p.values)
	s.places = make([]uint8, p.values)
	s.absent = make([]bool, p.values)
	s.holds = make([]bool, p.conditions)
	return s
}

// open makes the cells of the stream's own metrics, which begin at 0.
func (s *Shard) open() {
	topic, _ := s.plan.records.domains[0].id([]byte(s.topic), otherID, 0)
	for o := range outcomes {
		outcome, _ := s.plan.records.domains[1].id([]byte(o.String()), otherID, 0)
		s.records[o] = s.cell(s.plan.records, s.plan.records.key([]uint32{topic, outcome}))
		s.touch(s.records[o])
	}
	s.delay = s.cell(s.plan.delay, s.plan.delay.key([]uint32{topic}))
	s.touch(s.delay)
}

// Count counts one record. When the outcome is neither Counted, Duplicate nor Behind, the problem says why. Offsets must
// grow; a record that lies before what was counted already is Behind.
func (s *Shard) Count(now time.Time, r *Record) (Outcome, Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.count(now.UnixMilli(), r)
	if o <= Duplicate || o == Behind {
		return o, Problem{}
	}
	return o, s.decoder.problem
}

// CountBatch counts records under one lock, and calls bad for each one with a problem.
func (s *Shard) CountBatch(now time.Time, records []Record, bad func(r *Record, o Outcome, p Problem)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := now.UnixMilli()
	for i := range records {
		if o := s.count(ms, &records[i]); o > Duplicate && o < outcomes {
			bad(&records[i], o, s.decoder.problem)
		}
	}
}

// Warm notes a record that lies before the start offset, so that its duplicates after it are recognised. It counts
// nothing. To recognise all, the last Ledger.DedupeSpan offsets before the start are needed, in their order.
func (s *Shard) Warm(r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Offset >= s.next {
		return
	}
	if e, o := s.read(r); o == Counted && e.dedupe {
		s.window.mark(s.identity(), r.Offset)
	}
}

// The hot path begins here: BenchmarkCount.

func (s *Shard) count(now int64, r *Record) Outcome {
	if r.Offset < s.next || !s.assigned {
		return Behind
	}
	s.next = r.Offset + 1
	e, o := s.read(r)
	if o <= UnknownType {
		s.observeTime(now, r)
	}
	if o == Counted {
		if e.dedupe && s.window.mark(s.identity(), r.Offset) {
			o = Duplicate
		} else {
			s.label(e, now)
			s.feed(e, now, r)
		}
	}
	at := s.records[o]
	s.touch(at)
	s.now[at+1]++
	return o
}

// read decodes a record, finds out what it feeds, and checks that every value is there. Nothing is counted yet.
func (s *Shard) read(r *Record) (*eventPlan, Outcome) {
	d := &s.decoder
	if len(r.Value) > s.ledger.options.MaxBytes {
		d.problem = Problem{Reason: Oversize, At: -1}
		return nil, Oversized
	}
	if !d.decode(r) {
		return nil, d.outcome(r)
	}
	e := s.plan.types.find(d.text(&d.slots[slotType]))
	if e == nil {
		d.problem = Problem{Reason: Unmapped, At: -1}
		return nil, UnknownType
	}
	for i := range e.conditions {
		s.holds[i] = d.holds(&e.conditions[i])
	}
	for i := range e.values {
		v := &e.values[i]
		if v.condition >= 0 && !s.holds[v.condition] {
			continue
		}
		if why, slot := s.value(i, v); why != "" {
			d.fail(why, slot, -1)
			return nil, Malformed
		}
	}
	return e, Counted
}

// holds reports whether an event meets a condition.
func (d *decoder) holds(c *conditionPlan) bool {
	v := d.get(c.slot)
	if v == nil {
		return false
	}
	if c.kind == text {
		return (v.kind == text || v.kind == escaped) && c.equals == string(d.text(v))
	}
	return v.kind == c.kind
}

// value works out the i-th value of an event.
func (s *Shard) value(i int, p *valuePlan) (why Reason, slot int) {
	v := s.decoder.get(p.slot)
	s.absent[i] = v == nil
	if v == nil {
		if p.optional {
			return "", 0
		}
		return MissingValue, p.slot
	}
	if v.kind != number {
		return NotANumber, p.slot
	}
	if p.kind == floatValue {
		return s.float(i, p, v)
	}
	n, why := v.integer(maxAmount)
	if why == BelowZero && p.clamp {
		n, why = 0, ""
	}
	if why != "" {
		return why, p.slot
	}
	s.integers[i] = n
	if p.kind == moneyValue {
		c := s.decoder.get(p.currency)
		if c == nil || c.kind != text && c.kind != escaped {
			return UnknownCurrency, p.currency
		}
		places := s.plan.exponents.of(s.decoder.text(c))
		if places == noCurrency {
			return UnknownCurrency, p.currency
		}
		s.places[i] = places
	}
	return "", 0
}

// maxFloat is the largest value that is believed: more than thirty years, in seconds.
const maxFloat = 1e9

func (s *Shard) float(i int, p *valuePlan, v *value) (why Reason, slot int) {
	f := v.float()
	if p.minus >= 0 {
		m := s.decoder.get(p.minus)
		switch {
		case m == nil:
			return MissingValue, p.minus
		case m.kind != number:
			return NotANumber, p.minus
		}
		f -= m.float()
	}
	if f < 0 && p.clamp {
		f = 0
	}
	switch {
	case f < 0:
		return BelowZero, p.slot
	case !(f <= maxFloat):
		return TooLarge, p.slot
	}
	s.floats[i] = f
	return "", 0
}

// identity is what makes two events the same.
func (s *Shard) identity() uint64 {
	d := &s.decoder
	return s.window.hash(d.text(&d.slots[slotSource]), d.text(&d.slots[slotID]))
}

// observeTime notes how old a record is.
func (s *Shard) observeTime(now int64, r *Record) {
	t := r.Timestamp
	if v := s.decoder.get(slotTime); v != nil && v.kind == text {
		if ms, ok := parseTime(v.b); ok {
			t = ms
			s.observe(s.delay, s.plan.delay.decl.Buckets, float64(max(now-ms, 0))/1000)
		}
	}
	s.newest = max(s.newest, min(t, now))
}

// label works out the numbers of an event's label values.
func (s *Shard) label(e *eventPlan, now int64) {
	for i := range e.labels {
		l := &e.labels[i]
		if l.condition >= 0 && !s.holds[l.condition] {
			continue
		}
		id, ok := s.labelValue(l, now)
		if !ok {
			for _, r := range l.rejected {
				r.Add(1)
			}
		}
		s.labels[i] = id
	}
}

func (s *Shard) labelValue(l *labelPlan, now int64) (id uint32, ok bool) {
	d := &s.decoder
	v := d.get(l.slot)
	if v == nil {
		return uint32(max(l.fallback, 0)), l.fallback >= 0
	}
	var b []byte
	switch v.kind {
	case text:
		b = v.b
	case escaped:
		b = d.text(v)
	case number:
		b = d.digits(v)
	case yes:
		b = []byte("true")
	case no:
		b = []byte("false")
	default:
		return otherID, false
	}
	if l.classes != nil {
		if len(b) != 3 || b[0] < '1' || b[0] > '5' || b[1]-'0' > 9 || b[2]-'0' > 9 {
			return otherID, false
		}
		return l.classes[b[0]-'0'], true
	}
	if l.translate != nil {
		for i := range l.translate {
			if l.translate[i].from == string(b) {
				return l.translate[i].id, true
			}
		}
		return otherID, false
	}
	within := l.of
	if l.within >= 0 {
		within = s.labels[l.within]
	}
	return l.domain.id(b, within, now)
}

// digits is the text of a number as a label value. An integer is the same in all its spellings.
func (d *decoder) digits(v *value) []byte {
	if v.plain {
		return v.b
	}
	n, why := v.integer(math.MaxUint64)
	if why != "" {
		return v.b
	}
	from := len(d.scratch)
	d.scratch = strconv.AppendUint(d.scratch, n, 10)
	return d.scratch[from:]
}

// feed adds an event to its cells.
func (s *Shard) feed(e *eventPlan, now int64, r *Record) {
	for i := range e.feeds {
		f := &e.feeds[i]
		if f.condition >= 0 && !s.holds[f.condition] || f.value >= 0 && s.absent[f.value] {
			continue
		}
		key := f.base
		for _, p := range f.parts {
			key |= uint64(s.labels[p.label]) << (p.shift & 63)
		}
		if f.kind == setGauge {
			s.set(f, key, now, r)
			continue
		}
		at := s.table.find(key)
		if at < 0 {
			at = s.cell(f.metric, key)
		}
		switch f.kind {
		case countOne:
			s.touch(at)
			s.now[at+1]++
		case countInteger:
			s.touch(at)
			s.now[at+1] = add(s.now[at+1], s.integers[f.value])
		case countFloat:
			s.touch(at)
			s.now[at+1] = math.Float64bits(math.Float64frombits(s.now[at+1]) + s.floats[f.value])
		case countMoney:
			s.touch(at)
			s.now[at+1] = add(s.now[at+1], s.minor(f))
		case observeFloat:
			bucket := s.observe(at, f.bounds, s.floats[f.value])
			s.trace(at, bucket, s.floats[f.value], r, now)
		case observeMoney:
			major := float64(s.integers[f.value]) / pow10[s.places[f.value]&7]
			bucket := bucketOf(f.bounds, major)
			s.touch(at)
			s.now[at+1+bucket]++
			sum := &s.now[at+2+len(f.bounds)]
			*sum = add(*sum, s.minor(f))
			s.trace(at, bucket, major, r, now)
		}
	}
}

// minor is an amount in the minor unit of the series that it goes to.
func (s *Shard) minor(f *feedPlan) uint64 {
	n := s.integers[f.value]
	if f.currency >= 0 && s.labels[f.currency] == otherID {
		for p := s.places[f.value]; p < otherExponent; p++ {
			n *= 10
		}
	}
	return n
}

// observe adds a value to a histogram, and returns its bucket.
func (s *Shard) observe(at int, bounds []float64, v float64) int {
	bucket := bucketOf(bounds, v)
	s.touch(at)
	words := s.now[at+1 : at+3+len(bounds)]
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

// touch puts a cell into the list of those that have changed.
func (s *Shard) touch(at int) {
	if h := s.now[at]; h&dirtyBit == 0 {
		s.now[at] = h | dirtyBit
		s.dirty = append(s.dirty, uint32(h))
	}
}

// trace keeps the event's trace, if it has one that was sampled, as the exemplar of a bucket.
func (s *Shard) trace(at, bucket int, v float64, r *Record, now int64) {
	t := s.decoder.get(slotTraceParent)
	// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
	if t == nil || t.kind != text || len(t.b) != 55 || t.b[0] != '0' || t.b[1] != '0' || t.b[54]&1 == 0 {
		return
	}
	c := &s.cells[uint32(s.now[at])]
	if c.exemplars < 0 {
		c.exemplars = len(s.exemplars)
		s.exemplars = append(s.exemplars, make([]exemplar, c.series.metric.words-1)...)
	}
	e := &s.exemplars[c.exemplars+bucket]
	copy(e.ids[:32], t.b[3:35])
	copy(e.ids[32:], t.b[36:52])
	e.value = v
	e.time = r.Timestamp
	if e.time <= 0 || e.time > now {
		e.time = now
	}
}

// The hot path ends here: a new series may take its time.

// cell makes the cell of a series that is new to this shard, or finds the one of the series that it is folded into.
func (s *Shard) cell(m *metric, key uint64) int {
	series := s.ledger.registry.get(m, key)
	at := s.table.find(series.key)
	if at < 0 {
		at = s.newCell(series)
	}
	if key != series.key && s.table.used < 4*len(s.cells)+1024 { // otherwise it is asked again each time
		s.table.put(key, at)
	}
	return at
}

func (s *Shard) newCell(series *series) int {
	at := len(s.now)
	s.cells = append(s.cells, cell{series: series, at: at, exemplars: -1})
	s.now = append(s.now, uint64(len(s.cells)-1))
	s.now = append(s.now, make([]uint64, series.metric.words)...)
	if cap(s.dirty) < cap(s.cells) {
		s.dirty = append(make([]uint32, 0, cap(s.cells)), s.dirty...)
	}
	s.table.put(series.key, at)
	return at
}

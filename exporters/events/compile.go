package events

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// compiledMapping is a mapping compiled for the hot path: flat arrays of numbers, no maps, no interfaces. All that can be
// resolved before the first record is resolved here.
type compiledMapping struct {
	layout  *cloudevent.Layout
	metrics []*metric // by name
	byName  map[string]*metric
	events  []*compiledEvent
	types   eventTable
	client  *labelInterner // of the label client, shared by all metrics

	// The exporter's own metrics about the stream.
	records, delay *metric

	// The sizes of a shard's scratch for the largest event.
	labels, values, conditions int
}

// metric is a declared metric, with its place in the keys of series and its limits.
type metric struct {
	decl          *catalog.Metric
	number        uint64           // in the low bits of its keys
	interners     []*labelInterner // of its labels
	shifts        []uint8          // of the id of each label's value in a key
	words         int              // of each series: a value, or buckets and a sum
	limit         int              // of series
	reserve       int              // further series, for the label sets that are folded at the limit
	float         bool             // the last word is a float64; otherwise it is an integer
	currencyLabel int              // index of the label currency; -1 if the metric is not in money

	rejected []atomic.Uint64 // label values that became "other", for each label
	dropped  atomic.Uint64   // label sets beyond the limit
}

// key packs the metric's number, and above it the ids of the label values. It is never 0.
func (m *metric) key(ids []uint32) uint64 {
	key := m.number
	for i, id := range ids {
		key |= uint64(id) << m.shifts[i]
	}
	return key
}

// ids unpacks the ids of a key.
func (m *metric) ids(key uint64) []uint32 {
	ids := make([]uint32, len(m.shifts))
	for i, s := range m.shifts {
		ids[i] = uint32(key >> s & (1<<m.interners[i].bits - 1))
	}
	return ids
}

// compiledEvent holds the rules of one type of event. Conditions are resolved first, then values, so that a record that
// lacks one counts nowhere; then labels, then rules.
type compiledEvent struct {
	name       string
	dedupe     bool
	conditions []compiledCondition
	values     []compiledValue
	labels     []compiledLabel
	rules      []compiledRule
}

// Where an index can be absent it is -1.

type compiledCondition struct {
	slot   int
	kind   cloudevent.Kind
	equals string
}

type compiledValue struct {
	slot, minus, currency, condition int
	kind                             valueKind
	clamp, optional                  bool
}

type valueKind uint8

const (
	integerValue valueKind = iota
	floatValue
	moneyValue
)

type compiledLabel struct {
	slot, condition int
	within          int    // index of the label that this one's values belong to
	withinID        uint32 // if that one is a constant, its id
	interner        *labelInterner
	fallback        int64 // id of the value when the field is absent, or -1
	classes         *[6]uint32
	translate       []translation
	rejected        []*atomic.Uint64 // of every metric that has the label
}

// translation is what a text in a field becomes.
type translation struct {
	from string
	id   uint32
}

type compiledRule struct {
	kind             ruleKind
	value, condition int
	currency         int // index of the label
	metric           *metric
	baseKey          uint64 // of the key: the metric and its constant labels
	keyParts         []keyPart
	bounds           []float64
	ttl              time.Duration
}

type keyPart struct {
	label int
	shift uint8
}

type ruleKind uint8

const (
	countOne ruleKind = iota
	countInteger
	countFloat
	countMoney
	observeFloat
	observeMoney
	setGauge
)

// compile compiles a mapping.
func compile(m *Mapping, sizes catalog.Sizes) (*compiledMapping, error) {
	c := &compiler{mapping: &compiledMapping{layout: m.layout, byName: map[string]*metric{}}, sizes: sizes, shared: map[string]*labelInterner{}}
	groups := c.interningGroups(m)
	for i, decl := range m.metrics {
		if err := c.metric(decl, uint64(i+1), groups); err != nil {
			return nil, err
		}
	}
	c.mapping.records = c.mapping.byName["consignwatch_records_total"]
	c.mapping.delay = c.mapping.byName["consignwatch_record_delay_seconds"]
	if c.mapping.records == nil || c.mapping.delay == nil {
		return nil, fmt.Errorf("the catalog does not declare the stream's own metrics")
	}
	for i := range m.events {
		e := c.event(&m.events[i])
		c.mapping.events = append(c.mapping.events, e)
		c.mapping.labels = max(c.mapping.labels, len(e.labels))
		c.mapping.values = max(c.mapping.values, len(e.values))
		c.mapping.conditions = max(c.mapping.conditions, len(e.conditions))
	}
	c.mapping.types = newEventTable(c.mapping.events)
	return c.mapping, nil
}

type compiler struct {
	mapping *compiledMapping
	sizes   catalog.Sizes
	shared  map[string]*labelInterner // by interning group
}

// labelOf is one label of one metric.
type labelOf struct {
	metric, label string
}

// interningGroups says which labels share a labelInterner: those with the same group. All metrics share the interner of
// `client`, and those of labels within a client. Labels that are declared alike and that the rules of some event take
// from the same field share one, too: the route of a request is then interned once for all metrics, and either admitted
// in all of them or in none. Labels that only happen to have the same name, such as the operation of a cache and that of
// a service, do not count against each other's limit.
func (c *compiler) interningGroups(m *Mapping) map[labelOf]string {
	parent := map[labelOf]labelOf{}
	var root func(labelOf) labelOf
	root = func(l labelOf) labelOf {
		if p, ok := parent[l]; ok && p != l {
			return root(p)
		}
		return l
	}
	for _, e := range m.events {
		type labelUse struct {
			spec        labelSpec
			declaration string
		}
		first := map[labelUse]labelOf{}
		for _, f := range e.rules {
			for i, l := range f.labels {
				node := labelOf{f.metric.Name, f.metric.Labels[i].Name}
				alike := labelUse{l, signature(&f.metric.Labels[i])}
				if other, ok := first[alike]; ok {
					parent[root(node)] = root(other)
				} else {
					first[alike] = node
				}
			}
		}
	}
	groups := map[labelOf]string{}
	for _, decl := range m.metrics {
		for i := range decl.Labels {
			l := &decl.Labels[i]
			node := labelOf{decl.Name, l.Name}
			r := root(node)
			groups[node] = r.metric + "\x00" + r.label
			if l.Name == "client" || l.Within != "" || l.Name == "topic" && strings.HasPrefix(decl.Name, "consignwatch_") {
				groups[node] = signature(l)
			}
		}
	}
	return groups
}

// signature is the same for labels that are declared alike.
func signature(l *catalog.Label) string {
	return fmt.Sprintf("%s\x00%s\x00%d\x00%d\x00%s\x00%q", l.Name, l.Pattern, l.MaxLength, l.Limit, l.Within, l.Values)
}

func (c *compiler) metric(decl *catalog.Metric, number uint64, groups map[labelOf]string) error {
	m := &metric{decl: decl, number: number, words: 1, currencyLabel: -1, rejected: make([]atomic.Uint64, len(decl.Labels))}
	shift := 10 // 1,023 metrics
	for i := range decl.Labels {
		l := &decl.Labels[i]
		group := groups[labelOf{decl.Name, l.Name}]
		d := c.shared[group]
		if d == nil {
			d = c.interner(l)
			c.shared[group] = d
		}
		m.interners = append(m.interners, d)
		m.shifts = append(m.shifts, uint8(shift))
		shift += d.bits
	}
	if shift > 64 || number > 1023 {
		return fmt.Errorf("metric %s: its labels can have more combinations than can be distinguished", decl.Name)
	}
	if decl.Type == catalog.Histogram {
		m.words = len(decl.Buckets) + 2 // +Inf, and the sum
	}
	switch {
	case decl.Unit == catalog.Money:
		m.currencyLabel = decl.LabelIndex("currency")
	case decl.Unit == catalog.Seconds, decl.Type == catalog.Histogram:
		m.float = true
	}
	m.limit = m.maxSeries(c.sizes)
	if decl.LabelIndex("client") >= 0 {
		m.reserve = c.sizes.Clients + 2
	}
	c.mapping.metrics = append(c.mapping.metrics, m)
	c.mapping.byName[decl.Name] = m
	return nil
}

// maxSeries is the number of label sets that the declaration allows, with the platform itself and "other" as two more
// clients with a sale event each.
func (m *metric) maxSeries(s catalog.Sizes) int {
	n := m.decl.Series(catalog.Sizes{Clients: s.Clients + 2, Events: s.Events + 2})
	if m.decl.Type == catalog.Histogram {
		n /= len(m.decl.Buckets) + 3
	}
	return n
}

func (c *compiler) interner(l *catalog.Label) *labelInterner {
	switch {
	case l.Name == "client":
		if c.mapping.client == nil {
			c.mapping.client = newLabelInterner(l, c.sizes.Clients, nil)
		}
		return c.mapping.client
	case l.Within != "":
		return newLabelInterner(l, l.Limit, c.mapping.client) // the client's label stands before it
	}
	return newLabelInterner(l, l.Limit, nil)
}

// event compiles one type of event. What its rules have in common (a label from the same field, with the same interner,
// under the same condition) is resolved once for each record.
func (c *compiler) event(spec *eventSpec) *compiledEvent {
	e := &compiledEvent{name: spec.name, dedupe: spec.dedupe}
	type valueUse struct {
		valueSpec
		kind      valueKind
		condition int
	}
	type labelUse struct {
		labelSpec
		interner          *labelInterner
		within, condition int
		withinID          uint32
	}
	conditions, values, labels := map[whenSpec]int{}, map[valueUse]int{}, map[labelUse]int{}
	for i := range spec.rules {
		f := &spec.rules[i]
		m := c.mapping.byName[f.metric.Name]
		rule := compiledRule{metric: m, value: -1, condition: -1, currency: -1, baseKey: m.number, bounds: f.metric.Buckets, ttl: f.ttl}
		if f.when.kind != cloudevent.KindNull {
			rule.condition = once(conditions, f.when, func() {
				e.conditions = append(e.conditions, compiledCondition{slot: c.slot(f.when.field), kind: f.when.kind, equals: f.when.equals})
			})
		}
		rule.kind = ruleKindOf(f)
		if f.value.path != "" {
			k := valueKindOf(rule.kind)
			rule.value = once(values, valueUse{f.value, k, rule.condition}, func() {
				e.values = append(e.values, compiledValue{slot: c.path(f.value.path), minus: c.path(f.value.minus), currency: c.path(f.value.currency),
					condition: rule.condition, kind: k, clamp: f.value.clamp, optional: f.value.optional})
			})
		}
		at := make([]int, len(f.labels)) // indexes of this rule's labels in the event's
		constants := make([]uint32, len(f.labels))
		for i, l := range f.labels {
			d := m.interners[i]
			if l.constant != "" {
				id, _ := d.intern([]byte(l.constant), 0, 0)
				rule.baseKey |= uint64(id) << m.shifts[i]
				at[i], constants[i] = -1, id
				continue
			}
			use := labelUse{labelSpec: l, interner: d, within: -1, condition: rule.condition}
			if w := f.metric.LabelIndex(f.metric.Labels[i].Within); w >= 0 {
				use.within, use.withinID = at[w], constants[w]
			}
			at[i] = once(labels, use, func() {
				label := c.label(l, d)
				label.within, label.withinID, label.condition = use.within, use.withinID, use.condition
				e.labels = append(e.labels, label)
			})
			e.labels[at[i]].rejected = append(e.labels[at[i]].rejected, &m.rejected[i])
			rule.keyParts = append(rule.keyParts, keyPart{label: at[i], shift: m.shifts[i]})
			if i == m.currencyLabel {
				rule.currency = at[i]
			}
		}
		e.rules = append(e.rules, rule)
	}
	return e
}

// once is the index of what, which make appends when it is new.
func once[K comparable](indexes map[K]int, what K, make func()) int {
	at, ok := indexes[what]
	if !ok {
		at = len(indexes)
		indexes[what] = at
		make()
	}
	return at
}

func ruleKindOf(f *ruleSpec) ruleKind {
	money := f.metric.Unit == catalog.Money
	switch {
	case f.metric.Type == catalog.Gauge:
		return setGauge
	case f.metric.Type == catalog.Histogram && money:
		return observeMoney
	case f.metric.Type == catalog.Histogram:
		return observeFloat
	case money:
		return countMoney
	case f.metric.Unit == catalog.Seconds:
		return countFloat
	case f.value.path != "":
		return countInteger
	}
	return countOne
}

func valueKindOf(k ruleKind) valueKind {
	switch k {
	case countInteger:
		return integerValue
	case countMoney, observeMoney:
		return moneyValue
	}
	return floatValue
}

func (c *compiler) slot(f cloudevent.Field) int { return c.mapping.layout.Slot(f) }

func (c *compiler) path(p string) int {
	if p == "" {
		return -1
	}
	return c.slot(cloudevent.Field{In: cloudevent.InData, Name: p})
}

func (c *compiler) label(s labelSpec, d *labelInterner) compiledLabel {
	l := compiledLabel{slot: c.slot(s.field), interner: d, fallback: -1}
	number := func(value string) uint32 { id, _ := d.intern([]byte(value), 0, 0); return id }
	if s.fallback != "" {
		l.fallback = int64(number(s.fallback))
	}
	if s.class {
		l.classes = &[6]uint32{}
		for i := 1; i <= 5; i++ {
			l.classes[i] = number(string(rune('0'+i)) + "xx")
		}
	}
	for pairs := strings.Split(s.pairs, "\x00"); len(pairs) > 1; pairs = pairs[2:] {
		l.translate = append(l.translate, translation{pairs[0], number(pairs[1])})
	}
	return l
}

// eventTable finds an event by its type.
type eventTable struct {
	slots []*compiledEvent
	mask  uint64
}

func newEventTable(events []*compiledEvent) eventTable {
	t := eventTable{slots: make([]*compiledEvent, 4<<bits.Len(uint(len(events))))}
	t.mask = uint64(len(t.slots) - 1)
	sorted := slices.SortedFunc(slices.Values(events), func(a, b *compiledEvent) int { return cmp.Compare(a.name, b.name) })
	for _, e := range sorted {
		i := t.hash([]byte(e.name))
		for t.slots[i&t.mask] != nil {
			i++
		}
		t.slots[i&t.mask] = e
	}
	return t
}

func (t *eventTable) hash(b []byte) uint64 {
	lo, hi := cloudevent.PrefixWords(b)
	h, l := bits.Mul64(lo^0xa0761d6478bd642f, hi^0xe7037ed1a0b428db)
	return h ^ l
}

func (t *eventTable) find(name []byte) *compiledEvent {
	for i := t.hash(name); ; i++ {
		e := t.slots[i&t.mask]
		if e == nil || e.name == string(name) {
			return e
		}
	}
}

package mapping

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/interner"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Compiled is a mapping compiled for the hot path: flat arrays of numbers, no maps, no interfaces. All that can be
// resolved before the first record is resolved here.
type Compiled struct {
	// Layout has the fields that the decoder keeps.
	Layout *cloudevent.Layout
	// Metrics are sorted by name.
	Metrics []*Metric
	// Known are the label sets that exist from the start.
	Known []Known
	// Client has the values of the label client, shared by all metrics.
	Client *interner.Label
	// Records, Delay and ValuesRejected are the exporter's own metrics about the stream.
	Records, Delay, ValuesRejected *Metric
	// NotATime, InTheFuture and TooLarge are the keys of the series that count the times for which Delay has no observation.
	NotATime, InTheFuture, TooLarge uint64
	// Dedupes reports whether any type of event counts once.
	Dedupes bool
	// MaxLabels, MaxValues and MaxConditions are the most that any event has.
	MaxLabels, MaxValues, MaxConditions int

	types  eventTable
	byName map[string]*Metric
}

// Event returns the rules of a type of event, or nil when the mapping does not have the type.
func (m *Compiled) Event(typ []byte) *Event { return m.types.find(typ) }

// Known are label sets of a metric that exist from the start.
type Known struct {
	Metric *Metric
	Values []string // one for each label; "*" for all
}

// Metric is a declared metric, with its place in the keys of series and its limits.
type Metric struct {
	Decl          *catalog.Metric
	Interners     []*interner.Label // of its labels
	Words         int               // of each series: a value, or buckets and a sum
	Limit         int               // of series
	Reserve       int               // further series, for the label sets that are folded at the limit, of each client
	Float         bool              // the last word is a float64; otherwise it is an integer
	CurrencyLabel int               // index of the label currency; -1 if the metric is not in money
	CurrencyLimit uint64            // key of the series that counts the amounts in currencies beyond the limit

	number uint64  // in the low bits of its keys
	shifts []uint8 // of the id of each label's value in a key

	Rejected []atomic.Uint64 // label values that became "other", for each label
	Dropped  atomic.Uint64   // label sets beyond the limit
}

// Key packs the metric's number, and above it the ids of the label values. It is never 0.
func (m *Metric) Key(ids []uint32) uint64 {
	key := m.number
	for i, id := range ids {
		key |= uint64(id) << m.shifts[i]
	}
	return key
}

// IDs unpacks the ids of a key.
func (m *Metric) IDs(key uint64) []uint32 {
	ids := make([]uint32, len(m.shifts))
	for i, s := range m.shifts {
		ids[i] = uint32(key >> s & (1<<m.Interners[i].Bits() - 1))
	}
	return ids
}

// Event holds the rules of one type of event. Conditions are resolved first, then values, so that a record that lacks one
// counts nowhere; then labels, then rules.
type Event struct {
	name       string
	Dedupe     bool
	Conditions []Condition
	Values     []Value
	Labels     []Label
	Rules      []Rule
}

// In the types below an index is -1 where there is nothing. Slots are those of the layout.

// Condition is what must stand in a field, so that a rule applies.
type Condition struct {
	Slot   int
	Kind   cloudevent.Kind
	Equals string
}

// Value is what is measured, and where it stands.
type Value struct {
	Slot, Minus, Currency, Condition int
	Kind                             ValueKind
	Clamp, Optional                  bool
}

// ValueKind says how a value is read.
type ValueKind uint8

// An amount of money is an integer, of the minor units of a currency.
const (
	IntegerValue ValueKind = iota
	FloatValue
	MoneyValue
)

// Label is where a label's value comes from, and what becomes of it: a class of status codes, a translation, or its id.
type Label struct {
	Slot, Condition int
	Within          int    // index of the label that this one's values belong to
	WithinID        uint32 // if that one is a constant, its id
	Interner        *interner.Label
	Fallback        int64 // id of the value when the field is absent, or -1
	Classes         *[6]uint32
	Translate       []Translation
	Rejected        []*atomic.Uint64 // of every metric that has the label
}

// Translation is what a text in a field becomes.
type Translation struct {
	From string
	ID   uint32
}

// Rule is what an event does to one metric.
type Rule struct {
	Kind             RuleKind
	Value, Condition int
	Currency         int // of money: index of the label
	Metric           *Metric
	BaseKey          uint64 // of the key: the metric and its constant labels
	KeyParts         []KeyPart
	Bounds           []float64
	TTL              time.Duration
}

// KeyPart is the place of a label's id in a key.
type KeyPart struct {
	Label int
	Shift uint8
}

// RuleKind says what a rule does with the value.
type RuleKind uint8

// A counter is increased, an observation goes to a histogram.
const (
	CountOne RuleKind = iota
	CountInteger
	CountFloat
	CountMoney
	ObserveFloat
	ObserveMoney
	SetGauge
)

// Compile compiles a mapping, for so many clients and sale events.
func Compile(m *Mapping, sizes catalog.Sizes) (*Compiled, error) {
	c := &compiler{mapping: &Compiled{Layout: m.layout, byName: map[string]*Metric{}}, sizes: sizes, shared: map[string]*interner.Label{}}
	groups := c.interningGroups(m)
	for i, decl := range m.metrics {
		if err := c.metric(decl, uint64(i+1), groups); err != nil {
			return nil, err
		}
	}
	c.mapping.Records = c.mapping.byName["consignwatch_records_total"]
	c.mapping.Delay = c.mapping.byName["consignwatch_record_delay_seconds"]
	c.mapping.ValuesRejected = c.mapping.byName["consignwatch_values_rejected_total"]
	if c.mapping.Records == nil || c.mapping.Delay == nil || c.mapping.ValuesRejected == nil {
		return nil, fmt.Errorf("the catalog does not declare the stream's own metrics")
	}
	c.mapping.NotATime = c.rejection(c.mapping.Delay, catalog.NotATime)
	c.mapping.InTheFuture = c.rejection(c.mapping.Delay, catalog.InTheFuture)
	c.mapping.TooLarge = c.rejection(c.mapping.Delay, catalog.TooLarge)
	for _, m := range c.mapping.Metrics {
		if m.CurrencyLabel >= 0 {
			m.CurrencyLimit = c.rejection(m, catalog.CurrencyLimit)
		}
	}
	events := make([]*Event, 0, len(m.events))
	for i := range m.events {
		e := c.event(&m.events[i])
		events = append(events, e)
		c.mapping.Dedupes = c.mapping.Dedupes || e.Dedupe
		c.mapping.MaxLabels = max(c.mapping.MaxLabels, len(e.Labels))
		c.mapping.MaxValues = max(c.mapping.MaxValues, len(e.Values))
		c.mapping.MaxConditions = max(c.mapping.MaxConditions, len(e.Conditions))
	}
	c.mapping.types = newEventTable(events)
	for _, k := range m.known {
		c.mapping.Known = append(c.mapping.Known, Known{c.mapping.byName[k.metric.Name], k.values})
	}
	return c.mapping, nil
}

// rejection returns the key of the series that counts the values which a metric leaves out for a reason. It exists from
// the start.
func (c *compiler) rejection(of *Metric, reason string) uint64 {
	m := c.mapping.ValuesRejected
	c.mapping.Known = append(c.mapping.Known, Known{m, []string{of.Decl.Name, reason}})
	metric, _ := m.Interners[0].Reserve(of.Decl.Name)
	id, _ := m.Interners[1].Reserve(reason)
	return m.Key([]uint32{metric, id})
}

type compiler struct {
	mapping *Compiled
	sizes   catalog.Sizes
	shared  map[string]*interner.Label // by interning group
}

// labelOf is one label of one metric.
type labelOf struct {
	metric, label string
}

// interningGroups says which labels share an interner: those with the same group. All metrics share the interner of
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
	m := &Metric{Decl: decl, number: number, Words: 1, CurrencyLabel: -1, Rejected: make([]atomic.Uint64, len(decl.Labels))}
	shift := 10 // 1,023 metrics
	for i := range decl.Labels {
		l := &decl.Labels[i]
		group := groups[labelOf{decl.Name, l.Name}]
		d := c.shared[group]
		if d == nil {
			d = c.interner(l)
			c.shared[group] = d
		}
		m.Interners = append(m.Interners, d)
		m.shifts = append(m.shifts, uint8(shift))
		shift += d.Bits()
	}
	if shift > 64 || number > 1023 {
		return fmt.Errorf("metric %s: its labels can have more combinations than can be distinguished", decl.Name)
	}
	if decl.Type == catalog.Histogram {
		m.Words = len(decl.Buckets) + 2 // +Inf, and the sum
	}
	switch {
	case decl.Unit == catalog.Money:
		m.CurrencyLabel = decl.LabelIndex("currency")
	case decl.Unit == catalog.Seconds, decl.Type == catalog.Histogram:
		m.Float = true
	}
	m.Limit = m.maxSeries(c.sizes)
	if decl.LabelIndex("client") >= 0 {
		m.Reserve = c.sizes.Clients + 2
	}
	c.mapping.Metrics = append(c.mapping.Metrics, m)
	c.mapping.byName[decl.Name] = m
	return nil
}

// maxSeries is the number of label sets that the declaration allows, with the platform itself and "other" as two more
// clients with a sale event each.
func (m *Metric) maxSeries(s catalog.Sizes) int {
	n := m.Decl.Series(catalog.Sizes{Clients: s.Clients + 2, Events: s.Events + 2})
	if m.Decl.Type == catalog.Histogram {
		n /= len(m.Decl.Buckets) + 3
	}
	return n
}

func (c *compiler) interner(l *catalog.Label) *interner.Label {
	switch {
	case l.Name == "client":
		if c.mapping.Client == nil {
			c.mapping.Client = interner.New(l, c.sizes.Clients, nil)
		}
		return c.mapping.Client
	case l.Within != "":
		return interner.New(l, l.Limit, c.mapping.Client) // the client's label stands before it
	}
	return interner.New(l, l.Limit, nil)
}

// event compiles one type of event. What its rules have in common (a label from the same field, with the same interner,
// under the same condition) is resolved once for each record.
func (c *compiler) event(spec *eventSpec) *Event {
	e := &Event{name: spec.name, Dedupe: spec.dedupe}
	type valueUse struct {
		valueSpec
		kind      ValueKind
		condition int
	}
	type labelUse struct {
		labelSpec
		interner          *interner.Label
		within, condition int
		withinID          uint32
	}
	conditions, values, labels := map[whenSpec]int{}, map[valueUse]int{}, map[labelUse]int{}
	for i := range spec.rules {
		f := &spec.rules[i]
		m := c.mapping.byName[f.metric.Name]
		rule := Rule{Metric: m, Value: -1, Condition: -1, Currency: -1, BaseKey: m.number, Bounds: f.metric.Buckets, TTL: f.ttl}
		if f.when.kind != cloudevent.KindNull {
			rule.Condition = once(conditions, f.when, func() {
				e.Conditions = append(e.Conditions, Condition{Slot: c.slot(f.when.field), Kind: f.when.kind, Equals: f.when.equals})
			})
		}
		rule.Kind = ruleKindOf(f)
		if f.value.path != "" {
			k := valueKindOf(rule.Kind)
			rule.Value = once(values, valueUse{f.value, k, rule.Condition}, func() {
				e.Values = append(e.Values, Value{Slot: c.path(f.value.path), Minus: c.path(f.value.minus), Currency: c.path(f.value.currency),
					Condition: rule.Condition, Kind: k, Clamp: f.value.clamp, Optional: f.value.optional})
			})
		}
		at := make([]int, len(f.labels)) // indexes of this rule's labels in the event's
		constants := make([]uint32, len(f.labels))
		for i, l := range f.labels {
			d := m.Interners[i]
			if l.constant != "" {
				id, _ := d.Reserve(l.constant)
				rule.BaseKey |= uint64(id) << m.shifts[i]
				at[i], constants[i] = -1, id
				continue
			}
			use := labelUse{labelSpec: l, interner: d, within: -1, condition: rule.Condition}
			if w := f.metric.LabelIndex(f.metric.Labels[i].Within); w >= 0 {
				use.within, use.withinID = at[w], constants[w]
			}
			at[i] = once(labels, use, func() {
				label := c.label(l, d)
				label.Within, label.WithinID, label.Condition = use.within, use.withinID, use.condition
				e.Labels = append(e.Labels, label)
			})
			e.Labels[at[i]].Rejected = append(e.Labels[at[i]].Rejected, &m.Rejected[i])
			rule.KeyParts = append(rule.KeyParts, KeyPart{Label: at[i], Shift: m.shifts[i]})
			if i == m.CurrencyLabel {
				rule.Currency = at[i]
			}
		}
		e.Rules = append(e.Rules, rule)
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

func ruleKindOf(f *ruleSpec) RuleKind {
	money := f.metric.Unit == catalog.Money
	switch {
	case f.metric.Type == catalog.Gauge:
		return SetGauge
	case f.metric.Type == catalog.Histogram && money:
		return ObserveMoney
	case f.metric.Type == catalog.Histogram:
		return ObserveFloat
	case money:
		return CountMoney
	case f.metric.Unit == catalog.Seconds:
		return CountFloat
	case f.value.path != "":
		return CountInteger
	}
	return CountOne
}

func valueKindOf(k RuleKind) ValueKind {
	switch k {
	case CountInteger:
		return IntegerValue
	case CountMoney, ObserveMoney:
		return MoneyValue
	}
	return FloatValue
}

func (c *compiler) slot(f cloudevent.Field) int { return c.mapping.Layout.Slot(f) }

func (c *compiler) path(p string) int {
	if p == "" {
		return -1
	}
	return c.slot(cloudevent.Field{In: cloudevent.InData, Name: p})
}

func (c *compiler) label(s labelSpec, d *interner.Label) Label {
	l := Label{Slot: c.slot(s.field), Interner: d, Fallback: -1}
	number := func(value string) uint32 { id, _ := d.Reserve(value); return id }
	if s.fallback != "" {
		l.Fallback = int64(number(s.fallback))
	}
	if s.class {
		l.Classes = &[6]uint32{}
		for i := 1; i <= 5; i++ {
			l.Classes[i] = number(string(rune('0'+i)) + "xx")
		}
	}
	for pairs := strings.Split(s.pairs, "\x00"); len(pairs) > 1; pairs = pairs[2:] {
		l.Translate = append(l.Translate, Translation{pairs[0], number(pairs[1])})
	}
	return l
}

// eventTable finds an event by its type.
type eventTable struct {
	slots []*Event
	mask  uint64
}

func newEventTable(events []*Event) eventTable {
	t := eventTable{slots: make([]*Event, 4<<bits.Len(uint(len(events))))}
	t.mask = uint64(len(t.slots) - 1)
	sorted := slices.SortedFunc(slices.Values(events), func(a, b *Event) int { return cmp.Compare(a.name, b.name) })
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

func (t *eventTable) find(name []byte) *Event {
	for i := t.hash(name); ; i++ {
		e := t.slots[i&t.mask]
		if e == nil || e.name == string(name) {
			return e
		}
	}
}

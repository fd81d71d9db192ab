package events

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// plan is a mapping compiled for the hot path: flat arrays of numbers, no maps, no interfaces. All that can be worked out
// before the first record is worked out here.
type plan struct {
	layout    *layout
	exponents *exponents
	metrics   []*metric // by name
	byName    map[string]*metric
	events    []*eventPlan
	types     eventTable
	client    *domain // of the label client, shared by all metrics

	// The exporter's own metrics about the stream.
	records, delay *metric

	// How much scratch a shard needs for the largest event.
	labels, values, conditions int
}

// metric is a declared metric and what the plan and the ledger know of it.
type metric struct {
	decl    *catalog.Metric
	number  uint64    // in the low bits of its keys
	domains []*domain // of its labels
	shifts  []uint8   // where the number of each label's value stands in a key
	words   int       // that a cell has: a value, or buckets and a sum
	limit   int       // of series
	reserve int       // further series, for what the limit has folded together
	float   bool      // the last word of a cell is a float64; otherwise it is an integer
	places  int       // index of the label currency, which says how many decimal places money has; -1 if it is none

	rejected []atomic.Uint64 // label values that became "other", for each label
	dropped  atomic.Uint64   // label sets that found no room
}

// key is the number of a series: the metric's, and above it those of the label values. It is never 0.
func (m *metric) key(ids []uint32) uint64 {
	key := m.number
	for i, id := range ids {
		key |= uint64(id) << m.shifts[i]
	}
	return key
}

// ids takes a key apart.
func (m *metric) ids(key uint64) []uint32 {
	ids := make([]uint32, len(m.shifts))
	for i, s := range m.shifts {
		ids[i] = uint32(key >> s & (1<<m.domains[i].bits - 1))
	}
	return ids
}

// eventPlan is what one type of event feeds. Conditions come first, then values, so that a record that lacks one counts
// nowhere; then labels, then feeds.
type eventPlan struct {
	name       string
	dedupe     bool
	conditions []conditionPlan
	values     []valuePlan
	labels     []labelPlan
	feeds      []feedPlan
}

// Where an index can be absent it is -1.

type conditionPlan struct {
	slot   int
	kind   kind
	equals string
}

type valuePlan struct {
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

type labelPlan struct {
	slot, condition int
	within          int    // index of the label that this one's values belong to
	of              uint32 // if that one is a constant, its number
	domain          *domain
	fallback        int64 // number of the value when the field is absent
	classes         *[6]uint32
	translate       []translation
	rejected        []*atomic.Uint64 // of every metric that has the label
}

// translation is what a text in a field becomes.
type translation struct {
	from string
	id   uint32
}

type feedPlan struct {
	kind             feedKind
	value, condition int
	currency         int // index of the label
	metric           *metric
	base             uint64 // of the key: the metric and its constant labels
	parts            []keyPart
	bounds           []float64
	ttl              time.Duration
}

type keyPart struct {
	label int
	shift uint8
}

type feedKind uint8

const (
	countOne feedKind = iota
	countInteger
	countFloat
	countMoney
	observeFloat
	observeMoney
	setGauge
)

// compile turns a mapping into a plan.
func compile(m *Mapping, sizes catalog.Sizes) (*plan, error) {
	c := &compiler{plan: &plan{layout: m.layout, exponents: newExponents(), byName: map[string]*metric{}}, sizes: sizes, shared: map[string]*domain{}}
	domains := c.domainsOf(m)
	for i, decl := range m.metrics {
		if err := c.metric(decl, uint64(i+1), domains); err != nil {
			return nil, err
		}
	}
	c.plan.records = c.plan.byName["consignwatch_records_total"]
	c.plan.delay = c.plan.byName["consignwatch_record_delay_seconds"]
	if c.plan.records == nil || c.plan.delay == nil {
		return nil, fmt.Errorf("the catalog does not declare the stream's own metrics")
	}
	for i := range m.events {
		e := c.event(&m.events[i])
		c.plan.events = append(c.plan.events, e)
		c.plan.labels = max(c.plan.labels, len(e.labels))
		c.plan.values = max(c.plan.values, len(e.values))
		c.plan.conditions = max(c.plan.conditions, len(e.conditions))
	}
	c.plan.types = newEventTable(c.plan.events)
	return c.plan, nil
}

type compiler struct {
	plan   *plan
	sizes  catalog.Sizes
	shared map[string]*domain // domains that all metrics share
}

// labelOf is one label of one metric.
type labelOf struct {
	metric, label string
}

// domainsOf says which labels share a domain. `client`, and what belongs to a client, is the same everywhere. Besides,
// labels that are declared alike and that some event feeds from the same source share one: the route of a request is
// then looked up once for all metrics, and either admitted in all of them or in none. Labels that only happen to have
// the same name, such as the operation of a cache and that of a service, do not take each other's places.
func (c *compiler) domainsOf(m *Mapping) map[labelOf]string {
	parent := map[labelOf]labelOf{}
	var root func(labelOf) labelOf
	root = func(l labelOf) labelOf {
		if p, ok := parent[l]; ok && p != l {
			return root(p)
		}
		return l
	}
	for _, e := range m.events {
		type fed struct {
			spec   labelSpec
			domain string
		}
		first := map[fed]labelOf{}
		for _, f := range e.feeds {
			for i, l := range f.labels {
				node := labelOf{f.metric.Name, f.metric.Labels[i].Name}
				alike := fed{l, signature(&f.metric.Labels[i])}
				if other, ok := first[alike]; ok {
					parent[root(node)] = root(other)
				} else {
					first[alike] = node
				}
			}
		}
	}
	domains := map[labelOf]string{}
	for _, decl := range m.metrics {
		for i := range decl.Labels {
			l := &decl.Labels[i]
			node := labelOf{decl.Name, l.Name}
			r := root(node)
			domains[node] = r.metric + "\x00" + r.label
			if l.Name == "client" || l.Within != "" || l.Name == "topic" && strings.HasPrefix(decl.Name, "consignwatch_") {
				domains[node] = signature(l)
			}
		}
	}
	return domains
}

// signature is the same for labels that are declared alike.
func signature(l *catalog.Label) string {
	return fmt.Sprintf("%s\x00%s\x00%d\x00%d\x00%s\x00%q", l.Name, l.Pattern, l.MaxLength, l.Limit, l.Within, l.Values)
}

func (c *compiler) metric(decl *catalog.Metric, number uint64, names map[labelOf]string) error {
	m := &metric{decl: decl, number: number, words: 1, places: -1, rejected: make([]atomic.Uint64, len(decl.Labels))}
	shift := 10 // 1,023 metrics
	for i := range decl.Labels {
		l := &decl.Labels[i]
		name := names[labelOf{decl.Name, l.Name}]
		d := c.shared[name]
		if d == nil {
			d = c.domain(l)
			c.shared[name] = d
		}
		m.domains = append(m.domains, d)
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
		m.places = decl.LabelIndex("currency")
	case decl.Unit == catalog.Seconds, decl.Type == catalog.Histogram:
		m.float = true
	}
	m.limit = m.mostSeries(c.sizes)
	if decl.LabelIndex("client") >= 0 {
		m.reserve = c.sizes.Clients + 2
	}
	c.plan.metrics = append(c.plan.metrics, m)
	c.plan.byName[decl.Name] = m
	return nil
}

// mostSeries is the number of label sets that the declaration allows, with the platform itself and "other" as two more
// clients with a sale event each.
func (m *metric) mostSeries(s catalog.Sizes) int {
	n := m.decl.Series(catalog.Sizes{Clients: s.Clients + 2, Events: s.Events + 2})
	if m.decl.Type == catalog.Histogram {
		n /= len(m.decl.Buckets) + 3
	}
	return n
}

func (c *compiler) domain(l *catalog.Label) *domain {
	switch {
	case l.Name == "client":
		if c.plan.client == nil {
			c.plan.client = newDomain(l, c.sizes.Clients, nil)
		}
		return c.plan.client
	case l.Within != "":
		return newDomain(l, l.Limit, c.plan.client) // the client's label stands before it
	}
	return newDomain(l, l.Limit, nil)
}

// event compiles one type. What its feeds have in common (a label from the same source, in the same domain, under the
// same condition) is worked out once for each record.
func (c *compiler) event(spec *eventSpec) *eventPlan {
	e := &eventPlan{name: spec.name, dedupe: spec.dedupe}
	type valueUse struct {
		valueSpec
		kind      valueKind
		condition int
	}
	type labelUse struct {
		labelSpec
		domain            *domain
		within, condition int
		of                uint32
	}
	conditions, values, labels := map[whenSpec]int{}, map[valueUse]int{}, map[labelUse]int{}
	for i := range spec.feeds {
		f := &spec.feeds[i]
		m := c.plan.byName[f.metric.Name]
		feed := feedPlan{metric: m, value: -1, condition: -1, currency: -1, base: m.number, bounds: f.metric.Buckets, ttl: f.ttl}
		if f.when.kind != null {
			feed.condition = once(conditions, f.when, func() {
				e.conditions = append(e.conditions, conditionPlan{slot: c.slot(f.when.field), kind: f.when.kind, equals: f.when.equals})
			})
		}
		feed.kind = feedKindOf(f)
		if f.value.path != "" {
			k := valueKindOf(feed.kind)
			feed.value = once(values, valueUse{f.value, k, feed.condition}, func() {
				e.values = append(e.values, valuePlan{slot: c.path(f.value.path), minus: c.path(f.value.minus), currency: c.path(f.value.currency),
					condition: feed.condition, kind: k, clamp: f.value.clamp, optional: f.value.optional})
			})
		}
		at := make([]int, len(f.labels)) // indexes of this feed's labels in the event's
		constants := make([]uint32, len(f.labels))
		for i, l := range f.labels {
			d := m.domains[i]
			if l.constant != "" {
				id, _ := d.id([]byte(l.constant), 0, 0)
				feed.base |= uint64(id) << m.shifts[i]
				at[i], constants[i] = -1, id
				continue
			}
			use := labelUse{labelSpec: l, domain: d, within: -1, condition: feed.condition}
			if w := f.metric.LabelIndex(f.metric.Labels[i].Within); w >= 0 {
				use.within, use.of = at[w], constants[w]
			}
			at[i] = once(labels, use, func() {
				label := c.label(l, d)
				label.within, label.of, label.condition = use.within, use.of, use.condition
				e.labels = append(e.labels, label)
			})
			e.labels[at[i]].rejected = append(e.labels[at[i]].rejected, &m.rejected[i])
			feed.parts = append(feed.parts, keyPart{label: at[i], shift: m.shifts[i]})
			if i == m.places {
				feed.currency = at[i]
			}
		}
		e.feeds = append(e.feeds, feed)
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

func feedKindOf(f *feedSpec) feedKind {
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

func valueKindOf(k feedKind) valueKind {
	switch k {
	case countInteger:
		return integerValue
	case countMoney, observeMoney:
		return moneyValue
	}
	return floatValue
}

func (c *compiler) slot(f field) int { return c.plan.layout.slots[f] }

func (c *compiler) path(p string) int {
	if p == "" {
		return -1
	}
	return c.slot(field{inData, p})
}

func (c *compiler) label(s labelSpec, d *domain) labelPlan {
	l := labelPlan{slot: c.slot(s.field), domain: d, fallback: -1}
	number := func(value string) uint32 { id, _ := d.id([]byte(value), 0, 0); return id }
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
	slots []*eventPlan
	mask  uint64
}

func newEventTable(events []*eventPlan) eventTable {
	t := eventTable{slots: make([]*eventPlan, 4<<bits.Len(uint(len(events))))}
	t.mask = uint64(len(t.slots) - 1)
	sorted := slices.SortedFunc(slices.Values(events), func(a, b *eventPlan) int { return cmp.Compare(a.name, b.name) })
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
	lo, hi := words(b)
	h, l := bits.Mul64(lo^0xa0761d6478bd642f, hi^0xe7037ed1a0b428db)
	return h ^ l
}

func (t *eventTable) find(name []byte) *eventPlan {
	for i := t.hash(name); ; i++ {
		e := t.slots[i&t.mask]
		if e == nil || e.name == string(name) {
			return e
		}
	}
}

package exporter

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// evictAfter is how long a label value stays admitted after its last series has gone.
const evictAfter = 24 * time.Hour

// cardinalityLimiter keeps the number of series within the catalog's limits. It remembers which values of each open
// label were admitted: the first ones stay admitted, values of the inventory come before all others, later ones are
// folded into "other". All collectors of an exporter share one limiter, so that all of them admit the same clients.
type cardinalityLimiter struct {
	self *selfMetrics

	mu        sync.Mutex
	sizes     catalog.Sizes
	valueSets map[valueSetKey]*valueSet
}

// valueSetKey identifies a valueSet: the values of a label, and for a label with Within those below one value.
type valueSetKey struct {
	label       string
	pattern     string
	limit       int
	withinLabel string
	within      string
}

type valueSet struct {
	limit     int
	seen      map[string]time.Time
	inventory map[string]bool
	nextFree  time.Time // no place gets free before that, except for a value of the inventory
}

func newCardinalityLimiter(sizes catalog.Sizes, self *selfMetrics) *cardinalityLimiter {
	return &cardinalityLimiter{self: self, sizes: sizes, valueSets: map[valueSetKey]*valueSet{}}
}

// resize changes the limits; admitted values stay admitted.
func (c *cardinalityLimiter) resize(sizes catalog.Sizes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sizes = sizes
	for k, vs := range c.valueSets {
		if k.label == "client" {
			vs.limit = sizes.Clients
		}
	}
}

// fold replaces label values that are not admitted by "other".
func (c *cardinalityLimiter) fold(samples []sample, inventories []inventory, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setInventories(inventories, samples, now)
	for s := range samples {
		v := &samples[s]
		for i := range v.metric.Labels {
			l := &v.metric.Labels[i]
			if c.admit(v.metric, l, v.labels, i, now) {
				continue
			}
			c.self.labelValuesRejected.WithLabelValues(v.metric.Name, l.Name).Inc()
			if v.reported == nil {
				v.reported = slices.Clone(v.labels)
			}
			v.labels[i] = catalog.Other
		}
	}
}

// limit drops the samples of a metric that exceed its number of series: those that were reported last.
func (c *cardinalityLimiter) limit(m *catalog.Metric, samples []sample) []sample {
	c.mu.Lock()
	most := m.Series(c.sizes) / seriesPerSample(m)
	c.mu.Unlock()
	if len(samples) <= most {
		return samples
	}
	slices.SortFunc(samples, func(a, b sample) int { return cmp.Compare(a.position, b.position) })
	samples = samples[:most]
	slices.SortFunc(samples, func(a, b sample) int { return slices.Compare(a.labels, b.labels) })
	return samples
}

func seriesPerSample(m *catalog.Metric) int {
	if m.Type == catalog.Histogram {
		return len(m.Buckets) + 3
	}
	return 1
}

// merge adds the value of a sample that has the same labels.
func (v *sample) merge(o *sample) {
	v.value += o.value
	v.position = min(v.position, o.position)
	if v.hist == nil {
		return
	}
	v.hist.Count += o.hist.Count
	v.hist.Sum += o.hist.Sum
	for i := range v.hist.Buckets {
		if v.hist.Buckets[i] == UnknownBucket || o.hist.Buckets[i] == UnknownBucket {
			v.hist.Buckets[i] = UnknownBucket
			continue
		}
		v.hist.Buckets[i] += o.hist.Buckets[i]
	}
}

// admit reports whether the label value at position i may be exposed.
func (c *cardinalityLimiter) admit(m *catalog.Metric, l *catalog.Label, values []string, i int, now time.Time) bool {
	value := values[i]
	if value == catalog.Other && !l.Closed() {
		return true
	}
	if !l.Matches(value) {
		return false
	}
	if l.Closed() || value == "" {
		return true
	}
	within := ""
	if l.Within != "" {
		within = values[m.LabelIndex(l.Within)]
		if within == catalog.Other {
			return false // clients that are not admitted share one series: their sale events do, too
		}
	}
	return c.admitValue(keyOf(l, within), value, now)
}

func keyOf(l *catalog.Label, within string) valueSetKey {
	return valueSetKey{label: l.Name, pattern: l.Pattern, limit: l.Limit, withinLabel: l.Within, within: within}
}

func (c *cardinalityLimiter) valueSet(k valueSetKey) *valueSet {
	vs := c.valueSets[k]
	if vs == nil {
		vs = &valueSet{limit: k.limit, seen: map[string]time.Time{}}
		if k.label == "client" {
			vs.limit = c.sizes.Clients
		}
		c.valueSets[k] = vs
	}
	return vs
}

// admitValue reports whether a value has a place in a valueSet, or gets one.
func (c *cardinalityLimiter) admitValue(k valueSetKey, value string, now time.Time) bool {
	vs := c.valueSet(k)
	if _, ok := vs.seen[value]; !ok && len(vs.seen) >= vs.limit {
		victim, ok := vs.evict(value, now)
		if !ok {
			return false
		}
		c.deleteWithin(k.label, victim)
	}
	vs.seen[value] = now
	return true
}

// deleteWithin deletes the valueSets below a value that has lost its place.
func (c *cardinalityLimiter) deleteWithin(label, value string) {
	for k := range c.valueSets {
		if k.withinLabel == label && k.within == value {
			delete(c.valueSets, k)
		}
	}
}

// evict makes room for a value: it removes the value that has not been seen for longest, if that is longer than
// evictAfter, or if the new value is of the inventory and the old one is not.
func (vs *valueSet) evict(value string, now time.Time) (victim string, ok bool) {
	if !vs.inventory[value] && now.Before(vs.nextFree) {
		return "", false // a flood of unknown values does not look through all places for each
	}
	longest := time.Duration(-1)
	vs.nextFree = now.Add(evictAfter)
	for v, at := range vs.seen {
		if vs.inventory[v] {
			continue
		}
		if free := at.Add(evictAfter); free.Before(vs.nextFree) {
			vs.nextFree = free
		}
		age := now.Sub(at)
		if (age > evictAfter || vs.inventory[value]) && (age > longest || age == longest && v < victim) {
			victim, longest = v, age
		}
	}
	if longest < 0 {
		return "", false
	}
	vs.nextFree = time.Time{} // there may be more
	delete(vs.seen, victim)
	return victim, true
}

// setInventories sets the inventory of each label's valueSet, and admits its values.
func (c *cardinalityLimiter) setInventories(inventories []inventory, samples []sample, now time.Time) {
	labels := map[string]*catalog.Label{} // the open ones of this collection, by name
	var last *catalog.Metric
	for _, v := range samples {
		if v.metric == last {
			continue
		}
		last = v.metric
		for i := range v.metric.Labels {
			if l := &v.metric.Labels[i]; !l.Closed() && labels[l.Name] == nil {
				labels[l.Name] = l
			}
		}
	}
	for _, below := range []bool{false, true} { // clients get their places before their sale events
		for _, inv := range inventories {
			l := labels[inv.label]
			if l == nil || (l.Within != "") != below || (inv.within != "") != below {
				continue
			}
			if below && !c.admitOuter(labels[l.Within], inv.within, now) {
				continue
			}
			c.setInventory(l, inv, now)
		}
	}
}

// admitOuter reports whether the values below a value are admitted at all; if not, they all become "other".
func (c *cardinalityLimiter) admitOuter(outer *catalog.Label, value string, now time.Time) bool {
	return outer == nil || value != catalog.Other && outer.Matches(value) && c.admitValue(keyOf(outer, ""), value, now)
}

func (c *cardinalityLimiter) setInventory(l *catalog.Label, inv inventory, now time.Time) {
	values := slices.DeleteFunc(slices.Clone(inv.values), func(s string) bool { return !l.Matches(s) })
	k := keyOf(l, inv.within)
	vs := c.valueSet(k)
	if len(values) > vs.limit {
		values = values[:vs.limit]
	}
	vs.inventory = make(map[string]bool, len(values))
	vs.nextFree = time.Time{}
	for _, s := range values {
		vs.inventory[s] = true
	}
	for _, s := range values {
		c.admitValue(k, s, now)
	}
}

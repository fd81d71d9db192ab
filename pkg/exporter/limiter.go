package exporter

import (
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
	label   string
	pattern string
	limit   int
	within  string
}

type valueSet struct {
	limit     int
	seen      map[string]time.Time
	inventory map[string]bool
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

// filter replaces label values that are not admitted by "other", adds up the samples whose label sets become equal, and
// drops samples that cannot be added or that exceed the metric's number of series.
func (c *cardinalityLimiter) filter(samples []sample, inventories []inventory, now time.Time) []sample {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setInventories(inventories, samples, now)
	out := samples[:0]
	folded := map[string]int{} // identity after folding to index in out
	perMetric := map[*catalog.Metric]int{}
	for _, v := range samples {
		changed, mixed := false, false
		for i := range v.metric.Labels {
			l := &v.metric.Labels[i]
			if c.admit(v.metric, l, v.labels, i, now) {
				continue
			}
			c.self.labelValuesRejected.WithLabelValues(v.metric.Name, l.Name).Inc()
			v.labels[i] = catalog.Other
			changed = true
			mixed = mixed || l.Name == "currency" // money of different currencies cannot be added
		}
		if changed {
			if mixed || !v.metric.Additive() {
				c.drop(v.metric)
				continue
			}
			id := v.metric.Name + "\xff" + key(v.labels)
			if at, ok := folded[id]; ok {
				out[at].merge(&v)
				continue
			}
			folded[id] = len(out)
		}
		if perMetric[v.metric] >= v.metric.Series(c.sizes)/seriesPerSample(v.metric) {
			c.drop(v.metric)
			delete(folded, v.metric.Name+"\xff"+key(v.labels))
			continue
		}
		perMetric[v.metric]++
		out = append(out, v)
	}
	return out
}

func seriesPerSample(m *catalog.Metric) int {
	if m.Type == catalog.Histogram {
		return len(m.Buckets) + 3
	}
	return 1
}

func (c *cardinalityLimiter) drop(m *catalog.Metric) {
	c.self.seriesDropped.WithLabelValues(m.Name).Inc()
}

// merge adds the value of a sample that has the same labels.
func (v *sample) merge(o *sample) {
	v.value += o.value
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
	if l.Closed() {
		return true
	}
	k := valueSetKey{label: l.Name, pattern: l.Pattern, limit: l.Limit}
	if l.Within != "" {
		k.within = values[m.LabelIndex(l.Within)]
		if k.within == catalog.Other {
			return false // clients that are not admitted share one series: their sale events do, too
		}
	}
	return c.valueSet(k).admit(value, now)
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

func (vs *valueSet) admit(value string, now time.Time) bool {
	if _, ok := vs.seen[value]; ok {
		vs.seen[value] = now
		return true
	}
	if len(vs.seen) >= vs.limit && !vs.evict(value, now) {
		return false
	}
	vs.seen[value] = now
	return true
}

// evict makes room for a value: it removes the value that has not been seen for longest, if that is longer than
// evictAfter, or if the new value is of the inventory and the old one is not.
func (vs *valueSet) evict(value string, now time.Time) bool {
	victim, longest := "", time.Duration(-1)
	for v, at := range vs.seen {
		age := now.Sub(at)
		free := age > evictAfter && !vs.inventory[v] || vs.inventory[value] && !vs.inventory[v]
		if free && (age > longest || age == longest && v < victim) {
			victim, longest = v, age
		}
	}
	if longest < 0 {
		return false
	}
	delete(vs.seen, victim)
	return true
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
	for _, inv := range inventories {
		if l := labels[inv.label]; l != nil && (l.Within != "") == (inv.within != "") {
			c.valueSet(valueSetKey{label: l.Name, pattern: l.Pattern, limit: l.Limit, within: inv.within}).setInventory(l, inv.values, now)
		}
	}
}

func (vs *valueSet) setInventory(l *catalog.Label, values []string, now time.Time) {
	values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return !l.Matches(s) })
	if len(values) > vs.limit {
		values = values[:vs.limit]
	}
	vs.inventory = make(map[string]bool, len(values))
	for _, s := range values {
		vs.inventory[s] = true
	}
	for _, s := range values {
		vs.admit(s, now)
	}
}

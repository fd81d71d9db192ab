package exporter

import (
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// retireAfter is how long a label value keeps its place after its last series has gone.
const retireAfter = 24 * time.Hour

// admission keeps the cardinality within the catalog's limits. It remembers which values of each open label were
// admitted: the first ones keep their place, values of the inventory come before all others, later ones are folded
// into "other". It is shared by all collectors of an exporter, so that a client is either known or not.
type admission struct {
	self *selfMetrics

	mu      sync.Mutex
	sizes   catalog.Sizes
	domains map[domainKey]*domain
}

// domainKey names a set of admitted values: those of a label, and for a label with Within those below one value.
type domainKey struct {
	label   string
	pattern string
	limit   int
	within  string
}

type domain struct {
	limit     int
	seen      map[string]time.Time
	inventory map[string]bool
}

func newAdmission(sizes catalog.Sizes, self *selfMetrics) *admission {
	return &admission{self: self, sizes: sizes, domains: map[domainKey]*domain{}}
}

// resize changes the limits; values that were admitted stay.
func (a *admission) resize(sizes catalog.Sizes) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sizes = sizes
	for k, d := range a.domains {
		if k.label == "client" {
			d.limit = sizes.Clients
		}
	}
}

// filter replaces label values that are not admitted by "other", adds up what then falls together, and drops what
// cannot be added or exceeds the metric's number of series.
func (a *admission) filter(samples []sample, inventories []inventory, now time.Time) []sample {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setInventories(inventories, samples, now)
	out := samples[:0]
	folded := map[string]int{} // identity after folding to index in out
	perMetric := map[*catalog.Metric]int{}
	for _, v := range samples {
		changed, mixed := false, false
		for i := range v.metric.Labels {
			l := &v.metric.Labels[i]
			if a.admit(v.metric, l, v.labels, i, now) {
				continue
			}
			a.self.labelValuesRejected.WithLabelValues(v.metric.Name, l.Name).Inc()
			v.labels[i] = catalog.Other
			changed = true
			mixed = mixed || l.Name == "currency" // money of different currencies cannot be added
		}
		if changed {
			if mixed || !v.metric.Additive() {
				a.drop(v.metric)
				continue
			}
			id := v.metric.Name + "\xff" + key(v.labels)
			if at, ok := folded[id]; ok {
				out[at].merge(&v)
				continue
			}
			folded[id] = len(out)
		}
		if perMetric[v.metric] >= v.metric.Series(a.sizes)/seriesPerSample(v.metric) {
			a.drop(v.metric)
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

func (a *admission) drop(m *catalog.Metric) {
	a.self.seriesDropped.WithLabelValues(m.Name).Inc()
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

// admit reports whether the value at position i may stand.
func (a *admission) admit(m *catalog.Metric, l *catalog.Label, values []string, i int, now time.Time) bool {
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
	k := domainKey{label: l.Name, pattern: l.Pattern, limit: l.Limit}
	if l.Within != "" {
		k.within = values[m.LabelIndex(l.Within)]
		if k.within == catalog.Other {
			return false // the sale events of clients that are not admitted are not told apart
		}
	}
	return a.domain(k).admit(value, now)
}

func (a *admission) domain(k domainKey) *domain {
	d := a.domains[k]
	if d == nil {
		d = &domain{limit: k.limit, seen: map[string]time.Time{}}
		if k.label == "client" {
			d.limit = a.sizes.Clients
		}
		a.domains[k] = d
	}
	return d
}

func (d *domain) admit(value string, now time.Time) bool {
	if _, ok := d.seen[value]; ok {
		d.seen[value] = now
		return true
	}
	if len(d.seen) >= d.limit && !d.retire(value, now) {
		return false
	}
	d.seen[value] = now
	return true
}

// retire makes room for a value: what has been gone for long leaves, and for a value of the inventory also the
// longest unseen one that is not of the inventory.
func (d *domain) retire(value string, now time.Time) bool {
	victim, unseen := "", time.Duration(-1)
	for v, at := range d.seen {
		age := now.Sub(at)
		free := age > retireAfter && !d.inventory[v] || d.inventory[value] && !d.inventory[v]
		if free && (age > unseen || age == unseen && v < victim) {
			victim, unseen = v, age
		}
	}
	if unseen < 0 {
		return false
	}
	delete(d.seen, victim)
	return true
}

// setInventories tells the domains of labels which values come first, and admits them.
func (a *admission) setInventories(inventories []inventory, samples []sample, now time.Time) {
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
			a.domain(domainKey{label: l.Name, pattern: l.Pattern, limit: l.Limit, within: inv.within}).setInventory(l, inv.values, now)
		}
	}
}

func (d *domain) setInventory(l *catalog.Label, values []string, now time.Time) {
	values = slices.DeleteFunc(slices.Clone(values), func(s string) bool { return !l.Matches(s) })
	if len(values) > d.limit {
		values = values[:d.limit]
	}
	d.inventory = make(map[string]bool, len(values))
	for _, s := range values {
		d.inventory[s] = true
	}
	for _, s := range values {
		d.admit(s, now)
	}
}

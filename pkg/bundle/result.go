package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// result is what is known about the series of an expression without evaluating it.
type result struct {
	labels map[string]label
	// anything: the expression reads something unknown, of which it has been complained already.
	anything bool
	// never: a recording that reads itself, seen from within; there is no series yet.
	never  bool
	values values
	// aggregated: the values of several series were made one.
	aggregated bool
	// buckets: the series are buckets of a histogram, each of which contains those below.
	buckets bool
	// replicas are the catalog's metrics in it of which each replica of an exporter still has its own series.
	replicas map[string]catalog.Combine
}

// label is a label that series of a result can have.
type label struct {
	sure bool // all of them have it
	// among are the values that it can have, if they are known.
	among []string
	// copies are the labels whose values are in this one: series that differ in those differ in this.
	copies []string
	// settled: the other labels say which value it has.
	settled bool
}

// fixed reports whether all series have the same value.
func (l label) fixed() bool { return l.sure && len(l.among) == 1 }

func always(value string) label { return label{sure: true, among: []string{value}} }

// or is the label of series of which some have it as in l and some as in other.
func (l label) or(other label) label {
	both := label{sure: l.sure && other.sure, settled: l.settled && other.settled}
	if l.among != nil && other.among != nil {
		both.among = slices.Compact(slices.Sorted(slices.Values(slices.Concat(l.among, other.among))))
	}
	for _, name := range l.copies {
		if slices.Contains(other.copies, name) {
			both.copies = append(both.copies, name)
		}
	}
	return both
}

// matching is the label of the series that a matcher lets through.
func (l label) matching(m *labels.Matcher) label {
	l.sure = l.sure || !m.Matches("")
	if l.among != nil {
		l.among = slices.DeleteFunc(slices.Clone(l.among), func(v string) bool { return !m.Matches(v) })
	} else if m.Type == labels.MatchEqual {
		l.among = []string{m.Value}
	} else if set := m.SetMatches(); m.Type == labels.MatchRegexp && len(set) > 0 {
		l.among = set
	}
	return l
}

// values is what sort of numbers an expression yields.
type values int

const (
	plain      values = iota
	uncertain         // of a metric whose type nobody knows
	existence         // a counter compared with 0: something has happened at some time
	cumulative        // a counter that still grows
)

const instance = "instance"

func (r result) has(name string) bool {
	_, has := r.labels[name]
	return has || r.anything || r.never
}

// sure reports whether all series have the label.
func (r result) sure(name string) bool { return r.anything || r.never || r.labels[name].sure }

// apart reports whether series of several instances can be in it.
func (r result) apart() bool {
	l, has := r.labels[instance]
	return has && !l.fixed()
}

// with returns the result with one label set.
func (r result) with(name string, l label) result {
	r.labels = maps.Clone(r.labels)
	if r.labels == nil {
		r.labels = map[string]label{}
	}
	r.labels[name] = l
	return r
}

// only returns the result without the labels that keep does not want.
func (r result) only(keep func(name string) bool) result {
	r.labels = maps.Clone(r.labels)
	maps.DeleteFunc(r.labels, func(name string, _ label) bool { return !keep(name) })
	if !r.apart() {
		r.replicas = nil
	}
	if !r.has("le") {
		r.buckets = false
	}
	return r
}

// or is the result that has the series of both.
func (r result) or(other result) result {
	switch {
	case r.never:
		return other
	case other.never:
		return r
	}
	all := result{
		labels:     map[string]label{},
		anything:   r.anything || other.anything,
		values:     max(r.values, other.values),
		aggregated: r.aggregated || other.aggregated,
		buckets:    r.buckets || other.buckets,
		replicas:   bothReplicas(r, other),
	}
	for _, from := range []result{r, other} {
		for name, l := range from.labels {
			if r.anything || other.anything {
				all.labels[name] = label{sure: r.sure(name) && other.sure(name)}
				continue
			}
			a, inA := r.labels[name]
			b, inB := other.labels[name]
			if inA && inB {
				all.labels[name] = a.or(b)
			} else {
				l.sure = false
				all.labels[name] = l
			}
		}
	}
	return all
}

func bothReplicas(a, b result) map[string]catalog.Combine {
	all := maps.Clone(a.replicas)
	if all == nil {
		return b.replicas
	}
	maps.Copy(all, b.replicas)
	return all
}

// settledBy reports whether the series differ in the given labels, or else in nothing that does not follow from them.
func (r result) settledBy(names []string) bool {
	for name, l := range r.labels {
		if !l.settled && !l.fixed() && !slices.Contains(names, name) && name != instance {
			return false
		}
	}
	return true
}

// settleAllBut returns the result with the knowledge that all labels but these follow from these.
func (r result) settleAllBut(names []string) result {
	r.labels = maps.Clone(r.labels)
	for name, l := range r.labels {
		l.settled = l.settled || !slices.Contains(names, name)
		r.labels[name] = l
	}
	return r
}

// unsettled returns the result without the knowledge that some labels follow from others, which may be gone.
func (r result) unsettled() result {
	r.labels = maps.Clone(r.labels)
	for name, l := range r.labels {
		l.settled = false
		r.labels[name] = l
	}
	return r
}

// copied reports whether another label has the value of this one in it.
func (r result) copied(name string) bool {
	for other, l := range r.labels {
		if other != name && slices.Contains(l.copies, name) {
			return true
		}
	}
	return false
}

// either lists values for a message, not all if they are many.
func either(values []string) string {
	const most = 8
	if len(values) > most {
		return strings.Join(values[:most], " or ") + fmt.Sprintf(" or one of %d others", len(values)-most)
	}
	return strings.Join(values, " or ")
}

// names lists the labels for a message.
func (r result) names() string {
	if len(r.labels) == 0 {
		return "no label at all"
	}
	return "only " + strings.Join(slices.Sorted(maps.Keys(r.labels)), ", ")
}

package bundle

import (
	"maps"
	"slices"
	"strings"

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
	sure  bool   // all of them have it
	fixed bool   // all have the same value
	value string // if fixed
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
	return has && !l.fixed
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
		for name := range from.labels {
			a, b := r.labels[name], other.labels[name]
			all.labels[name] = label{
				sure:  r.sure(name) && other.sure(name),
				fixed: a.fixed && b.fixed && a.value == b.value,
				value: a.value,
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

// names lists the labels for a message.
func (r result) names() string {
	if len(r.labels) == 0 {
		return "no label at all"
	}
	return "only " + strings.Join(slices.Sorted(maps.Keys(r.labels)), ", ")
}

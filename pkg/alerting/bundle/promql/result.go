package promql

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Result describes the series of an expression, inferred without evaluating it.
type Result struct {
	labels  map[string]label
	unknown bool // see Unknown
	// noSeries: the result of a recording that reads itself, during its own inference: it adds no series.
	noSeries bool
	values   values
	// aggregated: values are aggregated from several series.
	aggregated bool
	// buckets: the series are cumulative buckets of a histogram.
	buckets bool
	// replicas are the metrics of the catalog that are not aggregated over the replicas of their exporter yet.
	replicas map[string]catalog.Combine
}

// label is a possible label of the series of a result.
type label struct {
	always bool // every series has the label
	// values are the possible values; nil if they are unknown.
	values []string
	// copiedFrom are the labels whose values are part of this one: series that differ in those also differ in this.
	copiedFrom []string
	// determined: the value follows from the other labels.
	determined bool
}

// fixed reports whether all series have the same value.
func (l label) fixed() bool { return l.always && len(l.values) == 1 }

func constantLabel(value string) label { return label{always: true, values: []string{value}} }

// or is the label in the union of series with l and series with other.
func (l label) or(other label) label {
	both := label{always: l.always && other.always, determined: l.determined && other.determined}
	if l.values != nil && other.values != nil {
		both.values = slices.Compact(slices.Sorted(slices.Values(slices.Concat(l.values, other.values))))
	}
	for _, name := range l.copiedFrom {
		if slices.Contains(other.copiedFrom, name) {
			both.copiedFrom = append(both.copiedFrom, name)
		}
	}
	return both
}

// matching is the label of the series that match.
func (l label) matching(m *labels.Matcher) label {
	l.always = l.always || !m.Matches("")
	if l.values != nil {
		l.values = slices.DeleteFunc(slices.Clone(l.values), func(v string) bool { return !m.Matches(v) })
	} else if m.Type == labels.MatchEqual {
		l.values = []string{m.Value}
	} else if set := m.SetMatches(); m.Type == labels.MatchRegexp && len(set) > 0 {
		l.values = set
	}
	return l
}

// values is the kind of values of an expression.
type values int

const (
	plain      values = iota
	uncertain         // of a metric of unknown type
	existence         // a counter compared with 0: something has happened at some time
	cumulative        // a counter that still grows
)

const instance = "instance"

// Has reports whether a series can have the label.
func (r Result) Has(name string) bool {
	_, has := r.labels[name]
	return has || r.unknown || r.noSeries
}

// Always reports whether all series have the label.
func (r Result) Always(name string) bool { return r.unknown || r.noSeries || r.labels[name].always }

// PerInstance reports whether the result can have series of several instances.
func (r Result) PerInstance() bool {
	l, has := r.labels[instance]
	return has && !l.fixed()
}

// Unknown reports whether the expression reads an unknown metric, which has been reported already. Any label is possible.
func (r Result) Unknown() bool { return r.unknown }

// Values are the possible values of a label; nil if they are unknown.
func (r Result) Values(name string) []string { return r.labels[name].values }

// with returns the result with one label set.
func (r Result) with(name string, l label) Result {
	r.labels = maps.Clone(r.labels)
	if r.labels == nil {
		r.labels = map[string]label{}
	}
	r.labels[name] = l
	return r
}

// only returns the result with the labels for which keep returns true.
func (r Result) only(keep func(name string) bool) Result {
	r.labels = maps.Clone(r.labels)
	maps.DeleteFunc(r.labels, func(name string, _ label) bool { return !keep(name) })
	if !r.PerInstance() {
		r.replicas = nil
	}
	if !r.Has("le") {
		r.buckets = false
	}
	return r
}

// or is the result with the series of both.
func (r Result) or(other Result) Result {
	switch {
	case r.noSeries:
		return other
	case other.noSeries:
		return r
	}
	all := Result{
		labels:     map[string]label{},
		unknown:    r.unknown || other.unknown,
		values:     max(r.values, other.values),
		aggregated: r.aggregated || other.aggregated,
		buckets:    r.buckets || other.buckets,
		replicas:   bothReplicas(r, other),
	}
	for _, from := range []Result{r, other} {
		for name, l := range from.labels {
			if r.unknown || other.unknown {
				all.labels[name] = label{always: r.Always(name) && other.Always(name)}
				continue
			}
			a, inA := r.labels[name]
			b, inB := other.labels[name]
			if inA && inB {
				all.labels[name] = a.or(b)
			} else {
				l.always = false
				all.labels[name] = l
			}
		}
	}
	return all
}

func bothReplicas(a, b Result) map[string]catalog.Combine {
	all := maps.Clone(a.replicas)
	if all == nil {
		return b.replicas
	}
	maps.Copy(all, b.replicas)
	return all
}

// determinedBy reports whether all other labels follow from the given ones.
func (r Result) determinedBy(names []string) bool {
	for name, l := range r.labels {
		if !l.determined && !l.fixed() && !slices.Contains(names, name) && name != instance {
			return false
		}
	}
	return true
}

// determineAllBut returns the result with all labels but these marked as determined.
func (r Result) determineAllBut(names []string) Result {
	r.labels = maps.Clone(r.labels)
	for name, l := range r.labels {
		l.determined = l.determined || !slices.Contains(names, name)
		r.labels[name] = l
	}
	return r
}

// withoutDetermined returns the result with no label marked as determined, after a label that others may follow from was dropped.
func (r Result) withoutDetermined() Result {
	r.labels = maps.Clone(r.labels)
	for name, l := range r.labels {
		l.determined = false
		r.labels[name] = l
	}
	return r
}

// isCopied reports whether the value of a label is part of another one.
func (r Result) isCopied(name string) bool {
	for other, l := range r.labels {
		if other != name && slices.Contains(l.copiedFrom, name) {
			return true
		}
	}
	return false
}

// ListValues formats values for a message, not all of them if there are many.
func ListValues(values []string) string {
	const maximum = 8
	if len(values) > maximum {
		return strings.Join(values[:maximum], " or ") + fmt.Sprintf(" or one of %d others", len(values)-maximum)
	}
	return strings.Join(values, " or ")
}

// Names formats the label names for a message.
func (r Result) Names() string {
	if len(r.labels) == 0 {
		return "no label at all"
	}
	return "only " + strings.Join(slices.Sorted(maps.Keys(r.labels)), ", ")
}

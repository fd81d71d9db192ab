package aggregate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Explanation is what a record does.
type Explanation struct {
	Outcome Outcome
	Problem cloudevent.Problem // of a record with a problem
	Type    string             // of an event that is counted
	Changes []Change           // counters and histograms in the order of the rules, and then gauges
}

// Change is what a record does to a series: the value is added to a counter, observed by a histogram, or set.
type Change struct {
	Series string // as Prometheus writes it, with the labels in the order of the declaration
	Type   catalog.Type
	Value  float64
}

// Explain counts a record, and returns what it does. It forgets all values of the shard: what is counted before and
// afterwards is lost to scrapes.
func (s *Shard) Explain(now time.Time, r *cloudevent.Record) Explanation {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetValues()
	o := s.count(now.UnixMilli(), r)
	if o != Counted {
		return Explanation{Outcome: o, Problem: s.problem}
	}
	return Explanation{Outcome: o, Type: string(s.decoder.Attribute(cloudevent.SlotType)), Changes: append(s.increases(), s.reports()...)}
}

// forgetValues sets all values to 0.
func (s *Shard) forgetValues() {
	for _, i := range s.dirty {
		c := &s.states[i]
		clear(s.current[c.at+1 : c.at+1+c.series.metric.Words])
		s.current[c.at] &^= dirtyBit
	}
	s.dirty = s.dirty[:0]
	clear(s.gauges)
}

// increases are the changes of counters and histograms, but for those about the stream itself.
func (s *Shard) increases() []Change {
	var changes []Change
	for _, i := range s.dirty {
		c := &s.states[i]
		if slices.Contains(s.records[:], c.at) || s.delay == c.at {
			continue
		}
		sum := s.current[c.at+c.series.metric.Words]
		changes = append(changes, Change{c.series.String(), c.series.metric.Decl.Type, c.series.number(sum)})
	}
	return changes
}

// reports are the changes of gauges.
func (s *Shard) reports() []Change {
	var changes []Change
	for k, g := range s.gauges {
		changes = append(changes, Change{k.series.String(), catalog.Gauge, g.value})
	}
	slices.SortFunc(changes, func(a, b Change) int { return cmp.Compare(a.Series, b.Series) })
	return changes
}

// String writes a series as Prometheus does, with the labels in the order of the declaration.
func (s *series) String() string {
	var labels []string
	for i := range s.metric.Decl.Labels {
		labels = append(labels, fmt.Sprintf("%s=%q", s.metric.Decl.Labels[i].Name, s.values[i]))
	}
	if len(labels) == 0 {
		return s.metric.Decl.Name
	}
	return s.metric.Decl.Name + "{" + strings.Join(labels, ",") + "}"
}

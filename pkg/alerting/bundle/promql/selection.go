package promql

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Lookback is Prometheus's default query.lookback-delta.
const Lookback = 5 * time.Minute

// Selection is a selector with the window of time that it selects samples from.
type Selection struct {
	Name     string
	matchers []*labels.Matcher
	Window   time.Duration
	Offset   time.Duration
}

// Selections are the selectors of an expression, and of the recordings that it reads.
func (k *Checker) Selections(e parser.Expr) []Selection {
	return k.addSelections(nil, e, map[string]bool{})
}

func (k *Checker) addSelections(all []Selection, e parser.Expr, seen map[string]bool) []Selection {
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		one := Selection{Name: s.Name, matchers: s.LabelMatchers, Window: Lookback, Offset: s.OriginalOffset}
		for _, above := range path {
			switch above := above.(type) {
			case *parser.MatrixSelector:
				one.Window = above.Range
			case *parser.SubqueryExpr:
				one.Window += above.Range
				one.Offset += above.OriginalOffset
			}
		}
		all = append(all, one)
		if !seen[s.Name] {
			seen[s.Name] = true
			for _, r := range k.recorded[s.Name] {
				all = k.addSelections(all, r.Query.Expr, seen)
			}
		}
		return nil
	})
	return all
}

// reads reports whether a rule reads a metric, directly or through recordings.
func (k *Checker) reads(r *Rule, metric string) bool {
	return slices.ContainsFunc(k.Selections(r.Query.Expr), func(s Selection) bool { return s.Name == metric })
}

// FromAlerts reports whether it selects what Prometheus records about alerts.
func (s Selection) FromAlerts() bool { return s.Name == alertsMetric || s.Name == alertsForState }

// Matches reports whether it selects a series with these labels.
func (s Selection) Matches(l labels.Labels) bool {
	return !slices.ContainsFunc(s.matchers, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
}

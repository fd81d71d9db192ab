package bundle

import (
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// lookback is Prometheus's default query.lookback-delta.
const lookback = 5 * time.Minute

// selection is a selector with the range of time that it selects samples from.
type selection struct {
	name     string
	matchers []*labels.Matcher
	window   time.Duration
	offset   time.Duration
}

// selections are the selectors of a rule, and of the recordings that it reads.
func (k *checker) selections(r *rule) []selection {
	return k.addSelections(nil, r.query.expr, map[string]bool{})
}

func (k *checker) addSelections(all []selection, e parser.Expr, seen map[string]bool) []selection {
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		one := selection{name: s.Name, matchers: s.LabelMatchers, window: lookback, offset: s.OriginalOffset}
		for _, above := range path {
			switch above := above.(type) {
			case *parser.MatrixSelector:
				one.window = above.Range
			case *parser.SubqueryExpr:
				one.window += above.Range
				one.offset += above.OriginalOffset
			}
		}
		all = append(all, one)
		if !seen[s.Name] {
			seen[s.Name] = true
			for _, r := range k.recorded[s.Name] {
				all = k.addSelections(all, r.query.expr, seen)
			}
		}
		return nil
	})
	return all
}

// reads reports whether a rule reads a metric, directly or through recordings.
func (k *checker) reads(r *rule, metric string) bool {
	return slices.ContainsFunc(k.selections(r), func(s selection) bool { return s.name == metric })
}

func (s selection) matches(l labels.Labels) bool {
	return !slices.ContainsFunc(s.matchers, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
}

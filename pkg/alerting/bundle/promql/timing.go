package promql

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// scrapeInterval is the scrape interval of exporters that expressions are written for. In the demo it is shorter.
	scrapeInterval = 15 * time.Second
	// ShortestWindow is four scrape intervals: a rate still has two samples if one scrape fails and the next one is late.
	ShortestWindow = 4 * scrapeInterval
	// longestLookback is the longest range of a query: the retention that the longest window, a month, needs.
	longestLookback = 35 * 24 * time.Hour
)

// computed reports a duration that is an expression, like [5m * 2]: its value is only known at evaluation.
func (k *Checker) computed(q *Query, n parser.Node, d *parser.DurationExpr) bool {
	if d == nil {
		return false
	}
	k.Failf(q, n, "write the duration (%s) out: it cannot be checked", d)
	return true
}

func (k *Checker) window(q *Query, n parser.Node, window time.Duration, expr *parser.DurationExpr) {
	if q.Use == ForTest || k.computed(q, n, expr) {
		return
	}
	if window < ShortestWindow {
		k.Failf(q, n, "the window [%s] is shorter than four scrapes (%s)", model.Duration(window), model.Duration(ShortestWindow))
	}
	if window > longestLookback {
		k.Failf(q, n, "the window [%s] is longer than what Prometheus keeps (%s)", model.Duration(window), model.Duration(longestLookback))
	}
}

func (k *Checker) subquery(q *Query, s *parser.SubqueryExpr) {
	k.window(q, s, s.Range, s.RangeExpr)
	k.offset(q, s, s.OriginalOffset, s.OriginalOffsetExpr, s.Timestamp != nil || s.StartOrEnd != 0)
	if s.Step > s.Range/2 && s.RangeExpr == nil && q.Use != ForTest {
		k.Failf(q, s, "the subquery [%s:%s] has fewer than two steps", model.Duration(s.Range), model.Duration(s.Step))
	}
}

// offset checks the offset and @ modifier of a selector.
func (k *Checker) offset(q *Query, n parser.Node, offset time.Duration, expr *parser.DurationExpr, pinned bool) {
	switch {
	case q.Use == ForTest, k.computed(q, n, expr):
	case offset < 0:
		k.Failf(q, n, "the offset %s looks into the future", offset)
	case offset > longestLookback:
		k.Failf(q, n, "the offset %s is longer than what Prometheus keeps (%s)", model.Duration(offset), model.Duration(longestLookback))
	case pinned && q.Use.isRule():
		k.Failf(q, n, "a rule with @ yields the same at all times")
	}
}

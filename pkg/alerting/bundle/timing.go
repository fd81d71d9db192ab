package bundle

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// shortestWindow is four scrape intervals: a rate still has two samples if one scrape fails and the next one is late.
	shortestWindow = 4 * scrapeInterval
	// longestLookback is the longest range of a query: the retention that the longest window, a month, needs.
	longestLookback = 35 * 24 * time.Hour
	// slowestGroup is the longest interval of a group, with which its recordings do not become stale between two evaluations.
	slowestGroup = lookback
)

// computed reports a duration that is an expression, like [5m * 2]: its value is only known at evaluation.
func (k *checker) computed(q *query, n parser.Node, d *parser.DurationExpr) bool {
	if d == nil {
		return false
	}
	k.failf(q, n, "write the duration (%s) out: it cannot be checked", d)
	return true
}

func (k *checker) window(q *query, n parser.Node, window time.Duration, expr *parser.DurationExpr) {
	if q.use == forTest || k.computed(q, n, expr) {
		return
	}
	if window < shortestWindow {
		k.failf(q, n, "the window [%s] is shorter than four scrapes (%s)", model.Duration(window), model.Duration(shortestWindow))
	}
	if window > longestLookback {
		k.failf(q, n, "the window [%s] is longer than what Prometheus keeps (%s)", model.Duration(window), model.Duration(longestLookback))
	}
}

func (k *checker) subquery(q *query, s *parser.SubqueryExpr) {
	k.window(q, s, s.Range, s.RangeExpr)
	k.offset(q, s, s.OriginalOffset, s.OriginalOffsetExpr, s.Timestamp != nil || s.StartOrEnd != 0)
	if s.Step > s.Range/2 && s.RangeExpr == nil && q.use != forTest {
		k.failf(q, s, "the subquery [%s:%s] has fewer than two steps", model.Duration(s.Range), model.Duration(s.Step))
	}
}

// offset checks the offset and @ modifier of a selector.
func (k *checker) offset(q *query, n parser.Node, offset time.Duration, expr *parser.DurationExpr, pinned bool) {
	switch {
	case q.use == forTest, k.computed(q, n, expr):
	case offset < 0:
		k.failf(q, n, "the offset %s looks into the future", offset)
	case offset > longestLookback:
		k.failf(q, n, "the offset %s is longer than what Prometheus keeps (%s)", model.Duration(offset), model.Duration(longestLookback))
	case pinned && q.use.isRule():
		k.failf(q, n, "a rule with @ yields the same at all times")
	}
}

// timing checks the interval of a rule's group, and `for` and `keep_firing_for`.
func (k *checker) timing(r *rule) {
	if r.interval > slowestGroup {
		k.rulef(r, "its group is evaluated every %s: what it records is stale after %s", model.Duration(r.interval), model.Duration(slowestGroup))
	}
	for name, wait := range map[string]model.Duration{"for": r.For, "keep_firing_for": r.KeepFiringFor} {
		if wait != 0 && time.Duration(wait) < 2*r.interval {
			k.rulef(r, "%s: %s is shorter than two evaluations (one each %s): say 0, or more", name, wait, model.Duration(r.interval))
		}
	}
}

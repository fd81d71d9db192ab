package promql

import (
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

func (k *Checker) binary(q *Query, b *parser.BinaryExpr) Result {
	left, right := k.infer(q, b.LHS), k.infer(q, b.RHS)
	v := k.binaryValues(q, b, left, right)
	isVector := func(e parser.Expr) bool { return e.Type() == parser.ValueTypeVector }
	switch {
	case isVector(b.LHS) && isVector(b.RHS):
		left = k.match(q, b, left, right)
	case isVector(b.RHS):
		left = right
	}
	left.values = v
	left.aggregated = left.aggregated || right.aggregated
	return left
}

// binaryValues returns the kind of values of a binary operation.
func (k *Checker) binaryValues(q *Query, b *parser.BinaryExpr, left, right Result) values {
	switch b.Op {
	case parser.LAND, parser.LUNLESS:
		return left.values
	case parser.LOR:
		return max(left.values, right.values)
	}
	highest := max(left.values, right.values)
	zero := isZero(b.LHS) || isZero(b.RHS)
	switch {
	case highest <= uncertain:
		return highest
	case zero && b.Op.IsComparisonOperator() && !b.ReturnBool:
		return existence
	case zero && (b.Op.IsComparisonOperator() || b.Op == parser.MUL), q.Use == ForTest:
		return plain
	}
	k.Failf(q, b, "a counter is used without rate or increase: %s", b)
	return plain
}

func isZero(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return isZero(e.Expr)
	case *parser.NumberLiteral:
		return e.Val == 0
	}
	return false
}

// match checks the vector matching of an operation, and returns its result.
func (k *Checker) match(q *Query, b *parser.BinaryExpr, left, right Result) Result {
	m := b.VectorMatching
	if left.noSeries || right.noSeries {
		return left.or(right)
	}
	k.matchingLabels(q, b, left, right)
	matched := func(name string) bool { return slices.Contains(m.MatchingLabels, name) == m.On }
	switch {
	case b.Op == parser.LOR:
		all := left.or(right)
		if m.On && left.determinedBy(m.MatchingLabels) && right.determinedBy(m.MatchingLabels) {
			all = all.determineAllBut(m.MatchingLabels) // `or` only adds series of the right side that match none of the left side
		}
		return all
	case b.Op.IsSetOperator():
		if b.Op == parser.LAND {
			left = requireMatching(left, right, matched)
		}
		return left
	}
	many, one := left, right
	if m.Card == parser.CardOneToMany {
		many, one = right, left
	}
	if !matched(instance) && (one.PerInstance() || m.Card == parser.CardOneToOne && many.PerInstance()) && q.Use != ForTest {
		k.Failf(q, b, "the two sides of %s match without the label instance, which is left: with two replicas there are two series for one; combine them first", b.Op)
	}
	if q.Use != ForTest {
		k.matchedTwice(q, b, one, matched)
		if m.Card == parser.CardOneToOne {
			k.matchedTwice(q, b, many, matched)
		}
	}
	out := many
	if m.Card == parser.CardOneToOne {
		out = requireMatching(many, one, matched).only(matched)
	}
	out.replicas = bothReplicas(many, one)
	for _, name := range m.Include {
		if !one.Has(name) {
			k.Failf(q, b, "group_left or group_right takes over the label %q, but that side has %s", name, one.Names())
		}
		out = out.with(name, one.labels[name])
	}
	if !out.PerInstance() {
		out.replicas = nil
	}
	return out
}

// matchedTwice reports a side that can have several series for one of the other side, with which the evaluation fails.
func (k *Checker) matchedTwice(q *Query, b *parser.BinaryExpr, side Result, matched func(string) bool) {
	for _, name := range slices.Sorted(maps.Keys(side.labels)) {
		if l := side.labels[name]; !matched(name) && !l.fixed() && !l.determined && name != instance {
			k.Failf(q, b, "a side of %s can have several series for one of the other: they differ in the label %q, which does not match; aggregate it away, or match it", b.Op, name)
			return
		}
	}
}

// requireMatching returns left restricted to series that have the matching labels of right.
func requireMatching(left, right Result, matched func(string) bool) Result {
	for _, name := range slices.Sorted(maps.Keys(left.labels)) {
		l := left.labels[name]
		if matched(name) && right.Always(name) {
			l.always = true
			left = left.with(name, l)
		}
	}
	return left
}

// matchingLabels reports matching labels that do not exist, and sides that can never match.
func (k *Checker) matchingLabels(q *Query, b *parser.BinaryExpr, left, right Result) {
	m := b.VectorMatching
	if left.unknown || right.unknown {
		return
	}
	keyword := "ignoring"
	if m.On {
		keyword = "on"
	}
	for _, name := range m.MatchingLabels {
		switch {
		case !left.Has(name) && (m.On || !right.Has(name)):
			k.Failf(q, b, "%s(%s): the left side of %s has no label %q, %s", keyword, strings.Join(m.MatchingLabels, ", "), b.Op, name, left.Names())
			return
		case m.On && !right.Has(name):
			k.Failf(q, b, "%s(%s): the right side of %s has no label %q, %s", keyword, strings.Join(m.MatchingLabels, ", "), b.Op, name, right.Names())
			return
		}
	}
	if b.Op == parser.LOR {
		return
	}
	all := left.or(right)
	for _, name := range slices.Sorted(maps.Keys(all.labels)) {
		if slices.Contains(m.MatchingLabels, name) != m.On {
			continue
		}
		l, r := left.labels[name], right.labels[name]
		switch {
		case l.always && !right.Has(name):
			k.Failf(q, b, "the sides of %s can never match: only the left one has the label %q; say on(…) or ignoring(%s)", b.Op, name, name)
		case r.always && !left.Has(name):
			k.Failf(q, b, "the sides of %s can never match: only the right one has the label %q; say on(…) or ignoring(%s)", b.Op, name, name)
		case l.values != nil && r.values != nil && l.always && r.always && !slices.ContainsFunc(l.values, func(v string) bool { return slices.Contains(r.values, v) }):
			k.Failf(q, b, "the sides of %s can never match: the label %s is %s on the left and %s on the right",
				b.Op, name, ListValues(l.values), ListValues(r.values))
		}
	}
}

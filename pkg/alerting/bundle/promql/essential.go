package promql

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// targetLabels name the server or the probe that a series of the system-exporter is about.
var targetLabels = []string{"server", "probe"}

// essentialOnly reports whether a matcher selects only targets without which the platform is down, by a label of the metrics that say whether a target is up.
func essentialOnly(m *labels.Matcher) bool {
	return m.Type == labels.MatchEqual && (m.Name == "role" && m.Value == "primary" || m.Name == "essential" && m.Value == "true")
}

// NonEssential returns a part of the expression that reads series of servers or probes which the platform may be able to do without, or nil.
// A part is narrowed by a matcher of its own, or by what `and` or an arithmetic operator joins to it; what `unless` takes away does not count.
func (k *Checker) NonEssential(e parser.Expr) parser.Expr {
	found, _ := k.nonEssential(e, map[string]bool{})
	return found
}

// nonEssential also reports whether a part of the expression selects only what is essential. The recordings that are being looked into are seen.
func (k *Checker) nonEssential(e parser.Expr, seen map[string]bool) (found parser.Expr, narrowed bool) {
	switch e := e.(type) {
	case *parser.VectorSelector:
		if slices.ContainsFunc(e.LabelMatchers, essentialOnly) {
			return nil, true
		}
		d, err := k.Declared(e.Name)
		switch {
		case err != nil, d.Result.Always("client"), seen[e.Name]:
			return nil, false // unknown, and reported elsewhere; of a client; or it reads itself
		case slices.ContainsFunc(targetLabels, d.Result.Has):
			return e, false
		}
		seen[e.Name] = true
		defer delete(seen, e.Name)
		for _, r := range k.recorded[e.Name] { // an aggregation may have lost the label
			if lost, narrow := k.nonEssential(r.Query.Expr, seen); lost != nil {
				return e, false
			} else if narrow {
				narrowed = true
			}
		}
		return nil, narrowed
	case *parser.BinaryExpr:
		if e.Op == parser.LUNLESS {
			return k.nonEssential(e.LHS, seen)
		}
		left, leftNarrowed := k.nonEssential(e.LHS, seen)
		right, rightNarrowed := k.nonEssential(e.RHS, seen)
		switch {
		case e.Op != parser.LOR && (leftNarrowed || rightNarrowed):
			return nil, true
		case left != nil:
			return left, false
		}
		return right, leftNarrowed && rightNarrowed
	}
	for n := range parser.ChildrenIter(e) {
		child, ok := n.(parser.Expr)
		if !ok {
			continue
		}
		one, narrow := k.nonEssential(child, seen)
		if one != nil && found == nil {
			found = one
		}
		narrowed = narrowed || narrow
	}
	return found, narrowed
}

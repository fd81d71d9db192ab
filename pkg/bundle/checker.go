package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// checker holds one bundle against one catalog.
type checker struct {
	bundle   *Bundle
	catalog  *catalog.Catalog
	foreign  map[string]foreignMetric
	recorded map[string][]*rule
	// rules has what is known of the rules seen so far; a nil entry is a rule that is being looked at.
	rules map[*rule]*result
	// results has what is known of each part of an expression.
	results map[parser.Expr]result
	// alertLabels are those that ALERTS can have, once they are known.
	alertLabels map[string]label
	problems    []Problem
}

// Check holds the bundle against the catalog and against itself, and returns the problems in the order of their places.
func (b *Bundle) Check(c *catalog.Catalog) []Problem {
	k := &checker{
		bundle: b, catalog: c, foreign: foreignMetrics(),
		recorded: map[string][]*rule{}, rules: map[*rule]*result{}, results: map[parser.Expr]result{},
	}
	for _, r := range b.rules {
		if r.Record != "" {
			k.recorded[r.Record] = append(k.recorded[r.Record], r)
		}
	}
	for _, r := range b.rules {
		k.rule(r)
		k.timing(r)
		if r.Alert != "" {
			k.alert(r)
		} else {
			k.recording(r)
		}
	}
	for _, p := range b.runbooks {
		k.runbook(p)
	}
	for _, d := range b.dashboards {
		for _, q := range d.queries {
			k.infer(q.query, q.expr)
			k.finish(q.query)
		}
		k.dashboard(d)
	}
	k.dashboardsTogether()
	k.tests()
	k.coverage()
	k.words(privateWords())
	slices.SortFunc(k.problems, compareProblems)
	return slices.Compact(k.problems)
}

// report adds a problem.
func (k *checker) report(file string, line int, name, format string, args ...any) {
	k.problems = append(k.problems, Problem{File: file, Line: line, Name: name, Text: fmt.Sprintf(format, args...)})
}

// failf adds a problem of a part of a query.
func (k *checker) failf(q *query, n parser.Node, format string, args ...any) {
	k.report(q.file, q.lineOf(n), q.name, format, args...)
}

// rulef adds a problem of a rule as a whole.
func (k *checker) rulef(r *rule, format string, args ...any) {
	k.report(r.query.file, r.line, r.query.name, format, args...)
}

// rule finds out which labels a rule's series have, its own included.
func (k *checker) rule(r *rule) result {
	if known, seen := k.rules[r]; seen {
		if known == nil {
			return result{never: true}
		}
		return *known
	}
	k.rules[r] = nil
	series := k.infer(r.query, r.query.expr)
	k.finish(r.query)
	res := series
	for name, value := range r.Labels {
		varies := strings.Contains(value, "{{")
		if l, has := series.labels[name]; has && !l.fixed() && !l.settled && !varies && (name == "client" || !series.copied(name)) {
			k.rulef(r, "the label %s of the series is overwritten with %q: series that differ only in it become one, which Prometheus refuses; match one value, or aggregate it away", name, value)
		}
		if value == "" {
			res = res.only(func(n string) bool { return n != name })
			continue
		}
		if varies {
			res = res.with(name, label{sure: true})
		} else {
			res = res.with(name, always(value))
		}
	}
	k.rules[r] = &res
	return res
}

// finish checks what an expression as a whole yields.
func (k *checker) finish(q *query) {
	res := k.results[q.expr]
	switch {
	case q.use == forTest:
	case res.values == cumulative, res.values == existence && q.use.isRule():
		text := "a counter is used without rate or increase"
		if res.values == existence {
			text += ": once it has counted something it is above 0 for good"
		}
		k.failf(q, q.expr, "%s", text)
	}
	// An instance that is the subject, like a host, is no replica.
	if q.use == forAlert && res.apart() && (len(res.replicas) > 0 || !slices.Contains(res.labels["subject"].copies, instance)) {
		k.failf(q, q.expr, "the label instance is left: each replica would alert; combine them (%s)", k.advice(res))
	}
}

// advice says how to combine the replicas of a result.
func (k *checker) advice(r result) string {
	for _, name := range sortedKeys(r.replicas) {
		return fmt.Sprintf("%s without (instance), as the catalog says of %s", r.replicas[name], name)
	}
	return "max without (instance), or by (client, subject)"
}

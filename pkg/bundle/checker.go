package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// checker checks one bundle against one catalog.
type checker struct {
	bundle   *Bundle
	catalog  *catalog.Catalog
	foreign  map[string]foreignMetric
	recorded map[string][]*rule
	// rules has the results of rules that have been inferred; a nil entry is a rule whose inference is in progress.
	rules map[*rule]*result
	// results has the results of the parts of expressions.
	results map[parser.Expr]result
	// alertLabels are the labels of ALERTS; nil until they are inferred.
	alertLabels map[string]label
	problems    []Problem
}

// newChecker returns a checker that has inferred nothing yet.
func newChecker(b *Bundle, c *catalog.Catalog) *checker {
	k := &checker{
		bundle: b, catalog: c, foreign: foreignMetrics(),
		recorded: map[string][]*rule{}, rules: map[*rule]*result{}, results: map[parser.Expr]result{},
	}
	for _, r := range b.rules {
		if r.Record != "" {
			k.recorded[r.Record] = append(k.recorded[r.Record], r)
		}
	}
	return k
}

// Check checks the bundle against the catalog and against itself, and returns the problems, ordered by file and line.
func (b *Bundle) Check(c *catalog.Catalog) []Problem {
	k := newChecker(b, c)
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
			k.checkResult(q.query)
		}
		k.dashboard(d)
	}
	k.uidsAndTitles()
	k.tests()
	k.coverage()
	k.privateTerms(privateTerms())
	slices.SortFunc(k.problems, compareProblems)
	return slices.Compact(k.problems)
}

// report adds a problem.
func (k *checker) report(file string, line int, name, format string, args ...any) {
	k.problems = append(k.problems, Problem{File: file, Line: line, Name: name, Text: fmt.Sprintf(format, args...)})
}

// failf reports a problem in a part of a query.
func (k *checker) failf(q *query, n parser.Node, format string, args ...any) {
	k.report(q.file, q.lineOf(n), q.name, format, args...)
}

// rulef reports a problem of a rule as a whole.
func (k *checker) rulef(r *rule, format string, args ...any) {
	k.report(r.query.file, r.line, r.query.name, format, args...)
}

// rule returns the result of a rule, with the labels that the rule sets.
func (k *checker) rule(r *rule) result {
	if known, seen := k.rules[r]; seen {
		if known == nil {
			return result{noSeries: true}
		}
		return *known
	}
	k.rules[r] = nil
	series := k.infer(r.query, r.query.expr)
	k.checkResult(r.query)
	res := series
	for name, value := range r.Labels {
		varies := strings.Contains(value, "{{")
		if l, has := series.labels[name]; has && !l.fixed() && !l.determined && !varies && (name == "client" || !series.isCopied(name)) {
			k.rulef(r, "the label %s of the series is overwritten with %q: series that differ only in it become one, which Prometheus refuses; match one value, or aggregate it away", name, value)
		}
		if value == "" {
			res = res.only(func(n string) bool { return n != name })
			continue
		}
		if varies {
			res = res.with(name, label{always: true})
		} else {
			res = res.with(name, constantLabel(value))
		}
	}
	k.rules[r] = &res
	return res
}

// checkResult checks the result of an expression as a whole.
func (k *checker) checkResult(q *query) {
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
	// An instance that is also the subject, like a host, is no replica.
	if q.use == forAlert && res.perInstance() && (len(res.replicas) > 0 || !slices.Contains(res.labels["subject"].copiedFrom, instance)) {
		k.failf(q, q.expr, "the label instance is left: each replica would alert; combine them (%s)", k.aggregationAdvice(res))
	}
}

// aggregationAdvice returns how to aggregate the replicas of a result, for a message.
func (k *checker) aggregationAdvice(r result) string {
	for _, name := range sortedKeys(r.replicas) {
		return fmt.Sprintf("%s without (instance), as the catalog says of %s", r.replicas[name], name)
	}
	return "max without (instance), or by (client, subject)"
}

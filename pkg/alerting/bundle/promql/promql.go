// Package promql infers what is known about the series of a PromQL expression, their labels and their kind of values, from what the catalog,
// the recording rules and other programs declare, and finds what can never work or means something else. It evaluates nothing, and reads
// no file: it is given parsed expressions.
package promql

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Rule is a recording or alert rule with its position.
type Rule struct {
	rulefmt.Rule
	Line  int // where the rule begins
	Query *Query
}

// Config has what expressions are held against.
type Config struct {
	Catalog *catalog.Catalog
	Rules   []*Rule
	// AlertLabels are the labels that every alert has besides alertname, and Identity those that distinguish an alert from all others.
	AlertLabels, Identity []string
	// Report is called for each problem, possibly several times for the same one. The name is that of the query.
	Report func(file string, line int, name, text string)
}

// Checker infers the results of expressions, and checks them.
type Checker struct {
	config   Config
	foreign  map[string]foreignMetric
	recorded map[string][]*Rule
	// rules has the results of rules that have been inferred; a nil entry is a rule whose inference is in progress.
	rules map[*Rule]*Result
	// results has the results of the parts of expressions.
	results map[parser.Expr]Result
	// alertLabels are the labels of ALERTS; nil until they are inferred.
	alertLabels map[string]label
	// reported is the number of problems.
	reported int
}

// New returns a checker.
func New(config Config) *Checker {
	k := &Checker{config: config, foreign: foreignMetrics(), recorded: map[string][]*Rule{}, rules: map[*Rule]*Result{}, results: map[parser.Expr]Result{}}
	for _, r := range config.Rules {
		if r.Record != "" {
			k.recorded[r.Record] = append(k.recorded[r.Record], r)
		}
	}
	return k
}

// Exposes reports whether a program exposes the metric: one of ours, or another one.
func (k *Checker) Exposes(metric string) bool {
	_, ours := k.config.Catalog.Lookup(metric)
	return ours || k.foreign[metric].Name != ""
}

// Records reports whether a rule records the metric.
func (k *Checker) Records(metric string) bool { return k.recorded[metric] != nil }

// Failf reports a problem in a part of a query.
func (k *Checker) Failf(q *Query, n parser.Node, format string, args ...any) {
	k.report(q, q.LineOf(n), fmt.Sprintf(format, args...))
}

func (k *Checker) report(q *Query, line int, text string) {
	k.reported++
	k.config.Report(q.File, line, q.Name, text)
}

// Rule returns the result of a rule, with the labels that the rule sets.
func (k *Checker) Rule(r *Rule) Result {
	if known, seen := k.rules[r]; seen {
		if known == nil {
			return Result{noSeries: true}
		}
		return *known
	}
	k.rules[r] = nil
	series := k.Check(r.Query)
	res := series
	for name, value := range r.Labels {
		varies := strings.Contains(value, "{{")
		if l, has := series.labels[name]; has && !l.fixed() && !l.determined && !varies && (name == "client" || !series.isCopied(name)) {
			k.report(r.Query, r.Line, fmt.Sprintf("the label %s of the series is overwritten with %q: series that differ only in it become one, which Prometheus refuses; match one value, or aggregate it away", name, value))
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

// Check infers the result of a query, and checks it and its parts.
func (k *Checker) Check(q *Query) Result {
	res := k.infer(q, q.Expr)
	switch {
	case q.Use == ForTest:
	case res.values == cumulative, res.values == existence && q.Use.isRule():
		text := "a counter is used without rate or increase"
		if res.values == existence {
			text += ": once it has counted something it is above 0 for good"
		}
		k.Failf(q, q.Expr, "%s", text)
	}
	// An instance that is also the subject, like a host, is no replica.
	if q.Use == ForAlert && res.PerInstance() && (len(res.replicas) > 0 || !slices.Contains(res.labels["subject"].copiedFrom, instance)) {
		k.Failf(q, q.Expr, "the label instance is left: each replica would alert; combine them (%s)", res.AggregationAdvice())
	}
	return res
}

// AggregationAdvice returns how to aggregate the replicas of a result, for a message.
func (r Result) AggregationAdvice() string {
	for _, name := range slices.Sorted(maps.Keys(r.replicas)) {
		return fmt.Sprintf("%s without (instance), as the catalog says of %s", r.replicas[name], name)
	}
	return "max without (instance), or by (client, subject)"
}

// DroppedBy returns the part of an inferred expression that drops a label of its operand, or nil.
func (k *Checker) DroppedBy(e parser.Expr, name string) parser.Expr {
	var operands []parser.Expr
	switch e := e.(type) {
	case *parser.ParenExpr:
		operands = []parser.Expr{e.Expr}
	case *parser.SubqueryExpr:
		operands = []parser.Expr{e.Expr}
	case *parser.AggregateExpr:
		operands = []parser.Expr{e.Expr}
	case *parser.BinaryExpr:
		operands = []parser.Expr{e.LHS, e.RHS}
		if e.Op == parser.LAND || e.Op == parser.LUNLESS {
			operands = operands[:1]
		}
	case *parser.Call:
		for _, a := range e.Args {
			operands = append(operands, a)
		}
	}
	for _, o := range operands {
		if k.results[o].Has(name) && !k.results[e].Has(name) {
			return e
		}
	}
	for _, o := range operands {
		if dropped := k.DroppedBy(o, name); dropped != nil {
			return dropped
		}
	}
	return nil
}

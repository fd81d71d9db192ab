package promql

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// infer finds out what is known about the result of an expression, and reports what is wrong within it.
func (k *Checker) infer(q *Query, e parser.Expr) Result {
	if known, seen := k.results[e]; seen {
		return known
	}
	r := k.inferNew(q, e)
	k.results[e] = r
	return r
}

func (k *Checker) inferNew(q *Query, e parser.Expr) Result {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return k.infer(q, e.Expr)
	case *parser.UnaryExpr:
		return k.infer(q, e.Expr)
	case *parser.VectorSelector:
		return k.selector(q, e)
	case *parser.MatrixSelector:
		k.window(q, e, e.Range, e.RangeExpr)
		return k.infer(q, e.VectorSelector)
	case *parser.SubqueryExpr:
		k.subquery(q, e)
		return k.infer(q, e.Expr)
	case *parser.AggregateExpr:
		return k.aggregation(q, e)
	case *parser.BinaryExpr:
		return k.binary(q, e)
	case *parser.Call:
		return k.call(q, e)
	}
	return Result{} // a number or a string
}

// aggregation is sum by (…) and its kin.
func (k *Checker) aggregation(q *Query, a *parser.AggregateExpr) Result {
	if a.Param != nil {
		k.infer(q, a.Param)
	}
	in := k.infer(q, a.Expr)
	for _, name := range a.Grouping {
		if !in.Has(name) {
			k.Failf(q, a, "%s groups by the label %q, but what it aggregates has %s", a.Op, name, in.Names())
		}
	}
	switch a.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return in // they choose series and leave them as they are
	}
	out := in.only(func(name string) bool { return slices.Contains(a.Grouping, name) != a.Without })
	if in.unknown && !a.Without {
		out.unknown = false
		for _, name := range a.Grouping {
			out = out.with(name, label{always: true})
		}
	}
	for name, l := range in.labels {
		isReplica := name == instance && len(in.replicas) > 0
		if !out.Has(name) && !l.determined && !l.fixed() && !isReplica {
			out = out.withoutDetermined()
			break
		}
	}
	counts := a.Op == parser.COUNT || a.Op == parser.GROUP || a.Op == parser.COUNT_VALUES
	if counts {
		out.values, out.buckets = plain, false
	} else {
		out.aggregated = true
	}
	if s, ok := a.Param.(*parser.StringLiteral); ok && a.Op == parser.COUNT_VALUES {
		out = out.with(s.Val, label{always: true})
	}
	if q.Use == ForTest {
		return out
	}
	if in.PerInstance() && !out.Has(instance) && a.Op != parser.GROUP {
		for _, name := range slices.Sorted(maps.Keys(in.replicas)) {
			if want := in.replicas[name]; a.Op.String() != string(want) {
				k.Failf(q, a, "%s drops the label instance of %s, whose replicas combine by %s: aggregate them by %s first", a.Op, name, want, want)
			}
		}
	}
	if le := in.labels[labels.BucketLabel]; in.buckets && !le.fixed() && !out.Has(labels.BucketLabel) && !counts {
		k.Failf(q, a, "%s drops the label le of the buckets of a histogram, each of which contains those below it", a.Op)
	}
	return out
}

// selector is a metric with its matchers.
func (k *Checker) selector(q *Query, s *parser.VectorSelector) Result {
	k.offset(q, s, s.OriginalOffset, s.OriginalOffsetExpr, s.Timestamp != nil || s.StartOrEnd != 0)
	name := s.Name
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			name = m.Value
		}
	}
	if name == "" {
		k.Failf(q, s, "a selector without a metric name reads everything: %s", s)
		return Result{unknown: true}
	}
	d, err := k.Declared(name)
	if err != nil {
		k.Failf(q, s, "%v", err)
		return Result{unknown: true, values: uncertain}
	}
	r, recorded := k.recordedBy(name, d.Result, s.LabelMatchers)
	found := k.reported
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if !d.Result.Has(m.Name) {
			k.Failf(q, s, "metric %s has no label %q, %s", name, m.Name, d.Result.Names())
			continue
		}
		if !r.Has(m.Name) {
			continue // it matches series without the label, and so do all that are left
		}
		mismatch := d.Mismatch(m, q.Use)
		if mismatch != "" {
			k.Failf(q, s, "%s", mismatch)
		}
		switch {
		case m.Type == labels.MatchEqual && m.Value == "":
			r = r.only(func(n string) bool { return n != m.Name })
		case m.Type == labels.MatchEqual && m.Value == AnyValue: // a variable of a dashboard
			r = r.with(m.Name, label{always: true})
		default:
			before := r.labels[m.Name]
			after := before.matching(m)
			if len(before.values) > 0 && len(after.values) == 0 && (before.always || !m.Matches("")) {
				if mismatch == "" {
					k.Failf(q, s, "no series of %s matches %s: the label is %s", name, m, ListValues(before.values))
				}
				after = before
			}
			r = r.with(m.Name, after)
		}
	}
	if !recorded && k.reported == found {
		k.Failf(q, s, "no rule records a series %s: each of these values exists, but not together", s)
	}
	return r
}

// recordedBy returns the union of the results of those recording rules of a name whose series can match, and false if there are none.
// If there are not several rules, it returns all.
func (k *Checker) recordedBy(name string, all Result, matchers []*labels.Matcher) (Result, bool) {
	rules := k.recorded[name]
	if len(rules) < 2 {
		return all, true
	}
	matching := Result{noSeries: true}
	found := false
	for _, rule := range rules {
		series := k.Rule(rule)
		if series.noSeries || !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return series.cannotMatch(m) }) {
			matching, found = matching.or(series), true
		}
	}
	if !found {
		return all, false
	}
	return matching, true
}

// cannotMatch reports whether no series of the result can match.
func (r Result) cannotMatch(m *labels.Matcher) bool {
	l, has := r.labels[m.Name]
	switch {
	case m.Name == model.MetricNameLabel || m.Value == AnyValue || r.unknown:
		return false
	case !has:
		return !m.Matches("")
	case l.values == nil:
		return false
	}
	return !slices.ContainsFunc(l.values, m.Matches) && (l.always || !m.Matches(""))
}

// counterExistence are functions whose value does not depend on the value of a counter.
var counterExistence = []string{"absent", "absent_over_time", "changes", "count_over_time", "present_over_time", "start_timestamp", "timestamp",
	"ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time"}

// valuePreserving are functions that return values of their input.
var valuePreserving = []string{"label_join", "label_replace", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc", "scalar", "vector",
	"first_over_time", "last_over_time", "max_over_time", "min_over_time"}

// counterFunctions are functions that need a counter.
var counterFunctions = []string{"rate", "irate", "increase", "resets"}

// NeedsCounter reports whether a function of PromQL needs a counter.
func NeedsCounter(function string) bool { return slices.Contains(counterFunctions, function) }

func (k *Checker) call(q *Query, c *parser.Call) Result {
	var arg parser.Expr
	for _, a := range c.Args {
		k.infer(q, a)
		if t := a.Type(); arg == nil && (t == parser.ValueTypeVector || t == parser.ValueTypeMatrix) {
			arg = a
		}
	}
	if arg == nil {
		r := Result{}
		for _, a := range c.Args {
			r.values = max(r.values, k.infer(q, a).values)
		}
		return r
	}
	name, in := c.Func.Name, k.infer(q, arg)
	out := in
	out.values = k.valuesOf(q, c, name, in)
	switch name {
	case "absent", "absent_over_time":
		return absence(arg)
	case "scalar":
		return Result{values: out.values}
	case "info":
		out.unknown = true
	case "label_replace":
		return k.labelReplace(q, c, out)
	case "label_join":
		return k.labelJoin(q, c, out)
	case "histogram_quantile", "histogram_fraction":
		if !in.Has(labels.BucketLabel) {
			k.Failf(q, c, "%s needs the label le of the buckets, but what it is given has %s", name, in.Names())
		}
		return out.only(func(n string) bool { return n != labels.BucketLabel })
	}
	return out
}

// valuesOf returns the kind of values of a function call, and reports arguments of the wrong kind.
func (k *Checker) valuesOf(q *Query, c *parser.Call, name string, in Result) values {
	switch {
	case slices.Contains(counterExistence, name):
		return plain
	case NeedsCounter(name):
		switch {
		case q.Use == ForTest:
		case in.values == plain:
			k.Failf(q, c, "%s needs a counter, and %s is none", name, c.Args[0])
		case in.values == cumulative && in.aggregated:
			k.Failf(q, c, "%s of a sum of counters takes the restart of one for a jump of all: take the %s first, then aggregate", name, name)
		}
		return plain
	case slices.Contains(valuePreserving, name):
		return in.values
	}
	if (in.values == cumulative || in.values == existence) && q.Use != ForTest {
		if name == "histogram_quantile" || name == "histogram_fraction" {
			k.Failf(q, c, "%s of buckets without rate: it is about all time since the exporter started", name)
		} else {
			k.Failf(q, c, "%s of a counter: use rate or increase", name)
		}
	}
	return plain
}

// absence is the result of absent(): it has the labels of equality matchers.
func absence(e parser.Expr) Result {
	r := Result{labels: map[string]label{}}
	switch arg := e.(type) {
	case *parser.ParenExpr:
		return absence(arg.Expr)
	case *parser.MatrixSelector:
		return absence(arg.VectorSelector)
	case *parser.VectorSelector:
		for _, m := range arg.LabelMatchers {
			if m.Type == labels.MatchEqual && m.Name != model.MetricNameLabel && m.Value != "" {
				r.labels[m.Name] = constantLabel(m.Value)
			}
		}
	}
	return r
}

func stringArg(e parser.Expr) string {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return stringArg(e.Expr)
	case *parser.StringLiteral:
		return e.Val
	}
	return ""
}

func (k *Checker) labelReplace(q *Query, c *parser.Call, in Result) Result {
	target, replacement, source := stringArg(c.Args[1]), stringArg(c.Args[2]), stringArg(c.Args[3])
	re, err := regexp.Compile("^(?s:" + stringArg(c.Args[4]) + ")$")
	if err != nil {
		k.Failf(q, c, "label_replace: %v", err)
		return in
	}
	if source != "" && !in.Has(source) {
		k.Failf(q, c, "label_replace reads the label %q, but its input has %s", source, in.Names())
	}
	if in.unknown {
		return in.with(target, label{always: true})
	}
	sourceLabel, hasSource := in.labels[source]
	targetLabel, hasTarget := in.labels[target]
	values, guessed := sourceLabel.values, false
	switch {
	case !hasSource:
		values = []string{""} // a missing label is empty
	case values == nil:
		values, guessed = exampleValues, true
	}
	if hasSource && !sourceLabel.always {
		values = append(slices.Clone(values), "")
	}
	replaced, matched := label{always: true, determined: true}, false
	for _, value := range values {
		match := re.FindStringSubmatchIndex(value)
		if match == nil {
			replaced.always = replaced.always && targetLabel.always
			replaced.values = append(replaced.values, targetLabel.values...)
			guessed = guessed || hasTarget && targetLabel.values == nil
			replaced.determined = replaced.determined && (!hasTarget || targetLabel.determined || targetLabel.fixed())
			continue
		}
		matched = true
		if text := string(re.ExpandString(nil, replacement, value, match)); text != "" {
			replaced.values = append(replaced.values, text)
		} else {
			replaced.always = false
		}
	}
	switch {
	case guessed:
		replaced.values = nil
	case !matched:
		return in
	case len(replaced.values) == 0:
		return in.only(func(n string) bool { return n != target })
	}
	if slices.Contains([]string{"(.+)", "(.*)"}, stringArg(c.Args[4])) && strings.Contains(replacement, "$1") {
		replaced.copiedFrom = []string{source}
	}
	replaced.values = slices.Compact(slices.Sorted(slices.Values(replaced.values)))
	return in.with(target, replaced)
}

// exampleValues replace the values of a label with unknown values.
var exampleValues = []string{"a", "0", "north", "A-b_c.d", "a/b", "/a/b", "a:b", "10.0.0.1:9100", "two words", "-", "é"}

func (k *Checker) labelJoin(q *Query, c *parser.Call, in Result) Result {
	joined := label{determined: true, always: stringArg(c.Args[2]) != "" && len(c.Args) > 4}
	for _, a := range c.Args[3:] {
		source := stringArg(a)
		if !in.Has(source) {
			k.Failf(q, c, "label_join reads the label %q, but its input has %s", source, in.Names())
		}
		joined.always = joined.always || in.Always(source)
		joined.copiedFrom = append(joined.copiedFrom, source)
	}
	return in.with(stringArg(c.Args[1]), joined)
}

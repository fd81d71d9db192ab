package bundle

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// infer finds out what is known about the result of an expression, and reports what is wrong within it.
func (k *checker) infer(q *query, e parser.Expr) result {
	if known, seen := k.results[e]; seen {
		return known
	}
	r := k.inferNew(q, e)
	k.results[e] = r
	return r
}

func (k *checker) inferNew(q *query, e parser.Expr) result {
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
	return result{} // a number or a string
}

// aggregation is sum by (…) and its kin.
func (k *checker) aggregation(q *query, a *parser.AggregateExpr) result {
	if a.Param != nil {
		k.infer(q, a.Param)
	}
	in := k.infer(q, a.Expr)
	for _, name := range a.Grouping {
		if !in.has(name) {
			k.failf(q, a, "%s groups by the label %q, but what it aggregates has %s", a.Op, name, in.names())
		}
	}
	switch a.Op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return in // they choose series and leave them as they are
	}
	out := in.only(func(name string) bool { return slices.Contains(a.Grouping, name) != a.Without })
	if in.anything && !a.Without {
		out.anything = false
		for _, name := range a.Grouping {
			out = out.with(name, label{sure: true})
		}
	}
	for name, l := range in.labels {
		isReplica := name == instance && len(in.replicas) > 0
		if !out.has(name) && !l.settled && !l.fixed() && !isReplica {
			out = out.unsettled()
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
		out = out.with(s.Val, label{sure: true})
	}
	if q.use == forTest {
		return out
	}
	if in.apart() && !out.has(instance) && a.Op != parser.GROUP {
		for _, name := range sortedKeys(in.replicas) {
			if want := in.replicas[name]; a.Op.String() != string(want) {
				k.failf(q, a, "%s drops the label instance of %s, whose replicas combine by %s: aggregate them by %s first", a.Op, name, want, want)
			}
		}
	}
	if le := in.labels[labels.BucketLabel]; in.buckets && !le.fixed() && !out.has(labels.BucketLabel) && !counts {
		k.failf(q, a, "%s drops the label le of the buckets of a histogram, each of which contains those below it", a.Op)
	}
	return out
}

// selector is a metric with its matchers.
func (k *checker) selector(q *query, s *parser.VectorSelector) result {
	k.offset(q, s, s.OriginalOffset, s.OriginalOffsetExpr, s.Timestamp != nil || s.StartOrEnd != 0)
	name := s.Name
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			name = m.Value
		}
	}
	if name == "" {
		k.failf(q, s, "a selector without a metric name reads everything: %s", s)
		return result{anything: true}
	}
	d, err := k.declared(name)
	if err != nil {
		k.failf(q, s, "%v", err)
		return result{anything: true, values: uncertain}
	}
	r, some := k.recordedBy(name, d.result, s.LabelMatchers)
	found := len(k.problems)
	for _, m := range s.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if !d.result.has(m.Name) {
			k.failf(q, s, "metric %s has no label %q, %s", name, m.Name, d.result.names())
			continue
		}
		if !r.has(m.Name) {
			continue // it matches series without the label, and so do all that are left
		}
		refused := d.refuses(m, q.use)
		if refused != "" {
			k.failf(q, s, "%s", refused)
		}
		switch {
		case m.Type == labels.MatchEqual && m.Value == "":
			r = r.only(func(n string) bool { return n != m.Name })
		case m.Type == labels.MatchEqual && m.Value == anyValue: // a variable of a dashboard
			r = r.with(m.Name, label{sure: true})
		default:
			was := r.labels[m.Name]
			now := was.matching(m)
			if len(was.among) > 0 && len(now.among) == 0 && (was.sure || !m.Matches("")) {
				if refused == "" {
					k.failf(q, s, "no series of %s matches %s: the label is %s", name, m, either(was.among))
				}
				now = was
			}
			r = r.with(m.Name, now)
		}
	}
	if !some && len(k.problems) == found {
		k.failf(q, s, "no rule records a series %s: each of these values exists, but not together", s)
	}
	return r
}

// recordedBy is what is known of the series which the matchers let through, of those that several rules record under one
// name; false if no rule has such series. What is not recorded is returned as it is.
func (k *checker) recordedBy(name string, all result, matchers []*labels.Matcher) (result, bool) {
	rules := k.recorded[name]
	if len(rules) < 2 {
		return all, true
	}
	left := result{never: true}
	some := false
	for _, rule := range rules {
		of := k.rule(rule)
		if of.never || !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return of.refuses(m) }) {
			left, some = left.or(of), true
		}
	}
	if !some {
		return all, false
	}
	return left, true
}

// refuses reports whether no series of the result can match.
func (r result) refuses(m *labels.Matcher) bool {
	l, has := r.labels[m.Name]
	switch {
	case m.Name == model.MetricNameLabel || m.Value == anyValue || r.anything:
		return false
	case !has:
		return !m.Matches("")
	case l.among == nil:
		return false
	}
	return !slices.ContainsFunc(l.among, m.Matches) && (l.sure || !m.Matches(""))
}

// existenceOf are functions whose value does not depend on what a counter has counted.
var existenceOf = []string{"absent", "absent_over_time", "changes", "count_over_time", "present_over_time", "start_timestamp", "timestamp",
	"ts_of_first_over_time", "ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time"}

// unchanged are functions that yield the values that they are given.
var unchanged = []string{"label_join", "label_replace", "sort", "sort_desc", "sort_by_label", "sort_by_label_desc", "scalar", "vector",
	"first_over_time", "last_over_time", "max_over_time", "min_over_time"}

// counterOnly are functions that make no sense of a value that may fall.
var counterOnly = []string{"rate", "irate", "increase", "resets"}

func (k *checker) call(q *query, c *parser.Call) result {
	var arg parser.Expr
	for _, a := range c.Args {
		k.infer(q, a)
		if t := a.Type(); arg == nil && (t == parser.ValueTypeVector || t == parser.ValueTypeMatrix) {
			arg = a
		}
	}
	if arg == nil {
		r := result{}
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
		return result{values: out.values}
	case "info":
		out.anything = true
	case "label_replace":
		return k.labelReplace(q, c, out)
	case "label_join":
		return k.labelJoin(q, c, out)
	case "histogram_quantile", "histogram_fraction":
		if !in.has(labels.BucketLabel) {
			k.failf(q, c, "%s needs the label le of the buckets, but what it is given has %s", name, in.names())
		}
		return out.only(func(n string) bool { return n != labels.BucketLabel })
	}
	return out
}

// valuesOf says what a function makes of its values, and reports what it must not be given.
func (k *checker) valuesOf(q *query, c *parser.Call, name string, in result) values {
	switch {
	case slices.Contains(existenceOf, name):
		return plain
	case slices.Contains(counterOnly, name):
		switch {
		case q.use == forTest:
		case in.values == plain:
			k.failf(q, c, "%s needs a counter, and %s is none", name, c.Args[0])
		case in.values == cumulative && in.aggregated:
			k.failf(q, c, "%s of a sum of counters takes the restart of one for a jump of all: take the %s first, then aggregate", name, name)
		}
		return plain
	case slices.Contains(unchanged, name):
		return in.values
	}
	if (in.values == cumulative || in.values == existence) && q.use != forTest {
		if name == "histogram_quantile" || name == "histogram_fraction" {
			k.failf(q, c, "%s of buckets without rate: it is about all time since the exporter started", name)
		} else {
			k.failf(q, c, "%s of a counter: use rate or increase", name)
		}
	}
	return plain
}

// absence is the result of absent(): the labels that are matched by equality.
func absence(e parser.Expr) result {
	r := result{labels: map[string]label{}}
	switch arg := e.(type) {
	case *parser.ParenExpr:
		return absence(arg.Expr)
	case *parser.MatrixSelector:
		return absence(arg.VectorSelector)
	case *parser.VectorSelector:
		for _, m := range arg.LabelMatchers {
			if m.Type == labels.MatchEqual && m.Name != model.MetricNameLabel && m.Value != "" {
				r.labels[m.Name] = always(m.Value)
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

func (k *checker) labelReplace(q *query, c *parser.Call, in result) result {
	target, replacement, source := stringArg(c.Args[1]), stringArg(c.Args[2]), stringArg(c.Args[3])
	re, err := regexp.Compile("^(?s:" + stringArg(c.Args[4]) + ")$")
	if err != nil {
		k.failf(q, c, "label_replace: %v", err)
		return in
	}
	if source != "" && !in.has(source) {
		k.failf(q, c, "label_replace reads the label %q, but its input has %s", source, in.names())
	}
	if in.anything {
		return in.with(target, label{sure: true})
	}
	from, known := in.labels[source]
	was, had := in.labels[target]
	values, guessed := from.among, false
	switch {
	case !known:
		values = []string{""} // there is no such label: it is empty
	case values == nil:
		values, guessed = specimens, true
	}
	if known && !from.sure {
		values = append(slices.Clone(values), "")
	}
	made, matched := label{sure: true, settled: true}, false
	for _, value := range values {
		match := re.FindStringSubmatchIndex(value)
		if match == nil {
			made.sure = made.sure && was.sure
			made.among = append(made.among, was.among...)
			guessed = guessed || had && was.among == nil
			made.settled = made.settled && (!had || was.settled || was.fixed())
			continue
		}
		matched = true
		if text := string(re.ExpandString(nil, replacement, value, match)); text != "" {
			made.among = append(made.among, text)
		} else {
			made.sure = false
		}
	}
	switch {
	case guessed:
		made.among = nil
	case !matched:
		return in
	case len(made.among) == 0:
		return in.only(func(n string) bool { return n != target })
	}
	if slices.Contains([]string{"(.+)", "(.*)"}, stringArg(c.Args[4])) && strings.Contains(replacement, "$1") {
		made.copies = []string{source}
	}
	made.among = slices.Compact(slices.Sorted(slices.Values(made.among)))
	return in.with(target, made)
}

// specimens stand for the values of a label of which nothing is known.
var specimens = []string{"a", "0", "north", "A-b_c.d", "a/b", "/a/b", "a:b", "10.0.0.1:9100", "two words", "-", "é"}

func (k *checker) labelJoin(q *query, c *parser.Call, in result) result {
	joined := label{settled: true, sure: stringArg(c.Args[2]) != "" && len(c.Args) > 4}
	for _, a := range c.Args[3:] {
		source := stringArg(a)
		if !in.has(source) {
			k.failf(q, c, "label_join reads the label %q, but its input has %s", source, in.names())
		}
		joined.sure = joined.sure || in.sure(source)
		joined.copies = append(joined.copies, source)
	}
	return in.with(stringArg(c.Args[1]), joined)
}

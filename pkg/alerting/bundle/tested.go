package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
)

// tests checks the tests of rules, and that every rule is tested.
func (k *checker) tests() {
	for _, g := range k.bundle.tests {
		for _, s := range g.input {
			k.inputSeries(g, s)
		}
		for _, q := range g.exprs {
			k.Check(q)
		}
		for _, c := range g.alerts {
			rules := k.bundle.alerts(c.alert)
			if rules == nil {
				k.report(g.file, c.line, "", "tests the alert %q, which does not exist", c.alert)
			} else {
				k.expectedAlerts(g, c, rules)
			}
		}
	}
	tested := map[string]bool{} // recordings
	for _, r := range k.bundle.rules {
		if r.Alert != "" && k.alertTested(r) {
			for _, s := range k.Selections(r.Query.Expr) {
				tested[s.Name] = true
			}
		}
	}
	for _, g := range k.bundle.tests {
		for _, q := range g.exprs {
			for _, s := range k.Selections(q.Expr) {
				tested[s.Name] = true
			}
		}
	}
	for _, r := range k.bundle.rules {
		if r.Record != "" && !tested[r.Record] {
			k.rulef(r, "no promql_expr_test in rules/tests and no tested alert reads this recording")
		}
	}
}

// inputSeries checks that an exporter could expose an input series of a test.
func (k *checker) inputSeries(g *testGroup, s *inputSeries) {
	name := s.labels.Get(model.MetricNameLabel)
	d, err := k.Declared(name)
	if err != nil {
		k.report(g.file, s.line, "", "%v", err)
		return
	}
	if d.Metric != nil {
		for _, l := range d.Metric.Labels {
			if !l.Optional && !s.labels.Has(l.Name) {
				k.report(g.file, s.line, "", "the series lacks the label %q, which every series of %s has", l.Name, name)
			}
		}
	}
	s.labels.Range(func(l labels.Label) {
		if l.Name == model.MetricNameLabel {
			return
		}
		if !d.Result.Has(l.Name) {
			k.report(g.file, s.line, "", "metric %s has no label %q, %s", name, l.Name, d.Result.Names())
			return
		}
		if text := d.Mismatch(labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value), promql.ForAlert); text != "" {
			k.report(g.file, s.line, "", "%s", text)
		}
	})
}

// sets reports whether an expected alert has the labels that the rule sets.
func (r *rule) sets(e expectedAlert) bool {
	for name, value := range r.Labels {
		if !strings.Contains(value, "{{") && e.Labels[name] != value {
			return false
		}
	}
	return true
}

// expectedAlerts checks that the expected alerts of a case have all labels and annotations.
func (k *checker) expectedAlerts(g *testGroup, c alertCase, rules []*rule) {
	for _, e := range c.expected {
		i := slices.IndexFunc(rules, func(r *rule) bool { return r.sets(e) })
		if i < 0 {
			k.report(g.file, c.line, c.alert, "no rule of this name makes an alert with these exp_labels")
			continue
		}
		for _, name := range alertLabels() {
			if e.Labels[name] == "" {
				k.report(g.file, c.line, c.alert, "exp_labels lacks the label %s", name)
			}
		}
		for _, name := range sortedKeys(rules[i].Annotations) {
			if e.Annotations[name] == "" {
				k.report(g.file, c.line, c.alert, "exp_annotations lacks the annotation %s", name)
			}
		}
	}
}

// alertTested reports whether an alert has a case that fires, one that does not although it could, and one that resolves.
func (k *checker) alertTested(r *rule) bool {
	var fires, notFiring, resolves bool
	var empty []Problem // cases in which nothing can fire
	selections := k.Selections(r.Query.Expr)
	for _, g := range k.bundle.tests {
		cases := slices.DeleteFunc(slices.Clone(g.alerts), func(c alertCase) bool { return c.alert != r.Alert })
		slices.SortFunc(cases, func(a, b alertCase) int { return int(a.at - b.at) })
		fired := false
		for _, c := range cases {
			switch {
			case slices.ContainsFunc(c.expected, r.sets):
				fires, fired = true, true
			case fired:
				resolves = true
			case g.hasInput(selections, c):
				notFiring = true
			default:
				empty = append(empty, Problem{g.file, c.line, c.alert, fmt.Sprintf("at %s the test has no sample that the alert reads: that it does not fire shows nothing", model.Duration(c.at))})
			}
		}
	}
	whole := fires
	if !fires {
		k.rulef(r, "rules/tests has no case in which the alert fires")
	}
	if r.Labels["priority"] == heartbeat {
		return whole
	}
	if !notFiring {
		k.problems = append(k.problems, empty...)
		k.rulef(r, "rules/tests has no case, before it fires, in which the alert does not fire although its series are there")
	}
	if !resolves {
		k.rulef(r, "rules/tests has no case in which the alert has fired and resolves")
	}
	return whole && notFiring && resolves
}

// hasInput reports whether a selector has a sample at the time of a case.
func (g *testGroup) hasInput(selections []promql.Selection, c alertCase) bool {
	if len(selections) == 0 {
		return true
	}
	for _, s := range selections {
		for _, in := range g.input {
			if (s.FromAlerts() || s.Matches(in.labels)) && in.exists(c.at-s.Offset, s.Window) { // alerts are recorded by those of the input
				return true
			}
		}
	}
	return false
}

package bundle

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// declaration is what is known of a metric, wherever it comes from.
type declaration struct {
	result result
	metric *catalog.Metric // nil unless it is the catalog's
	// base is the metric's name without the suffix of a histogram's part.
	base string
}

// histogramParts are the suffixes of the series of a histogram.
var histogramParts = []string{"_bucket", "_sum", "_count"}

// declared finds a metric: recorded by a rule, of the catalog, or of another program.
func (k *checker) declared(name string) (declaration, error) {
	if rules := k.recorded[name]; len(rules) > 0 {
		all := result{never: true}
		for _, r := range rules {
			all = all.or(k.rule(r))
		}
		return declaration{result: all, base: name}, nil
	}
	if name == alertsMetric || name == alertsForState {
		return declaration{result: result{labels: k.labelsOfAlerts(name)}, base: name}, nil
	}
	base, part := name, ""
	if _, ok := k.catalog.Lookup(name); !ok && k.foreign[name].Name == "" {
		for _, suffix := range histogramParts {
			if b, cut := strings.CutSuffix(name, suffix); cut {
				base, part = b, suffix
			}
		}
	}
	if m, ok := k.catalog.Lookup(base); ok {
		if err := wrongPart(base, part, m.Type); err != nil {
			return declaration{}, err
		}
		r := seriesOf(m.Type, part, m.LabelNames())
		r.labels["job"] = label{sure: true, settled: true} // one exporter has it
		for _, l := range m.Labels {
			known := label{sure: true, settled: l.Present == 1}
			if l.Closed() {
				known.among = append(slices.Clone(l.Values), catalog.Other)
			}
			r.labels[l.Name] = known
		}
		r.replicas = map[string]catalog.Combine{m.Name: m.Replicas}
		return declaration{result: r, metric: m, base: base}, nil
	}
	if f, ok := k.foreign[base]; ok {
		if err := wrongPart(base, part, f.Type); err != nil {
			return declaration{}, err
		}
		return declaration{result: seriesOf(f.Type, part, f.Labels), base: base}, nil
	}
	return declaration{}, fmt.Errorf("metric %q is neither in the catalog nor recorded by a rule nor in pkg/bundle/foreign.yml", name)
}

// wrongPart reports a histogram without the suffix of one of its parts, and such a suffix where there are no parts.
func wrongPart(base, part string, t catalog.Type) error {
	switch {
	case t == catalog.Histogram && part == "":
		return fmt.Errorf("%s is a histogram: its series are %s_bucket, %s_sum and %s_count", base, base, base, base)
	case t != catalog.Histogram && part != "" && (t != summary || part == "_bucket"):
		return fmt.Errorf("%s is a %s: there is no series %s%s", base, t, base, part)
	}
	return nil
}

// seriesOf says what the series of a metric of this type are like as scraped.
func seriesOf(t catalog.Type, part string, names []string) result {
	r := result{labels: map[string]label{"job": {sure: true}, instance: {sure: true}}}
	for _, name := range names {
		r.labels[name] = label{sure: true}
	}
	switch {
	case t == catalog.Counter, part != "":
		r.values = cumulative
	case t == untyped:
		r.values = uncertain
	case t == summary:
		r.labels["quantile"] = label{sure: true}
	}
	if part == "_bucket" {
		r.labels[labels.BucketLabel] = label{sure: true}
		r.buckets = true
	}
	return r
}

// The series that Prometheus keeps of alerts.
const (
	alertsMetric   = "ALERTS"
	alertsForState = "ALERTS_FOR_STATE"
)

// labelsOfAlerts are the labels of ALERTS: those of all alerts. Alerts that read ALERTS themselves add what they set.
func (k *checker) labelsOfAlerts(name string) map[string]label {
	if k.alertLabels == nil {
		k.alertLabels = map[string]label{}
		for _, l := range append(alertLabels(), "alertname") {
			k.alertLabels[l] = label{sure: true, settled: !slices.Contains(identity, l)}
		}
		var alerts []string
		for _, r := range k.bundle.rules {
			if r.Alert == "" {
				continue
			}
			alerts = append(alerts, r.Alert)
			names := maps.Keys(r.Labels)
			if !k.reads(r, alertsMetric) && !k.reads(r, alertsForState) {
				names = maps.Keys(k.rule(r).labels)
			}
			for n := range names {
				k.alertLabels[n] = label{sure: k.alertLabels[n].sure, settled: !slices.Contains(identity, n)}
			}
			for _, n := range madeLabels(r.query.expr) {
				k.alertLabels[n] = label{sure: k.alertLabels[n].sure, settled: !slices.Contains(identity, n)}
			}
		}
		k.alertLabels["alertname"] = label{sure: true, among: slices.Compact(slices.Sorted(slices.Values(alerts)))}
	}
	all := maps.Clone(k.alertLabels)
	delete(all, instance) // an alert that has it, where it must not, has been reported
	if name == alertsMetric {
		all["alertstate"] = label{sure: true, among: []string{"firing", "pending"}}
	}
	return all
}

// madeLabels are the labels that label_replace and label_join write.
func madeLabels(e parser.Expr) []string {
	var names []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if c, ok := n.(*parser.Call); ok && (c.Func.Name == "label_replace" || c.Func.Name == "label_join") {
			names = append(names, stringArg(c.Args[1]))
		}
		return nil
	})
	return names
}

// refuses says why no series of the metric can match, or "".
func (d declaration) refuses(m *labels.Matcher, u use) string {
	wanted := []string{m.Value}
	if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
		wanted = m.SetMatches()
	}
	wanted = slices.DeleteFunc(slices.Clone(wanted), func(v string) bool { return v == "" || v == anyValue })
	if m.Name == labels.BucketLabel {
		return d.refusesBucket(wanted)
	}
	if d.metric == nil || d.metric.LabelIndex(m.Name) < 0 {
		return ""
	}
	l := &d.metric.Labels[d.metric.LabelIndex(m.Name)]
	if !l.Closed() && u != forAlert && u != forRecording {
		return "" // a runbook has a placeholder there
	}
	for _, v := range wanted {
		if v != catalog.Other && !l.Matches(v) {
			return fmt.Sprintf("the label %s of %s is never %q, %s", m.Name, d.base, v, domainOf(l))
		}
	}
	if l.Closed() && m.Type == labels.MatchRegexp && m.Value != anyValue && !slices.ContainsFunc(l.Values, m.Matches) {
		return fmt.Sprintf("no value of the label %s of %s matches %q: %s", m.Name, d.base, m.Value, domainOf(l))
	}
	return ""
}

func domainOf(l *catalog.Label) string {
	if l.Closed() {
		return "only " + strings.Join(l.Values, ", ")
	}
	return "only what matches " + l.Pattern
}

// refusesBucket checks a bound: Prometheus writes whole numbers as 1.0, and a bound that no bucket has selects nothing.
func (d declaration) refusesBucket(wanted []string) string {
	for _, v := range wanted {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || labels.FormatOpenMetricsFloat(f) != v {
			return fmt.Sprintf("le=%q matches nothing: Prometheus writes bounds like 0.5, 1.0 and +Inf", v)
		}
		if d.metric != nil && v != "+Inf" && !slices.Contains(d.metric.Buckets, f) {
			return fmt.Sprintf("%s has no bucket le=%q, only %v", d.base, v, d.metric.Buckets)
		}
	}
	return ""
}

package promql

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

// Declaration describes a metric of the catalog, of a recording rule, or of another program.
type Declaration struct {
	Result Result
	Metric *catalog.Metric // nil if the metric is not in the catalog
	// base is the metric name without _bucket, _sum or _count.
	base string
}

// histogramParts are the suffixes of the series of a histogram.
var histogramParts = []string{"_bucket", "_sum", "_count"}

// Declared returns the declaration of a metric: of a recording rule, of the catalog, or of another program.
func (k *Checker) Declared(name string) (Declaration, error) {
	if rules := k.recorded[name]; len(rules) > 0 {
		all := Result{noSeries: true}
		for _, r := range rules {
			all = all.or(k.Rule(r))
		}
		return Declaration{Result: all, base: name}, nil
	}
	if name == alertsMetric || name == alertsForState {
		return Declaration{Result: Result{labels: k.labelsOfAlerts(name)}, base: name}, nil
	}
	base, part := name, ""
	if !k.Exposes(name) {
		for _, suffix := range histogramParts {
			if b, cut := strings.CutSuffix(name, suffix); cut {
				base, part = b, suffix
			}
		}
	}
	if m, ok := k.config.Catalog.Lookup(base); ok {
		if err := checkSuffix(base, part, m.Type); err != nil {
			return Declaration{}, err
		}
		r := seriesOf(m.Type, part, m.LabelNames())
		r.labels["job"] = label{always: true, determined: true} // one exporter exports it
		for _, l := range m.Labels {
			known := label{always: !l.Optional, determined: l.Present == 1}
			if l.Closed() {
				known.values = append(slices.Clone(l.Values), catalog.Other)
			}
			r.labels[l.Name] = known
		}
		r.replicas = map[string]catalog.Combine{m.Name: m.Replicas}
		return Declaration{Result: r, Metric: m, base: base}, nil
	}
	if f, ok := k.foreign[base]; ok {
		if err := checkSuffix(base, part, f.Type); err != nil {
			return Declaration{}, err
		}
		return Declaration{Result: seriesOf(f.Type, part, f.Labels), base: base}, nil
	}
	return Declaration{}, fmt.Errorf("metric %q is neither in the catalog nor recorded by a rule nor in pkg/alerting/bundle/promql/foreign.yml", name)
}

// checkSuffix returns an error for a histogram without _bucket, _sum or _count, and for such a suffix of another type.
func checkSuffix(base, part string, t catalog.Type) error {
	switch {
	case t == catalog.Histogram && part == "":
		return fmt.Errorf("%s is a histogram: its series are %s_bucket, %s_sum and %s_count", base, base, base, base)
	case t != catalog.Histogram && part != "" && (t != summary || part == "_bucket"):
		return fmt.Errorf("%s is a %s: there is no series %s%s", base, t, base, part)
	}
	return nil
}

// seriesOf returns the result of a selector of a metric with this type and these labels.
func seriesOf(t catalog.Type, part string, names []string) Result {
	r := Result{labels: map[string]label{"job": {always: true}, instance: {always: true}}}
	for _, name := range names {
		r.labels[name] = label{always: true}
	}
	switch {
	case t == catalog.Counter, part != "":
		r.values = cumulative
	case t == untyped:
		r.values = uncertain
	case t == summary:
		r.labels["quantile"] = label{always: true}
	}
	if part == "_bucket" {
		r.labels[labels.BucketLabel] = label{always: true}
		r.buckets = true
	}
	return r
}

// Metrics that Prometheus records about alerts.
const (
	alertsMetric   = "ALERTS"
	alertsForState = "ALERTS_FOR_STATE"
)

// labelsOfAlerts are the labels of ALERTS: those of all alerts. Of alerts that read ALERTS themselves, only the labels that they set are added.
func (k *Checker) labelsOfAlerts(name string) map[string]label {
	if k.alertLabels == nil {
		k.alertLabels = map[string]label{}
		for _, l := range append(slices.Clone(k.config.AlertLabels), "alertname") {
			k.alertLabels[l] = label{always: true, determined: !slices.Contains(k.config.Identity, l)}
		}
		var alerts []string
		for _, r := range k.config.Rules {
			if r.Alert == "" {
				continue
			}
			alerts = append(alerts, r.Alert)
			names := maps.Keys(r.Labels)
			if !k.reads(r, alertsMetric) && !k.reads(r, alertsForState) {
				names = maps.Keys(k.Rule(r).labels)
			}
			for n := range names {
				k.alertLabels[n] = label{always: k.alertLabels[n].always, determined: !slices.Contains(k.config.Identity, n)}
			}
			for _, n := range writtenLabels(r.Query.Expr) {
				k.alertLabels[n] = label{always: k.alertLabels[n].always, determined: !slices.Contains(k.config.Identity, n)}
			}
		}
		k.alertLabels["alertname"] = label{always: true, values: slices.Compact(slices.Sorted(slices.Values(alerts)))}
	}
	all := maps.Clone(k.alertLabels)
	delete(all, instance) // an alert with this label has been reported
	if name == alertsMetric {
		all["alertstate"] = label{always: true, values: []string{"firing", "pending"}}
	}
	return all
}

// writtenLabels are the labels that label_replace and label_join write.
func writtenLabels(e parser.Expr) []string {
	var names []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if c, ok := n.(*parser.Call); ok && (c.Func.Name == "label_replace" || c.Func.Name == "label_join") {
			names = append(names, stringArg(c.Args[1]))
		}
		return nil
	})
	return names
}

// Mismatch returns the reason why no series of the metric can match, or "".
func (d Declaration) Mismatch(m *labels.Matcher, u Use) string {
	wanted := []string{m.Value}
	if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
		wanted = m.SetMatches()
	}
	wanted = slices.DeleteFunc(slices.Clone(wanted), func(v string) bool { return v == "" || v == AnyValue })
	if m.Name == labels.BucketLabel {
		return d.bucketMismatch(wanted)
	}
	if d.Metric == nil || d.Metric.LabelIndex(m.Name) < 0 {
		return ""
	}
	l := &d.Metric.Labels[d.Metric.LabelIndex(m.Name)]
	if !l.Closed() && u != ForAlert && u != ForRecording {
		return "" // a runbook has a placeholder there
	}
	for _, v := range wanted {
		if v != catalog.Other && !l.Matches(v) {
			return fmt.Sprintf("the label %s of %s is never %q, %s", m.Name, d.base, v, domainOf(l))
		}
	}
	if l.Closed() && m.Type == labels.MatchRegexp && m.Value != AnyValue && !slices.ContainsFunc(l.Values, m.Matches) {
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

// bucketMismatch returns the reason why no bucket has one of the bounds, or "". Prometheus writes whole numbers as 1.0.
func (d Declaration) bucketMismatch(wanted []string) string {
	for _, v := range wanted {
		f, err := strconv.ParseFloat(v, 64)
		if err != nil || labels.FormatOpenMetricsFloat(f) != v {
			return fmt.Sprintf("le=%q matches nothing: Prometheus writes bounds like 0.5, 1.0 and +Inf", v)
		}
		if d.Metric != nil && v != "+Inf" && !slices.Contains(d.Metric.Buckets, f) {
			return fmt.Sprintf("%s has no bucket le=%q, only %v", d.base, v, d.Metric.Buckets)
		}
	}
	return ""
}

package bundle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

type checker struct {
	catalog  *catalog.Catalog
	recorded map[string]bool
	errs     []error
}

func (k *checker) failf(r *Rule, format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf("%s:%d: %s: %w", r.File, r.Line, r.Name(), fmt.Errorf(format, args...)))
}

// foreign metrics come from Prometheus itself, from the servers' own pages and from node_exporter.
var foreign = regexp.MustCompile(`^(up|scrape_[a-z_]+|ALERTS|ALERTS_FOR_STATE|(prometheus|alertmanager|node|go|process)_[a-z0-9_]+)$`)

// targetLabels are added by Prometheus to everything that it scrapes.
var targetLabels = []string{"job", "instance"}

func (k *checker) rule(r *Rule) {
	parser.Inspect(r.Expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			k.selector(r, s)
		}
		return nil
	})
}

func (k *checker) selector(r *Rule, s *parser.VectorSelector) {
	name := s.Name
	if name == "" {
		for _, m := range s.LabelMatchers {
			if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
				name = m.Value
			}
		}
	}
	switch {
	case name == "":
		k.failf(r, "a selector without a metric name reads everything: %s", s)
		return
	case k.recorded[name], foreign.MatchString(name):
		return
	}
	metric, base := k.lookup(name)
	if metric == nil {
		k.failf(r, "metric %q is neither in the catalog nor recorded by a rule", name)
		return
	}
	if (base != name) != (metric.Type == catalog.Histogram) {
		k.failf(r, "%s is a %s: its series are %s_bucket, %s_sum and %s_count", base, metric.Type, base, base, base)
		return
	}
	for _, m := range s.LabelMatchers {
		known := m.Name == model.MetricNameLabel || metric.LabelIndex(m.Name) >= 0 || slices.Contains(targetLabels, m.Name) ||
			m.Name == labels.BucketLabel && strings.HasSuffix(name, "_bucket")
		if !known {
			k.failf(r, "metric %s has no label %q, only %s", name, m.Name, strings.Join(metric.LabelNames(), ", "))
		}
	}
}

// lookup finds the declaration of a series: a histogram is declared under the name that its series have without suffix.
func (k *checker) lookup(name string) (m *catalog.Metric, base string) {
	for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
		base, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		if m, ok := k.catalog.Lookup(base); ok {
			return m, base
		}
	}
	return nil, name
}

// severities are fixed by priority.
var severities = map[string]string{"P0": "critical", "P1": "critical", "P2": "warning", "P3": "info", "none": "none"}

var teams = []string{"technical", "support", "client_admin", "system_admin"}

// alert checks that an alert can be routed, understood and trusted.
func (k *checker) alert(r *Rule, b *Bundle) {
	want, ok := severities[r.Labels["priority"]]
	if !ok {
		k.failf(r, "label priority is %q, not one of P0, P1, P2, P3", r.Labels["priority"])
	} else if r.Labels["severity"] != want {
		k.failf(r, "label severity is %q; priority %s has severity %s", r.Labels["severity"], r.Labels["priority"], want)
	}
	if !slices.Contains(teams, r.Labels["team"]) {
		k.failf(r, "label team is %q, not one of %s", r.Labels["team"], strings.Join(teams, ", "))
	}
	for _, l := range []string{"component", "category"} {
		if r.Labels[l] == "" {
			k.failf(r, "label %s is missing", l)
		}
	}
	for _, a := range []string{"summary", "description"} {
		if !strings.HasSuffix(strings.TrimSpace(r.Annotations[a]), ".") {
			k.failf(r, "annotation %s must be there and end with a period", a)
		}
	}
	if strings.Contains(r.Annotations["summary"], "{{") {
		k.failf(r, "annotation summary must be the same for all alerts of a group: put what varies into the description")
	}
	if !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks/"+r.Alert+".md") {
		k.failf(r, "annotation runbook_url must lead to docs/runbooks/%s.md", r.Alert)
	}
	if !slices.Contains(b.Runbooks, r.Alert) {
		k.failf(r, "the runbook docs/runbooks/%s.md is missing", r.Alert)
	}
	fires := slices.ContainsFunc(b.Tests, func(t Test) bool { return t.Alert == r.Alert && t.Fires })
	silent := slices.ContainsFunc(b.Tests, func(t Test) bool { return t.Alert == r.Alert && !t.Fires })
	if !fires || !silent && r.Labels["priority"] != "none" {
		k.failf(r, "rules/tests needs a case in which the alert fires and one in which it does not")
	}
}

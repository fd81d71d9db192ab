package bundle

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundleversion"
	"github.com/consignwatch/consignwatch/pkg/alerting/slo"
	"github.com/consignwatch/consignwatch/pkg/alerting/thresholds"
)

// identity are the labels that distinguish an alert from all others: what becomes more urgent, or less, is another alert.
var identity = []string{"alertname", "client", "component", "subject", "priority"}

// alertLabels are the labels that every alert must have besides alertname: for its route, and for its identity.
func alertLabels() []string {
	return []string{"priority", "severity", "team", "client", "component", "subject", "category"}
}

// severities are the severities by priority. Only the heartbeat, which always fires, has the priority none.
var severities = map[string]string{"P0": "critical", "P1": "critical", "P2": "warning", "P3": "info", heartbeat: "none"}

const heartbeat = "none"

var teams = []string{"technical", "support", "client_admin", "system_admin"}

// alert checks the labels and annotations of an alert rule, and that its runbook exists.
func (k *checker) alert(r *rule) {
	res := k.Rule(&r.Rule)
	for _, name := range alertLabels() {
		k.alertLabel(r, res, name)
	}
	severity := res.Values("severity")
	for _, priority := range res.Values("priority") {
		want, known := severities[priority]
		if !known {
			k.rulef(r, "the label priority is %q, not one of P0, P1, P2, P3", priority)
		} else if severity != nil && !slices.Contains(severity, want) {
			k.rulef(r, "the label severity is %q; priority %s has severity %s", promql.ListValues(severity), priority, want)
		}
	}
	for _, team := range res.Values("team") {
		if !slices.Contains(teams, team) {
			k.rulef(r, "the label team is %q, not one of %s", team, strings.Join(teams, ", "))
		}
	}
	k.outage(r)
	k.resolveGrace(r, res)
	k.annotations(r)
	k.templates(r)
	if !k.bundle.hasRunbook(r.Alert) {
		k.rulef(r, "the runbook docs/runbooks/%s.md is missing", r.Alert)
	}
}

// outages are the categories of alerts that, with P0 and for the platform, clients are notified of: rules/alerts/clients.yml selects them.
var outages = []string{"downtime", "integration_failure"}

// outage checks that what counts as an outage of the platform comes from what the platform cannot do without. Otherwise a replica that is down
// would inhibit other alerts of all clients, or notify them.
func (k *checker) outage(r *rule) {
	inhibits := r.Labels["cause"] != ""
	if r.Labels["client"] != "_platform" || !inhibits && !(r.Labels["priority"] == "P0" && slices.Contains(outages, r.Labels["category"])) {
		return
	}
	part := k.NonEssential(r.Query.Expr)
	if part == nil {
		return
	}
	does := "notifies clients"
	if inhibits {
		does = "inhibits alerts of the whole platform"
	}
	k.Failf(r.Query, part, `the alert %s, and %s may be of a server that the platform can do without: narrow it by role="primary" or essential="true"`, does, part)
}

// alertLabel checks that every alert of a rule has a label. Otherwise it reports which part of the expression drops it.
func (k *checker) alertLabel(r *rule, res promql.Result, name string) {
	switch {
	case !res.Has(name):
		if dropped := k.DroppedBy(r.Query.Expr, name); dropped != nil {
			k.Failf(r.Query, dropped, "the label %s is missing: it is lost here; keep it, or set it in labels", name)
			return
		}
		k.rulef(r, "the label %s is missing: set it in labels, or make it with label_replace", name)
	case !res.Always(name):
		k.rulef(r, "the label %s may be missing: not every series of the expression has it", name)
	}
}

// resolveGrace checks that an alert which wakes somebody outlives the gap of one missed scrape or a restart: within resolve_grace, firing again is the
// same incident. An alert about another one follows that one, which has the time already: an escalation ends when somebody acknowledges.
func (k *checker) resolveGrace(r *rule, res promql.Result) {
	grace := k.bundle.resolveGrace
	urgent := k.canHave(r, "priority", "P0") || k.canHave(r, "priority", "P1")
	if urgent && !res.Has(sourceName) && time.Duration(r.KeepFiringFor) < grace {
		k.rulef(r, "keep_firing_for is %s: at least %s, which is policy.resolve_grace of %s, so that one missed scrape does not end an incident of P0 or P1", r.KeepFiringFor, model.Duration(grace), siteFile)
	}
}

// sourceName is the label of an alert about another alert, with the alertname of that one.
const sourceName = "source_alertname"

// runbookOf is the name of an alert's runbook: its own, or for an escalation that of the escalated alert.
func (k *checker) runbookOf(r *rule) string {
	if r.Labels["escalation"] != "" && k.Check(r.Query).Always(sourceName) {
		return "{{ $labels." + sourceName + " }}"
	}
	return r.Alert
}

var dashboardLink = regexp.MustCompile(`/d/([A-Za-z0-9_-]+)`)

func (k *checker) annotations(r *rule) {
	for _, name := range []string{"summary", "description"} {
		if !strings.HasSuffix(strings.TrimSpace(r.Annotations[name]), ".") {
			k.rulef(r, "the annotation %s must be there and end with a period", name)
		}
	}
	if strings.Contains(r.Annotations["summary"], "{{") {
		k.rulef(r, "the annotation summary must be the same for all alerts of a group: put what varies into the description")
	}
	if !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/runbooks/"+k.runbookOf(r)+".md") {
		k.rulef(r, "the annotation runbook_url must lead to docs/runbooks/%s.md", k.runbookOf(r))
	}
	if len(k.bundle.dashboards) == 0 || r.Labels["priority"] == heartbeat {
		return
	}
	link := dashboardLink.FindStringSubmatch(r.Annotations["dashboard_url"])
	switch {
	case link == nil:
		k.rulef(r, "the annotation dashboard_url must lead to a dashboard, /d/UID")
	case !k.bundle.hasDashboard(link[1]):
		k.rulef(r, "the annotation dashboard_url leads to %q, but no dashboard has this uid", link[1])
	}
}

// templateLabel matches a label that a template reads. In templates, $labels has the labels of the series, without those of the rule.
var templateLabel = regexp.MustCompile(`(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)`)

func (k *checker) templates(r *rule) {
	for _, q := range r.templateQueries {
		k.Check(q)
	}
	k.thresholdsShown(r)
	series := k.Check(r.Query)
	for _, texts := range []map[string]string{r.Labels, r.Annotations} {
		for _, key := range sortedKeys(texts) {
			for _, m := range templateLabel.FindAllStringSubmatch(texts[key], -1) {
				if !series.Has(m[1]) {
					k.rulef(r, "%s reads the label %q, but the series of the expression have %s", key, m[1], series.Names())
				}
			}
		}
	}
}

// levels are the levels of recording names, with the label that all series of the level must have. Further labels may follow
// in the name: platform_route.
var levels = map[string]string{"platform": "", "client": "client", "instance": "instance"}

// bareRecordings are recordings with the name of a metric, without level and operation: they are made from our data, not from metrics.
var bareRecordings = []string{thresholds.Metric, slo.Objective, slo.MinimumRate, bundleversion.Info}

// recording checks that the name of a recording rule agrees with its labels.
func (k *checker) recording(r *rule) {
	res := k.Rule(&r.Rule)
	parts := strings.Split(r.Record, ":")
	level, _, _ := strings.Cut(parts[0], "_")
	own, isLevel := levels[level]
	if k.Exposes(r.Record) {
		k.rulef(r, "an exporter has a metric of this name already")
		return
	}
	if slices.Contains(bareRecordings, r.Record) {
		return
	}
	if len(parts) != 3 || !isLevel || slices.Contains(parts, "") {
		k.rulef(r, "a recording is named level:metric:operations, and a level begins with %s", strings.Join(sortedKeys(levels), ", "))
		return
	}
	if own != "" && !res.Always(own) {
		k.rulef(r, "its level is %s, but its series do not all have the label %s, %s", level, own, res.Names())
	}
	if res.PerInstance() && level != "instance" {
		k.Failf(r.Query, r.Query.Expr, "the label instance is left: whoever reads the recording meets each replica; combine them (%s)", res.AggregationAdvice())
	}
}

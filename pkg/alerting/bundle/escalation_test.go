package bundle

import (
	"strings"
	"testing"
	"testing/fstest"
)

const escalation = `groups:
  - name: escalation
    interval: 15s
    rules:
      - alert: Escalated
        expr: |
          label_replace(
            ALERTS{alertstate="firing", escalation="", source_alertname=""},
            "source_alertname", "$1", "alertname", "(.+)")
        labels: {escalation: L2}
        annotations:
          summary: Nobody took it.
          description: "{{ $labels.source_alertname }} of {{ $labels.client }} still fires."
          runbook_url: https://example.com/docs/runbooks/{{ $labels.source_alertname }}.md
          dashboard_url: https://grafana.example.com/d/sale
`

// An alert about alerts has the labels of its sources, and its tests have the input series of the sources.
func TestAnAlertMayReadAlerts(t *testing.T) {
	t.Parallel()
	bundle := func(rules string) fstest.MapFS {
		root := goodBundle(t)
		root["rules/alerts/escalation.yml"] = &fstest.MapFile{Data: []byte(rules)}
		root["docs/runbooks/Escalated.md"] = &fstest.MapFile{Data: []byte(strings.Replace(string(root[page].Data), "JobsFail", "Escalated", 1))}
		text := string(root[cases].Data)
		text = strings.Replace(text, "    promql_expr_test:", `      - {eval_time: 6m, alertname: Escalated}
      - eval_time: 14m
        alertname: Escalated
        exp_alerts:
          - exp_labels: {severity: warning, team: support, priority: P2, component: jobs, category: disruption, client: north, subject: north, source_alertname: JobsFail, escalation: L2}
            exp_annotations: {summary: Nobody took it., description: JobsFail of north still fires., runbook_url: 'https://example.com/docs/runbooks/JobsFail.md', dashboard_url: 'https://grafana.example.com/d/sale'}
      - {eval_time: 25m, alertname: Escalated}
    promql_expr_test:`, 1)
		root[cases] = &fstest.MapFile{Data: []byte(text)}
		return root
	}
	if found := problemsOf(bundle(escalation)); found != "" {
		t.Errorf("an alert on alerts fails:\n%s", found)
	}
	for change, want := range map[[2]string]string{
		{`escalation=""`, `escalated=""`}:                                      "escalation.yml:8: Escalated: metric ALERTS has no label \"escalated\"",
		{`alertstate="firing"`, `alertstate="active"`}:                         `escalation.yml:8: Escalated: no series of ALERTS matches alertstate="active": the label is firing or pending`,
		{`alertstate="firing"`, `alertname="JobFails"`}:                        `escalation.yml:8: Escalated: no series of ALERTS matches alertname="JobFails": the label is ApiSlow or Escalated or JobsFail`,
		{`ALERTS{`, `ALERTS_FOR_STATE{`}:                                       "escalation.yml:8: Escalated: metric ALERTS_FOR_STATE has no label \"alertstate\"",
		{`{{ $labels.source_alertname }}.md`, `Escalated.md`}:                  "escalation.yml:5: Escalated: the annotation runbook_url must lead to docs/runbooks/{{ $labels.source_alertname }}.md",
		{`{escalation: L2}`, `{escalation: L2, component: ""}`}:                "escalation.yml:5: Escalated: the label component is missing",
		{`{escalation: L2}`, `{escalation: L2, subject: "{{ $labels.job }}"}`}: "escalation.yml:5: Escalated: subject reads the label \"job\"",
	} {
		if found := problemsOf(bundle(strings.Replace(escalation, change[0], change[1], 1))); !strings.Contains(found, want) {
			t.Errorf("%s: found:\n%s\nwant among them: %s", change[1], found, want)
		}
	}
}

package routing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Names of what the rules of escalation record.
const (
	heldMetric   = "client_alert:held:info"
	sinceMetric  = "client_alert:firing_since_timestamp_seconds:last"
	adminsMetric = "client:admins:info"
)

// What ackd is taken for: fresh, so that what it does not say is not so; or blind, so that what it said last still holds.
const ackdFresh = 2 * time.Minute

// identity tells alerts apart.
const identity = "alertname, client, component, subject"

// escalates selects the alerts that escalate: those that somebody of the staff hears of and can take. An escalation has a
// source_alertname, as everything has that is told about other alerts, and so never feeds on itself.
func (r *Routing) escalates() string {
	var priorities []string
	for _, p := range Priorities() {
		if slices.ContainsFunc(Levels(), func(l Level) bool { return r.Site.Policy.Priorities[p].Delay(l.Role) > 0 }) {
			priorities = append(priorities, p)
		}
	}
	return fmt.Sprintf(`priority=~%q,team!=%q,escalation="",source_alertname=""`, strings.Join(priorities, "|"), clientAdmin)
}

// holdRules record since when each alert fires and nobody has it: what the escalation rests on.
func (r *Routing) holdRules() []byte {
	var b strings.Builder
	memory := time.Duration(r.Site.Policy.Memory)
	fmt.Fprintf(&b, `# %s
groups:
  - name: escalation_clock
    rules:
      # Alerts that need nobody now: somebody has taken them, or another alert explains them. ackd says what is taken. While it
      # answers, what it no longer names is not taken; while it is gone or blind, what it said last holds for %s.
      - record: %s
        expr: |
          max by (%s) (
            (consign_alert_acknowledged == 1 and on (instance) (time() - consign_ackd_last_poll_timestamp_seconds < %d))
              or (
                last_over_time(consign_alert_acknowledged[%s]) == 1
                  unless on () (time() - max(consign_ackd_last_poll_timestamp_seconds) < %d)
                  unless on () (time() - max(consign_ackd_last_poll_timestamp_seconds) > %d)
              )
          )
`, generated(SiteFile+", "+InhibitionFile+" and "+alertFiles), model.Duration(memory), heldMetric, identity,
		int(ackdFresh.Seconds()), model.Duration(memory), int(ackdFresh.Seconds()), int(memory.Seconds()))
	for _, i := range r.inhibitions() {
		target := slices.Clone(i.target)
		if i.alerts != "" {
			target = append(target, fmt.Sprintf("alertname=~%q", i.alerts))
		}
		if i.except != "" {
			target = append(target, fmt.Sprintf("alertname!~%q", i.except))
		}
		source := fmt.Sprintf("ALERTS{%s}", firing(i.source))
		if i.lasting {
			source = fmt.Sprintf("max_over_time(%s[%s])", source, r.Inhibition.Aftermath)
		}
		fmt.Fprintf(&b, `          # %s
          or max by (%s) (
            ALERTS{%s}
              and on (%s)
            %s
          )
`, i.explain, identity, firing(target), strings.Join(i.equal, ", "), source)
	}
	fmt.Fprintf(&b, `      # Since when an alert has been firing without being held. It reads itself, so that it survives what Prometheus forgets
      # when it restarts: an alert that is gone, or waits for its `+"`for`"+` again, for up to %[1]s is still the same incident. What is
      # held starts anew afterwards, so that the levels step in order. ALERTS of before a restart have no end: hence the last minute.
      - record: %[2]s
        expr: |
          (
            (
              last_over_time(%[2]s[%[1]s])
                and max without (alertstate) (ALERTS{%[3]s} and last_over_time(ALERTS{%[3]s}[1m]))
            )
              or max without (alertstate) (
                ALERTS{alertstate="firing",%[3]s} and last_over_time(ALERTS{alertstate="firing",%[3]s}[1m])
              ) * 0 + time()
          ) unless on (%[4]s) %[5]s
`, r.Site.Policy.Gap, sinceMetric, r.escalates(), identity, heldMetric)
	return []byte(b.String())
}

// firing are the matchers of ALERTS for alerts that fire and are no escalations.
func firing(matchers []string) string {
	return strings.Join(append([]string{`alertstate="firing"`, `escalation=""`}, matchers...), ",")
}

// escalationRules are the alerts of each level. They have no `for`: a restart of Prometheus would start it again.
func (r *Routing) escalationRules() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\ngroups:\n  - name: escalation\n    rules:\n", generated(SiteFile+" and "+InhibitionFile))
	var causes []string
	for _, c := range r.Inhibition.Causes {
		if !slices.Contains(causes, c.Alert) {
			causes = append(causes, c.Alert)
		}
	}
	if len(causes) > 0 {
		fmt.Fprintf(&b, `      # It begins with a cause, so that there is no moment between the two, and outlasts it. Nobody is told.
      - alert: %s
        expr: |
          label_replace(
            max by (%s) (max_over_time(ALERTS{%s}[%s])),
            "source_alertname", "$1", "alertname", "(.+)")
        labels:
          priority: none
          severity: none
          team: technical
          category: routing
        annotations:
          summary: An alert that explains others fires, or has a short while ago.
          description: >-
            {{ $labels.source_alertname }} ({{ $labels.client }}, {{ $labels.component }}, {{ $labels.subject }}) explains others until %s after its end.
          runbook_url: %s/%s.md
`, causeSeen, identity, firing([]string{fmt.Sprintf("alertname=~%q", strings.Join(causes, "|"))}), r.Inhibition.Aftermath, r.Inhibition.Aftermath, shippedRunbooks, causeSeen)
	}
	for _, l := range Levels() {
		var due []string
		for _, p := range Priorities() {
			if d := r.Site.Policy.Priorities[p].Delay(l.Role); d > 0 {
				due = append(due, fmt.Sprintf("time() - %s{priority=%q} >= %d", sinceMetric, p, int(d.Seconds())))
			}
		}
		if len(due) == 0 {
			continue
		}
		fmt.Fprintf(&b, `      - alert: Escalation%[1]s
        expr: |
          label_replace(
            (
              %[2]s
            ) and on (%[3]s, priority) (ALERTS{alertstate="firing",%[4]s} and last_over_time(ALERTS{alertstate="firing",%[4]s}[1m])),
            "source_alertname", "$1", "alertname", "(.+)")
        labels:
          escalation: %[1]s
        annotations:
          summary: Nobody has taken an alert, so the %[5]s contact is called.
          description: >-
            {{ $labels.source_alertname }} ({{ $labels.client }}, {{ $labels.component }}, {{ $labels.subject }}) has been firing for
            {{ humanizeDuration $value }}, and nobody has acknowledged it.
          runbook_url: %[6]s/{{ $labels.source_alertname }}.md
          dashboard_url: %[7]s/d/consignwatch-escalation?var-client={{ $labels.client }}&from=now-3h&to=now
`, l.Name, strings.Join(due, "\n                or "), identity, r.escalates(), l.Role, shippedRunbooks, shippedGrafana)
	}
	return []byte(b.String())
}

// Where the links of the shipped rules lead. Messages lead to the inventory's addresses instead.
const (
	shippedRunbooks = "https://github.com/consignwatch/consignwatch/blob/main/docs/runbooks"
	shippedGrafana  = "http://localhost:3000"
)

// clientRules record who the clients are that want to hear of an outage.
func (r *Routing) clientRules() []byte {
	var rules strings.Builder
	for _, c := range r.Site.Clients {
		if c.Admins != nil {
			fmt.Fprintf(&rules, "\n      - record: %s\n        expr: vector(1)\n        labels: {client: %s}", adminsMetric, c.Slug)
		}
	}
	if rules.Len() == 0 {
		rules.WriteString(" []")
	}
	return fmt.Appendf(nil, "# %s\ngroups:\n  - name: clients\n    rules:%s\n", generated(SiteFile), &rules)
}

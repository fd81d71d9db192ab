package routing

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Metrics that the escalation rules record.
const (
	suppressedMetric  = "client_alert:held:info"
	firingSinceMetric = "client_alert:firing_since_timestamp_seconds:last"
	adminsMetric      = "client:admins:info"
	outageMetric      = "platform:outage:info"
)

// ackdMaxAge is how old ackd's last poll may be: until then, an alert that ackd does not export as acknowledged is unacknowledged; after that, the last
// value of consign_alert_acknowledged holds.
const ackdMaxAge = 2 * time.Minute

// acknowledgementEnding is the alert that notifies the holder of an acknowledgement of its end. Package ack knows it, too.
const acknowledgementEnding = "AcknowledgementEnding"

// ackWarning is how long before the end of an acknowledgement its holder is notified.
const ackWarning = 5 * time.Minute

// identity are the labels that distinguish an alert from all others: what becomes more urgent, or less, is another alert.
const identity = "alertname, client, component, subject, priority"

// escalatingSelector are the matchers of the alerts that escalate: alerts for the staff with a priority that has levels. An alert about
// another alert has a source_alertname, and never escalates itself.
func (r *Routing) escalatingSelector() string {
	var priorities []string
	for _, p := range Priorities() {
		if slices.ContainsFunc(Levels(), func(l Level) bool { return r.Site.Policy.Priorities[p].Delay(l.Role) > 0 }) {
			priorities = append(priorities, p)
		}
	}
	return fmt.Sprintf(`priority=~%q,team!=%q,escalation="",source_alertname=""`, strings.Join(priorities, "|"), clientAdmin)
}

// clockRules record since when each alert has been firing unacknowledged and uninhibited: the clock of the escalation.
func (r *Routing) clockRules() []byte {
	var b strings.Builder
	grace := time.Duration(r.Site.Policy.AckGrace)
	fmt.Fprintf(&b, `# %s
groups:
  - name: escalation_clock
    rules:
      # Alerts that do not escalate: acknowledged, or inhibited by another alert. ackd exports what is acknowledged. While it is
      # available, what it no longer lists is unacknowledged; while it is not, its last value holds for %s.
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
`, generated(SiteFile+", "+InhibitionFile+" and "+alertFiles), model.Duration(grace), suppressedMetric, identity,
		int(ackdMaxAge.Seconds()), model.Duration(grace), int(ackdMaxAge.Seconds()), int(grace.Seconds()))
	for _, i := range r.inhibitions() {
		target := slices.Clone(i.target)
		if len(i.alerts) > 0 {
			target = append(target, oneOf("alertname", i.alerts...))
		}
		source := fmt.Sprintf("ALERTS{%s}", firing(i.source))
		if i.hold {
			source = fmt.Sprintf("max_over_time(ALERTS{%s}[%s])", causesFiring(i.source...), r.Inhibition.Hold)
		}
		fmt.Fprintf(&b, `          # %s
          or max by (%s) (
            ALERTS{%s}
              and on (%s)
            %s
          )
`, i.name, identity, firing(target), strings.Join(i.equal, ", "), source)
	}
	fmt.Fprintf(&b, `      # Since when an alert has been firing unacknowledged and uninhibited. It reads itself, so that it survives a restart of
      # Prometheus: an alert that is missing, or pending again, for up to %[1]s is still the same incident. After an acknowledgement or
      # inhibition it starts over, so that the levels follow in order. ALERTS from before a restart have no end: hence the last minute.
      - record: %[2]s
        expr: |
          (
            (
              last_over_time(%[2]s[%[1]s])
                and max without (alertstate, cause) (ALERTS{%[3]s} and last_over_time(ALERTS{%[3]s}[1m]))
            )
              or max without (alertstate, cause) (
                ALERTS{alertstate="firing",%[3]s} and last_over_time(ALERTS{alertstate="firing",%[3]s}[1m])
              ) * 0 + time()
          ) unless on (%[4]s) %[5]s
`, r.Site.Policy.ResolveGrace, firingSinceMetric, r.escalatingSelector(), identity, suppressedMetric)
	return []byte(b.String())
}

// firing are the matchers of ALERTS for firing alerts that are no escalations.
func firing(matchers []string) string {
	return strings.Join(append([]string{`alertstate="firing"`, `escalation=""`}, matchers...), ",")
}

// causesFiring are the matchers of ALERTS for causes that fire, without those that fired.
func causesFiring(matchers ...string) string {
	return firing(append(slices.Clone(matchers), fmt.Sprintf("alertname!=%q", inhibitionSourceRecent)))
}

// escalationRules are the alert rules of the levels. They have no `for`, which a restart of Prometheus could start again.
func (r *Routing) escalationRules() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\ngroups:\n  - name: escalation\n    rules:\n", generated(SiteFile+" and "+InhibitionFile))
	fmt.Fprintf(&b, `      # Fires while a cause does, and outlasts it: one alert for all that have the cause. Nobody is notified.
      - alert: %[1]s
        expr: |
          label_replace(
            max by (client, cause) (max_over_time(ALERTS{%[2]s}[%[3]s])),
            "subject", "$1", "cause", "(.+)")
        labels:
          priority: none
          severity: none
          team: technical
          component: alerting
          category: routing
        annotations:
          summary: An alert that inhibits others is firing, or was a short while ago.
          description: >-
            {{ $labels.cause }} ({{ $labels.client }}) inhibits what depends on it until %[3]s after its alerts have resolved.
          runbook_url: %[4]s/%[1]s.md
`, inhibitionSourceRecent, causesFiring(`cause!=""`), r.Inhibition.Hold, shippedRunbooks)
	b.WriteString(r.endingRule())
	for _, l := range Levels() {
		var due []string
		for _, p := range Priorities() {
			if d := r.Site.Policy.Priorities[p].Delay(l.Role); d > 0 {
				due = append(due, fmt.Sprintf("time() - %s{priority=%q} >= %d", firingSinceMetric, p, int(d.Seconds())))
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
            ) and on (%[3]s) (ALERTS{alertstate="firing",%[4]s} and last_over_time(ALERTS{alertstate="firing",%[4]s}[1m])),
            "source_alertname", "$1", "alertname", "(.+)")
        labels:
          escalation: %[1]s
        annotations:
          summary: Unacknowledged alert escalated to the %[5]s contact.
          description: >-
            {{ $labels.source_alertname }} ({{ $labels.client }}, {{ $labels.component }}, {{ $labels.subject }}) has been firing
            unacknowledged for {{ humanizeDuration $value }}.
          runbook_url: %[6]s/{{ $labels.source_alertname }}.md
          dashboard_url: %[7]s/d/consignwatch-escalation?var-client={{ $labels.client }}&from=now-3h&to=now
`, l.Name, strings.Join(due, "\n                or "), identity, r.escalatingSelector(), l.Role, shippedRunbooks, shippedGrafana)
	}
	return []byte(b.String())
}

// endingRule is the rule of the alert that notifies the holder of an acknowledgement of its end. It has all labels of its source, so that the
// team on call for the source is notified, as urgently; who acknowledged it is free text, and no label. It is no escalation: the initial contact is notified.
func (r *Routing) endingRule() string {
	var limited []string
	for _, p := range Priorities() {
		if r.Site.Policy.Priorities[p].AckTimeout > 0 {
			limited = append(limited, p)
		}
	}
	if len(limited) == 0 {
		return ""
	}
	source := fmt.Sprintf(`alertstate="firing",priority=~%q,team!=%q,escalation="",source_alertname=""`, strings.Join(limited, "|"), clientAdmin)
	return fmt.Sprintf(`      # The policy ends acknowledgements, so that nobody falls asleep on one. ackd exports when; an acknowledgement that ends later, too, does not fire.
      - alert: %[1]s
        expr: |
          label_replace(
            max without (alertstate, cause) (ALERTS{%[2]s} and last_over_time(ALERTS{%[2]s}[1m])) * 0
              + on (%[3]s) group_left ()
                (max by (%[3]s) (consign_alert_acknowledged_until_timestamp_seconds) - time() < %[4]d > 0),
            "source_alertname", "$1", "alertname", "(.+)")
        annotations:
          summary: An acknowledgement is about to end.
          description: >-
            The acknowledgement of {{ $labels.source_alertname }} ({{ $labels.client }}, {{ $labels.component }}, {{ $labels.subject }}) ends in
            {{ humanizeDuration $value }}. If the alert still fires then, it notifies and escalates again.
          runbook_url: %[5]s/%[1]s.md
          dashboard_url: %[6]s/d/consignwatch-escalation?var-client={{ $labels.client }}&from=now-3h&to=now
`, acknowledgementEnding, source, identity, int(ackWarning.Seconds()), shippedRunbooks, shippedGrafana)
}

// ackPolicy is what ackd has to know of the policy.
func (r *Routing) ackPolicy() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n# ackd reads it: policy_file in its configuration.\nresolve_grace: %s\nack_timeout:\n", generated(SiteFile), r.Site.Policy.ResolveGrace)
	limited := false
	for _, p := range Priorities() {
		if timeout := r.Site.Policy.Priorities[p].AckTimeout; timeout > 0 {
			limited = true
			fmt.Fprintf(&b, "  %s: %s\n", p, timeout)
		}
	}
	if !limited {
		return []byte(strings.Replace(b.String(), "ack_timeout:", "ack_timeout: {}", 1))
	}
	return []byte(b.String())
}

// Links in the annotations of the generated rules. Messages replace them by those of the inventory.
const (
	shippedRunbooks = "https://github.com/consignwatch/consignwatch/blob/main/docs/runbooks"
	shippedGrafana  = "http://localhost:3000"
)

// outageCategories are those of outages that clients feel.
var outageCategories = []string{"downtime", "integration_failure"}

// outage reports whether clients are notified while a rule fires: it is about the platform, P0, and of a category that they feel. rules/alerts/clients.yml
// selects the same.
func (r *alertRule) outage() bool {
	return r.platform && slices.Equal(r.priorities, []string{"P0"}) && slices.Contains(outageCategories, r.category) && !strings.HasPrefix(r.alert, "Slo")
}

// clientRules record which clients have admins, who are notified of an outage, and what is an outage now: an alert keeps firing for a while after it, and
// nothing in Prometheus tells that from an outage that goes on.
func (r *Routing) clientRules() []byte {
	var admins, outages strings.Builder
	for _, c := range r.Site.Clients {
		if c.Admins != nil {
			fmt.Fprintf(&admins, "\n      - record: %s\n        expr: vector(1)\n        labels: {client: %s}", adminsMetric, c.Slug)
		}
	}
	if admins.Len() == 0 {
		admins.WriteString(" []")
	}
	for _, a := range r.Alerts {
		for _, rule := range a.rules {
			if rule.outage() {
				fmt.Fprintf(&outages, "\n      - record: %s\n        expr: |\n          group(\n            %s\n          )\n        labels: {source_alertname: %s}",
					outageMetric, strings.ReplaceAll(strings.TrimSpace(rule.expr), "\n", "\n            "), rule.alert)
			}
		}
	}
	if outages.Len() == 0 {
		outages.WriteString(" []")
	}
	return fmt.Appendf(nil, "# %s\ngroups:\n  - name: clients\n    rules:%s\n\n  # What clients are notified of, while it lasts: an alert keeps firing for a while after it.\n  - name: outages\n    rules:%s\n", generated(SiteFile+" and "+alertFiles), &admins, &outages)
}

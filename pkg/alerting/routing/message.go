package routing

import (
	"fmt"
	"strings"

	"github.com/prometheus/common/model"
)

const timeLayout = "2006-01-02 15:04 MST"

// template renders the message templates that depend on the inventory: names, links, and the next level.
func (r *Routing) template() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "{{/* %s */}}\n", generated(SiteFile))
	define := func(name, text string) { fmt.Fprintf(&b, "{{ define %q }}%s{{ end }}\n", name, text) }
	s := r.Site
	define("consignwatch.platform", literal(s.Platform.Name))
	define("consignwatch.time", fmt.Sprintf(`{{ (tz %q .).Format %q }}`, s.Platform.TimeZone, timeLayout))
	// The dot is an alert. The link to the dashboard has a time range from an hour before the alert began.
	define("consignwatch.dashboard", fmt.Sprintf(
		`{{ reReplaceAll "from=now-[0-9]+[smhd]" (printf "from=%%d" (.StartsAt.Add -3600000000000).UnixMilli) (reReplaceAll "^https?://[^/]+" %q .Annotations.dashboard_url) }}`,
		strings.TrimSuffix(s.Links.Grafana, "/")))
	define("consignwatch.runbook", fmt.Sprintf(`{{ reReplaceAll "^.*/docs/runbooks" %q .Annotations.runbook_url }}`, strings.TrimSuffix(s.Links.Runbooks, "/")))
	define("consignwatch.acknowledge", fmt.Sprintf("consignwatch ack --alertmanager %s ", literal(s.Links.Alertmanager)))

	// The dot is an alert of a client, in whose time zone its times are.
	var times strings.Builder
	for _, c := range s.Clients {
		fmt.Fprintf(&times, `{{ else if eq .Labels.client %q }}{{ (tz %q .StartsAt).Format %q }}`, c.Slug, s.zone(c), timeLayout)
	}
	define("consignwatch.client_time", fmt.Sprintf(`{{ if eq .Labels.client %q }}%s{{ else }}{{ (tz %q .StartsAt).Format %q }}{{ end }}`, "", &times, s.Platform.TimeZone, timeLayout))

	var names strings.Builder
	for _, c := range s.Clients {
		fmt.Fprintf(&names, "{{ else if eq . %q }}%s", c.Slug, literal(c.Name))
	}
	define("consignwatch.client_name", fmt.Sprintf("{{ if eq . %q }}%s%s{{ else }}{{ . }}{{ end }}", Platform, literal(s.Platform.Name), names.String()))

	// The dot is the whole notification: its alerts have one team, priority and level, because each has a route of its own.
	var notified strings.Builder
	for i, team := range StaffTeams() {
		notified.WriteString(condition(i, "team", team))
		for j, p := range Priorities() {
			notified.WriteString(condition(j, "priority", p) + r.notified(team, p))
		}
		notified.WriteString("{{ end }}")
	}
	notified.WriteString("{{ end }}")
	define("consignwatch.notified", fmt.Sprintf("{{ if eq .CommonLabels.alertname %q }}Unless somebody acknowledges it again, the alert notifies and escalates again, from the first level on.{{ else }}%s{{ end }}", acknowledgementEnding, notified.String()))
	return []byte(b.String())
}

// notified renders, for each level, which contacts have been notified and which is next.
func (r *Routing) notified(team, priority string) string {
	t := r.Site.Policy.Priorities[priority]
	first := "initial"
	if priority == "P3" {
		first = "low_priority"
	}
	type step struct{ level, contact, delay string }
	_, c := r.Site.contact(team, first)
	steps := []step{{"", c.Name, ""}}
	for _, l := range Levels() {
		if d := t.Delay(l.Role); d > 0 {
			_, c := r.Site.contact(team, l.Role)
			steps = append(steps, step{l.Name, c.Name, model.Duration(d).String()})
		}
	}
	var b strings.Builder
	for i, s := range steps {
		var names []string
		for _, s := range steps[:i+1] {
			names = append(names, literal(s.contact))
		}
		next := "No further escalation."
		if i+1 < len(steps) {
			next = fmt.Sprintf("Next: %s, if unacknowledged %s after it began to fire.", literal(steps[i+1].contact), steps[i+1].delay)
		}
		fmt.Fprintf(&b, "%sNotified: %s. %s", condition(i, "escalation", s.level), strings.Join(names, ", "), next)
	}
	return b.String() + "{{ end }}"
}

// condition renders the i-th branch of an if on a common label of a notification.
func condition(i int, label, value string) string {
	word := "if"
	if i > 0 {
		word = "else if"
	}
	return fmt.Sprintf("{{ %s eq .CommonLabels.%s %q }}", word, label, value)
}

// literal renders a text so that the template prints it as it is.
func literal(s string) string { return fmt.Sprintf("{{ %q }}", s) }

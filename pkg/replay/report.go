package replay

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Incident is when an alert fired.
type Incident struct {
	Labels   map[string]string
	From, To time.Time // To is zero: it fired until the end
}

// Incidents are the times in which each alert fired, by what Prometheus posted, in order of their beginning.
func Incidents(posts []Post) []Incident {
	type key struct {
		labels string
		from   time.Time
	}
	seen := map[key]*Incident{}
	for _, p := range posts {
		for _, a := range p.Alerts {
			k := key{labels.FromMap(a.Labels).String(), a.StartsAt}
			if seen[k] == nil {
				seen[k] = &Incident{Labels: a.Labels, From: a.StartsAt}
			}
			if !a.EndsAt.After(p.Time) {
				seen[k].To = a.EndsAt
			}
		}
	}
	var all []Incident
	for _, i := range seen {
		all = append(all, *i)
	}
	slices.SortFunc(all, func(a, b Incident) int {
		return cmp.Or(a.From.Compare(b.From), strings.Compare(describe(a.Labels), describe(b.Labels)), a.To.Compare(b.To))
	})
	return all
}

// described are the labels that say which alert it is, in this order; all others but the fixed ones follow.
var described = []string{"priority", "alertname", "escalation", "source_alertname", "client", "component", "subject"}

// fixed are labels that follow from the rule, so that they say nothing that its name does not.
var fixed = []string{"severity", "team", "category", "cause", "depends_on", "job", "instance"}

// describe says in a line which alert it is.
func describe(l map[string]string) string {
	var parts []string
	for _, name := range described {
		if v := l[name]; v != "" {
			parts = append(parts, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if !slices.Contains(described, name) && !slices.Contains(fixed, name) && l[name] != "" {
			parts = append(parts, name+"="+l[name])
		}
	}
	return strings.Join(parts, " ")
}

// WriteIncidents writes which alerts fired from when to when.
func WriteIncidents(out io.Writer, incidents []Incident, zone *time.Location) {
	for _, i := range incidents {
		end := "        "
		if !i.To.IsZero() {
			end = i.To.In(zone).Format(time.TimeOnly)
		}
		fmt.Fprintf(out, "%s - %s  %s\n", i.From.In(zone).Format(time.TimeOnly), end, describe(i.Labels))
	}
}

// WriteNotifications writes who gets which notification, and when; with the summaries of alerts, if these are asked for. Channels of one receiver that get
// the same are one line.
func WriteNotifications(out io.Writer, notifications []Notification, zone *time.Location, summaries bool) {
	type line struct {
		at               time.Time
		receiver, what   string
		firing, resolved int
		channels         []string
	}
	var lines []*line
	for _, n := range notifications {
		var what []string
		for _, a := range n.Firing {
			what = append(what, "    "+describe(a.Labels))
			if summary := a.Annotations["summary"]; summary != "" && summaries {
				what = append(what, "        "+summary)
			}
		}
		for _, a := range n.Resolved {
			what = append(what, "    resolved  "+describe(a.Labels))
		}
		l := line{at: n.Time, receiver: n.Receiver, what: strings.Join(what, "\n"), firing: len(n.Firing), resolved: len(n.Resolved)}
		i := slices.IndexFunc(lines, func(have *line) bool {
			return have.at.Equal(l.at) && have.receiver == l.receiver && have.what == l.what
		})
		if i < 0 {
			lines, i = append(lines, &l), len(lines)
		}
		lines[i].channels = append(lines[i].channels, n.Channel)
	}
	for _, l := range lines {
		status := fmt.Sprintf("FIRING:%d", l.firing)
		if l.firing == 0 {
			status = "RESOLVED"
		}
		fmt.Fprintf(out, "%s  %s to %s (%s)\n%s\n", l.at.In(zone).Format(time.TimeOnly), status, l.receiver, strings.Join(l.channels, ", "), l.what)
	}
}

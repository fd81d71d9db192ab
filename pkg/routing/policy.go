package routing

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Policy says in words who hears of what, and when.
func (r *Routing) Policy() string {
	var b strings.Builder
	s := r.Site
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, team := range StaffTeams() {
		t := s.Teams[team]
		line("%s (team=%q), in hours on %s, %s:", t.Name, team, t.Hours.words(), cmp.Or(t.Hours.TimeZone.Location, s.Platform.TimeZone.Location))
		for _, p := range Priorities() {
			r.policyOf(team, p, line)
		}
		line("")
	}
	line("Client admins (team=%q) hear of their own client's alerts only, each once; of P2 and P3 on %s, in their time zone:", clientAdmin, s.ClientHours.words())
	for _, c := range s.Clients {
		who := "nobody: what is meant for them goes to support"
		if c.Admins != nil {
			who = fmt.Sprintf("%s (%s)", c.Admins.Name, c.Admins.ways())
		}
		line("  %s: %s, %s", c.Slug, who, s.zone(c))
		for _, w := range c.Maintenance {
			line("    planned work %s: nothing of this client is told, except what is lost or broken into", w.words())
		}
	}
	line("")
	line("The Watchdog goes to the heartbeat every %s.", s.Heartbeat.Every)
	line("")
	line("An alert that is gone for up to %s is the same incident. Whoever acknowledges it stops the next levels; when the acknowledgement ends, they start anew. While", s.Policy.Gap)
	line("ackd is out of reach, acknowledgements hold for %s.", s.Policy.Memory)
	line("")
	line("Not told while its cause fires, or has within %s:", r.Inhibition.Aftermath)
	for n, all := 0, r.inhibitions(); n < len(all); n++ {
		i := all[n]
		if !i.lasting && all[max(n-1, 0)].lasting {
			line("Not told while the other one fires:")
		}
		suffix := ""
		if len(i.equal) > 0 {
			suffix = " (the same " + strings.Join(i.equal, ", ") + ")"
		}
		line("  %s%s", i.explain, suffix)
	}
	line("")
	line("Told later than others of their priority, so that their causes are seen first:")
	for _, p := range Priorities() {
		for _, a := range r.Alerts {
			if w := r.Wait(a.Name, p); slices.Contains(a.Priorities, p) && w > time.Duration(s.Policy.Priorities[p].Wait) {
				line("  %s as %s: after %s", a.Name, p, model.Duration(w))
			}
		}
	}
	return b.String()
}

// policyOf says what becomes of one priority in one team.
func (r *Routing) policyOf(team, priority string, line func(string, ...any)) {
	t := r.Site.Policy.Priorities[priority]
	role := "initial"
	if priority == "P3" {
		role = "quiet"
	}
	_, first := r.Site.contact(team, role)
	when := "at any time"
	if t.Hours {
		when = "in hours"
	}
	again := "never again"
	if t.Repeat > 0 {
		again = fmt.Sprintf("again every %s until somebody acknowledges it", t.Repeat)
	}
	line("  %s  %s hears after %s, %s, %s (%s)", priority, first.Name, t.Wait, when, again, first.ways())
	for _, l := range Levels() {
		if d := t.Delay(l.Role); d > 0 {
			_, c := r.Site.contact(team, l.Role)
			late := ""
			if t.HeadStart > 0 {
				late = fmt.Sprintf(", in hours, from %s after they begin", t.HeadStart)
			}
			line("      %s  %s when nobody has acknowledged it %s after it began to fire%s (%s)", l.Name, c.Name, model.Duration(d), late, c.ways())
		}
	}
}

func (c *Contact) ways() string {
	var kinds []string
	for _, ch := range c.Channels {
		kinds = append(kinds, ch.Kind)
	}
	return strings.Join(kinds, ", ")
}

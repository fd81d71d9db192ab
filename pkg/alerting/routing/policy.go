package routing

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Policy describes the routing for people: who is notified of which alerts, and when.
func (r *Routing) Policy() string {
	var b strings.Builder
	s := r.Site
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, team := range StaffTeams() {
		t := s.Teams[team]
		line("%s (team=%q), office hours %s, %s:", t.Name, team, t.Hours.description(), cmp.Or(t.Hours.TimeZone.Location, s.Platform.TimeZone.Location))
		for _, p := range Priorities() {
			r.priorityPolicy(team, p, line)
		}
		line("")
	}
	line("Client admins (team=%q) are notified of their own client's alerts only, once each; of P2 and P3 on %s, in their time zone:", clientAdmin, s.ClientHours.description())
	for _, c := range s.Clients {
		recipients := "support (no admins)"
		if c.Admins != nil {
			recipients = fmt.Sprintf("%s (%s)", c.Admins.Name, c.Admins.channelKinds())
		}
		line("  %s: %s, %s", c.Slug, recipients, s.zone(c))
		for _, w := range c.Maintenance {
			line("    maintenance window %s: the client's alerts are muted, except data_loss and security", w.description())
		}
	}
	line("")
	line("The Watchdog goes to the heartbeat every %s.", s.Heartbeat.Every)
	line("")
	line("An alert that fires again within %s is the same incident. Acknowledging it stops the escalation, which starts over when the acknowledgement ends.", s.Policy.ResolveGrace)
	line("An acknowledgement holds for the priority of its alert and milder ones.")
	for _, p := range Priorities() {
		if timeout := s.Policy.Priorities[p].AckTimeout; timeout > 0 {
			line("It ends after %s if the alert is %s, unless it was made for longer; %s before, the team that was notified first is notified of the end.", timeout, p, model.Duration(ackWarning))
		}
	}
	line("While ackd is unavailable, acknowledgements hold for %s.", s.Policy.AckGrace)
	line("")
	line("Inhibited while the source fires, and for %s after it resolves:", r.Inhibition.Hold)
	for n, all := 0, r.inhibitions(); n < len(all); n++ {
		i := all[n]
		if !i.hold && all[max(n-1, 0)].hold {
			line("Inhibited while the source fires:")
		}
		suffix := ""
		if len(i.equal) > 0 {
			suffix = " (equal: " + strings.Join(i.equal, ", ") + ")"
		}
		line("  %s%s", i.description, suffix)
	}
	line("")
	line("Longer group wait than that of the priority, so that the source fires first:")
	for _, p := range Priorities() {
		for _, a := range r.Alerts {
			if w := r.Wait(a.Name, p); slices.Contains(a.Priorities, p) && w > time.Duration(s.Policy.Priorities[p].GroupWait) {
				line("  %s as %s: %s", a.Name, p, model.Duration(w))
			}
		}
	}
	return b.String()
}

// priorityPolicy describes the policy of one priority in one team.
func (r *Routing) priorityPolicy(team, priority string, line func(string, ...any)) {
	t := r.Site.Policy.Priorities[priority]
	role := "initial"
	if priority == "P3" {
		role = "low_priority"
	}
	_, first := r.Site.contact(team, role)
	when := "at any time"
	if t.OfficeHours {
		when = "in office hours"
	}
	again := "not repeated"
	if t.RepeatInterval > 0 {
		again = fmt.Sprintf("repeated every %s until acknowledged", t.RepeatInterval)
	}
	line("  %s  notifies %s after %s, %s, %s (%s)", priority, first.Name, t.GroupWait, when, again, first.channelKinds())
	for _, l := range Levels() {
		if d := t.Delay(l.Role); d > 0 {
			_, c := r.Site.contact(team, l.Role)
			late := ""
			if t.OfficeHeadStart > 0 {
				late = fmt.Sprintf(", in office hours, from %s after they begin", t.OfficeHeadStart)
			}
			line("      %s  notifies %s if unacknowledged %s after it began to fire%s (%s)", l.Name, c.Name, model.Duration(d), late, c.channelKinds())
		}
	}
}

func (c *Contact) channelKinds() string {
	var kinds []string
	for _, ch := range c.Channels {
		kinds = append(kinds, ch.Kind)
	}
	return strings.Join(kinds, ", ")
}

package ack

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// Snapshot is the state of Alertmanager at one time: its alerts and silences.
type Snapshot struct {
	// Time is when the snapshot was fetched.
	Time time.Time
	// AlertmanagerStarted is the start time of the Alertmanager process.
	AlertmanagerStarted time.Time
	// Alerts are the firing alerts without escalations and reminders, the most urgent first.
	Alerts []Alert
	// Escalations are the alerts of the escalation rules: each is about another alert that is unacknowledged, or whose acknowledgement ends soon.
	Escalations []amclient.Alert
	// Silences are all silences of Alertmanager, in any state.
	Silences []amclient.Silence

	selectors []amclient.Selector // of the silences, by the same index
}

// Alert is a firing alert.
type Alert struct {
	amclient.Alert
	Identity
	// Silences are the active silences on the alert, and the active acknowledgements of its escalations: acknowledgements before others, the oldest first.
	Silences []*amclient.Silence
}

// Heartbeat reports whether the alert always fires, or notifies nobody: nobody can acknowledge it.
func (a *Alert) Heartbeat() bool { return a.Priority == HeartbeatPriority }

// Acknowledged reports whether somebody has acknowledged or silenced the alert. Every silence counts: the author of the
// silence knows of the alert, and a silenced alert must not page anybody.
func (a *Alert) Acknowledged() bool { return len(a.Silences) > 0 }

// Acknowledgement is the acknowledgement of the alert, or nil if it has none. Other silences do not count.
func (a *Alert) Acknowledgement() *amclient.Silence {
	if len(a.Silences) == 0 || !IsAcknowledgement(a.Silences[0]) {
		return nil
	}
	return a.Silences[0]
}

// acknowledgedUntil is when the last of its silences ends, unless the daemon renews one.
func (a *Alert) acknowledgedUntil() time.Time {
	return slices.MaxFunc(a.Silences, func(s, o *amclient.Silence) int { return s.EndsAt.Compare(o.EndsAt) }).EndsAt
}

// AcknowledgedAt is the start of the first silence on the alert, or the start of the alert if it was silenced before.
func (a *Alert) AcknowledgedAt() time.Time {
	first := slices.MinFunc(a.Silences, func(s, o *amclient.Silence) int { return s.StartsAt.Compare(o.StartsAt) }).StartsAt
	if first.Before(a.StartsAt) {
		return a.StartsAt
	}
	return first
}

// Fetch reads status, silences and alerts from Alertmanager, in this order: an alert fires before it is silenced, so that the alert of each listed
// silence is in the list of alerts, which is read later, unless the alert has resolved.
func Fetch(ctx context.Context, client *amclient.Client) (*Snapshot, error) {
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	silences, err := client.Silences(ctx)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Time: time.Now(), AlertmanagerStarted: status.Started, Silences: silences}
	alerts, err := client.Alerts(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.assignSilences(alerts)
}

// assignSilences fills in the alerts, each with its silences.
func (s *Snapshot) assignSilences(alerts []amclient.Alert) error {
	s.selectors = make([]amclient.Selector, len(s.Silences))
	for i := range s.Silences {
		var err error
		if s.selectors[i], err = amclient.Select(s.Silences[i].Matchers...); err != nil {
			return err
		}
	}
	escalations := map[Identity][]amclient.Alert{}
	for _, a := range alerts {
		if standsForSource(a.Labels) {
			s.Escalations = append(s.Escalations, a)
			escalations[IdentityOf(a.Labels)] = append(escalations[IdentityOf(a.Labels)], a)
		}
	}
	for _, a := range alerts {
		if standsForSource(a.Labels) {
			continue
		}
		alert := Alert{Alert: a, Identity: IdentityOf(a.Labels)}
		for i := range s.Silences {
			if s.Silences[i].Active() && (s.selectors[i].Matches(a.Labels) || s.matchesEscalation(i, escalations[alert.Identity])) {
				alert.Silences = append(alert.Silences, &s.Silences[i])
			}
		}
		slices.SortFunc(alert.Silences, compareSilences)
		s.Alerts = append(s.Alerts, alert)
	}
	slices.SortFunc(s.Alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(cmp.Or(a.Priority, "~"), cmp.Or(b.Priority, "~")), a.compare(b.Identity), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return nil
}

func compareSilences(a, b *amclient.Silence) int {
	rank := func(s *amclient.Silence) int {
		if IsAcknowledgement(s) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.StartsAt.Compare(b.StartsAt), cmp.Compare(a.ID, b.ID))
}

// matchesEscalation reports whether a silence, by its index, is an acknowledgement of one of the escalations: it acknowledges the alert that the
// escalation is about. Other silences on escalations, for example on a whole level, do not.
func (s *Snapshot) matchesEscalation(silence int, escalations []amclient.Alert) bool {
	return IsAcknowledgement(&s.Silences[silence]) && slices.ContainsFunc(escalations, func(e amclient.Alert) bool { return s.selectors[silence].Matches(e.Labels) })
}

// matched returns the firing alerts that a silence, by its index, matches, and those whose escalations it acknowledges. A heartbeat, which always
// fires, does not count: a silence that matches it would never end.
func (s *Snapshot) matched(silence int) []Identity {
	var matched []Identity
	for i := range s.Alerts {
		if a := &s.Alerts[i]; !a.Heartbeat() && s.selectors[silence].Matches(a.Labels) {
			matched = append(matched, a.Identity)
		}
	}
	for _, e := range s.Escalations {
		if s.matchesEscalation(silence, []amclient.Alert{e}) {
			matched = append(matched, IdentityOf(e.Labels))
		}
	}
	return matched
}

// index is the index of one of the snapshot's silences.
func (s *Snapshot) index(silence *amclient.Silence) int {
	return slices.IndexFunc(s.Silences, func(o amclient.Silence) bool { return o.ID == silence.ID })
}

// ending reports whether the holder of an alert's acknowledgement is being notified of its end.
func (s *Snapshot) ending(i Identity) bool {
	return slices.ContainsFunc(s.Escalations, func(e amclient.Alert) bool { return e.Labels[nameLabel] == EndingAlert && IdentityOf(e.Labels) == i })
}

// matchesName reports whether a silence, by its index, matches a firing alert with a name.
func (s *Snapshot) matchesName(silence int, name string) bool {
	return slices.ContainsFunc(s.Alerts, func(a Alert) bool { return a.Alertname == name && s.selectors[silence].Matches(a.Labels) })
}

package ack

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/amapi"
)

// Situation is what Alertmanager said at one moment.
type Situation struct {
	// Time is when it was asked.
	Time time.Time
	// Started is when Alertmanager began.
	Started time.Time
	// Alerts are those that fire, without escalations, the most urgent first.
	Alerts []Alert
	// Escalations are the alerts that say that another one is unacknowledged.
	Escalations []amapi.Alert
	// Silences are all that Alertmanager holds.
	Silences []amapi.Silence

	selectors []amapi.Selector // of the silences
}

// Alert is an alert that fires.
type Alert struct {
	amapi.Alert
	Identity
	// Silences are those in force on the alert, and acknowledgements of its escalations: acknowledgements before others, and the oldest first.
	Silences []*amapi.Silence
}

// Priority is the alert's, empty for an alert of somebody else's rules.
func (a *Alert) Priority() string { return a.Labels[priorityLabel] }

// Acknowledged reports whether somebody has acknowledged the alert. Every silence counts: whoever silenced an alert knows of it, and nobody is to
// be woken for an alert that is silenced.
func (a *Alert) Acknowledged() bool { return len(a.Silences) > 0 }

// Taken is the acknowledgement of the alert, or nil if there is none. Other silences are none.
func (a *Alert) Taken() *amapi.Silence {
	if len(a.Silences) == 0 || !IsAcknowledgement(a.Silences[0]) {
		return nil
	}
	return a.Silences[0]
}

// AcknowledgedAt is when the alert was acknowledged: when the first of its silences began, or the alert, when it was silenced before.
func (a *Alert) AcknowledgedAt() time.Time {
	first := slices.MinFunc(a.Silences, func(s, o *amapi.Silence) int { return s.StartsAt.Compare(o.StartsAt) }).StartsAt
	if first.Before(a.StartsAt) {
		return a.StartsAt
	}
	return first
}

// Look asks Alertmanager for everything. The order matters: the alert of a silence that is in the list fired before it, so it is in the
// list of alerts, which is read later, unless it has resolved.
func Look(ctx context.Context, client *amapi.Client) (*Situation, error) {
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	silences, err := client.Silences(ctx)
	if err != nil {
		return nil, err
	}
	s := &Situation{Time: time.Now(), Started: status.Started, Silences: silences}
	alerts, err := client.Alerts(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.arrange(alerts)
}

// arrange fills in the alerts, each with its silences.
func (s *Situation) arrange(alerts []amapi.Alert) error {
	s.selectors = make([]amapi.Selector, len(s.Silences))
	for i := range s.Silences {
		var err error
		if s.selectors[i], err = amapi.Select(s.Silences[i].Matchers...); err != nil {
			return err
		}
	}
	escalations := map[Identity][]amapi.Alert{}
	for _, a := range alerts {
		if isEscalation(a.Labels) {
			s.Escalations = append(s.Escalations, a)
			escalations[IdentityOf(a.Labels)] = append(escalations[IdentityOf(a.Labels)], a)
		}
	}
	for _, a := range alerts {
		if isEscalation(a.Labels) {
			continue
		}
		alert := Alert{Alert: a, Identity: IdentityOf(a.Labels)}
		for i := range s.Silences {
			if s.Silences[i].Active() && (s.selectors[i].Matches(a.Labels) || s.takes(i, escalations[alert.Identity])) {
				alert.Silences = append(alert.Silences, &s.Silences[i])
			}
		}
		slices.SortFunc(alert.Silences, compareSilences)
		s.Alerts = append(s.Alerts, alert)
	}
	slices.SortFunc(s.Alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(cmp.Or(a.Priority(), "~"), cmp.Or(b.Priority(), "~")), a.compare(b.Identity), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return nil
}

func compareSilences(a, b *amapi.Silence) int {
	rank := func(s *amapi.Silence) int {
		if IsAcknowledgement(s) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), a.StartsAt.Compare(b.StartsAt), cmp.Compare(a.ID, b.ID))
}

// takes reports whether a silence, by its place in the list, is the acknowledgement of an escalation: who takes that has the alert. Other silences
// on escalations, on a whole level for example, say nothing of an alert.
func (s *Situation) takes(silence int, escalations []amapi.Alert) bool {
	return IsAcknowledgement(&s.Silences[silence]) && slices.ContainsFunc(escalations, func(e amapi.Alert) bool { return s.selectors[silence].Matches(e.Labels) })
}

// covers reports whether a silence, by its place in the list, matches an alert that fires, or an escalation.
func (s *Situation) covers(silence int) bool {
	return slices.ContainsFunc(s.Alerts, func(a Alert) bool { return s.selectors[silence].Matches(a.Labels) }) || s.takes(silence, s.Escalations)
}

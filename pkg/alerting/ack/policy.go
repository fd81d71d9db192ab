package ack

import (
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// Policy is the part of the notification policy that is about acknowledgements.
type Policy struct {
	// ResolveGrace is the time within which an alert that fires again is the same incident: for so long its acknowledgement outlives it.
	ResolveGrace time.Duration
	// AckTimeout is, by priority, how long an acknowledgement is renewed. A priority without one has no limit.
	AckTimeout map[string]time.Duration
}

// limit is until when an acknowledgement of alerts is renewed: the timeout of the most urgent of them after its start. It is zero if there is no limit.
func (p *Policy) limit(s *amclient.Silence, alerts []Identity) time.Time {
	var first time.Time
	for _, a := range alerts {
		timeout := p.AckTimeout[a.Priority]
		if end := s.StartsAt.Add(timeout); timeout > 0 && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	return first
}

// End is when the acknowledgement of an alert ends although the alert still fires, also after further renewals. It is zero if nobody has acknowledged
// the alert, or the acknowledgement is renewed without a limit.
func (r *Renewer) End(s *Snapshot, a *Alert) time.Time {
	if a.Acknowledgement() == nil {
		return time.Time{}
	}
	var last time.Time
	for _, silence := range a.Silences {
		end := silence.EndsAt
		if i := s.index(silence); IsAcknowledgement(silence) && !s.matchesName(i, r.Heartbeat) {
			limit := r.Policy.limit(silence, s.matched(i))
			if limit.IsZero() {
				return time.Time{}
			}
			end = later(end, limit)
		}
		last = later(last, end)
	}
	return last
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

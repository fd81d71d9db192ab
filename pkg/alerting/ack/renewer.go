package ack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// Renewer renews acknowledgements while their alerts fire, as the policy allows, and expires them when the alerts have resolved. It must not be copied.
type Renewer struct {
	// Policy says when an acknowledgement ends although its alert fires, and how long it outlives an alert that is missing.
	Policy Policy
	// Length is the remaining duration that a renewed acknowledgement gets. It is renewed when a third of that has passed.
	Length time.Duration
	// Settle is how long after its start Alertmanager may lack alerts that Prometheus has not sent again yet.
	Settle time.Duration
	// Heartbeat is the name of an alert that always fires. While it is missing, or was last sent longer than HeartbeatAge ago, a missing alert
	// need not have resolved: Prometheus may be down. Empty: there is no heartbeat, and every missing alert counts as resolved.
	Heartbeat    string
	HeartbeatAge time.Duration

	held map[string]holding // by the ID of the silence; after a restart, an alert that is missing has its whole ResolveGrace again
}

// holding is what the renewer remembers of an active acknowledgement.
type holding struct {
	missingSince time.Time // since when no alert that it matches fires; zero while one does
	stopped      bool      // it is no longer renewed, and that is logged
}

// ErrIncomplete says that Alertmanager responds, but that its list of alerts may be incomplete.
var ErrIncomplete = errors.New("the list of firing alerts is incomplete")

// Incomplete returns an ErrIncomplete with the reason why a missing alert need not have resolved, or nil when the list of alerts is complete.
func (r *Renewer) Incomplete(s *Snapshot) error {
	if up := s.Time.Sub(s.AlertmanagerStarted); up < r.Settle {
		return fmt.Errorf("%w: Alertmanager started %s ago, and Prometheus sends all alerts again within %s", ErrIncomplete, up.Round(time.Second), r.Settle)
	}
	if r.Heartbeat == "" {
		return nil
	}
	var last time.Time
	for _, a := range s.Alerts {
		if a.Alertname == r.Heartbeat && a.UpdatedAt.After(last) {
			last = a.UpdatedAt
		}
	}
	switch age := s.Time.Sub(last); {
	case last.IsZero():
		return fmt.Errorf("%w: the alert %s, which always fires, is missing: no Prometheus with the rules sends to this Alertmanager", ErrIncomplete, r.Heartbeat)
	case age > r.HeartbeatAge:
		return fmt.Errorf("%w: the alert %s, which always fires, was last sent %s ago: Prometheus is down, or does not reach this Alertmanager", ErrIncomplete, r.Heartbeat, age.Round(time.Second))
	}
	return nil
}

// change is what happens to an acknowledgement.
type change struct {
	silence amclient.Silence
	action  action
}

type action string

const (
	renewal action = "renew"
	expiry  action = "end"                     // none of its alerts fires any more
	timeout action = "stop: policy"            // it is not renewed, because the policy ends it
	tooWide action = "stop: matches heartbeat" // it is not renewed, because it silences the heartbeat
)

// plan returns the changes to make. An acknowledgement is renewed while an alert that it matches fires, until the policy ends it, and expired when the
// list of alerts is complete and none that it matches has fired for ResolveGrace. While the list is incomplete, an acknowledgement without a firing
// alert is not changed, and expires by itself. One that also silences the heartbeat is not renewed: the heartbeat service would report an outage.
func (r *Renewer) plan(s *Snapshot) []change {
	incomplete := r.Incomplete(s) != nil
	var changes []change
	held := map[string]holding{}
	for i := range s.Silences {
		silence := s.Silences[i]
		if !silence.Active() || !IsAcknowledgement(&silence) {
			continue
		}
		h := r.held[silence.ID]
		matched := s.matched(i)
		switch {
		case len(matched) > 0:
			h.missingSince = time.Time{}
			if c, ok := r.renewal(s, i, matched); ok && (c.action == renewal || !h.stopped) {
				changes = append(changes, c)
				h.stopped = c.action != renewal
			}
		case incomplete:
			h.missingSince = time.Time{}
		default:
			if h.missingSince.IsZero() {
				h.missingSince = s.Time
			}
			if s.Time.Sub(h.missingSince) >= r.Policy.ResolveGrace {
				changes = append(changes, change{silence, expiry})
			}
		}
		held[silence.ID] = h
	}
	r.held = held
	return changes
}

// renewal returns the renewal of an acknowledgement whose alerts fire, when a third of its length has passed, or why it is not renewed.
func (r *Renewer) renewal(s *Snapshot, i int, matched []Identity) (change, bool) {
	silence := s.Silences[i]
	end, limit := s.Time.Add(r.Length), r.Policy.limit(&silence, matched)
	if !limit.IsZero() && limit.Before(end) {
		end = limit
	}
	switch {
	case silence.EndsAt.Sub(s.Time) >= r.Length*2/3:
		return change{}, false
	case s.matchesName(i, r.Heartbeat):
		return change{silence, tooWide}, true
	case !end.After(silence.EndsAt): // it lasts until the limit, or longer because its author asked for that
		return change{silence, timeout}, true
	}
	silence.EndsAt = end
	return change{silence, renewal}, true
}

// Run fetches a snapshot and makes the planned changes.
func (r *Renewer) Run(ctx context.Context, client *amclient.Client, log *slog.Logger) error {
	snapshot, err := Fetch(ctx, client)
	if err != nil {
		return err
	}
	var errs []error
	for _, change := range r.plan(snapshot) {
		log := log.With("silence", change.silence.ID, "author", change.silence.CreatedBy, "matchers", change.silence.Matchers)
		switch change.action {
		case expiry:
			err := client.ExpireSilence(ctx, change.silence.ID)
			if err == nil {
				log.Info("acknowledgement ended: the alert has resolved")
			}
			errs = append(errs, err)
		case timeout:
			log.Info("acknowledgement is no longer renewed: ack_timeout of the policy ends it, and the alert notifies and escalates again", "until", change.silence.EndsAt)
		case tooWide:
			log.Warn("acknowledgement is not renewed: it also silences the heartbeat", "until", change.silence.EndsAt)
		default:
			renewed, err := renew(ctx, client, change.silence)
			if err == nil && renewed {
				log.Debug("acknowledgement renewed", "until", change.silence.EndsAt)
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// renew extends a silence. A silence that somebody expires at the same moment must stay expired, but Alertmanager creates a new one: renew expires that.
func renew(ctx context.Context, client *amclient.Client, s amclient.Silence) (renewed bool, err error) {
	current, err := client.Silence(ctx, s.ID)
	if err != nil {
		return false, err
	}
	if !current.Active() || current.EndsAt.After(s.EndsAt) {
		return false, nil
	}
	id, err := client.SetSilence(ctx, s)
	if err != nil {
		return false, err
	}
	if id != s.ID {
		return false, client.ExpireSilence(ctx, id)
	}
	return true, nil
}

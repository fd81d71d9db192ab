package ack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// Renewer renews acknowledgements while their alerts fire, and expires them when the alerts have resolved.
type Renewer struct {
	// Length is the remaining duration that a renewed acknowledgement gets. It is renewed when a third of that has passed.
	Length time.Duration
	// Settle is how long after its start Alertmanager may lack alerts that Prometheus has not sent again yet.
	Settle time.Duration
	// Heartbeat is the name of an alert that always fires. While it is missing, or was last sent longer than HeartbeatAge ago, a missing alert
	// need not have resolved: Prometheus may be down. Empty: there is no heartbeat, and every missing alert counts as resolved.
	Heartbeat    string
	HeartbeatAge time.Duration
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

// change is the renewal or the expiry of an acknowledgement.
type change struct {
	silence amclient.Silence
	expire  bool // false: renew
}

// plan returns the changes to make. An acknowledgement is renewed while an alert that it matches fires, and expired when the list of alerts is
// complete and none that it matches fires. While the list is incomplete, an acknowledgement without a firing alert is not changed, and expires by itself.
func (r *Renewer) plan(s *Snapshot) []change {
	incomplete := r.Incomplete(s) != nil
	var changes []change
	for i := range s.Silences {
		silence := s.Silences[i]
		if !silence.Active() || !IsAcknowledgement(&silence) {
			continue
		}
		switch fires := s.matchesFiring(i); {
		case fires && silence.EndsAt.Sub(s.Time) < r.Length*2/3:
			silence.EndsAt = s.Time.Add(r.Length)
			changes = append(changes, change{silence: silence})
		case !fires && !incomplete:
			changes = append(changes, change{silence: silence, expire: true})
		}
	}
	return changes
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
		if change.expire {
			err := client.ExpireSilence(ctx, change.silence.ID)
			if err == nil {
				log.Info("acknowledgement ended: the alert has resolved")
			}
			errs = append(errs, err)
			continue
		}
		renewed, err := renew(ctx, client, change.silence)
		if err == nil && renewed {
			log.Debug("acknowledgement renewed", "until", change.silence.EndsAt)
		}
		errs = append(errs, err)
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

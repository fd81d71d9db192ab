package ack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/consignwatch/consignwatch/pkg/amapi"
)

// Keeping is how acknowledgements are kept.
type Keeping struct {
	// Length is how far ahead the end of an acknowledgement is kept while its alert fires. It is renewed when a third of it has passed.
	Length time.Duration
	// Settle is how long after the start of Alertmanager its list of alerts may lack some: those that were not sent again yet.
	Settle time.Duration
	// Heartbeat is the name of an alert that always fires. While it is missing, or was not sent for longer than HeartbeatAge, nothing is known
	// of what has resolved: Prometheus may be down. Empty: there is none, and every alert that is missing has resolved.
	Heartbeat    string
	HeartbeatAge time.Duration
}

// ErrBlind says that Alertmanager answers, but that its list of alerts may be incomplete.
var ErrBlind = errors.New("the list of firing alerts is incomplete")

// blind says why a missing alert need not have resolved, or nil when it has.
func (k *Keeping) blind(s *Situation) error {
	if up := s.Time.Sub(s.Started); up < k.Settle {
		return fmt.Errorf("%w: Alertmanager started %s ago, and Prometheus sends all alerts again within %s", ErrBlind, up.Round(time.Second), k.Settle)
	}
	if k.Heartbeat == "" {
		return nil
	}
	var last time.Time
	for _, a := range s.Alerts {
		if a.Alertname == k.Heartbeat && a.UpdatedAt.After(last) {
			last = a.UpdatedAt
		}
	}
	switch age := s.Time.Sub(last); {
	case last.IsZero():
		return fmt.Errorf("%w: the alert %s, which always fires, is missing: no Prometheus with the rules sends to this Alertmanager", ErrBlind, k.Heartbeat)
	case age > k.HeartbeatAge:
		return fmt.Errorf("%w: the alert %s, which always fires, was last sent %s ago: Prometheus is down, or does not reach this Alertmanager", ErrBlind, k.Heartbeat, age.Round(time.Second))
	}
	return nil
}

// step is one thing to do with an acknowledgement.
type step struct {
	silence amapi.Silence
	end     bool // otherwise it is renewed
}

// steps decides what has to be done. An acknowledgement is renewed while an alert that it matches fires, and ended when it is known that none
// does; when that is not known, it is left as it is, and ends by itself.
func (k *Keeping) steps(s *Situation) []step {
	blind := k.blind(s) != nil
	var steps []step
	for i := range s.Silences {
		silence := s.Silences[i]
		if !silence.Active() || !IsAcknowledgement(&silence) {
			continue
		}
		switch fires := s.covers(i); {
		case fires && silence.EndsAt.Sub(s.Time) < k.Length*2/3:
			silence.EndsAt = s.Time.Add(k.Length)
			steps = append(steps, step{silence: silence})
		case !fires && !blind:
			steps = append(steps, step{silence: silence, end: true})
		}
	}
	return steps
}

// keep looks, and does what has to be done.
func (k *Keeping) keep(ctx context.Context, client *amapi.Client, log *slog.Logger) error {
	situation, err := Look(ctx, client)
	if err != nil {
		return err
	}
	var errs []error
	for _, step := range k.steps(situation) {
		log := log.With("silence", step.silence.ID, "author", step.silence.CreatedBy, "matchers", step.silence.Matchers)
		if step.end {
			err := client.ExpireSilence(ctx, step.silence.ID)
			if err == nil {
				log.Info("acknowledgement ended: the alert has resolved")
			}
			errs = append(errs, err)
			continue
		}
		renewed, err := renew(ctx, client, step.silence)
		if err == nil && renewed {
			log.Debug("acknowledgement renewed", "until", step.silence.EndsAt)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// renew moves the end of a silence. Somebody may end it at the same moment, and then it must stay ended: Alertmanager would make a new one.
func renew(ctx context.Context, client *amapi.Client, s amapi.Silence) (renewed bool, err error) {
	now, err := client.Silence(ctx, s.ID)
	if err != nil {
		return false, err
	}
	if !now.Active() || now.EndsAt.After(s.EndsAt) {
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

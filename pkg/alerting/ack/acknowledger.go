package ack

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// Acknowledger acknowledges and unacknowledges alerts on behalf of a person.
type Acknowledger struct {
	Client *amclient.Client
	// Author is who acknowledges the alerts.
	Author string
	// Comment explains the acknowledgement to others on call. It may be empty.
	Comment string
	// Length is the duration of an acknowledgement that the daemon does not renew.
	Length time.Duration
	// Until, if it is set, is until when the acknowledgement lasts instead, also when the policy would end it before.
	Until time.Time
}

// States of a Result.
const (
	Acknowledged        = "acknowledged"
	AlreadyAcknowledged = "already acknowledged"
	Unacknowledged      = "unacknowledged"
)

// Result is the outcome for one alert.
type Result struct {
	Alert   Alert
	State   string
	Silence amclient.Silence // the acknowledgement
}

// Errors that a caller may want to distinguish.
var (
	ErrNoAlert         = errors.New("no firing alert matches")
	ErrAmbiguous       = errors.New("several alerts are firing")
	ErrNotAcknowledged = errors.New("no matching alert is acknowledged")
	ErrHeartbeat       = errors.New("an alert that always fires cannot be acknowledged: silenced, it would report to the heartbeat service that the monitoring is down")
)

// Acknowledge acknowledges each alert that the selection matches. An alert that is already acknowledged keeps its acknowledgement, and gets
// another one only if that one ends soon, or before the time that is asked for.
func (a *Acknowledger) Acknowledge(ctx context.Context, selection Selection) ([]Result, error) {
	snapshot, err := Fetch(ctx, a.Client)
	if err != nil {
		return nil, err
	}
	alerts, err := selection.from(snapshot)
	if err != nil {
		return nil, err
	}
	var results []Result
	created := map[Identity]amclient.Silence{} // by identity: alerts that differ in other labels only share one silence
	for _, alert := range alerts {
		if s := alert.Acknowledgement(); s != nil && !snapshot.ending(alert.Identity) && !alert.acknowledgedUntil().Before(a.Until) {
			results = append(results, Result{alert, AlreadyAcknowledged, *s})
			continue
		}
		s, ok := created[alert.Identity]
		if !ok {
			now := time.Now()
			s = amclient.Silence{
				Matchers: alert.matchers(),
				// Alertmanager replaces a start in the past by its own time. Our time, from a clock that is fast, would start the silence too late.
				StartsAt:  now.Add(-time.Hour),
				EndsAt:    now.Add(a.Length),
				CreatedBy: a.Author,
				Comment:   strings.TrimSpace(Prefix + " " + a.Comment),
			}
			if !a.Until.IsZero() {
				s.EndsAt = a.Until
			}
			if s.ID, err = a.Client.SetSilence(ctx, s); err != nil {
				return results, fmt.Errorf("%s: %w", alert.Identity, err)
			}
			created[alert.Identity] = s
		}
		results = append(results, Result{alert, Acknowledged, s})
	}
	return results, nil
}

// Unacknowledge expires the acknowledgements of the alerts that the selection matches. It does not change other silences.
func (a *Acknowledger) Unacknowledge(ctx context.Context, selection Selection) ([]Result, error) {
	snapshot, err := Fetch(ctx, a.Client)
	if err != nil {
		return nil, err
	}
	selection.acknowledged = true
	alerts, err := selection.from(snapshot)
	if err != nil {
		return nil, err
	}
	var results []Result
	var expired []string
	for _, alert := range alerts {
		for _, s := range alert.Silences {
			if !IsAcknowledgement(s) {
				continue
			}
			if !slices.Contains(expired, s.ID) {
				if err := a.Client.ExpireSilence(ctx, s.ID); err != nil {
					return results, fmt.Errorf("%s: %w", alert.Identity, err)
				}
				expired = append(expired, s.ID)
			}
			results = append(results, Result{alert, Unacknowledged, *s})
		}
	}
	return results, nil
}

// Selection selects alerts to acknowledge or unacknowledge.
type Selection struct {
	Selector amclient.Selector
	// All allows a selection without matchers to select every alert.
	All bool

	acknowledged bool // select acknowledged alerts only
}

// from returns the selected alerts of a snapshot. Heartbeats, which always fire, cannot be acknowledged.
func (s Selection) from(snapshot *Snapshot) ([]Alert, error) {
	var alerts, unacknowledged, heartbeats []Alert
	for _, a := range snapshot.Alerts {
		switch {
		case !s.matches(snapshot, &a):
		case a.Heartbeat():
			heartbeats = append(heartbeats, a)
		case s.acknowledged && a.Acknowledgement() == nil:
			unacknowledged = append(unacknowledged, a)
		default:
			alerts = append(alerts, a)
		}
	}
	switch {
	case len(alerts) == 0 && len(unacknowledged) > 0:
		return nil, fmt.Errorf("%w:%s", ErrNotAcknowledged, silencedOtherwise(unacknowledged))
	case len(alerts) == 0 && len(heartbeats) > 0 && len(s.Selector) > 0:
		return nil, fmt.Errorf("%w:%s", ErrHeartbeat, list(heartbeats))
	case len(alerts) == 0 && len(snapshot.Alerts) == 0:
		return nil, fmt.Errorf("%w: Alertmanager has no alerts", ErrNoAlert)
	case len(alerts) == 0:
		return nil, fmt.Errorf("%w; `consignwatch ack --list` shows the firing alerts", ErrNoAlert)
	case len(alerts) > 1 && len(s.Selector) == 0 && !s.All:
		return nil, fmt.Errorf("%w: add matchers, or --all:%s", ErrAmbiguous, list(alerts))
	}
	return alerts, nil
}

// matches reports whether the selector matches an alert, or an escalation of the alert: an escalation is what the next level was paged for.
func (s Selection) matches(snapshot *Snapshot, a *Alert) bool {
	return s.Selector.Matches(a.Labels) || slices.ContainsFunc(snapshot.Escalations, func(e amclient.Alert) bool {
		return IdentityOf(e.Labels) == a.Identity && s.Selector.Matches(e.Labels)
	})
}

func silencedOtherwise(alerts []Alert) string {
	var b strings.Builder
	for _, a := range alerts {
		fmt.Fprintf(&b, "\n  %s", a.Identity)
		for _, s := range a.Silences {
			fmt.Fprintf(&b, ": silenced by %s (%s); to end the silence: amtool silence expire %s", s.CreatedBy, s.Comment, s.ID)
		}
	}
	return b.String()
}

func list(alerts []Alert) string {
	var b strings.Builder
	for _, a := range alerts {
		fmt.Fprintf(&b, "\n  %s", a.Identity)
	}
	return b.String()
}

var argument = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)(=~|!~|!=|=)(.*)$`)

// ParseMatchers parses command line arguments: label=value, label!=value, label=~regex or label!~regex, with or without quotes around the
// value. A first argument without an operator is the alertname. An alert has to match all of them.
func ParseMatchers(arguments ...string) (amclient.Selector, error) {
	var matchers []amclient.Matcher
	for i, text := range arguments {
		parts := argument.FindStringSubmatch(text)
		switch {
		case parts != nil:
			value := unquoted(parts[3])
			matchers = append(matchers, amclient.Matcher{Name: parts[1], Value: value, IsRegex: strings.HasSuffix(parts[2], "~"), IsEqual: parts[2][0] == '='})
		case i == 0 && text != "" && !strings.ContainsAny(text, `=!~{}"' `):
			matchers = append(matchers, amclient.Matcher{Name: nameLabel, Value: text, IsEqual: true})
		default:
			return nil, fmt.Errorf("%q is not a matcher like client=north, alertname=~\"Shop.*\" or priority!=P3", text)
		}
	}
	return amclient.Select(matchers...)
}

// unquoted removes the quotes of a value: double quotes with escapes, as Alertmanager and our messages write them, or single quotes.
func unquoted(value string) string {
	if len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
		return value
	}
	if plain, err := strconv.Unquote(value); err == nil && value[0] == '"' {
		return plain
	}
	return value[1 : len(value)-1] // also a regular expression, which keeps its own escapes
}

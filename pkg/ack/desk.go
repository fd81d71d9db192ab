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

	"github.com/consignwatch/consignwatch/pkg/amapi"
)

// Desk is where a person acknowledges and unacknowledges alerts.
type Desk struct {
	Client *amapi.Client
	// Author is who acknowledges the alerts.
	Author string
	// Comment is for the others. It may be empty.
	Comment string
	// Length is how long the acknowledgement lasts when nobody renews it.
	Length time.Duration
}

// What happened to an alert.
const (
	TakenNow     = "acknowledged"
	TakenAlready = "already acknowledged"
	GivenBack    = "unacknowledged"
)

// Outcome is what happened to one alert.
type Outcome struct {
	Alert   Alert
	What    string
	Silence amapi.Silence // the acknowledgement
}

// Errors of the desk that a caller may want to tell apart.
var (
	ErrNoAlert   = errors.New("no firing alert matches")
	ErrAmbiguous = errors.New("several alerts are firing")
	ErrNotTaken  = errors.New("no matching alert is acknowledged")
)

// Take acknowledges each alert that the selection matches. An alert that is acknowledged already stays as it is.
func (d *Desk) Take(ctx context.Context, selection Selection) ([]Outcome, error) {
	situation, err := Look(ctx, d.Client)
	if err != nil {
		return nil, err
	}
	alerts, err := selection.of(situation)
	if err != nil {
		return nil, err
	}
	var outcomes []Outcome
	taken := map[Identity]amapi.Silence{} // alerts that differ in other labels only need no second silence
	for _, a := range alerts {
		if s := a.Taken(); s != nil {
			outcomes = append(outcomes, Outcome{a, TakenAlready, *s})
			continue
		}
		s, ok := taken[a.Identity]
		if !ok {
			now := time.Now()
			s = amapi.Silence{
				Matchers: a.matchers(),
				// Alertmanager makes it its own present: with ours, a clock that is fast would let the silence begin too late.
				StartsAt:  now.Add(-time.Hour),
				EndsAt:    now.Add(d.Length),
				CreatedBy: d.Author,
				Comment:   strings.TrimSpace(Prefix + " " + d.Comment),
			}
			if s.ID, err = d.Client.SetSilence(ctx, s); err != nil {
				return outcomes, fmt.Errorf("%s: %w", a.Identity, err)
			}
			taken[a.Identity] = s
		}
		outcomes = append(outcomes, Outcome{a, TakenNow, s})
	}
	return outcomes, nil
}

// GiveBack ends the acknowledgements of the alerts that the selection matches. Silences that are no acknowledgements are left alone.
func (d *Desk) GiveBack(ctx context.Context, selection Selection) ([]Outcome, error) {
	situation, err := Look(ctx, d.Client)
	if err != nil {
		return nil, err
	}
	selection.taken = true
	alerts, err := selection.of(situation)
	if err != nil {
		return nil, err
	}
	var outcomes []Outcome
	var ended []string
	for _, a := range alerts {
		for _, s := range a.Silences {
			if !IsAcknowledgement(s) {
				continue
			}
			if !slices.Contains(ended, s.ID) {
				if err := d.Client.ExpireSilence(ctx, s.ID); err != nil {
					return outcomes, fmt.Errorf("%s: %w", a.Identity, err)
				}
				ended = append(ended, s.ID)
			}
			outcomes = append(outcomes, Outcome{a, GivenBack, *s})
		}
	}
	return outcomes, nil
}

// Selection says which alerts are meant.
type Selection struct {
	Selector amapi.Selector
	// All allows a selection without matchers to mean every alert.
	All bool

	taken bool // only those that are acknowledged
}

// of selects from the firing alerts; heartbeats, which always fire, cannot be acknowledged.
func (s Selection) of(situation *Situation) ([]Alert, error) {
	var alerts, free []Alert
	for _, a := range situation.Alerts {
		switch {
		case a.Priority() == "none", !s.matches(situation, &a):
		case s.taken && a.Taken() == nil:
			free = append(free, a)
		default:
			alerts = append(alerts, a)
		}
	}
	switch {
	case len(alerts) == 0 && len(free) > 0:
		return nil, fmt.Errorf("%w:%s", ErrNotTaken, silencedOtherwise(free))
	case len(alerts) == 0 && len(situation.Alerts) == 0:
		return nil, fmt.Errorf("%w: Alertmanager has no alerts", ErrNoAlert)
	case len(alerts) == 0:
		return nil, fmt.Errorf("%w; `consignwatch ack --list` shows the firing alerts", ErrNoAlert)
	case len(alerts) > 1 && len(s.Selector) == 0 && !s.All:
		return nil, fmt.Errorf("%w: add matchers, or --all:%s", ErrAmbiguous, list(alerts))
	}
	return alerts, nil
}

// matches reports whether an alert is selected: by its own labels, or by those of an escalation of it, which somebody was paged for.
func (s Selection) matches(situation *Situation, a *Alert) bool {
	return s.Selector.Matches(a.Labels) || slices.ContainsFunc(situation.Escalations, func(e amapi.Alert) bool {
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

// ParseMatchers reads matchers as people type them: label=value, label!=value, label=~regex, label!~regex, the value in quotes or not, and a
// first argument without an operator for the name of the alert. All of them have to match.
func ParseMatchers(arguments ...string) (amapi.Selector, error) {
	var matchers []amapi.Matcher
	for i, text := range arguments {
		parts := argument.FindStringSubmatch(text)
		switch {
		case parts != nil:
			value := unquoted(parts[3])
			matchers = append(matchers, amapi.Matcher{Name: parts[1], Value: value, IsRegex: strings.HasSuffix(parts[2], "~"), IsEqual: parts[2][0] == '='})
		case i == 0 && text != "" && !strings.ContainsAny(text, `=!~{}"' `):
			matchers = append(matchers, amapi.Matcher{Name: nameLabel, Value: text, IsEqual: true})
		default:
			return nil, fmt.Errorf("%q is not a matcher like client=north, alertname=~\"Shop.*\" or priority!=P3", text)
		}
	}
	return amapi.Select(matchers...)
}

// unquoted takes the quotes off a value: double ones with escapes, as messages and Alertmanager write them, or single ones.
func unquoted(value string) string {
	if len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
		return value
	}
	if plain, err := strconv.Unquote(value); err == nil && value[0] == '"' {
		return plain
	}
	return value[1 : len(value)-1] // also a regular expression, whose escapes are its own
}

package drill

import (
	"context"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/amapi"
)

// fresh is how old an answer may be that drills share: younger than the time between two looks.
const fresh = 400 * time.Millisecond

// shared is an answer that drills that run at the same time share: Alertmanager takes only a few questions at once.
type shared[T any] struct {
	mutex  sync.Mutex
	asked  time.Time
	answer T
}

// get asks when the last answer is too old.
func (s *shared[T]) get(ask func() (T, error)) (T, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if now := time.Now(); now.Sub(s.asked) > fresh {
		answer, err := ask()
		if err != nil {
			return answer, err
		}
		s.answer, s.asked = answer, now
	}
	return s.answer, nil
}

// groups remembers when alerts were in Alertmanager, by what they are grouped by there.
type groups struct {
	mutex sync.Mutex
	stays map[group]map[stay]span
}

type group struct{ alert, client, component string }

func groupOf(labels map[string]string) group {
	return group{labels["alertname"], labels["client"], labels["component"]}
}

// stay is one firing of an alert.
type stay struct {
	fingerprint string
	startsAt    time.Time
}

type span struct{ first, last time.Time }

// note notes who is there now.
func (g *groups) note(alerts []amapi.Alert, now time.Time) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.stays == nil {
		g.stays = map[group]map[stay]span{}
	}
	for _, a := range alerts {
		key, this := groupOf(a.Labels), stay{a.Fingerprint, a.StartsAt}
		if g.stays[key] == nil {
			g.stays[key] = map[stay]span{}
		}
		seen, ok := g.stays[key][this]
		if !ok {
			seen.first = now
		}
		seen.last = now
		g.stays[key][this] = seen
	}
}

// joined reports whether an alert that began to fire at a time came into a group that was there: one that had another alert less than a while before.
// It is told at the group's next interval, and not after its wait.
func (g *groups) joined(labels map[string]string, startsAt time.Time, while time.Duration) bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for other, seen := range g.stays[groupOf(labels)] {
		if other.startsAt.Before(startsAt) && seen.first.Before(startsAt) && seen.last.After(startsAt.Add(-while)) {
			return true
		}
	}
	return false
}

// alertsThere are the alerts that Alertmanager has.
func (s *Stage) alertsThere(ctx context.Context) ([]amapi.Alert, error) {
	return s.there.get(func() ([]amapi.Alert, error) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		alerts, err := s.client.Alerts(ctx)
		if err == nil {
			s.groups.note(alerts, time.Now())
		}
		return alerts, err
	})
}

package drill

import (
	"context"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// maxAge is how long a cached response is used: less than the time between two polls.
const maxAge = 400 * time.Millisecond

// cached is a response that drills running at the same time share: Alertmanager serves only a few requests at once.
type cached[T any] struct {
	mu      sync.Mutex
	fetched time.Time
	value   T
}

// get returns the cached value, or fetches it if that is too old.
func (s *cached[T]) get(fetch func() (T, error)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.fetched) > maxAge {
		value, err := fetch()
		if err != nil {
			return value, err
		}
		s.value, s.fetched = value, now
	}
	return s.value, nil
}

// groupHistory records when alerts were in Alertmanager, by the labels that Alertmanager groups them by.
type groupHistory struct {
	mu        sync.Mutex
	instances map[groupKey]map[alertInstance]seenInterval
}

type groupKey struct{ alert, client, component string }

func groupOf(labels map[string]string) groupKey {
	return groupKey{labels["alertname"], labels["client"], labels["component"]}
}

// alertInstance is an alert from when it fires until it resolves.
type alertInstance struct {
	fingerprint string
	startsAt    time.Time
}

type seenInterval struct{ first, last time.Time }

// record records which alerts are in Alertmanager now.
func (g *groupHistory) record(alerts []amclient.Alert, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.instances == nil {
		g.instances = map[groupKey]map[alertInstance]seenInterval{}
	}
	for _, a := range alerts {
		key, instance := groupOf(a.Labels), alertInstance{a.Fingerprint, a.StartsAt}
		if g.instances[key] == nil {
			g.instances[key] = map[alertInstance]seenInterval{}
		}
		seen, ok := g.instances[key][instance]
		if !ok {
			seen.first = now
		}
		seen.last = now
		g.instances[key][instance] = seen
	}
}

// joined reports whether an alert that began to fire at startsAt joined an existing group: one that had another alert less than window before. Such an
// alert is notified after the group_interval, and not after the group_wait.
func (g *groupHistory) joined(labels map[string]string, startsAt time.Time, window time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for other, seen := range g.instances[groupOf(labels)] {
		if other.startsAt.Before(startsAt) && seen.first.Before(startsAt) && seen.last.After(startsAt.Add(-window)) {
			return true
		}
	}
	return false
}

// alertsInAlertmanager lists the alerts of Alertmanager, from the cache if possible.
func (e *Environment) alertsInAlertmanager(ctx context.Context) ([]amclient.Alert, error) {
	return e.alertmanagerAlerts.get(func() ([]amclient.Alert, error) {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		alerts, err := e.client.Alerts(ctx)
		if err == nil {
			e.groups.record(alerts, time.Now())
		}
		return alerts, err
	})
}

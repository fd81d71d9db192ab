//go:build acceptance

package acceptance

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/test/stack"
)

// TestAQuietDayWakesNobody lets a healthy platform live from noon to noon, faster than in life: a sale with its rush in the evening, and a night in
// which nobody is there. All rules are on, with windows as short as the day is, and nothing may fire but the Watchdog, whatever its priority.
func TestAQuietDayWakesNobody(t *testing.T) {
	const (
		speed = 240
		day   = 24 * time.Hour / speed
	)
	state := runQuickDemo(t, demo.Config{Clients: 6, Events: 12, Items: 3000, Seed: 1, Speed: speed, Flawless: true, Nights: true})
	awaitHealth(t, state, func() bool { return len(stack.Values(t, state, "up == 0")) == 0 })
	for _, alert := range moving(t, state, func() []string { return live(t, state, speed, day) }) {
		t.Errorf("%s fires", alert)
	}
}

// live watches a day go by, and says what has fired. Whoever uses the platform has to be many and few in it.
func live(t *testing.T, state demo.State, speed time.Duration, day time.Duration) (fired []string) {
	t.Helper()
	const people = `sum(rate(consign_api_requests_total{route!="/healthz"}[10s]))`
	begin := time.Now()
	most, least := 0.0, math.Inf(1) // requests of people in a second
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for time.Since(begin) < day {
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-tick.C:
		}
		for alert := range firing(t, state) {
			if !slices.Contains(fired, alert) {
				fired = append(fired, alert)
				t.Logf("%s fires, %v into the day", alert, (time.Since(begin) * speed).Round(time.Minute))
			}
		}
		for _, requests := range stack.Query(t, state, people) {
			most, least = max(most, requests.Value), min(least, requests.Value)
		}
	}
	if most < 5 || least > most/20 {
		t.Errorf("people made %.1f requests a second at most and %.2f at least: that is no day with a rush and a night", most, least)
	}
	t.Logf("requests a second: %.1f at most, %.2f at least", most, least)
	return fired
}

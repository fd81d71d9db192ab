package events

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
)

// loadAggregator makes an Aggregator of the shipped mapping.
func loadAggregator(t *testing.T) *aggregate.Aggregator {
	t.Helper()
	m, _, err := loadMapping("")
	if err != nil {
		t.Fatal(err)
	}
	a, err := aggregate.New(m, aggregate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A scraper that does not read its response keeps the others waiting until its own timeout, and no longer. Its response delivers nothing afterwards.
func TestAScrapeKeepsTheNextOneWaitingUntilItsTimeout(t *testing.T) {
	for timeout, want := range map[string]time.Duration{
		"1": time.Second, "0.25": 250 * time.Millisecond, "": maxScrapeDuration, "-1": maxScrapeDuration, "NaN": maxScrapeDuration, "3600": maxScrapeDuration,
	} {
		t.Run("timeout="+timeout, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := loadAggregator(t)
				first, err := a.StartScrape(time.Now(), 0) // which is empty
				if err != nil {
					t.Fatal(err)
				}
				first.Delivered()
				s := newGatherer(a, []string{"main"})
				s.consumerMetrics, s.lease = prometheus.NewRegistry(), &lease{}
				deliveries := 0
				s.deliver = func([]aggregate.Position) { deliveries++ }
				request := httptest.NewRequest(http.MethodGet, "/metrics?scraper=main", nil)
				request.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", timeout)
				_, settle := s.Gather(request)
				time.Sleep(want - time.Nanosecond)
				synctest.Wait()
				if s.deliveryMu.TryLock() {
					t.Fatalf("the next scrape may begin before %v", want)
				}
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				if !s.deliveryMu.TryLock() {
					t.Fatalf("the next scrape may not begin after %v", want)
				}
				s.deliveryMu.Unlock()
				settle(true)
				if deliveries != 0 {
					t.Error("a scrape response that was given up is delivered")
				}
			})
		})
	}
}

// Between the beginning of a session and the answer to its first heartbeat there is no lease. A scrape in that moment gets the first exposition, which is empty,
// and the one after it is not.
func TestTheFirstScrapeIsEmptyWithoutALease(t *testing.T) {
	for _, exact := range []bool{false, true} {
		s := newGatherer(loadAggregator(t), []string{"main"})
		s.consumerMetrics, s.exact, s.deliver = prometheus.NewRegistry(), exact, func([]aggregate.Position) {}
		scrape := func() int {
			families, settle := s.Gather(httptest.NewRequest(http.MethodGet, "/metrics?scraper=main", nil))
			settle(true)
			return len(families)
		}
		s.lease = &lease{active: true}
		if got := scrape(); got != 0 {
			t.Errorf("exact=%v: the first scrape response has %d families, want none", exact, got)
		}
		s.lease = &lease{active: true, until: time.Now().Add(time.Hour)}
		if got := scrape(); got == 0 {
			t.Errorf("exact=%v: the second scrape response is empty", exact)
		}
	}
}

package events

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// stream serves what the ledger holds, and remembers what was delivered.
type stream struct {
	ledger   *Ledger
	lease    *lease
	own      *prometheus.Registry // what the consumer counts about itself
	scrapers []string
	exact    bool             // Prometheus knows how far the stream was counted
	deliver  func([]Position) // told the offsets that a scrape has delivered
	start    func()
	linger   func(ctx context.Context)

	// gate is held from the moment a scrape freezes what was counted until it is settled, and while partitions are let
	// go: the two must not cross.
	gate sync.Mutex

	mu       sync.Mutex
	scraped  chan struct{} // closed at the next delivery
	last     time.Time     // when the last delivered scrape began
	interval time.Duration // between the last two
}

func newStream(l *Ledger, scrapers []string) *stream {
	return &stream{ledger: l, scrapers: scrapers, scraped: make(chan struct{})}
}

func (s *stream) Start() { s.start() }

func (s *stream) Linger(ctx context.Context) { s.linger(ctx) }

// Scrape delivers to the scrapers that the configuration names, when they ask for the whole page. Everybody else
// sees what was delivered before.
func (s *stream) Scrape(r *http.Request) ([]*dto.MetricFamily, func(written bool)) {
	if !s.counts(r) {
		return s.with(s.ledger.Page(time.Now())), func(bool) {}
	}
	s.gate.Lock()
	now := time.Now()
	if !s.lease.valid(now) && !s.ledger.Anew() { // the first page is empty, with a lease and without
		defer s.gate.Unlock()
		if s.exact { // somebody else may have counted what was shown before and has not arrived
			return s.with(nil), func(bool) {}
		}
		return s.with(s.ledger.Page(now)), func(bool) {}
	}
	timeout := timeoutOf(r)
	scrape, err := s.ledger.Begin(now, timeout)
	if err != nil { // cannot be: the gate lets one scrape in at a time
		defer s.gate.Unlock()
		return s.with(s.ledger.Page(now)), func(bool) {}
	}
	var once sync.Once
	settle := func(written bool) {
		once.Do(func() {
			defer s.gate.Unlock()
			if !written {
				scrape.Unknown()
				return
			}
			s.deliver(scrape.Delivered())
			s.arrived(now)
		})
	}
	// A scraper that does not read must not keep the gate: after its own time is up it does not take the page any more.
	late := time.AfterFunc(cmp.Or(timeout, maxPatience), func() { settle(false) })
	return s.with(scrape.Families), func(written bool) {
		late.Stop()
		settle(written)
	}
}

// maxPatience is how long a scrape may take at most, and when it does not say.
const maxPatience = time.Minute

// timeoutOf is how long a scraper waits for a page, 0 when it does not say.
func timeoutOf(r *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, maxPatience.Seconds()) * float64(time.Second))
}

func (s *stream) counts(r *http.Request) bool {
	q := r.URL.Query()
	return r.Method == http.MethodGet && slices.Contains(s.scrapers, q.Get("scraper")) && !q.Has("name[]")
}

// with adds what the consumer counts about itself.
func (s *stream) with(families []*dto.MetricFamily) []*dto.MetricFamily {
	own, _ := s.own.Gather() // plain counters: they cannot fail
	return append(families, own...)
}

func (s *stream) arrived(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() {
		s.interval = at.Sub(s.last)
	}
	s.last = at
	close(s.scraped)
	s.scraped = make(chan struct{})
}

// next returns a channel that is closed at the next delivery, and how long that should take at most: nil and 0 when no
// scraper has ever come.
func (s *stream) next() (<-chan struct{}, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.last.IsZero():
		return nil, 0
	case s.interval == 0:
		return s.scraped, time.Minute
	}
	return s.scraped, 5 * s.interval / 2
}

// Refused tells what became "other" or found no room.
func (s *stream) Refused(f func(metric, label string, n uint64)) {
	s.ledger.Rejected(f)
	s.ledger.Dropped(func(metric string, n uint64) { f(metric, "", n) })
}

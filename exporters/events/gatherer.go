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

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
)

// gatherer exposes the Aggregator's series, and keeps track of which scrapes were delivered. It implements
// exporter.TransactionalGatherer.
type gatherer struct {
	aggregator      *aggregate.Aggregator
	lease           *lease
	consumerMetrics *prometheus.Registry // the consumer's metrics about itself
	scrapers        []string
	exact           bool                       // the start offsets come from Prometheus
	deliver         func([]aggregate.Position) // called with the offsets that a scrape has delivered
	start           func()
	drain           func(ctx context.Context)

	// deliveryMu is held from the moment a scrape freezes the shards until it is finished, and while partitions are revoked:
	// the two must not overlap.
	deliveryMu sync.Mutex

	mu         sync.Mutex
	scraped    chan struct{} // closed at the next delivery
	lastScrape time.Time     // when the last delivered scrape began
	interval   time.Duration // between the last two
}

func newGatherer(a *aggregate.Aggregator, scrapers []string) *gatherer {
	return &gatherer{aggregator: a, scrapers: scrapers, scraped: make(chan struct{})}
}

func (g *gatherer) Start() { g.start() }

func (g *gatherer) Drain(ctx context.Context) { g.drain(ctx) }

// Gather delivers to the scrapers that the configuration names, when they ask for all metrics. Other readers get the
// acknowledged values.
func (g *gatherer) Gather(r *http.Request) ([]*dto.MetricFamily, func(delivered bool)) {
	if !g.isScraper(r) {
		return g.withConsumerMetrics(g.aggregator.Acknowledged(time.Now())), func(bool) {}
	}
	g.deliveryMu.Lock()
	now := time.Now()
	if !g.lease.valid(now) && !g.aggregator.AwaitingFirstScrape() { // the first exposition is empty, with a lease and without
		defer g.deliveryMu.Unlock()
		if g.exact { // another process may have counted records that this one has exposed and not delivered
			return g.withConsumerMetrics(nil), func(bool) {}
		}
		return g.withConsumerMetrics(g.aggregator.Acknowledged(now)), func(bool) {}
	}
	timeout := scrapeTimeout(r)
	scrape, err := g.aggregator.StartScrape(now, timeout)
	if err != nil { // cannot happen: deliveryMu admits one scrape at a time
		defer g.deliveryMu.Unlock()
		return g.withConsumerMetrics(g.aggregator.Acknowledged(now)), func(bool) {}
	}
	var once sync.Once
	done := func(delivered bool) {
		once.Do(func() {
			defer g.deliveryMu.Unlock()
			if !delivered {
				scrape.Unknown()
				return
			}
			g.deliver(scrape.Delivered())
			g.recordDelivery(now)
		})
	}
	// A scraper that does not read must not keep deliveryMu: after its own timeout it does not accept the response any more.
	expiry := time.AfterFunc(cmp.Or(timeout, maxScrapeDuration), func() { done(false) })
	return g.withConsumerMetrics(scrape.Families), func(delivered bool) {
		expiry.Stop()
		done(delivered)
	}
}

// maxScrapeDuration is how long a scrape may take at most, and the timeout of a scraper that sends none.
const maxScrapeDuration = time.Minute

// scrapeTimeout is the timeout that a scraper sends, 0 when it sends none.
func scrapeTimeout(r *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, maxScrapeDuration.Seconds()) * float64(time.Second))
}

func (g *gatherer) isScraper(r *http.Request) bool {
	q := r.URL.Query()
	return r.Method == http.MethodGet && slices.Contains(g.scrapers, q.Get("scraper")) && !q.Has("name[]")
}

// withConsumerMetrics adds the consumer's metrics about itself.
func (g *gatherer) withConsumerMetrics(families []*dto.MetricFamily) []*dto.MetricFamily {
	counters, _ := g.consumerMetrics.Gather() // plain counters: they cannot fail
	return append(families, counters...)
}

func (g *gatherer) recordDelivery(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.lastScrape.IsZero() {
		g.interval = at.Sub(g.lastScrape)
	}
	g.lastScrape = at
	close(g.scraped)
	g.scraped = make(chan struct{})
}

// nextDelivery returns a channel that is closed at the next delivery, and how long that should take at most: nil and 0
// when no scraper has ever come.
func (g *gatherer) nextDelivery() (<-chan struct{}, time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.lastScrape.IsZero():
		return nil, 0
	case g.interval == 0:
		return g.scraped, time.Minute
	}
	return g.scraped, 5 * g.interval / 2
}

// Rejected reports the numbers of values that became "other", and of series that found no room.
func (g *gatherer) Rejected(f func(metric, label string, n uint64)) {
	g.aggregator.Rejected(f)
	g.aggregator.Dropped(func(metric string, n uint64) { f(metric, "", n) })
}

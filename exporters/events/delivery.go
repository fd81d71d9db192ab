package events

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/time/rate"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

// delivery hands the series of the Aggregator to the scrapers, and decides which responses count as delivered. It owns what
// that depends on: the turn, which one response has at a time, the lease, and the commits. It implements
// exporter.TransactionalGatherer.
//
// Without an offsetSource a response is delivered when it was written to a scraper that is known. With one it is delivered
// once Prometheus shows its offsets, which the next scrape asks: what somebody else was given changes nothing.
type delivery struct {
	aggregator *aggregate.Aggregator
	offsets    *offsetSource // nil when the committed offsets of Kafka are the start offsets
	scrapers   []Scraper
	log        *slog.Logger
	strangers  rate.Sometimes      // lines about requests by somebody else under the name of a scraper
	own        prometheus.Gatherer // the consumer's metrics about itself
	lease      *lease
	commit     func([]aggregate.Position) // does not block
	start      func()
	drain      func(ctx context.Context)

	// turn is held from the moment a scrape freezes the shards until it is known whether its response was written, where that
	// decides, and while partitions are revoked: the two must not overlap.
	turn chan struct{}

	mu        sync.Mutex
	exposed   []aggregate.Position // by the last response, and not known to be delivered; changes during a turn only
	exposedAt time.Time
	scraped   chan struct{}        // closed at the next scrape that was answered
	last      map[string]time.Time // when the last such scrape of each scraper began
	longest   time.Duration        // between two scrapes of a scraper, of late
}

func newDelivery(c *Config, a *aggregate.Aggregator, offsets *offsetSource, log *slog.Logger) *delivery {
	return &delivery{
		aggregator: a, offsets: offsets, scrapers: c.Scrapers, log: log, strangers: rate.Sometimes{First: 1, Interval: time.Minute}, lease: newLease(time.Duration(c.Kafka.SessionTimeout)),
		turn: make(chan struct{}, 1), scraped: make(chan struct{}), last: map[string]time.Time{},
	}
}

func (d *delivery) Start() { d.start() }

func (d *delivery) Drain(ctx context.Context) { d.drain(ctx) }

// reset sets all counters to 0. The caller has the turn, or nothing is consumed yet.
func (d *delivery) reset(now time.Time) {
	d.aggregator.Reset(now)
	d.expose(nil, now)
}

// enter takes the turn, unless ctx ends before.
func (d *delivery) enter(ctx context.Context) bool {
	select {
	case d.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *delivery) leave() { <-d.turn }

// Gather answers the scrapers that the configuration names, when they ask for all metrics, with all that is counted. Other
// readers get the acknowledged values.
func (d *delivery) Gather(r *http.Request) ([]*dto.MetricFamily, func(written bool)) {
	arrived := time.Now()
	nothing := func(bool) {}
	scraper, ok := d.scraper(r)
	if !ok {
		return d.withOwn(d.aggregator.Acknowledged(arrived)), nothing
	}
	var has ingestion
	if d.offsets != nil {
		has = d.ask(r.Context())
	}
	if !d.enter(r.Context()) { // the scraper has gone, or does not accept a response any more
		return nil, nothing
	}
	d.confirm(has)
	now := time.Now()
	if !d.lease.valid(now) && !d.aggregator.AwaitingFirstScrape() { // the first response is empty, with a lease and without
		defer d.leave()
		if d.offsets != nil { // another process may have counted records that this one has exposed and not delivered
			return d.withOwn(nil), nothing
		}
		return d.withOwn(d.aggregator.Acknowledged(now)), nothing
	}
	scrape, err := d.aggregator.StartScrape(now, web.ScrapeTimeout(r))
	if err != nil { // cannot happen: one scrape at a time has the turn
		defer d.leave()
		return d.withOwn(d.aggregator.Acknowledged(now)), nothing
	}
	families := d.withOwn(scrape.Families)
	if d.offsets != nil { // whether it arrives, confirm finds out: nobody has to wait until it has
		defer d.leave()
		d.expose(scrape.Exposed(), now)
		return families, func(written bool) {
			if written {
				d.answered(scraper, now)
			}
		}
	}
	d.aggregator.EndFirstScrape()
	return families, func(written bool) {
		defer d.leave()
		if !written {
			scrape.Unknown()
			return
		}
		d.commit(scrape.Delivered())
		d.answered(scraper, now)
	}
}

// answered says that a scrape that began at this time has its response.
func (d *delivery) answered(scraper string, began time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if before, ok := d.last[scraper]; ok {
		d.longest = began.Sub(before)
	}
	d.last[scraper] = began
	close(d.scraped)
	d.scraped = make(chan struct{})
}

// scraper returns the name of the scraper that a request comes from.
func (d *delivery) scraper(r *http.Request) (string, bool) {
	q := r.URL.Query()
	at := slices.IndexFunc(d.scrapers, func(s Scraper) bool { return s.Name == q.Get("scraper") })
	if at < 0 || r.Method != http.MethodGet || q.Has("name[]") {
		return "", false
	}
	s := d.scrapers[at]
	if s.User == "" || web.IsUser(r, s.User) {
		return s.Name, true
	}
	d.strangers.Do(func() {
		d.log.Warn("a scrape is not by the scraper's user, and gets nothing new: Prometheus needs basic_auth or a client certificate in its scrape configuration, and the exporter --web.config.file with that user",
			"scraper", s.Name, "user", s.User, "remote", r.RemoteAddr)
	})
	return "", false
}

// ingestion is what Prometheus was found to have. That stays true, whatever happens meanwhile.
type ingestion struct {
	reset   time.Time // there is a response since this reset of the counters; zero when none is known
	offsets map[partitionID][]storedOffset
}

// askBudget is how long a scrape waits for the answer about the one before.
const askBudget = time.Second

// ask asks Prometheus whether it has ingested the last response. It does so before its turn: somebody else's scrape, whose
// answer takes long, holds up nobody.
func (d *delivery) ask(ctx context.Context) (has ingestion) {
	ctx, cancel := context.WithTimeout(ctx, askBudget)
	defer cancel()
	if reset := d.aggregator.ResetTime(); d.aggregator.AwaitingFirstScrape() {
		if ingested, err := d.offsets.ingestedReset(ctx, reset); err == nil && ingested {
			has.reset = reset
		}
		return has
	}
	d.mu.Lock()
	exposed := len(d.exposed) > 0
	d.mu.Unlock()
	if exposed {
		has.offsets, _ = d.offsets.stored(ctx) // without an answer nothing is known, and the next scrape asks again
	}
	return has
}

// confirm takes what Prometheus has as delivered. The caller has the turn.
func (d *delivery) confirm(has ingestion) {
	if !has.reset.IsZero() && has.reset.Equal(d.aggregator.ResetTime()) {
		d.aggregator.EndFirstScrape()
	}
	var delivered, unknown []aggregate.Position
	for _, p := range d.exposed {
		stored := has.offsets[partitionID{p.Topic, p.Partition}]
		if !ingested(stored, p.TopicID, p.Offset) {
			unknown = append(unknown, p)
		}
		for _, s := range stored {
			if s.topicID == p.TopicID { // of somebody else's response, which came later, Prometheus has a part
				p.Offset = min(p.Offset, s.offset)
				delivered = append(delivered, p)
			}
		}
	}
	if len(delivered) == 0 {
		return
	}
	d.commit(delivered)
	if len(unknown) == 0 {
		d.aggregator.Ingested(d.exposedAt)
	}
	d.expose(unknown, d.exposedAt)
}

// expose keeps what a response exposes until it is known to be delivered. The caller has the turn.
func (d *delivery) expose(positions []aggregate.Position, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.exposed, d.exposedAt = positions, at
}

// ingestedAll reports whether Prometheus, which has these offsets of a partition, has all of them that the last response
// exposed. What was exposed of a partition before it moved has an offset that its shard does not know any more. The caller has
// the turn.
func (d *delivery) ingestedAll(id partitionID, stored []storedOffset) bool {
	return !slices.ContainsFunc(d.exposed, func(p aggregate.Position) bool {
		return p.Topic == id.topic && p.Partition == id.partition && !ingested(stored, p.TopicID, p.Offset)
	})
}

// ingested reports whether an offset of a topic, or a later one, is among those that Prometheus has.
func ingested(stored []storedOffset, topicID string, offset int64) bool {
	return slices.ContainsFunc(stored, func(s storedOffset) bool { return s.topicID == topicID && s.offset >= offset })
}

// withOwn adds the consumer's metrics about itself.
func (d *delivery) withOwn(families []*dto.MetricFamily) []*dto.MetricFamily {
	own, _ := d.own.Gather() // plain counters and gauges: they cannot fail
	return append(families, own...)
}

// nextScrape returns a channel that is closed when the next scrape is answered, and how long that should take at most: nil
// and 0 when no scraper has ever come.
func (d *delivery) nextScrape() (<-chan struct{}, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case len(d.last) == 0:
		return nil, 0
	case d.longest == 0:
		return d.scraped, time.Minute
	}
	return d.scraped, 5 * d.longest / 2
}

// Rejected reports the numbers of values that became "other", and of series that found no room.
func (d *delivery) Rejected(f func(metric, label string, n uint64)) {
	d.aggregator.Rejected(f)
	d.aggregator.Dropped(func(metric string, n uint64) { f(metric, "", n) })
}

package events

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
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

// loadDelivery is the delivery of an Aggregator, to the scraper main.
func loadDelivery(a *aggregate.Aggregator, offsets *offsetSource) *delivery {
	c := defaultConfig()
	d := newDelivery(&c, a, offsets, slog.New(slog.DiscardHandler))
	d.own, d.commit = prometheus.NewRegistry(), func([]aggregate.Position) {}
	return d
}

// A scrape that waits for its turn ends with its request: it delivers nothing, and takes nothing from the one that comes next.
func TestAScrapeThatIsGivenUpWhileItWaitsDeliversNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := loadDelivery(loadAggregator(t), nil)
		deliveries := 0
		s.commit = func([]aggregate.Position) { deliveries++ }
		s.enter(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		families, done := s.Gather(httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics?scraper=main", nil))
		if waited := time.Since(begin); waited != time.Second || len(families) > 0 {
			t.Errorf("it waited for %v and has %d families, want 1s and none", waited, len(families))
		}
		done(true)
		s.leave()
		if deliveries != 0 || !s.aggregator.AwaitingFirstScrape() {
			t.Error("a response that nobody has is delivered")
		}
	})
}

// Between the beginning of a session and the answer to its first heartbeat there is no lease. A scrape in that moment gets the first exposition, which is empty,
// and the one after it is not.
func TestTheFirstScrapeIsEmptyWithoutALease(t *testing.T) {
	s := loadDelivery(loadAggregator(t), nil)
	scrape := func() int {
		families, settle := s.Gather(httptest.NewRequest(http.MethodGet, "/metrics?scraper=main", nil))
		settle(true)
		return len(families)
	}
	s.lease = &lease{active: true}
	if got := scrape(); got != 0 {
		t.Errorf("the first scrape response has %d families, want none", got)
	}
	s.lease = &lease{active: true, until: time.Now().Add(time.Hour)}
	if got := scrape(); got == 0 {
		t.Error("the second scrape response is empty")
	}
}

// Prometheus is asked at most once a scrape, and before its turn: a query that takes long holds up no other scrape.
func TestPrometheusIsAskedOnceAScrapeAndBeforeItsTurn(t *testing.T) {
	var queries atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		queries.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
	}))
	defer server.Close()
	c := defaultConfig()
	c.Prometheus.URL = server.URL
	offsets, err := newOffsetSource(&c.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	d := loadDelivery(loadAggregator(t), offsets)
	asks := func(want int64) {
		t.Helper()
		before := queries.Load()
		d.enter(t.Context()) // another scrape has it
		has := d.ask(t.Context())
		d.leave()
		if !has.reset.IsZero() || len(has.offsets) > 0 {
			t.Errorf("Prometheus has %+v, want nothing", has)
		}
		if n := queries.Load() - before; n != want {
			t.Errorf("Prometheus was asked %d times, want %d", n, want)
		}
	}
	asks(1) // about the first response
	d.aggregator.EndFirstScrape()
	asks(0) // nothing is exposed
	d.expose([]aggregate.Position{{Topic: "t", Offset: 5}}, time.Now())
	asks(1)
}

// While somebody else always comes last, with more than Prometheus has, what Prometheus has is delivered.
func TestWhatPrometheusHasIsDelivered(t *testing.T) {
	d := loadDelivery(loadAggregator(t), nil)
	var committed []aggregate.Position
	d.commit = func(p []aggregate.Position) { committed = p }
	position := func(partition int32, id string, offset int64) aggregate.Position {
		return aggregate.Position{Topic: "t", TopicID: id, Partition: partition, Offset: offset}
	}
	d.expose([]aggregate.Position{position(0, "id", 10), position(1, "id", 20), position(2, "id", 30), position(3, "id", 40)}, time.Now())
	d.confirm(ingestion{offsets: map[partitionID][]storedOffset{
		{"t", 0}: {{"another id", 99}, {"id", 10}}, // all of it
		{"t", 1}: {{"id", 15}},                     // a part
		{"t", 2}: {{"another id", 99}},             // of a topic of before
	}})
	if want := []aggregate.Position{position(0, "id", 10), position(1, "id", 15)}; !slices.Equal(committed, want) {
		t.Errorf("committed %v, want %v", committed, want)
	}
	if want := []aggregate.Position{position(1, "id", 20), position(2, "id", 30), position(3, "id", 40)}; !slices.Equal(d.exposed, want) {
		t.Errorf("not known to be delivered: %v, want %v", d.exposed, want)
	}
	// A log that lost its tail goes on at 12, which Prometheus has: what was exposed up to 20 before it may be on its way.
	for _, tt := range []struct {
		stored storedOffset
		want   bool
	}{{storedOffset{"id", 15}, false}, {storedOffset{"another id", 20}, false}, {storedOffset{"id", 20}, true}} {
		if got := d.ingestedAll(partitionID{"t", 1}, []storedOffset{tt.stored}); got != tt.want {
			t.Errorf("all that was exposed of a partition is ingested: %v, want %v, when Prometheus has %v", got, tt.want, tt.stored)
		}
	}
	if !d.ingestedAll(partitionID{"t", 0}, nil) {
		t.Error("what was delivered is waited for again")
	}
}

package exporter

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// emitClients makes a collector whose collections report one item for each client of a list that the test changes.
func emitClients(clients *atomic.Pointer[[]string], inventory ...string) Collector {
	return singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
		if len(inventory) > 0 {
			sink.Inventory("client", inventory)
		}
		for _, c := range *clients.Load() {
			sink.Gauge("shop_items", 1, c, "red")
			sink.Gauge("shop_client_info", 1, c, "pro")
		}
		return nil
	})
}

const rejected = "consignwatch_label_values_rejected_total"

// The managers of these tests admit three clients.

// A series without an optional label is exposed without it, and takes no place of its values.
func TestAnOptionalLabelMayBeAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			for _, c := range []string{"", "north", "south", "west"} {
				sink.Gauge("shop_open", 1, "red", c)
			}
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 1, "shop_open", "red") // it has no label client
		for _, c := range []string{"north", "south", "west"} {
			wantValue(t, in, 1, "shop_open", c, "red")
		}
	})
}

func TestTheFirstValuesKeepTheirPlaceAndLaterOnesBecomeOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := []string{"north", "south", "west", "east", "far"}
		var list atomic.Pointer[[]string]
		list.Store(&clients)
		in := run(t, emitClients(&list))
		defer end(t, in)
		synctest.Wait()
		for _, c := range clients[:3] {
			wantValue(t, in, 1, "shop_items", c, "red")
		}
		wantAbsent(t, in, "shop_items", "east", "red")
		wantValue(t, in, 2, "shop_items", "other", "red") // counts add up
		wantValue(t, in, 2, rejected, "client", "shop_items")
		wantAbsent(t, in, "shop_client_info", "other", "pro") // an info does not
		wantValue(t, in, 2, "consignwatch_series_dropped_total", "shop_client_info")

		// Sticky: a client that is away for a while keeps its place.
		list.Store(&[]string{"south", "west", "east"})
		time.Sleep(11 * time.Second)
		wantAbsent(t, in, "shop_items", "east", "red")
		wantValue(t, in, 1, "shop_items", "other", "red")

		// What has been gone for a day makes room.
		time.Sleep(evictAfter)
		wantValue(t, in, 1, "shop_items", "east", "red")
		wantAbsent(t, in, "shop_items", "other", "red")
	})
}

func TestClientsOfTheInventoryComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := []string{"stranger", "north", "south", "west"}
		var list atomic.Pointer[[]string]
		list.Store(&clients)
		in := run(t, emitClients(&list, "north", "south", "west"))
		defer end(t, in)
		synctest.Wait()
		for _, c := range clients[1:] {
			wantValue(t, in, 1, "shop_items", c, "red")
		}
		wantAbsent(t, in, "shop_items", "stranger", "red")
		wantValue(t, in, 1, "shop_items", "other", "red")
	})
}

func TestValuesOutsideTheDomainBecomeOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			sink.Gauge("shop_items", 1, "North Sale!", "red")
			sink.Gauge("shop_items", 2, "jane@example.com", "red")
			sink.Gauge("shop_items", 4, "a-name-that-is-far-too-long", "red")
			sink.Gauge("shop_items", 8, "bad\xff", "red")
			sink.Gauge("shop_items", 16, "", "red")
			sink.Gauge("shop_items", 32, "north", "green")
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 31, "shop_items", "other", "red")
		wantValue(t, in, 32, "shop_items", "north", "other")
		wantValue(t, in, 5, rejected, "client", "shop_items")
		wantValue(t, in, 1, rejected, "color", "shop_items")
	})
}

func TestNoMetricExceedsItsNumberOfSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			for _, c := range []string{"north", "south", "west"} {
				for _, e := range []string{"spring", "summer", "autumn", "winter"} {
					sink.Gauge("consign_event_start_timestamp_seconds", 1, c, e)
				}
			}
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 3, "consignwatch_series", "consign_event_start_timestamp_seconds") // sizes: 3 sale events
		wantValue(t, in, 9, "consignwatch_series_dropped_total", "consign_event_start_timestamp_seconds")
		for _, e := range []string{"spring", "summer", "autumn"} { // those that were reported first
			wantValue(t, in, 1, "consign_event_start_timestamp_seconds", "north", e)
		}
	})
}

func TestValuesThatBecomeOtherAreAddedToAnOtherThatIsReported(t *testing.T) {
	for name, clients := range map[string][]string{
		"reported first": {"other", "north", "south", "west", "east", "far"},
		"in between":     {"north", "south", "west", "east", "other", "far"},
		"reported last":  {"north", "south", "west", "east", "far", "other"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
					for i, c := range clients {
						sink.Gauge("shop_items", float64(int(1)<<i), c, "red")
						sink.Gauge("shop_client_info", 1, c, "pro")
					}
					return nil
				}))
				defer end(t, in)
				synctest.Wait()
				want := 0.0
				for i, c := range clients {
					if c == "other" || c == "east" || c == "far" {
						want += float64(int(1) << i)
					}
				}
				wantValue(t, in, want, "shop_items", "other", "red")
				wantValue(t, in, 4, "consignwatch_series", "shop_items")
				wantValue(t, in, 1, "shop_client_info", "other", "pro") // the one that was reported: an info cannot be added
				wantValue(t, in, 4, "consignwatch_series", "shop_client_info")
				wantValue(t, in, 2, "consignwatch_series_dropped_total", "shop_client_info")
				wantValue(t, in, 0, "consignwatch_series_dropped_total", "shop_items")
			})
		})
	}
}

func TestALabelSetThatIsReportedTwiceFailsThoughItBecomesOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			for _, c := range []string{"north", "south", "west", "east", "far", "east"} {
				sink.Gauge("shop_items", 1, c, "red")
			}
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 1, failures, "stock", "parse")
		wantAbsent(t, in, "shop_items", "other", "red")
	})
}

func TestTheSaleEventsOfClientsThatAreGoneAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var day atomic.Int32
		names := func() []string { return []string{fmt.Sprintf("a-%d", day.Load()), fmt.Sprintf("b-%d", day.Load())} }
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			sink.Inventory("client", names())
			sink.InventoryWithin("never-seen", "event", []string{"spring"})
			for _, c := range names() {
				sink.InventoryWithin(c, "event", []string{"spring"})
				sink.Gauge("consign_event_start_timestamp_seconds", 1, c, "spring")
			}
			return nil
		}))
		defer end(t, in)
		for range 30 {
			time.Sleep(24 * time.Hour)
			day.Add(1)
		}
		synctest.Wait()
		in.limiter.mu.Lock()
		defer in.limiter.mu.Unlock()
		if n, most := len(in.limiter.valueSets), 1+3; n > most { // the clients, and the sale events of each
			t.Errorf("after a month of other clients each day there are %d sets of values, want at most %d", n, most)
		}
	})
}

// BenchmarkRejectedValues admits a collection in which most values of a label are unknown, and all places are taken.
func BenchmarkRejectedValues(b *testing.B) {
	self, err := newSelfMetrics(catalog.Shipped())
	if err != nil {
		b.Fatal(err)
	}
	c := testCatalog(b)
	limiter := newCardinalityLimiter(catalog.Sizes{Clients: 1000, Events: 1000}, self)
	for b.Loop() {
		sink := &Sink{catalog: c}
		for i := range 6000 {
			sink.Gauge("shop_items", 1, fmt.Sprintf("client-%d", i), "red")
		}
		if families, err := sink.seal(limiter, time.Now()); err != nil || len(families) != 1 {
			b.Fatal(families, err)
		}
	}
}

// BenchmarkSeal makes the families of a collection of 10,000 series that all are admitted.
func BenchmarkSeal(b *testing.B) {
	self, err := newSelfMetrics(catalog.Shipped())
	if err != nil {
		b.Fatal(err)
	}
	c := testCatalog(b)
	limiter := newCardinalityLimiter(catalog.Sizes{Clients: 5000, Events: 5000}, self)
	clients := make([]string, 5000)
	for i := range clients {
		clients[i] = fmt.Sprintf("client-%d", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		sink := &Sink{catalog: c}
		for _, client := range clients {
			sink.Gauge("shop_items", 1, client, "red")
			sink.Gauge("shop_items", 1, client, "blue")
		}
		if families, err := sink.seal(limiter, time.Now()); err != nil || len(families[0].samples) != 10_000 {
			b.Fatal(len(families), err)
		}
	}
}

func TestSaleEventsOfTheInventoryTakeThePlacesOfThoseThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list atomic.Pointer[[]string]
		list.Store(&[]string{"spring", "summer", "autumn"})
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			sink.InventoryWithin("north", "event", *list.Load())
			for _, e := range *list.Load() {
				sink.Gauge("consign_event_start_timestamp_seconds", 1, "north", e)
			}
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		// Six names in a minute, and a client has five at most: the sixth does not wait a day for its place.
		list.Store(&[]string{"winter", "advent", "carnival"})
		time.Sleep(11 * time.Second)
		for _, e := range *list.Load() {
			wantValue(t, in, 1, "consign_event_start_timestamp_seconds", "north", e)
		}
		wantValue(t, in, 0, "consignwatch_series_dropped_total", "consign_event_start_timestamp_seconds")
	})
}

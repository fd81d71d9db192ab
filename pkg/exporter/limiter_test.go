package exporter

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
	})
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

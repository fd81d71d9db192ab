package exporter

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// fakeTarget is a target whose collections the test writes.
type fakeTarget struct {
	name    string
	collect func(ctx context.Context, sink *Sink) error
}

func (f fakeTarget) Name() string                                  { return f.name }
func (f fakeTarget) Collect(ctx context.Context, sink *Sink) error { return f.collect(ctx, sink) }

// singleTarget makes a collector of one target.
func singleTarget(s Schedule, collect func(ctx context.Context, sink *Sink) error) Collector {
	return NewCollector("stock", s, fakeTarget{"shop", collect})
}

func testCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	client := catalog.Label{Name: "client", Pattern: `[a-z][a-z0-9-]*`, MaxLength: 20, Limit: 1000}
	color := catalog.Label{Name: "color", Values: []string{"red", "blue"}}
	plan := catalog.Label{Name: "plan", Pattern: `[a-z]+`, MaxLength: 10, Limit: 5}
	optional := client
	optional.Optional = true
	c, err := catalog.Shipped().With(
		catalog.Metric{Name: "shop_items", Type: catalog.Gauge, Unit: catalog.Count, Help: "Items.", Labels: []catalog.Label{client, color}},
		catalog.Metric{Name: "shop_client_info", Type: catalog.Gauge, Unit: catalog.Info, Help: "Client.", Labels: []catalog.Label{client, plan}},
		catalog.Metric{Name: "shop_open", Type: catalog.Gauge, Unit: catalog.Bool, Help: "Open.", Labels: []catalog.Label{color, optional}},
		catalog.Metric{Name: "shop_visits_total", Type: catalog.Counter, Unit: catalog.Count, Help: "Visits.", Labels: []catalog.Label{client}},
		catalog.Metric{Name: "shop_wait_seconds", Type: catalog.Histogram, Unit: catalog.Seconds, Help: "Waits.", Buckets: []float64{0.1, 1}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// run starts collectors.
func run(t *testing.T, collectors ...Collector) *Manager {
	t.Helper()
	in, err := NewManager(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	in.Apply(&Setup{Catalog: testCatalog(t), Sizes: catalog.Sizes{Clients: 3, Events: 3}, Collectors: collectors})
	return in
}

func end(t *testing.T, in *Manager) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := in.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// value finds a sample of the exposition by its label values, and reports whether it is there.
func value(t *testing.T, in *Manager, name string, labels ...string) (float64, bool) {
	t.Helper()
	families, err := in.exposition.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, mf := range families {
		if mf.GetName() != name {
			continue
		}
		for _, m := range mf.Metric {
			var got []string
			for _, l := range m.Label {
				got = append(got, l.GetValue())
			}
			if cmp.Equal(got, labels) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

func wantValue(t *testing.T, in *Manager, want float64, name string, labels ...string) {
	t.Helper()
	if got, ok := value(t, in, name, labels...); !ok || got != want {
		t.Errorf("%s%q = %v (in the scrape response: %v), want %v", name, labels, got, ok, want)
	}
}

func wantAbsent(t *testing.T, in *Manager, name string, labels ...string) {
	t.Helper()
	if got, ok := value(t, in, name, labels...); ok {
		t.Errorf("%s%q = %v, want it absent", name, labels, got)
	}
}

const (
	success  = "consignwatch_collector_success"
	failures = "consignwatch_collector_failures_total"
)

func TestValuesStayForMaxAgeAfterFailuresAndThenVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second, MaxAge: time.Minute}, func(_ context.Context, sink *Sink) error {
			if broken.Load() {
				return Failure(ReasonAuth, errors.New("password refused"))
			}
			sink.Gauge("shop_items", 7, "north", "red")
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 7, "shop_items", "north", "red")
		wantValue(t, in, 1, success, "stock", "shop")
		wantValue(t, in, 0, failures, "stock", "auth")

		broken.Store(true)
		time.Sleep(45 * time.Second)
		wantValue(t, in, 7, "shop_items", "north", "red")
		wantValue(t, in, 0, success, "stock", "shop")
		wantValue(t, in, 4, failures, "stock", "auth")
		wantValue(t, in, 0, failures, "stock", "timeout")

		time.Sleep(20 * time.Second)
		wantAbsent(t, in, "shop_items", "north", "red")
		wantAbsent(t, in, "consignwatch_series", "shop_items")

		broken.Store(false)
		time.Sleep(11 * time.Second)
		wantValue(t, in, 7, "shop_items", "north", "red")
		wantValue(t, in, 1, success, "stock", "shop")
		wantValue(t, in, 1, "consignwatch_series", "shop_items")
	})
}

func TestNothingIsExposedForATargetThatNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(ctx context.Context, sink *Sink) error {
			sink.Gauge("shop_items", 7, "north", "red")
			<-ctx.Done()
			return ctx.Err()
		}))
		defer end(t, in)
		synctest.Wait()
		if in.Ready() {
			t.Error("ready before the first collection has ended")
		}
		wantAbsent(t, in, success, "stock", "shop")
		time.Sleep(2 * time.Second)
		if !in.Ready() {
			t.Error("not ready after the first collection has failed: being ready does not depend on targets")
		}
		wantValue(t, in, 0, success, "stock", "shop")
		wantValue(t, in, 1, failures, "stock", "timeout")
		wantAbsent(t, in, "shop_items", "north", "red")
		wantAbsent(t, in, "consignwatch_collector_last_success_timestamp_seconds", "stock", "shop")
	})
}

func TestACollectionThatIgnoresItsDeadlineTimesOutAndIsNotRepeatedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		release := make(chan struct{})
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			if calls.Add(1) == 1 {
				<-release
			}
			sink.Gauge("shop_items", float64(calls.Load()), "north", "red")
			return nil
		}))
		defer end(t, in)
		time.Sleep(time.Minute)
		if n := calls.Load(); n != 1 {
			t.Errorf("%d collections were started, want 1: never two in flight", n)
		}
		wantValue(t, in, 1, failures, "stock", "timeout")
		wantAbsent(t, in, "shop_items", "north", "red")
		close(release)
		time.Sleep(11 * time.Second)
		wantValue(t, in, 2, "shop_items", "north", "red") // the late result of the first was thrown away
		wantValue(t, in, 1, failures, "stock", "timeout")
	})
}

func TestACollectionThatEndsAfterAReloadPublishesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Minute}, func(_ context.Context, sink *Sink) error {
			<-release
			sink.Gauge("shop_items", 7, "north", "red")
			return nil
		}))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := in.Stop(ctx); err == nil {
			t.Error("a collection that ignores its context has ended")
		}
		in.Apply(&Setup{Catalog: testCatalog(t), Sizes: catalog.Sizes{Clients: 3, Events: 3}})
		defer end(t, in)
		close(release)
		synctest.Wait()
		wantAbsent(t, in, "shop_items", "north", "red")
		wantAbsent(t, in, success, "stock", "shop") // the target is not in the new configuration
		wantAbsent(t, in, "consignwatch_collector_last_success_timestamp_seconds", "stock", "shop")
	})
}

func TestASlowTargetDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := []Target{fakeTarget{"hung", func(ctx context.Context, _ *Sink) error { <-ctx.Done(); return ctx.Err() }}}
		var fast atomic.Int32
		for _, name := range []string{"a", "b", "c"} {
			targets = append(targets, fakeTarget{name, func(_ context.Context, sink *Sink) error { fast.Add(1); return nil }})
		}
		in := run(t, NewCollector("stock", Schedule{Interval: 10 * time.Second, Timeout: 9 * time.Second}, targets...))
		defer end(t, in)
		time.Sleep(time.Minute)
		if n := fast.Load(); n < 3*6 {
			t.Errorf("%d collections of three fast targets in six intervals, want at least 18", n)
		}
	})
}

func TestAPanicIsAnInternalFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(context.Context, *Sink) error {
			panic("a defect")
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 1, failures, "stock", "internal")
		wantValue(t, in, 0, success, "stock", "shop")
	})
}

func TestACollectionMustObeyTheCatalog(t *testing.T) {
	for name, c := range map[string]struct {
		emit   func(*Sink)
		reason Reason
	}{
		"undeclared metric":      {func(s *Sink) { s.Gauge("shop_unknown", 1) }, ReasonInternal},
		"wrong type":             {func(s *Sink) { s.Counter("shop_items", 1, time.Time{}, "north", "red") }, ReasonInternal},
		"wrong number of labels": {func(s *Sink) { s.Gauge("shop_items", 1, "north") }, ReasonInternal},
		"wrong number of buckets": {func(s *Sink) {
			s.Histogram("shop_wait_seconds", HistogramValue{Buckets: []uint64{1}}, time.Time{})
		}, ReasonInternal},
		"not a number":     {func(s *Sink) { s.Gauge("shop_items", nan(), "north", "red") }, ReasonParse},
		"negative counter": {func(s *Sink) { s.Counter("shop_visits_total", -1, time.Time{}, "north") }, ReasonParse},
		"label set twice": {func(s *Sink) {
			s.Gauge("shop_items", 1, "north", "red")
			s.Gauge("shop_items", 2, "north", "red")
		}, ReasonParse},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
					sink.Gauge("shop_client_info", 1, "north", "pro")
					c.emit(sink)
					return nil
				}))
				defer end(t, in)
				synctest.Wait()
				wantValue(t, in, 1, failures, "stock", string(c.reason))
				wantAbsent(t, in, "shop_client_info", "north", "pro") // all or nothing
			})
		})
	}
}

func nan() float64 { zero := 0.0; return zero / zero }

func TestTwoCollectorsThatReportTheSameSeriesMakeAValidExposition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emit := func(v float64, clients ...string) func(context.Context, *Sink) error {
			return func(_ context.Context, sink *Sink) error {
				for _, c := range clients {
					sink.Gauge("shop_items", v, c, "red")
				}
				return nil
			}
		}
		s := Schedule{Interval: time.Hour, Timeout: time.Second}
		in := run(t,
			NewCollector("a", s, fakeTarget{"shop", emit(1, "north", "south")}),
			NewCollector("b", s, fakeTarget{"shop", emit(2, "south", "west")}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 1, "shop_items", "north", "red")
		wantValue(t, in, 1, "shop_items", "south", "red")
		wantValue(t, in, 2, "shop_items", "west", "red")
		wantValue(t, in, 1, "consignwatch_series_dropped_total", "shop_items")
		wantValue(t, in, 3, "consignwatch_series", "shop_items")
	})
}

func TestHistogramsKeepTheirStateAndStartTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since := time.Now().Add(-time.Hour)
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			sink.Histogram("shop_wait_seconds", HistogramValue{Count: 5, Sum: 2.5, Buckets: []uint64{2, 4}}, since)
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		families, err := in.exposition.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var h *dto.Histogram
		for _, mf := range families {
			if mf.GetName() == "shop_wait_seconds" {
				h = mf.Metric[0].Histogram
			}
		}
		if h.GetSampleCount() != 5 || h.GetSampleSum() != 2.5 || h.Bucket[0].GetCumulativeCount() != 2 || h.Bucket[1].GetCumulativeCount() != 4 {
			t.Errorf("histogram in the scrape response: %v", h)
		}
		if got := h.GetCreatedTimestamp().AsTime(); !got.Equal(since) {
			t.Errorf("start timestamp %v, want %v", got, since)
		}
		wantValue(t, in, 5, "consignwatch_series", "shop_wait_seconds")
	})
}

package exporter

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
)

// metric finds the only sample of a family in the exposition.
func metric(t *testing.T, in *Manager, name string) *dto.Metric {
	t.Helper()
	families, err := in.exposition.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, mf := range families {
		if mf.GetName() == name && len(mf.Metric) == 1 {
			return mf.Metric[0]
		}
	}
	t.Fatalf("the scrape response does not have one %s", name)
	return nil
}

func TestARecorderKeepsItsSeriesFromOneCollectionToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := NewRecorder(testCatalog(t))
		begin := time.Now()
		recorder.Init("shop_visits_total", "north")
		recorder.Init("shop_wait_seconds")
		time.Sleep(time.Minute)
		waits := []float64{0.1, 0.5, 7, 0.05}
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			if len(waits) > 0 {
				recorder.Add("shop_visits_total", 1, "north")
				recorder.Observe("shop_wait_seconds", waits[0])
				waits = waits[1:]
			}
			recorder.Collect(sink.Status())
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 1, "shop_visits_total", "north")
		time.Sleep(time.Minute)
		wantValue(t, in, 4, "shop_visits_total", "north")
		h := metric(t, in, "shop_wait_seconds").Histogram
		got := []uint64{h.Bucket[0].GetCumulativeCount(), h.Bucket[1].GetCumulativeCount(), h.GetSampleCount()}
		if want := []uint64{2, 3, 4}; !cmp.Equal(got, want) || math.Abs(h.GetSampleSum()-7.65) > 1e-9 {
			t.Errorf("cumulative counts %v and sum %v, want %v and 7.65: a bound belongs to its bucket", got, h.GetSampleSum(), want)
		}
		for _, created := range []time.Time{h.GetCreatedTimestamp().AsTime(), metric(t, in, "shop_visits_total").Counter.GetCreatedTimestamp().AsTime()} {
			if !created.Equal(begin) {
				t.Errorf("start timestamp %v, want %v", created, begin)
			}
		}
	})
}

func TestARecorderOfAnUndeclaredMetricFailsTheCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := NewRecorder(testCatalog(t))
		recorder.Observe("shop_nothing_seconds", 1)
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			sink.Gauge("shop_items", 7, "north", "red")
			recorder.Collect(sink.Status())
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 1, failures, "stock", "internal")
		wantAbsent(t, in, "shop_items", "north", "red")
	})
}

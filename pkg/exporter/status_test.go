package exporter

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheStatusIsExposedThoughTheCollectionFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mode, hang := atomic.Value{}, make(chan struct{})
		mode.Store("well")
		in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second, MaxAge: time.Minute}, func(_ context.Context, sink *Sink) error {
			sink.Gauge("shop_items", 7, "north", "red")
			switch mode.Load() {
			case "down":
				sink.Status().Gauge("shop_items", 0, "north", "blue")
				return Failure(ReasonConnection, errors.New("nobody there"))
			case "stuck":
				<-hang
			case "panic":
				sink.Status().Gauge("shop_items", 5, "north", "blue")
				panic("a defect")
			}
			sink.Status().Gauge("shop_items", 1, "north", "blue")
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 7, "shop_items", "north", "red")
		wantValue(t, in, 1, "shop_items", "north", "blue")

		mode.Store("down")
		time.Sleep(11 * time.Second)
		wantValue(t, in, 7, "shop_items", "north", "red") // of the last collection that succeeded
		wantValue(t, in, 0, "shop_items", "north", "blue")
		wantValue(t, in, 0, success, "stock", "shop")
		time.Sleep(time.Minute)
		wantAbsent(t, in, "shop_items", "north", "red")
		wantValue(t, in, 0, "shop_items", "north", "blue") // reported by each collection

		mode.Store("panic")
		time.Sleep(11 * time.Second)
		wantValue(t, in, 5, "shop_items", "north", "blue")

		mode.Store("stuck") // a collection that does not end reports nothing: the status before it is no answer any more
		time.Sleep(13 * time.Second)
		wantAbsent(t, in, "shop_items", "north", "blue")
		wantValue(t, in, 0, success, "stock", "shop")

		mode.Store("well")
		close(hang)
		time.Sleep(11 * time.Second)
		wantValue(t, in, 7, "shop_items", "north", "red")
		wantValue(t, in, 1, "shop_items", "north", "blue")
		wantValue(t, in, 2, "consignwatch_series", "shop_items")
		wantValue(t, in, 0, "consignwatch_series_dropped_total", "shop_items")
	})
}

// A target that was up is not up because nobody knows better.
func TestTheStatusIsUnknownWhenACollectionReportsNone(t *testing.T) {
	for name, fail := range map[string]func(context.Context) error{
		"it ignores its deadline": func(context.Context) error { time.Sleep(time.Hour); return nil },
		"it panics":               func(context.Context) error { panic("a defect") },
		"it fails before":         func(context.Context) error { return errors.New("no idea") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				in := run(t, singleTarget(Schedule{Interval: 10 * time.Second, Timeout: time.Second, MaxAge: 5 * time.Minute}, func(ctx context.Context, sink *Sink) error {
					sink.Gauge("shop_items", 7, "north", "red")
					if !first {
						return fail(ctx)
					}
					first = false
					sink.Status().Gauge("shop_items", 1, "north", "blue")
					return nil
				}))
				defer func() { time.Sleep(time.Hour); end(t, in) }()
				synctest.Wait()
				wantValue(t, in, 1, "shop_items", "north", "blue")
				time.Sleep(13 * time.Second)
				wantAbsent(t, in, "shop_items", "north", "blue")
				wantValue(t, in, 7, "shop_items", "north", "red") // what the target holds is as old as max_age allows
				wantValue(t, in, 0, success, "stock", "shop")
			})
		})
	}
}

func TestAMistakeInTheStatusFailsTheCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			sink.Gauge("shop_items", 7, "north", "red")
			sink.Status().Gauge("shop_items", nan(), "north", "blue")
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		wantValue(t, in, 1, failures, "stock", "parse")
		wantAbsent(t, in, "shop_items", "north", "red")
		wantAbsent(t, in, "shop_items", "north", "blue")
	})
}

func TestABucketThatTheSourceDoesNotKnowIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := run(t, singleTarget(Schedule{Interval: time.Hour, Timeout: time.Second}, func(_ context.Context, sink *Sink) error {
			sink.Histogram("shop_wait_seconds", HistogramValue{Count: 5, Sum: 2.5, Buckets: []uint64{UnknownBucket, 4}}, time.Time{})
			return nil
		}))
		defer end(t, in)
		synctest.Wait()
		h := metric(t, in, "shop_wait_seconds").Histogram
		if len(h.Bucket) != 1 || h.Bucket[0].GetUpperBound() != 1 || h.Bucket[0].GetCumulativeCount() != 4 || h.GetSampleCount() != 5 {
			t.Errorf("histogram in the scrape response: %v", h)
		}
		wantValue(t, in, 4, "consignwatch_series", "shop_wait_seconds")
	})
	sum := sample{hist: &HistogramValue{Count: 5, Buckets: []uint64{UnknownBucket, 4, 4}}}
	sum.merge(&sample{hist: &HistogramValue{Count: 2, Buckets: []uint64{1, 1, UnknownBucket}}})
	if want := []uint64{UnknownBucket, 5, UnknownBucket}; sum.hist.Count != 7 || !cmp.Equal(sum.hist.Buckets, want) {
		t.Errorf("added up: %v, want %v", sum.hist.Buckets, want)
	}
}

package shopify

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// throttle is the throttleStatus of a response.
func throttle(requested, available, maximum, restore float64) *queryCost {
	c := &queryCost{Requested: requested}
	c.Throttle = &struct {
		Maximum   float64 `json:"maximumAvailable"`
		Available float64 `json:"currentlyAvailable"`
		Restore   float64 `json:"restoreRate"`
	}{maximum, available, restore}
	return c
}

func TestAQueryWaitsUntilTheBucketHoldsItsPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cheap, dear := query{points: 60}, query{points: 255, lowPriority: true}
		p := &rateLimiter{reserve: 0.5}
		wants := func(what string, q query, want time.Duration) {
			t.Helper()
			if got, why := p.delay(q); got != want || (got > 0) != (why != "") {
				t.Errorf("%s: waits %v (%q), want %v", what, got, why, want)
			}
		}
		wants("nothing is known", dear, 0)
		p.updateBucket(throttle(60, 1500, 2000, 100), false)
		wants("over the reserve", dear, 0)
		p.updateBucket(throttle(60, 1055, 2000, 100), false)
		wants("255 of them, and half of 2000 for others", dear, 2*time.Second)
		wants("what cannot wait may use the reserve", cheap, 0)
		wants("what matters less leaves a page to the others", query{points: 255, lowPriority: true, extraReserve: 100}, 3*time.Second)
		time.Sleep(1500 * time.Millisecond)
		wants("150 points have come back", dear, 500*time.Millisecond)
		time.Sleep(500 * time.Millisecond)
		wants("200 points have come back", dear, 0)
		time.Sleep(time.Hour)
		if got := p.bucket.availableAt(time.Now()); got != 2000 {
			t.Errorf("after an hour there are %v points in a bucket of 2000", got)
		}
		p.updateBucket(throttle(60, 10, 2000, 100), false)
		wants("nearly empty", cheap, 500*time.Millisecond)
		p.updateBucket(throttle(60, 50, 100, 100), false)
		wants("dearer than the bucket is large: when it is full", dear, 500*time.Millisecond)
	})
}

func TestAThrottledShopIsNotCalledUntilRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &rateLimiter{}
		wants := func(what string, want time.Duration) {
			t.Helper()
			if got, _ := p.delay(query{points: 1}); got != want {
				t.Errorf("%s: waits %v, want %v", what, got, want)
			}
		}
		p.updateBucket(throttle(752, 652, 1000, 50), true)
		wants("100 points at 50 a second", 2*time.Second)
		p.updateBucket(throttle(10, 10, 1000, 50), true)
		wants("throttled all the same: not at once", time.Second)
		p.updateBucket(throttle(10, 0, 1000, 0), true)
		wants("nothing comes back", time.Second)
		p.backOff(90 * time.Second)
		wants("by Retry-After", 90*time.Second)
		p.backOff(24 * time.Hour)
		wants("a day is too long", 10*time.Minute)
		for header, want := range map[string]time.Duration{"2.0": 2 * time.Second, "7": 7 * time.Second, "": time.Second, "-5": time.Second, "soon": 10 * time.Minute, "NaN": 10 * time.Minute, "1e300": 10 * time.Minute} {
			r := response{header: map[string][]string{"Retry-After": {header}}}
			if got := r.retryAfter(); got != want {
				t.Errorf("Retry-After %q: %v, want %v", header, got, want)
			}
		}
	})
}

func TestAQueryForWhichThereIsNoTimeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{client: "north", slot: make(chan struct{}, 1)}
		s.limiter.backOff(time.Minute)
		for _, patience := range []time.Duration{30 * time.Second, time.Minute} { // a query that is sent at its deadline has no time for the response
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			begin := time.Now()
			err := s.do(ctx, query{operation: operationStatus}, &statusResult{})
			if exporter.ReasonOf(err) != exporter.ReasonThrottled || time.Since(begin) != 0 {
				t.Errorf("after %v of %v: %v, want at once that the shop is throttled", time.Since(begin), patience, err)
			}
			cancel()
		}
	})
}

func TestRequestsToAShopKeepTheRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &rateLimiter{interval: 500 * time.Millisecond}
		begin := time.Now()
		for i := range 4 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, want := time.Since(begin), time.Duration(i)*500*time.Millisecond; got != want {
				t.Errorf("request %d after %v, want %v", i, got, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without time: %v", err)
		}
	})
}

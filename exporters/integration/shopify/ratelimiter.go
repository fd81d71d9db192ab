package shopify

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// rateLimiter limits the requests to a shop: by the configured limit of requests, by the shop's bucket of points, and by the
// shop's Retry-After.
type rateLimiter struct {
	interval time.Duration // between the starts of two requests
	reserve  float64       // share of the bucket that low-priority queries leave to others

	mu           sync.Mutex
	last         time.Time // start of the last request
	blockedUntil time.Time // the shop has throttled requests until then
	bucket       bucket
}

// bucket is the last state of the shop's bucket of points, which queries cost.
type bucket struct {
	maximum, available, restore float64
	at                          time.Time // the zero time before the first response
}

const (
	// defaultBackoff is for a shop that throttles without Retry-After.
	defaultBackoff = time.Second
	// maxShopBackoff bounds the backoff that a shop can request.
	maxShopBackoff = 10 * time.Minute
)

// availableAt is the number of points at a time, if no other client has used any.
func (b bucket) availableAt(now time.Time) float64 {
	return min(b.maximum, b.available+max(0, now.Sub(b.at).Seconds())*b.restore)
}

// updateBucket updates the bucket from the cost of a response, and reports whether the response has one.
func (r *rateLimiter) updateBucket(c *queryCost, throttled bool) bool {
	if c == nil || c.Throttle == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.bucket = bucket{c.Throttle.Maximum, c.Throttle.Available, c.Throttle.Restore, now}
	if throttled {
		wait := defaultBackoff
		if r.bucket.restore > 0 {
			wait = max(wait, seconds((c.Requested-r.bucket.available)/r.bucket.restore))
		}
		r.blockedUntil = now.Add(min(wait, maxShopBackoff))
	}
	return true
}

func seconds(n float64) time.Duration {
	return time.Duration(min(n, maxShopBackoff.Seconds()) * float64(time.Second))
}

// backOff delays the next request.
func (r *rateLimiter) backOff(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blockedUntil = time.Now().Add(min(max(d, defaultBackoff), maxShopBackoff))
}

// lastBucket is the last state of the bucket.
func (r *rateLimiter) lastBucket() bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bucket
}

// delay is how long a query has to wait for the bucket, and why.
func (r *rateLimiter) delay(q query) (time.Duration, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if wait := r.blockedUntil.Sub(now); wait > 0 {
		return wait, "rate limited by the shop"
	}
	if r.bucket.at.IsZero() || r.bucket.restore <= 0 {
		return 0, ""
	}
	needs := q.points
	if q.lowPriority {
		needs += r.reserve*r.bucket.maximum + q.extraReserve
	}
	needs = min(needs, r.bucket.maximum)
	has := r.bucket.availableAt(now)
	if has >= needs {
		return 0, ""
	}
	return seconds((needs - has) / r.bucket.restore), fmt.Sprintf("the shop's rate limit has %.0f of %.0f points remaining, %.0f are needed", has, r.bucket.maximum, needs)
}

// wait is called before a request: it waits until the limit of requests allows it.
func (r *rateLimiter) wait(ctx context.Context) error {
	r.mu.Lock()
	wait := time.Until(r.last.Add(r.interval))
	r.mu.Unlock()
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	r.mu.Lock()
	r.last = time.Now()
	r.mu.Unlock()
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package integration

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pace keeps the exporter from asking a shop too much: by its own limit of requests, by the shop's bucket of points, and by
// what the shop has asked for.
type pace struct {
	gap     time.Duration // between the begins of two requests
	reserve float64       // share of the bucket that is left to others by what can wait

	mu      sync.Mutex
	last    time.Time // begin of the last request
	blocked time.Time // the shop wants to be left alone until then
	bucket  bucket
}

// bucket is what the shop said last of the points that queries are paid from.
type bucket struct {
	maximum, available, restore float64
	at                          time.Time // the zero time before anything was said
}

const (
	// throttledPause is for a shop that wants to be asked later, and does not say when.
	throttledPause = time.Second
	// longestPause bounds what a shop can ask for.
	longestPause = 10 * time.Minute
)

// now is how many points there are by now, if nobody else took any.
func (b bucket) now(now time.Time) float64 {
	return min(b.maximum, b.available+max(0, now.Sub(b.at).Seconds())*b.restore)
}

// learn takes over what an answer says of the bucket, and reports whether it says anything.
func (p *pace) learn(c *queryCost, throttled bool) bool {
	if c == nil || c.Throttle == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.bucket = bucket{c.Throttle.Maximum, c.Throttle.Available, c.Throttle.Restore, now}
	if throttled {
		wait := throttledPause
		if p.bucket.restore > 0 {
			wait = max(wait, seconds((c.Requested-p.bucket.available)/p.bucket.restore))
		}
		p.blocked = now.Add(min(wait, longestPause))
	}
	return true
}

func seconds(n float64) time.Duration {
	return time.Duration(min(n, longestPause.Seconds()) * float64(time.Second))
}

// pause leaves the shop alone for a while.
func (p *pace) pause(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blocked = time.Now().Add(min(max(d, throttledPause), longestPause))
}

// state is what was last said of the bucket.
func (p *pace) state() bucket {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bucket
}

// delay is how long a question has to wait for the bucket, and why.
func (p *pace) delay(q query) (time.Duration, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if wait := p.blocked.Sub(now); wait > 0 {
		return wait, "rate limited by the shop"
	}
	if p.bucket.at.IsZero() || p.bucket.restore <= 0 {
		return 0, ""
	}
	needs := q.points
	if q.canWait {
		needs += p.reserve*p.bucket.maximum + q.leaves
	}
	needs = min(needs, p.bucket.maximum)
	has := p.bucket.now(now)
	if has >= needs {
		return 0, ""
	}
	return seconds((needs - has) / p.bucket.restore), fmt.Sprintf("the shop's rate limit has %.0f of %.0f points remaining, %.0f are needed", has, p.bucket.maximum, needs)
}

// begin is called before a request: it waits until the limit of requests allows it.
func (p *pace) begin(ctx context.Context) error {
	p.mu.Lock()
	wait := time.Until(p.last.Add(p.gap))
	p.mu.Unlock()
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	p.mu.Lock()
	p.last = time.Now()
	p.mu.Unlock()
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

package clerk

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// How many requests a production instance may make in a span.
const (
	maxRequests = 1000
	limitSpan   = 10 * time.Second
)

// limit counts requests in spans that begin with the first request after the last one. That Clerk's spans begin so is an
// assumption.
type limit struct {
	begun time.Time
	used  int
}

// take returns how long it is until there is room; 0: there is.
func (l *limit) take(now time.Time, usedUp bool) time.Duration {
	if passed := now.Sub(l.begun); passed >= limitSpan || passed < 0 {
		l.begun, l.used = now, 0
	}
	if usedUp {
		l.used = maxRequests
	}
	if l.used >= maxRequests {
		return l.begun.Add(limitSpan).Sub(now)
	}
	l.used++
	return 0
}

// withinLimit answers when there is no room.
func (x *exchange) withinLimit(usedUp bool) bool {
	f := x.fake
	f.mu.Lock()
	wait := f.limit.take(f.now(), usedUp)
	f.mu.Unlock()
	if wait > 0 {
		x.throttle(int(math.Ceil(wait.Seconds())))
	}
	return wait == 0
}

// throttle answers 429. The status and Retry-After are documented, the body is an assumption.
func (x *exchange) throttle(seconds int) {
	x.Header().Set("Retry-After", strconv.Itoa(seconds))
	x.fail("throttled", http.StatusTooManyRequests, apiError{
		"Too many requests", "Too many requests. Please try again in a bit.", "too_many_requests", object{},
	})
}

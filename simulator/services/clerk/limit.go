package clerk

import (
	"math"
	"net/http"
	"strconv"
	"time"
)

// How many requests an instance may make in a span.
const (
	productionLimit  = 1000
	developmentLimit = 100
	limitSpan        = 10 * time.Second
)

// limit counts requests in spans that begin with the first request after the last one. That Clerk's spans begin so is an
// assumption.
type limit struct {
	requests int
	begun    time.Time
	used     int
}

// take says whether there is room, and otherwise how long it is until there will be.
func (l *limit) take(now time.Time) (bool, time.Duration) {
	if passed := now.Sub(l.begun); passed >= limitSpan || passed < 0 {
		l.begun, l.used = now, 0
	}
	if l.used >= l.requests {
		return false, l.begun.Add(limitSpan).Sub(now)
	}
	l.used++
	return true, 0
}

// withinLimit answers when there is no room.
func (x *exchange) withinLimit(usedUp bool) bool {
	f := x.fake
	f.mu.Lock()
	now := f.now()
	ok, wait := f.limit.take(now)
	if usedUp {
		f.limit.used = f.limit.requests
		ok, wait = false, f.limit.begun.Add(limitSpan).Sub(now)
	}
	f.mu.Unlock()
	if !ok {
		x.throttle(int(math.Ceil(wait.Seconds())))
	}
	return ok
}

// throttle answers 429. The status and Retry-After are documented, the body is an assumption.
func (x *exchange) throttle(seconds int) {
	x.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	x.fail("throttled", http.StatusTooManyRequests, apiError{
		"Too many requests", "Too many requests. Please try again in a bit.", "too_many_requests", object{},
	})
}

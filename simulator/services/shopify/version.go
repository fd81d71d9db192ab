package shopify

import (
	"fmt"
	"time"
)

// unstable is the version that is never released.
const unstable = "unstable"

// release is a quarterly version of the API.
type release struct{ year, quarter int }

func parseRelease(handle string) (release, bool) {
	t, err := time.Parse("2006-01", handle)
	if err != nil || (t.Month()-1)%3 != 0 {
		return release{}, false
	}
	return release{t.Year(), int(t.Month()-1) / 3}, true
}

func (r release) String() string { return fmt.Sprintf("%d-%02d", r.year, r.quarter*3+1) }

// from is when it comes out. A year later it is no longer supported.
func (r release) from() time.Time {
	return time.Date(r.year, time.Month(r.quarter*3+1), 1, 17, 0, 0, 0, time.UTC)
}

func (r release) next() release {
	if r.quarter == 3 {
		return release{r.year + 1, 0}
	}
	return release{r.year, r.quarter + 1}
}

func (r release) supported(now time.Time) bool {
	return !now.Before(r.from()) && now.Before(r.from().AddDate(1, 0, 0))
}

// releases returns the versions that are supported, oldest first, and the candidate for the next one.
func releases(now time.Time) (supported []release, candidate release) {
	r := release{now.Year() - 1, 0}
	for !r.supported(now) {
		r = r.next()
	}
	for ; r.supported(now); r = r.next() {
		supported = append(supported, r)
	}
	return supported, r
}

// serve says which version answers a request for another. One that is no longer supported falls forward to the oldest
// that is; one that has never been has no answer.
func serve(requested string, now time.Time) (string, bool) {
	if requested == unstable {
		return unstable, true
	}
	r, ok := parseRelease(requested)
	if !ok {
		return "", false
	}
	supported, candidate := releases(now)
	switch {
	case r.from().After(candidate.from()):
		return "", false
	case r.from().Before(supported[0].from()):
		return supported[0].String(), true
	}
	return r.String(), true
}

// Newest returns the newest version that is supported at a time, like 2026-10.
func Newest(now time.Time) string {
	supported, _ := releases(now)
	return supported[len(supported)-1].String()
}

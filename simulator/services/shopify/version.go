package shopify

import "time"

// release is when the quarterly version of the API came out that is the newest at a time. It is supported for a year.
func release(now time.Time) time.Time {
	now = now.UTC().Add(-releaseHour)
	return time.Date(now.Year(), now.Month()-(now.Month()-1)%3, 1, 0, 0, 0, 0, time.UTC)
}

// releaseHour is when on the first day of its quarter a version comes out, in UTC.
const releaseHour = 17 * time.Hour

const versionLayout = "2006-01"

// serve says which version answers a request for another. One that is no longer supported falls forward to the oldest
// that is; one that has not been released has no answer.
func serve(requested string, now time.Time) (string, bool) {
	newest := release(now)
	oldest := newest.AddDate(0, -9, 0)
	at, err := time.Parse(versionLayout, requested)
	switch {
	case err != nil || (at.Month()-1)%3 != 0 || at.After(newest):
		return "", false
	case at.Before(oldest):
		return oldest.Format(versionLayout), true
	}
	return requested, true
}

// Newest returns the newest version that is supported at a time, like 2026-10.
func Newest(now time.Time) string { return release(now).Format(versionLayout) }

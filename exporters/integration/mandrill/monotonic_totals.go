package mandrill

import "time"

// monotonicTotals makes counters of the totals of a service, which are now and then too low: the counters never fall, unless the
// service has reset its totals.
type monotonicTotals struct {
	origin      string // id of the counted object at the service
	since       time.Time
	counts      []float64
	lowReadings int       // how often in a row the first total was so low that it looks like a reset
	firstLow    time.Time // when the first of these readings came
}

// maxLowReadings is how many low readings in a row are a reset. A single one may come from a server of the service that lags, and
// taking it for a reset would count everything twice.
const maxLowReadings = 3

// update updates the counters from a reading: the totals, the largest first, of an object, and its creation time.
func (t *monotonicTotals) update(origin string, since time.Time, reported []float64, now time.Time) {
	if t.counts == nil || origin != t.origin {
		*t = monotonicTotals{origin: origin, since: since, counts: reported}
		return
	}
	if reported[0] >= t.counts[0]/2 {
		t.lowReadings = 0
		for i, n := range reported {
			t.counts[i] = max(t.counts[i], n)
		}
		return
	}
	if t.lowReadings++; t.lowReadings == 1 {
		t.firstLow = now
	}
	if t.lowReadings == maxLowReadings {
		*t = monotonicTotals{origin: origin, since: t.firstLow, counts: reported}
	}
}

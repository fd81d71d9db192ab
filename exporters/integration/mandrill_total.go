package integration

import "time"

// total makes counters of numbers that a service counts from some day on, and that it now and then tells too low: they never go
// back, unless the service has begun anew.
type total struct {
	origin string // what was counted, as the service names it
	since  time.Time
	counts []float64
	falls  int       // how often in a row the first number was told so low that it looks like a new beginning
	fell   time.Time // when that began
}

// maxFalls is how often the numbers must look like a new beginning to be one. A single answer may come from a server of the other
// side that is behind, and taking it for a new beginning would count everything twice.
const maxFalls = 3

// to takes over what was told: the numbers, the largest first, of what is counted, and since when.
func (t *total) to(origin string, since time.Time, told []float64, now time.Time) {
	if t.counts == nil || origin != t.origin {
		*t = total{origin: origin, since: since, counts: told}
		return
	}
	if told[0] >= t.counts[0]/2 {
		t.falls = 0
		for i, n := range told {
			t.counts[i] = max(t.counts[i], n)
		}
		return
	}
	if t.falls++; t.falls == 1 {
		t.fell = now
	}
	if t.falls == maxFalls {
		*t = total{origin: origin, since: t.fell, counts: told}
	}
}

package system

import "time"

// startTime remembers since when a server counts. Computed anew from its uptime each time, it would tremble.
type startTime struct {
	start  time.Time
	uptime float64
}

// startTolerance is how far the computed start may move before it is another one: uptimes are whole seconds, and answers
// take their time.
const startTolerance = 5 * time.Second

// of returns when a server that has been up for so many seconds was started, and whether it was started since the last time.
func (s *startTime) of(now time.Time, uptime float64) (since time.Time, restarted bool) {
	start := now.Add(-time.Duration(uptime * float64(time.Second)))
	restarted = uptime < s.uptime || start.Sub(s.start).Abs() > startTolerance
	if restarted {
		s.start = start
	}
	s.uptime = uptime
	return s.start, restarted
}

// rising is a counter computed from others. It never falls.
type rising struct{ highest float64 }

func (r *rising) to(v float64) float64 {
	r.highest = max(r.highest, v)
	return r.highest
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

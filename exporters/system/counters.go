package system

import "time"

// processStart keeps when a server was started. Computed from the uptime at each collection, the time would jitter.
type processStart struct {
	start  time.Time
	uptime float64
}

// startTolerance is how far the computed start may move before it means a restart: uptimes are whole seconds, and responses
// take time.
const startTolerance = 5 * time.Second

// update returns when a server with this uptime, in seconds, was started, and whether it was restarted since the last call.
func (s *processStart) update(now time.Time, uptime float64) (since time.Time, restarted bool) {
	start := now.Add(-time.Duration(uptime * float64(time.Second)))
	restarted = uptime < s.uptime || start.Sub(s.start).Abs() > startTolerance
	if restarted {
		s.start = start
	}
	s.uptime = uptime
	return s.start, restarted
}

// monotonic is a counter that is computed from others. It never falls.
type monotonic struct{ highest float64 }

func (r *monotonic) update(v float64) float64 {
	r.highest = max(r.highest, v)
	return r.highest
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

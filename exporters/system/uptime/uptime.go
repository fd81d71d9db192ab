// Package uptime derives from the uptime that a server reports when it was started. It asks no server, and keeps no counter.
package uptime

import "time"

// Start keeps when a server was started. Computed from the uptime at each collection, the time would jitter.
type Start struct {
	start  time.Time
	uptime float64
}

// startTolerance is how far the computed start may move before it means a restart: uptimes are whole seconds, and responses
// take time.
const startTolerance = 5 * time.Second

// Update returns when a server with this uptime, in seconds, was started, and whether it was restarted since the last call.
func (s *Start) Update(now time.Time, uptime float64) (since time.Time, restarted bool) {
	start := now.Add(-time.Duration(uptime * float64(time.Second)))
	restarted = uptime < s.uptime || start.Sub(s.start).Abs() > startTolerance
	if restarted {
		s.start = start
	}
	s.uptime = uptime
	return s.start, restarted
}

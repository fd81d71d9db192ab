package uptime

import (
	"testing"
	"time"
)

func TestTheStartIsStableUntilAServerIsRestarted(t *testing.T) {
	t.Parallel()
	var s Start
	begin := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after  time.Duration
		uptime float64
		start  time.Duration // after begin
		again  bool
	}{
		{100 * time.Second, 100, 0, true},
		{115 * time.Second, 114, 0, false},
		{131 * time.Second, 130, 0, false},
		{150 * time.Second, 10, 140 * time.Second, true},
		{400 * time.Second, 30, 370 * time.Second, true}, // longer than before, and yet another life
	} {
		start, again := s.Update(begin.Add(c.after), c.uptime)
		if !start.Equal(begin.Add(c.start)) || again != c.again {
			t.Errorf("after %s with an uptime of %v s: start %v, restarted %v; want %v, %v", c.after, c.uptime, start, again, begin.Add(c.start), c.again)
		}
	}
}

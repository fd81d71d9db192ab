// Package world is what the platform consists of: its rows and their tables, the books that hold them, the index that activities choose
// from, and the rules of a consignment sale. It knows no database and no time of its own, starts nothing, and draws only from the random
// numbers that it is given.
package world

import "time"

// Clock is how fast time passes.
type Clock struct {
	Time         func() time.Time // the present time
	Speed        float64          // platform days in a day
	Acceleration float64          // of what does not follow the platform's day
}

// UsualSpeed is the speed above which background work takes less time, too.
const UsualSpeed = 60.0

// Now returns the time that is written into rows.
func (c Clock) Now() time.Time { return c.Time().UTC().Truncate(time.Microsecond) }

// Day returns the length of a platform day.
func (c Clock) Day() time.Duration { return c.Scaled(24 * time.Hour) }

// Scaled returns the real duration of a platform duration.
func (c Clock) Scaled(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)/c.Speed), time.Microsecond)
}

// Accelerated returns the real duration of what does not follow the platform's day.
func (c Clock) Accelerated(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.Acceleration)
}

// Paced returns the duration of background work. It is not longer when days are long, because people wait for it.
func (c Clock) Paced(d time.Duration) time.Duration {
	return time.Duration(float64(d) * min(UsualSpeed/c.Speed, 1))
}

// Earlier returns the earlier of two times.
func Earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Clamp returns the value, or the limit that it exceeds.
func Clamp(v, low, high float64) float64 { return min(max(v, low), high) }

package simulator

import "time"

// Clock is how fast time passes.
type Clock struct {
	Time         func() time.Time // the present time
	Speed        float64          // platform days in a day
	Acceleration float64          // of what does not follow the platform's day
}

// usualSpeed is the speed above which background work takes less time, too.
const usualSpeed = 60.0

// now returns the time that is written into rows.
func (c Clock) now() time.Time { return c.Time().UTC().Truncate(time.Microsecond) }

// day returns the length of a platform day.
func (c Clock) day() time.Duration { return c.scaled(24 * time.Hour) }

// scaled returns the real duration of a platform duration.
func (c Clock) scaled(d time.Duration) time.Duration {
	return max(time.Duration(float64(d)/c.Speed), time.Microsecond)
}

// accelerated returns the real duration of what does not follow the platform's day.
func (c Clock) accelerated(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.Acceleration)
}

// paced returns the duration of background work. It is not longer when days are long, because people wait for it.
func (c Clock) paced(d time.Duration) time.Duration {
	return time.Duration(float64(d) * min(usualSpeed/c.Speed, 1))
}

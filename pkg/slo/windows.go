package slo

import (
	"time"

	"github.com/prometheus/common/model"
)

// window is a time over which a ratio of errors is recorded, and how it comes from a shorter one.
type window struct {
	Length time.Duration
	// From is the recording that is averaged over the window. Errors and events are averaged apart, at the same moments, so
	// that each event weighs the same, however few there are by night.
	From time.Duration
	// Step is that between the values that are averaged; 0 takes all that were recorded.
	Step time.Duration
	// base says that longer windows are averaged from this one, so that its errors are recorded, too.
	base bool
}

// shortest is the window of what the SLOs' own expressions say.
const shortest = 5 * time.Minute

// group is a group of recording rules with its own interval: the longer a window, the slower it moves.
type group struct {
	Name, why string
	Interval  time.Duration
	Windows   []window
}

// groups are made so that no rule reads many samples: what a month is averaged from is recorded as seldom as can be without growing
// stale (BenchmarkBudgets in tools/prometheus). Where the values that are averaged lie as far apart as each is wide,
// every event counts exactly once, and the window ends up to a step before now. Where they overlap, the first and the last of
// them weigh less at the edges of the window, and all in between the same.
func groups() []group {
	const day = 24 * time.Hour
	return []group{
		{"slo_hour", "Every value of five minutes: the alerts on these windows page.", 30 * time.Second, []window{
			{Length: 30 * time.Minute, From: shortest, base: true},
			{Length: time.Hour, From: shortest, base: true},
		}},
		{"slo_hours", "", 4 * time.Minute, []window{
			{Length: 2 * time.Hour, From: shortest, Step: shortest, base: true},
			{Length: 6 * time.Hour, From: 30 * time.Minute, Step: 5 * time.Minute},
		}},
		{"slo_days", "", 4 * time.Minute, []window{
			{Length: day, From: 2 * time.Hour, Step: 15 * time.Minute},
			{Length: 3 * day, From: 2 * time.Hour, Step: time.Hour},
		}},
		{"slo_month", "", 4 * time.Minute, []window{
			{Length: monthly, From: 2 * time.Hour, Step: 2 * time.Hour},
		}},
	}
}

// alert fires when a share of the budget is spent within a time, and is being spent still.
type alert struct {
	Name     string
	Priority string
	Severity string
	Category string
	Summary  string
	// Share of the budget that is spent within Long, if it goes on like that.
	Share       float64
	Long, Short time.Duration
	For         time.Duration
}

// factor is the burn rate above which the alert fires.
func (a alert) factor() float64 { return a.Share * monthly.Hours() / a.Long.Hours() }

// Factor is for the documentation.
func (a alert) Factor() string { return number(a.factor()) }

// alerts are from the fastest to the slowest.
func alerts() []alert {
	const day = 24 * time.Hour
	return []alert{
		{"SloBudgetBurningFast", "P0", "critical", "downtime", "An error budget will be used up within days.",
			0.02, time.Hour, 5 * time.Minute, 2 * time.Minute},
		{"SloBudgetBurning", "P1", "critical", "performance_degradation", "An error budget will be used up within the week.",
			0.05, 6 * time.Hour, 30 * time.Minute, 15 * time.Minute},
		{"SloBudgetBurningSlowly", "P2", "warning", "warning_condition", "An error budget will not last for the month.",
			0.1, day, 2 * time.Hour, time.Hour},
		{"SloBudgetEroding", "P3", "info", "performance_warning", "The burn rate of an error budget is one or more.",
			0.1, 3 * day, 6 * time.Hour, 3 * time.Hour},
	}
}

// label writes a length as in the name of a recording: 5m, 1h, 30d.
func label(d time.Duration) string { return model.Duration(d).String() }

package slo

import (
	"time"

	"github.com/prometheus/common/model"
)

// window is a window over which an error ratio is recorded, averaged from a shorter one.
type window struct {
	Length time.Duration
	// From is the window of the recording that is averaged over this window. Errors and events are averaged separately, at the same times, so
	// that each event has the same weight, also when there are few at night.
	From time.Duration
	// Step is the step between the averaged values; 0 averages all recorded values.
	Step time.Duration
	// hasErrors says that longer windows are averaged from this one, so that its errors are recorded, too.
	hasErrors bool
}

// baseWindow is the window of the SLOs' own expressions.
const baseWindow = 5 * time.Minute

// group is a group of recording rules with its own interval, which is longer for longer windows.
type group struct {
	Name, why string
	Interval  time.Duration
	Windows   []window
}

// groups are chosen so that no rule reads many samples: the recordings that a month is averaged from have the longest interval that does not
// make them stale (BenchmarkBudgets in tools/prometheus). If the step equals the averaged window, every event counts exactly once, and the
// window ends up to a step before now. If the averaged windows overlap, events at both ends of the window have less weight.
func groups() []group {
	const day = 24 * time.Hour
	return []group{
		{"slo_hour", "Every value of five minutes: the alerts on these windows page.", 30 * time.Second, []window{
			{Length: 30 * time.Minute, From: baseWindow, hasErrors: true},
			{Length: time.Hour, From: baseWindow, hasErrors: true},
		}},
		{"slo_hours", "", 4 * time.Minute, []window{
			{Length: 2 * time.Hour, From: baseWindow, Step: baseWindow, hasErrors: true},
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

// alert is a multiwindow burn rate alert: it fires when a share of the budget is used up within Long, and the burn rate is as high over Short.
type alert struct {
	Name     string
	Priority string
	Severity string
	Category string
	Summary  string
	// Share of the budget that is used up within Long.
	Share       float64
	Long, Short time.Duration
	For         time.Duration
}

// factor is the burn rate above which the alert fires.
func (a alert) factor() float64 { return a.Share * monthly.Hours() / a.Long.Hours() }

// Factor formats the burn rate for the documentation.
func (a alert) Factor() string { return number(a.factor()) }

// alerts are the burn rate alerts, from the fastest to the slowest.
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

// label formats a duration as in the name of a recording: 5m, 1h, 30d.
func label(d time.Duration) string { return model.Duration(d).String() }

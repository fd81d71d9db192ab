package world

import "time"

// The schedule of a sale event, in platform days. A platform day is 24 hours divided by the speed. The status of a sale event follows from
// its row and the time alone.
const (
	SetupBefore        = 10.0 // days from the setup to the start
	RegistrationBefore = 7.0  // days from the registration to the start
	SaleDays           = 3.0  // days from the start to the end
	MarkdownShare      = 0.7  // of the sale, after which prices fall
	ClosedDays         = 0.5  // days from the end to the returns
	ReturnDays         = 7.0  // days from the end to the end of the return window
	PayDays            = 1.0  // days that reconciliation lasts at least
)

const (
	HeartbeatEvery = 30 * time.Second // how often the last-seen time of an active session is updated
	SeenWithin     = 5 * time.Minute  // a session counts as active
	LongestStep    = 2 * time.Second  // a longer gap is not made up for
	Batch          = 100              // rows that an activity changes at most
)

// ItemsEach is the mean number of items of a consignor.
const ItemsEach = 30.0

// Days returns the length of a number of platform days.
func Days(day time.Duration, n float64) time.Duration { return time.Duration(float64(day) * n) }

// Phase returns when a status begins and ends, in days from the start of the sale.
func Phase(status string) (from, to float64) {
	switch status {
	case Draft:
		return -40, -SetupBefore
	case Setup:
		return -SetupBefore, -RegistrationBefore
	case Registration:
		return -RegistrationBefore, 0
	case Active:
		return 0, SaleDays * MarkdownShare
	case Markdown:
		return SaleDays * MarkdownShare, SaleDays
	case Closed:
		return SaleDays, SaleDays + ClosedDays
	case Returns:
		return SaleDays + ClosedDays, SaleDays + ReturnDays
	default: // reconciliation
		return SaleDays + ReturnDays, SaleDays + ReturnDays + PayDays
	}
}

// DueStatus returns the status that is due next; the present one before that. Other conditions of a step (items locked, settlements paid)
// are checked by advance.
func DueStatus(e *Event, now time.Time, day time.Duration) string {
	after := func(at time.Time, offset float64) bool { return !now.Before(at.Add(Days(day, offset))) }
	switch e.Status {
	case Draft:
		if after(e.StartAt, -SetupBefore) {
			return Setup
		}
	case Setup:
		if after(e.StartAt, -RegistrationBefore) {
			return Registration
		}
	case Registration:
		if after(e.StartAt, 0) {
			return Active
		}
	case Active:
		if !now.Before(e.StartAt.Add(time.Duration(MarkdownShare * float64(e.EndAt.Sub(e.StartAt))))) {
			return Markdown
		}
	case Markdown:
		if after(e.EndAt, 0) {
			return Closed
		}
	case Closed:
		if after(e.EndAt, ClosedDays) {
			return Returns
		}
	case Returns:
		if after(e.ReturnWindowEnd, 0) {
			return Reconciliation
		}
	case Reconciliation:
		if after(e.ReturnWindowEnd, PayDays) {
			return Complete
		}
	}
	return e.Status
}

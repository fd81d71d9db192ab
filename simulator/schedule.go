package simulator

import "time"

// The schedule of a sale event, in platform days. A platform day is 24 hours divided by the speed. The status of a sale event follows from
// its row and the time alone.
const (
	setupBefore        = 10.0 // days from the setup to the start
	registrationBefore = 7.0  // days from the registration to the start
	saleDays           = 3.0  // days from the start to the end
	markdownShare      = 0.7  // of the sale, after which prices fall
	closedDays         = 0.5  // days from the end to the returns
	returnDays         = 7.0  // days from the end to the end of the return window
	payDays            = 1.0  // days that reconciliation lasts at least
)

const (
	heartbeatEvery = 30 * time.Second // how often the last-seen time of an active session is updated
	seenWithin     = 5 * time.Minute  // a session counts as active
	longestStep    = 2 * time.Second  // a longer gap is not made up for
	batch          = 100              // rows that an activity changes at most
)

// itemsEach is the mean number of items of a consignor.
const itemsEach = 30.0

func days(day time.Duration, n float64) time.Duration { return time.Duration(float64(day) * n) }

// phase returns when a status begins and ends, in days from the start of the sale.
func phase(status string) (from, to float64) {
	switch status {
	case Draft:
		return -40, -setupBefore
	case Setup:
		return -setupBefore, -registrationBefore
	case Registration:
		return -registrationBefore, 0
	case Active:
		return 0, saleDays * markdownShare
	case Markdown:
		return saleDays * markdownShare, saleDays
	case Closed:
		return saleDays, saleDays + closedDays
	case Returns:
		return saleDays + closedDays, saleDays + returnDays
	default: // reconciliation
		return saleDays + returnDays, saleDays + returnDays + payDays
	}
}

// dueStatus returns the status that is due next; the present one before that. Other conditions of a step (items locked, settlements paid)
// are checked by advance.
func dueStatus(e *Event, now time.Time, day time.Duration) string {
	after := func(at time.Time, offset float64) bool { return !now.Before(at.Add(days(day, offset))) }
	switch e.Status {
	case Draft:
		if after(e.StartAt, -setupBefore) {
			return Setup
		}
	case Setup:
		if after(e.StartAt, -registrationBefore) {
			return Registration
		}
	case Registration:
		if after(e.StartAt, 0) {
			return Active
		}
	case Active:
		if !now.Before(e.StartAt.Add(time.Duration(markdownShare * float64(e.EndAt.Sub(e.StartAt))))) {
			return Markdown
		}
	case Markdown:
		if after(e.EndAt, 0) {
			return Closed
		}
	case Closed:
		if after(e.EndAt, closedDays) {
			return Returns
		}
	case Returns:
		if after(e.ReturnWindowEnd, 0) {
			return Reconciliation
		}
	case Reconciliation:
		if after(e.ReturnWindowEnd, payDays) {
			return Complete
		}
	}
	return e.Status
}

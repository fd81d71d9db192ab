package drill

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// notifiedOf is the prefix of the note of a resolved event that a receiver was notified of; the name of the receiver follows.
const notifiedOf = "notified "

// Event is something that happened during a drill.
type Event struct {
	Time time.Time
	// What is the kind: fault, metric, pending, firing, notified, escalated, acknowledged, resolved.
	What string
	// Note has the receiver, the author of the acknowledgement, or other details.
	Note string
	// Allowed is the deadline of the policy, and Took the measured time; zero: there is no deadline.
	Allowed, Took time.Duration
	// Early says that a level was notified before its delay was over.
	Early bool
}

// inTime reports whether the event met its deadline and was not early.
func (e *Event) inTime() bool { return e.Allowed == 0 || e.Took <= e.Allowed && !e.Early }

// Record is the timeline of one alert.
type Record struct {
	// Alert is "alertname client subject".
	Alert    string
	Priority string
	// Trigger says what fired the alert.
	Trigger string
	Events  []Event
	// Missing lists what did not happen.
	Missing []string
	// InhibitedBy is the alert that inhibited this one before anybody was notified.
	InhibitedBy string
	// ResolutionInhibitedBy is the alert that inhibited the notification of the resolution: it began to fire after this one, and resolved later.
	ResolutionInhibitedBy string
	// ResolutionOmitted are the receivers that are not notified of the resolution, because the alert was acknowledged when the other alerts of its group
	// resolved: Alertmanager has already notified them that the group has resolved.
	ResolutionOmitted []string
}

// setInhibitedBy records the alert that inhibits this one now; empty: none does. Before the first notification, an earlier inhibition is kept.
func (r *Record) setInhibitedBy(source string) {
	switch _, notified := r.first("notified"); {
	case notified:
		r.ResolutionInhibitedBy = source
	case source != "":
		r.InhibitedBy = source
	}
}

// add adds an event unless there is one of the same kind and note.
func (r *Record) add(e Event) {
	if !r.has(e.What, e.Note) {
		r.Events = append(r.Events, e)
	}
}

func (r *Record) has(what, note string) bool {
	return slices.ContainsFunc(r.Events, func(e Event) bool { return e.What == what && e.Note == note })
}

// first is the time of the first event of a kind.
func (r *Record) first(what string) (time.Time, bool) {
	var first time.Time
	for _, e := range r.Events {
		if e.What == what && (first.IsZero() || e.Time.Before(first)) {
			first = e.Time
		}
	}
	return first, !first.IsZero()
}

// FaultToPage is the time from the fault until the first notification.
func (r *Record) FaultToPage() (time.Duration, bool) {
	fault, ok := r.first("fault")
	first, notified := r.first("notified")
	return first.Sub(fault), ok && notified
}

// Passed reports whether nothing is missing, and every event met its deadline.
func (r *Record) Passed() bool {
	return len(r.Missing) == 0 && !slices.ContainsFunc(r.Events, func(e Event) bool { return !e.inTime() })
}

// correctMetricTimes moves metric events that polling saw after the pending or firing alert, which cannot come before the metric.
func (r *Record) correctMetricTimes() {
	for i := range r.Events {
		if r.Events[i].What != "metric" {
			continue
		}
		for _, later := range []string{"pending", "firing"} {
			if at, ok := r.first(later); ok && at.Before(r.Events[i].Time) {
				r.Events[i].Time = at
			}
		}
	}
}

// Print prints the timeline.
func (r *Record) Print(w io.Writer) {
	order := []string{"fault", "metric", "pending", "firing", "notified", "escalated", "acknowledged", "resolved"}
	fmt.Fprintf(w, "%s  %s, by %s\n", cmp.Or(r.Priority, "--"), r.Alert, r.Trigger)
	slices.SortStableFunc(r.Events, func(a, b Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(slices.Index(order, a.What), slices.Index(order, b.What)))
	})
	for _, e := range r.Events {
		since := e.Time.Sub(r.Events[0].Time)
		verdict := ""
		switch {
		case e.Allowed == 0:
		case e.Early:
			verdict = fmt.Sprintf("TOO EARLY: after %s", seconds(e.Took))
		case e.inTime():
			verdict = fmt.Sprintf("in time: %s after firing, deadline %s", seconds(e.Took), seconds(e.Allowed))
		default:
			verdict = fmt.Sprintf("LATE: %s after firing, deadline %s", seconds(e.Took), seconds(e.Allowed))
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("    %s  +%-8s %-13s %-24s %s", e.Time.Local().Format("15:04:05"), seconds(since), e.What, e.Note, verdict), " "))
	}
	if r.InhibitedBy != "" {
		fmt.Fprintf(w, "    not notified: inhibited by %s\n", r.InhibitedBy)
	}
	switch ended := slices.ContainsFunc(r.Events, func(e Event) bool { return strings.HasPrefix(e.Note, notifiedOf) }); {
	case ended:
	case r.ResolutionInhibitedBy != "":
		fmt.Fprintf(w, "    resolution not notified: inhibited by %s\n", r.ResolutionInhibitedBy)
	case len(r.ResolutionOmitted) > 0:
		fmt.Fprintln(w, "    resolution not notified: acknowledged when the others of its group resolved, and Alertmanager notifies of that once")
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "    MISSING: %s\n", m)
	}
	fmt.Fprintln(w)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// Summary prints how many alerts passed, and the times from fault to page. It returns how many failed.
func Summary(w io.Writer, records []*Record) (failed int) {
	faultToPage := map[string][]time.Duration{}
	for _, r := range records {
		if !r.Passed() {
			failed++
		}
		if d, ok := r.FaultToPage(); ok && !strings.HasPrefix(r.Trigger, syntheticTrigger) {
			faultToPage[r.Priority] = append(faultToPage[r.Priority], d)
		}
	}
	fmt.Fprintf(w, "%s drilled: %d passed, %d failed\n", alerts(len(records)), len(records)-failed, failed)
	for _, priority := range []string{"P0", "P1"} {
		if took := faultToPage[priority]; len(took) > 0 {
			slices.Sort(took)
			fmt.Fprintf(w, "%s, fault to page: median %s, max %s, n=%d\n", priority, seconds(median(took)), seconds(took[len(took)-1]), len(took))
		}
	}
	return failed
}

// alerts formats a number of alerts.
func alerts(n int) string {
	if n == 1 {
		return "1 alert"
	}
	return fmt.Sprintf("%d alerts", n)
}

// median of sorted durations.
func median(sorted []time.Duration) time.Duration {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

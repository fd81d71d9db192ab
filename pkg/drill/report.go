package drill

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// notifiedOf begins the note of a resolution that a receiver was notified of; the receiver follows.
const notifiedOf = "notified "

// Event is one moment of a drill.
type Event struct {
	Time time.Time
	// What is the kind: fault, metric, pending, firing, notified, escalated, acknowledged, resolved.
	What string
	// Note says whom, by whom, or what is special.
	Note string
	// Allowed is the deadline that the policy sets, and Took what is measured against it; zero: there is none.
	Allowed, Took time.Duration
	// Early says that it came before the policy wants it.
	Early bool
}

// met reports whether the deadline was kept.
func (e *Event) met() bool { return e.Allowed == 0 || e.Took <= e.Allowed && !e.Early }

// Record is the time line of one alert.
type Record struct {
	// Alert is "alertname client subject".
	Alert    string
	Priority string
	// How says what fired it.
	How    string
	Events []Event
	// Missing says what did not come.
	Missing []string
	// Explained names the alert that inhibited this one before anybody was notified.
	Explained string
	// Hushed names the alert that inhibited the notification of its resolution: it began to fire after this one, and outlasted it.
	Hushed string
	// LeftOut are the receivers that are not notified of its resolution, because it was acknowledged when the others of its group resolved: Alertmanager
	// has notified them that the group has resolved.
	LeftOut []string
}

// explain notes that another alert inhibits this one now; empty: none does. An inhibition is kept until somebody is notified.
func (r *Record) explain(cause string) {
	switch _, told := r.time("notified"); {
	case told:
		r.Hushed = cause
	case cause != "":
		r.Explained = cause
	}
}

// add notes an event, the first of its kind and note only.
func (r *Record) add(e Event) {
	if !r.has(e.What, e.Note) {
		r.Events = append(r.Events, e)
	}
}

func (r *Record) has(what, note string) bool {
	return slices.ContainsFunc(r.Events, func(e Event) bool { return e.What == what && e.Note == note })
}

// time is when the first event of a kind was.
func (r *Record) time(what string) (time.Time, bool) {
	var first time.Time
	for _, e := range r.Events {
		if e.What == what && (first.IsZero() || e.Time.Before(first)) {
			first = e.Time
		}
	}
	return first, !first.IsZero()
}

// FaultToPage is how long it took from the fault until somebody was notified.
func (r *Record) FaultToPage() (time.Duration, bool) {
	fault, ok := r.time("fault")
	page, told := r.time("notified")
	return page.Sub(fault), ok && told
}

// Met reports whether everything came, and in time.
func (r *Record) Met() bool {
	return len(r.Missing) == 0 && !slices.ContainsFunc(r.Events, func(e Event) bool { return !e.met() })
}

// settle corrects what a drill, which looks twice a second, has seen after what follows from it: a rule cannot find what is not there.
func (r *Record) settle() {
	for i := range r.Events {
		if r.Events[i].What != "metric" {
			continue
		}
		for _, later := range []string{"pending", "firing"} {
			if at, ok := r.time(later); ok && at.Before(r.Events[i].Time) {
				r.Events[i].Time = at
			}
		}
	}
}

// Print writes the time line.
func (r *Record) Print(w io.Writer) {
	order := []string{"fault", "metric", "pending", "firing", "notified", "escalated", "acknowledged", "resolved"}
	fmt.Fprintf(w, "%s  %s, by %s\n", cmp.Or(r.Priority, "--"), r.Alert, r.How)
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
		case e.met():
			verdict = fmt.Sprintf("in time: %s after firing, deadline %s", seconds(e.Took), seconds(e.Allowed))
		default:
			verdict = fmt.Sprintf("LATE: %s after firing, deadline %s", seconds(e.Took), seconds(e.Allowed))
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("    %s  +%-8s %-13s %-24s %s", e.Time.Local().Format("15:04:05"), seconds(since), e.What, e.Note, verdict), " "))
	}
	if r.Explained != "" {
		fmt.Fprintf(w, "    not notified: inhibited by %s\n", r.Explained)
	}
	switch ended := slices.ContainsFunc(r.Events, func(e Event) bool { return strings.HasPrefix(e.Note, notifiedOf) }); {
	case ended:
	case r.Hushed != "":
		fmt.Fprintf(w, "    resolution not notified: inhibited by %s\n", r.Hushed)
	case len(r.LeftOut) > 0:
		fmt.Fprintln(w, "    resolution not notified: acknowledged when the others of its group resolved, and Alertmanager notifies of that once")
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "    MISSING: %s\n", m)
	}
	fmt.Fprintln(w)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// Summary says how many alerts passed, and how long it took from a fault to a page. It returns how many failed.
func Summary(w io.Writer, records []*Record) (failed int) {
	pages := map[string][]time.Duration{}
	for _, r := range records {
		if !r.Met() {
			failed++
		}
		if d, ok := r.FaultToPage(); ok && !strings.HasPrefix(r.How, madeUp) {
			pages[r.Priority] = append(pages[r.Priority], d)
		}
	}
	fmt.Fprintf(w, "%s drilled: %d passed, %d failed\n", alerts(len(records)), len(records)-failed, failed)
	for _, priority := range []string{"P0", "P1"} {
		if took := pages[priority]; len(took) > 0 {
			slices.Sort(took)
			fmt.Fprintf(w, "%s, fault to page: median %s, max %s, n=%d\n", priority, seconds(median(took)), seconds(took[len(took)-1]), len(took))
		}
	}
	return failed
}

// alerts counts them in words.
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

package drill

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

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
	// Explained names what kept the alert from being told: its cause fires, too.
	Explained string
	// Hushed names what kept its end from being told: its cause began to fire after it, and outlasted it. Alertmanager tells nobody of what it mutes.
	Hushed string
	// LeftOut are the receivers that are not told of its end since it was taken when others of its group ended: the page that told of them has said that
	// the group is over.
	LeftOut []string
}

// explain notes that another alert explains this one now; empty: none does. That one has explained it is not forgotten before somebody is told.
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

// FaultToPage is how long it took from the fault until somebody was told.
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
			verdict = fmt.Sprintf("in time: %s after firing, allowed %s", seconds(e.Took), seconds(e.Allowed))
		default:
			verdict = fmt.Sprintf("LATE: %s after firing, allowed %s", seconds(e.Took), seconds(e.Allowed))
		}
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("    %s  +%-8s %-13s %-24s %s", e.Time.Local().Format("15:04:05"), seconds(since), e.What, e.Note, verdict), " "))
	}
	if r.Explained != "" {
		fmt.Fprintf(w, "    not told: explained by %s\n", r.Explained)
	}
	switch ended := slices.ContainsFunc(r.Events, func(e Event) bool { return strings.HasPrefix(e.Note, "told to ") }); {
	case ended:
	case r.Hushed != "":
		fmt.Fprintf(w, "    its end not told: explained by %s\n", r.Hushed)
	case len(r.LeftOut) > 0:
		fmt.Fprintln(w, "    its end not told: it was taken when others of its group ended, and Alertmanager says once that a group is over")
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "    MISSING: %s\n", m)
	}
	fmt.Fprintln(w)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// Summary says how many deadlines were met, and how long it took from a fault to a page.
func Summary(w io.Writer, records []*Record) {
	missed := 0
	pages := map[string][]time.Duration{}
	for _, r := range records {
		if !r.Met() {
			missed++
		}
		if d, ok := r.FaultToPage(); ok && !strings.HasPrefix(r.How, madeUp) {
			pages[r.Priority] = append(pages[r.Priority], d)
		}
	}
	fmt.Fprintf(w, "%d alerts drilled, %d as the policy says, %d not.\n", len(records), len(records)-missed, missed)
	for _, priority := range []string{"P0", "P1"} {
		if took := pages[priority]; len(took) > 0 {
			slices.Sort(took)
			fmt.Fprintf(w, "From fault to page, %s: median %s, worst %s, of %d.\n", priority, seconds(median(took)), seconds(took[len(took)-1]), len(took))
		}
	}
}

// median of sorted durations.
func median(sorted []time.Duration) time.Duration {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

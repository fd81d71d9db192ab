package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/ack"
	"github.com/consignwatch/consignwatch/pkg/amapi"
	"github.com/consignwatch/consignwatch/pkg/pages"
	"github.com/consignwatch/consignwatch/pkg/routing"
)

// Options say how far a drill goes.
type Options struct {
	// Priority restricts a drill to alerts of one priority; empty: P0 and P1.
	Priority string
	// Escalate leaves the alerts alone until the last level that is called.
	Escalate bool
	// Author acknowledges the alerts in the end.
	Author string
	// Patience is how long a drill waits for an alert to fire, and for it to resolve.
	Patience time.Duration
	// Aftermath is how much longer it waits for it to resolve: other drills may keep it.
	Aftermath time.Duration
}

// run is one drill by a fault.
type run struct {
	*Stage
	Options
	fault    *Fault
	patterns []string // of the alerts that must fire
	begin    time.Time
	from     int64 // in the pages file
	records  map[string]*Record
	labels   map[string]map[string]string // of the alerts that fire, by name
	ended    func()                       // called when the fault is off, at least once
	metrics  map[string]time.Time         // when the expression of a rule had a result first, by the name of the alert
}

// ByFault switches a fault on, watches what it brings, acknowledges it, switches the fault off, and waits until all has resolved. Whatever happens, the
// fault is off afterwards.
func (s *Stage) ByFault(ctx context.Context, f *Fault, o Options) ([]*Record, error) {
	return s.byFault(ctx, f, f.Fires, o, func() {})
}

// byFault watches the given ones of what a fault fires.
func (s *Stage) byFault(ctx context.Context, f *Fault, fires []string, o Options, ended func()) (records []*Record, err error) {
	defer ended() // also when it was never on
	r := &run{
		Stage: s, Options: o, fault: f, ended: ended,
		records: map[string]*Record{}, labels: map[string]map[string]string{}, metrics: map[string]time.Time{},
	}
	for _, pattern := range fires {
		r.patterns = append(r.patterns, f.Of(s.Clients, pattern))
	}
	if err := r.awaitQuiet(ctx); err != nil {
		return nil, err
	}
	if r.from, err = s.endOfPages(); err != nil {
		return nil, err
	}
	r.begin = time.Now()
	if err := s.turn(ctx, f, "on"); err != nil {
		return nil, err
	}
	defer func() { // without the drill's context, which may have ended
		off, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Patience)
		defer cancel()
		err = errors.Join(err, r.off(off))
	}()
	return r.story(ctx)
}

// awaitQuiet waits until nothing fires that the fault is to fire: what another drill brought takes its time to go.
func (r *run) awaitQuiet(ctx context.Context) error {
	for deadline := time.Now().Add(r.Patience); ; {
		states, err := r.alerts(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(states, func(a alertState) bool { return a.firing && r.wanted(a) })
		switch {
		case i < 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s was firing already, and did not resolve within %s", states[i].name, r.Patience)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// off switches the fault off; the platform answers with an error while the server is not back.
func (r *run) off(ctx context.Context) error {
	for {
		err := r.turn(ctx, r.fault, "off")
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// wanted reports whether an alert is one that the fault must fire. The priority that is drilled is one that it can have: what it has depends on whether
// its client's sale is live.
func (r *run) wanted(a alertState) bool {
	return r.expected(a.labels["alertname"]) && a.labels["source_alertname"] == "" &&
		slices.ContainsFunc(r.patterns, func(p string) bool { return Matches(p, a.name) })
}

func (r *run) story(ctx context.Context) ([]*Record, error) {
	stage := func(patience time.Duration, wanted func() errNotYet) error {
		err := r.until(ctx, patience, wanted)
		if errors.As(err, new(errNotYet)) { // the rest of the story can still be told, and what is missing still come
			return nil
		}
		return err
	}
	if err := stage(r.Patience, r.allTold); err != nil {
		return r.result(nil), err
	}
	if r.Escalate {
		if err := stage(r.longest()+r.Patience, r.allEscalated); err != nil {
			return r.result(nil), err
		}
	}
	if err := r.acknowledge(ctx); err != nil {
		return r.result(nil), err
	}
	off, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	if err := r.off(off); err != nil {
		return r.result(nil), err
	}
	r.ended()
	if err := stage(r.Patience+r.Aftermath, r.allOver); err != nil { // nothing is missing when somebody has interrupted it
		return r.result(nil), err
	}
	missing := slices.Concat(r.allTold(), r.allOver())
	if r.Escalate {
		missing = append(missing, r.allEscalated()...)
	}
	return r.result(missing), nil
}

// errNotYet says what a drill still waits for.
type errNotYet []string

func (e errNotYet) Error() string { return strings.Join(e, "; ") }

// until looks again and again until nothing is missing, or patience ends: what is missing then is in the records.
func (r *run) until(ctx context.Context, patience time.Duration, missing func() errNotYet) error {
	for deadline := time.Now().Add(patience); ; {
		if err := r.look(ctx); err != nil {
			return err
		}
		left := missing()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return left
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// pause is how often a drill looks.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

// record is the time line of an alert, which begins with the fault.
func (r *run) record(a alertState) *Record {
	record, ok := r.records[a.name]
	if !ok {
		record = &Record{Alert: a.name, Priority: a.labels["priority"], How: "the fault " + r.fault.Name}
		record.add(Event{Time: r.begin, What: "fault"})
		r.records[a.name] = record
		r.labels[a.name] = a.labels
	}
	return record
}

// look notes what has happened.
func (r *run) look(ctx context.Context) error {
	states, err := r.alerts(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	firing := map[string]bool{}
	for _, a := range states {
		if !r.wanted(a) {
			continue
		}
		record := r.record(a)
		if !a.firing {
			record.add(Event{Time: a.active, What: "pending"})
			continue
		}
		firing[a.name] = true
		record.add(Event{Time: now, What: "firing"})
	}
	for name, record := range r.records {
		if _, fired := record.time("firing"); fired && !firing[name] {
			record.add(Event{Time: now, What: "resolved", Note: "in Prometheus"})
		}
	}
	r.lookForMetrics(ctx)
	if err := r.lookAtAlertmanager(ctx); err != nil {
		return err
	}
	return r.lookAtPages()
}

// lookForMetrics notes when the expression of a rule has a result for the first time: evaluated now, and not when it is the rule's turn.
func (r *run) lookForMetrics(ctx context.Context) {
	for _, pattern := range r.patterns {
		name := nameOf(pattern)
		if _, known := r.metrics[name]; !known && r.seen(ctx, name) {
			r.metrics[name] = time.Now()
		}
	}
	for _, record := range r.records {
		if at, known := r.metrics[nameOf(record.Alert)]; known {
			record.add(Event{Time: at, What: "metric"})
		}
	}
}

// lookAtAlertmanager corrects when an alert began to fire, and notes what keeps it from being told.
func (r *run) lookAtAlertmanager(ctx context.Context) error {
	alerts, err := r.alertsThere(ctx)
	if err != nil {
		return err
	}
	byPrint := map[string]amapi.Alert{}
	for _, a := range alerts {
		byPrint[a.Fingerprint] = a
	}
	for _, a := range alerts {
		record := r.records[fullName(a.Labels)]
		if record == nil || a.Labels["source_alertname"] != "" {
			continue
		}
		for i := range record.Events {
			if e := &record.Events[i]; e.What == "firing" && a.StartsAt.After(r.begin) {
				e.Time = a.StartsAt
			}
		}
		cause := ""
		if len(a.Status.InhibitedBy) > 0 {
			cause = causeName(byPrint[a.Status.InhibitedBy[0]].Labels)
		}
		record.explain(cause)
	}
	return nil
}

// causeName is the name of an alert that explains others, or of the one that it stands for after its end.
func causeName(labels map[string]string) string {
	if source := labels["source_alertname"]; source != "" {
		return fmt.Sprintf("%s %s %s (%s)", source, labels["client"], labels["subject"], labels["alertname"])
	}
	return fullName(labels)
}

// lookAtPages notes who was told.
func (r *run) lookAtPages() error {
	all, next, err := r.pagesSince(r.from)
	if err != nil {
		return err
	}
	r.from = next
	for _, p := range all {
		r.leaveOut(p)
		for _, a := range p.Alerts {
			source := a.Labels["source_alertname"]
			labels := a.Labels
			if source != "" {
				labels = map[string]string{"alertname": source, "client": a.Labels["client"], "subject": a.Labels["subject"]}
			}
			if record := r.records[fullName(labels)]; record != nil {
				record.page(r.Policy, p, a, r.joined(a))
			}
		}
	}
	return nil
}

// leaveOut notes whose end will not be told: those that are taken when a page says that their group is over, and that are not in it.
func (r *run) leaveOut(p pages.Page) {
	if p.Status != pages.Resolved {
		return
	}
	for name, record := range r.records {
		in := func(a pages.Alert) bool { return fullName(a.Labels) == name }
		of := func(a pages.Alert) bool { return groupOf(a.Labels) == groupOf(r.labels[name]) }
		if _, taken := record.time("acknowledged"); taken && slices.ContainsFunc(p.Alerts, of) && !slices.ContainsFunc(p.Alerts, in) {
			record.LeftOut = append(record.LeftOut, p.Receiver)
		}
	}
}

// page notes a page about the alert, which may have joined a group that was there.
func (r *Record) page(policy *Policy, p pages.Page, a pages.Alert, joined bool) {
	firing, ok := r.time("firing")
	level := a.Labels["escalation"]
	switch {
	case a.Status == pages.Resolved:
		r.add(Event{Time: p.Time, What: "resolved", Note: notifiedOf + p.Receiver})
	case level == "":
		r.Explained = ""
		if ok && firing.Before(a.StartsAt) {
			firing = a.StartsAt
		}
		r.add(Event{Time: p.Time, What: "notified", Note: p.Receiver, Took: p.Time.Sub(firing), Allowed: policy.notify(nameOf(r.Alert), r.Priority, joined)})
	default:
		for _, l := range routing.Levels() {
			if l.Name == level {
				due, late := policy.escalate(l, r.Priority)
				took := p.Time.Sub(firing)
				r.add(Event{Time: p.Time, What: "escalated", Note: l.Name + " " + p.Receiver, Took: took, Allowed: due + late, Early: took < due})
			}
		}
	}
}

// drilled are the records in the order of their alerts.
func (r *run) drilled() []*Record {
	return slices.SortedFunc(maps.Values(r.records), func(a, b *Record) int { return strings.Compare(a.Alert, b.Alert) })
}

// allTold wants that each alert fires for one of its patterns, since for others its turn may come in hours (a backup is not due every minute), and that
// whatever fires is told or explained, unless it was over before somebody had to be told.
func (r *run) allTold() errNotYet {
	var missing errNotYet
	heard := map[string]bool{} // by name
	for _, record := range r.drilled() {
		firing, fired := record.time("firing")
		if !fired {
			continue
		}
		name := nameOf(record.Alert)
		resolved, over := record.time("resolved")
		switch _, told := record.time("notified"); {
		case told || record.Explained != "":
			heard[name] = true
		case !over || resolved.Sub(firing) > r.Policy.notify(name, record.Priority, true):
			heard[name] = true
			missing = append(missing, record.Alert+": nobody was notified")
		}
	}
	for _, pattern := range r.patterns {
		if name := nameOf(pattern); !heard[name] && r.expected(name) {
			heard[name] = true // once is enough
			missing = append(missing, pattern+" did not fire")
		}
	}
	return missing
}

// expected reports whether an alert can have the priority that is drilled.
func (r *run) expected(alert string) bool {
	return r.Priority == "" || slices.ContainsFunc(r.Policy.Alerts, func(a routing.Alert) bool {
		return a.Name == alert && slices.Contains(a.Priorities, r.Priority)
	})
}

// called are the levels that an alert reaches when nobody takes it.
func (r *run) called(record *Record) []routing.Level {
	if record.Explained != "" || r.labels[record.Alert]["team"] == "client_admin" {
		return nil
	}
	var levels []routing.Level
	for _, l := range routing.Levels() {
		if due, _ := r.Policy.escalate(l, record.Priority); due > 0 {
			levels = append(levels, l)
		}
	}
	return levels
}

func (r *run) allEscalated() errNotYet {
	var missing errNotYet
	for _, record := range r.drilled() {
		for _, l := range r.called(record) {
			if !slices.ContainsFunc(record.Events, func(e Event) bool { return e.What == "escalated" && strings.HasPrefix(e.Note, l.Name+" ") }) {
				missing = append(missing, record.Alert+" did not reach "+l.Name)
			}
		}
	}
	return missing
}

// longest is the longest delay of a level.
func (r *run) longest() time.Duration {
	var longest time.Duration
	for _, record := range r.drilled() {
		for _, l := range r.called(record) {
			due, late := r.Policy.escalate(l, record.Priority)
			longest = max(longest, due+late)
		}
	}
	return longest
}

// acknowledge acknowledges the alerts, as somebody who was paged would.
func (r *run) acknowledge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	desk := ack.Desk{Client: r.client, Author: r.Author, Comment: "a drill", Length: ack.DefaultLength}
	for _, record := range r.drilled() {
		if _, told := record.time("notified"); !told {
			continue
		}
		labels := r.labels[record.Alert]
		var matchers []amapi.Matcher
		for _, name := range []string{"alertname", "client", "component", "subject"} {
			matchers = append(matchers, amapi.Matcher{Name: name, Value: labels[name], IsEqual: true})
		}
		selector, err := amapi.Select(matchers...)
		if err != nil {
			return err
		}
		switch _, err := desk.Take(ctx, ack.Selection{Selector: selector}); {
		case errors.Is(err, ack.ErrNoAlert): // it is over already
		case err != nil:
			return err
		default:
			record.add(Event{Time: time.Now(), What: "acknowledged", Note: "by " + r.Author})
		}
	}
	return nil
}

// allOver wants that nothing fires any more, and that whoever was told of an alert was told of its end.
func (r *run) allOver() errNotYet {
	var missing errNotYet
	for _, record := range r.drilled() {
		if _, fired := record.time("firing"); fired && !record.has("resolved", "in Prometheus") {
			missing = append(missing, record.Alert+" did not resolve")
		}
		for _, e := range record.Events {
			_, receiver, escalated := strings.Cut(e.Note, " ") // after the level
			if !escalated {
				receiver = e.Note
			}
			if (e.What == "notified" || e.What == "escalated") && !record.has("resolved", notifiedOf+receiver) && record.Hushed == "" && !slices.Contains(record.LeftOut, receiver) {
				missing = append(missing, receiver+" was not notified that "+record.Alert+" has resolved")
			}
		}
	}
	return missing
}

// result puts what did not come into the records.
func (r *run) result(missing errNotYet) []*Record {
	records := r.drilled()
	for _, record := range records {
		record.settle()
	}
	for _, m := range missing {
		at := slices.IndexFunc(records, func(record *Record) bool { return strings.Contains(m, record.Alert) })
		if at < 0 {
			records = append(records, &Record{Alert: strings.TrimSuffix(m, " did not fire"), How: "the fault " + r.fault.Name})
			at = len(records) - 1
		}
		records[at].Missing = append(records[at].Missing, m)
	}
	return records
}

package drill

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

// Options are the settings of a drill.
type Options struct {
	// Priority restricts the drill to alerts of one priority; empty: P0 and P1.
	Priority string
	// Escalate leaves the alerts unacknowledged until the last level is notified.
	Escalate bool
	// Author is who acknowledges the alerts.
	Author string
	// Patience is how long to wait for an alert to fire, and for it to resolve.
	Patience time.Duration
	// ResolvePatience is how much longer to wait for an alert to resolve: drills at the same time may keep it firing.
	ResolvePatience time.Duration
}

// faultDrill is one drill with a fault.
type faultDrill struct {
	*Environment
	Options
	fault        *Fault
	patterns     []string // of the alerts that must fire
	started      time.Time
	offset       int64 // offset in the notifications file
	records      map[string]*Record
	labels       map[string]map[string]string // of the alerts that fire, by name
	onFaultOff   func()                       // called at least once, when the fault is off
	firstResults map[string]time.Time         // when the expression of a rule first had a result, by alertname
}

// ByFault switches a fault on, follows its alerts, acknowledges them, switches the fault off, and waits until all have resolved. The fault is off
// afterwards, also after an error.
func (e *Environment) ByFault(ctx context.Context, f *Fault, o Options) ([]*Record, error) {
	return e.byFault(ctx, f, f.MustFire, o, func() {})
}

// byFault is ByFault for the given ones of the fault's alerts.
func (e *Environment) byFault(ctx context.Context, f *Fault, patterns []string, o Options, onFaultOff func()) (records []*Record, err error) {
	defer onFaultOff() // also when the fault was never on
	d := &faultDrill{
		Environment: e, Options: o, fault: f, onFaultOff: onFaultOff,
		records: map[string]*Record{}, labels: map[string]map[string]string{}, firstResults: map[string]time.Time{},
	}
	for _, pattern := range patterns {
		d.patterns = append(d.patterns, f.Pattern(e.Clients, pattern))
	}
	if err := d.awaitResolved(ctx); err != nil {
		return nil, err
	}
	if d.offset, err = e.notificationsEnd(); err != nil {
		return nil, err
	}
	d.started = time.Now()
	if err := e.switchFault(ctx, f, "on"); err != nil {
		return nil, err
	}
	defer func() { // with a context that does not end with the drill's
		offCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Patience)
		defer cancel()
		err = errors.Join(err, d.switchOff(offCtx))
	}()
	return d.execute(ctx)
}

// awaitResolved waits until none of the fault's alerts fire: those of an earlier drill take some time to resolve.
func (d *faultDrill) awaitResolved(ctx context.Context) error {
	for deadline := time.Now().Add(d.Patience); ; {
		states, err := d.alertsInPrometheus(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(states, func(a alertState) bool { return a.firing && d.matches(a) })
		switch {
		case i < 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s was firing already, and did not resolve within %s", states[i].name, d.Patience)
		}
		if err := waitForPoll(ctx); err != nil {
			return err
		}
	}
}

// switchOff switches the fault off. It repeats the request, because the platform responds with an error until its server is back.
func (d *faultDrill) switchOff(ctx context.Context) error {
	for {
		err := d.switchFault(ctx, d.fault, "off")
		if err == nil || ctx.Err() != nil {
			return err
		}
		if err := waitForPoll(ctx); err != nil {
			return err
		}
	}
}

// matches reports whether an alert is one that the fault must fire. Its own priority is not compared, since that depends on whether its client's sale
// is live: the drilled priority has to be one that the alert can have.
func (d *faultDrill) matches(a alertState) bool {
	return d.canHavePriority(a.labels["alertname"]) && a.labels["source_alertname"] == "" &&
		slices.ContainsFunc(d.patterns, func(p string) bool { return Matches(p, a.name) })
}

func (d *faultDrill) execute(ctx context.Context) ([]*Record, error) {
	await := func(patience time.Duration, missing func() missingError) error {
		err := d.pollUntil(ctx, patience, missing)
		if errors.As(err, new(missingError)) { // the drill goes on: what is missing may still happen
			return nil
		}
		return err
	}
	if err := await(d.Patience, d.missingNotifications); err != nil {
		return d.result(nil), err
	}
	if d.Escalate {
		if err := await(d.longestEscalation()+d.Patience, d.missingEscalations); err != nil {
			return d.result(nil), err
		}
	}
	if err := d.acknowledge(ctx); err != nil {
		return d.result(nil), err
	}
	offCtx, cancel := context.WithTimeout(ctx, d.Patience)
	defer cancel()
	if err := d.switchOff(offCtx); err != nil {
		return d.result(nil), err
	}
	d.onFaultOff()
	if err := await(d.Patience+d.ResolvePatience, d.missingResolutions); err != nil { // an interrupted drill reports nothing as missing
		return d.result(nil), err
	}
	missing := slices.Concat(d.missingNotifications(), d.missingResolutions())
	if d.Escalate {
		missing = append(missing, d.missingEscalations()...)
	}
	return d.result(missing), nil
}

// missingError lists what a drill still waits for.
type missingError []string

func (e missingError) Error() string { return strings.Join(e, "; ") }

// pollUntil polls until nothing is missing, or patience ends. It then returns a missingError.
func (d *faultDrill) pollUntil(ctx context.Context, patience time.Duration, missing func() missingError) error {
	for deadline := time.Now().Add(patience); ; {
		if err := d.poll(ctx); err != nil {
			return err
		}
		remaining := missing()
		if len(remaining) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return remaining
		}
		if err := waitForPoll(ctx); err != nil {
			return err
		}
	}
}

// waitForPoll waits for the time between two polls.
func waitForPoll(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

// record returns the timeline of an alert. A new one begins with the fault.
func (d *faultDrill) record(a alertState) *Record {
	record, ok := d.records[a.name]
	if !ok {
		record = &Record{Alert: a.name, Priority: a.labels["priority"], Trigger: "the fault " + d.fault.Name}
		record.add(Event{Time: d.started, What: "fault"})
		d.records[a.name] = record
		d.labels[a.name] = a.labels
	}
	return record
}

// poll fetches the state of Prometheus, Alertmanager and the notifications, and adds events to the records.
func (d *faultDrill) poll(ctx context.Context) error {
	states, err := d.alertsInPrometheus(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	firing := map[string]bool{}
	for _, a := range states {
		if !d.matches(a) {
			continue
		}
		record := d.record(a)
		if !a.firing {
			record.add(Event{Time: a.active, What: "pending"})
			continue
		}
		firing[a.name] = true
		record.add(Event{Time: now, What: "firing"})
	}
	for name, record := range d.records {
		if _, fired := record.first("firing"); fired && !firing[name] {
			record.add(Event{Time: now, What: "resolved", Note: "in Prometheus"})
		}
	}
	d.pollExpressions(ctx)
	if err := d.pollAlertmanager(ctx); err != nil {
		return err
	}
	return d.pollNotifications()
}

// pollExpressions records when the expression of a rule first has a result. It evaluates the expression itself, and does not wait for the rule's evaluation.
func (d *faultDrill) pollExpressions(ctx context.Context) {
	for _, pattern := range d.patterns {
		name := alertName(pattern)
		if _, seen := d.firstResults[name]; !seen && d.hasResult(ctx, name) {
			d.firstResults[name] = time.Now()
		}
	}
	for _, record := range d.records {
		if first, seen := d.firstResults[alertName(record.Alert)]; seen {
			record.add(Event{Time: first, What: "metric"})
		}
	}
}

// pollAlertmanager corrects when an alert began to fire, and records which alert inhibits it.
func (d *faultDrill) pollAlertmanager(ctx context.Context) error {
	alerts, err := d.alertsInAlertmanager(ctx)
	if err != nil {
		return err
	}
	byFingerprint := map[string]amclient.Alert{}
	for _, a := range alerts {
		byFingerprint[a.Fingerprint] = a
	}
	for _, a := range alerts {
		record := d.records[fullName(a.Labels)]
		if record == nil || a.Labels["source_alertname"] != "" {
			continue
		}
		for i := range record.Events {
			if e := &record.Events[i]; e.What == "firing" && a.StartsAt.After(d.started) {
				e.Time = a.StartsAt
			}
		}
		source := ""
		if len(a.Status.InhibitedBy) > 0 {
			source = fullName(byFingerprint[a.Status.InhibitedBy[0]].Labels) // of InhibitionSourceRecent the subject is the cause
		}
		record.setInhibitedBy(source)
	}
	return nil
}

// pollNotifications records which receivers were notified.
func (d *faultDrill) pollNotifications() error {
	all, next, err := d.notificationsSince(d.offset)
	if err != nil {
		return err
	}
	d.offset = next
	for _, p := range all {
		d.noteOmittedResolution(p)
		for _, a := range p.Alerts {
			source := a.Labels["source_alertname"]
			labels := a.Labels
			if source != "" {
				labels = map[string]string{"alertname": source, "client": a.Labels["client"], "subject": a.Labels["subject"]}
			}
			if record := d.records[fullName(labels)]; record != nil {
				record.addNotification(d.Policy, p, a, d.joined(a))
			}
		}
	}
	return nil
}

// noteOmittedResolution records acknowledged alerts that are missing in the resolved notification of their group: their resolution is never notified.
func (d *faultDrill) noteOmittedResolution(n webhookreceiver.Notification) {
	if n.Status != webhookreceiver.Resolved {
		return
	}
	for name, record := range d.records {
		isAlert := func(a webhookreceiver.Alert) bool { return fullName(a.Labels) == name }
		inGroup := func(a webhookreceiver.Alert) bool { return groupOf(a.Labels) == groupOf(d.labels[name]) }
		if _, acknowledged := record.first("acknowledged"); acknowledged && slices.ContainsFunc(n.Alerts, inGroup) && !slices.ContainsFunc(n.Alerts, isAlert) {
			record.ResolutionOmitted = append(record.ResolutionOmitted, n.Receiver)
		}
	}
}

// addNotification records a notification about the alert. With joined, the alert has joined an existing group.
func (r *Record) addNotification(policy *Policy, n webhookreceiver.Notification, a webhookreceiver.Alert, joined bool) {
	firing, ok := r.first("firing")
	level := a.Labels["escalation"]
	switch {
	case a.Status == webhookreceiver.Resolved:
		r.add(Event{Time: n.Time, What: "resolved", Note: notifiedOf + n.Receiver})
	case level == "":
		r.InhibitedBy = ""
		if ok && firing.Before(a.StartsAt) {
			firing = a.StartsAt
		}
		r.add(Event{Time: n.Time, What: "notified", Note: n.Receiver, Took: n.Time.Sub(firing), Allowed: policy.notifyDeadline(alertName(r.Alert), r.Priority, joined)})
	default:
		for _, l := range routing.Levels() {
			if l.Name == level {
				due, late := policy.escalationDelay(l, r.Priority)
				took := n.Time.Sub(firing)
				r.add(Event{Time: n.Time, What: "escalated", Note: l.Name + " " + n.Receiver, Took: took, Allowed: due + late, Early: took < due})
			}
		}
	}
}

// sortedRecords are the records, ordered by alert.
func (d *faultDrill) sortedRecords() []*Record {
	return slices.SortedFunc(maps.Values(d.records), func(a, b *Record) int { return strings.Compare(a.Alert, b.Alert) })
}

// missingNotifications lists alerts that have not fired, and firing alerts that were neither notified nor inhibited. Of several patterns with the same
// alertname, one has to fire: others may take hours (a backup is not due every minute). An alert that resolved before the deadline of its
// notification is not missing.
func (d *faultDrill) missingNotifications() missingError {
	var missing missingError
	covered := map[string]bool{} // by name
	for _, record := range d.sortedRecords() {
		firing, fired := record.first("firing")
		if !fired {
			continue
		}
		name := alertName(record.Alert)
		resolved, isResolved := record.first("resolved")
		switch _, notified := record.first("notified"); {
		case notified || record.InhibitedBy != "":
			covered[name] = true
		case !isResolved || resolved.Sub(firing) > d.Policy.notifyDeadline(name, record.Priority, true):
			covered[name] = true
			missing = append(missing, record.Alert+": nobody was notified")
		}
	}
	for _, pattern := range d.patterns {
		if name := alertName(pattern); !covered[name] && d.canHavePriority(name) {
			covered[name] = true // report it once
			missing = append(missing, pattern+" did not fire")
		}
	}
	return missing
}

// canHavePriority reports whether an alert can have the drilled priority.
func (d *faultDrill) canHavePriority(alert string) bool {
	return d.Priority == "" || slices.ContainsFunc(d.Policy.Alerts, func(a routing.Alert) bool {
		return a.Name == alert && slices.Contains(a.Priorities, d.Priority)
	})
}

// escalationLevels are the levels that an alert escalates to while it is unacknowledged.
func (d *faultDrill) escalationLevels(record *Record) []routing.Level {
	if record.InhibitedBy != "" || d.labels[record.Alert]["team"] == "client_admin" {
		return nil
	}
	var levels []routing.Level
	for _, l := range routing.Levels() {
		if due, _ := d.Policy.escalationDelay(l, record.Priority); due > 0 {
			levels = append(levels, l)
		}
	}
	return levels
}

func (d *faultDrill) missingEscalations() missingError {
	var missing missingError
	for _, record := range d.sortedRecords() {
		for _, l := range d.escalationLevels(record) {
			if !slices.ContainsFunc(record.Events, func(e Event) bool { return e.What == "escalated" && strings.HasPrefix(e.Note, l.Name+" ") }) {
				missing = append(missing, record.Alert+" did not reach "+l.Name)
			}
		}
	}
	return missing
}

// longestEscalation is the longest deadline of a level.
func (d *faultDrill) longestEscalation() time.Duration {
	var longest time.Duration
	for _, record := range d.sortedRecords() {
		for _, l := range d.escalationLevels(record) {
			due, late := d.Policy.escalationDelay(l, record.Priority)
			longest = max(longest, due+late)
		}
	}
	return longest
}

// acknowledge acknowledges the alerts, as somebody on call would.
func (d *faultDrill) acknowledge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	acknowledger := ack.Acknowledger{Client: d.client, Author: d.Author, Comment: "a drill", Length: ack.DefaultLength}
	for _, record := range d.sortedRecords() {
		if _, notified := record.first("notified"); !notified {
			continue
		}
		labels := d.labels[record.Alert]
		var matchers []amclient.Matcher
		for _, name := range []string{"alertname", "client", "component", "subject"} {
			matchers = append(matchers, amclient.Matcher{Name: name, Value: labels[name], IsEqual: true})
		}
		selector, err := amclient.Select(matchers...)
		if err != nil {
			return err
		}
		switch _, err := acknowledger.Acknowledge(ctx, ack.Selection{Selector: selector}); {
		case errors.Is(err, ack.ErrNoAlert): // it has already resolved
		case err != nil:
			return err
		default:
			record.add(Event{Time: time.Now(), What: "acknowledged", Note: "by " + d.Author})
		}
	}
	return nil
}

// missingResolutions lists alerts that still fire, and receivers that were notified of an alert but not of its resolution.
func (d *faultDrill) missingResolutions() missingError {
	var missing missingError
	for _, record := range d.sortedRecords() {
		if _, fired := record.first("firing"); fired && !record.has("resolved", "in Prometheus") {
			missing = append(missing, record.Alert+" did not resolve")
		}
		for _, e := range record.Events {
			_, receiver, escalated := strings.Cut(e.Note, " ") // the receiver follows the level
			if !escalated {
				receiver = e.Note
			}
			if (e.What == "notified" || e.What == "escalated") && !record.has("resolved", notifiedOf+receiver) && record.ResolutionInhibitedBy == "" && !slices.Contains(record.ResolutionOmitted, receiver) {
				missing = append(missing, receiver+" was not notified that "+record.Alert+" has resolved")
			}
		}
	}
	return missing
}

// result adds what is missing to the records, and returns them.
func (d *faultDrill) result(missing missingError) []*Record {
	records := d.sortedRecords()
	for _, record := range records {
		record.correctMetricTimes()
	}
	for _, m := range missing {
		at := slices.IndexFunc(records, func(record *Record) bool { return strings.Contains(m, record.Alert) })
		if at < 0 {
			records = append(records, &Record{Alert: strings.TrimSuffix(m, " did not fire"), Trigger: "the fault " + d.fault.Name})
			at = len(records) - 1
		}
		records[at].Missing = append(records[at].Missing, m)
	}
	return records
}

package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/amapi"
)

// Subject is the subject of a synthetic alert, so that it cannot be mistaken for a real one, and a real one stays as it is.
const Subject = "drill"

// madeUp begins the trigger of a synthetic alert.
const madeUp = "a synthetic alert"

// lasts is how long a synthetic alert fires when the drill is killed: then it resolves by itself.
const lasts = 5 * time.Minute

// MakeUp is an alert as a rule would fire it, which says that it is a drill.
func MakeUp(rule Rule, client string, now time.Time) amapi.PostableAlert {
	labels := maps.Clone(rule.Labels)
	// What the rule takes from series.
	maps.DeleteFunc(labels, func(_, value string) bool { return strings.Contains(value, "{{") })
	for name, value := range map[string]string{"alertname": rule.Alert, "client": client, "component": Subject, "team": "technical", "priority": "P0", "severity": "critical", "category": Subject} {
		if labels[name] == "" {
			labels[name] = value
		}
	}
	labels["subject"] = Subject
	return amapi.PostableAlert{
		Labels: labels,
		Annotations: map[string]string{
			"summary":     "DRILL, nothing is broken: " + rule.Annotations["summary"],
			"description": "This is a drill of " + rule.Alert + ". Acknowledge it as if it were real.",
			"runbook_url": rule.Annotations["runbook_url"],
		},
		StartsAt: now, EndsAt: now.Add(lasts),
	}
}

// Synthetic drills a synthetic alert. It reaches Alertmanager and whoever is paged, and never Prometheus: there is no metric, and no escalation,
// which is the work of rules. Without a stage, the drill does not see who is notified; awaiting is how long somebody may take to acknowledge it.
type Synthetic struct {
	Client   *amapi.Client
	Stage    *Stage  // whose pages are watched; nil: none
	Policy   *Policy // of the stage
	Awaiting time.Duration
	Patience time.Duration
}

// Drill runs one.
func (d *Synthetic) Drill(ctx context.Context, rule Rule, client string) (record *Record, err error) {
	alert := MakeUp(rule, client, time.Now())
	record = &Record{Alert: fullName(alert.Labels), Priority: alert.Labels["priority"], How: madeUp}
	var from int64
	if d.Stage != nil {
		if from, err = d.Stage.endOfPages(); err != nil {
			return nil, err
		}
	}
	if err := d.post(ctx, alert); err != nil {
		return nil, err
	}
	record.add(Event{Time: alert.StartsAt, What: "firing", Note: "in Alertmanager"})
	defer func() {
		if _, ended := record.time("resolved"); !ended { // something went wrong on the way
			alert.EndsAt = time.Now()
			_ = d.post(context.WithoutCancel(ctx), alert)
		}
	}()
	watch := func(what string, done func() bool) error {
		for deadline := time.Now().Add(d.Patience); !done(); {
			if d.Stage != nil {
				if from, err = d.see(record, from); err != nil {
					return err
				}
			}
			if err := d.lookAt(ctx, record, alert); err != nil {
				return err
			}
			if done() {
				break
			}
			if time.Now().After(deadline) {
				record.Missing = append(record.Missing, what)
				return nil
			}
			if err := pause(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	told := func() bool { _, ok := record.time("notified"); return ok || record.Explained != "" }
	if d.Stage == nil {
		told = func() bool { return record.has("firing", "received by Alertmanager") || record.Explained != "" }
	}
	if err := watch("nobody was notified", told); err != nil {
		return record, err
	}
	if d.Awaiting > 0 && record.Explained == "" {
		if err := d.await(ctx, record, &alert); err != nil {
			return record, err
		}
	}
	alert.EndsAt = time.Now()
	if err := d.post(ctx, alert); err != nil {
		return record, err
	}
	record.add(Event{Time: alert.EndsAt, What: "resolved", Note: "in Alertmanager"})
	if d.Stage == nil || record.Explained != "" || len(record.Missing) > 0 {
		return record, nil
	}
	return record, watch("nobody was notified of the resolution", func() bool {
		return slices.ContainsFunc(record.Events, func(e Event) bool { return strings.HasPrefix(e.Note, notifiedOf) })
	})
}

func (d *Synthetic) post(ctx context.Context, alert amapi.PostableAlert) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return d.Client.PostAlerts(ctx, alert)
}

// see notes the pages about the alert.
func (d *Synthetic) see(record *Record, from int64) (int64, error) {
	all, next, err := d.Stage.pagesSince(from)
	for _, p := range all {
		for _, a := range p.Alerts {
			if fullName(a.Labels) == record.Alert {
				record.page(d.Policy, p, a, d.Stage.joined(a))
			}
		}
	}
	return next, err
}

// lookAt notes what Alertmanager makes of the alert.
func (d *Synthetic) lookAt(ctx context.Context, record *Record, alert amapi.PostableAlert) error {
	found, err := d.find(ctx, alert)
	if err != nil || found == nil {
		return err
	}
	if d.Stage == nil && len(found.Receivers) > 0 {
		var names []string
		for _, r := range found.Receivers {
			names = append(names, r.Name)
		}
		record.add(Event{Time: time.Now(), What: "firing", Note: "received by Alertmanager"})
		record.add(Event{Time: time.Now(), What: "receivers", Note: strings.Join(names, ", ") + ": check there when it arrived"})
	}
	if _, told := record.time("notified"); !told && len(found.Status.InhibitedBy) > 0 {
		record.Explained = "another firing alert"
	}
	return nil
}

// all are the alerts that Alertmanager has.
func (d *Synthetic) all(ctx context.Context) ([]amapi.Alert, error) {
	if d.Stage != nil {
		return d.Stage.alertsThere(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return d.Client.Alerts(ctx)
}

// find is the alert as Alertmanager has it, or nil.
func (d *Synthetic) find(ctx context.Context, alert amapi.PostableAlert) (*amapi.Alert, error) {
	all, err := d.all(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if maps.Equal(a.Labels, alert.Labels) {
			return &a, nil
		}
	}
	return nil, nil
}

// await waits for a person to acknowledge the alert, and keeps it firing meanwhile.
func (d *Synthetic) await(ctx context.Context, record *Record, alert *amapi.PostableAlert) error {
	for deadline := time.Now().Add(d.Awaiting); time.Now().Before(deadline); {
		if time.Until(alert.EndsAt) < lasts/2 {
			alert.EndsAt = time.Now().Add(lasts)
			if err := d.post(ctx, *alert); err != nil {
				return err
			}
		}
		found, err := d.find(ctx, *alert)
		if err != nil {
			return err
		}
		if found != nil && len(found.Status.SilencedBy) > 0 {
			silence, err := d.Client.Silence(ctx, found.Status.SilencedBy[0])
			if err != nil {
				return err
			}
			record.add(Event{Time: silence.StartsAt, What: "acknowledged", Note: "by " + silence.CreatedBy})
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	record.Missing = append(record.Missing, fmt.Sprintf("not acknowledged within %s", d.Awaiting))
	return nil
}

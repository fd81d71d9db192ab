package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
)

// Subject is the label subject of a synthetic alert: it distinguishes the alert from real ones, whose state a drill must not change.
const Subject = "drill"

// syntheticTrigger is the trigger of a synthetic alert.
const syntheticTrigger = "a synthetic alert"

// syntheticDuration is the time after which a synthetic alert resolves by itself, unless the drill posts it again.
const syntheticDuration = 5 * time.Minute

// SyntheticAlert returns an alert with the labels that the rule would give it, and annotations that say that it is a drill.
func SyntheticAlert(rule Rule, client string, now time.Time) amclient.PostableAlert {
	labels := maps.Clone(rule.Labels)
	// Labels that are templates.
	maps.DeleteFunc(labels, func(_, value string) bool { return strings.Contains(value, "{{") })
	for name, value := range map[string]string{"alertname": rule.Alert, "client": client, "component": Subject, "team": "technical", "priority": "P0", "severity": "critical", "category": Subject} {
		if labels[name] == "" {
			labels[name] = value
		}
	}
	labels["subject"] = Subject
	return amclient.PostableAlert{
		Labels: labels,
		Annotations: map[string]string{
			"summary":     "DRILL, nothing is broken: " + rule.Annotations["summary"],
			"description": "This is a drill of " + rule.Alert + ". Acknowledge it as if it were real.",
			"runbook_url": rule.Annotations["runbook_url"],
		},
		StartsAt: now, EndsAt: now.Add(syntheticDuration),
	}
}

// Synthetic drills synthetic alerts. They reach Alertmanager and its receivers, and never Prometheus: there is no metric, and no escalation, which
// is the work of rules. Without an Environment, the drill does not see which receivers are notified.
type Synthetic struct {
	Client      *amclient.Client
	Environment *Environment // whose notifications are read; nil: none
	Policy      *Policy      // of the environment
	AckTimeout  time.Duration
	Patience    time.Duration
}

// Drill drills one alert.
func (d *Synthetic) Drill(ctx context.Context, rule Rule, client string) (record *Record, err error) {
	alert := SyntheticAlert(rule, client, time.Now())
	record = &Record{Alert: fullName(alert.Labels), Priority: alert.Labels["priority"], Trigger: syntheticTrigger}
	var offset int64
	if d.Environment != nil {
		if offset, err = d.Environment.notificationsEnd(); err != nil {
			return nil, err
		}
	}
	if err := d.post(ctx, alert); err != nil {
		return nil, err
	}
	record.add(Event{Time: alert.StartsAt, What: "firing", Note: "in Alertmanager"})
	defer func() {
		if _, resolved := record.first("resolved"); !resolved { // after an error
			alert.EndsAt = time.Now()
			_ = d.post(context.WithoutCancel(ctx), alert)
		}
	}()
	pollUntil := func(what string, done func() bool) error {
		for deadline := time.Now().Add(d.Patience); !done(); {
			if d.Environment != nil {
				if offset, err = d.pollNotifications(record, offset); err != nil {
					return err
				}
			}
			if err := d.pollAlertmanager(ctx, record, alert); err != nil {
				return err
			}
			if done() {
				break
			}
			if time.Now().After(deadline) {
				record.Missing = append(record.Missing, what)
				return nil
			}
			if err := waitForPoll(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	notified := func() bool { _, ok := record.first("notified"); return ok || record.InhibitedBy != "" }
	if d.Environment == nil {
		notified = func() bool { return record.has("firing", "received by Alertmanager") || record.InhibitedBy != "" }
	}
	if err := pollUntil("nobody was notified", notified); err != nil {
		return record, err
	}
	if d.AckTimeout > 0 && record.InhibitedBy == "" {
		if err := d.awaitAcknowledgement(ctx, record, &alert); err != nil {
			return record, err
		}
	}
	if err := d.unacknowledge(ctx, alert); err != nil {
		return record, err
	}
	alert.EndsAt = time.Now()
	if err := d.post(ctx, alert); err != nil {
		return record, err
	}
	record.add(Event{Time: alert.EndsAt, What: "resolved", Note: "in Alertmanager"})
	if d.Environment == nil || record.InhibitedBy != "" || len(record.Missing) > 0 {
		return record, nil
	}
	return record, pollUntil("nobody was notified of the resolution", func() bool {
		return slices.ContainsFunc(record.Events, func(e Event) bool { return strings.HasPrefix(e.Note, notifiedOf) })
	})
}

func (d *Synthetic) post(ctx context.Context, alert amclient.PostableAlert) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return d.Client.PostAlerts(ctx, alert)
}

// pollNotifications records the notifications about the alert.
func (d *Synthetic) pollNotifications(record *Record, offset int64) (int64, error) {
	all, next, err := d.Environment.notificationsSince(offset)
	for _, n := range all {
		for _, a := range n.Alerts {
			if fullName(a.Labels) == record.Alert {
				record.addNotification(d.Policy, n, a, d.Environment.joined(a))
			}
		}
	}
	return next, err
}

// pollAlertmanager records the receivers of the alert, and whether it is inhibited.
func (d *Synthetic) pollAlertmanager(ctx context.Context, record *Record, alert amclient.PostableAlert) error {
	found, err := d.find(ctx, alert)
	if err != nil || found == nil {
		return err
	}
	if d.Environment == nil && len(found.Receivers) > 0 {
		var names []string
		for _, r := range found.Receivers {
			names = append(names, r.Name)
		}
		record.add(Event{Time: time.Now(), What: "firing", Note: "received by Alertmanager"})
		record.add(Event{Time: time.Now(), What: "receivers", Note: strings.Join(names, ", ") + ": check there when it arrived"})
	}
	if _, notified := record.first("notified"); !notified && len(found.Status.InhibitedBy) > 0 {
		record.InhibitedBy = "another firing alert"
	}
	return nil
}

// alerts lists the alerts of Alertmanager.
func (d *Synthetic) alerts(ctx context.Context) ([]amclient.Alert, error) {
	if d.Environment != nil {
		return d.Environment.alertsInAlertmanager(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return d.Client.Alerts(ctx)
}

// find returns the alert from Alertmanager, or nil.
func (d *Synthetic) find(ctx context.Context, alert amclient.PostableAlert) (*amclient.Alert, error) {
	all, err := d.alerts(ctx)
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

// awaitAcknowledgement waits until somebody acknowledges the alert, and keeps it firing meanwhile.
func (d *Synthetic) awaitAcknowledgement(ctx context.Context, record *Record, alert *amclient.PostableAlert) error {
	for deadline := time.Now().Add(d.AckTimeout); time.Now().Before(deadline); {
		if time.Until(alert.EndsAt) < syntheticDuration/2 {
			alert.EndsAt = time.Now().Add(syntheticDuration)
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
		if err := waitForPoll(ctx); err != nil {
			return err
		}
	}
	record.Missing = append(record.Missing, fmt.Sprintf("not acknowledged within %s", d.AckTimeout))
	return nil
}

// unacknowledge ends the acknowledgement of the synthetic alert. ackd would end it some time after the alert has resolved, until when the resolution is not
// notified: Prometheus sends a resolved alert again, so that it is notified later, but the drill does not.
func (d *Synthetic) unacknowledge(ctx context.Context, alert amclient.PostableAlert) error {
	found, err := d.find(ctx, alert)
	if err != nil || found == nil {
		return err
	}
	for _, id := range found.Status.SilencedBy {
		silence, err := d.Client.Silence(ctx, id)
		if err != nil {
			return err
		}
		own := slices.Contains(silence.Matchers, amclient.Matcher{Name: "subject", Value: Subject, IsEqual: true})
		if own && ack.IsAcknowledgement(&silence) {
			if err := d.Client.ExpireSilence(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

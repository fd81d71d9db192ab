package drill

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

func shipped(t *testing.T) *routing.Routing {
	t.Helper()
	r, err := routing.Load(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryAlertOfP0AndP1HasADrill(t *testing.T) {
	alerts := shipped(t).Alerts
	worst := map[string]string{}
	for _, a := range alerts {
		worst[a.Name] = a.Priorities[0]
	}
	planned := map[string]string{}
	for _, p := range Plans(alerts) {
		planned[p.Alert.Name] = p.Trigger()
		if p.Fault != nil && FindFault(p.Fault.Name) == nil {
			t.Errorf("%s: the fault %s is not found by its name", p.Alert.Name, p.Fault.Name)
		}
	}
	for name, priority := range worst {
		if _, ok := planned[name]; ok != (priority == "P0" || priority == "P1") {
			t.Errorf("%s (%s): has a drill: %t", name, priority, ok)
		}
	}
	byFault := 0
	for _, batch := range Batches() {
		for _, f := range batch {
			for _, pattern := range append(f.MustFire, f.MayFire...) {
				if worst[alertName(pattern)] == "" {
					t.Errorf("the fault %s fires %s, which is no alert", f.Name, pattern)
				}
			}
			if len(f.MustFire) > 0 {
				byFault++
			}
		}
	}
	if byFault < 30 {
		t.Errorf("only %d faults fire alerts", byFault)
	}
	for alert, want := range map[string]string{"DatabaseDown": "fault database-down", "ShopifyDown": "fault shopify-down", "SystemErrorsBurst": "fault recoveries-failing", "PrometheusConfigBad": "synthetic"} {
		if planned[alert] != want {
			t.Errorf("%s is drilled by %q, want %q", alert, planned[alert], want)
		}
	}
}

// TestASyntheticAlertIsNotifiedAcknowledgedAndResolved drills every shipped P0 alert with a real Alertmanager, and acknowledges one.
func TestASyntheticAlertIsNotifiedAcknowledgedAndResolved(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: oncall}\nreceivers: [{name: oncall}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alertmanager, err := servers.StartAlertmanager(t.Context(), folder, servers.AlertmanagerConfig{ConfigFile: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = alertmanager.Kill() })
	client, err := amclient.New(alertmanager.URL(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := LoadRules(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	d := Synthetic{Client: client, Patience: time.Minute}
	for _, p := range Plans(shipped(t).Alerts) {
		if p.Priority() != "P0" {
			continue
		}
		record, err := d.Drill(t.Context(), rules[p.Alert.Name], "north")
		if err != nil || !record.Passed() {
			t.Fatalf("%s: %+v, %v", p.Alert.Name, record, err)
		}
		if !record.has("receivers", "oncall: check there when it arrived") || !record.has("resolved", "in Alertmanager") || record.Priority != "P0" {
			t.Errorf("%s: %+v", p.Alert.Name, record)
		}
	}
	if alerts, err := client.Alerts(t.Context()); err != nil || len(alerts) > 0 {
		t.Errorf("%d alerts are left, %v", len(alerts), err)
	}

	d.AckTimeout = time.Minute
	go func() { // somebody on call
		selector, _ := ack.ParseMatchers("DatabaseDown", "subject="+Subject)
		for t.Context().Err() == nil {
			if _, err := (&ack.Acknowledger{Client: client, Author: "ann", Length: time.Minute}).Acknowledge(t.Context(), ack.Selection{Selector: selector}); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	record, err := d.Drill(t.Context(), rules["DatabaseDown"], routing.Platform)
	if err != nil || !record.Passed() || !record.has("acknowledged", "by ann") {
		t.Errorf("%+v, %v", record, err)
	}
	silences, err := client.Silences(t.Context())
	if err != nil || len(silences) != 1 || silences[0].Active() {
		t.Errorf("the acknowledgement outlives the drill: %+v, %v", silences, err)
	}
	d.AckTimeout = time.Second
	record, err = d.Drill(t.Context(), rules["ShopifyDown"], routing.Platform)
	if err != nil || record.Passed() || !strings.Contains(strings.Join(record.Missing, ""), "not acknowledged within 1s") {
		t.Errorf("nobody acknowledges: %+v, %v", record, err)
	}
}

func TestASyntheticAlertSaysThatItIsADrill(t *testing.T) {
	rules, err := LoadRules(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	a := SyntheticAlert(rules["ClientApiFailing"], "north", time.Now())
	if a.Labels["subject"] != "drill" || a.Labels["client"] != "north" || !strings.HasPrefix(a.Annotations["summary"], "DRILL, nothing is broken: ") || a.EndsAt.IsZero() {
		t.Errorf("%+v", a)
	}
	for name, value := range a.Labels {
		if strings.Contains(value, "{{") || value == "" {
			t.Errorf("label %s is %q", name, value)
		}
	}
	if rules["ClientApiFailing"].Labels["subject"] == "drill" {
		t.Error("the rule itself was changed")
	}
}

func TestAReportSaysWhatWasInTime(t *testing.T) {
	at := func(s float64) time.Time {
		return time.Date(2026, 11, 25, 12, 0, 0, 0, time.Local).Add(time.Duration(s * float64(time.Second)))
	}
	policy := &Policy{Routing: shipped(t), Evaluation: 5 * time.Second}
	r := &Record{Alert: "DatabaseDown _platform main", Priority: "P0", Trigger: "the fault database-down"}
	r.add(Event{Time: at(0), What: "fault"})
	r.add(Event{Time: at(31), What: "firing"})
	notify := func(s float64, receiver, level, status string) {
		labels := map[string]string{"alertname": "DatabaseDown"}
		if level != "" {
			labels["escalation"] = level
		}
		r.addNotification(policy, webhookreceiver.Notification{Time: at(s), Receiver: receiver}, webhookreceiver.Alert{Status: status, Labels: labels, StartsAt: at(31)}, false)
	}
	notify(36, "technical-initial", "", webhookreceiver.Firing)
	notify(3636, "technical-initial", "", webhookreceiver.Firing) // a repetition
	notify(640, "technical-secondary", "L2", webhookreceiver.Firing)
	notify(1230, "management", "L3", webhookreceiver.Firing)
	notify(1900, "emergency", "L4", webhookreceiver.Firing)
	notify(2000, "technical-initial", "", webhookreceiver.Resolved)
	r.Missing = append(r.Missing, "somebody")
	var out strings.Builder
	r.Print(&out)
	want := `P0  DatabaseDown _platform main, by the fault database-down
    12:00:00  +0.0s     fault
    12:00:31  +31.0s    firing
    12:00:36  +36.0s    notified      technical-initial        in time: 5.0s after firing, deadline 15.0s
    12:10:40  +640.0s   escalated     L2 technical-secondary   in time: 609.0s after firing, deadline 625.0s
    12:20:30  +1230.0s  escalated     L3 management            TOO EARLY: after 1199.0s
    12:31:40  +1900.0s  escalated     L4 emergency             LATE: 1869.0s after firing, deadline 1825.0s
    12:33:20  +2000.0s  resolved      notified technical-initial
    MISSING: somebody

`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Passed() {
		t.Error("what was late, early and missing counts as met")
	}
	passed := &Record{Priority: "P0", Trigger: "the fault x", Events: []Event{{Time: at(0), What: "fault"}, {Time: at(20), What: "notified"}}}
	synthetic := &Record{Priority: "P0", Trigger: syntheticTrigger, Events: []Event{{Time: at(0), What: "fault"}, {Time: at(1), What: "notified"}}}
	out.Reset()
	Summary(&out, []*Record{r, passed, synthetic})
	if diff := cmp.Diff("3 alerts drilled: 2 passed, 1 failed\nP0, fault to page: median 28.0s, max 36.0s, n=2\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A drill reports as missing what has not happened by its end: not what was late, what resolved before it had to be notified, or what Alertmanager mutes.
func TestADrillReportsAsMissingWhatHasNotHappenedByTheEnd(t *testing.T) {
	started := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	const first, second = "JobsFailing _platform image", "JobsFailing _platform sync"
	newDrill := func() *faultDrill {
		return &faultDrill{
			Environment: &Environment{Policy: &Policy{Routing: shipped(t), Evaluation: 2 * time.Second}}, fault: FindFault("jobs-failing"),
			patterns: []string{"JobsFailing _platform *"}, started: started, records: map[string]*Record{}, labels: map[string]map[string]string{},
		}
	}
	addEvent := func(d *faultDrill, alert string, seconds int, what, note string) *Record {
		record := d.record(alertState{name: alert, labels: map[string]string{"priority": "P1"}})
		record.add(Event{Time: started.Add(time.Duration(seconds) * time.Second), What: what, Note: note})
		return record
	}
	// acknowledged is an alert that was notified and acknowledged before a receiver is notified that another one of its group has resolved.
	acknowledged := func(receiver string) func(d *faultDrill) {
		return func(d *faultDrill) {
			addEvent(d, first, 60, "firing", "")
			addEvent(d, first, 120, "notified", "technical-initial")
			addEvent(d, first, 121, "acknowledged", "by ann")
			d.labels[first] = map[string]string{"alertname": "JobsFailing", "client": "_platform", "subject": "image"}
			other := map[string]string{"alertname": "JobsFailing", "client": "_platform", "subject": "sync"}
			d.noteOmittedResolution(webhookreceiver.Notification{Status: webhookreceiver.Resolved, Receiver: receiver, Alerts: []webhookreceiver.Alert{{Status: webhookreceiver.Resolved, Labels: other}}})
			addEvent(d, first, 200, "resolved", "in Prometheus")
		}
	}
	for name, test := range map[string]struct {
		happens func(d *faultDrill)
		want    string
	}{
		"nothing":                       {func(*faultDrill) {}, "JobsFailing _platform * did not fire"},
		"fires, and nobody is notified": {func(d *faultDrill) { addEvent(d, first, 60, "firing", "") }, first + ": nobody was notified; " + first + " did not resolve"},
		"resolves before the deadline of its notification": {func(d *faultDrill) {
			addEvent(d, first, 60, "firing", "")
			addEvent(d, first, 70, "resolved", "in Prometheus")
		}, "JobsFailing _platform * did not fire"},
		"one resolves before that deadline, the other is notified": {func(d *faultDrill) {
			addEvent(d, first, 60, "firing", "")
			addEvent(d, first, 70, "resolved", "in Prometheus")
			addEvent(d, second, 60, "firing", "")
			addEvent(d, second, 120, "notified", "technical-initial")
			addEvent(d, second, 200, "resolved", "in Prometheus")
			addEvent(d, second, 210, "resolved", "notified technical-initial")
		}, ""},
		"inhibited": {func(d *faultDrill) {
			addEvent(d, first, 60, "firing", "").setInhibitedBy("DeadLettersGrowing _platform main/image")
			addEvent(d, first, 90, "firing", "").setInhibitedBy("") // the source resolves first
			addEvent(d, first, 200, "resolved", "in Prometheus")
		}, ""},
		"notified, and its resolution is not": {func(d *faultDrill) {
			addEvent(d, first, 60, "firing", "")
			addEvent(d, first, 120, "notified", "technical-initial")
			addEvent(d, first, 200, "resolved", "in Prometheus")
		}, "technical-initial was not notified that " + first + " has resolved"},
		"acknowledged when the others of its group resolve":                      {acknowledged("technical-initial"), ""},
		"acknowledged when the others of its group resolve for another receiver": {acknowledged("management"), "technical-initial was not notified that " + first + " has resolved"},
		"notified, and inhibited when it resolves": {func(d *faultDrill) {
			addEvent(d, first, 60, "firing", "")
			addEvent(d, first, 120, "notified", "technical-initial").setInhibitedBy("DeadLettersGrowing _platform main/image")
			addEvent(d, first, 200, "resolved", "in Prometheus")
		}, ""},
	} {
		d := newDrill()
		test.happens(d)
		if diff := cmp.Diff(test.want, slices.Concat(d.missingNotifications(), d.missingResolutions()).Error()); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

func TestAnAlertThatWasOnlyInhibitedIsDrilledAgainAsSynthetic(t *testing.T) {
	notified := &Record{Alert: "CheckoutFailing a checkout"}
	inhibited := &Record{Alert: "CheckoutFailing b checkout", InhibitedBy: "ApiFailing _platform requests"}
	for want, records := range map[bool][]*Record{true: {inhibited}, false: {inhibited, notified}} {
		p := &Suite{records: records}
		if got := p.onlyInhibited("CheckoutFailing"); got != want {
			t.Errorf("%d records: %t", len(records), got)
		}
	}
	if (&Suite{}).onlyInhibited("CheckoutFailing") {
		t.Error("what was never drilled counts as inhibited")
	}
}

// An alert that joins a group which has already notified is notified after the group_interval.
func TestTheDeadlineOfAnAlertThatJoinsAGroupIsTheGroupInterval(t *testing.T) {
	policy := &Policy{Routing: shipped(t), Evaluation: 2 * time.Second}
	if alone, joined := policy.notifyDeadline("DatabaseDown", "P0", false), policy.notifyDeadline("DatabaseDown", "P0", true); alone != 12*time.Second || joined != 37*time.Second {
		t.Errorf("alone %s, joined %s", alone, joined)
	}
	begin := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	labels := func(client string) map[string]string {
		return map[string]string{"alertname": "ApiFailing", "client": client, "component": "api", "priority": "P0"}
	}
	s := &Environment{Policy: policy}
	first := amclient.Alert{Labels: labels("_platform"), Fingerprint: "a", StartsAt: begin}
	s.groups.record([]amclient.Alert{first}, begin.Add(time.Second))
	s.groups.record([]amclient.Alert{first}, begin.Add(time.Minute))
	for _, test := range []struct {
		client string
		starts time.Duration
		want   bool
	}{
		{"_platform", 0, false}, // itself
		{"_platform", 30 * time.Second, true},
		{"_platform", 90 * time.Second, true}, // the group is empty, and still there
		{"_platform", 16 * time.Minute, true}, // Prometheus says to the last that the first has resolved
		{"_platform", 18 * time.Minute, false},
		{"someone", 30 * time.Second, false},
	} {
		if got := s.joined(webhookreceiver.Alert{Labels: labels(test.client), StartsAt: begin.Add(test.starts)}); got != test.want {
			t.Errorf("of %s after %s: %t", test.client, test.starts, got)
		}
	}
}

func TestDrillsShareAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s cached[int]
		fetches, broken := 0, errors.New("try again later")
		fetch := func(err error) func() (int, error) {
			return func() (int, error) { fetches++; return fetches, err }
		}
		if _, err := s.get(fetch(broken)); !errors.Is(err, broken) {
			t.Errorf("a question that failed: %v", err)
		}
		for range 10 {
			if got, err := s.get(fetch(nil)); got != 2 || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		}
		time.Sleep(2 * maxAge)
		if got, err := s.get(fetch(nil)); got != 3 || err != nil {
			t.Errorf("later: %d, %v", got, err)
		}
	})
}

func TestNotificationsAreReadOnceAndInWholeLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notifications.jsonl")
	s := &Environment{}
	s.state.NotificationsFile = file
	line, err := json.Marshal(webhookreceiver.Notification{Receiver: "a"})
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write(string(line) + "\n" + string(line[:5]))
	got, next, err := s.notificationsSince(0)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d notifications, %v", len(got), err)
	}
	write(string(line[5:]) + "\n")
	if got, _, err = s.notificationsSince(next); err != nil || len(got) != 1 || got[0].Receiver != "a" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestASuiteDrillsEachAlertByOneFaultAndOutagesLast(t *testing.T) {
	plans := Plans(shipped(t).Alerts)
	by := map[string]string{}
	outages := false
	for i, batch := range assignments(plans) {
		outage := false
		for _, a := range batch {
			outage = outage || a.fault.Outage
			for _, pattern := range a.patterns {
				name := alertName(pattern)
				if other := by[name]; other != "" && other != a.fault.Name {
					t.Errorf("%s is drilled by %s and by %s", name, other, a.fault.Name)
				}
				by[name] = a.fault.Name
			}
		}
		if outages && !outage {
			t.Errorf("turn %d has no outage, and comes after one that has", i)
		}
		outages = outage
	}
	if !outages {
		t.Error("no turn has an outage")
	}
	for _, p := range plans {
		if drilled := by[p.Alert.Name]; p.Fault != nil && drilled != p.Fault.Name || p.Fault == nil && drilled != "" {
			t.Errorf("%s is drilled by %q, and planned %s", p.Alert.Name, drilled, p.Trigger())
		}
	}
	only := Plan{Alert: routing.Alert{Name: "StateConflicts"}, Fault: FindFault("state-conflicts")}
	if all := assignments([]Plan{only}); len(all) != 1 || len(all[0]) != 1 || all[0][0].fault.Name != "state-conflicts" {
		t.Errorf("one alert: %+v", all)
	}
}

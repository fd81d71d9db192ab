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

	"github.com/consignwatch/consignwatch/pkg/ack"
	"github.com/consignwatch/consignwatch/pkg/amapi"
	"github.com/consignwatch/consignwatch/pkg/pages"
	"github.com/consignwatch/consignwatch/pkg/routing"
	"github.com/consignwatch/consignwatch/pkg/servers"
)

func shipped(t *testing.T) *routing.Routing {
	t.Helper()
	r, err := routing.Load(os.DirFS("../.."))
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
		planned[p.Alert.Name] = p.How()
		if p.Fault != nil && FaultNamed(p.Fault.Name) == nil {
			t.Errorf("%s: the fault %s is not found by its name", p.Alert.Name, p.Fault.Name)
		}
	}
	for name, priority := range worst {
		if _, ok := planned[name]; ok != (priority == "P0" || priority == "P1") {
			t.Errorf("%s (%s): has a drill: %t", name, priority, ok)
		}
	}
	byFault := 0
	for _, turn := range Turns() {
		for _, f := range turn {
			for _, pattern := range append(f.Fires, f.May...) {
				if worst[nameOf(pattern)] == "" {
					t.Errorf("the fault %s fires %s, which is no alert", f.Name, pattern)
				}
			}
			if len(f.Fires) > 0 {
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

// TestAMadeUpAlertIsSeenAcknowledgedAndOver drills every shipped alert of P0 against a real Alertmanager, and one is acknowledged.
func TestAMadeUpAlertIsSeenAcknowledgedAndOver(t *testing.T) {
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
	client, err := amapi.New(alertmanager.URL(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := Rules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	d := Synthetic{Client: client, Patience: time.Minute}
	for _, p := range Plans(shipped(t).Alerts) {
		if p.Priority() != "P0" {
			continue
		}
		record, err := d.Drill(t.Context(), rules[p.Alert.Name], "north")
		if err != nil || !record.Met() {
			t.Fatalf("%s: %+v, %v", p.Alert.Name, record, err)
		}
		if !record.has("receivers", "oncall: check there when it arrived") || !record.has("resolved", "in Alertmanager") || record.Priority != "P0" {
			t.Errorf("%s: %+v", p.Alert.Name, record)
		}
	}
	if alerts, err := client.Alerts(t.Context()); err != nil || len(alerts) > 0 {
		t.Errorf("%d alerts are left, %v", len(alerts), err)
	}

	d.Awaiting = time.Minute
	go func() { // somebody on call
		selector, _ := ack.ParseMatchers("DatabaseDown", "subject="+Subject)
		for t.Context().Err() == nil {
			if _, err := (&ack.Desk{Client: client, Author: "ann", Length: time.Minute}).Take(t.Context(), ack.Selection{Selector: selector}); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	record, err := d.Drill(t.Context(), rules["DatabaseDown"], routing.Platform)
	if err != nil || !record.Met() || !record.has("acknowledged", "by ann") {
		t.Errorf("%+v, %v", record, err)
	}
	d.Awaiting = time.Second
	record, err = d.Drill(t.Context(), rules["ShopifyDown"], routing.Platform)
	if err != nil || record.Met() || !strings.Contains(strings.Join(record.Missing, ""), "not acknowledged within 1s") {
		t.Errorf("nobody acknowledges: %+v, %v", record, err)
	}
}

func TestAMadeUpAlertSaysThatItIsOne(t *testing.T) {
	rules, err := Rules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	a := MakeUp(rules["ClientApiFailing"], "north", time.Now())
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
	r := &Record{Alert: "DatabaseDown _platform main", Priority: "P0", How: "the fault database-down"}
	r.add(Event{Time: at(0), What: "fault"})
	r.add(Event{Time: at(31), What: "firing"})
	page := func(s float64, receiver, level, status string) {
		labels := map[string]string{"alertname": "DatabaseDown"}
		if level != "" {
			labels["escalation"] = level
		}
		r.page(policy, pages.Page{Time: at(s), Receiver: receiver}, pages.Alert{Status: status, Labels: labels, StartsAt: at(31)}, false)
	}
	page(36, "technical-initial", "", pages.Firing)
	page(3636, "technical-initial", "", pages.Firing) // a repetition
	page(640, "technical-secondary", "L2", pages.Firing)
	page(1230, "management", "L3", pages.Firing)
	page(1900, "emergency", "L4", pages.Firing)
	page(2000, "technical-initial", "", pages.Resolved)
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
	if r.Met() {
		t.Error("what was late, early and missing counts as met")
	}
	quick := &Record{Priority: "P0", How: "the fault x", Events: []Event{{Time: at(0), What: "fault"}, {Time: at(20), What: "notified"}}}
	made := &Record{Priority: "P0", How: madeUp, Events: []Event{{Time: at(0), What: "fault"}, {Time: at(1), What: "notified"}}}
	out.Reset()
	Summary(&out, []*Record{r, quick, made})
	if diff := cmp.Diff("3 alerts drilled: 2 passed, 1 failed\nP0, fault to page: median 28.0s, max 36.0s, n=2\n", out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a drill misses is what has not come in the end: not what was late, what nobody had to be told of, or what Alertmanager mutes.
func TestADrillMissesWhatHasNotComeInTheEnd(t *testing.T) {
	begin := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	const first, second = "JobsFailing _platform image", "JobsFailing _platform sync"
	fresh := func() *run {
		return &run{
			Stage: &Stage{Policy: &Policy{Routing: shipped(t), Evaluation: 2 * time.Second}}, fault: FaultNamed("jobs-failing"),
			patterns: []string{"JobsFailing _platform *"}, begin: begin, records: map[string]*Record{}, labels: map[string]map[string]string{},
		}
	}
	see := func(r *run, alert string, seconds int, what, note string) *Record {
		record := r.record(alertState{name: alert, labels: map[string]string{"priority": "P1"}})
		record.add(Event{Time: begin.Add(time.Duration(seconds) * time.Second), What: what, Note: note})
		return record
	}
	// taken is told and taken, and others of its group are over before it: so a receiver hears.
	taken := func(receiver string) func(r *run) {
		return func(r *run) {
			see(r, first, 60, "firing", "")
			see(r, first, 120, "notified", "technical-initial")
			see(r, first, 121, "acknowledged", "by ann")
			r.labels[first] = map[string]string{"alertname": "JobsFailing", "client": "_platform", "subject": "image"}
			other := map[string]string{"alertname": "JobsFailing", "client": "_platform", "subject": "sync"}
			r.leaveOut(pages.Page{Status: pages.Resolved, Receiver: receiver, Alerts: []pages.Alert{{Status: pages.Resolved, Labels: other}}})
			see(r, first, 200, "resolved", "in Prometheus")
		}
	}
	for name, test := range map[string]struct {
		happens func(r *run)
		want    string
	}{
		"nothing":                   {func(*run) {}, "JobsFailing _platform * did not fire"},
		"fires, and nobody is told": {func(r *run) { see(r, first, 60, "firing", "") }, first + ": nobody was notified; " + first + " did not resolve"},
		"over before anybody had to be told": {func(r *run) {
			see(r, first, 60, "firing", "")
			see(r, first, 70, "resolved", "in Prometheus")
		}, "JobsFailing _platform * did not fire"},
		"one is over so soon, the other is told": {func(r *run) {
			see(r, first, 60, "firing", "")
			see(r, first, 70, "resolved", "in Prometheus")
			see(r, second, 60, "firing", "")
			see(r, second, 120, "notified", "technical-initial")
			see(r, second, 200, "resolved", "in Prometheus")
			see(r, second, 210, "resolved", "notified technical-initial")
		}, ""},
		"explained": {func(r *run) {
			see(r, first, 60, "firing", "").explain("DeadLettersGrowing _platform main/image")
			see(r, first, 90, "firing", "").explain("") // the cause ends first
			see(r, first, 200, "resolved", "in Prometheus")
		}, ""},
		"told, and nobody hears that it is over": {func(r *run) {
			see(r, first, 60, "firing", "")
			see(r, first, 120, "notified", "technical-initial")
			see(r, first, 200, "resolved", "in Prometheus")
		}, "technical-initial was not notified that " + first + " has resolved"},
		"taken when the others of its group are over":                   {taken("technical-initial"), ""},
		"taken when the others of its group are over for somebody else": {taken("management"), "technical-initial was not notified that " + first + " has resolved"},
		"told, and explained at its end": {func(r *run) {
			see(r, first, 60, "firing", "")
			see(r, first, 120, "notified", "technical-initial").explain("DeadLettersGrowing _platform main/image")
			see(r, first, 200, "resolved", "in Prometheus")
		}, ""},
	} {
		r := fresh()
		test.happens(r)
		if diff := cmp.Diff(test.want, slices.Concat(r.allTold(), r.allOver()).Error()); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatACauseOutlastsIsDrilledAgainMadeUp(t *testing.T) {
	told := &Record{Alert: "CheckoutFailing a checkout"}
	explained := &Record{Alert: "CheckoutFailing b checkout", Explained: "ApiFailing _platform requests"}
	for want, records := range map[bool][]*Record{true: {explained}, false: {explained, told}} {
		p := &Program{records: records}
		if got := p.onlyExplained("CheckoutFailing"); got != want {
			t.Errorf("%d records: %t", len(records), got)
		}
	}
	if (&Program{}).onlyExplained("CheckoutFailing") {
		t.Error("what was never drilled counts as explained")
	}
	const want = "ApiFailing _platform requests (InhibitionSourceRecent)"
	if got := causeName(map[string]string{"alertname": "InhibitionSourceRecent", "source_alertname": "ApiFailing", "client": "_platform", "subject": "requests"}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What comes into a group that has told of something already is told at its next interval.
func TestTheDeadlineOfWhatJoinsAGroupIsItsInterval(t *testing.T) {
	policy := &Policy{Routing: shipped(t), Evaluation: 2 * time.Second}
	if alone, joined := policy.notify("DatabaseDown", "P0", false), policy.notify("DatabaseDown", "P0", true); alone != 12*time.Second || joined != 37*time.Second {
		t.Errorf("alone %s, joined %s", alone, joined)
	}
	begin := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	labels := func(client string) map[string]string {
		return map[string]string{"alertname": "ApiFailing", "client": client, "component": "api", "priority": "P0"}
	}
	s := &Stage{Policy: policy}
	first := amapi.Alert{Labels: labels("_platform"), Fingerprint: "a", StartsAt: begin}
	s.groups.note([]amapi.Alert{first}, begin.Add(time.Second))
	s.groups.note([]amapi.Alert{first}, begin.Add(time.Minute))
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
		if got := s.joined(pages.Alert{Labels: labels(test.client), StartsAt: begin.Add(test.starts)}); got != test.want {
			t.Errorf("of %s after %s: %t", test.client, test.starts, got)
		}
	}
}

func TestDrillsShareAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shared[int]
		asked, broken := 0, errors.New("try again later")
		ask := func(err error) func() (int, error) {
			return func() (int, error) { asked++; return asked, err }
		}
		if _, err := s.get(ask(broken)); !errors.Is(err, broken) {
			t.Errorf("a question that failed: %v", err)
		}
		for range 10 {
			if got, err := s.get(ask(nil)); got != 2 || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		}
		time.Sleep(2 * fresh)
		if got, err := s.get(ask(nil)); got != 3 || err != nil {
			t.Errorf("later: %d, %v", got, err)
		}
	})
}

func TestPagesAreReadOnceAndWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pages.jsonl")
	s := &Stage{}
	s.state.PagesFile = file
	line, err := json.Marshal(pages.Page{Receiver: "a"})
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
	got, next, err := s.pagesSince(0)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d pages, %v", len(got), err)
	}
	write(string(line[5:]) + "\n")
	if got, _, err = s.pagesSince(next); err != nil || len(got) != 1 || got[0].Receiver != "a" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAProgramDrillsEachAlertByOneFaultAndOutagesLast(t *testing.T) {
	plans := Plans(shipped(t).Alerts)
	by := map[string]string{}
	outages := false
	for i, turn := range assignments(plans) {
		outage := false
		for _, a := range turn {
			outage = outage || a.fault.Outage
			for _, pattern := range a.fires {
				name := nameOf(pattern)
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
			t.Errorf("%s is drilled by %q, and planned %s", p.Alert.Name, drilled, p.How())
		}
	}
	only := Plan{Alert: routing.Alert{Name: "StateConflicts"}, Fault: FaultNamed("state-conflicts")}
	if all := assignments([]Plan{only}); len(all) != 1 || len(all[0]) != 1 || all[0][0].fault.Name != "state-conflicts" {
		t.Errorf("one alert: %+v", all)
	}
}

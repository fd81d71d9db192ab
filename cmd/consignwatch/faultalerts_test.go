package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/alertmanager"
	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/rules"
)

// quicker is how much shorter all windows and waits of the rules are in this test. The thresholds are the shipped ones. In windows so short one
// failure among a few is a large share; so the platform is one on which nothing fails by itself.
const quicker = 10

// faultAlerts says which alerts of P0 and P1 a fault fires, as "alertname client subject"; @ is the fault's client, and * any ending. In
// `fires` are those that must, in `may` those that follow from it and may or may not get over their threshold in time.
type faultAlerts struct {
	fault  string
	client int // index of the client, or all
	fires  []string
	may    []string
}

func TestEachFaultFiresItsAlertsAndNoOthers(t *testing.T) {
	t.Parallel() // it mostly waits
	state := runQuickDemo(t)
	clients := platformClients(t, state)
	await(t, "a healthy platform", func() string {
		if len(ask(t, state, "client:incident_priority:info")) < len(clients) || len(ask(t, state, "platform:consign_api_requests:rate5m > 1")) == 0 {
			return "nothing is recorded yet"
		}
		return strings.Join(slices.Sorted(maps.Keys(firing(t, state))), ", ")
	})
	for i, turn := range faultTurns() {
		if !t.Run(strconv.Itoa(i), func(t *testing.T) { provoke(t, state, clients, turn) }) {
			t.Logf("turn %d has failed; the next one may find its alerts", i)
		}
	}
}

// provoke switches the faults of a turn on and off, and compares the alerts that fire from the beginning until all is well again with those
// that the table says.
func provoke(t *testing.T, state demo.State, clients []string, turn []faultAlerts) {
	must, may := map[string]string{}, map[string]string{}
	for _, f := range turn {
		for _, a := range f.fires {
			must[f.of(clients, a)] = f.fault
		}
		for _, a := range f.may {
			may[f.of(clients, a)] = f.fault
		}
		switchFault(t, state, f.fault, "on"+f.query(clients))
	}
	seen := map[string]bool{}
	look := func() (missing string) {
		for a := range firing(t, state) {
			if !seen[a] && !matches(must, a) && !matches(may, a) {
				t.Errorf("%s fires, and no fault says so", a)
			}
			seen[a] = true
		}
		var all []string
		for pattern, fault := range must {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(seen)), func(a string) bool { return matches(map[string]string{pattern: fault}, a) }) {
				all = append(all, pattern+" ("+fault+")")
			}
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	deadline := time.Now().Add(4 * time.Minute)
	for missing := look(); missing != ""; missing = look() {
		if time.Now().After(deadline) {
			t.Errorf("do not fire: %s", missing)
			break
		}
		time.Sleep(time.Second)
	}
	for _, f := range slices.Backward(turn) {
		switchFault(t, state, f.fault, "off"+f.query(clients))
	}
	deadline = time.Now().Add(5 * time.Minute)
	for left := slices.Sorted(maps.Keys(firing(t, state))); len(left) > 0; left = slices.Sorted(maps.Keys(firing(t, state))) {
		look()
		if time.Now().After(deadline) {
			t.Fatalf("still firing: %s", strings.Join(left, ", "))
		}
		time.Sleep(time.Second)
	}
	t.Logf("fired: %s", strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
}

// of fills the fault's client into an alert of the table.
func (f faultAlerts) of(clients []string, alert string) string {
	if f.client == all {
		return alert
	}
	return strings.ReplaceAll(alert, "@", clients[f.client])
}

func (f faultAlerts) query(clients []string) string {
	if f.client == all {
		return ""
	}
	return "?client=" + url.QueryEscape(clients[f.client])
}

// matches reports whether an alert is one of the patterns: "alertname client subject", or a beginning of it and an asterisk.
func matches(patterns map[string]string, alert string) bool {
	for pattern := range patterns {
		if prefix, open := strings.CutSuffix(pattern, "*"); pattern == alert || open && strings.HasPrefix(alert, prefix) {
			return true
		}
	}
	return false
}

// firing asks which alerts of P0 and P1 fire, but for those on budgets: with one fault after the other for half an hour every budget
// burns. What they say is tested with the rules.
func firing(t *testing.T, state demo.State) map[string]bool {
	t.Helper()
	prometheus, _ := state.Part("prometheus")
	response, err := http.Get(prometheus.URL + "/api/v1/query?" + url.Values{"query": {`ALERTS{alertstate="firing",priority=~"P0|P1",alertname!~"SloBudget.*"}`}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Metric map[string]string }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	alerts := map[string]bool{}
	for _, r := range answer.Data.Result {
		alerts[fmt.Sprintf("%s %s %s", r.Metric["alertname"], r.Metric["client"], r.Metric["subject"])] = true
	}
	return alerts
}

func platformClients(t *testing.T, state demo.State) []string {
	t.Helper()
	part, _ := state.Part("platform-sim")
	response, err := http.Get(part.URL + "/state")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Clients []string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Clients
}

// runQuickDemo runs the demo with rules whose windows are shorter, until the test ends.
func runQuickDemo(t *testing.T) demo.State {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.json")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, demo.Config{
			Clients: 6, Events: 12, Items: 1000, Seed: 1, Speed: 60, Flawless: true, Interval: 2 * time.Second,
			StateFile: file, Rules: quickened(t, rules.Files), Alertmanager: alertmanager.Files, Out: t.Output(),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo: %v", err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if state, err := demo.ReadState(file); err == nil {
			return state
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the demo is not up")
		}
	}
}

var (
	windows = regexp.MustCompile(`\[(\d+[smhd])(:(\d+[smhd])?)?\]`)
	waits   = regexp.MustCompile(`(offset |for: )(\d+[smhd])\b`)
)

// quickened shortens the windows, offsets and waits of rules.
func quickened(t *testing.T, shipped fs.FS) fs.FS {
	t.Helper()
	short := func(text string) string {
		d, err := model.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return model.Duration(time.Duration(d) / quicker).String()
	}
	quick := fstest.MapFS{}
	err := fs.WalkDir(shipped, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(shipped, name)
		if err != nil {
			return err
		}

		edited := windows.ReplaceAllStringFunc(string(text), func(window string) string {
			parts := windows.FindStringSubmatch(window)
			switch {
			case parts[3] != "":
				return "[" + short(parts[1]) + ":" + short(parts[3]) + "]"
			default:
				return "[" + short(parts[1]) + parts[2] + "]"
			}
		})
		edited = waits.ReplaceAllStringFunc(edited, func(wait string) string {
			parts := waits.FindStringSubmatch(wait)
			return parts[1] + short(parts[2])
		})
		quick[name] = &fstest.MapFile{Data: []byte(edited), Mode: 0o600}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return quick
}

var drills = regexp.MustCompile("(?m)^Drill: `consignwatch demo --fault ([a-z-]+)`")

// slow are the drills whose alerts wait for a fixed time of a quarter of an hour or more, which shorter windows do not shorten, and those
// on budgets, which the table leaves out.
var slow = map[string]bool{"SloBudgetBurningFast": true, "SyncStalled": true, "ConsignwatchStreamStopped": true, "BackupTooOld": true}

// lower are the alerts below P1 with a drill: the table has none of those.
var lower = map[string]bool{"ValidationFailuresBurst": true, "ConsignwatchRecordsUnreadable": true, "ConsignwatchDataStale": true}

func TestRunbooksNameAFaultThatFiresTheirAlert(t *testing.T) {
	fires := map[string][]string{} // alerts by fault
	for _, turn := range faultTurns() {
		for _, f := range turn {
			for _, a := range slices.Concat(f.fires, f.may) {
				name, _, _ := strings.Cut(a, " ")
				fires[f.fault] = append(fires[f.fault], name)
			}
		}
	}
	runbooks, err := filepath.Glob("../../docs/runbooks/[A-Z]*.md")
	if err != nil || len(runbooks) == 0 {
		t.Fatalf("%d runbooks: %v", len(runbooks), err)
	}
	drilled := map[string]bool{}
	for _, file := range runbooks {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		alert := strings.TrimSuffix(filepath.Base(file), ".md")
		for _, match := range drills.FindAllStringSubmatch(string(text), -1) {
			drilled[alert] = true
			if fault := match[1]; !slices.Contains(fires[fault], alert) && !slow[alert] && !lower[alert] {
				t.Errorf("%s: the fault %s does not fire %s in faultTurns", file, fault, alert)
			}
		}
	}
	for fault, alerts := range fires {
		for _, a := range alerts[:min(1, len(alerts))] { // the first one is what the fault is for
			if !drilled[a] {
				t.Errorf("docs/runbooks/%s.md: names no drill; the fault %s fires it", a, fault)
			}
		}
	}
}

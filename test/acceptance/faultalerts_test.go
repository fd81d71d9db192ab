//go:build acceptance

package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/alertmanager"
	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/pkg/demo/drill"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/rules"
	"github.com/consignwatch/consignwatch/test/stack"
)

const (
	warmUp = 3 * time.Minute // until all rates have their windows, and all collectors have run
	// A fault has to fire its alerts within this time: the longest wait of a rule is ten minutes, and follows a window of five.
	longestFault = 17 * time.Minute
	// Its alerts have to resolve within this time after it, but for those in slowToResolve.
	longestResolve = 25 * time.Minute
)

// slowToResolve are alerts whose rules have windows of half an hour and more: the rules' own tests show that they resolve.
var slowToResolve = []string{"DuplicateRecords", "SyncConflicts"}

// TestFaultsFireTheirAlertsAndNoOthers switches faults on and off in running stacks with the shipped rules, scraped as in deploy/examples, and runs a healthy one
// for a day. The stacks run side by side: each uses a twentieth of a core.
func TestFaultsFireTheirAlertsAndNoOthers(t *testing.T) {
	t.Parallel()
	declared, err := drill.LoadRules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for i, batch := range drill.Batches() {
		t.Run(fmt.Sprintf("faults %d", i), func(t *testing.T) {
			t.Parallel()
			state := runDemo(t, demo.Config{Clients: 6, Events: 12, Items: 2000, Seed: 1, Speed: 60, Flawless: true})
			awaitHealth(t, state)
			for _, problem := range checkBatch(t, state, platformClients(t, state), declared, batch) {
				t.Error(problem)
			}
		})
	}
	t.Run("a quiet day", func(t *testing.T) {
		t.Parallel()
		const (
			speed = 60
			day   = 24 * time.Hour / speed
		)
		state := runDemo(t, demo.Config{Clients: 6, Events: 12, Items: 3000, Seed: 1, Speed: speed, Flawless: true, Nights: true})
		awaitHealth(t, state)
		runDay(t, state, speed, day)
	})
}

// awaitHealth waits until the rules have recorded the platform, and no alert is pending or firing.
func awaitHealth(t *testing.T, state statefile.State) {
	t.Helper()
	pause(t, warmUp)
	stack.Await(t, "a healthy platform", func() string {
		if len(stack.Values(t, state, "platform:consign_api_requests:rate5m > 1")) == 0 || len(stack.Values(t, state, "up == 0")) > 0 {
			return "nothing is recorded yet"
		}
		return strings.Join(slices.Sorted(maps.Keys(alertsInState(t, state, "pending|firing"))), ", ")
	})
}

// pause lets a stack run for a time.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-time.After(d):
	}
}

// runDay runs a healthy platform for a day, from noon to noon and faster than real time: with a peak of a sale in the evening, and a night without users. No alert of
// any priority may fire. It checks that the traffic has a peak and a low.
func runDay(t *testing.T, state statefile.State, speed time.Duration, day time.Duration) {
	t.Helper()
	const requestRate = `sum(rate(consign_api_requests_total{route!="/healthz"}[1m]))`
	begin := time.Now()
	maximum, minimum := 0.0, math.Inf(1) // requests of users per second
	fired := map[string]bool{}
	for time.Since(begin) < day {
		pause(t, pollInterval)
		for alert := range alertsInState(t, state, "firing") {
			if !fired[alert] {
				fired[alert] = true
				t.Errorf("%s fires, %v into the day", alert, (time.Since(begin) * speed).Round(time.Minute))
			}
		}
		for _, requests := range stack.Query(t, state, requestRate) {
			maximum, minimum = max(maximum, requests.Value), min(minimum, requests.Value)
		}
	}
	if maximum < 5 || minimum > maximum/20 {
		t.Errorf("users made %.1f requests per second at most and %.2f at least, want a peak and a night", maximum, minimum)
	}
	t.Logf("requests per second: %.1f at most, %.2f at least", maximum, minimum)
}

// pollInterval is how often the alerts are queried: at least once per evaluation of the rules.
const pollInterval = 5 * time.Second

// checkBatch switches the faults of a batch on and off, and returns how the alerts that fire until all have resolved differ from those of the table. P2 and P3
// alerts may also fire on a component that the table has an alert on: which of them pass their thresholds differs from run to run.
func checkBatch(t *testing.T, state statefile.State, clients []string, declared map[string]drill.Rule, batch []drill.Fault) (wrong []string) {
	must, may := map[string]string{}, map[string]string{}
	components := map[string]bool{}
	for _, a := range drill.AlwaysAllowed() {
		may[a] = "any fault"
	}
	for _, f := range batch {
		for _, a := range f.MustFire {
			must[f.Pattern(clients, a)] = f.Name
		}
		for _, a := range f.Allowed() {
			may[f.Pattern(clients, a)] = f.Name
		}
		for _, a := range slices.Concat(f.MustFire, f.MayFire) {
			name, _, _ := strings.Cut(a, " ")
			components[declared[name].Labels["component"]] = true
		}
		stack.SwitchFault(t, state, f.Name, "on"+query(&f, clients))
	}
	lowPriority := func(alert string) bool {
		name, _, _ := strings.Cut(alert, " ")
		labels := declared[name].Labels
		return (labels["priority"] == "P2" || labels["priority"] == "P3") && components[labels["component"]]
	}
	seen := map[string]bool{}
	poll := func() (missing []string) {
		for a := range alertsInState(t, state, "firing") {
			if !seen[a] && !matches(must, a) && !matches(may, a) && !lowPriority(a) {
				wrong = append(wrong, a+" fires, and no fault says so")
			}
			seen[a] = true
		}
		for pattern, fault := range must {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(seen)), func(a string) bool { return matches(map[string]string{pattern: fault}, a) }) {
				missing = append(missing, fmt.Sprintf("%s does not fire (%s)", pattern, fault))
			}
		}
		return missing
	}
	begin := time.Now()
	for missing := poll(); len(missing) > 0; missing = poll() {
		if time.Since(begin) > longestFault {
			wrong = append(wrong, missing...)
			break
		}
		pause(t, pollInterval)
	}
	t.Logf("on for %s", time.Since(begin).Round(time.Second))
	for _, f := range slices.Backward(batch) {
		stack.SwitchFault(t, state, f.Name, "off"+query(&f, clients))
	}
	begin = time.Now()
	for {
		left := alertsInState(t, state, "firing")
		maps.DeleteFunc(left, func(alert string, _ bool) bool {
			name, _, _ := strings.Cut(alert, " ")
			return slices.Contains(slowToResolve, name)
		})
		if len(left) == 0 {
			break
		}
		poll()
		if time.Since(begin) > longestResolve {
			for a := range left {
				wrong = append(wrong, a+" still fires")
			}
			break
		}
		pause(t, pollInterval)
	}
	t.Logf("all resolved after %s", time.Since(begin).Round(time.Second))
	t.Logf("fired: %s", strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
	return wrong
}

func query(f *drill.Fault, clients []string) string {
	if f.Client == drill.AllClients {
		return ""
	}
	return "?client=" + url.QueryEscape(f.ClientOf(clients))
}

// matches reports whether an alert is one of the patterns: "alertname client subject", or a beginning of it and an asterisk.
func matches(patterns map[string]string, alert string) bool {
	for pattern := range patterns {
		if drill.Matches(pattern, alert) {
			return true
		}
	}
	return false
}

// alertsInState returns the alerts of all priorities in a state, given by a regular expression, without escalations. Alerts that faults do not cause are left out:
//   - P2 and P3 alerts about the resources of this machine (the disk of the platform is not one of them), and about the latency of the cache, whose
//     threshold is a hundredth of a second;
//   - burn rates, since several faults are on at once;
//   - volunteers, of whom a platform with few consignors never has enough, and whose last two days are always near while days pass so fast.
func alertsInState(t *testing.T, state statefile.State, states string) map[string]bool {
	t.Helper()
	alerts := map[string]bool{}
	for _, a := range stack.Query(t, state, `ALERTS{alertstate=~"`+states+`",priority=~"P.",source_alertname="",alertname!~"SloBudget.*|CacheLatencyHigh|VolunteerSpotsOpen"} unless ALERTS{component="host",priority=~"P2|P3",subject!~".*:/srv/platform/.*"}`) {
		alerts[fmt.Sprintf("%s %s %s", a.Metric["alertname"], a.Metric["client"], a.Metric["subject"])] = true
	}
	return alerts
}

func platformClients(t *testing.T, state statefile.State) []string {
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

// runDemo runs the demo, from noon on, with the shipped rules and routing, until the test ends.
func runDemo(t *testing.T, config demo.Config) statefile.State {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.json")
	config.Noon, config.Interval, config.StateFile, config.Out = true, 15*time.Second, file, t.Output()
	config.Rules, config.Alertmanager = rules.Files, alertmanager.Files
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- demo.Run(ctx, config)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo: %v", err)
		}
	})
	var state statefile.State
	stack.Await(t, "the demo", func() string {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo ended: %v", err)
		default:
		}
		var err error
		if state, err = statefile.Read(file); err != nil {
			return err.Error()
		}
		return ""
	})
	return state
}

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
	"github.com/consignwatch/consignwatch/pkg/drill"
	"github.com/consignwatch/consignwatch/rules"
	"github.com/consignwatch/consignwatch/test/stack"
)

const (
	warmUp = 3 * time.Minute // until all rates have their windows, and the first turns of all collectors are over
	// A fault has to fire its alerts within this time: the longest wait of a rule is ten minutes, and follows a window of five.
	longestFault = 17 * time.Minute
	// And when it is off all has to be well again within this one, but for what lasts.
	longestEnd = 25 * time.Minute
)

// lasting are alerts whose rules look back for half an hour and more: that they resolve is said by the rules' own tests.
var lasting = []string{"DuplicateRecords", "SyncConflicts"}

// TestLivesFireTheirAlertsAndNoOthers lets faults happen in living stacks with the rules as they are shipped, scraped as in deploy/examples, and lets a healthy one
// live through a day. The stacks live side by side: each uses a twentieth of a core.
func TestLivesFireTheirAlertsAndNoOthers(t *testing.T) {
	declared, err := drill.Rules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for i, turn := range drill.Turns() {
		t.Run(fmt.Sprintf("faults %d", i), func(t *testing.T) {
			t.Parallel()
			state := runDemo(t, demo.Config{Clients: 6, Events: 12, Items: 2000, Seed: 1, Speed: 60, Flawless: true})
			awaitHealth(t, state)
			for _, wrong := range provoke(t, state, platformClients(t, state), declared, turn) {
				t.Error(wrong)
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
		live(t, state, speed, day)
	})
}

// awaitHealth waits until the rules have seen the platform and nothing fires or is about to.
func awaitHealth(t *testing.T, state demo.State) {
	t.Helper()
	pause(t, warmUp)
	stack.Await(t, "a healthy platform", func() string {
		if len(stack.Values(t, state, "platform:consign_api_requests:rate5m > 1")) == 0 || len(stack.Values(t, state, "up == 0")) > 0 {
			return "nothing is recorded yet"
		}
		return strings.Join(slices.Sorted(maps.Keys(alertsThat(t, state, "pending|firing"))), ", ")
	})
}

// pause lets a stack live for a time.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	case <-time.After(d):
	}
}

// live watches a day of a healthy platform go by, from noon to noon and faster than in life: a sale with its rush in the evening, and a night in which nobody is
// there. Nothing may fire, whatever its priority. Whoever uses the platform has to be many and few in it.
func live(t *testing.T, state demo.State, speed time.Duration, day time.Duration) {
	t.Helper()
	const people = `sum(rate(consign_api_requests_total{route!="/healthz"}[1m]))`
	begin := time.Now()
	most, least := 0.0, math.Inf(1) // requests of people in a second
	fired := map[string]bool{}
	for time.Since(begin) < day {
		pause(t, look)
		for alert := range alertsThat(t, state, "firing") {
			if !fired[alert] {
				fired[alert] = true
				t.Errorf("%s fires, %v into the day", alert, (time.Since(begin) * speed).Round(time.Minute))
			}
		}
		for _, requests := range stack.Query(t, state, people) {
			most, least = max(most, requests.Value), min(least, requests.Value)
		}
	}
	if most < 5 || least > most/20 {
		t.Errorf("people made %.1f requests a second at most and %.2f at least: that is no day with a rush and a night", most, least)
	}
	t.Logf("requests a second: %.1f at most, %.2f at least", most, least)
}

// look is how often alerts are looked at: no more seldom than rules are evaluated.
const look = 5 * time.Second

// provoke switches the faults of a turn on and off, and says how the alerts that fire from the beginning until all is well again differ from those
// that the table says. Those that nobody is woken for (P2 and P3) may also fire on a component that the table has an alert on: how far a fault gets differs
// from run to run.
func provoke(t *testing.T, state demo.State, clients []string, declared map[string]drill.Rule, turn []drill.Fault) (wrong []string) {
	must, may := map[string]string{}, map[string]string{}
	hit := map[string]bool{} // components
	for _, a := range drill.Told() {
		may[a] = "any fault"
	}
	for _, f := range turn {
		for _, a := range f.Fires {
			must[f.Of(clients, a)] = f.Name
		}
		for _, a := range slices.Concat(f.May, drill.Milder(slices.Concat(f.Fires, f.May))) {
			may[f.Of(clients, a)] = f.Name
		}
		for _, a := range slices.Concat(f.Fires, f.May) {
			name, _, _ := strings.Cut(a, " ")
			hit[declared[name].Labels["component"]] = true
		}
		stack.SwitchFault(t, state, f.Name, "on"+query(&f, clients))
	}
	mild := func(alert string) bool {
		name, _, _ := strings.Cut(alert, " ")
		labels := declared[name].Labels
		return (labels["priority"] == "P2" || labels["priority"] == "P3") && hit[labels["component"]]
	}
	seen := map[string]bool{}
	watch := func() (missing []string) {
		for a := range alertsThat(t, state, "firing") {
			if !seen[a] && !matches(must, a) && !matches(may, a) && !mild(a) {
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
	for missing := watch(); len(missing) > 0; missing = watch() {
		if time.Since(begin) > longestFault {
			wrong = append(wrong, missing...)
			break
		}
		pause(t, look)
	}
	t.Logf("on for %s", time.Since(begin).Round(time.Second))
	for _, f := range slices.Backward(turn) {
		stack.SwitchFault(t, state, f.Name, "off"+query(&f, clients))
	}
	begin = time.Now()
	for {
		left := alertsThat(t, state, "firing")
		maps.DeleteFunc(left, func(alert string, _ bool) bool {
			name, _, _ := strings.Cut(alert, " ")
			return slices.Contains(lasting, name)
		})
		if len(left) == 0 {
			break
		}
		watch()
		if time.Since(begin) > longestEnd {
			for a := range left {
				wrong = append(wrong, a+" still fires")
			}
			break
		}
		pause(t, look)
	}
	t.Logf("all is well again after %s", time.Since(begin).Round(time.Second))
	t.Logf("fired: %s", strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
	return wrong
}

func query(f *drill.Fault, clients []string) string {
	if f.Client == drill.All {
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

// alertsThat asks which alerts are in a state, by a regular expression for the state, whatever their priority, but for escalations. Some are no fault's work, and are left out:
//   - how full and how busy this machine is, unless somebody would be woken for it, but for the platform's own disk, which is not one of the machine's; and how fast its cache answers,
//     of which a hundredth of a second is too slow;
//   - budgets, every one of which burns with several faults at once;
//   - volunteers, of whom a platform with a handful of consignors never has enough, and whose last two days are always while days pass so fast.
func alertsThat(t *testing.T, state demo.State, are string) map[string]bool {
	t.Helper()
	alerts := map[string]bool{}
	for _, a := range stack.Query(t, state, `ALERTS{alertstate=~"`+are+`",priority=~"P.",source_alertname="",alertname!~"SloBudget.*|CacheLatencyHigh|VolunteerSpotsOpen"} unless ALERTS{component="host",priority=~"P2|P3",subject!~".*:/srv/platform/.*"}`) {
		alerts[fmt.Sprintf("%s %s %s", a.Metric["alertname"], a.Metric["client"], a.Metric["subject"])] = true
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

// runDemo runs the demo, from noon on, with the shipped rules and routing, until the test ends.
func runDemo(t *testing.T, config demo.Config) demo.State {
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
	var state demo.State
	stack.Await(t, "the demo", func() string {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo ended: %v", err)
		default:
		}
		var err error
		if state, err = demo.ReadState(file); err != nil {
			return err.Error()
		}
		return ""
	})
	return state
}

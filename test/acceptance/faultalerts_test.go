//go:build acceptance

package acceptance

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
	"github.com/consignwatch/consignwatch/pkg/drill"
	"github.com/consignwatch/consignwatch/rules"
	"github.com/consignwatch/consignwatch/test/stack"
)

// quicker is how much shorter all windows and waits of the rules are in this test. The thresholds are the shipped ones. In windows so short one
// failure among a few is a large share; so the platform is one on which nothing fails by itself.
const quicker = 10

// Windows and waits of hours and days end as one of half an hour does, and one of a quarter of an hour: what they are for, the tests of the rules show.
const (
	longestWindow = 3 * time.Minute
	longestWait   = 90 * time.Second
)

func TestEachFaultFiresItsAlertsAndNoOthers(t *testing.T) {
	state := runQuickDemo(t, demo.Config{Clients: 6, Events: 12, Items: 2000, Seed: 1, Speed: 60, Flawless: true})
	clients := platformClients(t, state)
	awaitHealth(t, state, func() bool {
		return len(stack.Values(t, state, "client:incident_priority:info")) >= len(clients) // those that ended their contract, too
	})
	declared, err := drill.Rules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for i, turn := range drill.Turns() {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			for _, wrong := range moving(t, state, func() []string { return provoke(t, state, clients, declared, turn) }) {
				t.Error(wrong)
			}
		})
	}
}

// moving judges a time of the platform, and judges another one if something was wrong while the machine stood still: in windows of a few seconds that alone
// fires an alert. Prometheus tells: it scrapes every two seconds, which leaves six samples in twelve, five when they come late, and leaves no evaluation out.
func moving(t *testing.T, state demo.State, judge func() (wrong []string)) (wrong []string) {
	t.Helper()
	begin := time.Now()
	if wrong = judge(); len(wrong) == 0 {
		return nil
	}
	seconds := int(time.Since(begin).Seconds())
	still := stack.Values(t, state, fmt.Sprintf(`min(min_over_time(count_over_time(up[12s])[%ds:2s])) < 5 or sum(increase(prometheus_rule_group_iterations_missed_total[%ds])) > 0`, seconds, seconds))
	if len(still) == 0 {
		return wrong
	}
	t.Logf("the machine stood still: once more, since %s", strings.Join(wrong, "; "))
	awaitHealth(t, state, func() bool { return true })
	return judge()
}

// awaitHealth waits until the rules have seen the platform and nothing fires or is about to: what is not scraped yet is away to Prometheus, and with waits
// so short an alert of the first seconds can fire after the last target has come up.
func awaitHealth(t *testing.T, state demo.State, seen func() bool) {
	t.Helper()
	stack.Await(t, "a healthy platform", func() string {
		if !seen() || len(stack.Values(t, state, "platform:consign_api_requests:rate5m > 1")) == 0 {
			return "nothing is recorded yet"
		}
		return strings.Join(slices.Sorted(maps.Keys(alertsThat(t, state, "pending|firing"))), ", ")
	})
}

// provoke switches the faults of a turn on and off, and says how the alerts that fire from the beginning until all is well again differ from those
// that the table says. Those that nobody is woken for (P2 and P3) may also fire on a component that the table has an alert on: how far a fault that is
// on for a minute gets, when a minute stands for ten, differs from run to run.
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
	look := func() (missing []string) {
		for a := range firing(t, state) {
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
	deadline := time.Now().Add(4 * time.Minute)
	for missing := look(); len(missing) > 0; missing = look() {
		if time.Now().After(deadline) {
			wrong = append(wrong, missing...)
			break
		}
		time.Sleep(time.Second)
	}
	for _, f := range slices.Backward(turn) {
		stack.SwitchFault(t, state, f.Name, "off"+query(&f, clients))
	}
	deadline = time.Now().Add(5 * time.Minute)
	for left := firing(t, state); len(left) > 0; left = firing(t, state) {
		look()
		if time.Now().After(deadline) {
			for a := range left {
				wrong = append(wrong, a+" still fires")
			}
			break
		}
		time.Sleep(time.Second)
	}
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

// firing asks which alerts fire, whatever their priority, but for escalations. Some are no fault's work, and are left out:
//   - how full and how busy this machine is, unless somebody would be woken for it, but for the platform's own disk, which is not one of the machine's; and how fast its cache answers,
//     of which a hundredth of a second is too slow;
//   - budgets, every one of which burns with one fault after the other for half an hour;
//   - what the database is asked for every ten minutes, which is late at once when the three minutes that it may be late are eighteen seconds;
//   - volunteers, of whom a platform with a handful of consignors never has enough, and whose last two days are always while days pass so fast.
func firing(t *testing.T, state demo.State) map[string]bool {
	t.Helper()
	return alertsThat(t, state, "firing")
}

// alertsThat asks as firing does, with a regular expression for the state.
func alertsThat(t *testing.T, state demo.State, are string) map[string]bool {
	t.Helper()
	alerts := map[string]bool{}
	for _, a := range stack.Query(t, state, `ALERTS{alertstate=~"`+are+`",priority=~"P.",source_alertname="",alertname!~"SloBudget.*|CacheLatencyHigh|VolunteerSpotsOpen"} unless ALERTS{component="host",priority=~"P2|P3",subject!~".*:/srv/platform/.*"} unless ALERTS{alertname="ConsignwatchDataStale",subject=~"stored_bytes.*"}`) {
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

// runQuickDemo runs the demo, from noon on, with rules whose windows are shorter, until the test ends.
func runQuickDemo(t *testing.T, config demo.Config) demo.State {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state.json")
	config.Noon, config.Interval, config.StateFile, config.Out = true, 2*time.Second, file, t.Output()
	config.Rules, config.Alertmanager = quickened(t, rules.Files), alertmanager.Files
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

var (
	windows = regexp.MustCompile(`\[(\d+[smhd])(:(\d+[smhd])?)?\]`)
	waits   = regexp.MustCompile(`(offset |for: |interval: )(\d+[smhd])\b`)
)

// quickened shortens the windows, offsets and waits of rules.
func quickened(t *testing.T, shipped fs.FS) fs.FS {
	t.Helper()
	short := func(text string, longest time.Duration) string {
		d, err := model.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return model.Duration(min(time.Duration(d)/quicker, longest)).String()
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
				return "[" + short(parts[1], longestWindow) + ":" + short(parts[3], longestWindow) + "]"
			default:
				return "[" + short(parts[1], longestWindow) + parts[2] + "]"
			}
		})
		edited = waits.ReplaceAllStringFunc(edited, func(wait string) string {
			parts := waits.FindStringSubmatch(wait)
			return parts[1] + short(parts[2], longestWait)
		})
		quick[name] = &fstest.MapFile{Data: []byte(edited), Mode: 0o600}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return quick
}

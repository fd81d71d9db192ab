package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/alertmanager"
	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/rules"
)

// quicker is how much shorter all windows and waits of the rules are in this test. The thresholds are the shipped ones.
const quicker = 10

// noise may fire at any time in this test: where the shipped window wants three failures before a share of them counts, one is
// enough for a window that is a tenth as long.
var noise = map[string]string{"JobsFailing _platform *": "", "ProcessesFailing *": ""}

// faultAlerts says which alerts of P0 and P1 a fault fires, as "alertname client subject"; @ is the fault's client, and * any ending. In
// `fires` are those that must, in `may` those that follow from it and may or may not get over their threshold in time.
type faultAlerts struct {
	fault  string
	client int // index of the client; for a fault of the whole platform -1
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
		return strings.Join(disturbing(firing(t, state)), ", ")
	})
	for i, turn := range faultTurns() {
		must, may := map[string]string{}, map[string]string{}
		for _, f := range turn {
			client := ""
			if f.client >= 0 {
				client = clients[f.client]
			}
			for _, a := range f.fires {
				must[strings.ReplaceAll(a, "@", client)] = f.fault
			}
			for _, a := range f.may {
				may[strings.ReplaceAll(a, "@", client)] = f.fault
			}
			switchFault(t, state, f.fault, "on"+query(client))
		}
		seen := map[string]bool{}
		look := func() string {
			var missing []string
			for a := range firing(t, state) {
				if !seen[a] && !matches(must, a) && !matches(may, a) && !matches(noise, a) {
					t.Errorf("turn %d: %s fires, and no fault says so", i, a)
				}
				seen[a] = true
			}
			for pattern, fault := range must {
				if !slices.ContainsFunc(slices.Collect(maps.Keys(seen)), func(a string) bool { return matches(map[string]string{pattern: fault}, a) }) {
					missing = append(missing, pattern+" ("+fault+")")
				}
			}
			slices.Sort(missing)
			return strings.Join(missing, ", ")
		}
		deadline := time.Now().Add(150 * time.Second)
		for wrong := look(); wrong != ""; wrong = look() {
			if time.Now().After(deadline) {
				t.Errorf("turn %d: do not fire: %s", i, wrong)
				break
			}
			time.Sleep(time.Second)
		}
		for _, f := range slices.Backward(turn) {
			client := ""
			if f.client >= 0 {
				client = clients[f.client]
			}
			switchFault(t, state, f.fault, "off"+query(client))
		}
		for deadline := time.Now().Add(4 * time.Minute); ; time.Sleep(time.Second) {
			look()
			left := disturbing(firing(t, state))
			if len(left) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("turn %d: still firing: %s", i, strings.Join(left, ", "))
			}
		}
		t.Logf("turn %d: fired: %s", i, strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
	}
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

// disturbing are the alerts that are no noise.
func disturbing(alerts map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(alerts)), func(a string) bool { return matches(noise, a) })
}

func query(client string) string {
	if client == "" {
		return ""
	}
	return "?client=" + url.QueryEscape(client)
}

// firing asks which alerts of P0 and P1 fire.
func firing(t *testing.T, state demo.State) map[string]bool {
	t.Helper()
	prometheus, _ := state.Part("prometheus")
	response, err := http.Get(prometheus.URL + "/api/v1/query?" + url.Values{"query": {`ALERTS{alertstate="firing",priority=~"P0|P1"}`}}.Encode())
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
			Clients: 6, Events: 12, Items: 1000, Seed: 1, Speed: 60, Interval: 2 * time.Second,
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

package slo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/golden"
)

func TestRenderMakesRulesAlertsAndDocumentation(t *testing.T) {
	const root = "testdata/small"
	files, err := Render(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("%d files, want the recordings, the alerts and the documentation", len(files))
	}
	for name, text := range files {
		golden.Compare(t, filepath.Join(root, name), string(text))
	}
}

// TestFactorsFollowFromTheShareOfTheBudget compares the burn rates with those of the Site Reliability Workbook.
func TestFactorsFollowFromTheShareOfTheBudget(t *testing.T) {
	want := map[string]string{"P0": "14.4", "P1": "6", "P2": "3", "P3": "1"}
	got := map[string]string{}
	for _, a := range alerts() {
		got[a.Priority] = a.Factor()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestEveryWindowOfAnAlertIsRecorded also checks that errors are recorded for windows that longer ones are averaged from.
func TestEveryWindowOfAnAlertIsRecorded(t *testing.T) {
	recorded := map[time.Duration]bool{baseWindow: true} // the value: with errors
	for _, g := range groups() {
		for _, w := range g.Windows {
			if !recorded[w.From] {
				t.Errorf("%s is averaged from %s, of which no errors are recorded before it", label(w.Length), label(w.From))
			}
			if w.Step > w.From {
				t.Errorf("%s: every %s a value over %s is read: what is between them does not count", label(w.Length), label(w.Step), label(w.From))
			}
			recorded[w.Length] = w.hasErrors
		}
	}
	for _, a := range alerts() {
		for _, d := range []time.Duration{a.Long, a.Short} {
			if _, is := recorded[d]; !is {
				t.Errorf("%s reads %s, which is not recorded", a.Name, label(d))
			}
		}
	}
}

// TestAbsentAlertsExist checks that the alerts have runbooks: package bundle checks that each runbook has an alert.
func TestAbsentAlertsExist(t *testing.T) {
	s, err := Load(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range s.SLOs {
		for _, alert := range one.AbsentAlerts {
			if _, err := os.Stat("../../../docs/runbooks/" + alert + ".md"); err != nil {
				t.Errorf("%s: absent_alerts names %s, which does not exist", one.Name, alert)
			}
			if source := one.Platform; alert == "SloTrafficStopped" && source.Demand == "" && (one.Clients == nil || one.Clients.Demand == "") {
				t.Errorf("%s: SloTrafficStopped needs a demand", one.Name)
			}
		}
	}
}

func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	good, err := os.ReadFile("testdata/small/rules/slos.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"an unknown key":                          {"what: Pages", "that: Pages", `rules/slos.yml:4: unknown key "that"`},
		"another window":                          {"window: 30d", "window: 7d", "rules/slos.yml:1: window: it must be 30d"},
		"a name in capitals":                      {"name: pages", "name: Pages", `rules/slos.yml:3: slos.0.name: "Pages" must be lower case`},
		"a name twice":                            {"name: parcels", "name: pages", `rules/slos.yml:14: slos.1.name: "pages" is there already, on line 3`},
		"no sentence":                             {"Pages that open.", "Pages that open", "rules/slos.yml:4: slos.0.what: must be a sentence"},
		"an objective in percent":                 {"objective: 0.99", "objective: 99", "rules/slos.yml:7: slos.0.objective: must be between 0 and 1"},
		"an objective of everything":              {"objective: 0.99", "objective: 1", "rules/slos.yml:7: slos.0.objective: must be between 0 and 1"},
		"not a number":                            {"objective: 0.99", "objective: .nan", "rules/slos.yml:7: slos.0.objective: must be between 0 and 1"},
		"an objective that cannot be missed fast": {"objective: 0.99", "objective: 0.9", "rules/slos.yml:7: slos.0.objective: with an objective of 0.9 the burn rate cannot reach 14.4, even if every event is an error: make it 0.94 or more"},
		"no minimum":                              {"    minimum_rate: 0.01\n", "", "rules/slos.yml:3: slos.0.minimum_rate: must be above 0"},
		"a minimum that one failure exceeds":      {"minimum_rate: 0.01", "minimum_rate: 0.001", "rules/slos.yml:9: slos.0.minimum_rate: at 0.001 events a second a single failure within 1h would be too many: make it 0.0039 or more"},
		"no alert for no events at all":           {"absent_alerts: [PagesStopped]", "absent_alerts: []", "rules/slos.yml:3: slos.0: name the alerts that fire when there are no events"},
		"nothing of the platform":                 {"    platform:\n      events: sum(rate(pages_total[5m]))\n      errors: sum(rate(pages_total{outcome=\"failed\"}[5m]))\n", "", "rules/slos.yml:3: slos.0: platform: with events: and errors: is missing"},
		"not PromQL":                              {"events: sum(rate(pages_total[5m]))", "events: sum(rate(pages_total[5m])", "rules/slos.yml:12: slos.0.platform.events: "},
		"no errors":                               {"      errors: sum by (client) (rate(parcels_lost_total[5m]))\n", "", "rules/slos.yml:27: slos.1.clients: errors: is missing"},
		"no SLO":                                  {string(good), "window: 30d\nslos: []\n", "rules/slos.yml:2: slos: there is no SLO"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(good), c.old, c.new, 1)
			if text == string(good) {
				t.Fatalf("the file does not contain %q", c.old)
			}
			_, err := Load(fstest.MapFS{File: {Data: []byte(text)}})
			if err == nil {
				t.Fatalf("no error, want %s", c.want)
			}
			for line := range strings.Lines(err.Error()) {
				if strings.HasPrefix(line, c.want) {
					return
				}
			}
			t.Errorf("error:\n%v\nwant a line that begins with:\n%s", err, c.want)
		})
	}
}

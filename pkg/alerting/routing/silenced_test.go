package routing

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// firingAlerts are alerts of all rules as they can fire: of the platform, or of two clients, with each priority, and with each value of their labels cause
// and depends_on. No two have the same identity labels, so that none inhibits another one by its severity.
func firingAlerts(t *testing.T) []map[string]string {
	t.Helper()
	severities := map[string]string{"P0": "critical", "P1": "critical", "P2": "warning", "P3": "info"}
	var all []map[string]string
	for _, text := range shipped(t) {
		var doc struct {
			Groups []struct{ Rules []ruleText }
		}
		if err := yaml.Unmarshal(text.Data, &doc); err != nil {
			continue // the inventory
		}
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				if r.Alert == "" || r.Labels["source_alertname"] != "" {
					continue
				}
				rule, err := newRule("", r, r.Labels)
				if err != nil {
					t.Fatal(err)
				}
				causes, err := labelValues(r.Labels["cause"])
				if err != nil {
					t.Fatal(err)
				}
				lists, err := labelValues(r.Labels["depends_on"])
				if err != nil {
					t.Fatal(err)
				}
				clients := []string{"north", "south"}
				if rule.platform {
					clients = []string{Platform}
				}
				for _, client := range clients {
					for _, priority := range rule.priorities {
						for _, c := range causes {
							for _, list := range lists {
								if severities[priority] == "" {
									continue // it notifies nobody
								}
								all = append(all, map[string]string{
									"alertname": r.Alert, "client": client, "component": fmt.Sprintf("component-%d", len(all)), "subject": "x", "priority": priority,
									"severity": severities[priority], "team": rule.teams[0], "category": rule.category, "cause": c.name, "depends_on": list.name,
								})
							}
						}
					}
				}
			}
		}
	}
	if len(all) < 200 {
		t.Fatalf("only %d alerts", len(all))
	}
	return all
}

// Alertmanager lets what is silenced inhibit. A silence does not hide an outage if what it inhibits is only what depends on it: nothing else is suppressed,
// whatever fires, nor anything of another client, nor what is more urgent.
func TestASilencedSourceHidesOnlyWhatDependsOnIt(t *testing.T) {
	t.Parallel()
	made, err := Render(shipped(t))
	if err != nil {
		t.Fatal(err)
	}
	var shippedConfig map[string]any
	if err := yaml.Unmarshal(made[ConfigFile], &shippedConfig); err != nil {
		t.Fatal(err)
	}
	config, err := yaml.Marshal(map[string]any{
		"route": map[string]any{"receiver": "nobody"}, "receivers": []any{map[string]any{"name": "nobody"}}, "inhibit_rules": shippedConfig["inhibit_rules"],
	})
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "alertmanager.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	process, err := servers.StartAlertmanager(t.Context(), folder, servers.AlertmanagerConfig{ConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Kill(); err != nil {
			t.Error(err)
		}
	})
	client, err := amclient.New(process.URL(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	post := func(labels map[string]string, end time.Time) {
		if err := client.PostAlerts(t.Context(), amclient.PostableAlert{Labels: labels, StartsAt: start, EndsAt: end}); err != nil {
			t.Fatal(err)
		}
	}
	all := firingAlerts(t)
	for _, labels := range all {
		if labels["team"] == clientAdmin {
			labels["depends_on"] = "database" // not even then
		}
		target := maps.Clone(labels)
		delete(target, "cause") // one source at a time
		post(target, time.Now().Add(time.Hour))
	}
	sources := 0
	for _, source := range all {
		if source["cause"] == "" || source["client"] == "south" {
			continue
		}
		sources++
		source = maps.Clone(source)
		source["component"] = "source"
		delete(source, "depends_on")
		id, err := client.SetSilence(t.Context(), amclient.Silence{
			Matchers: []amclient.Matcher{{Name: "component", Value: "source", IsEqual: true}}, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour), CreatedBy: "ann", Comment: "known",
		})
		if err != nil {
			t.Fatal(err)
		}
		post(source, time.Now().Add(time.Hour))
		var want []string
		for _, a := range all {
			depends := slices.Contains(strings.Split(a["depends_on"], ","), source["cause"]) && a["team"] != clientAdmin
			own := source["client"] == Platform || source["client"] == a["client"]
			// A client's alerts are as urgent as its sale is live: a source of P1 beside a symptom of P0 is none of one time.
			urgent := source["client"] == Platform && a["priority"] < source["priority"]
			if depends && own && !urgent {
				want = append(want, describe(a))
			}
		}
		slices.Sort(want)
		var silenced bool
		var got []string
		for deadline := time.Now().Add(time.Minute); ; {
			got, silenced = nil, false
			alerts, err := client.Alerts(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range alerts {
				if len(a.Status.InhibitedBy) > 0 {
					got = append(got, describe(a.Labels))
				}
				silenced = silenced || a.Labels["component"] == "source" && a.Labels["alertname"] == source["alertname"] && len(a.Status.SilencedBy) > 0
			}
			slices.Sort(got)
			if silenced && slices.Equal(got, want) || time.Now().After(deadline) {
				break
			}
			time.Sleep(20 * time.Millisecond) // until Alertmanager has taken the source in
		}
		if diff := cmp.Diff(want, got); diff != "" || !silenced || len(want) == 0 {
			t.Errorf("%s of %s is silenced (%v): suppressed are (-want +got)\n%s", source["alertname"], source["client"], silenced, diff)
		}
		post(source, time.Now())
		if err := client.ExpireSilence(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if sources < 15 {
		t.Errorf("only %d sources", sources)
	}
}

func describe(labels map[string]string) string {
	return fmt.Sprint(labels["alertname"], " ", labels["client"], " ", labels["priority"], " ", labels["component"])
}

//go:build acceptance

package escalation

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/pkg/drill"
	"github.com/consignwatch/consignwatch/pkg/pages"
)

// stage opens the rig to drills, as a demo is: a state file, and a platform whose faults can be switched.
func (r *rig) stage(clients []string, faults map[string][]labels) *drill.Stage {
	r.t.Helper()
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path == "/state" {
			_ = json.NewEncoder(w).Encode(map[string]any{"clients": clients})
			return
		}
		parts := strings.Split(request.URL.Path, "/") // /faults/NAME/on
		alerts, ok := faults[parts[2]]
		switch {
		case !ok:
			http.Error(w, "no such fault", http.StatusNotFound)
		case parts[3] == "on":
			r.on(alerts...)
		default:
			r.off(alerts...)
		}
	}))
	r.t.Cleanup(platform.Close)
	state := demo.State{PagesFile: filepath.Join(r.folder, "pages.jsonl"), TimeScale: faster, Interval: 1, Parts: []demo.PartState{
		{Name: "platform-sim", URL: platform.URL}, {Name: "prometheus", URL: r.prometheus.URL()}, {Name: "alertmanager", URL: r.alertmanager.URL()},
	}}
	text, err := json.Marshal(state)
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.folder, "state.json")
	for name, content := range map[string][]byte{file: text, state.PagesFile: nil} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	stage, err := drill.Open(r.t.Context(), file, func(state demo.State, clients []string) (*drill.Policy, error) {
		routing, err := demo.Routing(os.DirFS("../.."), clients, state.TimeScale, time.Second)
		return &drill.Policy{Routing: routing, Evaluation: time.Second}, err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return stage
}

// A drill notes everything from the fault to its end, acknowledges the alert, and holds each deadline against the policy; an inhibited alert notifies
// nobody, and that is no failure.
func TestADrillTellsTheWholeStory(t *testing.T) {
	t.Parallel()
	clients := []string{"north", "south"}
	r := newRig(t, clients...)
	fired := func(name, client, component, subject, priority string) labels {
		return labels{"alert": name, "client": client, "component": component, "subject": subject, "priority": priority, "severity": "critical", "team": "technical", "category": "downtime"}
	}
	outage := []labels{fired("DatabaseDown", "_platform", "database", "main", "P0"), fired("ClientApiFailing", "north", "api", "requests", "P0")}
	for _, client := range clients {
		affected := fired("ClientSaleAffected", client, "sale", "platform", "P1")
		affected["team"] = "client_admin"
		outage = append(outage, affected)
	}
	stage := r.stage(clients, map[string][]labels{
		"database-down": outage,
		"dead-letters":  {fired("DeadLettersGrowing", "_platform", "jobs", "main/image", "P0")}, // and not JobsFailing, which the table has, too
	})
	var story strings.Builder
	records, err := stage.ByFault(t.Context(), drill.FaultNamed("database-down"), drill.Options{Escalate: true, Author: "ann", Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		record.Print(&story)
		if !record.Met() {
			t.Errorf("%s failed", record.Alert)
		}
		took, told := record.FaultToPage()
		if record.Alert == "DatabaseDown _platform main" && (!told || took <= 0 || took > 2*late) {
			t.Errorf("from fault to page it took %s", took)
		}
	}
	last := 0
	for _, event := range []string{"DatabaseDown _platform main, by the fault database-down", "fault", "metric", "firing", "notified      technical-initial", "L2 technical-secondary", "L3 management", "L4 emergency",
		"acknowledged  by ann", "in Prometheus", "notified technical-initial"} {
		place := strings.Index(story.String()[last:], event)
		if place < 0 {
			t.Fatalf("%q is missing, or too early:\n%s", event, &story)
		}
		last += place
	}
	for client := range 2 {
		if want := fmt.Sprintf("ClientSaleAffected %s platform", clients[client]); !strings.Contains(story.String(), want) {
			t.Errorf("%q is missing:\n%s", want, &story)
		}
	}
	for _, receiver := range chain {
		if !strings.Contains(story.String(), "resolved      notified "+receiver) {
			t.Errorf("%s was not notified of the resolution:\n%s", receiver, &story)
		}
	}
	t.Logf("\n%s", &story)
	if taken := r.of(pages.Firing, func(p pages.Page) bool { return p.Alerts[0].Labels["alertname"] == "ClientApiFailing" }); len(taken) > 0 {
		t.Errorf("a symptom was notified: %+v", taken)
	}

	// What does not come is said.
	records, err = stage.ByFault(t.Context(), drill.FaultNamed("dead-letters"), drill.Options{Author: "ann", Patience: 15 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	story.Reset()
	for _, record := range records {
		record.Print(&story)
	}
	if !strings.Contains(story.String(), "MISSING: JobsFailing _platform image did not fire") || !strings.Contains(story.String(), "DeadLettersGrowing _platform main/image") {
		t.Errorf("the report lacks what is missing:\n%s", &story)
	}
	r.await("the fault to be off", time.Minute, func() bool { return r.asked("fault") == 0 })

	// And a synthetic alert reaches its receiver.
	rules, err := drill.Rules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	record, err := stage.Synthetic(0, 30*time.Second).Drill(t.Context(), rules["PrometheusConfigBad"], "_platform")
	if err != nil || !record.Met() {
		t.Errorf("%+v, %v", record, err)
	}
}

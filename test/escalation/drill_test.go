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

	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/demo/drill"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

// drillEnvironment makes the environment look like a demo to drills: with a state file, and a platform whose faults can be switched.
func (e *environment) drillEnvironment(clients []string, faults map[string][]labels) *drill.Environment {
	e.t.Helper()
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
			e.setFiring(alerts...)
		default:
			e.setResolved(alerts...)
		}
	}))
	e.t.Cleanup(platform.Close)
	state := statefile.State{NotificationsFile: filepath.Join(e.folder, "notifications.jsonl"), TimeScale: timeScale, Interval: 1, Parts: []statefile.Part{
		{Name: "platform-sim", URL: platform.URL}, {Name: "prometheus", URL: e.prometheus.URL()}, {Name: "alertmanager", URL: e.alertmanager.URL()},
	}}
	text, err := json.Marshal(state)
	if err != nil {
		e.t.Fatal(err)
	}
	file := filepath.Join(e.folder, "state.json")
	for name, content := range map[string][]byte{file: text, state.NotificationsFile: nil} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	environment, err := drill.Open(e.t.Context(), file, func(state statefile.State, clients []string) (*drill.Policy, error) {
		routing, err := routing.LoadForDemo(os.DirFS("../.."), routing.DemoOptions{Clients: clients, TimeScale: state.TimeScale, Evaluation: time.Second})
		return &drill.Policy{Routing: routing, Evaluation: time.Second}, err
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return environment
}

// A drill records everything from the fault to the resolution, acknowledges the alert, and compares each deadline with the policy. An inhibited alert
// notifies nobody, which is no failure.
func TestADrillReportsTheWholeTimeline(t *testing.T) {
	t.Parallel()
	clients := []string{"north", "south"}
	r := newEnvironment(t, clients...)
	alert := func(name, client, component, subject, priority string) labels {
		return labels{"alert": name, "client": client, "component": component, "subject": subject, "priority": priority, "severity": "critical", "team": "technical", "category": "downtime"}
	}
	outage := []labels{alert("DatabaseDown", "_platform", "database", "main", "P0"), alert("ClientApiFailing", "north", "api", "requests", "P0")}
	for _, client := range clients {
		affected := alert("ClientSaleAffected", client, "sale", "platform", "P1")
		affected["team"] = "client_admin"
		outage = append(outage, affected)
	}
	environment := r.drillEnvironment(clients, map[string][]labels{
		"database-down": outage,
		"dead-letters":  {alert("DeadLettersGrowing", "_platform", "jobs", "main/image", "P0")}, // without JobsFailing, which the table of faults has, too
	})
	var timeline strings.Builder
	records, err := environment.ByFault(t.Context(), drill.FindFault("database-down"), drill.Options{Escalate: true, Author: "ann", Patience: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		record.Print(&timeline)
		if !record.Passed() {
			t.Errorf("%s failed", record.Alert)
		}
		took, notified := record.FaultToPage()
		if record.Alert == "DatabaseDown _platform main" && (!notified || took <= 0 || took > 2*tolerance) {
			t.Errorf("from fault to page it took %s", took)
		}
	}
	last := 0
	for _, event := range []string{"DatabaseDown _platform main, by the fault database-down", "fault", "metric", "firing", "notified      technical-initial", "L2 technical-secondary", "L3 management", "L4 emergency",
		"acknowledged  by ann", "in Prometheus", "notified technical-initial"} {
		place := strings.Index(timeline.String()[last:], event)
		if place < 0 {
			t.Fatalf("%q is missing, or too early:\n%s", event, &timeline)
		}
		last += place
	}
	for client := range 2 {
		if want := fmt.Sprintf("ClientSaleAffected %s platform", clients[client]); !strings.Contains(timeline.String(), want) {
			t.Errorf("%q is missing:\n%s", want, &timeline)
		}
	}
	for _, receiver := range receiversByLevel {
		if !strings.Contains(timeline.String(), "resolved      notified "+receiver) {
			t.Errorf("%s was not notified of the resolution:\n%s", receiver, &timeline)
		}
	}
	t.Logf("\n%s", &timeline)
	if notifications := r.notificationsWith(webhookreceiver.Firing, func(p webhookreceiver.Notification) bool {
		return p.Alerts[0].Labels["alertname"] == "ClientApiFailing"
	}); len(notifications) > 0 {
		t.Errorf("a symptom was notified: %+v", notifications)
	}

	// Missing alerts are reported.
	records, err = environment.ByFault(t.Context(), drill.FindFault("dead-letters"), drill.Options{Author: "ann", Patience: 15 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	timeline.Reset()
	for _, record := range records {
		record.Print(&timeline)
	}
	if !strings.Contains(timeline.String(), "MISSING: JobsFailing _platform image did not fire") || !strings.Contains(timeline.String(), "DeadLettersGrowing _platform main/image") {
		t.Errorf("the report lacks what is missing:\n%s", &timeline)
	}
	r.await("the fault to be off", time.Minute, func() bool { return r.seriesCount("fault") == 0 })

	// A synthetic alert reaches its receiver.
	rules, err := drill.LoadRules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	record, err := environment.Synthetic(0, 30*time.Second).Drill(t.Context(), rules["PrometheusConfigBad"], "_platform")
	if err != nil || !record.Passed() {
		t.Errorf("%+v, %v", record, err)
	}
}

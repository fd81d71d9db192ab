//go:build acceptance

package escalation

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack/daemon"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
	"github.com/consignwatch/consignwatch/pkg/demo/drill"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// timeScale is by how much the policy is shortened: an unacknowledged P0 alert reaches its levels after 10, 20 and 30 seconds.
const timeScale = 60

// levelDelay is the time between two levels of a P0.
const levelDelay = 10 * time.Second

// tolerance is how much later than the policy says a level may be notified: two evaluations, a poll of the daemon, and a busy machine.
const tolerance = 7 * time.Second

// environment is a Prometheus with the shipped escalation rules, an Alertmanager with the shipped routing, ackd, and a webhook receiver. Tests set which
// alerts fire.
type environment struct {
	t            *testing.T
	prometheus   *servers.Process
	alertmanager *servers.Process
	client       *amclient.Client
	daemon       *exportertest.Running
	daemonConfig string
	folder       string

	mu                sync.Mutex
	firing            map[string]labels // by String
	notifications     []webhookreceiver.Notification
	notificationLines []byte // content of the notifications file
}

type labels map[string]string

func (l labels) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, fmt.Sprintf("%s=%q", name, l[name]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// newEnvironment starts all servers, with the routing of the given clients.
func newEnvironment(t *testing.T, clients ...string) *environment {
	t.Helper()
	r := &environment{t: t, firing: map[string]labels{}}
	receiver := httptest.NewServer(http.HandlerFunc(r.receive))
	t.Cleanup(receiver.Close)
	metricsServer := httptest.NewServer(http.HandlerFunc(r.metrics))
	t.Cleanup(metricsServer.Close)
	folder := t.TempDir()
	r.folder = folder
	files := r.demoRouting(clients)
	for name, text := range map[string][]byte{
		"alertmanager/alertmanager.yml":                files[routing.ConfigFile],
		"alertmanager/templates/site.tmpl":             files[routing.TemplateFile],
		routing.AckPolicyFile:                          files[routing.AckPolicyFile],
		"alertmanager/" + routing.DemoWebhookURLFile:   []byte(receiver.URL),
		"alertmanager/" + routing.DemoHeartbeatURLFile: []byte(receiver.URL + "/heartbeat"),
		"prometheus/rules/hold.yml":                    files[routing.ClockFile],
		"prometheus/rules/escalation.yml":              files[routing.EscalationFile],
		"prometheus/rules/faults.yml":                  []byte(faultRules(t)),
		"alertmanager/templates/staff.tmpl":            shipped(t, "alertmanager/templates/staff.tmpl"),
		"alertmanager/templates/client.tmpl":           shipped(t, "alertmanager/templates/client.tmpl"),
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	r.alertmanager, err = servers.StartAlertmanager(t.Context(), folder, servers.AlertmanagerConfig{ConfigFile: filepath.Join(folder, "alertmanager", "alertmanager.yml")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.alertmanager.Kill() })
	if r.client, err = amclient.New(r.alertmanager.URL(), http.DefaultClient); err != nil {
		t.Fatal(err)
	}
	// Alertmanager lists an alert for four times the resend delay.
	r.daemonConfig = fmt.Sprintf("alertmanager: {url: '%s'}\ninterval: 1s\ntimeout: 900ms\nrenew_for: 15s\nsettle: 8s\nheartbeat: {alertname: Watchdog, max_age: 10s}\npolicy_file: '%s'\n",
		r.alertmanager.URL(), filepath.Join(folder, routing.AckPolicyFile))
	r.startDaemon()
	r.prometheus, err = servers.StartPrometheus(t.Context(), filepath.Join(folder, "prometheus"), servers.PrometheusConfig{
		Text: func(string) (string, error) {
			return fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules/*.yml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs:
  - {job_name: faults, honor_labels: true, static_configs: [{targets: [%q]}]}
  - {job_name: ackd, file_sd_configs: [{files: [ackd.json], refresh_interval: 1s}]}
`, r.alertmanager.Address(), strings.TrimPrefix(metricsServer.URL, "http://")), os.WriteFile(filepath.Join(folder, "prometheus", "ackd.json"), r.daemonTarget(), 0o600)
		},
		Flags: []string{"--rules.alert.resend-delay=5s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.prometheus.Kill() })
	if !r.await("the heartbeat", 30*time.Second, func() bool { return len(r.alerts()) > 0 }) {
		t.FailNow()
	}
	return r
}

func (e *environment) daemonTarget() []byte {
	return fmt.Appendf(nil, `[{"targets": [%q], "labels": {"instance": "ackd"}}]`, strings.TrimPrefix(e.daemon.URL, "http://"))
}

func (e *environment) startDaemon() {
	e.t.Helper()
	e.daemon = exportertest.Start(e.t, daemon.App(), e.daemonConfig)
}

// restartDaemon restarts ackd, which gets a new port.
func (e *environment) restartDaemon() {
	e.t.Helper()
	e.daemon.Stop()
	e.startDaemon()
	file := filepath.Join(e.folder, "prometheus", "ackd.json")
	if err := os.WriteFile(file+".new", e.daemonTarget(), 0o600); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		e.t.Fatal(err)
	}
}

func shipped(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// demoRouting returns the files of the shipped routing, changed for this environment.
func (e *environment) demoRouting(clients []string) map[string][]byte {
	e.t.Helper()
	shipped, err := routing.LoadForDemo(os.DirFS("../.."), routing.DemoOptions{Clients: clients, TimeScale: timeScale, Evaluation: time.Second})
	if err != nil {
		e.t.Fatal(err)
	}
	files, err := shipped.Files()
	if err != nil {
		e.t.Fatal(err)
	}
	return files
}

// shippedAlerts are the shipped alert rules, by alertname.
func shippedAlerts(t *testing.T) map[string]drill.Rule {
	t.Helper()
	rules, err := drill.LoadRules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// faultRules has a rule for each shipped alertname, which fires while setFiring has set an alert of that name, with its labels. What it inhibits, and what
// inhibits it, is as shipped.
func faultRules(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("groups:\n  - name: faults\n    rules:\n      - {alert: Watchdog, expr: vector(1), labels: {priority: none, severity: none, team: technical, client: _platform, component: alerting, subject: heartbeat, category: heartbeat}}\n")
	for name, rule := range shippedAlerts(t) {
		if name != "Watchdog" && rule.Labels["escalation"] == "" {
			fmt.Fprintf(&b, "      - alert: %s\n        expr: 'max without (alert, instance, job) (fault{alert=%q}) == 1'\n        labels:\n          cause: '%s'\n          depends_on: '%s'\n",
				name, name, rule.Labels["cause"], rule.Labels["depends_on"])
		}
	}
	return b.String()
}

// metrics responds to scrapes of Prometheus with a sample for each alert that fires.
func (e *environment) metrics(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintln(w, "# TYPE fault gauge")
	for _, text := range slices.Sorted(maps.Keys(e.firing)) {
		fmt.Fprintf(w, "fault%s 1\n", text)
	}
}

func (e *environment) receive(_ http.ResponseWriter, request *http.Request) {
	if strings.HasSuffix(request.URL.Path, "/heartbeat") {
		return
	}
	text, err := io.ReadAll(request.Body)
	var notification webhookreceiver.Notification
	if err == nil {
		err = json.Unmarshal(text, &notification)
	}
	if err != nil {
		e.t.Errorf("a notification that cannot be read: %v", err)
		return
	}
	notification.Time = time.Now()
	line, err := json.Marshal(notification)
	if err != nil {
		e.t.Error(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notifications = append(e.notifications, notification)
	e.notificationLines = append(append(e.notificationLines, line...), '\n')
	if err := os.WriteFile(filepath.Join(e.folder, "notifications.jsonl"), e.notificationLines, 0o600); err != nil {
		e.t.Error(err)
	}
}

// setFiring makes alerts fire, all at the same time.
func (e *environment) setFiring(faults ...labels) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range faults {
		e.firing[f.String()] = f
	}
}

func (e *environment) setResolved(faults ...labels) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range faults {
		delete(e.firing, f.String())
	}
}

// notificationsWith selects the notifications with a status that match.
func (e *environment) notificationsWith(status string, match func(webhookreceiver.Notification) bool) []webhookreceiver.Notification {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.notifications), func(n webhookreceiver.Notification) bool { return n.Status != status || !match(n) })
}

func (e *environment) alerts() []amclient.Alert {
	alerts, err := e.client.Alerts(e.t.Context())
	if err != nil {
		return nil
	}
	return alerts
}

// await waits until done returns true, and reports whether it did in time.
func (e *environment) await(what string, within time.Duration, done func() bool) bool {
	e.t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			e.t.Errorf("%s: not within %s\n%s", what, within, e.timeline())
			return false
		}
	}
	return true
}

// seriesCount is the number of series of an expression in Prometheus, -1 when Prometheus does not respond.
func (e *environment) seriesCount(expression string) int {
	response, err := http.Get(e.prometheus.URL() + "/api/v1/query?" + url.Values{"query": {expression}}.Encode())
	if err != nil {
		return -1
	}
	defer response.Body.Close()
	var answer struct {
		Status string
		Data   struct{ Result []any }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		return -1
	}
	return len(answer.Data.Result)
}

// timeline lists all notifications, for an error message.
func (e *environment) timeline() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, n := range e.notifications {
		fmt.Fprintf(&b, "%s %s to %s:", n.Time.Format("15:04:05.0"), n.Status, n.Receiver)
		for i, a := range n.Alerts {
			if i == 3 {
				fmt.Fprintf(&b, " and %d more", len(n.Alerts)-i)
				break
			}
			fmt.Fprintf(&b, " %s/%s(%s %s)", a.Labels["alertname"], a.Labels["source_alertname"], a.Labels["client"], a.Labels["component"])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

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

	"github.com/consignwatch/consignwatch/pkg/ack"
	"github.com/consignwatch/consignwatch/pkg/amapi"
	"github.com/consignwatch/consignwatch/pkg/drill"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/pages"
	"github.com/consignwatch/consignwatch/pkg/routing"
	"github.com/consignwatch/consignwatch/pkg/servers"
)

// faster is by how much the policy is shortened: a P0 that nobody takes reaches its levels after 10, 20 and 30 seconds.
const faster = 60

// level is the time between two levels of a P0.
const level = 10 * time.Second

// late is how much later than the policy says a level may be told: two evaluations, a poll of the daemon, and a busy machine.
const late = 7 * time.Second

// rig is a Prometheus with the shipped rules of escalation, an Alertmanager with the shipped routing, the daemon of acknowledgements, and whoever
// is paged. What fires is switched on and off.
type rig struct {
	t            *testing.T
	prometheus   *servers.Process
	alertmanager *servers.Process
	client       *amapi.Client
	daemon       *exportertest.Running
	daemonConfig string
	folder       string

	mu     sync.Mutex
	faults map[string]labels // by their text
	pages  []pages.Page
	lines  []byte // of the file of pages
}

type labels map[string]string

func (l labels) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		parts = append(parts, fmt.Sprintf("%s=%q", name, l[name]))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// newRig starts everything for some clients.
func newRig(t *testing.T, clients ...string) *rig {
	t.Helper()
	r := &rig{t: t, faults: map[string]labels{}}
	receiver := httptest.NewServer(http.HandlerFunc(r.receive))
	t.Cleanup(receiver.Close)
	page := httptest.NewServer(http.HandlerFunc(r.metrics))
	t.Cleanup(page.Close)
	folder := t.TempDir()
	r.folder = folder
	files := r.route(clients)
	for name, text := range map[string][]byte{
		"alertmanager/alertmanager.yml":      files[routing.ConfigFile],
		"alertmanager/templates/site.tmpl":   files[routing.TemplateFile],
		"alertmanager/secrets/pages":         []byte(receiver.URL),
		"alertmanager/secrets/beats":         []byte(receiver.URL + "/heartbeat"),
		"prometheus/rules/hold.yml":          files[routing.HoldFile],
		"prometheus/rules/escalation.yml":    files[routing.EscalationFile],
		"prometheus/rules/faults.yml":        []byte(faultRules(t)),
		"alertmanager/templates/staff.tmpl":  shipped(t, "alertmanager/templates/staff.tmpl"),
		"alertmanager/templates/client.tmpl": shipped(t, "alertmanager/templates/client.tmpl"),
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
	if r.client, err = amapi.New(r.alertmanager.URL(), http.DefaultClient); err != nil {
		t.Fatal(err)
	}
	// Alertmanager lists an alert for four times the resend delay.
	r.daemonConfig = fmt.Sprintf("alertmanager: {url: '%s'}\ninterval: 1s\ntimeout: 900ms\nrenew_for: 15s\nsettle: 8s\nheartbeat: {alertname: Watchdog, max_age: 10s}\n", r.alertmanager.URL())
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
`, r.alertmanager.Address(), strings.TrimPrefix(page.URL, "http://")), os.WriteFile(filepath.Join(folder, "prometheus", "ackd.json"), r.daemonTarget(), 0o600)
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

func (r *rig) daemonTarget() []byte {
	return fmt.Appendf(nil, `[{"targets": [%q], "labels": {"instance": "ackd"}}]`, strings.TrimPrefix(r.daemon.URL, "http://"))
}

func (r *rig) startDaemon() {
	r.t.Helper()
	r.daemon = exportertest.Start(r.t, ack.App(), r.daemonConfig)
}

// restartDaemon replaces the daemon, which gets a new port.
func (r *rig) restartDaemon() {
	r.t.Helper()
	r.daemon.Stop()
	r.startDaemon()
	file := filepath.Join(r.folder, "prometheus", "ackd.json")
	if err := os.WriteFile(file+".new", r.daemonTarget(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		r.t.Fatal(err)
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

// route makes the shipped routing one of the rig.
func (r *rig) route(clients []string) map[string][]byte {
	r.t.Helper()
	shipped, err := routing.Load(os.DirFS("../.."))
	if err != nil {
		r.t.Fatal(err)
	}
	err = shipped.Rehearse(routing.Rehearsal{PagesFile: "secrets/pages", HeartbeatFile: "secrets/beats", Clients: clients, Faster: faster, Evaluation: time.Second})
	if err != nil {
		r.t.Fatal(err)
	}
	files, err := shipped.Files()
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

// shippedAlerts are all alerts of the bundle.
func shippedAlerts(t *testing.T) map[string]drill.Rule {
	t.Helper()
	rules, err := drill.Rules(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// faultRules fires each shipped alert, by its name, while a fault of that name is on; its labels are those of the fault.
func faultRules(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("groups:\n  - name: faults\n    rules:\n      - {alert: Watchdog, expr: vector(1), labels: {priority: none, severity: none, team: technical, client: _platform, component: alerting, subject: heartbeat, category: heartbeat}}\n")
	for name, rule := range shippedAlerts(t) {
		if name != "Watchdog" && rule.Labels["escalation"] == "" {
			fmt.Fprintf(&b, "      - {alert: %s, expr: 'max without (alert, instance, job) (fault{alert=%q}) == 1'}\n", name, name)
		}
	}
	return b.String()
}

// metrics is the page that Prometheus scrapes.
func (r *rig) metrics(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(w, "# TYPE fault gauge")
	for _, text := range slices.Sorted(maps.Keys(r.faults)) {
		fmt.Fprintf(w, "fault%s 1\n", text)
	}
}

func (r *rig) receive(_ http.ResponseWriter, request *http.Request) {
	if strings.HasSuffix(request.URL.Path, "/heartbeat") {
		return
	}
	text, err := io.ReadAll(request.Body)
	var page pages.Page
	if err == nil {
		err = json.Unmarshal(text, &page)
	}
	if err != nil {
		r.t.Errorf("a page that is none: %v", err)
		return
	}
	page.Time = time.Now()
	line, err := json.Marshal(page)
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pages = append(r.pages, page)
	r.lines = append(append(r.lines, line...), '\n')
	if err := os.WriteFile(filepath.Join(r.folder, "pages.jsonl"), r.lines, 0o600); err != nil {
		r.t.Error(err)
	}
}

// on switches faults on, all in the same moment.
func (r *rig) on(faults ...labels) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range faults {
		r.faults[f.String()] = f
	}
}

func (r *rig) off(faults ...labels) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range faults {
		delete(r.faults, f.String())
	}
}

// of selects pages by status and what their alerts are about.
func (r *rig) of(status string, is func(pages.Page) bool) []pages.Page {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.pages), func(p pages.Page) bool { return p.Status != status || !is(p) })
}

func (r *rig) alerts() []amapi.Alert {
	alerts, err := r.client.Alerts(r.t.Context())
	if err != nil {
		return nil
	}
	return alerts
}

// await waits until something is done, and reports whether it was in time.
func (r *rig) await(what string, within time.Duration, done func() bool) bool {
	r.t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Errorf("%s: not within %s\n%s", what, within, r.story())
			return false
		}
	}
	return true
}

// asked is how many series Prometheus has for an expression, -1 when it does not answer.
func (r *rig) asked(expression string) int {
	response, err := http.Get(r.prometheus.URL() + "/api/v1/query?" + url.Values{"query": {expression}}.Encode())
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

// story is what everybody was told, for a message.
func (r *rig) story() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for _, p := range r.pages {
		fmt.Fprintf(&b, "%s %s to %s:", p.Time.Format("15:04:05.0"), p.Status, p.Receiver)
		for i, a := range p.Alerts {
			if i == 3 {
				fmt.Fprintf(&b, " and %d more", len(p.Alerts)-i)
				break
			}
			fmt.Fprintf(&b, " %s/%s(%s %s)", a.Labels["alertname"], a.Labels["source_alertname"], a.Labels["client"], a.Labels["component"])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

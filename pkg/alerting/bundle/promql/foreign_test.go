package promql

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// Sources of foreign metrics, as foreign.yml names them.
const (
	fromPrometheus   = "prometheus"
	fromAlertmanager = "alertmanager"
	fromNodeExporter = "node_exporter"
	fromEvery        = "every program" // the Go client library's
	fromScrapes      = "scrapes"       // written by Prometheus for each target
)

func TestForeignMetricsAreWhatTheRealServersExpose(t *testing.T) {
	t.Parallel()
	sources, err := foreignBySource()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slices.Sorted(maps.Keys(sources)), []string{fromAlertmanager, fromEvery, fromNodeExporter, fromPrometheus, fromScrapes}; !slices.Equal(got, want) {
		t.Fatalf("foreign.yml has metrics of %q, want %q", got, want)
	}
	alertmanager, prometheus, node := startServers(t)
	for source, server := range map[string]*servers.Process{
		fromAlertmanager: alertmanager, fromPrometheus: prometheus, fromNodeExporter: node, fromEvery: node,
	} {
		awaitMetrics(t, source, server, sources[source])
	}

	// What Prometheus writes itself is not on any page.
	for _, m := range sources[fromScrapes] {
		await(t, func() string {
			response, err := http.Get(prometheus.URL() + "/api/v1/series?match[]=" + m.Name)
			if err != nil {
				return err.Error()
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				return err.Error()
			}
			if want := fmt.Sprintf(`{"__name__":%q,"instance":`, m.Name); !strings.Contains(string(body), want) {
				return fmt.Sprintf("%s is not there: %s", m.Name, body)
			}
			return ""
		})
	}
}

// startServers starts the three servers so that they expose all their metrics: with a rule, a target and an Alertmanager.
func startServers(t *testing.T) (alertmanager, prometheus, node *servers.Process) {
	t.Helper()
	stop := func(p *servers.Process, err error) *servers.Process {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Kill() })
		return p
	}
	write := func(name, text string) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	config := write("alertmanager.yml", "route: {receiver: hook}\nreceivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:9/'}]}]\n")
	alertmanager = stop(servers.StartAlertmanager(t.Context(), t.TempDir(), servers.AlertmanagerConfig{ConfigFile: config}))
	// A new alert at each evaluation: Prometheus sends one that goes on once a minute, and the first may come before it knows the Alertmanager.
	rules := write("rules.yml", "groups: [{name: one, rules: [{alert: Always, expr: vector(time()), labels: {at: '{{ $value }}'}}]}]\n")
	prometheus = stop(servers.StartPrometheus(t.Context(), t.TempDir(), servers.PrometheusConfig{Text: func(address string) (string, error) {
		return fmt.Sprintf(`global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: prometheus, static_configs: [{targets: [%q]}]}]
`, rules, alertmanager.Address(), address), nil
	}}))
	return alertmanager, prometheus, stop(servers.StartNodeExporter(t.Context(), t.TempDir()))
}

// awaitMetrics waits until a scrape response has all listed metrics.
func awaitMetrics(t *testing.T, source string, server *servers.Process, listed []foreignMetric) {
	t.Helper()
	await(t, func() string {
		response, err := http.Get(server.URL() + "/metrics")
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		parser := expfmt.NewTextParser(model.UTF8Validation)
		page, err := parser.TextToMetricFamilies(response.Body)
		if err != nil {
			return err.Error()
		}
		var errs []string
		for _, m := range listed {
			if text := m.differs(page[m.Name]); text != "" {
				errs = append(errs, fmt.Sprintf("%s: %s: %s", source, m.Name, text))
			}
		}
		return strings.Join(errs, "\n")
	})
}

// await waits until wrong returns an empty message.
func await(t *testing.T, wrong func() string) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		text := wrong()
		if text == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatal(text)
		case <-tick.C:
		}
	}
}

// differs returns how a metric of a scrape response differs from the listed one.
func (m foreignMetric) differs(page *dto.MetricFamily) string {
	switch {
	case page == nil && m.SomeHosts:
		return ""
	case page == nil:
		return "it is not on the page"
	}
	if got := catalog.Type(strings.ToLower(page.GetType().String())); got != m.Type {
		return fmt.Sprintf("it is a %s, listed as %s", got, m.Type)
	}
	for _, series := range page.GetMetric() {
		names := map[string]bool{}
		for _, l := range series.GetLabel() {
			names[l.GetName()] = true
		}
		if got, want := slices.Sorted(maps.Keys(names)), slices.Sorted(slices.Values(m.Labels)); !slices.Equal(got, want) {
			return fmt.Sprintf("it has the labels %q, listed are %q", got, want)
		}
	}
	return ""
}

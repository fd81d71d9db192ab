package servers

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func page(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s\n%s", url, response.Status, body)
	}
	return string(body)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryServerStartsStopsAndStartsAgain(t *testing.T) {
	prometheus := "global: {scrape_interval: 5s}\n"
	alertmanager := "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
	for _, server := range []struct {
		name  string
		start func(ctx context.Context, dir string) (*Process, error)
		look  func(t *testing.T, p *Process)
	}{
		{
			name: "Prometheus",
			start: func(ctx context.Context, dir string) (*Process, error) {
				return StartPrometheus(ctx, dir, PrometheusConfig{Text: func(string) (string, error) { return prometheus, nil }})
			},
			look: func(t *testing.T, p *Process) {
				flags := page(t, p.URL()+"/api/v1/status/flags")
				for _, part := range []string{`"web.enable-lifecycle":"true"`, "created-timestamp-zero-ingestion"} {
					if !strings.Contains(flags, part) {
						t.Errorf("flags %s lack %s", flags, part)
					}
				}
			},
		},
		{
			name: "Alertmanager",
			start: func(ctx context.Context, dir string) (*Process, error) {
				return StartAlertmanager(ctx, dir, AlertmanagerConfig{ConfigFile: write(t, dir, "alertmanager.yml", alertmanager)})
			},
			look: func(t *testing.T, p *Process) {
				if status := page(t, p.URL()+"/api/v2/status"); !strings.Contains(status, `"status":"disabled"`) {
					t.Errorf("status %s, want the cluster disabled", status)
				}
			},
		},
		{
			name: "node_exporter",
			start: func(ctx context.Context, dir string) (*Process, error) {
				return StartNodeExporter(ctx, dir, "--no-collector.loadavg")
			},
			look: func(t *testing.T, p *Process) {
				metrics := page(t, p.URL()+"/metrics")
				if !strings.Contains(metrics, "node_cpu_seconds_total") {
					t.Error("no CPU metric")
				}
				if strings.Contains(metrics, "node_load1") {
					t.Error("the further flags are ignored")
				}
			},
		},
		{
			name:  "Redis",
			start: StartRedis,
			look: func(t *testing.T, p *Process) {
				if err := pongs(p.Address())(t.Context()); err != nil {
					t.Error(err)
				}
			},
		},
	} {
		t.Run(server.name, func(t *testing.T) {
			process, err := server.start(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = process.Kill() })
			if process.Name() != server.name {
				t.Errorf("name %q, want %q", process.Name(), server.name)
			}
			if !strings.HasPrefix(process.Address(), "127.0.0.1:") {
				t.Errorf("listens on %s, want loopback", process.Address())
			}
			server.look(t, process)
			if err := process.Restart(t.Context()); err == nil {
				t.Error("Restart of a running server succeeded")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := process.Stop(ctx); err != nil {
				t.Fatal(err)
			}
			if err := process.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			server.look(t, process)
		})
	}
}

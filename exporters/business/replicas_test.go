package business

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/rules"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// prometheus is a Prometheus with the shipped recording rules, quicker than they are.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, exporters ...*exportertest.Running) prometheus {
	t.Helper()
	folder := t.TempDir()
	for _, name := range recordings(t) {
		text, err := fs.ReadFile(rules.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		quick := regexp.MustCompile(`(?m)^(\s+)interval: .*$`).ReplaceAll(text, []byte("${1}interval: 1s"))
		if err := os.WriteFile(filepath.Join(folder, "recording-"+filepath.Base(name)), quick, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var targets []string
	for _, e := range exporters {
		targets = append(targets, strings.TrimPrefix(e.URL, "http://"))
	}
	process, err := servers.StartPrometheus(t.Context(), folder, servers.PrometheusConfig{Text: func(string) (string, error) {
		return fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [\"recording-*.yml\"]\n"+
			"scrape_configs: [{job_name: business-exporter, static_configs: [{targets: [%s]}]}]\n", strings.Join(targets, ", ")), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })
	return prometheus{process.URL()}
}

func recordings(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(rules.Files, "recording/*.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no recording rules: %v", err)
	}
	return names
}

// query evaluates an instant query: labels to value.
func (p prometheus) query(t *testing.T, expr string, at time.Time) map[string]string {
	t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
		Error string
	}
	p.get(t, "/api/v1/query?"+url.Values{"query": {expr}, "time": {strconv.FormatInt(at.Unix(), 10)}}.Encode(), &answer)
	if answer.Error != "" {
		t.Fatalf("%s: %s", expr, answer.Error)
	}
	values := map[string]string{}
	for _, r := range answer.Data.Result {
		values[fmt.Sprint(r.Metric)] = fmt.Sprint(r.Value[1])
	}
	return values
}

func (p prometheus) get(t *testing.T, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// recorded are the names of the recording rules that are about the business.
func (p prometheus) recorded(t *testing.T) []string {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Type, Name, Query string }
			}
		}
	}
	p.get(t, "/api/v1/rules", &answer)
	var names []string
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			for _, m := range shipped().Of(catalog.Business) {
				if r.Type == "recording" && regexp.MustCompile(`\b`+m.Name+`\b`).MatchString(r.Query) {
					names = append(names, r.Name)
					break
				}
			}
		}
	}
	return names
}

func TestTwoExportersReportTheSameAsOne(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := live(t, simulator.Config{DSN: dsn, Clients: 3, Events: 12, Items: 1200, Speed: 500, Seed: 3})
	pause(t, p)
	for i, check := range world.Checks() {
		if err := p.InjectViolation(t.Context(), check, p.Books().Clients[0].Slug, i+1); err != nil {
			t.Fatal(err)
		}
	}
	first, second := startPatiently(t, dsn, quickPack(t)), startPatiently(t, dsn, quickPack(t))
	awaitExpected(t, first, p)
	awaitExpected(t, second, p)
	one, both := startPrometheus(t, first), startPrometheus(t, first, second)

	exposed, names := first.Series(t), one.recorded(t)
	// The age follows the moment of its evaluation, and what is expected that of its collection.
	names = slices.DeleteFunc(names, func(name string) bool {
		return name == "platform_target:consign_backup_age_seconds:min" || strings.Contains(name, "_expected")
	})
	if len(names) == 0 {
		t.Fatal("no recording rule is about the business")
	}
	for _, m := range shipped().Of(catalog.Business) {
		if m.Replicas != catalog.Max {
			t.Errorf("%s: replicas combine by %s, want max: each reads the same database", m.Name, m.Replicas)
		}
		if len(named(exposed, m.Name)) > 0 && !moving(m.Name) {
			names = append(names, fmt.Sprintf("max without (instance) (%s)", m.Name))
		}
	}
	same := func(why string, instances int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			at := time.Now().Add(-2 * time.Second)
			wrong := ""
			if n := len(both.query(t, "consign_client_info", at)); n != instances*len(one.query(t, "consign_client_info", at)) {
				wrong = fmt.Sprintf("not %d exporters are seen", instances)
			}
			for _, name := range names {
				want, got := one.query(t, name, at), both.query(t, name, at)
				if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
					wrong = fmt.Sprintf("%s: %d values (-one exporter +two):\n%s", name, len(want), diff)
				}
			}
			if wrong == "" {
				return
			}
			select {
			case <-time.After(500 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("%s: %s", why, wrong)
			}
		}
	}
	same("two exporters", 2)
	if code := second.Stop(); code != 0 {
		t.Errorf("the second exporter ended with code %d", code)
	}
	same("after one of two has ended", 1)
}

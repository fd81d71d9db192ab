package promql

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// The inferred labels agree with results of a real Prometheus: no series has a label or a value that was inferred as impossible, and
// none lacks a label that was inferred as always present.
func TestInferredLabelsAreThoseOfPrometheus(t *testing.T) {
	t.Parallel()
	k := newTestChecker(t)
	prometheus := startPrometheusWith(t, k)
	await(t, func() string {
		series, err := instantQuery(prometheus, "count_over_time(client:stock:max[1m]) > 3 and on () ALERTS")
		if err != nil {
			return err.Error()
		}
		if len(series) == 0 {
			return "there is no recording and no alert yet"
		}
		return ""
	})
	empty := 0
	for expr := range labelsOf() {
		k, q := newTestChecker(t), newTestQuery(t, expr)
		inferred := k.infer(q, q.Expr)
		series, err := instantQuery(prometheus, expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if len(series) == 0 {
			empty++
		}
		for _, s := range series {
			if text := inferred.contradicts(s); text != "" {
				t.Errorf("%s yields %v, but we say %q: %s", expr, s, describe(inferred), text)
			}
		}
	}
	if all := len(labelsOf()); empty > all/5 {
		t.Errorf("%d of %d expressions yield nothing: that shows too little", empty, all)
	}
}

// contradicts returns which label of a series contradicts the inferred result.
func (r Result) contradicts(s model.Metric) string {
	for name, value := range s {
		l, has := r.labels[string(name)]
		if name != model.MetricNameLabel && (!has || l.values != nil && !slices.Contains(l.values, string(value))) {
			return string(name)
		}
	}
	for name, l := range r.labels {
		if _, has := s[model.LabelName(name)]; l.always && !has {
			return name + " (missing)"
		}
	}
	return ""
}

// startPrometheusWith starts a Prometheus that scrapes two replicas of everything that the expressions read.
func startPrometheusWith(t *testing.T, k *Checker) *servers.Process {
	t.Helper()
	page := scrapeResponse(t, k)
	var targets []string
	for range 2 {
		var scrapes atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			n := scrapes.Add(1)
			for _, series := range page {
				if strings.HasPrefix(series, "#") {
					fmt.Fprintln(w, series)
				} else {
					fmt.Fprintf(w, "%s %d\n", series, 10*n)
				}
			}
		}))
		t.Cleanup(server.Close)
		targets = append(targets, fmt.Sprintf("%q", strings.TrimPrefix(server.URL, "http://")))
	}
	rules := filepath.Join(t.TempDir(), "rules.yml")
	text := fmt.Sprintf(`groups:
  - name: stock
    rules:
      - record: client:stock:max
        expr: %s
      - {alert: Always, expr: vector(1), labels: {priority: P2, severity: warning, team: support, client: north, component: c, subject: s, category: w}}
`, k.recorded["client:stock:max"][0].Query.Text)
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus, err := servers.StartPrometheus(t.Context(), t.TempDir(), servers.PrometheusConfig{Text: func(string) (string, error) {
		return fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs: [{job_name: all, static_configs: [{targets: [%s]}]}]\n",
			rules, strings.Join(targets, ", ")), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prometheus.Kill() })
	return prometheus
}

// scrapeResponse has all series of the metrics that the expressions read, with two values for labels without a closed set of values.
func scrapeResponse(t *testing.T, k *Checker) []string {
	t.Helper()
	names := map[string]bool{"consign_items": true}
	for expr := range labelsOf() {
		parser.Inspect(newTestQuery(t, expr).Expr, func(n parser.Node, _ []parser.Node) error {
			if s, ok := n.(*parser.VectorSelector); ok {
				names[s.Name] = true
			}
			return nil
		})
	}
	var page []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		base := strings.TrimSuffix(name, "_bucket")
		if m, ok := k.config.Catalog.Lookup(base); ok {
			if m.Type == catalog.Histogram {
				page = append(page, "# TYPE "+base+" histogram")
			}
			page = append(page, product(name, m)...)
		} else if f, ok := k.foreign[name]; ok && !strings.HasPrefix(name, "up") {
			b := labels.NewBuilder(labels.EmptyLabels())
			for _, l := range f.Labels {
				b.Set(l, "/")
			}
			page = append(page, name+b.Labels().String())
		}
	}
	return page
}

// product lists the series of a metric with all combinations of label values.
func product(name string, m *catalog.Metric) []string {
	all := []labels.Labels{labels.EmptyLabels()}
	cross := func(label string, values []string) {
		var next []labels.Labels
		for _, l := range all {
			for _, v := range values {
				next = append(next, labels.NewBuilder(l).Set(label, v).Labels())
			}
		}
		all = next
	}
	for _, l := range m.Labels {
		switch {
		case l.Closed():
			cross(l.Name, l.Values)
		case l.Present == 1:
			cross(l.Name, []string{"north"})
		default:
			cross(l.Name, []string{"north", "south"})
		}
	}
	if m.Type == catalog.Histogram {
		cross(labels.BucketLabel, []string{"0.5", "+Inf"})
	}
	var texts []string
	for _, l := range all {
		texts = append(texts, name+l.String())
	}
	return texts
}

// instantQuery returns the series of an instant query. A scalar is a series without labels.
func instantQuery(prometheus *servers.Process, expr string) ([]model.Metric, error) {
	response, err := http.Get(prometheus.URL() + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var body struct {
		Error string
		Data  struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return nil, err
	}
	if body.Error != "" {
		return nil, fmt.Errorf("%s", body.Error)
	}
	if body.Data.ResultType != "vector" {
		return []model.Metric{{}}, nil
	}
	var vector model.Vector
	if err := json.Unmarshal(body.Data.Result, &vector); err != nil {
		return nil, err
	}
	var series []model.Metric
	for _, s := range vector {
		series = append(series, s.Metric)
	}
	return series, nil
}

// Package prometheus_test benchmarks the shipped rules with the engine, the rule manager and the storage of the pinned
// Prometheus. It is in a module of its own, so that Prometheus's dependencies stay out of the main module.
package prometheus_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	root     = "../.."
	interval = 15 * time.Second // of scrapes and evaluations
	span     = 65 * time.Minute // a little more than the longest window of rules with a short interval
)

var start = time.Unix(1_790_000_000, 0)

// BenchmarkRules evaluates every shipped rule once for a platform with a number of clients: each metric of the catalog with
// its usual number of series, scraped every 15 seconds by one Prometheus. One operation is one evaluation of all groups,
// including the recording of the results. With -v it logs the slowest rules.
func BenchmarkRules(b *testing.B) {
	for _, clients := range []int{50, 200, 500} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			db, series := filled(b, clients)
			groups := load(b, db)
			at := start.Add(span)
			evaluate := func(step time.Duration) { // each group on its own, as Prometheus does
				var all sync.WaitGroup
				for _, g := range groups {
					all.Go(func() { g.Eval(b.Context(), at) })
				}
				all.Wait()
				at = at.Add(step)
			}
			for range 4 { // so that rules find the recordings that they read
				evaluate(interval)
			}
			for b.Loop() {
				evaluate(time.Millisecond) // not beyond the last scrape, after which there are no samples
			}
			n := 0
			for _, g := range groups {
				for _, r := range g.Rules() {
					if n++; r.LastError() != nil {
						b.Errorf("%s: %v", r.Name(), r.LastError())
					}
					if alert, ok := r.(*rules.AlertingRule); ok && len(alert.ActiveAlerts()) > 1 && testing.Verbose() {
						b.Logf("%d alerts %s", len(alert.ActiveAlerts()), r.Name())
					}
				}
			}
			if testing.Verbose() {
				slowest(b, groups)
			}
			b.ReportMetric(float64(series), "series")
			b.ReportMetric(float64(n), "rules")
		})
	}
}

// slowest logs the rules that took longest in the last evaluation.
func slowest(b *testing.B, groups []*rules.Group) {
	var all []rules.Rule
	for _, g := range groups {
		all = append(all, g.Rules()...)
	}
	slices.SortFunc(all, func(a, c rules.Rule) int { return cmp.Compare(c.GetEvaluationDuration(), a.GetEvaluationDuration()) })
	for _, r := range all[:15] {
		b.Logf("%8.1f ms  %s", r.GetEvaluationDuration().Seconds()*1000, r.Name())
	}
}

func load(b *testing.B, db *tsdb.DB) []*rules.Group {
	promParser := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: promParser})
	manager := rules.NewManager(&rules.ManagerOptions{
		ExternalURL: &url.URL{Scheme: "http", Host: "localhost:9090"},
		QueryFunc:   rules.EngineQueryFunc(engine, db), NotifyFunc: func(context.Context, string, ...*rules.Alert) {},
		Context: b.Context(), AppendableV2: db, Queryable: db, Logger: slog.New(slog.DiscardHandler), Parser: promParser,
	})
	var files []string
	for _, folder := range []string{"recording", "alerts"} {
		found, err := filepath.Glob(filepath.Join(root, "rules", folder, "*.yml"))
		if err != nil || len(found) == 0 {
			b.Fatalf("%s rules: %d files: %v", folder, len(found), err)
		}
		files = append(files, found...)
	}
	byName, errs := manager.LoadGroups(interval, labels.EmptyLabels(), "", nil, false, files...)
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	var groups []*rules.Group
	for _, g := range byName {
		groups = append(groups, g)
	}
	return groups
}

// metric has the fields of a catalog entry that the benchmark needs.
type metric struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Unit     string    `json:"unit"`
	Exporter string    `json:"exporter"`
	Buckets  []float64 `json:"buckets"`
	Labels   []struct {
		Name    string   `json:"name"`
		Values  []string `json:"values"`
		Limit   int      `json:"limit"`
		Present int      `json:"present"`
		Typical int      `json:"typical"`
	} `json:"labels"`
}

func readCatalog(b *testing.B) []metric {
	out, err := exec.CommandContext(b.Context(), filepath.Join(root, ".build/bin/consignwatch"), "catalog", "--format=json").Output()
	if err != nil {
		b.Fatalf("run `make build` first: %v", err)
	}
	var all []metric
	if err := json.Unmarshal(out, &all); err != nil {
		b.Fatal(err)
	}
	return all
}

type series struct {
	ref    storage.SeriesRef
	labels labels.Labels
	value  float64

	counter, histogram bool
	isFailure          bool // the value stays 0
}

// failureNames matches the names and label values of failures, which a healthy platform does not have: no alert may fire, or the
// benchmark would measure the writing of thousands of alerts.
var failureNames = regexp.MustCompile(`violation|missing|offline|under_replicated|dead|lag_|lag$|read_only|backlog|failed|failure|unsynced|unmatched|error|crash|conflict|` +
	`evicted|slow|timeout|throttled|retried|denied|invalid|lock|_wait|bounce|reject|complaint|dropped|malformed|oversized|undecodable|not_utf8|unknown|stopped|stalled|rewound|lagging|` +
	`auth$|forbidden|not_found|frozen|server_error|5xx|paused|failing`)

func (m *metric) isFailure(set []string) bool {
	if failureNames.MatchString(m.Name) && m.Type != "histogram" {
		return true
	}
	for i := 1; i < len(set); i += 2 {
		if failureNames.MatchString(set[i]) {
			return true
		}
	}
	return false
}

// healthy is the value of a gauge on a healthy platform.
func (m *metric) healthy(set []string) float64 {
	switch {
	case m.isFailure(set):
		return 0
	case m.Unit == "timestamp":
		return float64(start.Add(span).Unix())
	case strings.Contains(m.Name, "max") || strings.Contains(m.Name, "capacity") || strings.Contains(m.Name, "quota"):
		return 100
	case strings.Contains(m.Name, "time_to_loss"):
		return 86400
	}
	return 1
}

// filled returns a storage with an hour of samples of a platform, and its number of series.
func filled(b *testing.B, clients int) (*tsdb.DB, int) {
	options := tsdb.DefaultOptions()
	options.MinBlockDuration, options.MaxBlockDuration = (24 * time.Hour).Milliseconds(), (24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(b.TempDir(), slog.New(slog.DiscardHandler), nil, options, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	var all []*series
	for _, job := range []string{"system-exporter", "integration-exporter", "business-exporter", "event-exporter", "alertmanager"} {
		all = append(all, &series{labels: labels.FromStrings(labels.MetricName, "up", "job", job, "instance", job+":1"), value: 1})
	}
	for _, m := range readCatalog(b) {
		for _, set := range m.combinations(clients) {
			add := func(name string, value float64, more ...string) {
				of := append(slices.Clone(set), labels.MetricName, name, "instance", m.Exporter+":1", "job", m.Exporter)
				all = append(all, &series{
					labels: labels.FromStrings(append(of, more...)...), value: value,
					counter: m.Type == "counter", histogram: m.Type == "histogram", isFailure: m.isFailure(set),
				})
			}
			switch m.Type {
			case "histogram":
				for _, bound := range m.Buckets {
					add(m.Name+"_bucket", 0, "le", strconv.FormatFloat(bound, 'f', -1, 64))
				}
				add(m.Name+"_bucket", 0, "le", "+Inf")
				add(m.Name+"_count", 0)
				add(m.Name+"_sum", 0)
			case "counter":
				add(m.Name, 0)
			case "gauge":
				add(m.Name, m.healthy(set))
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for at := start; !at.After(start.Add(span + 5*interval)); at = at.Add(interval) {
		appender := db.Appender(b.Context())
		for _, s := range all {
			switch {
			case s.histogram:
				s.value += 10 // every observation is in the first bucket
			case s.counter && !s.isFailure:
				s.value += float64(random.IntN(20))
			}
			if s.ref, err = appender.Append(s.ref, s.labels, at.UnixMilli(), s.value); err != nil {
				b.Fatal(err)
			}
		}
		if err := appender.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	return db, len(all)
}

// combinations are the usual label sets of a metric, as name, value, name, value.
func (m *metric) combinations(clients int) [][]string {
	sets := [][]string{nil}
	for _, l := range m.Labels {
		n := l.Typical
		switch {
		case n > 0:
		case l.Present > 0:
			n = l.Present
		case len(l.Values) > 0:
			n = len(l.Values)
		default:
			n = l.Limit
		}
		var next [][]string
		for i, set := range sets {
			switch l.Name {
			case "client":
				n = clients
			case "event": // two sale events for five clients
				n = 0
				if i%5 < 2 {
					n = 1
				}
			}
			for j := range n {
				value := fmt.Sprintf("%s-%d", l.Name, j)
				if len(l.Values) > 0 {
					value = l.Values[j%len(l.Values)]
				}
				next = append(next, append(slices.Clone(set), l.Name, value))
			}
		}
		sets = next
	}
	return sets
}

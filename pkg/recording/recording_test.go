package recording

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// bits are the samples of a recording by series, with their values to the bit: a stale marker is one of many NaN.
func bits(r *Recording) map[string][]string {
	all := map[string][]string{}
	for _, s := range r.Series {
		for _, x := range s.Floats {
			all[s.Metric.String()] = append(all[s.Metric.String()], fmt.Sprintf("%d %x", x.T, math.Float64bits(x.F)))
		}
	}
	return all
}

func made() *Recording {
	start := time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC).UnixMilli()
	var r Recording
	for _, name := range []string{"a_total", "up"} {
		s := promql.Series{Metric: labels.FromStrings(model.MetricNameLabel, name, "instance", "host:9100", "job", "node")}
		for i := range int64(500) { // more than a chunk holds
			v := float64(i) / 3
			if i == 250 {
				v = math.Float64frombits(value.StaleNaN)
			}
			s.Floats = append(s.Floats, promql.FPoint{T: start + 15_000*i + i%2, F: v})
		}
		r.Series = append(r.Series, s)
	}
	return &r
}

func TestAFileHoldsEverySampleToTheBit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "made"+Extension)
	if err := made().Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bits(made()), bits(got)); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("beside the file there is %v, %v", left, err)
	}
}

func TestWhatIsNoRecordingIsRefusedByName(t *testing.T) {
	folder := t.TempDir()
	good := filepath.Join(folder, "good")
	if err := made().Write(good); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"text":      {[]byte("# HELP up\nup 1\n"), "is not a recording: invalid input: magic number mismatch"},
		"empty":     {nil, "is not a recording"},
		"cut off":   {whole[:len(whole)/2], "is not a recording: unexpected EOF"},
		"corrupted": {append(append([]byte{}, whole[:len(whole)/2]...), make([]byte, len(whole)/2)...), "is not a recording"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder, "bad")
			if err := os.WriteFile(file, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), file); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Open(t.Context(), filepath.Join(folder, "none")); !os.IsNotExist(err) {
		t.Errorf("without a file the error is %v", err)
	}
	if err := (&Recording{}).Write(filepath.Join(folder, "nothing")); err == nil {
		t.Error("a recording without series is written")
	}
}

// What a real Prometheus has scraped is fetched, with the marker where a series ended, and without what its rules recorded.
func TestFetchBringsWhatAPrometheusHasScraped(t *testing.T) {
	gone := make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "stays 1")
		select {
		case <-gone:
		default:
			fmt.Fprintln(w, "goes 2")
		}
	}))
	t.Cleanup(target.Close)
	folder := t.TempDir()
	rules := filepath.Join(folder, "rules.yml")
	if err := os.WriteFile(rules, []byte("groups: [{name: g, rules: [{record: 'job:stays:sum', expr: sum by (job) (stays)}, {alert: Always, expr: vector(1)}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus, err := servers.StartPrometheus(t.Context(), folder, servers.PrometheusConfig{Text: func(string) (string, error) {
		return fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs: [{job_name: node, static_configs: [{targets: [%q]}]}]\n", rules, strings.TrimPrefix(target.URL, "http://")), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prometheus.Kill() })
	begin := time.Now()
	var r *Recording
	fetched := func(is func(samples map[string][]float64) bool) map[string][]float64 {
		for {
			samples := map[string][]float64{}
			if r, err = Fetch(t.Context(), http.DefaultClient, prometheus.URL(), begin.Add(-10*time.Minute), time.Now()); err == nil {
				for _, s := range r.Series {
					for _, x := range s.Floats {
						samples[s.Metric.Get(model.MetricNameLabel)] = append(samples[s.Metric.Get(model.MetricNameLabel)], x.F)
					}
				}
				if is(samples) {
					return samples
				}
			}
			select {
			case <-t.Context().Done():
				t.Fatal(t.Context().Err())
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	fetched(func(samples map[string][]float64) bool { return len(samples["goes"]) >= 3 })
	close(gone)
	samples := fetched(func(samples map[string][]float64) bool {
		last := len(samples["goes"]) - 1
		return value.IsStaleNaN(samples["goes"][last]) && len(samples["stays"]) > last+1
	})
	for _, name := range []string{"ALERTS", "ALERTS_FOR_STATE", "job:stays:sum"} {
		if len(samples[name]) > 0 {
			t.Errorf("it has %s, which rules made", name)
		}
	}
	if n := len(samples["up"]); n < 4 {
		t.Errorf("up has %d samples", n)
	}
	if got := r.Interval(); got.Round(time.Second) != time.Second {
		t.Errorf("the interval is %s", got)
	}
	first, last, ok := r.Bounds()
	if !ok || first.Before(begin.Add(-time.Second)) || !last.After(first) {
		t.Errorf("the bounds are %s and %s, %t", first, last, ok)
	}

	if _, err := Fetch(t.Context(), http.DefaultClient, prometheus.URL(), begin.Add(-time.Hour), begin.Add(-50*time.Minute)); err == nil || !strings.Contains(err.Error(), "has no samples from") {
		t.Errorf("without data the error is %v", err)
	}
}

func TestFetchSaysWhatIsWrong(t *testing.T) {
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch strings.Split(r.URL.Path, "/")[1] {
		case "refuses":
			http.Error(w, "exceeded sample limit (50000000)", http.StatusBadRequest)
		case "page":
			fmt.Fprint(w, "<html>Please sign in.</html>")
		case "other":
			_, _ = w.Write(snappy.Encode(nil, []byte("\xff\xff\xff")))
		}
	}))
	t.Cleanup(answers.Close)
	to := time.Now()
	from := to.Add(-time.Minute)
	for name, c := range map[string]struct {
		address  string
		from, to time.Time
		want     string
	}{
		"no address":                 {"prometheus:9090", from, to, `"prometheus:9090" is not an address like http://prometheus:9090`},
		"a password, and no address": {"ann:hunter2@prometheus:9090", from, to, `"<secret>@prometheus:9090" is not an address`},
		"a password":                 {"http://ann:hunter2@127.0.0.1:1", from, to, "http://ann:xxxxx@127.0.0.1:1: remote read"},
		"the wrong order":            {"http://a:1", to, from, "before it begins"},
		"nobody there":               {"http://127.0.0.1:1", from, to, "connection refused"},
		"refused":                    {answers.URL + "/refuses", from, to, "400 Bad Request: exceeded sample limit (50000000)"},
		"a page":                     {answers.URL + "/page", from, to, "is this a Prometheus?"},
		"something else":             {answers.URL + "/other", from, to, "the answer is not one of remote read"},
		"an empty answer":            {answers.URL + "/nothing", from, to, "is this a Prometheus?"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Fetch(t.Context(), http.DefaultClient, c.address, c.from, c.to)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error is %v, want %q, and no password", err, c.want)
			}
		})
	}
}

func TestGapsAreTimesWithoutAnyScrape(t *testing.T) {
	r := made()
	if gaps := r.Gaps(time.Minute); len(gaps) > 0 {
		t.Errorf("it has gaps %v", gaps)
	}
	if r.Interval() != 15*time.Second+time.Millisecond && r.Interval() != 15*time.Second-time.Millisecond {
		t.Errorf("the interval is %s", r.Interval())
	}
	up := r.Series[1].Floats
	r.Series[1].Floats = append(append([]promql.FPoint{}, up[:10]...), up[30:]...)
	if gaps := r.Gaps(time.Minute); len(gaps) != 1 || gaps[0].String() != "2026-03-04T10:02:15Z to 2026-03-04T10:07:30Z (5m15s)" {
		t.Errorf("it has gaps %v", gaps)
	}
}

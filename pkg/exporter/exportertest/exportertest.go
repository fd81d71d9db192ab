// Package exportertest runs exporters in tests as their users run them: with flags, a configuration file and a port.
package exportertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/exporter/web"
)

// Running is an exporter under test.
type Running struct {
	URL    string
	client *http.Client
	pause  time.Duration // of Await between two scrapes
	log    *Log
	end    context.CancelFunc
	out    chan int
}

// Start runs the exporter with a configuration text and further flags, on a free port, until the test ends.
func Start(t testing.TB, app web.App, config string, flags ...string) *Running {
	t.Helper()
	return StartFile(t, app, WriteFile(t, "config.yml", config), flags...)
}

// StartFile is Start for a configuration that is a file already.
func StartFile(t testing.TB, app web.App, path string, flags ...string) *Running {
	t.Helper()
	return StartOn(t, nil, app, path, flags...)
}

// StartOn is StartFile on a network.
func StartOn(t testing.TB, network *Network, app web.App, path string, flags ...string) *Running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{client: network.client(t), pause: 50 * time.Millisecond, log: &Log{}, end: cancel, out: make(chan int, 1)}
	app.Listen = network.Listen
	if network != nil {
		r.pause = 100 * time.Millisecond // in virtual time there is a scrape after each, and nothing in between
	}
	listening := make(chan []net.Addr, 1)
	args := append([]string{"--config.file", path, "--web.listen-address", "127.0.0.1:0"}, flags...)
	go func() { r.out <- app.Run(ctx, args, r.log, r.log, func(a []net.Addr) { listening <- a }) }()
	select {
	case a := <-listening:
		r.URL = "http://" + a[0].String()
	case code := <-r.out:
		r.out <- code
		t.Fatalf("the exporter ended with code %d:\n%s", code, r.Log())
	}
	t.Cleanup(func() {
		if code := r.Stop(); code != 0 {
			t.Errorf("the exporter ended with code %d:\n%s", code, r.Log())
		}
	})
	return r
}

// Stop ends the exporter as SIGTERM does, and returns its exit code.
func (r *Running) Stop() int {
	r.end()
	code := <-r.out
	r.out <- code
	return code
}

// Log returns the exporter's log.
func (r *Running) Log() string { return r.log.String() }

// Get reads a path with the given header lines ("Name: value"), and fails the test when there is no answer.
func (r *Running) Get(t testing.TB, path string, header ...string) (status int, body string) {
	t.Helper()
	return r.Do(t, http.MethodGet, path, header...)
}

// Do is Get with a method.
func (r *Running) Do(t testing.TB, method, path string, header ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity") // on the loopback interface compression only costs time
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// Series is the scrape response as a map from series, written name{label="value"}, to value. Histograms are left out.
func (r *Running) Series(t testing.TB) map[string]float64 {
	t.Helper()
	series := map[string]float64{}
	for _, mf := range r.Families(t) {
		for _, m := range mf.Metric {
			switch {
			case m.Gauge != nil:
				series[Name(mf.GetName(), m)] = m.Gauge.GetValue()
			case m.Counter != nil:
				series[Name(mf.GetName(), m)] = m.Counter.GetValue()
			}
		}
	}
	return series
}

// Families scrapes in the protobuf format, as Prometheus does.
func (r *Running) Families(t testing.TB) []*dto.MetricFamily {
	t.Helper()
	status, body := r.Get(t, "/metrics", "Accept: "+string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	if status != http.StatusOK {
		t.Fatalf("/metrics answered %d: %s", status, body)
	}
	dec := expfmt.NewDecoder(strings.NewReader(body), expfmt.NewFormat(expfmt.TypeProtoDelim))
	var families []*dto.MetricFamily
	for {
		mf := &dto.MetricFamily{}
		if err := dec.Decode(mf); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			t.Fatalf("decode the scrape response: %v", err)
		}
		families = append(families, mf)
	}
}

// Name writes a series as PromQL does.
func Name(name string, m *dto.Metric) string {
	labels := model.LabelSet{}
	for _, l := range m.Label {
		labels[model.LabelName(l.GetName())] = model.LabelValue(l.GetValue())
	}
	if len(labels) == 0 {
		return name
	}
	return name + strings.ReplaceAll(labels.String(), ", ", ",")
}

// Await scrapes until done reports that the series are as expected, at most a minute, and fails with what is still missing.
func (r *Running) Await(t testing.TB, what string, done func(series map[string]float64) bool) map[string]float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		begin := time.Now()
		series := r.Series(t)
		if done(series) {
			return series
		}
		select {
		case <-time.After(max(r.pause, 2*time.Since(begin))): // a busy machine has other things to do
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s\n%s\n%s", what, r.Log(), r.scrapeText(t))
		}
	}
}

// Eventually waits at most a minute until done. When it fails, it prints all goroutines.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			stacks := make([]byte, 1<<20)
			t.Fatalf("not within a minute: %s\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// scrapeText is the text exposition without the metrics of the Go runtime and of the process.
func (r *Running) scrapeText(t testing.TB) string {
	t.Helper()
	_, all := r.Get(t, "/metrics")
	var b strings.Builder
	for line := range strings.Lines(all) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "go_") && !strings.HasPrefix(line, "process_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// AwaitReady waits until every target was tried.
func (r *Running) AwaitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if status, _ := r.Get(t, "/-/ready"); status == http.StatusOK {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not ready within a minute:\n%s", r.Log())
		}
	}
}

// WriteFile writes a file into a folder of the test and returns its path.
func WriteFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Log is a log that a test can read while it is written.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Logger logs into it, from the level debug on.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

package events_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// unreliablePrometheus is a Prometheus that refuses, or does not answer, while it is down.
type unreliablePrometheus struct {
	*fakePrometheus
	hang     bool
	attempts atomic.Int64 // while it was down

	mu sync.Mutex
	up chan struct{} // closed when it is
}

func newUnreliablePrometheus(hang bool) *unreliablePrometheus {
	return &unreliablePrometheus{fakePrometheus: newFakePrometheus(), hang: hang, up: make(chan struct{})}
}

func (p *unreliablePrometheus) goDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = make(chan struct{})
}

func (p *unreliablePrometheus) comeUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.up)
}

func (p *unreliablePrometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	up := p.up
	p.mu.Unlock()
	select {
	case <-up:
		p.fakePrometheus.ServeHTTP(w, r)
		return
	default:
	}
	_ = r.ParseForm() // the body is read, so that the context ends with the connection
	p.attempts.Add(1)
	if p.hang {
		select {
		case <-up:
		case <-r.Context().Done():
		}
	}
	http.Error(w, "down", http.StatusServiceUnavailable)
}

// awaitAttempts waits until Prometheus was asked some times more.
func (p *unreliablePrometheus) awaitAttempts(t *testing.T, n int64) {
	t.Helper()
	n += p.attempts.Load()
	await(t, "Prometheus is asked again and again", func() bool { return p.attempts.Load() >= n })
}

// countGenerations returns the generation of the group: how often it has rebalanced.
func countGenerations(b fakeCluster) *atomic.Int32 {
	var generation atomic.Int32
	b.ControlKey(int16(kmsg.SyncGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		generation.Store(max(generation.Load(), request.(*kmsg.SyncGroupRequest).Generation))
		return nil, nil, false
	})
	return &generation
}

// replicas start exporters of one group that are no static members.
func replicas(t *testing.T, b fakeCluster, p *unreliablePrometheus, settle string) (start func() *inProcess) {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	path := exportertest.WriteFile(t, "config.yml", fmt.Sprintf("kafka: {brokers: [%q], session_timeout: 20s}\nresume_from: prometheus\nprometheus: {url: %q, settle: %s}\n%s",
		b.Address(), server.URL, settle, anonymousScraper))
	return func() *inProcess {
		r := followFile(t, path)
		r.prometheus = p.fakePrometheus
		return r
	}
}

// awaitSum scrapes all exporters until they have counted together what is wanted of a series.
func awaitSum(t *testing.T, series string, want float64, exporters ...*inProcess) {
	t.Helper()
	var sum float64
	await(t, fmt.Sprintf("%s is %v", series, want), func() bool {
		sum = 0
		for _, r := range exporters {
			sum += r.scrape(t)[series]
		}
		return sum >= want
	})
	if sum != want {
		t.Errorf("%s is %v, want %v", series, sum, want)
	}
}

// TestReplicasComeToRestWhilePrometheusIsDown starts three that are no static members. To wait for Prometheus, or for what
// may be on its way to it, must not provoke a rebalance, which would begin the wait again.
func TestReplicasComeToRestWhilePrometheusIsDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, settle string
		hang         bool
	}{
		{"refuses", "100ms", false},
		{"refuses, long settle", "5s", false},
		{"does not answer", "100ms", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const partitions, each = 6, 5
			b := startFakeCluster(t, partitions)
			generation := countGenerations(b)
			for p := range int32(partitions) {
				write(t, b, times(each, onPartition(p, request("anna")))...)
			}
			prometheus := newUnreliablePrometheus(tt.hang)
			start := replicas(t, b, prometheus, tt.settle)
			exporters := []*inProcess{start(), start(), start()}
			if _, err := b.WaitGroupStable(t.Context(), "consignwatch-events", len(exporters)); err != nil {
				t.Fatal(err)
			}
			prometheus.awaitAttempts(t, 9)
			prometheus.comeUp()
			awaitSum(t, requests("anna"), partitions*each, exporters...)
			for _, r := range exporters {
				r.await(t, map[string]float64{success: 1})
			}
			if n := generation.Load(); n > 6 {
				t.Errorf("the group has rebalanced %d times, want 6 at most", n)
				for i, r := range exporters {
					t.Logf("exporter %d:\n%s", i, tail(r.Log()))
				}
			}
		})
	}
}

// TestAReplicaThatJoinsWhilePrometheusIsDown makes another one revoke partitions of which it has exposed more than Prometheus
// is known to have: it holds them until Prometheus answers, and no record is counted twice.
func TestAReplicaThatJoinsWhilePrometheusIsDown(t *testing.T) {
	t.Parallel()
	const partitions = 6
	b := startFakeCluster(t, partitions)
	generation := countGenerations(b)
	prometheus := newUnreliablePrometheus(false)
	prometheus.comeUp()
	start := replicas(t, b, prometheus, "100ms")
	first := start()
	first.await(t, map[string]float64{success: 1})
	for p := range int32(partitions) {
		write(t, b, times(5, onPartition(p, request("anna")))...)
	}
	first.await(t, map[string]float64{requests("anna"): 5 * partitions})
	first.prometheus = nil // what comes now gets lost on its way
	for p := range int32(partitions) {
		write(t, b, times(5, onPartition(p, request("anna")))...)
	}
	first.await(t, map[string]float64{requests("anna"): 10 * partitions})
	const held = "partitions are held until Prometheus confirms the last scrape response"
	prometheus.goDown()
	second := start()
	first.awaitLog(t, held)
	prometheus.awaitAttempts(t, 3)
	first.prometheus = prometheus.fakePrometheus
	prometheus.comeUp()
	awaitSum(t, requests("anna"), 10*partitions, first, second)
	if _, err := b.WaitGroupStable(t.Context(), "consignwatch-events", 2); err != nil {
		t.Fatal(err)
	}
	for p := range int32(partitions) {
		write(t, b, onPartition(p, request("anna")))
	}
	awaitSum(t, requests("anna"), 11*partitions, first, second)
	for _, r := range []*inProcess{first, second} {
		r.await(t, map[string]float64{success: 1})
	}
	if n := generation.Load(); n > 3 {
		t.Errorf("the group has rebalanced %d times, want 3 at most", n)
	}
}

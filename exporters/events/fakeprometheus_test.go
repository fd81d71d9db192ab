package events_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakePrometheus answers two queries: which offsets it has ingested, and of which processes it has responses. The test, as the scraper, calls ingest.
type fakePrometheus struct {
	mu      sync.Mutex
	offsets map[[3]string]float64 // by topic, partition and topic id
	resets  map[float64]bool      // when the counters of the processes were reset that it has scraped
	queries int
	warning string // of each answer, unless empty
}

func newFakePrometheus() *fakePrometheus {
	return &fakePrometheus{offsets: map[[3]string]float64{}, resets: map[float64]bool{}}
}

// listen answers on an address until the test ends.
func (p *fakePrometheus) listen(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: time.Second}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

// ingest takes the offsets of an exposition. A nil fakePrometheus does nothing.
func (p *fakePrometheus) ingest(body string) {
	if p == nil {
		return
	}
	families, err := decode(body)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, mf := range families {
		for _, m := range mf.Metric {
			switch mf.GetName() {
			case "consignwatch_counters_reset_timestamp_seconds":
				p.resets[m.Gauge.GetValue()] = true
			case "consignwatch_offset":
				labels := map[string]string{}
				for _, l := range m.Label {
					labels[l.GetName()] = l.GetValue()
				}
				key := [3]string{labels["topic"], labels["partition"], labels["topic_id"]}
				p.offsets[key] = max(p.offsets[key], m.Gauge.GetValue())
			}
		}
	}
}

// put makes Prometheus have an offset from before.
func (p *fakePrometheus) put(topic string, partition int32, topicID string, offset float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offsets[[3]string{topic, fmt.Sprint(partition), topicID}] = offset
}

func (p *fakePrometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	result := []any{}
	add := func(labels map[string]string, v float64) {
		result = append(result, map[string]any{"metric": labels, "value": []any{float64(time.Now().UnixMilli()) / 1000, fmt.Sprintf("%.3f", v)}})
	}
	switch query := r.FormValue("query"); {
	case strings.Contains(query, "consignwatch_offset{"):
		p.queries++
		for key, v := range p.offsets {
			add(map[string]string{"topic": key[0], "partition": key[1], "topic_id": key[2]}, v)
		}
	case strings.HasPrefix(query, "consignwatch_counters_reset_timestamp_seconds{"):
		for v := range p.resets {
			add(map[string]string{"instance": fmt.Sprint(v)}, v)
		}
	default:
		http.Error(w, "not a question for me", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}}
	if p.warning != "" {
		answer["warnings"] = []string{p.warning}
	}
	json.NewEncoder(w).Encode(answer)
}

// queryCount is the number of queries.
func (p *fakePrometheus) queryCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queries
}

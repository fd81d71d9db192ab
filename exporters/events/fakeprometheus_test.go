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

// fakePrometheus answers one query: which offsets it has ingested. The test, as the scraper, calls ingest.
type fakePrometheus struct {
	mu      sync.Mutex
	offsets map[[2]string]float64
	queries int
}

func newFakePrometheus() *fakePrometheus { return &fakePrometheus{offsets: map[[2]string]float64{}} }

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
		if mf.GetName() != "consignwatch_offset" {
			continue
		}
		for _, m := range mf.Metric {
			key := [2]string{m.Label[1].GetValue(), m.Label[0].GetValue()}
			p.offsets[key] = max(p.offsets[key], m.Gauge.GetValue())
		}
	}
}

func (p *fakePrometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !strings.Contains(r.FormValue("query"), "consignwatch_offset") {
		http.Error(w, "not a question for me", http.StatusBadRequest)
		return
	}
	p.queries++
	result := []any{}
	for key, v := range p.offsets {
		result = append(result, map[string]any{
			"metric": map[string]string{"topic": key[0], "partition": key[1]},
			"value":  []any{float64(time.Now().UnixMilli()) / 1000, fmt.Sprint(v)},
		})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": result}})
}

// queryCount is the number of queries.
func (p *fakePrometheus) queryCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queries
}

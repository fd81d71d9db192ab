package events_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// scrapeProxy stands between Prometheus and an exporter, so that a test can act at a chosen moment of a scrape.
type scrapeProxy struct {
	server *httptest.Server

	mu          sync.Mutex
	plan        *scrapePlan
	onlyPlanned bool // scrapes without a plan fail before they reach the exporter
}

// scrapePlan is what happens to the next scrape.
type scrapePlan struct {
	// delivered is called when the exporter has written its whole response, and Prometheus has nothing of it.
	delivered func()
	// share is how much of the response Prometheus gets: 1 is all of it; less, and the connection breaks.
	share float64
	done  chan struct{} // closed when the scrape is over
}

func newScrapeProxy(t *testing.T, exporter string) *scrapeProxy {
	t.Helper()
	p := &scrapeProxy{}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		plan := p.plan
		p.plan = nil
		refuse := p.onlyPlanned && plan == nil
		p.mu.Unlock()
		if refuse {
			panic(http.ErrAbortHandler)
		}
		r2 := r.Clone(r.Context())
		r2.RequestURI = ""
		r2.URL = &url.URL{Scheme: "http", Host: exporter, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
		if plan != nil {
			defer close(plan.done)
		}
		resp, err := client.Do(r2)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		share := 1.0
		if plan != nil {
			plan.delivered()
			share = plan.share
		}
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		w.Write(body[:int(float64(len(body))*share)])
		if share < 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(p.server.Close)
	return p
}

// next makes a plan for the next scrape, and waits until that is over.
func (p *scrapeProxy) next(t *testing.T, share float64, delivered func()) {
	t.Helper()
	plan := &scrapePlan{delivered: delivered, share: share, done: make(chan struct{})}
	p.mu.Lock()
	p.plan = plan
	p.mu.Unlock()
	select {
	case <-plan.done:
	case <-t.Context().Done():
		t.Fatal("no scrape came")
	}
}

// refuse makes all scrapes fail but those that next waits for.
func (p *scrapeProxy) refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onlyPlanned = on
}

package events_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

// proxy stands between a client and an HTTP server, so that a test can act at a chosen moment of a request: between Prometheus and an exporter that it
// scrapes, and between an exporter and Prometheus, which it asks what was ingested.
type proxy struct {
	server *httptest.Server
	hooks  hooks

	mu          sync.Mutex
	plan        *requestPlan
	onlyPlanned bool // requests without a plan fail before they reach the server
	rejected    int  // how many did
}

// hooks are called for each request; nil ones are not.
type hooks struct {
	before func(ctx context.Context)               // before the request is passed on
	whole  func(address string, arrived time.Time) // before the client, which knows the proxy by the address, is given the whole response
}

// requestPlan is what happens to the next request.
type requestPlan struct {
	// share is how much of the response the client gets: 1 is all of it; less, and the connection breaks.
	share    float64
	response string        // of the server, whole
	answered chan struct{} // closed when the server has written its whole response, and the client has nothing of it
	handOn   chan struct{} // closed when the client is to get its share
	done     chan struct{} // closed when the request is over
}

func newProxy(t *testing.T, server string, h hooks) *proxy {
	t.Helper()
	p := &proxy{hooks: h}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		if p.hooks.before != nil {
			p.hooks.before(r.Context())
		}
		p.mu.Lock()
		plan := p.plan
		p.plan = nil
		refuse := p.onlyPlanned && plan == nil
		if refuse {
			p.rejected++
		}
		p.mu.Unlock()
		if refuse {
			panic(http.ErrAbortHandler)
		}
		if plan != nil {
			defer close(plan.done)
		}
		r2 := r.Clone(r.Context())
		r2.RequestURI = ""
		r2.Header.Del("Accept-Encoding") // so that the test can read the response
		r2.URL = &url.URL{Scheme: "http", Host: server, Path: r.URL.Path, RawQuery: r.URL.RawQuery}
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
			plan.response = string(body)
			close(plan.answered)
			<-plan.handOn
			share = plan.share
		}
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		if share == 1 && p.hooks.whole != nil {
			p.hooks.whole(r.Host, arrived)
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

// next waits for a request that the server answers, calls answered when the client has nothing of the response yet, lets the client have a share of
// it, and waits until the request is over. It returns the whole response.
func (p *proxy) next(t *testing.T, share float64, answered func()) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		plan := &requestPlan{share: share, answered: make(chan struct{}), handOn: make(chan struct{}), done: make(chan struct{})}
		p.mu.Lock()
		p.plan = plan
		p.mu.Unlock()
		select {
		case <-plan.answered:
			func() {
				defer close(plan.handOn) // also when the test fails in between
				answered()
			}()
			<-plan.done
			return plan.response
		case <-plan.done: // no answer: the server is not there yet
		case <-ctx.Done():
			close(plan.handOn)
			t.Fatal("no request was answered within two minutes")
		}
	}
}

// reject makes all requests fail but those that next waits for.
func (p *proxy) reject(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onlyPlanned = on
}

// awaitRejected waits until so many more requests were rejected.
func (p *proxy) awaitRejected(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.rejected
	}
	want := count() + more
	await(t, "requests that are refused", func() bool { return count() >= want })
}

package infra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/infra/api"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/world"
)

const (
	visitorSlots      = 32              // requests in flight; further ones are dropped
	visitorTimeout    = 6 * time.Second // of a request; longer than the slowest response of the API
	healthCheckEvery  = 2 * time.Second // of the load balancer
	requestsPerSecond = 0.3             // of a visitor
	popularRows       = 25              // rows of each kind that visitors look at
)

// trafficGenerator sends the requests of visitors to the API. It runs beside life, and holds no lock while it waits for a response.
type trafficGenerator struct {
	*Infra
	http   *http.Client
	slots  chan struct{}
	orders chan wantedOrder
	rng    *rand.Rand // of the goroutine of run
}

// wantedOrder is an order that a visitor is going to place.
type wantedOrder struct {
	slug  string
	event uint64
}

func newTrafficGenerator(i *Infra) *trafficGenerator {
	transport := &http.Transport{MaxIdleConnsPerHost: visitorSlots, IdleConnTimeout: 30 * time.Second}
	if a := i.api.Authority(); a != nil {
		transport.TLSClientConfig = a.Client()
	}
	return &trafficGenerator{
		Infra: i, http: &http.Client{Transport: transport, Timeout: visitorTimeout},
		slots: make(chan struct{}, visitorSlots), orders: make(chan wantedOrder, visitorSlots),
		rng: rand.New(rand.NewPCG(i.config.Seed, 0x76697369)),
	}
}

// run sends requests until the context ends, and waits until the last one has ended.
func (g *trafficGenerator) run(ctx context.Context) {
	var sending sync.WaitGroup
	defer g.http.CloseIdleConnections()
	defer sending.Wait()
	ticker := time.NewTicker(g.config.Tick)
	defer ticker.Stop()
	last, health := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case wanted := <-g.orders:
			g.send(ctx, &sending, g.orderRequest(wanted))
			continue
		case <-ticker.C:
		}
		now := time.Now()
		elapsed := min(now.Sub(last), world.LongestStep).Seconds()
		last = now
		if g.Paused.Load() {
			continue
		}
		for _, r := range g.requestsDue(elapsed) {
			g.send(ctx, &sending, r)
		}
		if now.Sub(health) >= healthCheckEvery {
			health = now
			g.send(ctx, &sending, visitorRequest{method: "GET", path: api.HealthRoute})
		}
	}
}

// visitorRequest is a request of a visitor.
type visitorRequest struct {
	method, path  string
	body          []byte
	slug          string // of the client
	role, feature string
	trace         string
	usesResult    bool // the visitor then uses the feature
}

// requestsDue draws the requests of a time span.
func (g *trafficGenerator) requestsDue(seconds float64) []visitorRequest {
	var all []visitorRequest
	for _, x := range emit.Presences(g.Store) {
		for _, who := range x.Visitors {
			for range world.Poisson(g.rng, float64(who.N)*requestsPerSecond*seconds) {
				e := front(g.rng, emit.EndpointsOf(who.Role))
				all = append(all, visitorRequest{
					method: e.Method, path: g.path(x.ID, e), slug: x.Slug, role: who.Role, feature: e.Feature,
					trace: fmt.Sprintf("%016x%016x", g.rng.Uint64(), g.rng.Uint64()|1), usesResult: g.rng.Float64() < 0.3,
				})
			}
		}
	}
	return all
}

// front picks one of the values, the first ones more often.
func front[T any](rng *rand.Rand, of []T) T {
	u := rng.Float64()
	return of[int(u*u*float64(len(of)))]
}

// path fills the placeholders of a route: mostly with rows that exist, popular ones more often.
func (g *trafficGenerator) path(client uint64, e emit.Endpoint) string {
	g.Memory.RLock()
	defer g.Memory.RUnlock()
	event := g.popular(&g.Index.Events, client)
	id := event
	switch {
	case strings.HasPrefix(e.Route, "/api/items/{id}"):
		id = g.popular(&g.Index.ForSale, event)
	case strings.HasPrefix(e.Route, "/api/consignors/{id}"):
		id = g.popular(&g.Index.Consignors, client)
	}
	if g.rng.Float64() < 0.01 {
		id, event = 1<<40, 0 // an outdated link
	}
	query := url.Values{}
	if event != 0 {
		query.Set("event", fmt.Sprint(event))
	}
	if strings.HasSuffix(e.Route, "/search") {
		kind := world.GoodsCategories()[world.PickCategory(g.rng)]
		query.Set("q", strings.Fields(kind.Titles[g.rng.IntN(len(kind.Titles))])[0])
	}
	return strings.Replace(e.Route, "{id}", fmt.Sprint(id), 1) + "?" + query.Encode()
}

// popular picks a row that visitors look at, the first ones more often; 0 if there is none. The caller may read the index.
func (g *trafficGenerator) popular(of *world.Pools, owner uint64) uint64 {
	if all := of.Some(owner, popularRows); len(all) > 0 {
		return front(g.rng, all)
	}
	return 0
}

func (g *trafficGenerator) orderRequest(wanted wantedOrder) visitorRequest {
	body, _ := json.Marshal(map[string]uint64{"event": wanted.event}) // a map of numbers can be encoded
	return visitorRequest{
		method: "POST", path: api.OrderRoute, body: body, slug: wanted.slug, role: "shopper", feature: "checkout",
		trace: fmt.Sprintf("%016x%016x", g.rng.Uint64(), g.rng.Uint64()|1),
	}
}

// send sends a request, if a slot is free.
func (g *trafficGenerator) send(ctx context.Context, sending *sync.WaitGroup, r visitorRequest) {
	select {
	case g.slots <- struct{}{}:
	default:
		return
	}
	f := g.inflight.Begin(r.trace)
	if f.WhilePaused {
		f.End(nil)
		<-g.slots
		return
	}
	sending.Go(func() {
		defer func() { <-g.slots }()
		status, err := g.do(ctx, r)
		if ctx.Err() != nil { // the simulator stops
			f.End(nil)
			return
		}
		f.End(func(em *emit.Emitter) { emitVisit(em, r, status, err) })
	})
}

// do sends the request and returns the status of the response.
func (g *trafficGenerator) do(ctx context.Context, r visitorRequest) (int, error) {
	request, err := http.NewRequestWithContext(ctx, r.method, g.api.URL()+r.path, bytes.NewReader(r.body))
	if err != nil {
		return 0, err
	}
	if r.slug != "" {
		request.Header.Set("X-Client", r.slug)
		request.Header.Set("traceparent", "00-"+r.trace+"-"+r.trace[:16]+"-01")
	}
	response, err := g.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return response.StatusCode, nil
}

// emitVisit emits what only the visitor knows: which feature was used, and that a request got no response. The API reports the rest.
func emitVisit(em *emit.Emitter, r visitorRequest, status int, err error) {
	if r.slug == "" {
		return
	}
	src := em.SourceOf(emit.Tenant{Slug: r.slug}, "web", 0).InTrace(r.trace)
	switch {
	case err != nil:
		src.UserError("system", "crash", "api", r.feature)
	case status == http.StatusOK && r.usesResult:
		src.Emit(stream.FeatureUsed{Feature: r.feature, Role: r.role})
	}
	if r.path == api.OrderRoute && (err != nil || status >= 500) {
		src.Emit(stream.ProcessStarted{Process: "checkout"})
		src.Emit(stream.ProcessFinished{Process: "checkout", Outcome: world.Failed, Duration: src.Jitter(10 * time.Second)})
	}
}

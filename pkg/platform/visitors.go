package platform

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

	"github.com/consignwatch/consignwatch/pkg/platform/api"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

const (
	visitorsAtOnce  = 32              // requests of visitors on their way; who finds no place gives up
	visitorPatience = 6 * time.Second // of a request; longer than the API takes at its slowest
	healthEvery     = 2 * time.Second // the load balancer asks
	favourites      = 25              // things of each kind that people look at
)

// crowd is the people who use the API: they really ask it. They come beside life, and never hold what life needs
// while they wait for an answer.
type crowd struct {
	p      *Platform
	http   *http.Client
	places chan struct{}
	orders chan purchase
	rng    *rand.Rand // of the goroutine that sends them
}

// purchase is somebody's wish to buy.
type purchase struct {
	slug  string
	event uint64
}

func newCrowd(p *Platform) *crowd {
	transport := &http.Transport{MaxIdleConnsPerHost: visitorsAtOnce, IdleConnTimeout: 30 * time.Second}
	if a := p.api.Authority(); a != nil {
		transport.TLSClientConfig = a.Client()
	}
	return &crowd{
		p: p, http: &http.Client{Transport: transport, Timeout: visitorPatience},
		places: make(chan struct{}, visitorsAtOnce), orders: make(chan purchase, visitorsAtOnce),
		rng: rand.New(rand.NewPCG(p.config.Seed, 0x76697369)),
	}
}

// come lets visitors come until the context ends, and waits until the last one has gone.
func (v *crowd) come(ctx context.Context) {
	var there sync.WaitGroup
	defer v.http.CloseIdleConnections()
	defer there.Wait()
	ticker := time.NewTicker(v.p.config.Tick)
	defer ticker.Stop()
	last, health := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case wish := <-v.orders:
			v.send(ctx, &there, v.order(wish))
			continue
		case <-ticker.C:
		}
		now := time.Now()
		elapsed := min(now.Sub(last), longestStep).Seconds()
		last = now
		if v.p.paused.Load() {
			continue
		}
		for _, c := range v.clicks(elapsed) {
			v.send(ctx, &there, c)
		}
		if now.Sub(health) >= healthEvery {
			health = now
			v.send(ctx, &there, click{method: "GET", path: api.HealthRoute})
		}
	}
}

// click is a request that somebody makes.
type click struct {
	method, path  string
	body          []byte
	slug          string // of the client
	role, feature string
	trace         string
	used          bool // they use what they find
}

// clicks decides who asks for what in a stretch of time.
func (v *crowd) clicks(seconds float64) []click {
	var all []click
	for _, x := range v.p.presences() {
		for _, who := range x.visitors {
			for range poisson(v.rng, float64(who.n)*clicks*seconds) {
				e := pickPage(v.rng, pages(who.role))
				all = append(all, click{
					method: e.method, path: v.path(x.id, e), slug: x.slug, role: who.role, feature: e.feature,
					trace: fmt.Sprintf("%016x%016x", v.rng.Uint64(), v.rng.Uint64()|1), used: v.rng.Float64() < 0.3,
				})
			}
		}
	}
	return all
}

// pickPage picks a page; the first ones more often.
func pickPage(rng *rand.Rand, of []endpoint) endpoint {
	u := rng.Float64()
	return of[int(u*u*float64(len(of)))]
}

// path makes up what exactly somebody looks at: mostly things that are there, the same ones often.
func (v *crowd) path(client uint64, e endpoint) string {
	p := v.p
	p.mu.RLock()
	defer p.mu.RUnlock()
	event := v.favourite(p.index.events, client)
	id := event
	switch {
	case strings.HasPrefix(e.route, "/api/items/{id}"):
		id = v.favourite(p.index.forSale, event)
	case strings.HasPrefix(e.route, "/api/consignors/{id}"):
		id = v.favourite(p.index.consignors, client)
	}
	if v.rng.Float64() < 0.01 {
		id, event = 1<<40, 0 // an old link
	}
	query := url.Values{}
	if event != 0 {
		query.Set("event", fmt.Sprint(event))
	}
	if strings.HasSuffix(e.route, "/search") {
		kind := kinds()[pickCategory(v.rng)]
		query.Set("q", strings.Fields(kind.things[v.rng.IntN(len(kind.things))])[0])
	}
	return strings.Replace(e.route, "{id}", fmt.Sprint(id), 1) + "?" + query.Encode()
}

// favourite picks one of the things that people look at, the first ones more often; 0 when there are none. The caller may
// read the index.
func (v *crowd) favourite(of pools, owner uint64) uint64 {
	all := of.some(owner, favourites)
	if len(all) == 0 {
		return 0
	}
	u := v.rng.Float64()
	return all[int(u*u*float64(len(all)))]
}

// wish lets somebody want to buy. When too many do, they give up.
func (v *crowd) wish(client, event uint64) {
	c := v.p.books.Clients.Get(client)
	if c == nil {
		return
	}
	select {
	case v.orders <- purchase{c.Slug, event}:
	default:
	}
}

func (v *crowd) order(wish purchase) click {
	body, _ := json.Marshal(map[string]uint64{"event": wish.event}) // numbers can be written
	return click{
		method: "POST", path: api.OrderRoute, body: body, slug: wish.slug, role: "shopper", feature: "checkout",
		trace: fmt.Sprintf("%016x%016x", v.rng.Uint64(), v.rng.Uint64()|1),
	}
}

// send sends somebody on their way, if there is a place.
func (v *crowd) send(ctx context.Context, there *sync.WaitGroup, c click) {
	select {
	case v.places <- struct{}{}:
	default:
		return
	}
	f := v.p.takeOff()
	if f.late {
		f.land(nil)
		<-v.places
		return
	}
	there.Go(func() {
		defer func() { <-v.places }()
		status, err := v.ask(ctx, c)
		if ctx.Err() != nil { // it is us who end
			f.land(nil)
			return
		}
		f.land(func(t *teller) { t.visited(c, status, err) })
	})
}

// ask makes the request and returns the status of the answer.
func (v *crowd) ask(ctx context.Context, c click) (int, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, v.p.api.URL()+c.path, bytes.NewReader(c.body))
	if err != nil {
		return 0, err
	}
	if c.slug != "" {
		request.Header.Set("X-Client", c.slug)
		request.Header.Set("traceparent", "00-"+c.trace+"-"+c.trace[:16]+"-01")
	}
	response, err := v.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return response.StatusCode, nil
}

// visited tells what only the visitor knows: what they used, and that there was no answer. All else the API tells.
func (t *teller) visited(c click, status int, err error) {
	if c.slug == "" {
		return
	}
	v := voice{t, tenant{slug: c.slug}, "/web/1", c.trace}
	switch {
	case err != nil:
		v.fail("system", "crash", "api", c.feature)
	case status == http.StatusOK && c.used:
		v.say(stream.FeatureUsed{Feature: c.feature, Role: c.role})
	}
	if c.path == api.OrderRoute && (err != nil || status >= 500) {
		v.say(stream.ProcessStarted{Process: "checkout"})
		v.say(stream.ProcessFinished{Process: "checkout", Outcome: Failed, Duration: v.about(10 * time.Second)})
	}
}

package simulator

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/infra/api"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// startWithInfra returns a platform with a stream, an API with HTTPS and a cache, and a client of the cache.
func startWithInfra(t *testing.T, config Config) (*Platform, *redis.Client) {
	t.Helper()
	server, err := servers.StartRedis(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	config.API, config.APICertificates, config.Cache = "127.0.0.1:0", t.TempDir(), server.Address()
	config.CacheDown = func(down bool) error {
		if down {
			return server.Signal(syscall.SIGSTOP)
		}
		return server.Signal(syscall.SIGCONT)
	}
	cache := redis.NewClient(&redis.Options{Addr: server.Address()})
	t.Cleanup(func() { _ = cache.Close() })
	return startWithStream(t, config), cache
}

// generousLimits are limits of an API that no busy machine reaches.
func generousLimits() api.Limits {
	return api.Limits{Wait: patience, Request: patience, Order: patience, Cache: patience}
}

// apiClient is a client of the API that trusts the authority's file.
type apiClient struct {
	t   *testing.T
	url string
	*http.Client
}

func newAPIClient(t *testing.T, p *Platform) *apiClient {
	t.Helper()
	state := p.State()
	file, err := os.ReadFile(state.APICA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(file) {
		t.Fatalf("no certificate in %s", state.APICA)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &apiClient{t, state.API, &http.Client{Transport: transport, Timeout: patience}}
}

// ask sends a request on behalf of a client. Status 0: there was no response.
func (c *apiClient) ask(method, path, client string, body string) (int, []byte, error) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if client != "" {
		request.Header.Set("X-Client", client)
	}
	response, err := c.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

func (c *apiClient) get(path, client string, want int) []byte {
	c.t.Helper()
	status, body, err := c.ask("GET", path, client, "")
	if err != nil || status != want {
		c.t.Errorf("GET %s for %q: %d, want %d: %s %v", path, client, status, want, body, err)
	}
	return body
}

// healthy waits until the health endpoint responds 200.
func (c *apiClient) healthy() {
	c.t.Helper()
	waitFor(c.t, "a healthy API", func() bool {
		status, _, err := c.ask("GET", "/healthz", "", "")
		return err == nil && status == 200
	})
}

// info returns a number of Redis's INFO.
func info(t *testing.T, cache *redis.Client, section, name string) int {
	t.Helper()
	all, err := cache.Info(t.Context(), section).Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(all) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("INFO %s says nothing of %s", section, name)
	return 0
}

func flush(t *testing.T, p *Platform) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.FlushStream(ctx); err != nil {
		t.Fatal(err)
	}
}

// saleOf returns a sale event that sells, its client, and an item of it that is for sale.
func saleOf(t *testing.T, p *Platform) (world.Event, world.Client, world.Item) {
	t.Helper()
	b := p.Books()
	for _, e := range b.Events {
		for _, i := range b.Items {
			if c := b.Clients.Get(e.ClientID); world.Selling(e.Status) && i.EventID == e.ID && i.Status == world.Active && c.Active {
				return e, *c, i
			}
		}
	}
	t.Fatal("nothing is for sale")
	return world.Event{}, world.Client{}, world.Item{}
}

func TestTheAPIAnswersEveryEndpointThatVisitorsUse(t *testing.T) {
	t.Parallel()
	routes := map[string]api.Route{}
	for _, r := range api.Routes() {
		routes[r.Method+" "+r.Path] = r
	}
	for _, role := range world.Roles() {
		for _, e := range emit.EndpointsOf(role) {
			if r, ok := routes[e.Method+" "+e.Route]; !ok || r.Table != e.Table {
				t.Errorf("%s %s: the page is of table %s, the API's route is %+v", e.Method, e.Route, e.Table, r)
			}
		}
	}
	p, cache := startWithInfra(t, Config{Clients: 4, Events: 12, Items: 600, Infra: Infra{APILimits: generousLimits()}})
	event, client, item := saleOf(t, p)
	b := p.Books()
	consignor := b.EventConsignors.Get(item.EventConsignorID).ConsignorID
	c := newAPIClient(t, p)
	for _, r := range api.Routes() {
		id := map[string]uint64{"/api/items/{": item.ID, "/api/event": event.ID, "/api/consi": consignor}
		path := r.Path
		for prefix, n := range id {
			if strings.HasPrefix(path, prefix) {
				path = strings.Replace(path, "{id}", fmt.Sprint(n), 1)
			}
		}
		path += fmt.Sprintf("?event=%d&q=%%20x", event.ID)
		first := c.get(path, client.Slug, 200)
		flush(t, p)
		if n := streamTruthOf(p, "consign_api_requests_total", "route", r.Path, "method", "GET", "code", "200"); n != 1 {
			t.Errorf("%s: %d requests are emitted", r.Path, n)
		}
		if diff := cmp.Diff(string(first), string(c.get(path, client.Slug, 200))); diff != "" { // from the cache
			t.Errorf("%s: the second answer differs:\n%s", r.Path, diff)
		}
	}
	flush(t, p)
	n := len(api.Routes())
	for _, result := range []string{"hit", "miss"} {
		if got := streamTruthOf(p, "consign_cache_operations_total", "operation", "get", "result", result); got != n {
			t.Errorf("%d of %d lookups told as %s", got, n, result)
		}
	}
	if hits, misses := info(t, cache, "stats", "keyspace_hits"), info(t, cache, "stats", "keyspace_misses"); hits != n || misses != n {
		t.Errorf("Redis counts %d hits and %d misses, want %d of each", hits, misses, n)
	}
	if got := streamTruthOf(p, "consign_db_queries_total", "operation", "select", "outcome", "ok"); got != n {
		t.Errorf("%d queries told, want %d", got, n)
	}

	var found struct {
		ID    uint64 `json:"id"`
		Title string `json:"title"`
		Price int64  `json:"price_cents"`
	}
	if err := json.Unmarshal(c.get(fmt.Sprintf("/api/items/%d", item.ID), client.Slug, 200), &found); err != nil {
		t.Fatal(err)
	}
	if found.ID != item.ID || found.Price != item.PriceCents || found.Title != world.FakeTitle(item.ID, item.CategoryID) {
		t.Errorf("the item is %+v, in the books %+v", found, item)
	}
	var stock []struct {
		ID uint64 `json:"id"`
	}
	if err := json.Unmarshal(c.get(fmt.Sprintf("/api/items?event=%d", event.ID), client.Slug, 200), &stock); err != nil {
		t.Fatal(err)
	}
	if len(stock) != min(20, p.store.Index.ForSale.Len(event.ID)) {
		t.Errorf("%d items are shown, %d are for sale", len(stock), p.store.Index.ForSale.Len(event.ID))
	}
	if ttl := cache.TTL(t.Context(), fmt.Sprintf("api:/api/items:%d:%d", client.ID, event.ID)).Val(); ttl <= 0 || ttl > time.Minute {
		t.Errorf("what is cached stays for %s", ttl)
	}
}

func TestTheAPIRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	p, _ := startWithInfra(t, Config{Clients: 5, Events: 12, Items: 600, Infra: Infra{APILimits: generousLimits()}})
	event, client, item := saleOf(t, p)
	b := p.Books()
	other, gone := "", b.Clients[4]
	for _, c := range b.Clients {
		if c.Active && c.ID != client.ID {
			other = c.Slug
		}
	}
	if gone.Active {
		t.Fatal("every client is active")
	}
	c := newAPIClient(t, p)
	for _, test := range []struct {
		method, path, client, body string
		want                       int
		route                      string
	}{
		{"GET", "/healthz", "", "", 200, "/healthz"},
		{"GET", "/api/nonsense", client.Slug, "", 404, "/*"},
		{"GET", "/../../etc/passwd", client.Slug, "", 404, "/*"},
		{"DELETE", "/api/items", client.Slug, "", 404, "/*"},
		{"GET", "/api/categories", "", "", 403, "/api/categories"},
		{"GET", "/api/categories", "nobody", "", 403, "/api/categories"},
		{"GET", "/api/categories", gone.Slug, "", 403, "/api/categories"},
		{"GET", "/api/categories", client.Domain, "", 200, "/api/categories"},
		{"GET", fmt.Sprintf("/api/items/%d", item.ID), other, "", 404, "/api/items/{id}"},
		{"GET", fmt.Sprintf("/api/items/%d", 1<<40), client.Slug, "", 404, "/api/items/{id}"},
		{"GET", "/api/items/one", client.Slug, "", 422, "/api/items/{id}"},
		{"GET", "/api/items", client.Slug, "", 422, "/api/items"},
		{"GET", fmt.Sprintf("/api/search?event=%d&q=x", event.ID), client.Slug, "", 422, "/api/search"},
		{"POST", "/api/orders", client.Slug, "{}", 422, "/api/orders"},
		{"POST", "/api/orders", client.Slug, "nonsense", 422, "/api/orders"},
		{"POST", "/api/orders", other, fmt.Sprintf(`{"event": %d}`, event.ID), 409, "/api/orders"},
		{"POST", "/api/orders", client.Slug, fmt.Sprintf(`{"event": %d}`, event.ID), 201, "/api/orders"},
	} {
		labels := []string{"route", test.route, "method", test.method, "code", fmt.Sprint(test.want)}
		flush(t, p)
		before := streamTruthOf(p, "consign_api_requests_total", labels...)
		status, body, err := c.ask(test.method, test.path, test.client, test.body)
		if err != nil || status != test.want || !json.Valid(body) {
			t.Errorf("%s %s for %q: %d, want %d: %s %v", test.method, test.path, test.client, status, test.want, body, err)
		}
		flush(t, p)
		if n := streamTruthOf(p, "consign_api_requests_total", labels...) - before; n != 1 {
			t.Errorf("%s %s for %q: told %d times", test.method, test.path, test.client, n)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/api/categories", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = client.Domain
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("a client's domain as the host: %s", response.Status)
	}
}

// A visitor sent a request before life was paused, and the API gets it afterwards: it is served, and its events come before the
// pause, as those of the visitor do.
func TestTheAPIServesARequestThatAVisitorSentBeforeThePause(t *testing.T) {
	t.Parallel()
	p, _ := startWithInfra(t, Config{Clients: 4, Events: 12, Items: 600, Infra: Infra{APILimits: generousLimits()}})
	event, client, _ := saleOf(t, p)
	c := newAPIClient(t, p)
	order := func(trace string) int {
		request, err := http.NewRequestWithContext(t.Context(), "POST", c.url+"/api/orders", strings.NewReader(fmt.Sprintf(`{"event": %d}`, event.ID)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Client", client.Slug)
		request.Header.Set("traceparent", "00-"+trace+"-"+trace[:16]+"-01")
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	sent, later := strings.Repeat("a", 32), strings.Repeat("b", 32)
	visitor := p.inflight.Begin(sent)
	paused := make(chan error, 1)
	go func() { paused <- p.Pause(t.Context()) }()
	waitFor(t, "the pause", p.store.Paused.Load)
	if status := order(later); status != 503 {
		t.Errorf("an order that comes later: %d, want 503", status)
	}
	if status := order(sent); status != 201 {
		t.Errorf("the order that was sent before: %d, want 201", status)
	}
	visitor.End(nil)
	if err := <-paused; err != nil {
		t.Fatal(err)
	}
	if status := order(sent); status != 503 {
		t.Errorf("an order of the same trace, when the visitor has the answer: %d, want 503", status)
	}
	if n := streamTruthOf(p, "consign_orders_total"); n != 1 {
		t.Errorf("%d orders were emitted before the pause, want 1", n)
	}
}

func TestAnOrderIsInTheBooksTheTablesAndTheStreamOnce(t *testing.T) {
	t.Parallel()
	p, db := filled(t, Config{Clients: 4, Events: 12, Items: 600, Infra: Infra{API: "http://127.0.0.1:0"}})
	event, client, _ := saleOf(t, p)
	response, err := http.Post(p.State().API+"/api/orders", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 403 {
		t.Errorf("nobody's order: %s", response.Status)
	}
	before := p.Books()
	request, err := http.NewRequestWithContext(t.Context(), "POST", p.State().API+"/api/orders", bytes.NewBufferString(fmt.Sprintf(`{"event": %d}`, event.ID)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Client", client.Slug)
	response, err = http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var order api.Order
	if err := json.NewDecoder(response.Body).Decode(&order); err != nil || response.StatusCode != 201 {
		t.Fatalf("%s, %v", response.Status, err)
	}
	after := p.Books()
	items, amount := 0, int64(0)
	for _, s := range after.Sales {
		if before.Sales.Get(s.ID) == nil && s.ShopifyOrderID == order.ID {
			items++
			amount += s.AmountCents
		}
	}
	if items == 0 || items != order.Items || amount != order.Amount {
		t.Errorf("the books have %d items for %d, the answer is %+v", items, amount, order)
	}
	compareTables(t, after, db)
}

// Life with an API: the emitted cache operations are those that Redis counted, and every emitted order came through the API.
func TestVisitorsSendRealRequests(t *testing.T) {
	t.Parallel()
	config := lively()
	config.Speed, config.APILimits = 3000, generousLimits()
	p, cache := startWithInfra(t, config)
	livePlatform(t, p)
	emitted := func(name string, labels ...string) int { return streamTruthOf(p, name, labels...) }
	waitFor(t, "hits, orders and old links", func() bool {
		return emitted("consign_cache_operations_total", "operation", "get", "result", "hit") > 50 &&
			emitted("consign_api_requests_total", "route", "/api/orders", "code", "201") > 10 &&
			emitted("consign_api_requests_total", "code", "404")+emitted("consign_api_requests_total", "code", "422") > 0
	})
	for range 3 {
		pause(t, p)
		// Redis counts late answers and requests made after the pause, too: their events are deferred until Resume.
		deferred := emitted("consign_cache_operations_total", "operation", "get", "result", "error") + p.emitter.Deferred()
		for result, name := range map[string]string{"hit": "keyspace_hits", "miss": "keyspace_misses"} {
			if got, want := emitted("consign_cache_operations_total", "operation", "get", "result", result), info(t, cache, "stats", name); got > want || got+deferred < want {
				t.Errorf("%d lookups told as %s and %d as failed or later, Redis counts %d", got, result, deferred, want)
			}
		}
		if orders, requests := emitted("consign_orders_total"), emitted("consign_api_requests_total", "route", "/api/orders", "code", "201"); orders != requests {
			t.Errorf("%d orders, %d requests that placed one", orders, requests)
		}
		compareStream(t, p)
		p.Resume()
		hits := emitted("consign_cache_operations_total", "operation", "get", "result", "hit")
		waitFor(t, "more hits", func() bool {
			return emitted("consign_cache_operations_total", "operation", "get", "result", "hit") > hits+20
		})
	}
	pause(t, p)
	if s := p.State(); s.Failures != 0 {
		t.Errorf("the database refused something: %+v", s)
	}
	if n := emitted("consign_api_requests_total", "code", "503"); n > 0 {
		t.Errorf("%d requests failed", n)
	}
}

func TestPauseWaitsForRequestsInFlightAndDefersLaterOnes(t *testing.T) {
	t.Parallel()
	p, _ := startWithInfra(t, Config{Clients: 4, Events: 12, Items: 600, Infra: Infra{APILimits: generousLimits()}})
	_, client, _ := saleOf(t, p)
	c := newAPIClient(t, p)
	c.get("/api/sync", client.Slug, 200)
	lock, err := serverstest.Open(t, p.config.DSN).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLES support_tickets WRITE"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		c.get("/api/tickets", client.Slug, 200)
	}()
	waitFor(t, "the request", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		return p.inflight.Await(ctx) != nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Pause(ctx); err == nil {
		t.Error("paused while a request was on its way")
	}
	if _, err := lock.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	pause(t, p)
	tickets := func() int { return streamTruthOf(p, "consign_api_requests_total", "route", "/api/tickets") }
	if tickets() != 1 {
		t.Errorf("%d requests were emitted", tickets())
	}
	<-answered

	truth, books := p.StreamTruth(), p.Books()
	c.get("/api/tickets", client.Slug, 200)
	event, owner, _ := saleOf(t, p)
	if status, body, err := c.ask("POST", "/api/orders", owner.Slug, fmt.Sprintf(`{"event": %d}`, event.ID)); status != 503 {
		t.Errorf("an order while life is paused: %d %s %v", status, body, err)
	}
	flush(t, p)
	if diff := cmp.Diff(truth, p.StreamTruth()); diff != "" {
		t.Errorf("the truth changed while life was paused (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(books, p.Books()); diff != "" {
		t.Errorf("the books changed while life was paused (-before +after):\n%s", diff)
	}
	p.Resume()
	livePlatform(t, p)
	waitFor(t, "what was kept", func() bool { return tickets() >= 2 })
	pause(t, p)
	compareStream(t, p)
}

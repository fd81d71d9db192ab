package integration

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/services/webhook"
)

// fakeShops is a fake Shopify with shops, and the configuration of an exporter for them.
type fakeShops struct {
	*shopify.Fake
	network *exportertest.Network
	url     string
	dir     string

	rejectSecret atomic.Bool // credentials are refused

	mu       sync.Mutex
	requests []shopify.Request
	clients  []string // entries of the configuration
}

const allScopes = "read_orders,read_products"

// newFakeShops makes fake shops in memory.
func newFakeShops(t testing.TB) *fakeShops {
	t.Helper()
	return newFakeShopsOn(t, &exportertest.Network{})
}

func newFakeShopsOn(t testing.TB, network *exportertest.Network) *fakeShops {
	t.Helper()
	m := &fakeShops{network: network, dir: t.TempDir()}
	webhooks := &http.Transport{DialContext: network.DialContext}
	m.Fake = shopify.New(shopify.Config{Requested: m.note, Webhooks: webhook.SenderConfig{Transport: webhooks}})
	t.Cleanup(func() { m.Close(); webhooks.CloseIdleConnections() })
	m.url = network.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.rejectSecret.Load() && strings.HasSuffix(r.URL.Path, "/access_token") {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"Client authentication failed."}`)
			return
		}
		m.ServeHTTP(w, r)
	})).URL
	return m
}

func (m *fakeShops) note(r shopify.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, r)
}

// requestsTo are the requests to a client's shop so far.
func (m *fakeShops) requestsTo(client string) []shopify.Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	var of []shopify.Request
	for _, r := range m.requests {
		if r.Shop == domainOf(client) {
			of = append(of, r)
		}
	}
	return of
}

func domainOf(client string) string { return client + ".myshopify.com" }

func tokenOf(client string) string { return "shpat_marked-" + client }

// open opens a client's shop with a token that never expires.
func (m *fakeShops) open(t testing.TB, client string, change ...func(*shopify.Shop)) {
	t.Helper()
	s := shopify.Shop{Domain: domainOf(client), Plan: shopify.Plus(), App: shopify.App{ClientID: "app", AccessToken: tokenOf(client), Scopes: strings.Split(allScopes, ",")}}
	for _, c := range change {
		c(&s)
	}
	if err := m.AddShop(s); err != nil {
		t.Fatal(err)
	}
	write(t, m.dir, "token-"+client, tokenOf(client)+"\n")
	m.clients = append(m.clients, fmt.Sprintf("{slug: %s, shopify: {domain: %s, token_file: token-%s}}", client, domainOf(client), client))
}

// config is a configuration with all clients so far, and further keys of the section shopify.
func (m *fakeShops) config(keys string) string {
	return fmt.Sprintf(`clients:
  - %s
shopify:
  url_template: %[2]s/{domain}/admin/api/{version}/graphql.json
  token_url_template: %[2]s/{domain}/admin/oauth/access_token
  %[3]s
`, strings.Join(m.clients, "\n  - "), m.url, strings.ReplaceAll(strings.TrimSpace(keys), "\n", "\n  "))
}

// start runs an exporter with the configuration.
func (m *fakeShops) start(t *testing.T, config string, flags ...string) *exportertest.Running {
	t.Helper()
	return exportertest.StartOn(t, m.network, appOn(m.network.DialContext), write(t, m.dir, "config.yml", config), flags...)
}

func (m *fakeShops) turn(t testing.TB, client string, change func(*shopify.Switches)) {
	t.Helper()
	if err := m.Switch(domainOf(client), change); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, dir, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// every is an interval for tests, with values that vanish soon.
func every(interval string) string {
	return fmt.Sprintf("interval: %[1]s\nmax_age: 1s\nrequests_per_second: 100\nproducts_interval: %[1]s\n", interval)
}

var quick = every("400ms")

func counted(client, outcome string) string {
	return fmt.Sprintf(`consign_shopify_requests_total{client=%q,outcome=%q}`, client, outcome)
}

// of is a series of a client.
func of(name, client string) string {
	return fmt.Sprintf("consign_shopify_%s{client=%q}", name, client)
}

// unixSeconds is a time as the metrics have it.
func unixSeconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

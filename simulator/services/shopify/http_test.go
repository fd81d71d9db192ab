package shopify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

const probe = `{ shop { id } }`

func (r *fixture) switchOn(t *testing.T, domain string, change func(*Switches)) {
	t.Helper()
	if err := r.Switch(domain, change); err != nil {
		t.Fatal(err)
	}
}

func (r *fixture) requests(t *testing.T) map[string]int64 {
	t.Helper()
	b, err := r.Books(kids)
	if err != nil {
		t.Fatal(err)
	}
	return b.Requests
}

func TestRefusalsHaveTheirStatusAndBody(t *testing.T) {
	t.Parallel()
	status := func(code int) func(*Switches) { return func(s *Switches) { s.Status = code } }
	for _, test := range []struct {
		name    string
		change  func(*Switches)
		status  int
		outcome string
		body    string // its beginning, where it does not end the test's
		exact   bool
	}{
		{"400", status(400), 400, "bad_request", `{"errors":{"query":"Required parameter missing or invalid"}}`, true},
		{"401", status(401), 401, "auth", `{"errors":"[API] Invalid API key or access token (unrecognized login or wrong password)"}`, true},
		{"402", status(402), 402, "frozen", `{"errors":"Unavailable Shop"}`, true},
		{"403", status(403), 403, "forbidden", `{"errors":"[API] This action requires merchant approval`, false},
		{"404", status(404), 404, "not_found", `{"errors":"Not Found"}`, true},
		{"423", status(423), 423, "locked", `{"errors":"Unavailable Shop"}`, true},
		{"429", status(429), 429, "throttled", `{"errors":"Exceeded 2 calls per second`, false},
		{"430", status(430), 430, "forbidden", "<!DOCTYPE html>", false},
		{"500", status(500), 500, "server_error", `{"errors":"Internal Server Error"}`, true},
		{"502", status(502), 502, "server_error", "<!DOCTYPE html>", false},
		{"503", status(503), 503, "server_error", "<!DOCTYPE html>", false},
		{"504", status(504), 504, "server_error", "<!DOCTYPE html>", false},
		{"530", status(530), 530, "server_error", "error code: 1016", true},
		{"540", status(540), 540, "server_error", "<!DOCTYPE html>", false},
		{"418", status(418), 418, "other", "<!DOCTYPE html>", false},
		{"token expired", func(s *Switches) { s.TokenExpired = true }, 401, "auth", `{"errors":"[API] Invalid API key`, false},
		{"shop inactive", func(s *Switches) { s.ErrorCode = "SHOP_INACTIVE" }, 200, "other", `{"errors":[{"extensions":{"code":"SHOP_INACTIVE"},"message":"Shop is not active"}]}`, true},
		{"internal", func(s *Switches) { s.ErrorCode = "INTERNAL_SERVER_ERROR" }, 200, "server_error", `{"errors":[{"extensions":{"code":"INTERNAL_SERVER_ERROR"},"message":"Internal error. Looks like`, false},
		{"denied by code", func(s *Switches) { s.ErrorCode = "ACCESS_DENIED" }, 200, "forbidden", `{"errors":[{"extensions":{"code":"ACCESS_DENIED"},"message":"Access denied"`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newFixture(t)
			r.switchOn(t, kids, test.change)
			got := r.ask(t, probe)
			if got.Status != test.status || !strings.HasPrefix(got.Body, test.body) || test.exact && got.Body != test.body {
				t.Errorf("%d %s, want %d %s", got.Status, got.Body, test.status, test.body)
			}
			if after := got.Header.Get("Retry-After"); (after == "2.0") != (test.status == 429) {
				t.Errorf("Retry-After %q", after)
			}
			if diff := cmp.Diff(map[string]int64{test.outcome: 1}, r.requests(t)); diff != "" {
				t.Errorf("books (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	t.Parallel()
	const path = "/" + kids + "/admin/api/2026-10/graphql.json"
	for _, test := range []struct {
		name, path, contentType, body, token string
		status                               int
	}{
		{"right", path, "application/json; charset=utf-8", `{"query":"{ shop { id } }"}`, shpat, 200},
		{"no token", path, "application/json", `{"query":"{ shop { id } }"}`, "", 401},
		{"a wrong token", path, "application/json", `{"query":"{ shop { id } }"}`, "shpat_guess", 401},
		{"a form", path, "application/x-www-form-urlencoded", `query={shop{id}}`, shpat, 400},
		{"no type", path, "", `{"query":"{ shop { id } }"}`, shpat, 400},
		{"no JSON", path, "application/json", `{"query":`, shpat, 400},
		{"no query", path, "application/json", `{}`, shpat, 400},
		{"another shop", "/other.myshopify.com/admin/api/2026-10/graphql.json", "application/json", `{"query":"{ shop { id } }"}`, shpat, 404},
		{"no version", "/" + kids + "/admin/api/graphql.json", "application/json", `{"query":"{ shop { id } }"}`, shpat, 404},
		{"a month without a version", "/" + kids + "/admin/api/2026-11/graphql.json", "application/json", `{"query":"{ shop { id } }"}`, shpat, 404},
		{"a version to come", "/" + kids + "/admin/api/2027-04/graphql.json", "application/json", `{"query":"{ shop { id } }"}`, shpat, 404},
		{"REST", "/" + kids + "/admin/api/2026-10/shop.json", "application/json", ``, shpat, 404},
	} {
		if got := newFixture(t).post(t, test.path, test.contentType, test.body, "X-Shopify-Access-Token", test.token); got.Status != test.status {
			t.Errorf("%s: %d %s, want %d", test.name, got.Status, got.Body, test.status)
		}
	}
}

func TestOldVersionsFallForward(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		now               string
		requested, served string
	}{
		{"2026-11-23T12:00:00Z", "2026-10", "2026-10"},
		{"2026-11-23T12:00:00Z", "2026-01", "2026-01"},
		{"2026-11-23T12:00:00Z", "2025-10", "2026-01"},
		{"2026-11-23T12:00:00Z", "2024-01", "2026-01"},
		{"2026-11-23T12:00:00Z", "2027-01", ""},
		{"2026-11-23T12:00:00Z", "2027-04", ""},
		{"2026-11-23T12:00:00Z", "2026-02", ""},
		{"2026-11-23T12:00:00Z", "latest", ""},
		{"2026-10-01T16:59:59Z", "2025-10", "2025-10"},
		{"2026-10-01T17:00:00Z", "2025-10", "2026-01"},
		{"2027-01-01T16:59:59Z", "2026-01", "2026-01"},
		{"2027-01-01T17:00:00Z", "2026-01", "2026-04"},
		{"2027-01-01T17:00:00Z", "2027-01", "2027-01"},
	} {
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		if served, ok := serve(test.requested, now); served != test.served || ok != (test.served != "") {
			t.Errorf("%s for %s: %q, want %q", test.requested, test.now, served, test.served)
		}
	}
	r := newFixture(t)
	got := r.post(t, "/"+kids+"/admin/api/2024-01/graphql.json", "application/json", `{"query":"{ shop { id } }"}`, "X-Shopify-Access-Token", shpat)
	if version := got.Header.Get("X-Shopify-API-Version"); got.Status != 200 || version != "2026-01" {
		t.Errorf("%d, served %q", got.Status, version)
	}
}

func TestSwitchesOfOneShopLeaveTheOthersAlone(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if err := r.AddShop(Shop{Domain: "teens.myshopify.com", App: App{AccessToken: "shpat_teens"}}); err != nil {
		t.Fatal(err)
	}
	teens := func() int {
		return r.post(t, "/teens.myshopify.com/admin/api/2026-10/graphql.json", "application/json", `{"query":"{ shop { id } }"}`, "X-Shopify-Access-Token", "shpat_teens").Status
	}
	r.switchOn(t, kids, func(s *Switches) { s.Status = 503 })
	if a, b := r.ask(t, probe).Status, teens(); a != 503 || b != 200 {
		t.Errorf("%d and %d", a, b)
	}
	r.switchOn(t, kids, func(s *Switches) { *s = Switches{} })
	if a, b := r.ask(t, probe).Status, teens(); a != 200 || b != 200 {
		t.Errorf("%d and %d", a, b)
	}
	if err := r.Switch("nobody.myshopify.com", func(*Switches) {}); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
}

func TestShopThatIsDownCutsTheConnection(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.switchOn(t, kids, func(s *Switches) { s.Down = true })
	response, err := http.Post(r.url+"/"+kids+"/admin/api/2026-10/graphql.json", "application/json", strings.NewReader("{}"))
	if err == nil {
		response.Body.Close()
		t.Errorf("an answer: %d", response.StatusCode)
	}
	if got := r.requests(t)["down"]; got == 0 {
		t.Errorf("%d requests are booked", got)
	}
}

func TestShopThatIsSlowAnswersLate(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	const slow = 50 * time.Millisecond
	r.switchOn(t, kids, func(s *Switches) { s.Slow = slow })
	begin := time.Now()
	if got := r.ask(t, probe); got.Status != 200 || time.Since(begin) < slow {
		t.Errorf("%d after %s", got.Status, time.Since(begin))
	}

	r.switchOn(t, kids, func(s *Switches) { s.Slow = time.Hour })
	gone := make(chan Request, 1)
	r.config.Requested = func(q Request) { gone <- q }
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { leave() }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/"+kids+"/admin/api/2026-10/graphql.json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(request); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if q := <-gone; q.Outcome != "timeout" {
		t.Errorf("%+v", q)
	}
}

func TestInvalidResponsesDiffer(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.switchOn(t, kids, func(s *Switches) { s.InvalidResponse = true })
	bodies := map[string]bool{}
	for range 4 {
		got := r.ask(t, probe)
		var data struct{ Data any }
		if got.Status != 200 || json.Unmarshal([]byte(got.Body), &data) == nil && data.Data != nil {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		bodies[got.Body] = true
	}
	if len(bodies) != 4 {
		t.Errorf("%d different bodies", len(bodies))
	}
}

func (r *fixture) grant(t *testing.T, form url.Values) wiretest.Answer {
	t.Helper()
	return r.post(t, "/"+kids+"/admin/oauth/access_token", "application/x-www-form-urlencoded", form.Encode())
}

func TestCredentialsGiveATokenForADay(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	right := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"hush"}}
	got := r.grant(t, right)
	type granted struct {
		AccessToken string `json:"access_token"`
		Scope       string `json:"scope"`
		ExpiresIn   int    `json:"expires_in"`
	}
	first := decode[granted](t, got)
	if first.Scope != "read_orders,read_products" || first.ExpiresIn != 86399 || !strings.HasPrefix(first.AccessToken, "shpat_") {
		t.Errorf("%s", got.Body)
	}
	ask := func(token string) int {
		return r.post(t, "/"+kids+"/admin/api/2026-10/graphql.json", "application/json", `{"query":"{ shop { id } }"}`, "X-Shopify-Access-Token", token).Status
	}
	r.clock = noon.Add(86398 * time.Second)
	if status := ask(first.AccessToken); status != 200 {
		t.Errorf("just before its end: %d", status)
	}
	r.clock = noon.Add(86399 * time.Second)
	if status := ask(first.AccessToken); status != 401 {
		t.Errorf("at its end: %d", status)
	}

	second := decode[granted](t, r.grant(t, right)).AccessToken
	r.switchOn(t, kids, func(s *Switches) { s.TokenExpired = true })
	if a, b := ask(second), ask(shpat); a != 401 || b != 401 {
		t.Errorf("tokens that expired: %d and %d", a, b)
	}
	r.clock = r.clock.Add(time.Second)
	if third := decode[granted](t, r.grant(t, right)).AccessToken; ask(third) != 200 {
		t.Error("a token that was given out since is refused")
	}
	r.switchOn(t, kids, func(s *Switches) { s.TokenExpired = false })
	if a, b := ask(second), ask(shpat); a != 200 || b != 200 {
		t.Errorf("afterwards: %d and %d", a, b)
	}
	if n := len(r.shops[kids].tokens); n != 3 { // the first one has ended
		t.Errorf("%d tokens are kept", n)
	}
}

func TestWrongCredentialsGiveNothing(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for want, form := range map[string]url.Values{
		`{"error":"invalid_client","error_description":"Client authentication failed."}`:            {"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"guess"}},
		`{"error":"unsupported_grant_type","error_description":"The grant type is not supported."}`: {"grant_type": {"password"}, "client_id": {"app"}, "client_secret": {"hush"}},
	} {
		if got := r.grant(t, form); got.Status != 400 || got.Body != want {
			t.Errorf("%d %s, want %s", got.Status, got.Body, want)
		}
	}
	for _, form := range []url.Values{
		{"grant_type": {"client_credentials"}, "client_secret": {"hush"}},
		{"grant_type": {"client_credentials"}, "client_id": {"app"}},
		{"grant_type": {"client_credentials"}, "client_id": {"stranger"}, "client_secret": {"hush"}},
	} {
		if got := r.grant(t, form); got.Status != 400 || !strings.Contains(got.Body, "invalid_client") {
			t.Errorf("%v: %d %s", form, got.Status, got.Body)
		}
	}
}

func TestBooksCountEveryRequestOnce(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	var mu sync.Mutex
	sent := map[string]int64{}
	r.config.Requested = func(q Request) {
		mu.Lock()
		defer mu.Unlock()
		sent[q.Outcome]++
		if q.Shop != kids || q.Outcome == "ok" && (q.Operation != "P" || q.Cost != 1) {
			t.Errorf("%+v", q)
		}
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				switch (i + j) % 4 {
				case 0:
					r.ask(t, `query P { shop { id } }`)
				case 1:
					r.ask(t, `{ nothing }`)
				case 2:
					r.grant(t, url.Values{})
				case 3:
					if _, err := r.CreateOrder(kids, Order{}); err != nil {
						t.Error(err)
					}
					r.ask(t, `query P { productsCount { count } }`)
				}
			}
		})
	}
	all.Wait()
	want := map[string]int64{"ok": 40, "other": 20, "bad_request": 20}
	if diff := cmp.Diff(want, r.requests(t)); diff != "" {
		t.Errorf("books (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if b, err := r.Books(kids); err != nil || len(b.Orders) != 20 {
		t.Errorf("%d orders, %v", len(b.Orders), err)
	}
}

func TestNothingIsAddedTwice(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if err := r.AddShop(Shop{Domain: kids}); err == nil {
		t.Error("a shop was added twice")
	}
	for range 2 {
		_, orderErr := r.PutOrder(kids, Order{ID: 7})
		_, productErr := r.PutProduct(kids, Product{ID: 7})
		_, unknown := r.PutOrder("nobody", Order{ID: 7})
		t.Log(orderErr, productErr)
		if !errors.Is(unknown, ErrUnknown) {
			t.Errorf("%v", unknown)
		}
	}
	if b, err := r.Books(kids); err != nil || len(b.Orders) != 1 || len(r.shops[kids].products) != 1 {
		t.Errorf("%+v %v", b, err)
	}
	for name, err := range map[string]error{
		"an order":  r.UpdateOrder(kids, 8, func(*Order) {}),
		"a product": r.DeleteProduct(kids, 8),
		"a topic":   r.Subscribe(kids, Subscription{Topic: "orders/create"}),
	} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%s that is not there: %v", name, err)
		}
	}
}

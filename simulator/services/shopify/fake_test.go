package shopify

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

const (
	kids  = "kids-north.myshopify.com"
	shpat = "shpat_kids"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fixture is a fake with one shop, and a clock that stands still until it is moved.
type fixture struct {
	*Fake
	clock time.Time
	url   string
}

func newFixture(t *testing.T) *fixture {
	r := &fixture{clock: noon}
	r.Fake = New(Config{Now: func() time.Time { return r.clock }})
	t.Cleanup(func() { r.Close() })
	err := r.AddShop(Shop{Domain: kids, ID: 1, Name: "Kids Sale North", App: App{
		ClientID: "app", ClientSecret: "hush", AccessToken: shpat, Scopes: []string{"read_orders", "read_products"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *fixture) post(t *testing.T, path, contentType, body string, header ...string) wiretest.Answer {
	t.Helper()
	return wiretest.Ask(t, http.MethodPost, r.url+path, body, append(header, "Content-Type", contentType)...)
}

// ask sends a query with variables, if any.
func (r *fixture) ask(t *testing.T, query string, variables ...map[string]any) wiretest.Answer {
	t.Helper()
	asked := map[string]any{"query": query}
	if len(variables) > 0 {
		asked["variables"] = variables[0]
	}
	body, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	return r.post(t, "/"+kids+"/admin/api/2026-10/graphql.json", "application/json", string(body), "X-Shopify-Access-Token", shpat)
}

func TestSuccessIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	got := newFixture(t).ask(t, `{ shop { name id } }`)
	const want = `{"data":{"shop":{"name":"Kids Sale North","id":"gid://shopify/Shop/1"}},` +
		`"extensions":{"cost":{"requestedQueryCost":1,"actualQueryCost":1,` +
		`"throttleStatus":{"maximumAvailable":2000.0,"currentlyAvailable":1999,"restoreRate":100.0}}}}`
	assertJSON(t, got, want)
}

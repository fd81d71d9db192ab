package shopify

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

const (
	kids  = "kids-north.myshopify.com"
	shpat = "shpat_kids"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rig is a fake with one shop, and a clock that stands still until it is moved.
type rig struct {
	*Fake
	clock time.Time
	url   string
}

func newRig(t *testing.T) *rig {
	r := &rig{clock: noon}
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

type answer struct {
	status int
	header http.Header
	body   string
}

func (r *rig) post(t *testing.T, path, contentType, body string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(b)}
}

// ask sends a query with variables, if any.
func (r *rig) ask(t *testing.T, query string, variables ...map[string]any) answer {
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
	got := newRig(t).ask(t, `{ shop { name myshopifyDomain } }`)
	const want = `{"data":{"shop":{"name":"Kids Sale North","myshopifyDomain":"kids-north.myshopify.com"}},` +
		`"extensions":{"cost":{"requestedQueryCost":1,"actualQueryCost":1,` +
		`"throttleStatus":{"maximumAvailable":2000.0,"currentlyAvailable":1999,"restoreRate":100.0}}}}`
	if got.status != http.StatusOK || got.body != want {
		t.Errorf("%d %s\nwant %s", got.status, got.body, want)
	}
}

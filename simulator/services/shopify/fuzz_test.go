package shopify

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// FuzzEveryQueryGetsAnAnswer asks whatever can be asked: the answer is JSON, with data or errors.
func FuzzEveryQueryGetsAnAnswer(f *testing.F) {
	for _, query := range monitorQueries() {
		f.Add(query, "created_at:>='2026-11-23T10:00:00Z' AND status:any", "")
	}
	f.Add(`query($q: String, $after: String) { ordersCount(query: $q) { count } products(first: 1, after: $after) { edges { cursor } } }`, `name:"#1`, position{1, 1}.cursor())
	f.Add(`{ __schema { types { name } } __type(name: "Shop") { name } ... on QueryRoot { shop { ...f } } } fragment f on Shop { id }`, "-status:open", "e30=")
	fake := New(Config{Now: func() time.Time { return noon }})
	f.Cleanup(func() { fake.Close() })
	if err := fake.AddShop(Shop{Domain: kids, App: App{AccessToken: shpat, Scopes: []string{"read_orders", "read_products"}}, Plan: Plan{Bucket: 1e12, Restore: 1e12}}); err != nil {
		f.Fatal(err)
	}
	if _, err := fake.PutOrder(kids, Order{}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query, search, after string) {
		body := wire.Marshal(map[string]any{"query": query, "variables": map[string]any{"q": search, "after": after, "first": 3, "limit": 1}})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/"+kids+"/admin/api/2026-10/graphql.json", strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Shopify-Access-Token", shpat)
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, r)
		var answer map[string]json.RawMessage
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %d %s", err, w.Code, w.Body)
		}
		if query == "" {
			return
		}
		if w.Code != http.StatusOK || answer["data"] == nil && answer["errors"] == nil {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

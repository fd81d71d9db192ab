package shopify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/services/wire/wiretest"
)

// decode reads the part of an answer that a test is about.
func decode[T any](t *testing.T, a wiretest.Answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	return v
}

// assertJSON compares an answer with JSON, whatever the order of its fields.
func assertJSON(t *testing.T, got wiretest.Answer, want string) {
	t.Helper()
	if diff := cmp.Diff(decode[any](t, wiretest.Answer{Body: want}), decode[any](t, got)); diff != "" || got.Status != http.StatusOK {
		t.Errorf("%d (-want +got):\n%s", got.Status, diff)
	}
}

func TestThrottledIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	r.shops[kids].bucket = bucket{Plan: Plan{Bucket: 1000, Restore: 50}, level: 666, at: noon}
	got := r.ask(t, `{
		a: webhookSubscriptions(first: 250) { nodes { topic } }
		b: webhookSubscriptions(first: 250) { nodes { topic } }
		c: webhookSubscriptions(first: 246) { nodes { topic } }
	}`)
	const want = `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED","documentation":"https://shopify.dev/api/usage/rate-limits"}}],` +
		`"extensions":{"cost":{"requestedQueryCost":752,"actualQueryCost":null,` +
		`"throttleStatus":{"maximumAvailable":1000.0,"currentlyAvailable":666,"restoreRate":50.0}}}}`
	assertJSON(t, got, want)
}

func TestMissingScopeIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if err := r.Switch(kids, func(s *Switches) { s.MissingScopes = []string{"read_orders"} }); err != nil {
		t.Fatal(err)
	}
	got := r.ask(t, "{\n  orders(first: 1) { nodes { test } }\n}")
	got.Body = strings.Split(got.Body, `,"extensions":{"cost"`)[0] + "}" // what it costs is another test's
	assertJSON(t, got, "{\"errors\":[{\"message\":\"Access denied for orders field. Required access: `read_orders` access scope.\","+
		"\"locations\":[{\"line\":2,\"column\":3}],"+
		"\"extensions\":{\"code\":\"ACCESS_DENIED\",\"documentation\":\"https://shopify.dev/api/usage/access-scopes\","+
		"\"requiredAccess\":\"`read_orders` access scope.\"},\"path\":[\"orders\"]}],"+
		"\"data\":{\"orders\":null}}")
	if books, err := r.Books(kids); err != nil || books.Requests["forbidden"] != 1 {
		t.Errorf("%v %v", books.Requests, err)
	}
}

func TestTooExpensiveQueryIsRefusedBeforeItRuns(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	got := r.ask(t, `query($n: Int!) { a: orders(first: $n) { nodes { test } } b: orders(first: $n) { nodes { test } } c: orders(first: $n) { nodes { test } } d: orders(first: $n) { nodes { test } } }`,
		map[string]any{"n": 249})
	const want = `{"errors":[{"message":"Query cost is 1004, which exceeds the single query max cost limit (1000)",` +
		`"extensions":{"code":"MAX_COST_EXCEEDED","cost":1004,"maxCost":1000,"documentation":"https://shopify.dev/api/usage/rate-limits"}}]}`
	assertJSON(t, got, want)
	if level := r.shops[kids].bucket.level; level != 2000 {
		t.Errorf("%v points are left", level)
	}
}

type costs struct {
	Extensions struct {
		Cost struct {
			Requested int      `json:"requestedQueryCost"`
			Actual    *float64 `json:"actualQueryCost"`
			Throttle  struct {
				Available float64 `json:"currentlyAvailable"`
			} `json:"throttleStatus"`
		} `json:"cost"`
	} `json:"extensions"`
}

func TestQueriesCostWhatTheyAskForAndAreChargedWhatTheyGet(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for i := range 3 {
		if _, err := r.PutOrder(kids, Order{CreatedAt: noon.Add(-time.Duration(i) * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		query             string
		requested, actual int
	}{
		{`{ shop { name } }`, 1, 1},
		{`{ productsCount { count precision } }`, 1, 1},
		{`{ orders(first: 50) { nodes { test } pageInfo { hasNextPage } } }`, 52, 5},
		{`{ webhookSubscriptions(first: 50) { nodes { topic } } }`, 52, 2},
		{`{ ...f } fragment f on QueryRoot { shop { name } a: shop { ... { id } } }`, 2, 2},
	} {
		before := r.shops[kids].bucket.level
		got := decode[costs](t, r.ask(t, test.query)).Extensions.Cost
		if got.Actual == nil || got.Requested != test.requested || int(*got.Actual) != test.actual {
			t.Errorf("%s: requested %d, actual %v, want %d and %d", test.query, got.Requested, got.Actual, test.requested, test.actual)
		}
		if got.Throttle.Available != before-float64(test.actual) {
			t.Errorf("%s: %v available after %v", test.query, got.Throttle.Available, before)
		}
	}
}

func TestBucketLeaksByTime(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	const dear = `{ a: webhookSubscriptions(first: 250) { nodes { topic } } b: webhookSubscriptions(first: 250) { nodes { topic } } }` // 504
	bucket := &r.shops[kids].bucket
	bucket.level = 400
	throttled := func() bool { return strings.Contains(r.ask(t, dear).Body, "THROTTLED") }
	if !throttled() {
		t.Error("504 points were taken from 400")
	}
	r.clock = r.clock.Add(time.Second)
	if !throttled() { // 500
		t.Error("504 points were taken from 500")
	}
	r.clock = r.clock.Add(40 * time.Millisecond)
	if throttled() {
		t.Error("504 points were refused from 504")
	}
	if bucket.level != 500 { // 4 for two empty connections
		t.Errorf("%v points are left", bucket.level)
	}
	r.clock = r.clock.Add(-time.Hour)
	r.ask(t, `{ shop { id } }`)
	if bucket.level != 499 {
		t.Errorf("%v points are left after the clock went back", bucket.level)
	}
	r.clock = r.clock.Add(48 * time.Hour)
	r.ask(t, `{ shop { id } }`)
	if bucket.level != 1999 {
		t.Errorf("%v points after a long time", bucket.level)
	}
}

func TestSomebodyElseCanUseUpThePoints(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if err := r.Switch(kids, func(s *Switches) { s.Throttled = true }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := r.ask(t, `{ shop { id } }`); !strings.Contains(got.Body, `"currentlyAvailable":0,`) || !strings.Contains(got.Body, "THROTTLED") {
			t.Errorf("%s", got.Body)
		}
		r.clock = r.clock.Add(time.Minute)
	}
	if err := r.Switch(kids, func(s *Switches) { s.Throttled = false }); err != nil {
		t.Fatal(err)
	}
	if got := r.ask(t, `{ shop { id } }`); !strings.Contains(got.Body, `"data"`) {
		t.Errorf("a minute later: %s", got.Body)
	}
}

// monitorQueries are the queries that a monitor needs.
func monitorQueries() map[string]string {
	return map[string]string{
		"Probe": `query Probe { shop { id name } }`,
		"RecentOrders": `query RecentOrders($q:String!,$first:Int!,$after:String){
			orders(first:$first, after:$after, query:$q, sortKey:CREATED_AT, reverse:true){
				nodes { legacyResourceId createdAt cancelledAt test }
				pageInfo { hasNextPage endCursor } } }`,
		"Products": `query Products($first:Int!,$after:String){
			products(first:$first, after:$after, sortKey:ID){ nodes { legacyResourceId title createdAt } pageInfo { hasNextPage endCursor } } }`,
		"ProductsCount": `query ProductsCount($limit:Int){ productsCount(limit:$limit){ count precision } }`,
		"Hooks":         `query Hooks($first:Int!,$after:String){ webhookSubscriptions(first:$first, after:$after){ nodes { topic } pageInfo { hasNextPage endCursor } } }`,
	}
}

func TestDocumentedQueriesAreAnswered(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if _, err := r.PutOrder(kids, Order{ID: 820982911946154508, CreatedAt: noon.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := r.Subscribe(kids, Subscription{Topic: "ORDERS_CREATE", URI: "https://platform.example/webhooks/shopify"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PutProduct(kids, Product{ID: 7, Title: "Coat"}); err != nil {
		t.Fatal(err)
	}
	variables := map[string]any{"q": "created_at:>='2026-11-23T10:00:00Z' AND status:any", "first": 10, "limit": nil, "after": nil}
	end := func(p position) string { return `"pageInfo":{"hasNextPage":false,"endCursor":"` + p.cursor() + `"}` }
	want := map[string]string{
		"Probe": `{"shop":{"id":"gid://shopify/Shop/1","name":"Kids Sale North"}}`,
		"RecentOrders": `{"orders":{"nodes":[{"legacyResourceId":"820982911946154508","createdAt":"2026-11-23T11:00:00Z","cancelledAt":null,"test":false}],` +
			end(position{820982911946154508, noon.Add(-time.Hour).Unix()}) + `}}`,
		"Products":      `{"products":{"nodes":[{"legacyResourceId":"7","title":"Coat","createdAt":"2026-11-23T12:00:00Z"}],` + end(position{7, 7}) + `}}`,
		"ProductsCount": `{"productsCount":{"count":1,"precision":"EXACT"}}`,
		"Hooks":         `{"webhookSubscriptions":{"nodes":[{"topic":"ORDERS_CREATE"}],` + end(position{5_000_000_000_001, 5_000_000_000_001}) + `}}`,
	}
	for name, query := range monitorQueries() {
		got := decode[struct {
			Data json.RawMessage `json:"data"`
		}](t, r.ask(t, query, variables))
		assertJSON(t, wiretest.Answer{Status: http.StatusOK, Body: string(got.Data)}, want[name])
	}
}

func TestWrongQueriesAreRefused(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for _, test := range []struct{ query, code, message string }{
		{`{ shop { nothing } }`, "", `Cannot query field "nothing" on type "Shop".`},
		{`{ shop { id @skip(if: true) } }`, "", `Unknown directive "@skip".`},
		{`{ orders(frist: 1) { nodes { test } } }`, "", ""},
		{`{ shop }`, "", ""},
		{`query($q: String) { shop { id } }`, "", ""},
		{`{ orders(query: $q) { nodes { test } } }`, "", ""},
		{`{ orders(first: 1, sortKey: NONE) { nodes { test } } }`, "", ""},
		{`query($n: String!) { orders(first: $n) { nodes { test } } }`, "", ""},
		{`query($n: Int!) { orders(first: $n) { nodes { test } } }`, "", "must be defined"},
		{`{ orders { nodes { test } } }`, "BAD_REQUEST", "you must provide one of first or last"},
		{`{ orders(first: 1, after: "%") { nodes { test } } }`, "", "Invalid cursor for current pagination sort."},
		{`{ orders(first: 251) { nodes { test } } }`, "", "a page cannot have 251 items: there are at most 250"},
		{`{ orders(first: -1) { nodes { test } } }`, "", "a page cannot have -1 items: there are at most 250"},
		{`{ orders(first: 1, query: "status:any OR test:true") { nodes { test } } }`, "", ""},
		{`{ __schema { types { name } } }`, "", ""},
		{`mutation { shop { id } }`, "", ""},
		{`{ shop { id `, "", ""},
		{`query A { shop { id } } query B { shop { id } }`, "", "An operation name is required"},
	} {
		got := r.ask(t, test.query)
		body := decode[struct {
			Data   any `json:"data"`
			Errors []struct {
				Message    string `json:"message"`
				Extensions struct {
					Code string `json:"code"`
				} `json:"extensions"`
			} `json:"errors"`
		}](t, got)
		if got.Status != http.StatusOK || len(body.Errors) == 0 {
			t.Errorf("%s: %d %s", test.query, got.Status, got.Body)
			continue
		}
		if first := body.Errors[0]; test.code != "" && first.Extensions.Code != test.code || test.message != "" && first.Message != test.message {
			t.Errorf("%s: %s", test.query, got.Body)
		}
	}
}

func TestOperationIsChosenByItsName(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	const query = `{"query":"query A { shop { id } } query B { shop { name } }","operationName":"B"}`
	got := r.post(t, "/"+kids+"/admin/api/2026-10/graphql.json", "application/json", query, "X-Shopify-Access-Token", shpat)
	if !strings.HasPrefix(got.Body, `{"data":{"shop":{"name":"Kids Sale North"}}`) {
		t.Error(got.Body)
	}
}

type orderPage struct {
	Data struct {
		Orders struct {
			Nodes []struct {
				ID string `json:"legacyResourceId"`
			} `json:"nodes"`
			PageInfo struct {
				HasNext bool   `json:"hasNextPage"`
				End     string `json:"endCursor"`
			} `json:"pageInfo"`
		} `json:"orders"`
	} `json:"data"`
}

// TestPagesNeitherRepeatNorSkip lets orders come and be older and newer while pages are read.
func TestPagesNeitherRepeatNorSkip(t *testing.T) {
	t.Parallel()
	for _, sortKey := range []string{"CREATED_AT", "UPDATED_AT", "PROCESSED_AT"} {
		for _, reverse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %t", sortKey, reverse), func(t *testing.T) {
				r := newFixture(t)
				want := map[string]int{}
				for i := range 23 { // several in the same second
					o, err := r.PutOrder(kids, Order{CreatedAt: noon.Add(-time.Duration(i/3) * time.Second)})
					if err != nil {
						t.Fatal(err)
					}
					want[fmt.Sprint(o.ID)] = 1
				}
				seen := map[string]int{}
				after := any(nil)
				for page := 0; ; page++ {
					got := decode[orderPage](t, r.ask(t, `query($after: String, $key: OrderSortKeys!, $reverse: Boolean) {
						orders(first: 5, after: $after, sortKey: $key, reverse: $reverse) { nodes { legacyResourceId } pageInfo { hasNextPage endCursor } } }`,
						map[string]any{"after": after, "key": sortKey, "reverse": reverse})).Data.Orders
					for _, n := range got.Nodes {
						seen[n.ID]++
					}
					if !got.PageInfo.HasNext {
						break
					}
					if after = got.PageInfo.End; page > 20 {
						t.Fatal("there is no end")
					}
					at := noon.Add(time.Hour) // before what is read newest first
					if !reverse {
						at = noon.Add(-time.Hour)
					}
					if _, err := r.PutOrder(kids, Order{ID: map[bool]int64{true: 9e15, false: 1}[reverse] + int64(page), CreatedAt: at}); err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(want, seen); diff != "" {
					t.Errorf("orders read (-want +got):\n%s", diff)
				}
			})
		}
	}
}

type found struct {
	Data struct {
		Orders struct {
			Nodes []any `json:"nodes"`
		} `json:"orders"`
	} `json:"data"`
	Extensions struct {
		Search []struct {
			Warnings []struct{ Field, Message string } `json:"warnings"`
		} `json:"search"`
	} `json:"extensions"`
}

func TestSearchFindsWhatItSays(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for _, o := range []Order{
		{CreatedAt: noon.Add(-3 * time.Hour)},
		{CreatedAt: noon.Add(-2 * time.Hour), Test: true},
		{CreatedAt: noon.Add(-time.Hour), CancelledAt: noon, UpdatedAt: noon, FinancialStatus: "REFUNDED"},
		{CreatedAt: noon.Add(300 * time.Millisecond)},
	} {
		if _, err := r.PutOrder(kids, o); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		query    string
		want     int
		warnings int
	}{
		{"", 4, 0},
		{"status:any", 4, 0},
		{"created_at:>='2026-11-23T10:00:00Z' AND status:any", 3, 0},
		{`created_at:>="2026-11-23T11:00:00Z"`, 2, 0},
		{"created_at:>=2026-11-23T12:00:00Z", 1, 0}, // to the second, as the shop keeps it
		{"updated_at:>='2026-11-23T11:30:00Z'", 2, 0},
		{"financial_status:refunded", 1, 0},
		{"craeted_at:>='2026-11-23T11:30:00Z'", 4, 1}, // what is not understood finds all
		{"created_at:>='yesterday' AND financial_status:paid", 3, 1},
		{"created_at:<'2026-11-23T11:30:00Z'", 4, 1},
		{"status:opened", 4, 1},
	} {
		got := decode[found](t, r.ask(t, `query($q: String) { orders(first: 9, query: $q) { nodes { test } } }`, map[string]any{"q": test.query}))
		if n := len(got.Data.Orders.Nodes); n != test.want || len(got.Extensions.Search) != test.warnings {
			t.Errorf("%q: %d with %v, want %d with %d warnings", test.query, n, got.Extensions.Search, test.want, test.warnings)
		}
	}
}

func TestCountsAreCapped(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for range 10_001 {
		if _, err := r.PutProduct(kids, Product{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		arguments string
		variables map[string]any
		want      string
	}{
		{"", nil, `"count":10000,"precision":"AT_LEAST"`},
		{"(limit: null)", nil, `"count":10001,"precision":"EXACT"`},
		{"(limit: 20000)", nil, `"count":10001,"precision":"EXACT"`},
		{"(limit: 10001)", nil, `"count":10001,"precision":"EXACT"`},
		{"(limit: 5)", nil, `"count":5,"precision":"AT_LEAST"`},
		{"(limit: $n)", map[string]any{"n": 7}, `"count":7,"precision":"AT_LEAST"`},
		{"(limit: $n)", map[string]any{"n": nil}, `"count":10001,"precision":"EXACT"`},
		{"(limit: $n)", map[string]any{}, `"count":10000,"precision":"AT_LEAST"`},
	} {
		query := `{ productsCount` + test.arguments + ` { count precision } }`
		if test.variables != nil {
			query = `query($n: Int) ` + query
		}
		if got := r.ask(t, query, test.variables); !strings.Contains(got.Body, test.want) {
			t.Errorf("%s with %v: %s, want %s", query, test.variables, got.Body, test.want)
		}
	}
}

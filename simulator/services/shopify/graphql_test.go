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

func TestThrottledIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	a := r.shops[kids].apps[0]
	a.bucket = newBucket(Plan{Bucket: 1000, Restore: 50}, noon)
	a.bucket.level = 666
	got := r.ask(t, `{
		a: webhookSubscriptions(first: 250) { nodes { id } }
		b: webhookSubscriptions(first: 250) { nodes { id } }
		c: webhookSubscriptions(first: 246) { nodes { id } }
	}`)
	const want = `{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED","documentation":"https://shopify.dev/api/usage/rate-limits"}}],` +
		`"extensions":{"cost":{"requestedQueryCost":752,"actualQueryCost":null,` +
		`"throttleStatus":{"maximumAvailable":1000.0,"currentlyAvailable":666,"restoreRate":50.0}}}}`
	if got.Status != http.StatusOK || got.Body != want {
		t.Errorf("%d %s", got.Status, cmp.Diff(want, got.Body))
	}
}

func TestMissingScopeIsWrittenAsDocumented(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if err := r.Switch(kids, func(s *Switches) { s.MissingScopes = []string{"read_orders"} }); err != nil {
		t.Fatal(err)
	}
	got := r.ask(t, "{\n  orders(first: 1) { nodes { id } }\n}")
	const want = "{\"errors\":[{\"message\":\"Access denied for orders field. Required access: `read_orders` access scope.\"," +
		"\"locations\":[{\"line\":2,\"column\":3}]," +
		"\"extensions\":{\"code\":\"ACCESS_DENIED\",\"documentation\":\"https://shopify.dev/api/usage/access-scopes\"," +
		"\"requiredAccess\":\"`read_orders` access scope.\"},\"path\":[\"orders\"]}]," +
		"\"data\":{\"orders\":null},\"extensions\":"
	if got.Status != http.StatusOK || !strings.HasPrefix(got.Body, want) {
		t.Errorf("%d %s\nwant %s", got.Status, got.Body, want)
	}
	if books, err := r.Books(kids); err != nil || books.Requests["forbidden"] != 1 {
		t.Errorf("%v %v", books.Requests, err)
	}
}

func TestTooExpensiveQueryIsRefusedBeforeItRuns(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	got := r.ask(t, `query($n: Int!) { a: orders(first: $n) { nodes { id } } b: orders(first: $n) { nodes { id } } c: orders(first: $n) { nodes { id } } d: orders(first: $n) { nodes { id } } }`,
		map[string]any{"n": 249})
	const want = `{"errors":[{"message":"Query cost is 1004, which exceeds the single query max cost limit (1000)",` +
		`"extensions":{"code":"MAX_COST_EXCEEDED","cost":1004,"maxCost":1000,"documentation":"https://shopify.dev/api/usage/rate-limits"}}]}`
	if got.Status != http.StatusOK || got.Body != want {
		t.Errorf("%d %s", got.Status, cmp.Diff(want, got.Body))
	}
	if level := r.shops[kids].apps[0].bucket.level; level != 2000 {
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
		{`{ shop { name plan { displayName } } }`, 2, 2},
		{`{ ordersCount { count precision } }`, 1, 1},
		{`{ orders(first: 50) { nodes { id } pageInfo { hasNextPage } } }`, 52, 5},
		{`{ orders(last: 2) { edges { node { id } } } }`, 4, 4},
		{`{ webhookSubscriptions(first: 50) { nodes { apiVersion { handle } } } }`, 102, 2},
		{`{ ...f } fragment f on QueryRoot { shop { name } a: shop { ... { plan { displayName } } } }`, 3, 3},
		{`{ __typename }`, 0, 0},
	} {
		before := r.shops[kids].apps[0].bucket.level
		got := decode[costs](t, r.ask(t, test.query)).Extensions.Cost
		if got.Actual == nil || got.Requested != test.requested || int(*got.Actual) != test.actual {
			t.Errorf("%s: requested %d, actual %v, want %d and %d", test.query, got.Requested, got.Actual, test.requested, test.actual)
		}
		if got.Throttle.Available != before-float64(test.actual) {
			t.Errorf("%s: %v available after %v", test.query, got.Throttle.Available, before)
		}
	}
}

func TestBucketLeaksByTimeForEachAppAlone(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if err := r.AddApp(kids, App{ClientID: "other", AccessToken: "shpat_other"}); err != nil {
		t.Fatal(err)
	}
	const dear = `{ a: webhookSubscriptions(first: 250) { nodes { id } } b: webhookSubscriptions(first: 250) { nodes { id } } }` // 504
	bucket := &r.shops[kids].apps[0].bucket
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
	r.ask(t, `{ __typename }`)
	if bucket.level != 2000 {
		t.Errorf("%v points after a long time", bucket.level)
	}
	if level := r.shops[kids].apps[1].bucket.level; level != 2000 {
		t.Errorf("the other app has %v points left", level)
	}
}

func TestSomebodyElseCanUseUpThePoints(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if err := r.Switch("", func(s *Switches) { s.Throttled = true }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := r.ask(t, `{ shop { id } }`); !strings.Contains(got.Body, `"currentlyAvailable":0,`) || !strings.Contains(got.Body, "THROTTLED") {
			t.Errorf("%s", got.Body)
		}
		r.clock = r.clock.Add(time.Minute)
	}
	if err := r.Switch("", func(s *Switches) { s.Throttled = false }); err != nil {
		t.Fatal(err)
	}
	if got := r.ask(t, `{ shop { id } }`); !strings.Contains(got.Body, `"data"`) {
		t.Errorf("a minute later: %s", got.Body)
	}
}

// monitorQueries are the queries that a monitor needs.
func monitorQueries() map[string]string {
	return map[string]string{
		"Probe":       `query Probe { shop { id name myshopifyDomain plan { displayName shopifyPlus partnerDevelopment } } }`,
		"OrdersCount": `query OrdersCount($q:String!,$limit:Int){ ordersCount(query:$q, limit:$limit){ count precision } }`,
		"RecentOrders": `query RecentOrders($q:String!,$first:Int!,$after:String){
			orders(first:$first, after:$after, query:$q, sortKey:CREATED_AT, reverse:true){
				nodes { id legacyResourceId name createdAt updatedAt processedAt cancelledAt test displayFinancialStatus displayFulfillmentStatus }
				pageInfo { hasNextPage endCursor } } }`,
		"ProductsCount": `query ProductsCount($q:String,$limit:Int){ productsCount(query:$q, limit:$limit){ count precision } }`,
		"Hooks": `query Hooks($first:Int!,$after:String){
			webhookSubscriptions(first:$first, after:$after){
				nodes { id legacyResourceId topic uri format filter name createdAt updatedAt apiVersion { handle supported } }
				pageInfo { hasNextPage endCursor } } }`,
		"HookCount": `query HookCount { webhookSubscriptionsCount { count precision } }`,
		"Versions":  `query Versions { publicApiVersions { handle displayName supported } }`,
		"Scopes":    `query Scopes { currentAppInstallation { accessScopes { handle } } }`,
	}
}

func TestDocumentedQueriesAreAnswered(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	if _, err := r.PutOrder(kids, Order{ID: 820982911946154508, Name: "#9999", CreatedAt: noon.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Subscribe(kids, "app", Subscription{ID: 7, Topic: "ORDERS_CREATE", URI: "https://platform.example/webhooks/shopify", Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	variables := map[string]any{"q": "created_at:>='2026-11-23T10:00:00Z' AND status:any", "first": 10, "limit": nil, "after": nil}
	want := map[string]string{
		"Probe":         `{"shop":{"id":"gid://shopify/Shop/1","name":"Kids Sale North","myshopifyDomain":"kids-north.myshopify.com","plan":{"displayName":"Basic","shopifyPlus":false,"partnerDevelopment":false}}}`,
		"OrdersCount":   `{"ordersCount":{"count":1,"precision":"EXACT"}}`,
		"RecentOrders":  `{"orders":{"nodes":[{"id":"gid://shopify/Order/820982911946154508","legacyResourceId":"820982911946154508","name":"#9999","createdAt":"2026-11-23T11:00:00Z","updatedAt":"2026-11-23T11:00:00Z","processedAt":"2026-11-23T11:00:00Z","cancelledAt":null,"test":false,"displayFinancialStatus":"PAID","displayFulfillmentStatus":"UNFULFILLED"}],"pageInfo":{"hasNextPage":false,"endCursor":"eyJsYXN0X2lkIjo4MjA5ODI5MTE5NDYxNTQ1MDgsImxhc3RfdmFsdWUiOiIxNzk1NDMxNjAwIn0="}}}`,
		"ProductsCount": `{"productsCount":{"count":0,"precision":"EXACT"}}`,
		"Hooks":         `{"webhookSubscriptions":{"nodes":[{"id":"gid://shopify/WebhookSubscription/7","legacyResourceId":"7","topic":"ORDERS_CREATE","uri":"https://platform.example/webhooks/shopify","format":"JSON","filter":null,"name":"orders","createdAt":"2026-11-23T12:00:00Z","updatedAt":"2026-11-23T12:00:00Z","apiVersion":{"handle":"2026-10","supported":true}}],"pageInfo":{"hasNextPage":false,"endCursor":"eyJsYXN0X2lkIjo3LCJsYXN0X3ZhbHVlIjoiNyJ9"}}}`,
		"HookCount":     `{"webhookSubscriptionsCount":{"count":1,"precision":"EXACT"}}`,
		"Versions": `{"publicApiVersions":[{"handle":"2026-01","displayName":"2026-01","supported":true},{"handle":"2026-04","displayName":"2026-04","supported":true},` +
			`{"handle":"2026-07","displayName":"2026-07","supported":true},{"handle":"2026-10","displayName":"2026-10","supported":true},` +
			`{"handle":"2027-01","displayName":"2027-01 (Release candidate)","supported":false},{"handle":"unstable","displayName":"unstable","supported":false}]}`,
		"Scopes": `{"currentAppInstallation":{"accessScopes":[{"handle":"read_orders"},{"handle":"read_products"}]}}`,
	}
	for name, query := range monitorQueries() {
		got := decode[struct {
			Data json.RawMessage `json:"data"`
		}](t, r.ask(t, query, variables))
		if diff := cmp.Diff(want[name], string(got.Data)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWrongQueriesAreRefused(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for _, test := range []struct{ query, code, message string }{
		{`{ shop { nothing } }`, "undefinedField", "Field 'nothing' doesn't exist on type 'Shop'"},
		{`{ webhookSubscriptions(first: 1) { nodes { callbackUrl } } }`, "undefinedField", "Field 'callbackUrl' doesn't exist on type 'WebhookSubscription'"},
		{`{ orders(frist: 1) { nodes { id } } }`, "argumentNotAccepted", ""},
		{`{ shop }`, "selectionMismatch", ""},
		{`query($q: String) { shop { id } }`, "variableNotUsed", ""},
		{`{ ordersCount(query: $q) { count } }`, "variableNotDefined", ""},
		{`{ orders(first: 1, sortKey: NONE) { nodes { id } } }`, "argumentLiteralsIncompatible", ""},
		{`query($n: String!) { orders(first: $n) { nodes { id } } }`, "variableMismatch", ""},
		{`query($n: Int!) { orders(first: $n) { nodes { id } } }`, "INVALID_VARIABLE", "Variable $n was provided invalid value"},
		{`{ orders { nodes { id } } }`, "BAD_REQUEST", "you must provide one of first or last"},
		{`{ orders(first: 1, after: "%") { nodes { id } } }`, "", "Invalid cursor for current pagination sort."},
		{`{ orders(first: 251) { nodes { id } } }`, "", "a page cannot have 251 items: there are at most 250"},
		{`{ orders(first: -1) { nodes { id } } }`, "", "a page cannot have -1 items: there are at most 250"},
		{`{ ordersCount(query: "status:any OR test:true") { count } }`, "", ""},
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
		if first := body.Errors[0]; first.Extensions.Code != test.code || test.message != "" && first.Message != test.message {
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

func TestDirectivesLeaveOutFields(t *testing.T) {
	t.Parallel()
	got := newFixture(t).ask(t, `query($no: Boolean!) { shop { id @skip(if: true) name @include(if: $no) t: __typename } }`, map[string]any{"no": false})
	if !strings.HasPrefix(got.Body, `{"data":{"shop":{"t":"Shop"}}`) {
		t.Error(got.Body)
	}
}

type orderPage struct {
	Data struct {
		Orders struct {
			Nodes []struct {
				Name string `json:"name"`
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
	for _, sortKey := range []string{"CREATED_AT", "UPDATED_AT", "PROCESSED_AT", "ID"} {
		for _, reverse := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %t", sortKey, reverse), func(t *testing.T) {
				r := newFixture(t)
				want := map[string]bool{}
				for i := range 23 { // several in the same second
					name := fmt.Sprint("old ", i)
					want[name] = true
					if _, err := r.PutOrder(kids, Order{Name: name, CreatedAt: noon.Add(-time.Duration(i/3) * time.Second)}); err != nil {
						t.Fatal(err)
					}
				}
				seen := map[string]int{}
				after := any(nil)
				for page := 0; ; page++ {
					got := decode[orderPage](t, r.ask(t, `query($after: String, $key: OrderSortKeys!, $reverse: Boolean) {
						orders(first: 5, after: $after, sortKey: $key, reverse: $reverse) { nodes { name } pageInfo { hasNextPage endCursor } } }`,
						map[string]any{"after": after, "key": sortKey, "reverse": reverse})).Data.Orders
					for _, n := range got.Nodes {
						seen[n.Name]++
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
					if _, err := r.PutOrder(kids, Order{ID: map[bool]int64{true: 9e15, false: 1}[reverse] + int64(page), Name: "new", CreatedAt: at}); err != nil {
						t.Fatal(err)
					}
				}
				delete(seen, "new")
				for name := range want {
					if seen[name] != 1 {
						t.Errorf("%s came %d times", name, seen[name])
					}
				}
				if len(seen) != len(want) {
					t.Errorf("%v", seen)
				}
			})
		}
	}
}

func TestLastAndBeforeGoBackwards(t *testing.T) {
	t.Parallel()
	r := newFixture(t)
	for i := range 5 {
		if _, err := r.PutProduct(kids, Product{ID: int64(i + 1), Title: fmt.Sprint(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	got := r.ask(t, `{ products(last: 2, before: "`+position{5, 5}.cursor()+`") { edges { cursor node { title } } pageInfo { hasNextPage hasPreviousPage } } }`)
	want := `{"data":{"products":{"edges":[{"cursor":"` + position{3, 3}.cursor() + `","node":{"title":"3"}},{"cursor":"` + position{4, 4}.cursor() + `","node":{"title":"4"}}],"pageInfo":{"hasNextPage":true,"hasPreviousPage":true}}}`
	if !strings.HasPrefix(got.Body, want) {
		t.Errorf("%s\nwant %s", got.Body, want)
	}
}

type counted struct {
	Data map[string]struct {
		Count     int    `json:"count"`
		Precision string `json:"precision"`
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
		{Name: "#1", CreatedAt: noon.Add(-3 * time.Hour), Closed: true},
		{Name: "#2", CreatedAt: noon.Add(-2 * time.Hour), Test: true},
		{Name: "#3", CreatedAt: noon.Add(-time.Hour), CancelledAt: noon, UpdatedAt: noon, FinancialStatus: "REFUNDED"},
		{Name: "#4", CreatedAt: noon.Add(300 * time.Millisecond)},
		{Name: "#5", CreatedAt: noon.Add(-61 * 24 * time.Hour)},
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
		{"", 4, 0}, // the fifth is too old to be seen
		{"status:any", 4, 0},
		{"status:open", 2, 0},
		{"status:closed", 1, 0},
		{"status:cancelled", 1, 0},
		{"status:not_closed", 3, 0},
		{"created_at:>='2026-11-23T10:00:00Z' AND status:any", 3, 0},
		{"created_at:>'2026-11-23T10:00:00Z'", 2, 0},
		{"created_at:<=2026-11-23T10:00:00Z", 2, 0},
		{`created_at:<"2026-11-23T10:00:00Z"`, 1, 0},
		{"created_at:2026-11-23T12:00:00Z", 1, 0}, // to the second, as the shop keeps it
		{"created_at:>=2026-11-23", 4, 0},
		{"updated_at:>='2026-11-23T11:30:00Z'", 2, 0},
		{"processed_at:>='2026-11-23T11:30:00Z' test:false", 1, 0},
		{"test:true", 1, 0},
		{"name:2", 1, 0},
		{"financial_status:refunded", 1, 0},
		{"craeted_at:>='2026-11-23T11:30:00Z'", 4, 1}, // what is not understood finds all
		{"created_at:>='yesterday' AND status:open", 2, 1},
		{"status:opened", 4, 1},
	} {
		got := decode[counted](t, r.ask(t, `query($q: String) { ordersCount(query: $q) { count precision } }`, map[string]any{"q": test.query}))
		if n := got.Data["ordersCount"].Count; n != test.want || len(got.Extensions.Search) != test.warnings {
			t.Errorf("%q: %d with %v, want %d with %d warnings", test.query, n, got.Extensions.Search, test.want, test.warnings)
		}
	}
	if err := r.AddApp(kids, App{ClientID: "old", AccessToken: "shpat_old", Scopes: []string{"read_orders", "read_all_orders"}}); err != nil {
		t.Fatal(err)
	}
	got := r.post(t, "/"+kids+"/admin/api/2026-10/graphql.json", "application/json", `{"query":"{ ordersCount { count } }"}`, "X-Shopify-Access-Token", "shpat_old")
	if !strings.Contains(got.Body, `"count":5`) {
		t.Errorf("with read_all_orders: %s", got.Body)
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

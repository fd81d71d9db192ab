package api

import "net/http"

// argument is the origin of a query's argument.
type argument int

const (
	client     argument = iota // the tenant
	id                         // {id} of the path
	event                      // ?event=, a sale event's id
	searchText                 // ?q=, a prefix of titles
)

// Route is an endpoint that reads.
type Route struct {
	Method, Path string
	Table        string // the main table of its query

	query string
	args  []argument // of the query, in order
	one   bool       // a single row, or 404
}

// Routes returns all endpoints that read the database. Each query returns rows of its client only, and at most a page of them.
func Routes() []Route {
	return []Route{
		{Method: "GET", Path: "/api/items", Table: "items", args: []argument{client, event}, query: `
			SELECT i.id, i.title, i.price_cents, e.currency, i.markdown_eligible FROM events e JOIN items i ON i.event_id = e.id
			WHERE e.client_id = ? AND e.id = ? AND i.status = 'active' ORDER BY i.id LIMIT 20`},
		{Method: "GET", Path: "/api/items/{id}", Table: "items", args: []argument{client, id}, one: true, query: `
			SELECT i.id, i.title, i.price_cents, e.currency, i.status, i.listed_at, i.sold_at FROM items i JOIN events e ON e.id = i.event_id
			WHERE e.client_id = ? AND i.id = ?`},
		{Method: "GET", Path: "/api/items/{id}/label", Table: "items", args: []argument{client, id}, one: true, query: `
			SELECT i.id, i.event_consignor_id, i.title, i.price_cents, e.currency FROM items i JOIN events e ON e.id = i.event_id
			WHERE e.client_id = ? AND i.id = ?`},
		{Method: "GET", Path: "/api/search", Table: "items", args: []argument{client, event, searchText}, query: `
			SELECT i.id, i.title, i.price_cents, e.currency FROM events e JOIN items i ON i.event_id = e.id
			WHERE e.client_id = ? AND e.id = ? AND i.title LIKE CONCAT(?, '%') LIMIT 20`},
		{Method: "GET", Path: "/api/cart", Table: "sales", args: []argument{client, event}, query: `
			SELECT s.id, s.item_id, s.amount_cents, s.currency, s.sold_at FROM events e JOIN sales s ON s.event_id = e.id
			WHERE e.client_id = ? AND e.id = ? ORDER BY s.id DESC LIMIT 5`},
		{Method: "GET", Path: "/api/categories", Table: "categories", query: `
			SELECT id, slug, name FROM categories ORDER BY id LIMIT 50`},
		{Method: "GET", Path: "/api/events/{id}", Table: "events", args: []argument{client, id}, one: true, query: `
			SELECT id, slug, name, status, start_at, end_at, currency FROM events WHERE client_id = ? AND id = ?`},
		{Method: "GET", Path: "/api/events/{id}/dropoffs", Table: "dropoff_slots", args: []argument{client, id}, query: `
			SELECT d.id, d.start_at, d.capacity, d.remaining FROM events e JOIN dropoff_slots d ON d.event_id = e.id
			WHERE e.client_id = ? AND e.id = ? ORDER BY d.id DESC LIMIT 20`},
		{Method: "GET", Path: "/api/events/{id}/volunteers", Table: "volunteer_shifts", args: []argument{client, id}, query: `
			SELECT v.id, v.shift_type, v.start_at, v.end_at, v.remaining FROM events e JOIN volunteer_shifts v ON v.event_id = e.id
			WHERE e.client_id = ? AND e.id = ? ORDER BY v.id DESC LIMIT 20`},
		{Method: "GET", Path: "/api/consignors/{id}", Table: "consignors", args: []argument{client, id}, one: true, query: `
			SELECT id, active, created_at, sync_status FROM consignors WHERE client_id = ? AND id = ?`},
		{Method: "GET", Path: "/api/consignors/{id}/items", Table: "items", args: []argument{client, id}, query: `
			SELECT i.id, i.title, i.price_cents, i.status FROM consignors c JOIN event_consignors ec ON ec.consignor_id = c.id
			JOIN items i ON i.event_consignor_id = ec.id WHERE c.client_id = ? AND c.id = ? LIMIT 20`},
		{Method: "GET", Path: "/api/consignors/{id}/earnings", Table: "settlements", args: []argument{client, id}, query: `
			SELECT s.event_id, s.amount_cents, s.status, s.paid_at FROM consignors c JOIN event_consignors ec ON ec.consignor_id = c.id
			JOIN settlements s ON s.event_consignor_id = ec.id WHERE c.client_id = ? AND c.id = ? LIMIT 20`},
		{Method: "GET", Path: "/api/reports/sales", Table: "sales", args: []argument{client, event}, query: `
			SELECT s.channel, COUNT(*) AS sales, SUM(s.amount_cents) AS amount_cents FROM events e JOIN sales s ON s.event_id = e.id
			WHERE e.client_id = ? AND e.id = ? GROUP BY s.channel`},
		{Method: "GET", Path: "/api/settlements", Table: "settlements", args: []argument{client, event}, query: `
			SELECT s.id, s.amount_cents, s.status, s.created_at, s.paid_at FROM events e JOIN settlements s ON s.event_id = e.id
			WHERE e.client_id = ? AND e.id = ? ORDER BY s.id DESC LIMIT 20`},
		{Method: "GET", Path: "/api/sync", Table: "sync_runs", args: []argument{client}, query: `
			SELECT kind, outcome, finished_at FROM sync_runs WHERE client_id = ? ORDER BY id DESC LIMIT 10`},
		{Method: "GET", Path: "/api/tickets", Table: "support_tickets", args: []argument{client}, query: `
			SELECT id, priority, status, category, opened_at FROM support_tickets WHERE client_id = ? ORDER BY id DESC LIMIT 20`},
	}
}

// The routes without a query.
const (
	HealthRoute = "/healthz"
	OrderRoute  = "/api/orders"
	// otherRoute is the label of unknown paths: what strangers request must not become labels.
	otherRoute = "/*"
)

// routes returns the handler of all routes.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, route := range Routes() {
		mux.Handle(route.Method+" "+route.Path, s.serve(route.Path, func(r *request) { r.read(route) }))
	}
	mux.Handle("POST "+OrderRoute, s.serve(OrderRoute, (*request).order))
	mux.Handle("GET "+HealthRoute, s.serve(HealthRoute, (*request).health))
	mux.Handle("/", s.serve(otherRoute, func(r *request) { r.refuse(http.StatusNotFound, "there is no such endpoint") }))
	return mux
}

package shopify

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

const (
	accessScopes = "https://shopify.dev/api/usage/access-scopes"
	maxPage      = 250
	// ordersKept is how far back an app sees orders without read_all_orders.
	ordersKept = 60 * 24 * time.Hour
)

// execution is one query being answered. It needs the fake's lock.
type execution struct {
	fake      *Fake
	shop      *shop
	app       *app
	now       time.Time
	missing   []string // scopes
	document  *ast.QueryDocument
	variables map[string]any

	errors   []object
	outcome  string // of the first error
	void     bool   // what cannot be null is missing: there is no data at all
	warnings []object
	sizes    map[*ast.Field]int // nodes that connections have returned
}

// node is an object with all its fields.
type node map[string]any

// run returns the data: nil when a part is missing that must not.
func (e *execution) run(op *ast.OperationDefinition) any {
	data := object{}
	for _, field := range e.selected(op.SelectionSet) {
		data = append(data, member{field.Alias, e.value(field, e.root(field))})
	}
	if e.void {
		return nil
	}
	return data
}

func (e *execution) actualCost(op *ast.OperationDefinition) int {
	return cost(op.SelectionSet, e.document, func(field *ast.Field) int { return e.sizes[field] })
}

// selected leaves out what directives leave out.
func (e *execution) selected(set ast.SelectionSet) []*ast.Field {
	return slices.DeleteFunc(fields(set, e.document), func(field *ast.Field) bool {
		for _, d := range field.Directives {
			if on, _ := d.ArgumentMap(e.variables)["if"].(bool); d.Name == "skip" && on || d.Name == "include" && !on {
				return true
			}
		}
		return false
	})
}

// value returns the selected part of a value.
func (e *execution) value(field *ast.Field, v any) any {
	switch v := v.(type) {
	case node:
		o := object{}
		for _, inside := range e.selected(field.SelectionSet) {
			if inside.Name == "__typename" {
				o = append(o, member{inside.Alias, field.Definition.Type.Name()})
				continue
			}
			o = append(o, member{inside.Alias, e.value(inside, v[inside.Name])})
		}
		return o
	case []node:
		list := []any{}
		for _, n := range v {
			list = append(list, e.value(field, n))
		}
		return list
	}
	return v
}

// root is the value of a field of the query itself.
func (e *execution) root(field *ast.Field) any {
	arguments := field.ArgumentMap(e.variables)
	switch field.Name {
	case "__typename":
		return "QueryRoot"
	case "shop":
		return node{
			"id": gid("Shop", e.shop.ID), "name": e.shop.Name, "myshopifyDomain": e.shop.Domain,
			"plan": node{
				"displayName": e.shop.Plan.DisplayName, "publicDisplayName": e.shop.Plan.DisplayName,
				"shopifyPlus": e.shop.Plan.Plus, "partnerDevelopment": e.shop.Plan.PartnerDevelopment,
			},
		}
	case "orders":
		if found, ok := e.orders(field, arguments); ok {
			key := map[string]func(*Order) int64{
				"CREATED_AT":   func(o *Order) int64 { return o.CreatedAt.Unix() },
				"ID":           func(o *Order) int64 { return o.ID },
				"PROCESSED_AT": func(o *Order) int64 { return o.ProcessedAt.Unix() },
				"UPDATED_AT":   func(o *Order) int64 { return o.UpdatedAt.Unix() },
			}[fmt.Sprint(arguments["sortKey"])]
			return connection(e, field, arguments, found, func(o *Order) position { return position{o.ID, key(o)} }, orderNode)
		}
	case "ordersCount":
		if found, ok := e.orders(field, arguments); ok {
			return count(len(found), arguments)
		}
	case "products":
		if found, ok := e.products(field, arguments); ok {
			key := map[string]func(*Product) int64{
				"CREATED_AT": func(p *Product) int64 { return p.CreatedAt.Unix() },
				"ID":         func(p *Product) int64 { return p.ID },
				"UPDATED_AT": func(p *Product) int64 { return p.UpdatedAt.Unix() },
			}[fmt.Sprint(arguments["sortKey"])]
			return connection(e, field, arguments, found, func(p *Product) position { return position{p.ID, key(p)} }, productNode)
		}
	case "productsCount":
		if found, ok := e.products(field, arguments); ok {
			return count(len(found), arguments)
		}
	case "webhookSubscriptions":
		found := e.app.subscriptions
		if topics, ok := arguments["topics"].([]any); ok {
			found = slices.DeleteFunc(slices.Clone(found), func(s *Subscription) bool { return !slices.Contains(topics, any(s.Topic)) })
		}
		return connection(e, field, arguments, found, func(s *Subscription) position { return position{s.ID, s.ID} }, e.subscriptionNode)
	case "webhookSubscriptionsCount":
		return count(len(e.app.subscriptions), arguments)
	case "publicApiVersions":
		return e.versions()
	case "currentAppInstallation":
		scopes := []node{}
		for _, scope := range e.app.Scopes {
			if !slices.Contains(e.missing, scope) {
				scopes = append(scopes, node{"handle": scope, "description": "Access scope " + scope})
			}
		}
		return node{"id": gid("AppInstallation", e.app.id), "accessScopes": scopes}
	default: // __schema and __type
		e.fail(field, "other", "The fake does not describe its schema: see schema.graphql", nil)
	}
	return nil
}

// orders are those that a search finds and the app may see.
func (e *execution) orders(field *ast.Field, arguments map[string]any) ([]*Order, bool) {
	if !e.allowed(field, "read_orders") {
		return nil, false
	}
	all := e.shop.orders
	if !e.may("read_all_orders") {
		oldest := e.now.Add(-ordersKept)
		from, _ := slices.BinarySearchFunc(all, oldest, func(o *Order, t time.Time) int { return o.CreatedAt.Compare(t) })
		all = all[from:]
	}
	return find(e, field, arguments, all, orderCondition)
}

func (e *execution) products(field *ast.Field, arguments map[string]any) ([]*Product, bool) {
	if !e.allowed(field, "read_products") {
		return nil, false
	}
	return find(e, field, arguments, e.shop.products, productCondition)
}

// find returns those of all that fulfil the argument query.
func find[T any](e *execution, field *ast.Field, arguments map[string]any, all []T, known func(term) (condition[T], string)) ([]T, bool) {
	query, _ := arguments["query"].(string)
	terms, err := parseSearch(query)
	if err != nil {
		e.fail(field, "other", "Invalid search: "+err.Error(), nil)
		return nil, false
	}
	conditions, warnings := compile(terms, query, known)
	for _, w := range warnings {
		e.warnings = append(e.warnings, append(object{{"path", []string{field.Alias}}}, w...))
	}
	if len(conditions) == 0 {
		return all, true
	}
	var found []T
	for _, one := range all {
		if !slices.ContainsFunc(conditions, func(holds condition[T]) bool { return !holds(one) }) {
			found = append(found, one)
		}
	}
	return found, true
}

func (e *execution) may(scope string) bool {
	return slices.Contains(e.app.Scopes, scope) && !slices.Contains(e.missing, scope)
}

func (e *execution) allowed(field *ast.Field, scope string) bool {
	if e.may(scope) {
		return true
	}
	required := "`" + scope + "` access scope."
	e.fail(field, "forbidden", "Access denied for "+field.Name+" field. Required access: "+required, object{
		{"code", "ACCESS_DENIED"}, {"documentation", accessScopes}, {"requiredAccess", required},
	})
	return false
}

func (e *execution) fail(field *ast.Field, outcome, message string, extensions object) {
	problem := object{{"message", message}, {"locations", []object{location(field.Position)}}}
	if extensions != nil {
		problem = append(problem, member{"extensions", extensions})
	}
	e.errors = append(e.errors, append(problem, member{"path", []string{field.Alias}}))
	e.outcome = cmp.Or(e.outcome, outcome)
}

// count is capped at a limit, unless the limit is null.
func count(n int, arguments map[string]any) node {
	if limit, ok := integer(arguments["limit"]); ok && n > limit {
		return node{"count": limit, "precision": "AT_LEAST"}
	}
	return node{"count": n, "precision": "EXACT"}
}

// position is where something stands in a sorted list: by the value that it is sorted by, then by its id. A cursor is the
// position of an entry, so that what comes and goes before it moves nothing.
type position struct {
	ID    int64 `json:"last_id"`
	Value int64 `json:"last_value,string"`
}

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.Value, o.Value), cmp.Compare(p.ID, o.ID))
}

func (p position) cursor() string {
	return base64.StdEncoding.EncodeToString(wire.Marshal(p))
}

func parseCursor(s string) (position, bool) {
	decoded, err := base64.StdEncoding.DecodeString(s)
	var p position
	return p, err == nil && json.Unmarshal(decoded, &p) == nil
}

// connection is a page of what was found.
func connection[T any](e *execution, field *ast.Field, arguments map[string]any, found []T, at func(T) position, show func(T) node) any {
	first, hasFirst := integer(arguments["first"])
	last, hasLast := integer(arguments["last"])
	size := first + last
	switch {
	case hasFirst == hasLast:
		e.void = true
		e.fail(field, "other", "you must provide one of first or last", object{{"code", "BAD_REQUEST"}})
		return nil
	case size < 0 || size > maxPage:
		e.void = true
		e.fail(field, "other", fmt.Sprintf("a page cannot have %d items: there are at most %d", size, maxPage), nil)
		return nil
	}
	compare := func(a, b position) int { return a.compare(b) }
	if reverse, _ := arguments["reverse"].(bool); reverse {
		compare = func(a, b position) int { return b.compare(a) }
	}
	sorted := slices.Clone(found)
	slices.SortFunc(sorted, func(a, b T) int { return compare(at(a), at(b)) })

	from, to := 0, len(sorted)
	for _, name := range []string{"after", "before"} {
		text, ok := arguments[name].(string)
		if !ok {
			continue
		}
		cursor, ok := parseCursor(text)
		if !ok {
			e.void = true
			e.fail(field, "other", "Invalid cursor for current pagination sort.", nil)
			return nil
		}
		i, exact := slices.BinarySearchFunc(sorted, cursor, func(one T, p position) int { return compare(at(one), p) })
		switch {
		case name == "before":
			to = i
		case exact:
			from = i + 1
		default:
			from = i
		}
	}
	from = min(from, to)
	switch {
	case hasFirst && to-from > size:
		to = from + size
	case hasLast && to-from > size:
		from = to - size
	}

	page := sorted[from:to]
	e.sizes[field] = len(page)
	nodes, edges := []node{}, []node{}
	info := node{"hasNextPage": to < len(sorted), "hasPreviousPage": from > 0, "startCursor": nil, "endCursor": nil}
	for i, one := range page {
		n, cursor := show(one), at(one).cursor()
		nodes, edges = append(nodes, n), append(edges, node{"cursor": cursor, "node": n})
		if i == 0 {
			info["startCursor"] = cursor
		}
		info["endCursor"] = cursor
	}
	return node{"nodes": nodes, "edges": edges, "pageInfo": info}
}

func orderNode(o *Order) node {
	return node{
		"id": gid("Order", o.ID), "legacyResourceId": strconv.FormatInt(o.ID, 10), "name": o.Name,
		"createdAt": stamp(o.CreatedAt), "updatedAt": stamp(o.UpdatedAt), "processedAt": stamp(o.ProcessedAt), "cancelledAt": stamp(o.CancelledAt),
		"closed": o.Closed, "test": o.Test,
		"displayFinancialStatus": o.FinancialStatus, "displayFulfillmentStatus": o.FulfillmentStatus,
	}
}

func productNode(p *Product) node {
	return node{
		"id": gid("Product", p.ID), "legacyResourceId": strconv.FormatInt(p.ID, 10), "title": p.Title, "status": p.Status,
		"createdAt": stamp(p.CreatedAt), "updatedAt": stamp(p.UpdatedAt),
	}
}

func (e *execution) subscriptionNode(s *Subscription) node {
	supported, _ := releases(e.now)
	return node{
		"id": gid("WebhookSubscription", s.ID), "legacyResourceId": strconv.FormatInt(s.ID, 10),
		"topic": s.Topic, "uri": s.URI, "format": "JSON", "filter": orNull(s.Filter), "name": orNull(s.Name),
		"includeFields": []string{}, "metafieldNamespaces": []string{},
		"createdAt": stamp(s.CreatedAt), "updatedAt": stamp(s.UpdatedAt),
		"apiVersion": versionNode(supported[len(supported)-1], true),
	}
}

func (e *execution) versions() []node {
	supported, candidate := releases(e.now)
	var all []node
	for _, r := range supported {
		all = append(all, versionNode(r, true))
	}
	all = append(all, versionNode(candidate, false), node{"handle": unstable, "displayName": "unstable", "supported": false})
	all[len(all)-2]["displayName"] = candidate.String() + " (Release candidate)"
	return all
}

func versionNode(r release, supported bool) node {
	return node{"handle": r.String(), "displayName": r.String(), "supported": supported}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// integer reads what arguments hold: numbers of several types, or nothing.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case int64:
		return int(v), true
	case int:
		return v, true
	case float64:
		return int(v), v == math.Trunc(v)
	case json.Number:
		n, err := v.Int64()
		return int(n), err == nil
	}
	return 0, false
}

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
)

// execution is one query being answered. It needs the fake's lock.
type execution struct {
	shop      *shop
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
	for _, field := range fields(op.SelectionSet, e.document) {
		data[field.Alias] = e.value(field, e.root(field))
	}
	if e.void {
		return nil
	}
	return data
}

// value returns the selected part of a value.
func (e *execution) value(field *ast.Field, v any) any {
	switch v := v.(type) {
	case node:
		o := object{}
		for _, inside := range fields(field.SelectionSet, e.document) {
			o[inside.Alias] = e.value(inside, v[inside.Name])
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
	case "shop":
		return node{"id": gid("Shop", e.shop.ID), "name": e.shop.Name}
	case "orders":
		if found, ok := e.orders(field, arguments); ok {
			key := map[string]func(*Order) int64{
				"CREATED_AT":   func(o *Order) int64 { return o.CreatedAt.Unix() },
				"PROCESSED_AT": func(o *Order) int64 { return o.CreatedAt.Unix() },
				"UPDATED_AT":   func(o *Order) int64 { return o.UpdatedAt.Unix() },
			}[fmt.Sprint(arguments["sortKey"])]
			return connection(e, field, arguments, found, func(o *Order) position { return position{o.ID, key(o)} }, orderNode)
		}
	case "products":
		if e.allowed(field, "read_products") {
			return connection(e, field, arguments, e.shop.products, func(p *Product) position { return position{p.ID, p.ID} }, productNode)
		}
	case "productsCount":
		if e.allowed(field, "read_products") {
			return count(len(e.shop.products), arguments)
		}
	case "webhookSubscriptions":
		show := func(s *Subscription) node { return node{"topic": s.Topic} }
		return connection(e, field, arguments, e.shop.subscriptions, func(s *Subscription) position { return position{s.id, s.id} }, show)
	default: // __schema and __type
		e.fail(field, "other", "The fake does not describe its schema: see schema.graphql", nil)
	}
	return nil
}

// orders are those that a search finds.
func (e *execution) orders(field *ast.Field, arguments map[string]any) ([]*Order, bool) {
	if !e.allowed(field, "read_orders") {
		return nil, false
	}
	query, _ := arguments["query"].(string)
	conditions, warnings, err := parseSearch(query)
	if err != nil {
		e.fail(field, "other", "Invalid search: "+err.Error(), nil)
		return nil, false
	}
	for _, w := range warnings {
		w["path"] = []string{field.Alias}
		e.warnings = append(e.warnings, w)
	}
	return slices.DeleteFunc(slices.Clone(e.shop.orders), func(o *Order) bool {
		return slices.ContainsFunc(conditions, func(holds condition) bool { return !holds(o) })
	}), true
}

func (e *execution) allowed(field *ast.Field, scope string) bool {
	if slices.Contains(e.shop.App.Scopes, scope) && !slices.Contains(e.missing, scope) {
		return true
	}
	required := "`" + scope + "` access scope."
	e.fail(field, "forbidden", "Access denied for "+field.Name+" field. Required access: "+required, object{
		"code": "ACCESS_DENIED", "documentation": accessScopes, "requiredAccess": required,
	})
	return false
}

func (e *execution) fail(field *ast.Field, outcome, message string, extensions object) {
	location := object{"line": field.Position.Line, "column": field.Position.Column}
	problem := object{"message": message, "locations": []object{location}, "path": []string{field.Alias}}
	if extensions != nil {
		problem["extensions"] = extensions
	}
	e.errors = append(e.errors, problem)
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
	refuse := func(message string, extensions object) any {
		e.void = true
		e.fail(field, "other", message, extensions)
		return nil
	}
	size, ok := integer(arguments["first"])
	switch {
	case !ok:
		return refuse("you must provide one of first or last", object{"code": "BAD_REQUEST"})
	case size < 0 || size > maxPage:
		return refuse(fmt.Sprintf("a page cannot have %d items: there are at most %d", size, maxPage), nil)
	}
	compare := position.compare
	if reverse, _ := arguments["reverse"].(bool); reverse {
		compare = func(a, b position) int { return b.compare(a) }
	}
	sorted := slices.SortedFunc(slices.Values(found), func(a, b T) int { return compare(at(a), at(b)) })
	if text, ok := arguments["after"].(string); ok {
		cursor, ok := parseCursor(text)
		if !ok {
			return refuse("Invalid cursor for current pagination sort.", nil)
		}
		i, exact := slices.BinarySearchFunc(sorted, cursor, func(one T, p position) int { return compare(at(one), p) })
		if exact {
			i++
		}
		sorted = sorted[i:]
	}

	page := sorted[:min(size, len(sorted))]
	e.sizes[field] = len(page)
	nodes, info := []node{}, node{"hasNextPage": len(page) < len(sorted), "endCursor": nil}
	for _, one := range page {
		nodes = append(nodes, show(one))
		info["endCursor"] = at(one).cursor()
	}
	return node{"nodes": nodes, "pageInfo": info}
}

func orderNode(o *Order) node {
	return node{
		"legacyResourceId": strconv.FormatInt(o.ID, 10), "createdAt": stamp(o.CreatedAt), "cancelledAt": stamp(o.CancelledAt), "test": o.Test,
	}
}

func productNode(p *Product) node {
	return node{"legacyResourceId": strconv.FormatInt(p.ID, 10), "title": p.Title, "createdAt": stamp(p.CreatedAt)}
}

func gid(kind string, id int64) string { return fmt.Sprintf("gid://shopify/%s/%d", kind, id) }

// stamp is a time as the API writes it; nil for none.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(time.RFC3339)
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

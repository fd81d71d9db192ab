package shopify

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

//go:embed schema.graphql
var schemaText string

// adminSchema knows no directives, because the fake carries out none.
var adminSchema = func() *ast.Schema {
	schema := gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: schemaText})
	schema.Directives = nil
	return schema
}()

const rateLimits = "https://shopify.dev/api/usage/rate-limits"

// graphql answers a query. Errors of the query have status 200, as at Shopify.
func (x *exchange) graphql(requested string, switches Switches) {
	f := x.fake
	served, ok := serve(requested, f.now())
	if !ok || x.r.Method != http.MethodPost {
		x.refuse(http.StatusNotFound)
		return
	}
	x.w.Header().Set("X-Shopify-API-Version", served)
	f.mu.Lock()
	s := f.shops[x.shop]
	authorised := f.authorised(s, x.r.Header.Get("X-Shopify-Access-Token"))
	f.mu.Unlock()
	if !authorised {
		x.refuse(http.StatusUnauthorized)
		return
	}
	query, variables, name, ok := x.query()
	if !ok {
		x.refuse(http.StatusBadRequest)
		return
	}
	if switches.InvalidResponse {
		x.invalidBody()
		return
	}
	op, document, problems := parse(query, name)
	if problems != nil {
		x.json("other", http.StatusOK, object{"errors": problems})
		return
	}
	x.operation = op.Name
	values, err := validator.VariableValues(adminSchema, op, variables)
	if err != nil {
		x.json("other", http.StatusOK, object{"errors": []error{err}})
		return
	}
	if switches.ErrorCode != "" {
		x.json(outcomeOf(switches.ErrorCode), http.StatusOK, object{"errors": []object{codeError(switches.ErrorCode)}})
		return
	}
	asked := requestedCost(op, document, values)
	if asked > maxQueryCost {
		x.json("other", http.StatusOK, object{"errors": []object{tooExpensive(asked)}})
		return
	}

	f.mu.Lock()
	now := f.now()
	if switches.Throttled {
		s.bucket.refill(now)
		s.bucket.level = 0
	}
	if !s.bucket.take(now, asked) {
		cost := costExtension(asked, nil, s.bucket)
		f.mu.Unlock()
		x.json("throttled", http.StatusOK, object{"errors": []object{throttled()}, "extensions": object{"cost": cost}})
		return
	}
	e := &execution{shop: s, missing: switches.MissingScopes, document: document, variables: values, sizes: map[*ast.Field]int{}}
	data := e.run(op)
	actual := cost(op.SelectionSet, document, func(field *ast.Field) int { return e.sizes[field] })
	s.bucket.refund(asked - actual)
	x.cost = actual
	extensions := object{"cost": costExtension(asked, actual, s.bucket)}
	f.mu.Unlock()

	if e.warnings != nil {
		extensions["search"] = e.warnings
	}
	answer := object{"data": data, "extensions": extensions}
	outcome := "ok"
	if e.errors != nil {
		answer["errors"] = e.errors
		outcome = e.outcome
	}
	x.json(outcome, http.StatusOK, answer)
}

// query reads the body.
func (x *exchange) query() (query string, variables map[string]any, name string, ok bool) {
	if kind, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); kind != "application/json" {
		return "", nil, "", false
	}
	var asked struct {
		Query         string         `json:"query"`
		Variables     map[string]any `json:"variables"`
		OperationName string         `json:"operationName"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	decoder.UseNumber()
	if decoder.Decode(&asked) != nil || asked.Query == "" {
		return "", nil, "", false
	}
	return asked.Query, asked.Variables, asked.OperationName, true
}

// parse returns the selected operation, or the errors of the query.
func parse(query, name string) (*ast.OperationDefinition, *ast.QueryDocument, gqlerror.List) {
	document, problems := gqlparser.LoadQueryWithRules(adminSchema, query, rules.NewDefaultRules())
	if problems != nil {
		return nil, nil, problems
	}
	op := document.Operations.ForName(name)
	if op == nil {
		return nil, nil, gqlerror.List{{Message: "An operation name is required"}}
	}
	return op, document, nil
}

func throttled() object {
	return object{"message": "Throttled", "extensions": object{"code": "THROTTLED", "documentation": rateLimits}}
}

func tooExpensive(cost int) object {
	return object{
		"message":    fmt.Sprintf("Query cost is %d, which exceeds the single query max cost limit (%d)", cost, maxQueryCost),
		"extensions": object{"code": "MAX_COST_EXCEEDED", "cost": cost, "maxCost": maxQueryCost, "documentation": rateLimits},
	}
}

// codeError is an error of the API as a whole.
func codeError(code string) object {
	messages := map[string]string{
		"INTERNAL_SERVER_ERROR": "Internal error. Looks like something went wrong on our end.", "SHOP_INACTIVE": "Shop is not active", "ACCESS_DENIED": "Access denied",
	}
	return object{"message": cmp.Or(messages[code], "Something went wrong"), "extensions": object{"code": code}}
}

func outcomeOf(code string) string {
	switch code {
	case "INTERNAL_SERVER_ERROR":
		return "server_error"
	case "ACCESS_DENIED":
		return "forbidden"
	}
	return "other"
}

func costExtension(requested int, actual any, b bucket) object {
	return object{"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": b.status()}
}

package shopify

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

//go:embed schema.graphql
var schemaText string

var adminSchema = gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphql", Input: schemaText})

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
	a := f.authorise(s, x.r.Header.Get("X-Shopify-Access-Token"))
	f.mu.Unlock()
	if a == nil {
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
		x.json("other", http.StatusOK, object{{"errors", problems}})
		return
	}
	x.operation = operationName(op)
	values, err := validator.VariableValues(adminSchema, op, variables)
	if err != nil {
		x.json("other", http.StatusOK, object{{"errors", []object{variableError(err, op)}}})
		return
	}
	if switches.ErrorCode != "" {
		x.json(outcomeOf(switches.ErrorCode), http.StatusOK, object{{"errors", []object{x.codeError(switches.ErrorCode)}}})
		return
	}
	asked := requestedCost(op, document, values)
	if asked > maxQueryCost {
		x.json("other", http.StatusOK, object{{"errors", []object{tooExpensive(asked)}}})
		return
	}

	f.mu.Lock()
	now := f.now()
	if switches.Throttled {
		a.bucket.refill(now)
		a.bucket.level = 0
	}
	if !a.bucket.take(now, asked) {
		cost := costExtension(asked, nil, a.bucket)
		f.mu.Unlock()
		x.json("throttled", http.StatusOK, object{{"errors", []object{throttled()}}, {"extensions", object{{"cost", cost}}}})
		return
	}
	e := &execution{fake: f, shop: s, app: a, now: now, missing: switches.MissingScopes, document: document, variables: values, sizes: map[*ast.Field]int{}}
	data := e.run(op)
	actual := e.actualCost(op)
	a.bucket.refund(asked - actual)
	x.cost = actual
	extensions := object{{"cost", costExtension(asked, actual, a.bucket)}}
	f.mu.Unlock()

	if e.warnings != nil {
		extensions = append(extensions, member{"search", e.warnings})
	}
	answer := object{{"data", data}, {"extensions", extensions}}
	outcome := "ok"
	if e.errors != nil {
		answer = append(object{{"errors", e.errors}}, answer...)
		outcome = e.outcome
	}
	x.json(outcome, http.StatusOK, answer)
}

// query reads the body.
func (x *exchange) query() (query string, variables map[string]any, name string, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	if err != nil {
		return "", nil, "", false
	}
	switch kind, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); kind {
	case "application/graphql":
		return string(body), nil, "", len(body) > 0
	case "application/json":
	default:
		return "", nil, "", false
	}
	var asked struct {
		Query         string         `json:"query"`
		Variables     map[string]any `json:"variables"`
		OperationName string         `json:"operationName"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	if decoder.Decode(&asked) != nil || asked.Query == "" {
		return "", nil, "", false
	}
	return asked.Query, asked.Variables, asked.OperationName, true
}

// parse returns the selected operation, or the errors of the query.
func parse(query, name string) (*ast.OperationDefinition, *ast.QueryDocument, []object) {
	document, problems := gqlparser.LoadQueryWithRules(adminSchema, query, rules.NewDefaultRules())
	if problems != nil {
		return nil, nil, queryErrors(problems)
	}
	op := document.Operations.ForName(name)
	if op == nil {
		return nil, nil, []object{{{"message", "An operation name is required"}}}
	}
	return op, document, nil
}

// codes of the errors that validation finds, as graphql-ruby calls them, which Shopify uses.
var codes = map[string]string{
	"FieldsOnCorrectType":        "undefinedField",
	"KnownArgumentNames":         "argumentNotAccepted",
	"ProvidedRequiredArguments":  "missingRequiredArguments",
	"NoUndefinedVariables":       "variableNotDefined",
	"NoUnusedVariables":          "variableNotUsed",
	"ScalarLeafs":                "selectionMismatch",
	"ValuesOfCorrectType":        "argumentLiteralsIncompatible",
	"VariablesInAllowedPosition": "variableMismatch",
	"KnownFragmentNames":         "useAndDefineFragment",
}

// queryErrors are errors of syntax, which have no code, and of validation.
func queryErrors(problems gqlerror.List) []object {
	var all []object
	for _, p := range problems {
		o := object{{"message", p.Message}, {"locations", p.Locations}}
		if code := codes[p.Rule]; code != "" {
			extensions := object{{"code", code}}
			var field, kind string
			if _, err := fmt.Sscanf(p.Message, "Cannot query field %q on type %q.", &field, &kind); err == nil {
				o[0].value = fmt.Sprintf("Field '%s' doesn't exist on type '%s'", field, kind)
				extensions = append(extensions, member{"typeName", kind}, member{"fieldName", field})
			}
			o = append(o, member{"extensions", extensions})
		}
		all = append(all, o)
	}
	return all
}

func variableError(err error, op *ast.OperationDefinition) object {
	var problem *gqlerror.Error
	explanation := err.Error()
	name := "?"
	if errors.As(err, &problem) {
		explanation = problem.Message
		if len(problem.Path) > 1 {
			name = fmt.Sprint(problem.Path[1])
		}
	}
	return object{
		{"message", fmt.Sprintf("Variable $%s was provided invalid value", name)},
		{"locations", []object{location(op.Position)}},
		{"extensions", object{{"code", "INVALID_VARIABLE"}, {"problems", []object{{{"path", []any{}}, {"explanation", explanation}}}}}},
	}
}

func location(p *ast.Position) object { return object{{"line", p.Line}, {"column", p.Column}} }

func throttled() object {
	return object{{"message", "Throttled"}, {"extensions", object{{"code", "THROTTLED"}, {"documentation", rateLimits}}}}
}

func tooExpensive(cost int) object {
	return object{
		{"message", fmt.Sprintf("Query cost is %d, which exceeds the single query max cost limit (%d)", cost, maxQueryCost)},
		{"extensions", object{{"code", "MAX_COST_EXCEEDED"}, {"cost", cost}, {"maxCost", maxQueryCost}, {"documentation", rateLimits}}},
	}
}

// codeError is an error of the API as a whole.
func (x *exchange) codeError(code string) object {
	message := "Something went wrong"
	extensions := object{{"code", code}}
	switch code {
	case "THROTTLED":
		return throttled()
	case "INTERNAL_SERVER_ERROR":
		message = "Internal error. Looks like something went wrong on our end.\nRequest ID: " + x.id + " (include this in support requests)."
		extensions = append(extensions, member{"requestId", x.id})
	case "SHOP_INACTIVE":
		message = "Shop is not active"
	case "ACCESS_DENIED":
		message = "Access denied"
		extensions = append(extensions, member{"documentation", accessScopes})
	}
	return object{{"message", message}, {"extensions", extensions}}
}

func outcomeOf(code string) string {
	switch code {
	case "THROTTLED":
		return "throttled"
	case "INTERNAL_SERVER_ERROR":
		return "server_error"
	case "ACCESS_DENIED":
		return "forbidden"
	}
	return "other"
}

func costExtension(requested int, actual any, b bucket) object {
	return object{{"requestedQueryCost", requested}, {"actualQueryCost", actual}, {"throttleStatus", b.status()}}
}

func operationName(op *ast.OperationDefinition) string {
	if op.Name != "" {
		return op.Name
	}
	if field, ok := op.SelectionSet[0].(*ast.Field); ok {
		return field.Name
	}
	return ""
}

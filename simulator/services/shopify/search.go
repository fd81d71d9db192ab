package shopify

import (
	"fmt"
	"strings"
	"time"
)

// condition says whether an order has what a term of a search asks for.
type condition func(*Order) bool

// parseSearch reads a query in Shopify's search syntax: terms field:value that all have to hold. Like Shopify, it leaves out terms that it
// does not understand, with a warning: such a search finds too much. Alternatives, brackets and other comparisons than >= are refused: a
// fake that guesses would hide a wrong query.
func parseSearch(query string) (conditions []condition, warnings []object, err error) {
	for word := range strings.FieldsSeq(query) {
		if word == "AND" {
			continue
		}
		field, value, ok := strings.Cut(word, ":")
		if !ok || strings.HasPrefix(word, "-") || strings.ContainsAny(field, "()") {
			return nil, nil, fmt.Errorf("the fake knows field:value and AND only, not %q", word)
		}
		since, isSince := strings.CutPrefix(value, ">=")
		value = strings.Trim(since, `'"`)
		holds, problem := orderCondition(field, value, isSince)
		if problem != "" {
			warnings = append(warnings, object{
				"query": query, "parsed": object{"field": field, "match_all": value},
				"warnings": []object{{"field": field, "message": problem}},
			})
			continue
		}
		conditions = append(conditions, holds)
	}
	return conditions, warnings, nil
}

func orderCondition(field, value string, since bool) (holds condition, problem string) {
	at, err := time.Parse(time.RFC3339, value)
	switch {
	case field == "created_at" && since && err == nil:
		return func(o *Order) bool { return !o.CreatedAt.Before(at) }, ""
	case field == "updated_at" && since && err == nil:
		return func(o *Order) bool { return !o.UpdatedAt.Before(at) }, ""
	case field == "financial_status":
		return func(o *Order) bool { return strings.EqualFold(o.FinancialStatus, value) }, ""
	case field == "status" && value == "any":
		return func(*Order) bool { return true }, ""
	case field == "created_at", field == "updated_at", field == "status":
		return nil, "Input `" + value + "` is not an accepted value."
	}
	return nil, "Invalid search field for this query."
}

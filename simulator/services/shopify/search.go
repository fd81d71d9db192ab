package shopify

import (
	"fmt"
	"strings"
	"time"
)

// search is a query in Shopify's search syntax: terms that all have to hold.
type search []term

type term struct {
	field, op, value string
}

// parseSearch knows field:value with a comparison, quotes and AND. Alternatives and brackets are refused: a fake that
// guesses would hide a wrong query.
func parseSearch(query string) (search, error) {
	var terms search
	for rest := strings.TrimSpace(query); rest != ""; rest = strings.TrimSpace(rest) {
		word, after, err := nextWord(rest)
		if err != nil {
			return nil, err
		}
		rest = after
		if word == "AND" {
			continue
		}
		field, value, ok := strings.Cut(word, ":")
		if !ok || word == "OR" || word == "NOT" || strings.HasPrefix(word, "-") || strings.ContainsAny(field, "()") {
			return nil, fmt.Errorf("the fake knows field:value and AND only, not %q", word)
		}
		t := term{field: field}
		for _, op := range []string{">=", "<=", ">", "<"} {
			if v, ok := strings.CutPrefix(value, op); ok {
				t.op, value = op, v
				break
			}
		}
		t.value = strings.Trim(value, `'"`)
		terms = append(terms, t)
	}
	return terms, nil
}

// nextWord ends at a space outside quotes.
func nextWord(s string) (word, rest string, err error) {
	var quote rune
	for i, c := range s {
		switch {
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		case c == ' ' && quote == 0:
			return s[:i], s[i:], nil
		}
	}
	if quote != 0 {
		return "", "", fmt.Errorf("a quote does not end in %q", s)
	}
	return s, "", nil
}

// holds compares a time with the term's.
func (t term) holds(at, limit time.Time) bool {
	switch t.op {
	case ">=":
		return !at.Before(limit)
	case "<=":
		return !at.After(limit)
	case ">":
		return at.After(limit)
	case "<":
		return at.Before(limit)
	}
	return at.Equal(limit)
}

func parseTime(value string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// condition says whether something has what a term asks for.
type condition[T any] func(T) bool

// compile turns a search into conditions. Like Shopify, it leaves out terms that it does not understand, with a warning:
// such a search finds too much.
func compile[T any](s search, query string, known func(term) (condition[T], string)) (conditions []condition[T], warnings []object) {
	for _, t := range s {
		holds, problem := known(t)
		if problem != "" {
			warnings = append(warnings, object{
				{"query", query}, {"parsed", object{{"field", t.field}, {"match_all", t.value}}},
				{"warnings", []object{{{"field", t.field}, {"message", problem}}}},
			})
			continue
		}
		conditions = append(conditions, holds)
	}
	return conditions, warnings
}

const invalidField = "Invalid search field for this query."

// timeCondition is a condition on a time, for the fields that are times.
func timeCondition[T any](t term, of func(T) time.Time) (condition[T], string) {
	limit, ok := parseTime(t.value)
	if !ok {
		return nil, "Input `" + t.value + "` is not an accepted value."
	}
	return func(v T) bool { return t.holds(of(v), limit) }, ""
}

func orderCondition(t term) (condition[*Order], string) {
	switch t.field {
	case "created_at":
		return timeCondition(t, func(o *Order) time.Time { return o.CreatedAt })
	case "updated_at":
		return timeCondition(t, func(o *Order) time.Time { return o.UpdatedAt })
	case "processed_at":
		return timeCondition(t, func(o *Order) time.Time { return o.ProcessedAt })
	case "name":
		return func(o *Order) bool { return strings.TrimPrefix(o.Name, "#") == strings.TrimPrefix(t.value, "#") }, ""
	case "id":
		return func(o *Order) bool { return fmt.Sprint(o.ID) == t.value }, ""
	case "test":
		return func(o *Order) bool { return fmt.Sprint(o.Test) == t.value }, ""
	case "financial_status":
		return func(o *Order) bool { return strings.EqualFold(o.FinancialStatus, t.value) }, ""
	case "status":
		cancelled := func(o *Order) bool { return !o.CancelledAt.IsZero() }
		switch t.value {
		case "any":
			return func(*Order) bool { return true }, ""
		case "open":
			return func(o *Order) bool { return !o.Closed && !cancelled(o) }, ""
		case "closed":
			return func(o *Order) bool { return o.Closed }, ""
		case "not_closed":
			return func(o *Order) bool { return !o.Closed }, ""
		case "cancelled":
			return cancelled, ""
		}
		return nil, "Input `" + t.value + "` is not an accepted value."
	}
	return nil, invalidField
}

func productCondition(t term) (condition[*Product], string) {
	switch t.field {
	case "created_at":
		return timeCondition(t, func(p *Product) time.Time { return p.CreatedAt })
	case "updated_at":
		return timeCondition(t, func(p *Product) time.Time { return p.UpdatedAt })
	case "id":
		return func(p *Product) bool { return fmt.Sprint(p.ID) == t.value }, ""
	case "status":
		return func(p *Product) bool { return strings.EqualFold(p.Status, t.value) }, ""
	}
	return nil, invalidField
}

package shopify

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// requestedCost is what a query may cost: a scalar nothing, an object 1, a connection 2 and what its nodes cost, as many
// as it asks for.
func requestedCost(op *ast.OperationDefinition, document *ast.QueryDocument, variables map[string]any) int {
	return cost(op.SelectionSet, document, func(field *ast.Field) int {
		n, _ := integer(field.ArgumentMap(variables)["first"])
		return max(n, 0) // what is negative is refused later
	})
}

// cost adds up what fields cost, given how many nodes a connection has.
func cost(set ast.SelectionSet, document *ast.QueryDocument, nodes func(*ast.Field) int) int {
	sum := 0
	for _, field := range fields(set, document) {
		if len(field.SelectionSet) == 0 {
			continue
		}
		inside := cost(field.SelectionSet, document, nodes)
		switch kind := field.Definition.Type.Name(); {
		case strings.HasSuffix(kind, "Connection"):
			sum += 2 + nodes(field)*max(inside, 1)
		case kind == "PageInfo":
		default:
			sum += 1 + inside
		}
	}
	return sum
}

// fields are the fields of a selection with those of its fragments. Fragments have no types to choose between here:
// nothing in the schema is an interface or a union.
func fields(set ast.SelectionSet, document *ast.QueryDocument) []*ast.Field {
	var all []*ast.Field
	for _, selection := range set {
		switch selection := selection.(type) {
		case *ast.Field:
			all = append(all, selection)
		case *ast.InlineFragment:
			all = append(all, fields(selection.SelectionSet, document)...)
		case *ast.FragmentSpread:
			all = append(all, fields(selection.Definition.SelectionSet, document)...)
		}
	}
	return all
}

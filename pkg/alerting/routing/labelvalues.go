package routing

import (
	"fmt"
	"slices"
	"text/template/parse"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// dependency is an element of the label depends_on: the name of a cause.
type dependency struct {
	name    string
	ofLabel bool // it is the value of a label of the series, and need not be the name of a cause
}

// labelValues are all values that a label of a rule can have. It may be a template, with {{ if … }} … {{ else }} … {{ end }} and with labels of the
// series whose values are known: {{ $labels.service }}.
func labelValues(text string) ([]dependency, error) {
	tree := parse.New("label")
	tree.Mode = parse.SkipFuncCheck
	const variables = "{{$labels := .Labels}}{{$value := .Value}}" // of Prometheus
	if _, err := tree.Parse(variables+text, "", "", map[string]*parse.Tree{}); err != nil {
		return nil, err
	}
	return valuesOf(&parse.ListNode{Nodes: tree.Root.Nodes[2:]})
}

// valuesOf are all texts that a node can write.
func valuesOf(n parse.Node) ([]dependency, error) {
	switch n := n.(type) {
	case *parse.TextNode:
		return []dependency{{name: string(n.Text)}}, nil
	case *parse.ActionNode:
		return valuesOfLabel(n)
	case *parse.IfNode:
		values, err := valuesOf(n.List)
		if err != nil || n.ElseList == nil {
			return append(values, dependency{}), err
		}
		more, err := valuesOf(n.ElseList)
		return append(values, more...), err
	case *parse.ListNode:
		all := []dependency{{}}
		for _, child := range n.Nodes {
			values, err := valuesOf(child)
			if err != nil {
				return nil, err
			}
			var longer []dependency
			for _, before := range all {
				for _, after := range values {
					longer = append(longer, dependency{before.name + after.name, before.ofLabel || after.ofLabel})
				}
			}
			all = longer
		}
		return all, nil
	}
	return nil, fmt.Errorf("%s cannot be checked: write names, {{ $labels.NAME }}, or {{ if … }} … {{ else }} … {{ end }}", n)
}

// valuesOfLabel are the values of a label of the series: the exporters (without ackd, which has AckdStale), if it is job, or the closed domain that the label has in the catalog.
func valuesOfLabel(n *parse.ActionNode) ([]dependency, error) {
	if len(n.Pipe.Cmds) == 1 && len(n.Pipe.Cmds[0].Args) == 1 {
		if v, ok := n.Pipe.Cmds[0].Args[0].(*parse.VariableNode); ok && len(v.Ident) == 2 && v.Ident[0] == "$labels" {
			var all []dependency
			add := func(value string) {
				if d := (dependency{value, true}); !slices.Contains(all, d) {
					all = append(all, d)
				}
			}
			metrics := catalog.Shipped()
			if v.Ident[1] == "job" {
				for _, e := range metrics.Exporters() {
					if e != catalog.Every && e != catalog.Ackd {
						add(string(e))
					}
				}
			}
			for _, m := range metrics.All() {
				for _, l := range m.Labels {
					if l.Name == v.Ident[1] {
						for _, value := range l.Values {
							add(value)
						}
					}
				}
			}
			if len(all) > 0 {
				return all, nil
			}
		}
	}
	return nil, fmt.Errorf("the values of %s are not known", n)
}

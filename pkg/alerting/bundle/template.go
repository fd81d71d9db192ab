package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"text/template/parse"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
	"github.com/consignwatch/consignwatch/pkg/alerting/thresholds"
)

// templateVariables are the variables that Prometheus defines for templates of rules.
const templateVariables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// templateQueries returns the queries in the templates of a rule: query "…", or printf "…" … | query.
func (l *loader) templateQueries(of *promql.Query, texts map[string]positioned[string]) ([]*promql.Query, error) {
	var found []*promql.Query
	var errs []error
	for _, key := range sortedKeys(texts) {
		text := texts[key]
		tree := parse.New(key)
		tree.Mode = parse.SkipFuncCheck
		if _, err := tree.Parse(templateVariables+text.value, "", "", map[string]*parse.Tree{}); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %s: %s: %w", of.File, text.line, of.Name, key, err))
			continue
		}
		queries, err := queriesIn(tree.Root)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %s: %s: %w", of.File, text.line, of.Name, key, err))
		}
		for _, query := range queries {
			expr, err := l.promql.ParseExpr(query)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s:%d: %s: %s: query %q: %w", of.File, text.line, of.Name, key, query, err))
				continue
			}
			found = append(found, &promql.Query{Use: promql.ForTemplate, Name: of.Name, File: of.File, Line: text.line, Text: query, Expr: expr})
		}
	}
	return found, errors.Join(errs...)
}

// queriesIn collects the arguments of the function query.
func queriesIn(n parse.Node) (found []string, err error) {
	add := func(nodes ...parse.Node) {
		for _, child := range nodes {
			more, childErr := queriesIn(child)
			found, err = append(found, more...), errors.Join(err, childErr)
		}
	}
	branch := func(b *parse.BranchNode) {
		add(b.Pipe, b.List)
		if b.ElseList != nil {
			add(b.ElseList)
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		add(n.Nodes...)
	case *parse.ActionNode:
		add(n.Pipe)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.PipeNode:
		for i, c := range n.Cmds {
			add(c.Args...)
			if name, ok := c.Args[0].(*parse.IdentifierNode); !ok || name.Ident != "query" {
				continue
			}
			switch {
			case len(c.Args) == 2:
				err = errors.Join(err, addText(&found, c.Args[1:]))
			case i > 0:
				err = errors.Join(err, addText(&found, n.Cmds[i-1].Args))
			}
		}
	}
	return found, err
}

// verb matches a verb of a printf format.
var verb = regexp.MustCompile(`%[-+# 0]*[0-9.]*[a-z]`)

// addText adds a string, or the format of a printf with a value in place of each verb.
func addText(to *[]string, args []parse.Node) error {
	switch {
	case len(args) == 1:
		if s, ok := args[0].(*parse.StringNode); ok {
			*to = append(*to, s.Text)
			return nil
		}
	case len(args) > 1:
		name, ok := args[0].(*parse.IdentifierNode)
		if format, isText := args[1].(*parse.StringNode); ok && isText && name.Ident == "printf" {
			*to = append(*to, verb.ReplaceAllStringFunc(format.Text, func(v string) string {
				switch v[len(v)-1] {
				case 'q':
					return fmt.Sprintf("%q", promql.AnyValue)
				case 'd', 'e', 'f', 'g':
					return "1"
				}
				return promql.AnyValue
			}))
			return nil
		}
	}
	return fmt.Errorf(`the argument of query cannot be checked: write query "…", or printf "…" $labels.x | query`)
}

// thresholdRef is a threshold that an expression reads.
type thresholdRef struct{ name, level string }

// thresholdsIn returns the thresholds that an expression reads by name. An expression may read the metric without a name to check that it exists.
func thresholdsIn(e parser.Expr) []thresholdRef {
	var all []thresholdRef
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && s.Name == thresholds.Metric && equalTo(s, "name") != "" {
			all = append(all, thresholdRef{equalTo(s, "name"), equalTo(s, "level")})
		}
		return nil
	})
	return all
}

// equalTo is the value of the equality matcher on a label, or "".
func equalTo(s *parser.VectorSelector, name string) string {
	for _, m := range s.LabelMatchers {
		if m.Name == name && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return ""
}

// thresholdsShown checks that the annotations of an alert only query thresholds that its expression compares with.
func (k *checker) thresholdsShown(r *rule) {
	compared := thresholdsIn(r.Query.Expr)
	shown := 0
	for _, q := range r.templateQueries {
		for _, l := range thresholdsIn(q.Expr) {
			shown++
			if !slices.Contains(compared, l) {
				k.rulef(r, "an annotation shows the threshold %s, level %s, with which the alert does not compare", l.name, l.level)
			}
		}
	}
	if len(compared) > 0 && shown == 0 {
		k.rulef(r, `it compares with the threshold %s, level %s, but no annotation shows it: {{ with query "%s{name='%s',level='%s',…}" }}{{ . | first | value }}{{ end }}`,
			compared[0].name, compared[0].level, thresholds.Metric, compared[0].name, compared[0].level)
	}
}

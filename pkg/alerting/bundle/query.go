package bundle

import (
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// use is the purpose of a query, on which its checks depend.
type use int

const (
	forAlert use = iota
	forRecording
	forRunbook
	forPanel
	forTemplate
	forTest
)

// isRule reports whether Prometheus evaluates the query as a rule.
func (u use) isRule() bool { return u == forAlert || u == forRecording }

// query is a PromQL expression with its position.
type query struct {
	use   use
	name  string // the alert, the recorded metric, the panel
	file  string
	line  int
	block bool // the text is a block scalar: its lines are lines of the file
	text  string
	expr  parser.Expr
}

// lineOf is the line of the file on which a part of the expression begins.
func (q *query) lineOf(n parser.Node) int {
	if start := int(n.PositionRange().Start); q.block && start <= len(q.text) {
		return q.line + strings.Count(q.text[:start], "\n")
	}
	return q.line
}

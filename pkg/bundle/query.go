package bundle

import (
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// use is what a query is for: what is held against it depends on that.
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

// query is a PromQL expression with its place.
type query struct {
	use   use
	name  string // the alert, the recorded metric, the panel
	file  string
	line  int
	block bool // the lines of text are lines of the file
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

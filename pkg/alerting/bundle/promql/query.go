package promql

import (
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// Use is the purpose of a query, on which its checks depend.
type Use int

// The purposes of queries.
const (
	ForAlert Use = iota
	ForRecording
	ForRunbook
	ForPanel
	ForTemplate
	ForTest
)

// isRule reports whether Prometheus evaluates the query as a rule.
func (u Use) isRule() bool { return u == ForAlert || u == ForRecording }

// Query is a PromQL expression with its position.
type Query struct {
	Use   Use
	Name  string // the alert, the recorded metric, the panel
	File  string
	Line  int
	Block bool // the text is a block scalar: its lines are lines of the file
	Text  string
	Expr  parser.Expr
}

// AnyValue stands for a value that is not known yet: the variable of a dashboard, or what a template prints.
const AnyValue = ".+"

// LineOf is the line of the file on which a part of the expression begins.
func (q *Query) LineOf(n parser.Node) int {
	if start := int(n.PositionRange().Start); q.Block && start <= len(q.Text) {
		return q.Line + strings.Count(q.Text[:start], "\n")
	}
	return q.Line
}

package rules_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// TestRecordingsAreNamedByTheirLabelsAndOperation: the level of a recording lists the labels that tell its series apart
// (platform stands for a missing client), and a bare operation (sum, max, …) is the outermost one.
func TestRecordingsAreNamedByTheirLabelsAndOperation(t *testing.T) {
	files, err := filepath.Glob("recording/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	promql := parser.NewParser(parser.Options{})
	checked := 0
	for _, name := range files {
		var file struct {
			Groups []struct {
				Rules []struct {
					Record, Expr string
					Labels       map[string]string
				}
			}
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				parts := strings.Split(r.Record, ":")
				// The identity of an alert has four labels, and a rule that sets labels has more than its expression.
				if len(parts) != 3 || parts[0] == "client_alert" || len(r.Labels) > 0 {
					continue
				}
				expr, err := promql.ParseExpr(r.Expr)
				if err != nil {
					t.Fatalf("%s: %s: %v", name, r.Record, err)
				}
				labels, known := grouping(expr)
				if !known {
					continue
				}
				checked++
				level := strings.Split(strings.TrimPrefix(strings.TrimPrefix(parts[0], "platform"), "_"), "_")
				if level[0] == "" {
					level = nil
				}
				slices.Sort(level)
				slices.Sort(labels)
				if !slices.Equal(level, labels) {
					t.Errorf("%s: %s: the level should list %q", name, r.Record, labels)
				}
				outermost, is := expr.(*parser.AggregateExpr)
				if bare := slices.Contains([]string{"sum", "max", "min", "avg", "count"}, parts[2]); is && bare && outermost.Op.String() != parts[2] {
					t.Errorf("%s: %s: the outermost operation is %s", name, r.Record, outermost.Op)
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d recordings were checked", checked)
	}
}

// grouping returns the labels that the outermost aggregation keeps, without those that do not tell series apart: the bounds
// of buckets, and the category, which follows from the kind. Not known is what an expression without one keeps.
func grouping(expr parser.Expr) (labels []string, known bool) {
	switch e := expr.(type) {
	case *parser.AggregateExpr:
		if e.Without {
			return nil, false
		}
		return slices.DeleteFunc(slices.Clone(e.Grouping), func(l string) bool { return l == "le" || l == "category" }), true
	case *parser.ParenExpr:
		return grouping(e.Expr)
	case *parser.BinaryExpr:
		if labels, known := grouping(e.LHS); known {
			return labels, true
		}
		return grouping(e.RHS)
	case *parser.Call:
		for _, arg := range e.Args {
			if labels, known := grouping(arg); known {
				return labels, true
			}
		}
	}
	return nil, false
}

package replay

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/recording"
)

// longestGap is for how long nothing may have been scraped: as long as Prometheus looks back for a sample.
const longestGap = 5 * time.Minute

// Suits reports whether rules can be evaluated over a recording and mean there what they mean in life: it was scraped, without gaps, and often enough for
// the shortest window that a rule looks at.
func Suits(c Config, r *recording.Recording) error {
	interval := r.Interval()
	if interval == 0 {
		return errors.New("no target has two samples of `up`: it cannot have been scraped by a Prometheus")
	}
	if gaps := r.Gaps(longestGap); len(gaps) > 0 {
		return fmt.Errorf("nothing was scraped from %s, which rules would take for an outage of everything: replay what was before and after it apart", gaps[0])
	}
	promQL := parser.NewParser(parser.Options{})
	for _, file := range c.RuleFiles {
		groups, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		for _, g := range groups.Groups {
			for _, rule := range g.Rules {
				expr, err := promQL.ParseExpr(rule.Expr)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				if w := shortestWindow(expr); w > 0 && w < 2*interval {
					return fmt.Errorf("it was scraped every %s, and %s of %s, group %s, looks at %s, in which there are never two samples",
						model.Duration(interval.Round(time.Second)), rule.Record+rule.Alert, file, g.Name, model.Duration(w))
				}
			}
		}
	}
	return nil
}

// shortestWindow is the shortest range over what is scraped, 0 if there is none.
func shortestWindow(expr parser.Expr) (shortest time.Duration) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if m, is := n.(*parser.MatrixSelector); is {
			selector, _ := m.VectorSelector.(*parser.VectorSelector)
			if selector != nil && recording.Scraped(labels.FromStrings(model.MetricNameLabel, selector.Name)) && (shortest == 0 || m.Range < shortest) {
				shortest = m.Range
			}
		}
		return nil
	})
	return shortest
}

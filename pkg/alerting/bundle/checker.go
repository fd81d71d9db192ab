package bundle

import (
	"fmt"
	"slices"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/dashboardlint"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/prose"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// checker checks one bundle against one catalog.
type checker struct {
	*promql.Checker
	bundle   *Bundle
	problems []Problem
}

// newChecker returns a checker that has inferred nothing yet.
func newChecker(b *Bundle, c *catalog.Catalog) *checker {
	k := &checker{bundle: b}
	config := promql.Config{Catalog: c, AlertLabels: alertLabels(), Identity: identity, Report: k.add}
	for _, r := range b.rules {
		config.Rules = append(config.Rules, &r.Rule)
	}
	k.Checker = promql.New(config)
	return k
}

// Check checks the bundle against the catalog and against itself, and returns the problems, ordered by file and line.
func (b *Bundle) Check(c *catalog.Catalog) []Problem {
	k := newChecker(b, c)
	for _, r := range b.rules {
		k.Rule(&r.Rule)
		k.timing(r)
		if r.Alert != "" {
			k.alert(r)
		} else {
			k.recording(r)
		}
	}
	for _, p := range b.runbooks {
		k.runbook(p)
	}
	for _, d := range b.dashboards {
		d.Check(dashboardlint.Config{Queries: k.Checker, HasDashboard: b.hasDashboard, HasRunbook: b.hasRunbook, Report: k.add})
	}
	k.uidsAndTitles()
	k.tests()
	k.coverage()
	prose.Check(b.texts, k.add)
	slices.SortFunc(k.problems, compareProblems)
	return slices.Compact(k.problems)
}

// add adds a problem.
func (k *checker) add(file string, line int, name, text string) {
	k.problems = append(k.problems, Problem{File: file, Line: line, Name: name, Text: text})
}

// report adds a problem with a formatted text.
func (k *checker) report(file string, line int, name, format string, args ...any) {
	k.add(file, line, name, fmt.Sprintf(format, args...))
}

// rulef reports a problem of a rule as a whole.
func (k *checker) rulef(r *rule, format string, args ...any) {
	k.report(r.Query.File, r.Line, r.Query.Name, format, args...)
}

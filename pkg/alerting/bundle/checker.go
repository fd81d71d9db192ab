package bundle

import (
	"fmt"
	"slices"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// checker checks one bundle against one catalog.
type checker struct {
	*promql.Checker
	bundle   *Bundle
	problems []Problem
}

// Check checks the bundle against the catalog and against itself, and returns the problems, ordered by file and line.
func (b *Bundle) Check(c *catalog.Catalog) []Problem {
	k := &checker{bundle: b}
	config := promql.Config{Catalog: c, AlertLabels: alertLabels(), Identity: identity, Report: func(file string, line int, name, text string) {
		k.report(file, line, name, "%s", text)
	}}
	for _, r := range b.rules {
		config.Rules = append(config.Rules, &r.Rule)
	}
	k.Checker = promql.New(config)
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
		for _, q := range d.queries {
			k.Check(q.Query)
		}
		k.dashboard(d)
	}
	k.uidsAndTitles()
	k.tests()
	k.coverage()
	k.privateTerms(privateTerms())
	slices.SortFunc(k.problems, compareProblems)
	return slices.Compact(k.problems)
}

// report adds a problem.
func (k *checker) report(file string, line int, name, format string, args ...any) {
	k.problems = append(k.problems, Problem{File: file, Line: line, Name: name, Text: fmt.Sprintf(format, args...)})
}

// rulef reports a problem of a rule as a whole.
func (k *checker) rulef(r *rule, format string, args ...any) {
	k.report(r.Query.File, r.Line, r.Query.Name, format, args...)
}

// Package bundle loads the rules, their tests, the runbooks, the dashboards and the coverage list, and checks them against the
// catalog and against each other: every metric that an alert reads must exist, and every alert must have a runbook and tests. It
// changes no file, and evaluates no rule.
package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/dashboardlint"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/prose"
)

// Bundle is the content of the files that ship beside the programs, from the root of the project or of an installation.
type Bundle struct {
	rules      []*rule
	tests      []*testGroup
	runbooks   []*runbook
	dashboards []*dashboardlint.Dashboard
	uids       map[string]positioned[string] // by path below grafana-dashboards
	coverage   *coverage
	texts      []prose.Text
	// resolveGrace is that of the notification policy.
	resolveGrace time.Duration
}

// Load reads rules/recording, rules/alerts, rules/tests, docs/runbooks, alertmanager/templates, the policy of alertmanager/site.yml, docs/coverage.yml and
// grafana-dashboards. The error joins everything that cannot be read or parsed.
func Load(root fs.FS) (*Bundle, error) {
	l := loader{root: root, promql: parser.NewParser(parser.Options{}), bundle: &Bundle{}}
	l.files("rules/recording/*.yml", l.ruleFile)
	l.files("rules/alerts/*.yml", l.ruleFile)
	l.files("rules/tests/*_test.yml", l.testFile)
	l.files("docs/runbooks/*.md", l.runbook)
	l.files("alertmanager/templates/*.tmpl", l.templateFile)
	l.files(siteFile, l.policy)
	l.folder("grafana-dashboards", ".json", l.dashboard)
	l.uids()
	l.coverage()
	for _, dir := range []string{"rules/recording", "rules/alerts"} {
		if !slices.ContainsFunc(l.read, func(f string) bool { return inFolder(f, dir) }) {
			l.errs = append(l.errs, fmt.Errorf("%s: no rule file; run in the project's folder or name it with --root", dir))
		}
	}
	return l.bundle, errors.Join(l.errs...)
}

// String counts the parts of the bundle.
func (b *Bundle) String() string {
	cases := 0
	for _, t := range b.tests {
		cases += len(t.alerts) + len(t.exprs)
	}
	return fmt.Sprintf("%d rules, %d test cases, %d runbooks, %d dashboards, %d rows covered",
		len(b.rules), cases, len(b.runbooks), len(b.dashboards), len(b.coverage.entries))
}

// alerts returns the rules of an alert. There are several when its priority depends on the expression.
func (b *Bundle) alerts(name string) []*rule {
	var named []*rule
	for _, r := range b.rules {
		if r.Alert == name && name != "" {
			named = append(named, r)
		}
	}
	return named
}

// hasDashboard reports whether there is a dashboard with the uid.
func (b *Bundle) hasDashboard(uid string) bool {
	return slices.ContainsFunc(b.dashboards, func(d *dashboardlint.Dashboard) bool { return d.UID == uid })
}

// hasRunbook reports whether there is a runbook of the alert.
func (b *Bundle) hasRunbook(alert string) bool {
	return slices.ContainsFunc(b.runbooks, func(p *runbook) bool { return p.alert == alert })
}

// Problem is a mistake in a file.
type Problem struct {
	File string
	Line int
	// Name is the alert, the recorded metric or the panel with the mistake. It may be empty.
	Name string
	Text string
}

// Error formats the problem as file:line: name: text.
func (p Problem) Error() string {
	if p.Name == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Name, p.Text)
}

func compareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Text, b.Text))
}

// Package bundle loads the rules, their tests and the runbooks as one whole and checks them against the catalog: what
// an alert rests on must exist, and whoever is paged must find what it means. It never changes a file, and evaluates
// no rule.
package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Bundle is everything that ships beside the programs, loaded from the root of the project or of an installation.
type Bundle struct {
	Rules []Rule
	// Tests are the promtool tests: which alerts each of them names.
	Tests []Test
	// Runbooks are the names of the alerts that have a page below docs/runbooks.
	Runbooks []string
}

// Rule is a recording or alert rule with its place.
type Rule struct {
	rulefmt.Rule
	File string
	Line int
	Expr parser.Expr
}

// Name is the alert's name, or the recorded metric.
func (r *Rule) Name() string { return r.Alert + r.Record }

// Test is one alert that a promtool test expects, or expects not to fire.
type Test struct {
	File  string
	Alert string
	Fires bool
}

// Load reads rules/recording, rules/alerts, rules/tests and docs/runbooks. The error joins everything that cannot be
// read or parsed.
func Load(root fs.FS) (*Bundle, error) {
	b := &Bundle{}
	var errs []error
	for _, dir := range []string{"rules/recording", "rules/alerts"} {
		files, err := fs.Glob(root, dir+"/*.yml")
		if err == nil && len(files) == 0 {
			err = fmt.Errorf("%s: no rule file; run in the project's folder or name it with --root", dir)
		}
		errs = append(errs, err)
		for _, f := range files {
			errs = append(errs, b.loadRules(root, f))
		}
	}
	tests, err := fs.Glob(root, "rules/tests/*_test.yml")
	errs = append(errs, err)
	for _, f := range tests {
		errs = append(errs, b.loadTests(root, f))
	}
	pages, err := fs.Glob(root, "docs/runbooks/*.md")
	errs = append(errs, err)
	for _, f := range pages {
		if name := strings.TrimSuffix(path.Base(f), ".md"); name != "README" {
			b.Runbooks = append(b.Runbooks, name)
		}
	}
	return b, errors.Join(errs...)
}

func (b *Bundle) loadRules(root fs.FS, file string) error {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return err
	}
	p := parser.NewParser(parser.Options{})
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, p, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		for i := range errs {
			errs[i] = fmt.Errorf("%s: %w", file, errs[i])
		}
		return errors.Join(errs...)
	}
	lines := ruleLines(text)
	n := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			labels := map[string]string{}
			for _, from := range []map[string]string{g.Labels, r.Labels} {
				for k, v := range from {
					labels[k] = v
				}
			}
			r.Labels = labels
			expr, err := p.ParseExpr(r.Expr)
			if err != nil {
				return fmt.Errorf("%s:%d: %w", file, lines[n], err)
			}
			b.Rules = append(b.Rules, Rule{Rule: r, File: file, Line: lines[n], Expr: expr})
			n++
		}
	}
	return nil
}

// ruleLines finds the line on which each rule begins, in order.
func ruleLines(text []byte) []int {
	var doc struct {
		Groups []struct {
			Rules []yaml.Node `yaml:"rules"`
		} `yaml:"groups"`
	}
	var lines []int
	if yaml.Unmarshal(text, &doc) == nil { // it has been parsed before
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				lines = append(lines, r.Line)
			}
		}
	}
	return lines
}

func (b *Bundle) loadTests(root fs.FS, file string) error {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return err
	}
	var doc struct {
		Tests []struct {
			Alerts []struct {
				Name     string      `yaml:"alertname"`
				Expected []yaml.Node `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, t := range doc.Tests {
		for _, a := range t.Alerts {
			b.Tests = append(b.Tests, Test{File: file, Alert: a.Name, Fires: len(a.Expected) > 0})
		}
	}
	return nil
}

// Check holds the bundle against the catalog and against itself. Each problem is an error of its own with file and line.
func (b *Bundle) Check(c *catalog.Catalog) []error {
	k := checker{catalog: c, recorded: map[string]bool{}}
	for i := range b.Rules {
		if r := &b.Rules[i]; r.Record != "" {
			k.recorded[r.Record] = true
		}
	}
	for i := range b.Rules {
		k.rule(&b.Rules[i])
	}
	var alerts []string
	for i := range b.Rules {
		r := &b.Rules[i]
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		k.alert(r, b)
	}
	for _, page := range b.Runbooks {
		if !slices.Contains(alerts, page) {
			k.errs = append(k.errs, fmt.Errorf("docs/runbooks/%s.md: there is no alert of this name", page))
		}
	}
	for _, t := range b.Tests {
		if !slices.Contains(alerts, t.Alert) {
			k.errs = append(k.errs, fmt.Errorf("%s: tests the alert %q, which does not exist", t.File, t.Alert))
		}
	}
	return k.errs
}

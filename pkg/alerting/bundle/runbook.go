package bundle

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/prose"
)

// runbookSections are the headings of a runbook, in their order.
func runbookSections() []string {
	return []string{"Meaning", "Impact", "Diagnosis", "Mitigation", "Escalation", "Client communication"}
}

// runbook is the runbook of one alert.
type runbook struct {
	file     string
	alert    string
	title    string
	sections []section
	queries  []*promql.Query
}

// section is a heading with the number of lines below it that are not empty.
type section struct {
	name  string
	line  int
	lines int
}

func (l *loader) runbook(file string, text []byte) error {
	l.bundle.texts = append(l.bundle.texts, prose.Text{File: file, Line: 1, Text: prose.WithoutCode(string(text)), Lines: true})
	name := strings.TrimSuffix(path.Base(file), ".md")
	if name == "README" {
		return nil
	}
	r := &runbook{file: file, alert: name}
	l.bundle.runbooks = append(l.bundle.runbooks, r)
	var errs []error
	fence, language, start := false, "", 0
	var block []string
	for i, text := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(text)
		if n := len(r.sections); n > 0 && trimmed != "" && !strings.HasPrefix(text, "## ") {
			r.sections[n-1].lines++
		}
		switch {
		case strings.HasPrefix(trimmed, "```"):
			if fence && language == "promql" {
				errs = append(errs, r.queriesOf(l.promql, block, start))
			}
			fence, language, start, block = !fence, strings.TrimPrefix(trimmed, "```"), i+2, nil
		case fence:
			block = append(block, text)
		case strings.HasPrefix(text, "# ") && r.title == "":
			r.title = strings.TrimPrefix(text, "# ")
		case strings.HasPrefix(text, "## "):
			r.sections = append(r.sections, section{name: strings.TrimPrefix(text, "## "), line: i + 1})
		}
	}
	if fence {
		errs = append(errs, fmt.Errorf("%s:%d: the block is never closed", file, start-1))
	}
	return errors.Join(errs...)
}

// queriesOf parses a code block with one query, or with several that are separated by empty lines.
func (p *runbook) queriesOf(expressions parser.Parser, block []string, line int) error {
	take := func(lines []string, line int) error {
		text := strings.Join(lines, "\n")
		expr, err := expressions.ParseExpr(text)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", p.file, line, err)
		}
		p.queries = append(p.queries, &promql.Query{Use: promql.ForRunbook, File: p.file, Line: line, Block: true, Text: text, Expr: expr})
		return nil
	}
	whole := take(block, line)
	if whole == nil || !slices.ContainsFunc(block, isEmpty) {
		return whole
	}
	var errs []error
	for len(block) > 0 {
		end := slices.IndexFunc(block, isEmpty)
		if end < 0 {
			end = len(block)
		}
		if end > 0 {
			errs = append(errs, take(block[:end], line))
		}
		next := min(end+1, len(block))
		block, line = block[next:], line+next
	}
	return errors.Join(errs...)
}

func isEmpty(line string) bool { return strings.TrimSpace(line) == "" }

// runbook checks that a runbook has all sections and belongs to an alert.
func (k *checker) runbook(p *runbook) {
	if k.bundle.alerts(p.alert) == nil {
		k.report(p.file, 1, "", "there is no alert %s; remove the runbook or write the alert", p.alert)
	}
	if p.title != p.alert {
		k.report(p.file, 1, "", "the first heading must be \"# %s\"", p.alert)
	}
	at := 0
	for _, name := range runbookSections() {
		i := slices.IndexFunc(p.sections, func(s section) bool { return s.name == name })
		switch {
		case i < 0:
			k.report(p.file, 1, "", "the section \"## %s\" is missing", name)
			continue
		case i < at:
			k.report(p.file, p.sections[i].line, "", "the section %s is out of order: %s", name, strings.Join(runbookSections(), ", "))
		case p.sections[i].lines == 0:
			k.report(p.file, p.sections[i].line, "", "the section %s is empty", name)
		}
		at = i
	}
	for _, q := range p.queries {
		k.Check(q)
	}
}

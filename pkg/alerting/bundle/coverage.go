package bundle

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/dashboardlint"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

const (
	coverageFile = "docs/coverage.yml"
	coverageDoc  = "docs/coverage.md"
)

// coverageText lists the rows that have to be covered.
//
//go:embed coverage.txt
var coverageText string

// row is a requirement: something that has to be visible.
type row struct{ id, path, text string }

func coverageRows() []row {
	var rows []row
	for line := range strings.Lines(coverageText) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) == 3 && !strings.HasPrefix(line, "#") {
			rows = append(rows, row{cells[0], cells[1], cells[2]})
		}
	}
	return rows
}

// coverage has the content of docs/coverage.yml, and of docs/coverage.md, which is generated from it.
type coverage struct {
	entries map[string]coverageEntry
	lines   map[string]int
	doc     []byte
}

// coverageEntry lists the metrics, rules, alerts and panels that cover a row.
type coverageEntry struct {
	// Priority and Category are of a row of the list of priorities: the alerts whose rules have both cover it.
	Priority string `yaml:"priority"`
	Category string `yaml:"category"`

	Metrics []string `yaml:"metrics"` // in the catalog or in foreign.yml
	Rules   []string `yaml:"rules"`   // recordings
	Alerts  []string `yaml:"alerts"`  // those that do not follow from the category
	Panels  []string `yaml:"panels"`  // UID/TITLE
	// Due are planned capabilities that will cover the row, or cover it in full.
	Due []string `yaml:"due"`
}

// capabilities are the planned capabilities.
var capabilities = []string{"reports"}

func (l *loader) coverage() {
	c := &coverage{lines: map[string]int{}}
	l.bundle.coverage = c
	l.file(coverageFile, func(file string, text []byte) error {
		if _, err := yamlfile.Parse(file, text, &c.entries); err != nil {
			return err
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for i := 0; i+1 < len(doc.Content[0].Content); i += 2 {
			key := doc.Content[0].Content[i]
			c.lines[key.Value] = key.Line
		}
		return nil
	})
	if _, err := fs.Stat(l.root, coverageDoc); err == nil {
		l.file(coverageDoc, func(_ string, text []byte) error { c.doc = text; return nil })
	}
}

// coverage checks that every row has an entry, and that all entries name existing things.
func (k *checker) coverage() {
	c := k.bundle.coverage
	rows := coverageRows()
	for _, r := range rows {
		if e, ok := c.entries[r.id]; !ok {
			k.report(coverageFile, 1, r.id, "the row is missing: %s: %s", r.path, r.text)
		} else {
			k.coverageEntry(r.id, c.lines[r.id], e)
		}
	}
	for _, id := range sortedKeys(c.entries) {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.id == id }) {
			k.report(coverageFile, c.lines[id], id, "there is no such row")
		}
	}
	k.priorityRows()
	if want := k.coverageDocumentation(); !bytes.Equal(want, c.doc) {
		k.report(coverageDoc, FirstDifference(want, c.doc), "", "the file is not what %s says; run go test ./pkg/alerting/bundle -update", coverageFile)
	}
}

func (k *checker) coverageEntry(id string, line int, e coverageEntry) {
	if len(slices.Concat(e.Metrics, e.Rules, e.Alerts, e.Panels, e.Due)) == 0 && e.Category == "" {
		k.report(coverageFile, line, id, "nothing serves the row: name metrics, rules, alerts or panels, or what it is due with")
	}
	if priority, ok := alertingRow(id); ok {
		k.priorityRow(id, line, priority, e)
	} else if e.Priority+e.Category != "" {
		k.report(coverageFile, line, id, "only a row of the list of priorities (AL.…) has a priority and a category; this one lists its alerts")
	}
	for _, name := range e.Metrics {
		if !k.Exposes(name) {
			k.report(coverageFile, line, id, "there is no metric %q", name)
		}
	}
	for _, name := range e.Rules {
		if !k.Records(name) {
			k.report(coverageFile, line, id, "no rule records %q", name)
		}
	}
	for _, name := range e.Alerts {
		if k.bundle.alerts(name) == nil {
			k.report(coverageFile, line, id, "there is no alert %q", name)
		}
	}
	for _, name := range e.Panels {
		if !k.bundle.hasPanel(name) {
			k.report(coverageFile, line, id, "there is no panel %q (UID/TITLE)", name)
		}
	}
	for _, name := range e.Due {
		if !slices.Contains(capabilities, name) {
			k.report(coverageFile, line, id, "due %q is not one of %s", name, strings.Join(capabilities, ", "))
		}
	}
}

func (b *Bundle) hasPanel(name string) bool {
	uid, title, _ := strings.Cut(name, "/")
	return slices.ContainsFunc(b.dashboards, func(d *dashboardlint.Dashboard) bool { return d.UID == uid && d.HasPanel(title) })
}

// WriteCoverage writes docs/coverage.md. The catalog says which priorities an alert can have that takes its own from its expression.
func (b *Bundle) WriteCoverage(w io.Writer, c *catalog.Catalog) error {
	_, err := w.Write(newChecker(b, c).coverageDocumentation())
	return err
}

// coverageDocumentation is the content of docs/coverage.md.
func (k *checker) coverageDocumentation() []byte {
	var p bytes.Buffer
	p.WriteString("# Coverage\n\n" +
		"What has to be visible, and what makes it so. Generated from `docs/coverage.yml` by `go test ./pkg/alerting/bundle -update`;\n" +
		"`consignwatch check` fails when a row is missing or names what does not exist. *Due* is the capability that the row still waits for.\n")
	path := ""
	for _, r := range coverageRows() {
		if r.path != path {
			path = r.path
			fmt.Fprintf(&p, "\n## %s\n\n| row | what | metrics | rules | alerts | panels | due |\n| --- | --- | --- | --- | --- | --- | --- |\n", path)
		}
		e := k.bundle.coverage.entries[r.id]
		alerts := k.alertsOf(e)
		links := make([]string, len(alerts))
		for i, name := range alerts {
			links[i] = fmt.Sprintf("[%s](runbooks/%s.md)", name, name)
		}
		fmt.Fprintf(&p, "| %s | %s | %s | %s | %s | %s | %s |\n", r.id, r.text,
			code(e.Metrics), code(e.Rules), strings.Join(links, " "), strings.Join(e.Panels, ", "), strings.Join(e.Due, ", "))
	}
	return p.Bytes()
}

// code formats names as code in a cell of a table.
func code(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "` `") + "`"
}

// FirstDifference returns the first line that differs between two texts, from 1.
func FirstDifference(a, b []byte) int {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return i + 1
		}
	}
	return min(len(x), len(y))
}

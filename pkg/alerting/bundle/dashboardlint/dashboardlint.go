// Package dashboardlint reads Grafana's dashboards and checks them: their document, variables, panels and units, and that their queries filter
// by what is chosen. Which metrics and labels there are, and what a query means, it leaves to promql; it changes no dashboard.
package dashboardlint

import (
	_ "embed"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
)

// unitsText lists Grafana's units.
//
//go:embed grafanaunits.txt
var unitsText string

// panelTypes are the built-in panel types of Grafana 12 and 13 that can show Prometheus data or text.
var panelTypes = []string{"barchart", "bargauge", "gauge", "heatmap", "histogram", "piechart", "row", "stat", "state-timeline", "status-history",
	"table", "text", "timeseries", "trend", "xychart"}

// unitPrefixes are the prefixes of custom units, like suffix:items.
var unitPrefixes = []string{"suffix:", "prefix:", "time:", "si:", "count:", "currency:", "bool:"}

const (
	schemaVersion     = 42 // the last one of the classic model
	datasourceName    = "datasource"
	datasourceRef     = "${" + datasourceName + "}"
	grafanaDatasource = "-- Grafana --"
	anyClient         = "[^_].*" // all but _platform, which is no client
	// longWindow is the shortest fixed range of a rate or increase in a graph: hours and days, which the title of the panel names.
	longWindow = time.Hour
)

// tenantVariables are the labels with a variable of the same name, by which queries must filter.
var tenantVariables = []string{"client", "event"}

var dashboardUID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,38}[a-z0-9]$`)

// Config has what a dashboard is held against.
type Config struct {
	// Queries checks the queries of the panels, variables and annotations.
	Queries *promql.Checker
	// HasDashboard and HasRunbook report whether there is a dashboard with this uid, and a runbook of this alert, to link to.
	HasDashboard, HasRunbook func(name string) bool
	// Report is called for each problem. The name is the title of the panel, or the name of the variable.
	Report func(file string, line int, name, text string)
}

// linter is the check of one dashboard.
type linter struct {
	Config
	*Dashboard
	variables     map[string]*jsonValue
	usedVariables map[string]bool
}

// Check checks the dashboard with its queries.
func (d *Dashboard) Check(config Config) {
	for _, q := range d.queries {
		config.Queries.Check(q.Query)
	}
	l := &linter{Config: config, Dashboard: d, variables: map[string]*jsonValue{}, usedVariables: map[string]bool{}}
	l.document()
	for _, v := range l.list("templating", "list") {
		l.variable(v)
	}
	if l.variables[datasourceName] == nil {
		l.reportAt(d.doc, "", "the variable %s is missing: it lets everybody choose their own Prometheus", datasourceName)
	}
	for _, a := range l.list("annotations", "list") {
		l.datasource(a, a.field("name"))
	}
	l.panelsOf(d.doc)
	for _, q := range d.queries {
		l.query(q)
	}
	l.strings(d.doc, "", "")
	for _, name := range slices.Sorted(maps.Keys(l.variables)) {
		if !l.usedVariables[name] {
			l.reportAt(l.variables[name], name, "nothing reads the variable")
		}
	}
}

func (l *linter) reportAt(v *jsonValue, name, format string, args ...any) {
	l.Report(l.File, v.line, name, fmt.Sprintf(format, args...))
}

// list returns an array in an object of the document.
func (l *linter) list(object, name string) []*jsonValue {
	if o := l.doc.fields[object]; o != nil && o.fields[name] != nil {
		return o.fields[name].items
	}
	return nil
}

// document checks the top-level fields.
func (l *linter) document() {
	if !dashboardUID.MatchString(l.UID) {
		l.reportAt(l.doc, "", "the uid %q is not one of 4 to 40 small letters, digits and hyphens", l.UID)
	}
	if l.doc.field("title") == "" {
		l.reportAt(l.doc, "", "the dashboard has no title")
	}
	if id := l.doc.fields["id"]; id != nil && id.value != nil {
		l.reportAt(id, "", "the id is Grafana's to give: leave it null, or two installations collide")
	}
	if v := l.doc.fields["schemaVersion"]; v == nil || v.value != float64(schemaVersion) {
		l.reportAt(orElse(v, l.doc), "", "schemaVersion is not %d, the last one of the classic model", schemaVersion)
	}
	if v := l.doc.fields["editable"]; v == nil || v.value != false {
		l.reportAt(orElse(v, l.doc), "", "the dashboard can be edited, and the next start of Grafana undoes it: set editable to false")
	}
}

// variable checks a variable.
func (l *linter) variable(v *jsonValue) {
	name := v.field("name")
	l.variables[name] = v
	if v.field("label") == "" {
		l.reportAt(v, name, "the variable has no label")
	}
	if v.field("type") == "datasource" {
		if name != datasourceName || v.field("query") != "prometheus" || v.field("label") != "Data Source" {
			l.reportAt(v, name, `the variable for the data source is named %s, has the label "Data Source" and the query "prometheus"`, datasourceName)
		}
		return
	}
	if v.field("type") != "query" {
		l.reportAt(v, name, "the variable has the type %q; only datasource and query follow what there is", v.field("type"))
		return
	}
	l.datasource(v, name)
	for key, want := range map[string]any{"multi": true, "includeAll": true, "refresh": float64(2)} {
		if f := v.fields[key]; f == nil || f.value != want {
			l.reportAt(orElse(f, v), name, "%s of the variable is not %v: several values and All can be chosen, and the values follow the period", key, want)
		}
	}
	all := promql.AnyValue
	if name == "client" {
		all = anyClient
	}
	if v.field("allValue") != all {
		l.reportAt(orElse(v.fields["allValue"], v), name, "allValue of the variable is not %q: All would be a list that grows with what there is", all)
	}
	if !slices.ContainsFunc(l.queries, func(q *panelQuery) bool { return q.label != "" && (q.object == v || q.object == v.fields["query"]) }) {
		l.reportAt(v, name, "the variable does not ask label_values(QUERY, LABEL)")
	}
}

// datasource checks that the data source is ${datasource}.
func (l *linter) datasource(v *jsonValue, name string) {
	uid := ""
	if s := v.fields["datasource"]; s != nil {
		uid = s.field("uid")
	}
	if uid == grafanaDatasource && v.fields["builtIn"] != nil {
		return
	}
	if uid != datasourceRef {
		l.reportAt(v, name, "the data source is %q, not %s", uid, datasourceRef)
	}
}

// panelsOf checks the panels of a dashboard or of a row.
func (l *linter) panelsOf(parent *jsonValue) {
	var cells []cell
	ids, titles := map[float64]bool{}, map[string]bool{}
	list := parent.fields["panels"]
	if list == nil {
		return
	}
	for _, p := range list.items {
		c := cellOf(p)
		for _, other := range cells {
			if c.overlaps(other) {
				l.reportAt(p, c.title, "the panel lies on %q", other.title)
			}
		}
		cells = append(cells, c)
		if c.x < 0 || c.y < 0 || c.w < 1 || c.h < 1 || c.x+c.w > 24 {
			l.reportAt(p, c.title, "the panel is not within the 24 columns of the grid")
		}
		if id := p.fields["id"]; id != nil {
			if n, _ := id.value.(float64); ids[n] {
				l.reportAt(id, c.title, "another panel has the id %v", n)
			} else {
				ids[n] = true
			}
		}
		if p.field("type") == "row" {
			l.panelsOf(p)
			continue
		}
		if titles[c.title] {
			l.reportAt(p, c.title, "another panel has this title")
		}
		titles[c.title] = true
		l.panel(p, c.title)
	}
}

// cell is the position and size of a panel in the grid.
type cell struct {
	title      string
	x, y, w, h float64
}

func cellOf(p *jsonValue) cell {
	c := cell{title: p.field("title")}
	if pos := p.fields["gridPos"]; pos != nil {
		for name, to := range map[string]*float64{"x": &c.x, "y": &c.y, "w": &c.w, "h": &c.h} {
			if f := pos.fields[name]; f != nil {
				*to, _ = f.value.(float64)
			}
		}
	}
	return c
}

func (c cell) overlaps(o cell) bool {
	return c.x < o.x+o.w && o.x < c.x+c.w && c.y < o.y+o.h && o.y < c.y+c.h
}

// panel checks a panel other than a row.
func (l *linter) panel(p *jsonValue, title string) {
	kind := p.field("type")
	if !slices.Contains(panelTypes, kind) {
		l.reportAt(orElse(p.fields["type"], p), title, "the panel type %q is not one that Grafana 12 and 13 have: %s", kind, strings.Join(panelTypes, ", "))
	}
	if title == "" {
		l.reportAt(p, "", "the panel has no title")
	}
	if !strings.HasSuffix(p.field("description"), ".") {
		l.reportAt(p, title, "the panel has no description that ends with a period")
	}
	if kind == "text" {
		return
	}
	l.datasource(p, title)
	l.units(p, title)
	targets := p.fields["targets"]
	if targets == nil || len(targets.items) == 0 {
		l.reportAt(p, title, "the panel has no query")
		return
	}
	refs := map[string]bool{}
	for _, t := range targets.items {
		l.datasource(t, title)
		if ref := t.field("refId"); ref == "" || refs[ref] {
			l.reportAt(t, title, "the refId %q of the query is missing or twice there", ref)
		} else {
			refs[ref] = true
		}
		if strings.TrimSpace(t.field("expr")) == "" {
			l.reportAt(t, title, "the query is empty")
		}
		if strings.Contains(t.field("expr"), "__rate_interval") {
			l.minInterval(p, t, title)
		}
	}
}

// minInterval checks that the panel's minimum interval is long enough for $__rate_interval, which is longer, to span four scrapes.
func (l *linter) minInterval(p, target *jsonValue, title string) {
	d, err := model.ParseDuration(p.field("interval"))
	if err != nil || time.Duration(d) < promql.ShortestWindow {
		l.reportAt(orElse(p.fields["interval"], target), title, "interval of the panel is not %s or more: $__rate_interval may be shorter than that", model.Duration(promql.ShortestWindow))
	}
}

// units checks that a panel has a unit that Grafana knows.
func (l *linter) units(p *jsonValue, title string) {
	config := p.fields["fieldConfig"]
	if config == nil || config.fields["defaults"] == nil {
		l.reportAt(p, title, "the panel has no unit")
		return
	}
	defaults := config.fields["defaults"]
	unit, mappings := defaults.fields["unit"], defaults.fields["mappings"]
	switch {
	case unit != nil && unit.text != "":
		l.unit(unit, title)
	case mappings == nil || len(mappings.items) == 0:
		l.reportAt(p, title, "the panel has no unit")
	}
	if config.fields["overrides"] == nil {
		return
	}
	for _, o := range config.fields["overrides"].items {
		if o.fields["properties"] == nil {
			continue
		}
		for _, property := range o.fields["properties"].items {
			if property.field("id") == "unit" {
				l.unit(orElse(property.fields["value"], property), title)
			}
		}
	}
}

func (l *linter) unit(v *jsonValue, title string) {
	isPrefixed := slices.ContainsFunc(unitPrefixes, func(p string) bool { return strings.HasPrefix(v.text, p) })
	if known := slices.Contains(strings.Split(unitsText, "\n"), v.text); v.text == "" || !known && !isPrefixed {
		l.reportAt(v, title, "Grafana has no unit %q, and prints it behind the number", v.text)
	}
}

// query checks the tenant filters and the ranges of a query.
func (l *linter) query(q *panelQuery) {
	instant := q.object.fields["instant"] != nil && q.object.fields["instant"].value == true
	isTarget := q.object.fields["refId"] != nil && q.label == ""
	parser.Inspect(q.Expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			l.filters(q, n)
		case *parser.MatrixSelector:
			call := parentCall(path)
			if isTarget && call != nil && promql.NeedsCounter(call.Func.Name) {
				l.rateWindow(q, n, call.Func.Name, instant)
			}
		}
		return nil
	})
}

// parentCall returns the function call that a part of an expression is an argument of, or nil.
func parentCall(path []parser.Node) *parser.Call {
	if len(path) == 0 {
		return nil
	}
	call, _ := path[len(path)-1].(*parser.Call)
	return call
}

// filters checks that a selector of metrics with a client or event label filters by the selected ones.
func (l *linter) filters(q *panelQuery, s *parser.VectorSelector) {
	d, err := l.Queries.Declared(s.Name)
	if err != nil {
		return // reported already
	}
	for _, name := range tenantVariables {
		if !d.Result.Has(name) || d.Result.Unknown() || q.label == name && l.variables[name] != nil {
			continue
		}
		if name != "client" && (l.variables[name] == nil || !d.Result.Always(name)) {
			continue // the dashboard shows all sale events of the client, or some series have no event
		}
		chosen := slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == name && (m.Type == labels.MatchEqual && m.Value == "_platform" || m.Type == labels.MatchRegexp && strings.Contains(m.Value, promql.AnyValue) &&
				slices.ContainsFunc(q.fillings, func(f filling) bool { return f.name == name && f.within(s.PosRange) }))
		})
		if !chosen {
			l.Queries.Failf(q.Query, s, "%s has the label %s: show only what is chosen, %s=~\"$%s\"", s.Name, name, name, name)
		}
	}
}

// rateWindow checks that the range of a rate fits to the step of the graph: no sample is skipped or counted twice.
func (l *linter) rateWindow(q *panelQuery, m *parser.MatrixSelector, function string, instant bool) {
	name := ""
	for _, f := range q.fillings {
		if f.within(m.PositionRange()) && f.start > int(m.VectorSelector.PositionRange().End) {
			name = f.name
		}
	}
	switch {
	case instant && (name == "" || name == "__range"):
	case instant:
		l.Queries.Failf(q.Query, m, "%s over $%s in a query for one moment: take $__range, or write the window out", function, name)
	case name == "__rate_interval":
	case name == "" && m.Range >= longWindow:
	default:
		l.Queries.Failf(q.Query, m, "%s of a graph takes $__rate_interval, so that it neither skips samples nor has too few: only windows of 1h and more are written out", function)
	}
}

// linkTarget matches links to dashboards and runbooks.
var linkTarget = regexp.MustCompile(`/d/([A-Za-z0-9_-]+)|docs/runbooks/([A-Za-z0-9_]+)\.md`)

// strings checks links and variables in all strings of the document.
func (l *linter) strings(v *jsonValue, key, title string) {
	if own := v.field("title"); own != "" && v.fields["gridPos"] != nil {
		title = own
	}
	if key == "url" || key == "content" {
		for _, m := range linkTarget.FindAllStringSubmatch(v.text, -1) {
			l.link(v, title, m[1], m[2])
		}
	}
	if key == "url" && v.text != "" && !strings.HasPrefix(v.text, "/d/") && !strings.HasPrefix(v.text, "https://") {
		l.reportAt(v, title, "the link %q is neither to a dashboard, /d/UID, nor to an https address", v.text)
	}
	for _, m := range variable.FindAllStringSubmatch(v.text, -1) {
		name := m[1] + m[2] + m[3]
		l.usedVariables[name] = true
		if !strings.HasPrefix(name, "__") && l.variables[name] == nil {
			l.reportAt(v, title, "there is no variable %q", name)
		}
	}
	for _, k := range v.keys {
		l.strings(v.fields[k], k, title)
	}
	for _, item := range v.items {
		l.strings(item, "", title)
	}
}

func (l *linter) link(v *jsonValue, title, uid, alert string) {
	switch {
	case uid != "" && !l.HasDashboard(uid):
		l.reportAt(v, title, "the link leads to the dashboard %q, which does not exist", uid)
	case alert != "" && !l.HasRunbook(alert):
		l.reportAt(v, title, "the link leads to the runbook of %q, which does not exist", alert)
	}
}

func orElse(v, other *jsonValue) *jsonValue {
	if v != nil {
		return v
	}
	return other
}

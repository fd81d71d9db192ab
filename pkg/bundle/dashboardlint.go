package bundle

import (
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// unitsText lists what Grafana knows.
//
//go:embed grafanaunits.txt
var unitsText string

// panelTypes are Grafana's own that both Grafana 12 and 13 have and that can show what Prometheus answers, or words.
var panelTypes = []string{"barchart", "bargauge", "gauge", "heatmap", "histogram", "piechart", "row", "stat", "state-timeline", "status-history",
	"table", "text", "timeseries", "trend", "xychart"}

// unitPrefixes begin units that are made up on the spot: suffix:items.
var unitPrefixes = []string{"suffix:", "prefix:", "time:", "si:", "count:", "currency:", "bool:"}

const (
	schemaVersion  = 42 // the last one of the classic model
	datasourceName = "datasource"
	datasourceRef  = "${" + datasourceName + "}"
	grafanasOwn    = "-- Grafana --"
	anyClient      = "[^_].*" // all but _platform, which is no client
	// longWindow is what a graph may add up over without following its own steps: hours and days, which its title names.
	longWindow = time.Hour
)

// tenantVariables are the labels that a variable of the same name filters.
var tenantVariables = []string{"client", "event"}

var dashboardUID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,38}[a-z0-9]$`)

// lint is what one dashboard is checked with.
type lint struct {
	*checker
	*dashboard
	variables map[string]*jsonValue
	used      map[string]bool
}

// dashboard checks everything about a dashboard but the names in its queries.
func (k *checker) dashboard(d *dashboard) {
	l := &lint{checker: k, dashboard: d, variables: map[string]*jsonValue{}, used: map[string]bool{}}
	l.frame()
	for _, v := range l.list("templating", "list") {
		l.variable(v)
	}
	if l.variables[datasourceName] == nil {
		l.at(d.doc, "", "the variable %s is missing: it lets everybody choose their own Prometheus", datasourceName)
	}
	for _, a := range l.list("annotations", "list") {
		l.source(a, a.field("name"))
	}
	l.panelsOf(d.doc)
	for _, q := range d.queries {
		l.query(q)
	}
	l.strings(d.doc, "", "")
	for _, name := range sortedKeys(l.variables) {
		if !l.used[name] {
			l.at(l.variables[name], name, "nothing reads the variable")
		}
	}
}

func (l *lint) at(v *jsonValue, name, format string, args ...any) {
	l.report(l.file, v.line, name, format, args...)
}

// list is a list in an object of the document.
func (l *lint) list(object, name string) []*jsonValue {
	if o := l.doc.fields[object]; o != nil && o.fields[name] != nil {
		return o.fields[name].items
	}
	return nil
}

// frame checks the document's own fields.
func (l *lint) frame() {
	if !dashboardUID.MatchString(l.uid) {
		l.at(l.doc, "", "the uid %q is not one of 4 to 40 small letters, digits and hyphens", l.uid)
	}
	if l.doc.field("title") == "" {
		l.at(l.doc, "", "the dashboard has no title")
	}
	if id := l.doc.fields["id"]; id != nil && id.value != nil {
		l.at(id, "", "the id is Grafana's to give: leave it null, or two installations collide")
	}
	if v := l.doc.fields["schemaVersion"]; v == nil || v.value != float64(schemaVersion) {
		l.at(orElse(v, l.doc), "", "schemaVersion is not %d, the last one of the classic model", schemaVersion)
	}
	if v := l.doc.fields["editable"]; v == nil || v.value != false {
		l.at(orElse(v, l.doc), "", "the dashboard can be edited, and the next start of Grafana undoes it: set editable to false")
	}
}

// variable checks what can be chosen at the top.
func (l *lint) variable(v *jsonValue) {
	name := v.field("name")
	l.variables[name] = v
	if v.field("label") == "" {
		l.at(v, name, "the variable has no label")
	}
	if v.field("type") == "datasource" {
		if name != datasourceName || v.field("query") != "prometheus" || v.field("label") != "Data Source" {
			l.at(v, name, `the variable for the data source is named %s, has the label "Data Source" and the query "prometheus"`, datasourceName)
		}
		return
	}
	if v.field("type") != "query" {
		l.at(v, name, "the variable has the type %q; only datasource and query follow what there is", v.field("type"))
		return
	}
	l.source(v, name)
	for key, want := range map[string]any{"multi": true, "includeAll": true, "refresh": float64(2)} {
		if f := v.fields[key]; f == nil || f.value != want {
			l.at(orElse(f, v), name, "%s of the variable is not %v: several values and All can be chosen, and the values follow the period", key, want)
		}
	}
	all := anyValue
	if name == "client" {
		all = anyClient
	}
	if v.field("allValue") != all {
		l.at(orElse(v.fields["allValue"], v), name, "allValue of the variable is not %q: All would be a list that grows with what there is", all)
	}
	if !slices.ContainsFunc(l.queries, func(q *panelQuery) bool { return q.label != "" && (q.from == v || q.from == v.fields["query"]) }) {
		l.at(v, name, "the variable does not ask label_values(QUERY, LABEL)")
	}
}

// source checks that the data source is the chosen one.
func (l *lint) source(v *jsonValue, name string) {
	uid := ""
	if s := v.fields["datasource"]; s != nil {
		uid = s.field("uid")
	}
	if uid == grafanasOwn && v.fields["builtIn"] != nil {
		return
	}
	if uid != datasourceRef {
		l.at(v, name, "the data source is %q, not %s", uid, datasourceRef)
	}
}

// panelsOf checks the panels of a dashboard or of a row.
func (l *lint) panelsOf(parent *jsonValue) {
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
				l.at(p, c.title, "the panel lies on %q", other.title)
			}
		}
		cells = append(cells, c)
		if c.x < 0 || c.y < 0 || c.w < 1 || c.h < 1 || c.x+c.w > 24 {
			l.at(p, c.title, "the panel is not within the 24 columns of the grid")
		}
		if id := p.fields["id"]; id != nil {
			if n, _ := id.value.(float64); ids[n] {
				l.at(id, c.title, "another panel has the id %v", n)
			} else {
				ids[n] = true
			}
		}
		if p.field("type") == "row" {
			l.panelsOf(p)
			continue
		}
		if titles[c.title] {
			l.at(p, c.title, "another panel has this title")
		}
		titles[c.title] = true
		l.panel(p, c.title)
	}
}

// cell is the place of a panel in the grid.
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

// panel checks one panel that is no row.
func (l *lint) panel(p *jsonValue, title string) {
	kind := p.field("type")
	if !slices.Contains(panelTypes, kind) {
		l.at(orElse(p.fields["type"], p), title, "the panel type %q is not one that Grafana 12 and 13 have: %s", kind, strings.Join(panelTypes, ", "))
	}
	if title == "" {
		l.at(p, "", "the panel has no title")
	}
	if !strings.HasSuffix(p.field("description"), ".") {
		l.at(p, title, "the panel has no description that ends with a period")
	}
	if kind == "text" {
		return
	}
	l.source(p, title)
	l.units(p, title)
	targets := p.fields["targets"]
	if targets == nil || len(targets.items) == 0 {
		l.at(p, title, "the panel has no query")
		return
	}
	refs := map[string]bool{}
	for _, t := range targets.items {
		l.source(t, title)
		if ref := t.field("refId"); ref == "" || refs[ref] {
			l.at(t, title, "the refId %q of the query is missing or twice there", ref)
		} else {
			refs[ref] = true
		}
		if strings.TrimSpace(t.field("expr")) == "" {
			l.at(t, title, "the query is empty")
		}
		if strings.Contains(t.field("expr"), "__rate_interval") {
			l.atLeastAMinute(p, t, title)
		}
	}
}

// atLeastAMinute checks that points are so far apart that $__rate_interval, which is longer, spans four scrapes.
func (l *lint) atLeastAMinute(p, target *jsonValue, title string) {
	d, err := model.ParseDuration(p.field("interval"))
	if err != nil || time.Duration(d) < shortestWindow {
		l.at(orElse(p.fields["interval"], target), title, "interval of the panel is not %s or more: $__rate_interval may be shorter than that", model.Duration(shortestWindow))
	}
}

// units checks that a panel says what its numbers are, and that Grafana knows it.
func (l *lint) units(p *jsonValue, title string) {
	config := p.fields["fieldConfig"]
	if config == nil || config.fields["defaults"] == nil {
		l.at(p, title, "the panel has no unit")
		return
	}
	defaults := config.fields["defaults"]
	unit, mappings := defaults.fields["unit"], defaults.fields["mappings"]
	switch {
	case unit != nil && unit.text != "":
		l.unit(unit, title)
	case mappings == nil || len(mappings.items) == 0:
		l.at(p, title, "the panel has no unit")
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

func (l *lint) unit(v *jsonValue, title string) {
	isPrefixed := slices.ContainsFunc(unitPrefixes, func(p string) bool { return strings.HasPrefix(v.text, p) })
	if known := slices.Contains(strings.Split(unitsText, "\n"), v.text); v.text == "" || !known && !isPrefixed {
		l.at(v, title, "Grafana has no unit %q, and prints it behind the number", v.text)
	}
}

// query checks what a query filters by, and its windows.
func (l *lint) query(q *panelQuery) {
	instant := q.from.fields["instant"] != nil && q.from.fields["instant"].value == true
	isTarget := q.from.fields["refId"] != nil && q.label == ""
	parser.Inspect(q.expr, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			l.filters(q, n)
		case *parser.MatrixSelector:
			call := parentCall(path)
			if isTarget && call != nil && slices.Contains(counterOnly, call.Func.Name) {
				l.rateWindow(q, n, call.Func.Name, instant)
			}
		}
		return nil
	})
}

// parentCall is the function that a part of an expression is given to.
func parentCall(path []parser.Node) *parser.Call {
	if len(path) == 0 {
		return nil
	}
	call, _ := path[len(path)-1].(*parser.Call)
	return call
}

// filters checks that series of clients, and of sale events, are only those that are chosen.
func (l *lint) filters(q *panelQuery, s *parser.VectorSelector) {
	d, err := l.declared(s.Name)
	if err != nil {
		return // of which it has been complained
	}
	for _, name := range tenantVariables {
		if !d.result.has(name) || d.result.anything || q.label == name && l.variables[name] != nil {
			continue
		}
		if name != "client" && (l.variables[name] == nil || !d.result.labels[name].sure) {
			continue // the dashboard is about all of the client's sale events, or some of the series are about none
		}
		chosen := slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
			return m.Name == name && (m.Type == labels.MatchEqual && m.Value == "_platform" || m.Type == labels.MatchRegexp && strings.Contains(m.Value, anyValue) &&
				slices.ContainsFunc(q.fillings, func(f filling) bool { return f.name == name && f.within(s.PosRange) }))
		})
		if !chosen {
			l.failf(q.query, s, "%s has the label %s: show only what is chosen, %s=~\"$%s\"", s.Name, name, name, name)
		}
	}
}

// rateWindow checks that a graph counts each step once, and that no sample falls between two.
func (l *lint) rateWindow(q *panelQuery, m *parser.MatrixSelector, function string, instant bool) {
	name := ""
	for _, f := range q.fillings {
		if f.within(m.PositionRange()) && f.start > int(m.VectorSelector.PositionRange().End) {
			name = f.name
		}
	}
	switch {
	case instant && (name == "" || name == "__range"):
	case instant:
		l.failf(q.query, m, "%s over $%s in a query for one moment: take $__range, or write the window out", function, name)
	case name == "__rate_interval":
	case name == "" && m.Range >= longWindow:
	default:
		l.failf(q.query, m, "%s of a graph takes $__rate_interval, so that it neither skips samples nor has too few: only windows of 1h and more are written out", function)
	}
}

// place is where links of ours lead to.
var place = regexp.MustCompile(`/d/([A-Za-z0-9_-]+)|docs/runbooks/([A-Za-z0-9_]+)\.md`)

// strings checks links and variables in all texts of the document.
func (l *lint) strings(v *jsonValue, key, title string) {
	if own := v.field("title"); own != "" && v.fields["gridPos"] != nil {
		title = own
	}
	if key == "url" || key == "content" {
		for _, m := range place.FindAllStringSubmatch(v.text, -1) {
			l.link(v, title, m[1], m[2])
		}
	}
	if key == "url" && v.text != "" && !strings.HasPrefix(v.text, "/d/") && !strings.HasPrefix(v.text, "https://") {
		l.at(v, title, "the link %q is neither to a dashboard, /d/UID, nor to an https address", v.text)
	}
	for _, m := range variable.FindAllStringSubmatch(v.text, -1) {
		name := m[1] + m[2] + m[3]
		l.used[name] = true
		if !strings.HasPrefix(name, "__") && l.variables[name] == nil {
			l.at(v, title, "there is no variable %q", name)
		}
	}
	for _, k := range v.keys {
		l.strings(v.fields[k], k, title)
	}
	for _, item := range v.items {
		l.strings(item, "", title)
	}
}

func (l *lint) link(v *jsonValue, title, uid, alert string) {
	switch {
	case uid != "" && !slices.ContainsFunc(l.bundle.dashboards, func(d *dashboard) bool { return d.uid == uid }):
		l.at(v, title, "the link leads to the dashboard %q, which does not exist", uid)
	case alert != "" && !slices.ContainsFunc(l.bundle.runbooks, func(p *runbook) bool { return p.alert == alert }):
		l.at(v, title, "the link leads to the runbook of %q, which does not exist", alert)
	}
}

func orElse(v, other *jsonValue) *jsonValue {
	if v != nil {
		return v
	}
	return other
}

// uidsFile says which uid each dashboard has, for good.
const uidsFile = "grafana-dashboards/uids.yml"

// uidList is uidsFile: uids by the path of the dashboard below grafana-dashboards.
type uidList struct {
	uids map[string]lined[string]
}

func (l *loader) uids() {
	l.bundle.uids = &uidList{}
	if len(l.bundle.dashboards) == 0 {
		return
	}
	l.file(uidsFile, func(file string, text []byte) error {
		_, err := yamlfile.Parse(file, text, &l.bundle.uids.uids)
		return err
	})
}

// dashboardsTogether checks what no dashboard can be blamed for alone.
func (k *checker) dashboardsTogether() {
	files := map[string]bool{}
	uids, titles := map[string]string{}, map[string]string{}
	for _, d := range k.bundle.dashboards {
		name := strings.TrimPrefix(d.file, "grafana-dashboards/")
		files[name] = true
		known, listed := k.bundle.uids.uids[name]
		switch {
		case !listed:
			k.report(uidsFile, 1, "", "%s is missing: add it with its uid, %s", name, d.uid)
		case known.value != d.uid:
			k.report(d.file, d.doc.fields["uid"].line, "", "the uid is %q, but was %q (%s:%d): alerts, links and bookmarks lead to it, and Grafana refuses another one for the same file",
				d.uid, known.value, uidsFile, known.line)
		}
		for _, one := range []struct {
			what, value string
			seen        map[string]string
		}{{"uid", d.uid, uids}, {"title", d.doc.field("title"), titles}} {
			if other, twice := one.seen[one.value]; twice {
				k.report(d.file, d.doc.line, "", "%s has the same %s, %q", other, one.what, one.value)
			}
			one.seen[one.value] = d.file
		}
	}
	for _, name := range sortedKeys(k.bundle.uids.uids) {
		if !files[name] {
			k.report(uidsFile, k.bundle.uids.uids[name].line, "", "there is no dashboard %s: a dashboard that goes leaves links behind", name)
		}
	}
}

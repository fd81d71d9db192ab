package dashboards

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Dashboard answers one question, from the top left, whether all is OK, to the bottom right, why it is not.
type Dashboard struct {
	File  string // below grafana-dashboards; its folder is Grafana's folder
	UID   string // for good: alerts and bookmarks lead to it
	Title string
	Asks  string // the question
	// Variables besides datasource, by name; see variables.
	Variables []string
	// Alerts are the matchers of the alerts that are drawn over its graphs.
	Alerts string
	// From and To are the period; now-3h to now unless set. A report has a fixed one.
	From, To string
	Refresh  string // 1m unless set; none for a report
	Rows     []Row
}

// Row is a heading with panels below it, from left to right.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one panel. The functions named after its kinds make one: stat, graph, table, …
type Panel struct {
	kind          string // Grafana's name
	width, height int    // of 24 columns; in units of 30 pixels
	title, unit   string
	about         string // what it shows, in whole sentences
	queries       []query
	defaults      object   // of all fields
	custom        object   // of all fields, for this kind of panel
	overrides     []object // of some fields
	options       object
	transform     []object
	leads         []lead
	keys          []string // labels of a table, in order
	belowZero     bool
}

// query is one question to Prometheus.
type query struct {
	expr    string
	legend  string
	format  string // time_series, table or heatmap
	instant bool
	column  column // of a table
}

// column is a value column of a table.
type column struct {
	name, unit string
	decimals   int
	colour     bool
}

// part adds something to a panel.
type part func(*Panel)

func panel(kind string, width, height int, title, unit, about string, parts []part) Panel {
	p := Panel{
		kind: kind, width: width, height: height, title: title, unit: unit, about: about,
		defaults: object{}, custom: object{}, options: object{},
	}
	for _, add := range parts {
		add(&p)
	}
	return p
}

// The colours, each with one meaning.
const (
	good, warn, bad, strange = "green", "orange", "red", "purple"
	calm                     = "text"
	neutral                  = "blue"
)

// stat shows single numbers that are neither good nor bad by themselves.
func stat(width int, title, unit, about string, parts ...part) Panel {
	p := panel("stat", width, 4, title, unit, about, parts)
	p.options = merged(object{
		"colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": true,
		"reduceOptions": object{"calcs": list("lastNotNull"), "fields": "", "values": false},
	}, p.options)
	p.defaults = merged(object{"color": object{"mode": "fixed", "fixedColor": neutral}, "noValue": "No data"}, p.defaults)
	return p
}

// tiles show the status of each query, OK, Warning or Critical: see state.
func tiles(width int, title, about string, parts ...part) Panel {
	p := stat(width, title, "none", about, parts...)
	p.options = merged(p.options, object{"colorMode": "background", "graphMode": "none", "justifyMode": "center", "text": object{"titleSize": 12, "valueSize": 16}})
	p.defaults = merged(p.defaults, object{
		"color": object{"mode": "thresholds"},
		"mappings": list(object{"type": "value", "options": object{
			"0": object{"index": 0, "text": "OK", "color": good},
			"1": object{"index": 1, "text": "Warning", "color": warn},
			"2": object{"index": 2, "text": "Critical", "color": bad},
		}}),
		"thresholds": steps(good, step{1, warn}, step{2, bad}),
	})
	return p
}

// graph shows series over time.
func graph(width int, title, unit, about string, parts ...part) Panel {
	p := panel("timeseries", width, 8, title, unit, about, parts)
	p.options = merged(object{
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": list()},
		"tooltip": object{"mode": "multi", "sort": "desc"},
	}, p.options)
	p.custom = merged(object{
		"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": false,
		"stacking": object{"mode": "none", "group": "A"}, "axisSoftMin": 0,
	}, p.custom)
	p.defaults = merged(object{"color": object{"mode": "palette-classic"}, "min": 0}, p.defaults)
	if p.belowZero {
		delete(p.defaults, "min")
	}
	if p.custom["stacking"].(object)["mode"] == "none" && (len(p.queries) > 1 || strings.Contains(p.queries[0].legend, "{{")) {
		p.custom["fillOpacity"] = 0 // lines on each other's areas cannot be read
	}
	if _, ends := p.defaults["max"]; !ends { // a line at zero needs no axis up to 100
		switch unit {
		case "percentunit":
			p.custom["axisSoftMax"] = 0.05
		case "none", "reqps", "ops", perSecond, perMinute:
			p.custom["axisSoftMax"] = 1
		}
	}
	if p.custom["scaleDistribution"] != nil { // logarithmic: there is no zero
		delete(p.custom, "axisSoftMax")
		delete(p.defaults, "min")
		delete(p.custom, "axisSoftMin")
	}
	return p
}

// bars compares the present values of a few series.
func bars(width int, title, unit, about string, parts ...part) Panel {
	p := panel("bargauge", width, 8, title, unit, about, parts)
	p.options = merged(object{
		"displayMode": "basic", "orientation": "horizontal", "showUnfilled": true, "valueMode": "color", "namePlacement": "left", "sizing": "manual", "minVizHeight": 16, "maxVizHeight": 36, "text": object{"titleSize": 14, "valueSize": 16},
		"reduceOptions": object{"calcs": list("lastNotNull"), "fields": "", "values": false},
	}, p.options)
	p.defaults = merged(object{"color": object{"mode": "fixed", "fixedColor": neutral}, "min": 0, "noValue": "No data"}, p.defaults)
	return p
}

// states shows over time in which state something is.
func states(width int, title, about string, parts ...part) Panel {
	p := panel("state-timeline", width, 8, title, "none", about, parts)
	p.options = merged(object{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.85,
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip": object{"mode": "single", "sort": "none"},
	}, p.options)
	p.custom = merged(object{"lineWidth": 0, "fillOpacity": 80}, p.custom)
	p.defaults = merged(object{"color": object{"mode": "thresholds"}, "thresholds": steps(good, step{1, warn}, step{2, bad})}, p.defaults)
	return p
}

// heat shows how values spread over time, from the buckets of a histogram.
func heat(width int, title, unit, about, expr string) Panel {
	p := panel("heatmap", width, 8, title, unit, about, nil)
	p.queries = []query{{expr: expr, legend: "{{le}}", format: "heatmap"}}
	p.options = object{
		"calculate": false, "cellGap": 1, "filterValues": object{"le": 1e-9}, "rowsFrame": object{"layout": "auto"},
		"color":   object{"mode": "scheme", "scheme": "Blues", "steps": 64, "exponent": 0.5, "fill": "dark-blue", "reverse": false, "scale": "exponential"},
		"yAxis":   object{"unit": unit, "axisPlacement": "left", "reverse": false},
		"tooltip": object{"mode": "single", "showColorScale": true, "yHistogram": false}, "legend": object{"show": true}, "exemplars": object{"color": "rgba(255,0,255,0.7)"},
	}
	p.custom = object{"scaleDistribution": object{"type": "linear"}, "hideFrom": object{"legend": false, "tooltip": false, "viz": false}}
	return p
}

// table joins the results of its queries on their labels: a row for each set of labels, a column for each label and query.
func table(width int, title, about string, parts ...part) Panel {
	p := panel("table", width, 9, title, "none", about, parts)
	p.options = merged(object{"cellHeight": "sm", "showHeader": true, "footer": object{"show": false, "reducer": list("sum"), "countRows": false, "fields": ""}}, p.options)
	p.custom = merged(object{"align": "auto", "cellOptions": object{"type": "auto"}, "inspect": false, "minWidth": 60}, p.custom)
	p.defaults = merged(object{"noValue": "–"}, p.defaults)
	p.columns()
	return p
}

// grouping is how an expression names the labels of its series.
var grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)

// selection is an expression that keeps the name of its metric.
var selection = regexp.MustCompile(`^[a-zA-Z0-9_:]+(\{[^}]*\})?$`)

// columns turns the names that Grafana gives to labels and values into those of the panel, puts the labels in the order in which the first query
// names them, and gives each value its unit.
func (p *Panel) columns() {
	rename, first, order := object{"alertname": "alert"}, object{}, object{}
	if labels := grouping.FindStringSubmatch(p.queries[0].expr); labels != nil && p.keys == nil {
		p.keys = strings.Split(labels[1], ", ")
	}
	for i, label := range p.keys {
		order[label] = i
	}
	for i, q := range p.queries {
		if selection.MatchString(q.expr) { // its name would keep it apart from the other columns
			p.queries[i].expr = "0 + " + q.expr
		}
		name := "Value"
		if len(p.queries) > 1 {
			name = "Value #" + refID(i)
		}
		if q.column.name == "" { // the series are the rows; their values say nothing
			first[name] = true
			continue
		}
		rename[name] = q.column.name
		order[name] = 100 + i
		properties := []any{property("unit", q.column.unit), property("decimals", q.column.decimals)}
		if q.column.colour {
			properties = append(properties, property("custom.cellOptions", object{"type": "color-text"}),
				property("color", object{"mode": "thresholds"}), property("thresholds", steps(calm, step{1e-9, warn})))
		}
		p.overrides = append(p.overrides, override("byName", q.column.name, properties...))
	}
	first["Time"] = true
	// So Grafana calls it when only one query finds something: the first one, which has all rows that the others have.
	if name := p.queries[0].column.name; name != "" {
		rename["Value"] = name
	} else {
		first["Value"] = true
	}
	for _, wide := range []struct {
		label, shown string
		width        int
	}{{"priority", "priority", 80}, {"alertname", "alert", 230}, {"client", "client", 200}, {"what", "what", 230}} {
		if p.width >= 12 && slices.Contains(p.keys, wide.label) {
			p.overrides = append(p.overrides, override("byName", wide.shown, property("custom.width", wide.width)))
		}
	}
	p.transform = append([]object{{"id": "merge", "options": object{}}}, p.transform...)
	p.transform = append(p.transform, object{"id": "organize", "options": object{"excludeByName": first, "renameByName": rename, "indexByName": order}})
}

// series asks for values over the period.
func series(expr, legend string) part {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, legend: legend, format: "time_series"})
	}
}

// value asks for values at the end of the period.
func value(expr, legend string) part {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, legend: legend, format: "time_series", instant: true})
		if p.kind == "stat" {
			p.options["graphMode"] = "none"
		}
	}
}

// rows asks for the rows of a table whose values say nothing.
func rows(expr string) part { return col(expr, "", "none", 0) }

// col asks for a column of a table, at the end of the period.
func col(expr, name, unit string, decimals int) part {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, format: "table", instant: true, column: column{name: name, unit: unit, decimals: decimals}})
	}
}

// by names the labels that are the first columns of a table, where the first query does not.
func by(labels ...string) part { return func(p *Panel) { p.keys = labels } }

// trouble is a column whose values above 0 are coloured.
func trouble(expr, name, unit string, decimals int) part {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, format: "table", instant: true, column: column{name: name, unit: unit, decimals: decimals, colour: true}})
	}
}

// limits draws levels of a threshold of the platform as dashed lines; warning and critical unless others are named.
func limits(name string, levels ...string) part { return limitsOf(name, "_platform", levels) }

// clientLimits draws the levels of the chosen clients, of each level the strictest.
func clientLimits(name string, levels ...string) part { return limitsOf(name, "$client", levels) }

func limitsOf(name, client string, levels []string) part {
	if levels == nil {
		levels = []string{"warning", "critical"}
	}
	return func(p *Panel) {
		p.queries = append(p.queries, query{
			expr:   fmt.Sprintf("min by (level) (%s)", threshold(name, "=~", strings.Join(levels, "|"), client)),
			legend: "{{level}}", format: "time_series",
		})
		for _, level := range levels {
			p.overrides = append(p.overrides, override("byName", level,
				property("color", object{"mode": "fixed", "fixedColor": levelColours()[level]}),
				property("custom.lineStyle", object{"fill": "dash", "dash": list(8, 8)}),
				property("custom.fillOpacity", 0), property("custom.stacking", object{"mode": "none", "group": "limit"}),
				property("custom.hideFrom", object{"legend": false, "tooltip": true, "viz": false}),
			))
		}
	}
}

func levelColours() map[string]string {
	return map[string]string{"goal": good, "sla": strange, "warning": warn, "critical": bad}
}

func threshold(name, match, level, client string) string {
	clients := "="
	if strings.Contains(client, "$") {
		clients = "=~"
	}
	return fmt.Sprintf(`consign_threshold{name="%s",level%s"%s",client%s"%s"}`, name, match, level, clients, client)
}

// state is 0 where a value is within its warning level, 1 beyond it, and 2 beyond the critical one.
func state(expr, name string) string { return stateOf(expr, ">", name) }

// stateBelow is state for values that are bad when they are low.
func stateBelow(expr, name string) string { return stateOf(expr, "<", name) }

func stateOf(expr, beyond, name string) string {
	return fmt.Sprintf("max(((%[1]s) %[2]s bool on () group_left () %[3]s) + ((%[1]s) %[2]s bool on () group_left () %[4]s))",
		expr, beyond, threshold(name, "=", "warning", "_platform"), threshold(name, "=", "critical", "_platform"))
}

// orZero is 0 where there was nothing that could have been counted: base has the series that the expression would have.
func orZero(expr, base string) string {
	if selection.MatchString(expr) { // its name would make two lines of one
		expr = "0 + " + expr
	}
	return expr + " or 0 * " + base
}

// down is 2 where something that should be 1 is 0.
func down(expr string) string { return fmt.Sprintf("2 * (1 - min(%s))", expr) }

// stacked puts the series on top of each other: together they are a whole.
func stacked(p *Panel) {
	p.custom["stacking"], p.custom["fillOpacity"] = object{"mode": "normal", "group": "A"}, 30
}

// logarithmic makes small values visible beside large ones.
func logarithmic(p *Panel) { p.custom["scaleDistribution"] = object{"type": "log", "log": 10} }

// steps draws a line that jumps: for values that change at once.
func stepped(p *Panel) { p.custom["lineInterpolation"] = "stepAfter" }

// plainly leaves out the small graph behind a number.
func plainly(p *Panel) { p.options["graphMode"] = "none" }

// decimals says how many digits follow the point.
func decimals(n int) part { return func(p *Panel) { p.defaults["decimals"] = n } }

// most ends the axis, or the bar, at a value.
func most(n float64) part { return func(p *Panel) { p.defaults["max"] = n } }

// badAbove colours numbers: good below the first value, then a warning, then bad. For counts of what must not be; limits are data.
func badAbove(first, second float64) part {
	return func(p *Panel) {
		p.defaults["color"] = object{"mode": "thresholds"}
		if first == second {
			p.defaults["thresholds"] = steps(good, step{first, bad})
		} else {
			p.defaults["thresholds"] = steps(good, step{first, warn}, step{second, bad})
		}
		if p.kind == "stat" {
			p.options["colorMode"] = "background_solid"
		}
	}
}

// badBelow colours numbers: bad below the first value, then a warning, then good.
func badBelow(first, second float64) part {
	return func(p *Panel) {
		p.defaults["color"] = object{"mode": "thresholds"}
		p.defaults["thresholds"] = steps(bad, step{first, warn}, step{second, good})
		p.options["colorMode"] = "background_solid"
	}
}

// linesAt draws dashed lines at values that are part of a definition. Limits are data: see limits.
func linesAt(at ...step) part {
	return func(p *Panel) {
		p.defaults["thresholds"] = steps("transparent", at...)
		p.custom["thresholdsStyle"] = object{"mode": "dashed"}
	}
}

// belowZero lets an axis go below zero.
func belowZero(p *Panel) { p.belowZero = true }

// words shows words in place of 0 and 1 (and so on), each with its colour.
func words(pairs ...string) part {
	return func(p *Panel) {
		options := object{}
		var at []step
		for i := 0; i+1 < len(pairs); i += 2 {
			options[fmt.Sprint(i/2)] = object{"index": i / 2, "text": pairs[i], "color": pairs[i+1]}
			at = append(at, step{float64(i / 2), pairs[i+1]})
		}
		p.defaults["mappings"] = list(object{"type": "value", "options": options})
		p.defaults["color"] = object{"mode": "thresholds"}
		p.defaults["thresholds"] = steps(at[0].colour, at[1:]...)
		if p.kind == "stat" {
			p.options["colorMode"], p.options["graphMode"], p.options["text"] = "background", "none", object{"valueSize": 24}
		}
	}
}

// allSeries shows the name of each series beside its value.
func named(p *Panel) { p.options["textMode"] = "value_and_name" }

// lead is a link from the values of a column, or from all values, to a dashboard.
type lead struct{ field, uid string }

// leads makes the values of a column, or all values, lead to a dashboard, with the period and the variables kept.
func leads(field, uid string) part {
	return func(p *Panel) { p.leads = append(p.leads, lead{field, uid}) }
}

// address is that of the dashboard. The client of the row that is clicked, if that is the column, replaces the chosen ones.
func (l lead) address(variables []string) string {
	chosen := ""
	switch {
	case l.field == "client":
		chosen = "var-client=${__value.raw}&"
	case slices.Contains(variables, "client"):
		chosen = "${client:queryparam}&"
	}
	return "/d/" + l.uid + "?${datasource:queryparam}&" + chosen + "${__url_time_range}"
}

// colours gives a series its colour by name.
func colours(pairs ...string) part {
	return func(p *Panel) {
		for i := 0; i+1 < len(pairs); i += 2 {
			p.overrides = append(p.overrides, override("byName", pairs[i], property("color", object{"mode": "fixed", "fixedColor": pairs[i+1]})))
		}
	}
}

// hidden leaves out columns of a table.
func hidden(names ...string) part {
	return func(p *Panel) {
		gone := object{}
		for _, name := range names {
			gone[name] = true
		}
		p.transform = append(p.transform, object{"id": "organize", "options": object{"excludeByName": gone, "renameByName": object{}, "indexByName": object{}}})
	}
}

// sorted sorts a table by a column, the highest first.
func sorted(name string) part {
	return func(p *Panel) { p.options["sortBy"] = list(object{"displayName": name, "desc": true}) }
}

// sortedUp sorts a table by a column, the lowest first.
func sortedUp(name string) part {
	return func(p *Panel) { p.options["sortBy"] = list(object{"displayName": name, "desc": false}) }
}

// high makes a panel as high as this.
func high(h int) part { return func(p *Panel) { p.height = h } }

type step struct {
	from   float64
	colour string
}

func steps(base string, more ...step) object {
	all := list(object{"color": base, "value": nil})
	for _, s := range more {
		all = append(all, object{"color": s.colour, "value": s.from})
	}
	return object{"mode": "absolute", "steps": all}
}

func property(id string, value any) any { return object{"id": id, "value": value} }

func override(matcher, name string, properties ...any) object {
	return object{"matcher": object{"id": matcher, "options": name}, "properties": properties}
}

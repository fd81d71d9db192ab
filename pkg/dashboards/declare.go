package dashboards

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Dashboard answers one question: from the Status row, whether all is OK, to the panels at the bottom, why it is not.
type Dashboard struct {
	File     string // below grafana-dashboards; its folder is Grafana's folder
	UID      string // never changes: annotations of alerts and bookmarks link to it
	Title    string
	Question string // the question
	// Variables are the names of the variables besides datasource; see variablesByName.
	Variables []string
	// Alerts are the matchers of the alerts that are shown as annotations.
	Alerts string
	// From and To are the time range; now-3h to now unless set. A report has a range in the past.
	From, To string
	Refresh  string // 1m unless set; none for a report
	Rows     []Row
}

// Row is a Grafana row with its panels, from left to right.
type Row struct {
	Title  string
	Panels []Panel
}

// Panel is one panel. The functions stat, graph, table and so on return one of that type.
type Panel struct {
	kind          string // Grafana's panel type
	width, height int    // of 24 columns; in units of 30 pixels
	title, unit   string
	description   string // whole sentences that say what the panel shows
	queries       []query
	defaults      object   // fieldConfig.defaults
	custom        object   // fieldConfig.defaults.custom
	overrides     []object // fieldConfig.overrides
	options       object
	transform     []object
	links         []panelLink
	labels        []string // label columns of a table, in order
	belowZero     bool
}

// query is a Prometheus query of a panel.
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

// option changes a panel: it adds a query, or sets a field option.
type option func(*Panel)

func panel(kind string, width, height int, title, unit, description string, options []option) Panel {
	p := Panel{
		kind: kind, width: width, height: height, title: title, unit: unit, description: description,
		defaults: object{}, custom: object{}, options: object{},
	}
	for _, apply := range options {
		apply(&p)
	}
	return p
}

// Colours by meaning.
const (
	good, warn, bad, accent = "green", "orange", "red", "purple"
	defaultText             = "text"
	neutral                 = "blue"
)

// stat is a stat panel with a neutral colour, for numbers that are neither good nor bad by themselves.
func stat(width int, title, unit, description string, options ...option) Panel {
	p := panel("stat", width, 4, title, unit, description, options)
	p.options = merged(object{
		"colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto", "textMode": "auto", "wideLayout": true,
		"reduceOptions": object{"calcs": list("lastNotNull"), "fields": "", "values": false},
	}, p.options)
	p.defaults = merged(object{"color": object{"mode": "fixed", "fixedColor": neutral}, "noValue": "No data"}, p.defaults)
	return p
}

// tiles is a stat panel with the status of each query, OK, Warning or Critical: see state.
func tiles(width int, title, description string, options ...option) Panel {
	p := stat(width, title, "none", description, options...)
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

// graph is a time series panel.
func graph(width int, title, unit, description string, options ...option) Panel {
	p := panel("timeseries", width, 8, title, unit, description, options)
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
		p.custom["fillOpacity"] = 0 // lines over filled areas are hard to read
	}
	if _, hasMax := p.defaults["max"]; !hasMax { // without it, the axis of a line at zero goes up to 100
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

// bars is a bar gauge with the last values of a few series.
func bars(width int, title, unit, description string, options ...option) Panel {
	p := panel("bargauge", width, 8, title, unit, description, options)
	p.options = merged(object{
		"displayMode": "basic", "orientation": "horizontal", "showUnfilled": true, "valueMode": "color", "namePlacement": "left", "sizing": "manual", "minVizHeight": 16, "maxVizHeight": 36, "text": object{"titleSize": 14, "valueSize": 16},
		"reduceOptions": object{"calcs": list("lastNotNull"), "fields": "", "values": false},
	}, p.options)
	p.defaults = merged(object{"color": object{"mode": "fixed", "fixedColor": neutral}, "min": 0, "noValue": "No data"}, p.defaults)
	return p
}

// stateTimeline is a state timeline panel.
func stateTimeline(width int, title, description string, options ...option) Panel {
	p := panel("state-timeline", width, 8, title, "none", description, options)
	p.options = merged(object{
		"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.85,
		"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true},
		"tooltip": object{"mode": "single", "sort": "none"},
	}, p.options)
	p.custom = merged(object{"lineWidth": 0, "fillOpacity": 80}, p.custom)
	p.defaults = merged(object{"color": object{"mode": "thresholds"}, "thresholds": steps(good, step{1, warn}, step{2, bad})}, p.defaults)
	return p
}

// heatmap is a heatmap panel of the buckets of a histogram.
func heatmap(width int, title, unit, description, expr string) Panel {
	p := panel("heatmap", width, 8, title, unit, description, nil)
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

// table is a table that joins its queries on their labels: a row for each set of labels, a column for each label and each query.
func table(width int, title, description string, options ...option) Panel {
	p := panel("table", width, 9, title, "none", description, options)
	p.options = merged(object{"cellHeight": "sm", "showHeader": true, "footer": object{"show": false, "reducer": list("sum"), "countRows": false, "fields": ""}}, p.options)
	p.custom = merged(object{"align": "auto", "cellOptions": object{"type": "auto"}, "inspect": false, "minWidth": 60}, p.custom)
	p.defaults = merged(object{"noValue": "–"}, p.defaults)
	p.organizeColumns()
	return p
}

// grouping matches the grouping labels of an aggregation.
var grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)

// selection matches an expression that keeps the metric name.
var selection = regexp.MustCompile(`^[a-zA-Z0-9_:]+(\{[^}]*\})?$`)

// organizeColumns adds the transformations that rename the columns of labels and values, and order the labels as the first query groups by them. It
// sets the unit of each value column.
func (p *Panel) organizeColumns() {
	rename, hidden, order := object{"alertname": "alert"}, object{}, object{}
	if labels := grouping.FindStringSubmatch(p.queries[0].expr); labels != nil && p.labels == nil {
		p.labels = strings.Split(labels[1], ", ")
	}
	for i, label := range p.labels {
		order[label] = i
	}
	for i, q := range p.queries {
		if selection.MatchString(q.expr) { // with the metric name, the rows would not join with those of other queries
			p.queries[i].expr = "0 + " + q.expr
		}
		name := "Value"
		if len(p.queries) > 1 {
			name = "Value #" + refID(i)
		}
		if q.column.name == "" { // the series are the rows, and their values are hidden
			hidden[name] = true
			continue
		}
		rename[name] = q.column.name
		order[name] = 100 + i
		properties := []any{property("unit", q.column.unit), property("decimals", q.column.decimals)}
		if q.column.colour {
			properties = append(properties, property("custom.cellOptions", object{"type": "color-text"}),
				property("color", object{"mode": "thresholds"}), property("thresholds", steps(defaultText, step{1e-9, warn})))
		}
		p.overrides = append(p.overrides, override("byName", q.column.name, properties...))
	}
	hidden["Time"] = true
	// Grafana names the column Value when only one query has a result: the first one, which has all rows of the others.
	if name := p.queries[0].column.name; name != "" {
		rename["Value"] = name
	} else {
		hidden["Value"] = true
	}
	for _, fixed := range []struct {
		label, shown string
		width        int
	}{{"priority", "priority", 80}, {"alertname", "alert", 230}, {"client", "client", 200}, {"what", "what", 230}} {
		if p.width >= 12 && slices.Contains(p.labels, fixed.label) {
			p.overrides = append(p.overrides, override("byName", fixed.shown, property("custom.width", fixed.width)))
		}
	}
	p.transform = append([]object{{"id": "merge", "options": object{}}}, p.transform...)
	p.transform = append(p.transform, object{"id": "organize", "options": object{"excludeByName": hidden, "renameByName": rename, "indexByName": order}})
}

// series adds a range query.
func series(expr, legend string) option {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, legend: legend, format: "time_series"})
	}
}

// value adds an instant query: values at the end of the time range.
func value(expr, legend string) option {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, legend: legend, format: "time_series", instant: true})
		if p.kind == "stat" {
			p.options["graphMode"] = "none"
		}
	}
}

// rows adds a query for the rows of a table, whose value is hidden.
func rows(expr string) option { return col(expr, "", "none", 0) }

// col adds a value column to a table, with an instant query.
func col(expr, name, unit string, decimals int) option {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, format: "table", instant: true, column: column{name: name, unit: unit, decimals: decimals}})
	}
}

// rowLabels sets the label columns of a table, if they are not the grouping labels of the first query.
func rowLabels(labels ...string) option { return func(p *Panel) { p.labels = labels } }

// alertColumn is col with values above 0 in orange.
func alertColumn(expr, name, unit string, decimals int) option {
	return func(p *Panel) {
		p.queries = append(p.queries, query{expr: expr, format: "table", instant: true, column: column{name: name, unit: unit, decimals: decimals, colour: true}})
	}
}

// thresholdLines draws levels of a threshold of the platform as dashed lines; warning and critical unless others are given.
func thresholdLines(name string, levels ...string) option {
	return thresholdLinesOf(name, "_platform", levels)
}

// clientThresholdLines draws the levels of the selected clients, for each level the strictest.
func clientThresholdLines(name string, levels ...string) option {
	return thresholdLinesOf(name, "$client", levels)
}

func thresholdLinesOf(name, client string, levels []string) option {
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
	return map[string]string{"goal": good, "sla": accent, "warning": warn, "critical": bad}
}

func threshold(name, match, level, client string) string {
	clients := "="
	if strings.Contains(client, "$") {
		clients = "=~"
	}
	return fmt.Sprintf(`consign_threshold{name="%s",level%s"%s",client%s"%s"}`, name, match, level, clients, client)
}

// state is an expression: 0 for a value within its warning level, 1 beyond the warning level, 2 beyond the critical level.
func state(expr, name string) string { return stateOf(expr, ">", name) }

// stateBelow is state for values of which less is worse.
func stateBelow(expr, name string) string { return stateOf(expr, "<", name) }

func stateOf(expr, beyond, name string) string {
	return fmt.Sprintf("max(((%[1]s) %[2]s bool on () group_left () %[3]s) + ((%[1]s) %[2]s bool on () group_left () %[4]s))",
		expr, beyond, threshold(name, "=", "warning", "_platform"), threshold(name, "=", "critical", "_platform"))
}

// orZero is the expression, or 0 for series of the denominator that the expression lacks because nothing has been counted yet.
func orZero(expr, denominator string) string {
	if selection.MatchString(expr) { // with the metric name, there would be two series instead of one
		expr = "0 + " + expr
	}
	return expr + " or 0 * " + denominator
}

// down is an expression: 2 if a value that should be 1 is 0.
func down(expr string) string { return fmt.Sprintf("2 * (1 - min(%s))", expr) }

// targetsDown is an expression: 2 if a server or probe is down without which the platform is, 1 if another one is. Further matchers say of which targets.
func targetsDown(up, essential string, further ...string) string {
	name, value, _ := strings.Cut(essential, "=")
	of := func(operator string) string {
		return up + "{" + strings.Join(append([]string{name + operator + value}, further...), ",") + "}"
	}
	return fmt.Sprintf("max(2 * (1 - %s) or 1 - %s)", of("="), of("!="))
}

// stacked stacks the series, which are parts of a whole.
func stacked(p *Panel) {
	p.custom["stacking"], p.custom["fillOpacity"] = object{"mode": "normal", "group": "A"}, 30
}

// logarithmic sets a logarithmic axis.
func logarithmic(p *Panel) { p.custom["scaleDistribution"] = object{"type": "log", "log": 10} }

// stepped draws steps instead of slopes, for values that change at once.
func stepped(p *Panel) { p.custom["lineInterpolation"] = "stepAfter" }

// withoutSparkline hides the sparkline of a stat panel.
func withoutSparkline(p *Panel) { p.options["graphMode"] = "none" }

// decimals sets the number of decimals.
func decimals(n int) option { return func(p *Panel) { p.defaults["decimals"] = n } }

// axisMax sets the maximum of the axis, or of the bars.
func axisMax(n float64) option { return func(p *Panel) { p.defaults["max"] = n } }

// badAbove colours numbers: good below the first value, then a warning, then bad. For counts that should be 0; other thresholds come from the data: see thresholdLines.
func badAbove(first, second float64) option {
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
func badBelow(first, second float64) option {
	return func(p *Panel) {
		p.defaults["color"] = object{"mode": "thresholds"}
		p.defaults["thresholds"] = steps(bad, step{first, warn}, step{second, good})
		p.options["colorMode"] = "background_solid"
	}
}

// fixedLines draws dashed lines at values that are part of a definition. Other thresholds come from the data: see thresholdLines.
func fixedLines(lines ...step) option {
	return func(p *Panel) {
		p.defaults["thresholds"] = steps("transparent", lines...)
		p.custom["thresholdsStyle"] = object{"mode": "dashed"}
	}
}

// belowZero removes the minimum of 0 of an axis.
func belowZero(p *Panel) { p.belowZero = true }

// valueMappings maps 0, 1 and so on to a text and a colour: pairs of both.
func valueMappings(pairs ...string) option {
	return func(p *Panel) {
		options := object{}
		var thresholds []step
		for i := 0; i+1 < len(pairs); i += 2 {
			options[fmt.Sprint(i/2)] = object{"index": i / 2, "text": pairs[i], "color": pairs[i+1]}
			thresholds = append(thresholds, step{float64(i / 2), pairs[i+1]})
		}
		p.defaults["mappings"] = list(object{"type": "value", "options": options})
		p.defaults["color"] = object{"mode": "thresholds"}
		p.defaults["thresholds"] = steps(thresholds[0].colour, thresholds[1:]...)
		if p.kind == "stat" {
			p.options["colorMode"], p.options["graphMode"], p.options["text"] = "background", "none", object{"valueSize": 24}
		}
	}
}

// showNames shows the name of each series beside its value.
func showNames(p *Panel) { p.options["textMode"] = "value_and_name" }

// panelLink is a data link from the values of a column, or from all values, to a dashboard.
type panelLink struct{ field, uid string }

// dataLink links the values of a column, or all values if field is empty, to a dashboard, with the same time range and variables.
func dataLink(field, uid string) option {
	return func(p *Panel) { p.links = append(p.links, panelLink{field, uid}) }
}

// url is the URL of the link. With the column client, the client of the clicked row replaces the selected ones.
func (l panelLink) url(variables []string) string {
	client := ""
	switch {
	case l.field == "client":
		client = "var-client=${__value.raw}&"
	case slices.Contains(variables, "client"):
		client = "${client:queryparam}&"
	}
	return "/d/" + l.uid + "?${datasource:queryparam}&" + client + "${__url_time_range}"
}

// colours sets the colours of series by name: pairs of both.
func colours(pairs ...string) option {
	return func(p *Panel) {
		for i := 0; i+1 < len(pairs); i += 2 {
			p.overrides = append(p.overrides, override("byName", pairs[i], property("color", object{"mode": "fixed", "fixedColor": pairs[i+1]})))
		}
	}
}

// hideColumns hides columns of a table.
func hideColumns(names ...string) option {
	return func(p *Panel) {
		excluded := object{}
		for _, name := range names {
			excluded[name] = true
		}
		p.transform = append(p.transform, object{"id": "organize", "options": object{"excludeByName": excluded, "renameByName": object{}, "indexByName": object{}}})
	}
}

// sorted sorts a table by a column, descending.
func sorted(name string) option {
	return func(p *Panel) { p.options["sortBy"] = list(object{"displayName": name, "desc": true}) }
}

// sortedAscending sorts a table by a column, ascending.
func sortedAscending(name string) option {
	return func(p *Panel) { p.options["sortBy"] = list(object{"displayName": name, "desc": false}) }
}

// height sets the height of a panel.
func height(h int) option { return func(p *Panel) { p.height = h } }

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

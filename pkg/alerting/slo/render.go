package slo

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// The files that are rendered.
const (
	recordingFile = "rules/recording/slos.yml"
	alertsFile    = "rules/alerts/slos.yml"
	docFile       = "docs/slos.md"
)

// Recorded metrics, for the platform (client _platform) and for each client.
const (
	eventsOf     = "client_slo:consign_slo_events:rate"
	errorsOf     = "client_slo:consign_slo_errors:rate"
	demandOf     = "client_slo:consign_slo_demand:rate"
	ratioOf      = "client_slo:consign_slo_errors_per_event:ratio_rate"
	budgetLeftOf = "client_slo:consign_slo_budget_left:ratio"
)

const platform = "_platform"

// streamUnread exists while events may have happened that are not counted.
const streamUnread = "platform:consignwatch_stream_unread:info"

// Render renders the recording rules, the alerts and the documentation from the file below root.
func Render(root fs.FS) (map[string][]byte, error) {
	s, err := Load(root)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{recordingFile: s.recordings()}
	for file, text := range map[string]string{alertsFile: alertsTemplate, docFile: docTemplate} {
		if files[file], err = s.render(file, text); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (s *SLOs) recordings() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Made from %s by `consignwatch render`. Do not edit it here: change it there, and render.\ngroups:\n", File)
	out.WriteString("  - name: slo_objectives\n    rules:\n")
	for _, one := range s.SLOs {
		record(&out, Objective, "vector("+number(one.Objective)+")", "slo: "+one.Name)
		record(&out, MinimumRate, "vector("+number(one.MinimumRate)+")", "slo: "+one.Name)
	}
	five := label(baseWindow)
	out.WriteString("\n  - name: slo\n    rules:\n")
	for _, one := range s.SLOs {
		of := "slo: " + one.Name + ", component: " + one.Component
		one.Platform.record(&out, of+", client: "+platform, false)
		if one.Clients != nil {
			one.Clients.record(&out, of, true)
		}
	}
	record(&out, ratioOf+five, ratio(errorsOf+five, eventsOf+five), "")
	for _, g := range groups() {
		out.WriteString("\n")
		if g.why != "" {
			fmt.Fprintf(&out, "  # %s\n", g.why)
		}
		fmt.Fprintf(&out, "  - name: %s\n    interval: %s\n    rules:\n", g.Name, label(g.Interval))
		for _, w := range g.Windows {
			w.record(&out)
		}
	}
	record(&out, budgetLeftOf, budgetLeft(), "")
	return out.Bytes()
}

// record writes the recording rules of the SLO's own expressions. Before the first error there is no series of errors: the rate is 0. Nor
// is there one of events before the first, since the event-exporter started: where something says that there should be events, and the
// stream is read, it is 0, too. With eachClient, only known clients are recorded, without _platform.
func (s *Source) record(out *bytes.Buffer, labels string, eachClient bool) {
	five := label(baseWindow)
	events, errors, demand := strings.TrimSpace(s.Events), strings.TrimSpace(s.Errors), strings.TrimSpace(s.Demand)
	add := func(name, expr string) {
		if eachClient {
			expr = "(" + expr + ")\n  and on (client) client:known:info"
		}
		record(out, name+five, expr, labels)
	}
	if demand == "" {
		add(eventsOf, events)
		add(errorsOf, fmt.Sprintf("(%s)\n  or (%s) * 0", errors, events))
		return
	}
	none := fmt.Sprintf("\n  or (%s) * 0 unless on () %s", demand, streamUnread)
	add(eventsOf, "("+events+")"+none)
	add(errorsOf, fmt.Sprintf("(%s)\n  or (%s) * 0", errors, events)+none)
	add(demandOf, demand)
}

func (w window) record(out *bytes.Buffer) {
	to, over := label(w.Length), "["+label(w.Length)+"]"
	if w.Step != 0 {
		over = "[" + label(w.Length) + ":" + label(w.Step) + "]"
	}
	events := fmt.Sprintf("avg_over_time(%s%s%s)", eventsOf, label(w.From), over)
	errors := fmt.Sprintf("avg_over_time(%s%s%s)", errorsOf, label(w.From), over)
	record(out, eventsOf+to, events, "")
	if w.hasErrors {
		record(out, errorsOf+to, errors, "")
		errors = errorsOf + to
	}
	record(out, ratioOf+to, ratio(errors, eventsOf+to), "")
}

// ratio has no value without events.
func ratio(errors, events string) string { return fmt.Sprintf("%s / (%s > 0)", errors, events) }

// budgetLeft is the remaining share of the error budget: 1 without errors in the window, 0 when it is used up, negative beyond that. It has
// no value with so few events that a single error would exceed the budget.
func budgetLeft() string {
	month := label(monthly)
	return fmt.Sprintf(`1 - %s%s / on (slo) group_left () (1 - %s)
  and %s%s * %s >= on (slo) group_left () 1 / (1 - %s)`,
		ratioOf, month, Objective, eventsOf, month, number(monthly.Seconds()), Objective)
}

func record(out *bytes.Buffer, name, expr, labels string) {
	fmt.Fprintf(out, "      - record: %s\n", name)
	if strings.Contains(expr, "\n") {
		fmt.Fprintf(out, "        expr: |\n          %s\n", strings.ReplaceAll(expr, "\n", "\n          "))
	} else {
		fmt.Fprintf(out, "        expr: %s\n", expr)
	}
	if labels != "" {
		fmt.Fprintf(out, "        labels: {%s}\n", labels)
	}
}

func number(v float64) string {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 12, 64), 64) // 0.02 * 720 is not 14.4 in binary
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

var (
	//go:embed alerts.yml.tmpl
	alertsTemplate string
	//go:embed documentation.md.tmpl
	docTemplate string
)

// templateData is the data of the templates.
type templateData struct {
	SLOs   []*SLO
	Alerts []alert
}

// dependsOn is the label depends_on of alerts: a template, because that of each SLO is another one. All of them also depend on more.
func (s *SLOs) dependsOn(more ...string) string {
	var b strings.Builder
	for i, one := range s.SLOs {
		word := "if"
		if i > 0 {
			word = "else if"
		}
		fmt.Fprintf(&b, `{{ %s eq $labels.slo %q }}%s`, word, one.Name, strings.Join(slices.Concat(one.DependsOn, more), ","))
	}
	return b.String() + "{{ end }}"
}

func (s *SLOs) render(name, text string) ([]byte, error) {
	tmpl, err := template.New(name).Delims("<<", ">>").Funcs(template.FuncMap{
		"label": label, "groups": groups, "dependsOn": s.dependsOn,
		"line":    func(s string) string { return strings.Join(strings.Fields(s), " ") },
		"percent": func(v float64) string { return number(v*100) + "%" },
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = tmpl.Execute(&out, templateData{s.SLOs, alerts()})
	return out.Bytes(), err
}

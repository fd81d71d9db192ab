package thresholds

import (
	"bytes"
	_ "embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/common/model"
)

// The files that are rendered.
const (
	rulesFile = "rules/recording/thresholds.yml"
	docFile   = "docs/thresholds.md"
)

// knownClients is the recording with a series for each client.
const knownClients = "client:known:info"

// Render renders the recording rules and docs/thresholds.md from the file below root.
func Render(root fs.FS) (map[string][]byte, error) {
	t, err := Load(root)
	if err != nil {
		return nil, err
	}
	doc, err := t.doc()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{rulesFile: t.rules(), docFile: doc}, nil
}

// rules renders two groups of recording rules: the thresholds of the platform, and those of each client.
func (t *Thresholds) rules() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Made from %s by `consignwatch render`. Do not edit it here: change it there, and render.\ngroups:\n", File)
	out.WriteString("  - name: thresholds\n    rules:\n")
	t.forEach(func(one *Threshold) {
		for _, level := range Levels() {
			if one.Platform != nil {
				writeRule(&out, fmt.Sprintf("vector(%s)", number(one.Platform[level].Number)), one.Name, level, Platform)
			}
		}
	})
	out.WriteString("\n  # A client's override wins, also when the client is not known otherwise. They change seldom, and with many clients they are many.\n" +
		"  - name: thresholds_of_clients\n    interval: 30s\n    rules:\n")
	t.forEach(func(one *Threshold) {
		for _, level := range Levels() {
			if one.Clients != nil {
				writeRule(&out, t.clientExpr(one, level), one.Name, level, "")
			}
		}
	})
	return out.Bytes()
}

func (t *Thresholds) forEach(do func(*Threshold)) {
	for _, g := range t.Groups {
		for _, one := range g.Thresholds {
			do(one)
		}
	}
}

func writeRule(out *bytes.Buffer, expr, name string, level Level, client string) {
	labels := fmt.Sprintf("name: %s, level: %s", name, level)
	if client != "" {
		labels += ", client: " + client
	}
	fmt.Fprintf(out, "      - record: %s\n        expr: %s\n        labels: {%s}\n", Metric, expr, labels)
}

// clientExpr is the expression for the threshold of each client: its override, or that of all clients.
func (t *Thresholds) clientExpr(one *Threshold, level Level) string {
	var own []string
	for _, client := range slices.Sorted(maps.Keys(t.Overrides)) {
		if v, has := t.Overrides[client][one.Name][level]; has {
			own = append(own, fmt.Sprintf(`label_replace(vector(%s), "client", "%s", "", "")`, number(v.Number), client))
		}
	}
	of := fmt.Sprintf("%s * %s", knownClients, number(one.Clients[level].Number))
	if own == nil {
		return of
	}
	return strings.Join(own, " or ") + " or on (client) " + of
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

//go:embed documentation.md.tmpl
var docTemplate string

// doc renders the documentation: every value with its thresholds, and how to change one.
func (t *Thresholds) doc() ([]byte, error) {
	tmpl, err := template.New("documentation.md.tmpl").Funcs(template.FuncMap{
		"levels": Levels, "show": formatValue, "own": t.clientOverrides,
		"line": func(s string) string { return strings.Join(strings.Fields(s), " ") },
	}).Parse(docTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = tmpl.Execute(&out, t)
	return out.Bytes(), err
}

// formatValue formats a value with its unit.
func formatValue(u Unit, v Value) string {
	switch u {
	case Seconds:
		if d := time.Duration(v.Number * float64(time.Second)).Round(time.Millisecond); d >= time.Second && d%time.Second != 0 {
			return number(v.Number) + "s"
		} else {
			return model.Duration(d).String()
		}
	case Ratio:
		return strconv.FormatFloat(v.Number*100, 'g', 6, 64) + "%"
	}
	return number(v.Number) + "/s"
}

// override is a row of the table of overrides.
type override struct {
	Client string
	Of     *Threshold
	Level  Level
	Value  Value
}

func (t *Thresholds) clientOverrides() []override {
	var all []override
	for _, client := range slices.Sorted(maps.Keys(t.Overrides)) {
		t.forEach(func(one *Threshold) {
			for _, level := range Levels() {
				if v, has := t.Overrides[client][one.Name][level]; has {
					all = append(all, override{client, one, level, v})
				}
			}
		})
	}
	return all
}

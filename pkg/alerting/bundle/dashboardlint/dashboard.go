package dashboardlint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"

	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/promql"
	"github.com/consignwatch/consignwatch/pkg/alerting/bundle/prose"
)

// Dashboard is a Grafana dashboard with its queries.
type Dashboard struct {
	File    string
	UID     string
	Title   string
	Line    int // where the document begins
	UIDLine int

	doc     *jsonValue
	panels  []string // titles
	queries []*panelQuery
}

// HasPanel reports whether a panel has this title.
func (d *Dashboard) HasPanel(title string) bool { return slices.Contains(d.panels, title) }

// panelQuery is a query of a panel, of an annotation, or of a variable.
type panelQuery struct {
	*promql.Query
	// object is the JSON object with the query: in its `expr`, or for a variable in its `query`.
	object   *jsonValue
	label    string // the label of label_values, for a variable
	fillings []filling
}

// jsonValue is a value of a JSON document with its line: an object, an array, a string, or another value.
type jsonValue struct {
	line   int
	fields map[string]*jsonValue
	keys   []string // of fields, in order
	items  []*jsonValue
	text   string
	value  any // nil, a bool, or a float64
}

func (v *jsonValue) field(name string) string {
	if f := v.fields[name]; f != nil {
		return f.text
	}
	return ""
}

// Read parses a dashboard and its queries. Of a dashboard that is wrong only in queries, it returns what it could read, with the error.
func Read(file string, text []byte, expressions parser.Parser) (*Dashboard, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	doc, err := readJSON(dec, text)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("the file holds more than one JSON document")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, 1+bytes.Count(text[:dec.InputOffset()], []byte("\n")), err)
	}
	d := &Dashboard{File: file, UID: doc.field("uid"), Title: doc.field("title"), Line: doc.line, UIDLine: orElse(doc.fields["uid"], doc).line, doc: doc}
	return d, d.walk(expressions, doc, "")
}

// readJSON decodes one value, with the line on which it begins.
func readJSON(dec *json.Decoder, text []byte) (*jsonValue, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	v := &jsonValue{line: 1 + bytes.Count(text[:dec.InputOffset()], []byte("\n"))}
	switch t := token.(type) {
	case string:
		v.text = t
	case bool, float64:
		v.value = t
	case json.Delim:
		v.fields = map[string]*jsonValue{}
		for dec.More() {
			if t == '[' {
				item, err := readJSON(dec, text)
				if err != nil {
					return nil, err
				}
				v.items = append(v.items, item)
				continue
			}
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			name := fmt.Sprint(key)
			if v.fields[name], err = readJSON(dec, text); err != nil {
				return nil, err
			}
			v.keys = append(v.keys, name)
		}
		_, err = dec.Token()
	}
	return v, err
}

// labelValues matches label_values(QUERY, LABEL).
var labelValues = regexp.MustCompile(`^label_values\((?s:(.*),)?\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\)$`)

// walk collects the queries of an object and of its descendants: `expr` of targets and annotations, and the queries of variables.
func (d *Dashboard) walk(expressions parser.Parser, v *jsonValue, title string) error {
	if own := v.field("title"); own != "" {
		title = own
		if v.fields["gridPos"] != nil {
			d.panels = append(d.panels, own)
		}
	}
	var errs []error
	for _, key := range v.keys {
		f := v.fields[key]
		text, label := "", ""
		switch variable := labelValues.FindStringSubmatch(f.text); {
		case key == "expr":
			text = f.text
		case (key == "query" || key == "definition") && variable != nil && strings.TrimSpace(variable[1]) != "":
			// Grouping by the label checks that it exists.
			label = variable[2]
			text = fmt.Sprintf("group by (%s) (%s)", label, variable[1])
		}
		if strings.TrimSpace(text) != "" {
			errs = append(errs, d.panelQuery(expressions, v, text, label, f.line, title))
		}
		errs = append(errs, d.walk(expressions, f, title))
	}
	for _, item := range v.items {
		errs = append(errs, d.walk(expressions, item, title))
	}
	return errors.Join(errs...)
}

func (d *Dashboard) panelQuery(expressions parser.Parser, from *jsonValue, text, label string, line int, title string) error {
	filled, fillings := fillVariables(text)
	expr, err := expressions.ParseExpr(filled)
	if err != nil {
		return fmt.Errorf("%s:%d: %s: %w", d.File, line, title, err)
	}
	d.queries = append(d.queries, &panelQuery{
		Query:  &promql.Query{Use: promql.ForPanel, Name: title, File: d.File, Line: line, Text: filled, Expr: expr},
		object: from, label: label, fillings: fillings,
	})
	return nil
}

// variable matches $name, ${name}, ${name:format} and [[name]].
var variable = regexp.MustCompile(`\$([A-Za-z_]\w*)|\$\{([A-Za-z_]\w*)(?:[.:][^}]*)?\}|\[\[(\w+)(?::\w+)?\]\]`)

// filling is the position of a replaced variable, in bytes of the query after the replacement.
type filling struct {
	start, end int
	name       string
}

// within reports whether the filling lies in a part of the query.
func (f filling) within(r posrange.PositionRange) bool {
	return f.start >= int(r.Start) && f.end <= int(r.End)
}

// fillVariables replaces Grafana's variables so that the query parses: by promql.AnyValue between quotes, by a duration between brackets,
// by a number elsewhere.
func fillVariables(text string) (string, []filling) {
	var b strings.Builder
	var fillings []filling
	quote, brackets, last := byte(0), 0, 0
	for _, at := range variable.FindAllStringSubmatchIndex(text, -1) {
		for i := last; i < at[0]; i++ {
			switch c := text[i]; {
			case quote != 0 && c == '\\':
				i++
			case c == quote:
				quote = 0
			case quote == 0 && (c == '"' || c == '\'' || c == '`'):
				quote = c
			case quote == 0 && c == '[':
				brackets++
			case quote == 0 && c == ']':
				brackets--
			}
		}
		b.WriteString(text[last:at[0]])
		start := b.Len()
		match := variable.FindStringSubmatch(text[at[0]:at[1]])
		name := match[1] + match[2] + match[3]
		switch {
		case quote != 0:
			b.WriteString(promql.AnyValue)
		case brackets > 0 || strings.HasSuffix(name, "interval"):
			b.WriteString("5m")
		default:
			b.WriteString("1")
		}
		fillings = append(fillings, filling{start, b.Len(), name})
		last = at[1]
	}
	b.WriteString(text[last:])
	return b.String(), fillings
}

// proseKeys are the fields of a dashboard with text for people.
var proseKeys = []string{"title", "description", "legendFormat", "text", "label", "displayName", "content", "tooltip"}

// Texts are the texts of the dashboard that people read.
func (d *Dashboard) Texts() []prose.Text { return d.addTexts(nil, d.doc, "") }

func (d *Dashboard) addTexts(all []prose.Text, v *jsonValue, title string) []prose.Text {
	if own := v.field("title"); own != "" {
		title = own
	}
	for _, key := range v.keys {
		f := v.fields[key]
		if slices.Contains(proseKeys, key) && f.text != "" {
			all = append(all, prose.Text{File: d.File, Line: f.line, Name: title, Text: f.text})
		}
		all = d.addTexts(all, f, title)
	}
	for _, item := range v.items {
		all = d.addTexts(all, item, title)
	}
	return all
}

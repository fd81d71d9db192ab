// Package mapping reads the file that says which events feed which metrics, checks it against the catalog, and compiles it
// to rules for the hot path. It counts nothing: it never sees a record.
package mapping

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/interner"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Mapping says which types of events feed which metrics. It is valid: it was checked against the catalog as a whole.
type Mapping struct {
	metrics []*catalog.Metric // all that the exporter exposes, by name
	events  []eventSpec
	known   []knownSpec
	layout  *cloudevent.Layout
}

// Metrics lists what the exporter exposes under this mapping, by name.
func (m *Mapping) Metrics() []*catalog.Metric { return slices.Clone(m.metrics) }

// The specs are what a mapping means, with every default filled in. All but the outermost can be compared, so that what
// two rules of an event have in common is resolved once.
type eventSpec struct {
	name   string
	dedupe bool
	rules  []ruleSpec
}

type ruleSpec struct {
	metric *catalog.Metric
	labels []labelSpec // one for each label of the metric
	value  valueSpec
	when   whenSpec
	ttl    time.Duration
}

type labelSpec struct {
	constant string // if it is one, the rest is empty
	field    cloudevent.Field
	fallback string // when the field is absent
	class    bool   // 404 is 4xx
	pairs    string // what stands in the field, and the label value that it becomes, joined by NUL; sorted
}

type valueSpec struct {
	path     string // empty: each event is 1
	minus    string
	currency string
	unit     catalog.Unit
	clamp    bool // below zero is zero
	optional bool
}

type whenSpec struct {
	field  cloudevent.Field
	kind   cloudevent.Kind // of what it must equal; null: always
	equals string
}

type knownSpec struct {
	metric *catalog.Metric
	values []string // one for each label; "*" for all
}

// The form of the file.
type mappingFile struct {
	Declare []catalog.Metric  `yaml:"declare"`
	Adjust  []adjustment      `yaml:"adjust"`
	Labels  map[string]source `yaml:"labels"`
	Events  []eventSection    `yaml:"events"`
	Known   []knownSection    `yaml:"known"`
}

type adjustment struct {
	Metric  string         `yaml:"metric"`
	Buckets []float64      `yaml:"buckets"`
	Limits  map[string]int `yaml:"limits"`
}

type eventSection struct {
	Type   string        `yaml:"type"`
	Dedupe bool          `yaml:"dedupe"`
	Feeds  []feedSection `yaml:"feeds"`
}

type feedSection struct {
	Metric string            `yaml:"metric"`
	Labels map[string]source `yaml:"labels"`
	Value  *valueSection     `yaml:"value"`
	When   *condition        `yaml:"when"`
	TTL    yamlfile.Duration `yaml:"ttl"`
}

type valueSection struct {
	Path      string `yaml:"path"`
	Minus     string `yaml:"minus"`
	Unit      string `yaml:"unit"`
	Currency  string `yaml:"currency"`
	BelowZero string `yaml:"below_zero"`
	Optional  bool   `yaml:"optional"`
}

type condition struct {
	Path      string    `yaml:"path"`
	Attribute string    `yaml:"attribute"`
	Header    string    `yaml:"header"`
	Equals    yaml.Node `yaml:"equals"`
}

type knownSection struct {
	Metric string            `yaml:"metric"`
	Labels map[string]string `yaml:"labels"`
}

// source is where a label comes from. A plain text is a path.
type source struct {
	Path      string            `yaml:"path"`
	Attribute string            `yaml:"attribute"`
	Header    string            `yaml:"header"`
	Constant  string            `yaml:"constant"`
	Default   string            `yaml:"default"`
	As        string            `yaml:"as"`
	Map       map[string]string `yaml:"map"`
}

func (s *source) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Path = n.Value
		return nil
	}
	// A separate decoder would accept unknown keys.
	known := []string{"path", "attribute", "header", "constant", "default", "as", "map"}
	for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if k := n.Content[i]; !slices.Contains(known, k.Value) {
			return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: field %s not found in type source", k.Line, k.Value)}}
		}
	}
	type plain source
	return n.Decode((*plain)(s))
}

// Parse reads a mapping. The name stands in front of messages, and every mistake is one of the joined errors.
func Parse(name string, text []byte, c *catalog.Catalog) (*Mapping, error) {
	var form mappingFile
	f, err := yamlfile.Parse(name, text, &form)
	if err != nil {
		return nil, err
	}
	r := &resolver{file: f, form: &form, mapping: &Mapping{}, metrics: map[string]*catalog.Metric{}}
	r.declare(c)
	r.resolve()
	if len(r.errs) > 0 {
		return nil, errors.Join(r.errs...)
	}
	return r.mapping, nil
}

// resolver turns the form of a file into a Mapping, and collects what is wrong with it.
type resolver struct {
	file    *yamlfile.File
	form    *mappingFile
	mapping *Mapping
	metrics map[string]*catalog.Metric
	errs    []error
}

func (r *resolver) wrong(key, format string, args ...any) {
	r.errs = append(r.errs, r.file.Errorf(key, format, args...))
}

// declare gathers the metrics: those of the catalog, those that the file declares, and its adjustments.
func (r *resolver) declare(c *catalog.Catalog) {
	for i, m := range r.form.Declare {
		m.Exporter, m.Section, m.Replicas = catalog.Events, "mapping", catalog.Sum
		next, err := c.With(m)
		if err != nil {
			r.wrong(fmt.Sprintf("declare.%d", i), "%w", err)
			continue
		}
		c = next
		for _, l := range m.Labels {
			if m.LabelIndex("client") >= 0 && !l.Closed() && l.Name != "client" && l.Within != "client" && l.Name != "currency" {
				r.wrong(fmt.Sprintf("declare.%d", i), "metric %s: the label client is never crossed with an open label like %s: make it two metrics", m.Name, l.Name)
			}
			if l.Within != "" && l.Within != "client" {
				r.wrong(fmt.Sprintf("declare.%d", i), "metric %s: label %s: a limit is counted within client only", m.Name, l.Name)
			}
		}
	}
	for _, m := range c.Of(catalog.Events) {
		r.metrics[m.Name] = m
	}
	for i, a := range r.form.Adjust {
		if err := r.adjust(a); err != nil {
			r.wrong(fmt.Sprintf("adjust.%d", i), "%w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.metrics)) {
		r.mapping.metrics = append(r.mapping.metrics, r.metrics[name])
	}
}

func (r *resolver) adjust(a adjustment) error {
	m, err := r.metric(a.Metric)
	if err != nil {
		return err
	}
	changed := *m
	changed.Labels = slices.Clone(m.Labels)
	if len(a.Buckets) > 0 {
		changed.Buckets = a.Buckets
	}
	for _, name := range slices.Sorted(maps.Keys(a.Limits)) {
		at := changed.LabelIndex(name)
		if at < 0 || changed.Labels[at].Closed() || name == "client" {
			return fmt.Errorf("metric %s: %s is not one of its open labels (the number of clients is set elsewhere)", a.Metric, name)
		}
		changed.Labels[at].Limit = a.Limits[name]
	}
	c, err := catalog.New(changed)
	if err != nil {
		return err
	}
	r.metrics[a.Metric], _ = c.Lookup(a.Metric)
	return nil
}

// metric finds a metric that a mapping may feed.
func (r *resolver) metric(name string) (*catalog.Metric, error) {
	m, ok := r.metrics[name]
	switch {
	case name == "":
		return nil, fmt.Errorf("a metric is missing")
	case !ok:
		return nil, fmt.Errorf("metric %s is not declared, neither in the catalog for the %s nor under declare", name, catalog.Events)
	case strings.HasPrefix(name, "consignwatch_"):
		return nil, fmt.Errorf("metric %s: the exporter counts it by itself", name)
	}
	return m, nil
}

var typeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./:-]*$`)

func (r *resolver) resolve() {
	fields := map[cloudevent.Field]bool{}
	seen := map[string]bool{}
	if len(r.form.Events) == 0 {
		r.wrong("events", "no type of event is mapped")
	}
	for _, label := range slices.Sorted(maps.Keys(r.form.Labels)) {
		if _, err := sourceOf(r.form.Labels[label], nil); err != nil {
			r.wrong("labels."+label, "%w", err)
		}
	}
	for i, e := range r.form.Events {
		key := fmt.Sprintf("events.%d", i)
		switch {
		case !typeName.MatchString(e.Type):
			r.wrong(key+".type", "%q is not a type of CloudEvents", e.Type)
		case seen[e.Type]:
			r.wrong(key+".type", "the type %s is there twice", e.Type)
		case len(e.Feeds) == 0:
			r.wrong(key, "%s feeds no metric", e.Type)
		}
		seen[e.Type] = true
		spec := eventSpec{name: e.Type, dedupe: e.Dedupe}
		for j := range e.Feeds {
			rule, at, err := r.rule(&e.Feeds[j])
			if err != nil {
				r.wrong(strings.TrimSuffix(fmt.Sprintf("%s.feeds.%d.%s", key, j, at), "."), "%s: %w", e.Type, err)
				continue
			}
			rule.fields(fields)
			spec.rules = append(spec.rules, *rule)
		}
		r.mapping.events = append(r.mapping.events, spec)
	}
	for i, k := range r.form.Known {
		spec, err := r.known(k)
		if err != nil {
			r.wrong(fmt.Sprintf("known.%d", i), "%w", err)
			continue
		}
		r.mapping.known = append(r.mapping.known, *spec)
	}
	l, err := cloudevent.NewLayout(slices.SortedFunc(maps.Keys(fields), func(a, b cloudevent.Field) int {
		return strings.Compare(a.String(), b.String())
	}))
	if err != nil {
		r.wrong("events", "%w", err)
	}
	r.mapping.layout = l
}

// rule resolves one entry of `feeds`. With an error comes the key that it is about.
func (r *resolver) rule(s *feedSection) (*ruleSpec, string, error) {
	m, err := r.metric(s.Metric)
	if err != nil {
		return nil, "metric", err
	}
	rule := &ruleSpec{metric: m, ttl: time.Duration(s.TTL)}
	fail := func(at string, err error) (*ruleSpec, string, error) {
		return nil, at, fmt.Errorf("metric %s: %w", m.Name, err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		if m.LabelIndex(name) < 0 {
			return fail("labels."+name, fmt.Errorf("it has the labels %v, not %s", m.LabelNames(), name))
		}
	}
	for i := range m.Labels {
		l := &m.Labels[i]
		src, own := s.Labels[l.Name]
		at := "labels." + l.Name
		if !own {
			if src, own = r.form.Labels[l.Name]; !own {
				return fail("labels", fmt.Errorf("nothing says where the label %s comes from", l.Name))
			}
			at = "labels"
		}
		spec, err := sourceOf(src, l)
		if err != nil {
			return fail(at, fmt.Errorf("label %s: %w", l.Name, err))
		}
		rule.labels = append(rule.labels, spec)
	}
	if rule.value, err = r.value(rule, s.Value); err != nil {
		return fail("value", err)
	}
	if (m.Type == catalog.Gauge) != (rule.ttl > 0) {
		return fail("ttl", fmt.Errorf("a gauge, and nothing else, has a time to live"))
	}
	if s.When != nil {
		if rule.when, err = s.When.resolve(); err != nil {
			return fail("when", err)
		}
	}
	return rule, "", nil
}

// fieldOf returns the one field that a section names, and rejects names that no record can have.
func fieldOf(path, attribute, header string) (cloudevent.Field, error) {
	f := cloudevent.Field{In: cloudevent.InData, Name: path}
	n := 0
	for _, c := range []cloudevent.Field{f, {In: cloudevent.InAttribute, Name: attribute}, {In: cloudevent.InHeader, Name: header}} {
		if c.Name != "" {
			f = c
			n++
		}
	}
	switch {
	case n != 1:
		return f, fmt.Errorf("it comes from exactly one of path, attribute, header and constant")
	case f.In == cloudevent.InData && slices.Contains(strings.Split(path, "."), ""):
		return f, fmt.Errorf("path %q: a path is names joined by dots", path)
	case f.In == cloudevent.InAttribute && !attributeName.MatchString(attribute):
		return f, fmt.Errorf("attribute %q: CloudEvents attributes are lower-case letters and digits", attribute)
	case f.In == cloudevent.InAttribute && (attribute == "data" || attribute == "data_base64"):
		return f, fmt.Errorf("attribute %q: data has paths", attribute)
	case f.In == cloudevent.InHeader && strings.HasPrefix(header, "ce_"):
		return f, fmt.Errorf("header %q: this is the attribute %s", header, strings.TrimPrefix(header, "ce_"))
	}
	return f, nil
}

var attributeName = regexp.MustCompile(`^[a-z0-9]+$`)

// sourceOf resolves the source of a label, and checks the values that it can have against the label's declaration, if
// there is one.
func sourceOf(s source, l *catalog.Label) (labelSpec, error) {
	belongs := func(value string) error {
		if l != nil && value != catalog.Other && !admissible(l, value) {
			return fmt.Errorf("the value %q does not belong to its domain", value)
		}
		return nil
	}
	if s.Constant != "" {
		if s.Path+s.Attribute+s.Header+s.Default+s.As != "" || s.Map != nil {
			return labelSpec{}, fmt.Errorf("a constant stands alone")
		}
		return labelSpec{constant: s.Constant}, belongs(s.Constant)
	}
	f, err := fieldOf(s.Path, s.Attribute, s.Header)
	if err != nil {
		return labelSpec{}, err
	}
	spec := labelSpec{field: f, fallback: s.Default, class: s.As == "code_class"}
	if s.As != "" && !spec.class {
		return spec, fmt.Errorf("as: %q is not known, there is code_class", s.As)
	}
	if spec.class && s.Map != nil {
		return spec, fmt.Errorf("it has either as or map")
	}
	if spec.class {
		for c := '1'; c <= '5'; c++ {
			if err := belongs(string(c) + "xx"); err != nil {
				return spec, err
			}
		}
	}
	if s.Default != "" {
		if err := belongs(s.Default); err != nil {
			return spec, fmt.Errorf("default: %w", err)
		}
	}
	var pairs []string
	for _, from := range slices.Sorted(maps.Keys(s.Map)) {
		if err := belongs(s.Map[from]); err != nil {
			return spec, fmt.Errorf("map: %w", err)
		}
		pairs = append(pairs, from, s.Map[from])
	}
	spec.pairs = strings.Join(pairs, "\x00")
	return spec, nil
}

// admissible reports whether a label can have the value: the platform itself counts as a client.
func admissible(l *catalog.Label, value string) bool {
	return l.Matches(value) || l.Name == "client" && value == interner.PlatformClient
}

// value checks that what is measured fits the metric.
func (r *resolver) value(rule *ruleSpec, s *valueSection) (valueSpec, error) {
	m := rule.metric
	spec := valueSpec{unit: m.Unit}
	if s == nil {
		if m.Type != catalog.Counter || m.Unit != catalog.Count {
			return spec, fmt.Errorf("a %s in %s needs a value", m.Type, m.Unit)
		}
		return spec, nil
	}
	unit := map[catalog.Unit]string{catalog.Count: "count", catalog.Seconds: "seconds", catalog.Bytes: "bytes", catalog.Money: "minor_units", catalog.Ratio: "ratio"}[m.Unit]
	if unit == "" || m.Unit == catalog.Ratio && m.Type != catalog.Gauge {
		return spec, fmt.Errorf("a %s in %s cannot be fed by events", m.Type, m.Unit)
	}
	if s.Unit != unit && (s.Unit != "" || m.Unit != catalog.Count) {
		return spec, fmt.Errorf("its unit is %s, so the value's must be %s, not %q", m.Unit, unit, s.Unit)
	}
	if _, err := fieldOf(s.Path, "", ""); err != nil {
		return spec, fmt.Errorf("path %q: a path is names joined by dots", s.Path)
	}
	spec.path, spec.minus, spec.currency, spec.optional = s.Path, s.Minus, s.Currency, s.Optional
	switch s.BelowZero {
	case "zero":
		spec.clamp = true
	case "", "malformed":
	default:
		return spec, fmt.Errorf("below_zero is zero or malformed, not %q", s.BelowZero)
	}
	if s.Minus != "" {
		if _, err := fieldOf(s.Minus, "", ""); err != nil || m.Type != catalog.Gauge {
			return spec, fmt.Errorf("minus is the path of what is subtracted from a gauge")
		}
	}
	if (s.Currency != "") != (m.Unit == catalog.Money) {
		return spec, fmt.Errorf("money, and nothing else, has a currency")
	}
	if m.Unit == catalog.Money && (m.Type == catalog.Gauge || rule.labels[m.LabelIndex("currency")] != labelSpec{field: cloudevent.Field{In: cloudevent.InData, Name: s.Currency}}) {
		return spec, fmt.Errorf("the label currency must come from the path %q too, and money is counted, not set", s.Currency)
	}
	return spec, nil
}

func (c *condition) resolve() (whenSpec, error) {
	f, err := fieldOf(c.Path, c.Attribute, c.Header)
	if err != nil {
		return whenSpec{}, fmt.Errorf("it looks at exactly one of path, attribute and header")
	}
	w := whenSpec{field: f, equals: c.Equals.Value}
	switch c.Equals.ShortTag() {
	case "!!bool":
		var b bool
		if err := c.Equals.Decode(&b); err != nil {
			return w, err
		}
		w.kind, w.equals = cloudevent.KindFalse, ""
		if b {
			w.kind = cloudevent.KindTrue
		}
	case "!!str":
		w.kind = cloudevent.KindText
	default:
		return w, fmt.Errorf("equals is true, false or a text")
	}
	return w, nil
}

// fields adds the fields that a rule reads.
func (f *ruleSpec) fields(to map[cloudevent.Field]bool) {
	for _, l := range f.labels {
		if l.constant == "" {
			to[l.field] = true
		}
	}
	for _, path := range []string{f.value.path, f.value.minus, f.value.currency} {
		if path != "" {
			to[cloudevent.Field{In: cloudevent.InData, Name: path}] = true
		}
	}
	if f.when.kind != cloudevent.KindNull {
		to[f.when.field] = true
	}
}

// known resolves a label set that exists from the start.
func (r *resolver) known(s knownSection) (*knownSpec, error) {
	m, err := r.metric(s.Metric)
	if err != nil {
		return nil, err
	}
	if m.Type == catalog.Gauge {
		return nil, fmt.Errorf("metric %s: a gauge that nobody has reported is unknown, not 0", m.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		if m.LabelIndex(name) < 0 {
			return nil, fmt.Errorf("metric %s: it has the labels %v, not %s", m.Name, m.LabelNames(), name)
		}
	}
	spec := &knownSpec{metric: m}
	for i := range m.Labels {
		l := &m.Labels[i]
		v, ok := s.Labels[l.Name]
		switch {
		case !ok:
			return nil, fmt.Errorf("metric %s: the label %s is missing", m.Name, l.Name)
		case v == "*" && !l.Closed() && l.Name != "client":
			return nil, fmt.Errorf("metric %s: the values of %s are not known beforehand", m.Name, l.Name)
		case v != "*" && !admissible(l, v):
			return nil, fmt.Errorf("metric %s: label %s: the value %q does not belong to its domain", m.Name, l.Name, v)
		case v != "*" && l.Within != "":
			return nil, fmt.Errorf("metric %s: the values of %s are not known beforehand", m.Name, l.Name)
		}
		spec.values = append(spec.values, v)
	}
	return spec, nil
}

// Package catalog declares every metric of the project, once: its name, type, help, unit and
// labels, which exporter exposes it, and how replicas combine. Exporters cannot expose undeclared metrics;
// documentation, rules and dashboards are checked against it. It never holds a value of a metric, and imports no exporter.
package catalog

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Type is the Prometheus type of a metric.
type Type string

// The types that the catalog knows. Summaries are left out on purpose: they cannot be aggregated over instances.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Unit says what a value counts. It decides which suffix the name must carry, and whether values may be added up when
// label values are folded into "other".
type Unit string

// Units are base units only: durations are seconds, sizes are bytes, money is the major unit of its currency.
const (
	Count     Unit = "count"     // things; the values may be added up
	Seconds   Unit = "seconds"   // a duration
	Timestamp Unit = "timestamp" // seconds since 1970-01-01 UTC
	Bytes     Unit = "bytes"     // a size
	Ratio     Unit = "ratio"     // from 0 to 1
	Money     Unit = "money"     // major units of the currency in the label `currency`
	Bool      Unit = "bool"      // 0 or 1
	Info      Unit = "info"      // always 1, the labels carry the information
)

// Combine says how the values of several replicas of one exporter become one, in rules and dashboards.
type Combine string

const (
	// Sum is for counters of a stream that is shared among replicas: each counts its own part.
	Sum Combine = "sum"
	// Max is for state that each replica reads as a whole.
	Max Combine = "max"
	// Min is for what has to be true of each replica by itself.
	Min Combine = "min"
)

// Exporter names the program that exposes a metric.
type Exporter string

// The exporters, and Every for the self metrics that all of them expose.
const (
	Business Exporter = "business-exporter"
	Every    Exporter = "every exporter"
)

// Other is the label value that stands for all values that are not admitted.
const Other = "other"

// Label declares a label of a metric. Its domain is either closed (Values) or open (Pattern, MaxLength and Limit).
type Label struct {
	Name string `yaml:"name" json:"name"`
	// Values is the closed domain.
	Values []string `yaml:"values,omitempty" json:"values,omitempty"`
	// Pattern is the regular expression that a value of an open domain matches as a whole.
	Pattern string `yaml:"pattern,omitempty" json:"pattern,omitempty"`
	// MaxLength is the longest value of an open domain, in bytes.
	MaxLength int `yaml:"max_length,omitempty" json:"max_length,omitempty"`
	// Limit is the number of different values that are admitted: in total, or for each value of Within.
	Limit int `yaml:"limit,omitempty" json:"limit,omitempty"`
	// Within names the label under whose values Limit is counted: a client has at most so many sale events.
	Within string `yaml:"within,omitempty" json:"within,omitempty"`
	// Present is how many of the values exist at a time for one combination of the labels before it; 0 means all.
	// A sale event has one name and one currency: without this an estimate would be far above what can happen.
	Present int `yaml:"present,omitempty" json:"present,omitempty"`
	// Typical is how many of the values exist in an ordinary deployment; 0 means as many as Present.
	Typical int `yaml:"typical,omitempty" json:"typical,omitempty"`
	// Optional says that a series may lack the label: it is then reported with an empty value.
	Optional bool `yaml:"optional,omitempty" json:"optional,omitempty"`

	pattern *regexp.Regexp
}

// Closed reports whether the label has a closed domain.
func (l *Label) Closed() bool { return len(l.Values) > 0 }

// Matches reports whether value belongs to the label's domain. Limits are not considered: they need state, which
// the exporter kit has.
func (l *Label) Matches(value string) bool {
	if value == "" {
		return l.Optional
	}
	if l.Closed() {
		return slices.Contains(l.Values, value)
	}
	return len(value) <= l.MaxLength && utf8.ValidString(value) && l.pattern.MatchString(value)
}

// Metric declares one metric.
type Metric struct {
	Name   string  `yaml:"name" json:"name"`
	Type   Type    `yaml:"type" json:"type"`
	Unit   Unit    `yaml:"unit" json:"unit"`
	Help   string  `yaml:"help" json:"help"`
	Labels []Label `yaml:"labels,omitempty" json:"labels,omitempty"`
	// Buckets are the upper bounds of a histogram, without +Inf.
	Buckets []float64 `yaml:"buckets,omitempty" json:"buckets,omitempty"`
	// Exporter is the program that exposes the metric.
	Exporter Exporter `yaml:"-" json:"exporter"`
	// Section is the part of the platform contract that the metric belongs to: what the platform gives to be observed, and what is exposed of it.
	// 1: its event stream. 2: its database. 3: its servers. 4: the external services that it uses. 5: alerts and acknowledgements. 6: the exporters themselves.
	Section string `yaml:"-" json:"section"`
	// Replicas says how the values of several instances combine.
	Replicas Combine `yaml:"-" json:"across_instances"`
}

// Additive reports whether values with different labels may be added up into one: the condition for folding them
// into "other". A time or an info cannot be added, so such series are dropped instead.
func (m *Metric) Additive() bool {
	switch m.Unit {
	case Count, Bytes, Money:
		return true
	case Seconds:
		return m.Type != Gauge
	}
	return false
}

// LabelIndex is the place of a label in Labels, or -1.
func (m *Metric) LabelIndex(name string) int {
	return slices.IndexFunc(m.Labels, func(l Label) bool { return l.Name == name })
}

// LabelNames lists the names of the labels in the order of their declaration.
func (m *Metric) LabelNames() []string {
	names := make([]string, len(m.Labels))
	for i, l := range m.Labels {
		names[i] = l.Name
	}
	return names
}

// Catalog is a set of metrics that obey the naming rules, with unique names.
type Catalog struct {
	metrics []*Metric
	byName  map[string]*Metric
}

// New checks the declarations and makes a catalog of them, in the given order.
func New(metrics ...Metric) (*Catalog, error) {
	c := &Catalog{byName: make(map[string]*Metric, len(metrics))}
	return c, c.add(metrics)
}

// With returns a catalog that has the metrics of c and the given ones.
func (c *Catalog) With(metrics ...Metric) (*Catalog, error) {
	n := &Catalog{metrics: slices.Clone(c.metrics), byName: make(map[string]*Metric, len(c.metrics)+len(metrics))}
	for _, m := range n.metrics {
		n.byName[m.Name] = m
	}
	return n, n.add(metrics)
}

func (c *Catalog) add(metrics []Metric) error {
	for _, m := range metrics {
		m.Labels = slices.Clone(m.Labels)
		if err := m.check(); err != nil {
			return err
		}
		if c.byName[m.Name] != nil {
			return fmt.Errorf("metric %s: declared twice", m.Name)
		}
		c.byName[m.Name] = &m
		c.metrics = append(c.metrics, &m)
	}
	return nil
}

// Lookup returns the declaration of a metric.
func (c *Catalog) Lookup(name string) (*Metric, bool) {
	m, ok := c.byName[name]
	return m, ok
}

// All lists the metrics in the order of their declaration.
func (c *Catalog) All() []*Metric { return slices.Clone(c.metrics) }

// Of lists what one exporter exposes, without the self metrics that every exporter has.
func (c *Catalog) Of(e Exporter) []*Metric {
	var of []*Metric
	for _, m := range c.metrics {
		if m.Exporter == e {
			of = append(of, m)
		}
	}
	return of
}

// ForExporter returns a catalog of what one exporter exposes, self metrics included: an exporter is held to its own
// declarations, not to those of its siblings.
func (c *Catalog) ForExporter(e Exporter) *Catalog {
	n := &Catalog{byName: map[string]*Metric{}}
	for _, m := range c.metrics {
		if m.Exporter == e || m.Exporter == Every {
			n.byName[m.Name] = m
			n.metrics = append(n.metrics, m)
		}
	}
	return n
}

// Exporters lists the exporters that have metrics in the catalog, in the order of their first metric.
func (c *Catalog) Exporters() []Exporter {
	var names []Exporter
	for _, m := range c.metrics {
		if !slices.Contains(names, m.Exporter) {
			names = append(names, m.Exporter)
		}
	}
	return names
}

var (
	metricName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)+$`)
	labelName  = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
)

// check enforces the rules of the contract's section 0, and compiles the patterns.
func (m *Metric) check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("metric "+m.Name+": "+format, args...)
	}
	if !metricName.MatchString(m.Name) {
		return fail("a name has a prefix and lower-case words joined by underscores, like consign_items")
	}
	if m.Help == "" || !strings.HasSuffix(m.Help, ".") {
		return fail("help must be a sentence that ends with a period")
	}
	for _, s := range []string{"_count", "_sum", "_bucket", "_created"} {
		if strings.HasSuffix(m.Name, s) {
			return fail("the suffix %s is taken by histograms and start timestamps", s)
		}
	}
	switch m.Type {
	case Counter:
		if !strings.HasSuffix(m.Name, "_total") {
			return fail("a counter ends in _total")
		}
	case Gauge, Histogram:
		if strings.HasSuffix(m.Name, "_total") {
			return fail("only a counter ends in _total")
		}
	default:
		return fail("type %q is not one of counter, gauge, histogram", m.Type)
	}
	if err := m.checkUnit(); err != nil {
		return fail("%w", err)
	}
	if (m.Type == Histogram) != (len(m.Buckets) > 0) {
		return fail("a histogram, and nothing else, declares its buckets")
	}
	if !slices.IsSorted(m.Buckets) || len(slices.Compact(slices.Clone(m.Buckets))) != len(m.Buckets) {
		return fail("buckets must increase: %v", m.Buckets)
	}
	seen := map[string]bool{}
	for i := range m.Labels {
		l := &m.Labels[i]
		if seen[l.Name] {
			return fail("label %s: declared twice", l.Name)
		}
		if l.Within != "" && !seen[l.Within] {
			return fail("label %s: it counts its limit within the label %q, which is not declared before it", l.Name, l.Within)
		}
		seen[l.Name] = true
		if err := l.check(); err != nil {
			return fail("label %s: %w", l.Name, err)
		}
	}
	return nil
}

func (m *Metric) checkUnit() error {
	base := strings.TrimSuffix(m.Name, "_total")
	needs := func(suffix string) error {
		if !strings.HasSuffix(base, suffix) {
			return fmt.Errorf("unit %s wants a name that ends in %s", m.Unit, suffix)
		}
		return nil
	}
	switch m.Unit {
	case Count, Bool, Ratio:
		for _, s := range []string{"_seconds", "_bytes", "_info"} {
			if strings.HasSuffix(base, s) {
				return fmt.Errorf("a name that ends in %s does not have the unit %s", s, m.Unit)
			}
		}
	case Seconds:
		if strings.HasSuffix(base, "_timestamp_seconds") {
			return fmt.Errorf("a name that ends in _timestamp_seconds has the unit timestamp")
		}
		return needs("_seconds")
	case Timestamp:
		return needs("_timestamp_seconds")
	case Bytes:
		return needs("_bytes")
	case Info:
		return needs("_info")
	case Money:
		if m.LabelIndex("currency") < 0 {
			return fmt.Errorf("money carries the label currency")
		}
	default:
		return fmt.Errorf("unit %q is not known", m.Unit)
	}
	return nil
}

func (l *Label) check() error {
	if !labelName.MatchString(l.Name) {
		return fmt.Errorf("a label name is lower-case words joined by underscores")
	}
	switch {
	case l.Name == "job", l.Name == "instance", l.Name == "le", l.Name == "quantile", strings.HasPrefix(l.Name, "exported_"):
		return fmt.Errorf("the name is reserved for Prometheus")
	}
	if l.Closed() {
		if l.Pattern != "" || l.MaxLength != 0 || l.Limit != 0 {
			return fmt.Errorf("it has either values, or a pattern, a max_length and a limit")
		}
		for _, v := range l.Values {
			if v == "" || !utf8.ValidString(v) {
				return fmt.Errorf("value %q: must be valid UTF-8 and not empty", v)
			}
		}
		return nil
	}
	if l.Pattern == "" || l.MaxLength <= 0 || l.Limit <= 0 {
		return fmt.Errorf("an open label needs a pattern, a max_length and a limit")
	}
	re, err := regexp.Compile("^(?:" + l.Pattern + ")$")
	if err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	l.pattern = re
	return nil
}

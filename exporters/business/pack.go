package business

import (
	"bytes"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

//go:embed queries.yml
var embeddedPack []byte

// eventsPlaceholder stands in the SQL of a query `per: event` for the ids of the sale events to read.
const eventsPlaceholder = "{{events}}"

// Pack is a query pack: which SQL feeds which metrics. docs/business-exporter.md describes the language.
type Pack struct {
	// Declare adds metrics that the shipped catalog does not have.
	Declare []catalog.Metric `yaml:"declare"`
	// Clients lists the active clients, SaleEvents their sale events: the parameters of the queries.
	Clients    List `yaml:"clients"`
	SaleEvents List `yaml:"sale_events"`
	// RefreshEnded is how often a sale event that no longer changes is read again.
	RefreshEnded yamlfile.Duration `yaml:"refresh_ended"`
	Queries      []Query           `yaml:"queries"`
}

// List is a query for the list of clients or sale events. It is read at most once an interval, for all queries together.
type List struct {
	Interval yamlfile.Duration `yaml:"interval"`
	Timeout  yamlfile.Duration `yaml:"timeout"`
	SQL      string            `yaml:"sql"`
}

// Query is one SELECT and the metrics that its rows feed.
type Query struct {
	// Name is the value of the label `collector`.
	Name string `yaml:"name"`
	// Reason says what the numbers are for, and justifies their cost.
	Reason string `yaml:"reason"`
	// Per is what the query is about: empty for the whole platform, `client`, or `event`.
	Per string `yaml:"per"`
	// Events says which sale events a query `per: event` reads: `exposed` (the default) or `all`.
	Events   string            `yaml:"events"`
	Interval yamlfile.Duration `yaml:"interval"`
	Timeout  yamlfile.Duration `yaml:"timeout"`
	SQL      string            `yaml:"sql"`
	Metrics  []Mapping         `yaml:"metrics"`
}

// Mapping says how a row feeds a metric.
type Mapping struct {
	Metric string `yaml:"metric"`
	// Value is the column with the value; empty for the constant 1.
	Value string `yaml:"value"`
	// MinorUnits says that the value is an integer in minor units (cents) of the currency in the label `currency`.
	MinorUnits bool `yaml:"minor_units"`
	// Labels maps a label to a column with another name.
	Labels map[string]string `yaml:"labels"`
	// Constants gives labels a fixed value.
	Constants map[string]string `yaml:"constants"`
	// Combine says how rows with the same labels become one: sum, min or max. Without it such rows are an error.
	Combine string `yaml:"combine"`
	// Zero makes every client, or with the label event every sale event, that has no row have the value 0, for each
	// combination of the closed labels.
	Zero bool `yaml:"zero"`
	// Profile makes the metric an expectation: the value is the number in one part of a sale event's duration, and this many parts last
	// as long as the column `lasts` says. A live sale event has the mean of its client's earlier ones at the same time, within the window. See profile.go.
	Profile int               `yaml:"profile"`
	Window  yamlfile.Duration `yaml:"window"`

	metric *catalog.Metric
	labels []labelSource // in the order of the metric's labels
}

// labelSource says where the value of a label comes from.
type labelSource struct {
	constant string
	column   string // when constant is empty
}

// loadPack reads a pack, the embedded one when path is empty, and checks it against the catalog.
func loadPack(path string, shipped *catalog.Catalog) (*Pack, *yamlfile.File, *catalog.Catalog, error) {
	var p Pack
	var f *yamlfile.File
	var err error
	if path == "" {
		f, err = yamlfile.Parse("queries.yml (embedded)", embeddedPack, &p)
	} else {
		f, err = yamlfile.Read(path, &p)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range p.Declare {
		p.Declare[i].Exporter, p.Declare[i].Section, p.Declare[i].Replicas = catalog.Business, "query pack", catalog.Max
		if shipped, err = shipped.With(p.Declare[i]); err != nil {
			return nil, nil, nil, f.Errorf(fmt.Sprintf("declare.%d", i), "%w", err)
		}
	}
	c := shipped.ForExporter(catalog.Business)
	if err := p.check(f, c); err != nil {
		return nil, nil, nil, err
	}
	return &p, f, c, nil
}

var queryName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// check finds every mistake that can be found without a database, and names its line.
func (p *Pack) check(f *yamlfile.File, c *catalog.Catalog) error {
	for _, l := range []struct {
		key  string
		list *List
	}{{"clients", &p.Clients}, {"sale_events", &p.SaleEvents}} {
		if strings.TrimSpace(l.list.SQL) == "" {
			return f.Errorf(l.key+".sql", "the SQL that lists the %s is missing", strings.ReplaceAll(l.key, "_", " "))
		}
		if err := checkTimes(f, l.key, l.list.Interval, l.list.Timeout); err != nil {
			return err
		}
	}
	if p.RefreshEnded <= 0 {
		return f.Errorf("refresh_ended", "must be longer than 0, like 24h")
	}
	if len(p.Queries) == 0 {
		return f.Errorf("queries", "the pack has no query")
	}
	names := map[string]bool{}
	for i := range p.Queries {
		q, key := &p.Queries[i], fmt.Sprintf("queries.%d", i)
		if !queryName.MatchString(q.Name) {
			return f.Errorf(key+".name", "%q is not a name: lower-case letters, digits, - and _, at most 63", q.Name)
		}
		if names[q.Name] {
			return f.Errorf(key+".name", "the name %q is used twice", q.Name)
		}
		if q.Name == replicaCollectorName {
			return f.Errorf(key+".name", "the name %q belongs to the exporter's own collector", q.Name)
		}
		names[q.Name] = true
		if err := q.check(f, key, c); err != nil {
			return err
		}
	}
	return nil
}

func checkTimes(f *yamlfile.File, key string, interval, timeout yamlfile.Duration) error {
	if interval <= 0 {
		return f.Errorf(key+".interval", "must be longer than 0, like 30s")
	}
	if timeout <= 0 || timeout > interval {
		return f.Errorf(key+".timeout", "must be longer than 0 and not longer than the interval %s", interval)
	}
	return nil
}

func (q *Query) check(f *yamlfile.File, key string, c *catalog.Catalog) error {
	if err := checkTimes(f, key, q.Interval, q.Timeout); err != nil {
		return err
	}
	if strings.TrimSpace(q.SQL) == "" {
		return f.Errorf(key+".sql", "the query has no SQL")
	}
	if !slices.Contains([]string{"", "client", "event"}, q.Per) {
		return f.Errorf(key+".per", "%q is not one of client, event (or leave it out)", q.Per)
	}
	if (q.Per == "event") != strings.Contains(q.SQL, eventsPlaceholder) {
		return f.Errorf(key+".sql", "a query with `per: event`, and no other, has WHERE event_id IN (%s)", eventsPlaceholder)
	}
	if !slices.Contains([]string{"", "exposed", "all"}, q.Events) || q.Events != "" && q.Per != "event" {
		return f.Errorf(key+".events", "is `exposed` or `all`, and goes with `per: event`")
	}
	if len(q.Metrics) == 0 {
		return f.Errorf(key+".metrics", "the query feeds no metric")
	}
	for i := range q.Metrics {
		if err := q.Metrics[i].check(f, fmt.Sprintf("%s.metrics.%d", key, i), q, c); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mapping) check(f *yamlfile.File, key string, q *Query, c *catalog.Catalog) error {
	var ok bool
	if m.metric, ok = c.Lookup(m.Metric); !ok || m.metric.Exporter != catalog.Business {
		return f.Errorf(key+".metric", "%q is not a metric of the business-exporter; declare it under `declare`, or see `consignwatch catalog`", m.Metric)
	}
	if m.metric.Type != catalog.Gauge {
		return f.Errorf(key+".metric", "%s is a %s: a query feeds gauges, because a state read from tables can go down", m.Metric, m.metric.Type)
	}
	if !slices.Contains([]string{"", "sum", "min", "max"}, m.Combine) {
		return f.Errorf(key+".combine", "%q is not one of sum, min, max", m.Combine)
	}
	if m.MinorUnits != (m.metric.Unit == catalog.Money) {
		return f.Errorf(key+".minor_units", "is for money, and for nothing else")
	}
	if m.metric.Unit != catalog.Info && m.Value == "" {
		return f.Errorf(key+".value", "the column with the value is missing")
	}
	if m.Zero && (q.Per == "" || m.metric.LabelIndex("client") < 0 || q.Per == "client" && m.metric.LabelIndex("event") >= 0) {
		return f.Errorf(key+".zero", "goes with `per: client` and the label client, or with `per: event` and the labels client or client and event")
	}
	if m.Profile != 0 || m.Window != 0 {
		if err := m.checkProfile(f, key, q); err != nil {
			return err
		}
	}
	if q.Per == "event" && m.metric.LabelIndex("event") < 0 && m.Combine == "" {
		return f.Errorf(key+".combine", "%s has no label event: say how the sale events of a client become one value", m.Metric)
	}
	return m.checkLabels(f, key, q)
}

func (m *Mapping) checkLabels(f *yamlfile.File, key string, q *Query) error {
	for name := range m.Labels {
		if m.metric.LabelIndex(name) < 0 {
			return f.Errorf(key+".labels."+name, "%s has no label %q, only %s", m.Metric, name, strings.Join(m.metric.LabelNames(), ", "))
		}
	}
	for name, v := range m.Constants {
		i := m.metric.LabelIndex(name)
		if i < 0 {
			return f.Errorf(key+".constants."+name, "%s has no label %q, only %s", m.Metric, name, strings.Join(m.metric.LabelNames(), ", "))
		}
		if !m.metric.Labels[i].Matches(v) {
			return f.Errorf(key+".constants."+name, "%q is not a value of the label", v)
		}
		if m.Labels[name] != "" {
			return f.Errorf(key+".constants."+name, "the label has a column, too")
		}
	}
	for i := range m.metric.Labels {
		l := &m.metric.Labels[i]
		src := labelSource{constant: m.Constants[l.Name], column: l.Name}
		if col := m.Labels[l.Name]; col != "" {
			src.column = col
		}
		if m.Zero && l.Name != "client" && l.Name != "event" && src.constant == "" && !l.Closed() {
			return f.Errorf(key+".zero", "the label %s is open: its values are not known where there is no row", l.Name)
		}
		m.labels = append(m.labels, src)
	}
	return nil
}

// packText is the pack as it counts for the hash of the configuration.
func packText(f *yamlfile.File) []byte { return bytes.TrimSpace(f.Text) }

func duration(d yamlfile.Duration) time.Duration { return time.Duration(d) }

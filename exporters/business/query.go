package business

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/currency"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// collector collects one query.
type collector struct {
	query   *Query
	targets []exporter.Target
	maxAge  time.Duration
}

// Name is the query's name.
func (c *collector) Name() string { return c.query.Name }

// Schedule gives a round its interval to end: each statement has the query's own time limit.
func (c *collector) Schedule() exporter.Schedule {
	interval := duration(c.query.Interval)
	return exporter.Schedule{
		Interval: interval,
		Timeout:  max(interval, duration(c.query.Timeout)+2*slack),
		MaxAge:   c.maxAge,
	}
}

// Targets are one for a query that reads everything each round; two for sale events: those that change, and those
// that have ended, so that history can never delay or spoil what is live.
func (c *collector) Targets() []exporter.Target { return c.targets }

// statement is the query with its SQL as it is sent.
func (q *Query) statement(text string) statement {
	return statement{name: q.Name, text: text, limit: duration(q.Timeout)}
}

// told is what one row says of one metric.
type told struct {
	mapping *Mapping
	labels  []string
	value   float64 // money in minor units
	place   *place  // where in a profile; nil for a value that is told as it is
}

// read takes from a row what it says of each metric. known holds label values that do not come from columns.
func (q *Query) read(r *row, known map[string]string, to []told) ([]told, error) {
	for i := range q.Metrics {
		m := &q.Metrics[i]
		t := told{mapping: m, value: 1, labels: make([]string, len(m.labels))}
		if m.Value != "" {
			v, ok, err := r.number64(m.Value)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue // NULL: unknown
			}
			if m.MinorUnits && (v != math.Trunc(v) || math.Abs(v) > 1<<53) {
				return nil, r.parseError(m.Value, "%v is not an integer number of minor units below 2^53", v)
			}
			t.value = v
		}
		if m.Profile > 0 {
			var ok bool
			var err error
			if t.place, ok, err = m.readPlace(r); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		for j, src := range m.labels {
			var err error
			if src.constant != "" {
				t.labels[j] = src.constant
			} else if v, ok := known[src.column]; ok {
				t.labels[j] = v
			} else if t.labels[j], err = r.label(src.column); err != nil {
				return nil, fmt.Errorf("label %s of %s: %w", m.metric.Labels[j].Name, m.Metric, err)
			}
		}
		to = append(to, t)
	}
	return to, nil
}

// totals joins what rows say, metric by metric, and keeps the order of arrival.
type totals struct {
	list []told
	at   map[string]int
}

func newTotals() *totals { return &totals{at: map[string]int{}} }

func (t *totals) add(v told) error {
	k := identity(v.mapping, v.labels)
	i, ok := t.at[k]
	if !ok {
		t.at[k] = len(t.list)
		t.list = append(t.list, v)
		return nil
	}
	switch v.mapping.Combine {
	case "sum":
		t.list[i].value += v.value
	case "min":
		t.list[i].value = min(t.list[i].value, v.value)
	case "max":
		t.list[i].value = max(t.list[i].value, v.value)
	default:
		return exporter.Failure(exporter.ReasonParse, fmt.Errorf("two rows have the same labels %v of %s %q; say in the pack how they combine, or group by them",
			v.mapping.metric.LabelNames(), v.mapping.Metric, v.labels))
	}
	return nil
}

// zeros adds the value 0 for every combination of the closed labels that has none; known holds the values of the labels
// client and event.
func (t *totals) zeros(m *Mapping, known map[string]string) error {
	return t.zerosFrom(m, known, make([]string, len(m.labels)), 0)
}

func (t *totals) zerosFrom(m *Mapping, known map[string]string, labels []string, i int) error {
	if i == len(labels) {
		if _, ok := t.at[identity(m, labels)]; ok {
			return nil
		}
		return t.add(told{mapping: m, labels: slices.Clone(labels)})
	}
	l := &m.metric.Labels[i]
	values := l.Values
	if m.labels[i].constant != "" {
		values = []string{m.labels[i].constant}
	} else if v, ok := known[l.Name]; ok {
		values = []string{v}
	}
	for _, v := range values {
		labels[i] = v
		if err := t.zerosFrom(m, known, labels, i+1); err != nil {
			return err
		}
	}
	return nil
}

func identity(m *Mapping, labels []string) string {
	k := m.Metric
	for _, l := range labels {
		k += "\xff" + l
	}
	return k
}

// emit hands the totals to the sink, money in major units. What a currency that does not exist is worth is unknown: such money is
// refused, and one client's typing error costs no other client its numbers.
func (t *totals) emit(sink *exporter.Sink) {
	for _, v := range t.list {
		value := v.value
		if v.mapping.MinorUnits {
			exponent, ok := currency.Exponent(v.labels[v.mapping.metric.LabelIndex("currency")])
			if !ok {
				sink.Refuse(v.mapping.Metric, "currency")
				continue
			}
			value /= math.Pow10(exponent)
		}
		sink.Gauge(v.mapping.Metric, value, v.labels...)
	}
}

// wholeTarget reads a query that is about the platform or about clients, all of it each round.
type wholeTarget struct {
	dir   *directory
	query *Query
}

func (w *wholeTarget) Name() string { return "database" }

func (w *wholeTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	list, err := w.dir.get(ctx)
	if err != nil {
		return err
	}
	sink.Inventory("client", list.slugs)
	sum := newTotals()
	err = w.dir.db.query(ctx, w.query.statement(w.query.SQL), func(r *row) error {
		known := map[string]string{}
		if w.query.Per == "client" {
			id, err := r.id("client_id")
			if err != nil {
				return err
			}
			slug := list.slugOf[id]
			if slug == "" {
				return nil // a client that is not active
			}
			known["client"] = slug
		}
		values, err := w.query.read(r, known, nil)
		if err != nil {
			return err
		}
		for _, v := range values {
			if err := sum.add(v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range w.query.Metrics {
		if !w.query.Metrics[i].Zero {
			continue
		}
		for _, slug := range list.slugs {
			if err := sum.zeros(&w.query.Metrics[i], map[string]string{"client": slug}); err != nil {
				return err
			}
		}
	}
	sum.emit(sink)
	return nil
}

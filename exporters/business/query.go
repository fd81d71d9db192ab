package business

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
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
		Timeout:  max(interval, duration(c.query.Timeout)+2*clientTimeoutMargin),
		MaxAge:   c.maxAge,
	}
}

// Targets are one for a query that reads everything each round; two for sale events: those that change, and those
// that have ended, so that history can never delay or fail the live ones.
func (c *collector) Targets() []exporter.Target { return c.targets }

// statement is the query with its SQL as it is sent.
func (q *Query) statement(text string) statement {
	return statement{name: q.Name, text: text, limit: duration(q.Timeout)}
}

// rowValue is the value of one row for one metric.
type rowValue struct {
	mapping     *Mapping
	labels      []string
	listed      []int        // which labels are values of the list of sale events, and change with it
	value       float64      // money in minor units
	wrong       *rowError    // why it cannot be used; nil for a value
	profilePart *profilePart // its part of a profile; nil for a value that is reported as it is
}

// read reads the values of a row, one for each metric. known holds label values of its client and
// sale event: a row that has such a column itself, like a sale its own currency, has its own value.
// A value that cannot be used has its error: it costs only its metric.
func (q *Query) read(r *row, known map[string]string, to []rowValue) ([]rowValue, error) {
	for i := range q.Metrics {
		v, ok, err := q.Metrics[i].read(r, known)
		if wrong, ok := asRowError(err); ok {
			to = append(to, rowValue{mapping: &q.Metrics[i], wrong: &rowError{wrong.reason, err}})
			continue
		}
		if err != nil {
			return nil, err
		}
		if ok {
			to = append(to, v)
		}
	}
	return to, nil
}

// read reads the value of a row. ok is false when it is unknown.
func (m *Mapping) read(r *row, known map[string]string) (t rowValue, ok bool, err error) {
	t = rowValue{mapping: m, value: 1, labels: make([]string, len(m.labels))}
	if m.Value != "" {
		v, ok, err := r.number64(m.Value)
		if err != nil || !ok {
			return t, false, err
		}
		if m.MinorUnits && (v != math.Trunc(v) || math.Abs(v) >= 1<<53) {
			return t, false, r.rejected(catalog.NotMinorUnits, m.Value, "%v is not an integer number of minor units below 2^53", v)
		}
		t.value = v
	}
	if m.Profile > 0 {
		if t.profilePart, ok, err = m.readProfilePart(r); err != nil || !ok {
			return t, false, err
		}
	}
	for j, src := range m.labels {
		if src.constant != "" {
			t.labels[j] = src.constant
		} else if v, ok := known[src.column]; ok && !r.overrides(src.column) {
			t.labels[j] = v
			t.listed = append(t.listed, j)
		} else if t.labels[j], err = r.label(src.column); err != nil {
			return t, false, fmt.Errorf("label %s of %s: %w", m.metric.Labels[j].Name, m.Metric, err)
		}
	}
	return t, true, nil
}

// overrides reports whether the row has its own value of a label that its sale event has, too. Whom it belongs to is always what the
// lists say.
func (r *row) overrides(column string) bool {
	_, ok := r.columns[column]
	return ok && column != "client" && column != "event"
}

// totals combines the values of rows, metric by metric, and keeps their order.
type totals struct {
	list []rowValue
	at   map[string]int
	// incomplete are the metrics of clients that have lost a value: a part of a total would be a wrong total.
	incomplete map[clientMetric]bool
	rejected   []rejectedRow
}

// clientMetric is a mapping and a client, which is empty when the metric has no label client.
type clientMetric struct {
	mapping *Mapping
	client  string
}

func newTotals() *totals { return &totals{at: map[string]int{}, incomplete: map[clientMetric]bool{}} }

// addOf adds the value of a client. One that cannot be used costs the client's series of the metric.
func (t *totals) addOf(client string, v rowValue) error {
	var wrong rowError
	if v.wrong != nil {
		wrong = *v.wrong
	} else if err := t.add(v); err == nil {
		return nil
	} else if duplicate, ok := asRowError(err); ok {
		wrong = duplicate
	} else {
		return err
	}
	t.rejected = append(t.rejected, rejectedRow{client, wrong})
	if v.mapping.metric.LabelIndex("client") < 0 {
		client = ""
	}
	t.incomplete[clientMetric{v.mapping, client}] = true
	return nil
}

func (t *totals) add(v rowValue) error {
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
		return exporter.Failure(exporter.ReasonParse, rowError{catalog.DuplicateRow, fmt.Errorf("two rows have the same labels %v of %s %q; say in the pack how they combine, or group by them",
			v.mapping.metric.LabelNames(), v.mapping.Metric, v.labels)})
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
		return t.add(rowValue{mapping: m, labels: slices.Clone(labels)})
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

// emit reports the totals to the sink, money in major units. The exponent of a currency that does not exist is unknown: such money
// is rejected, and one client's typing error does not affect the series of others.
func (t *totals) emit(sink *exporter.Sink) {
	for _, v := range t.list {
		client := ""
		if i := v.mapping.metric.LabelIndex("client"); i >= 0 {
			client = v.labels[i]
		}
		if t.incomplete[clientMetric{v.mapping, client}] {
			continue
		}
		value := v.value
		if v.mapping.MinorUnits {
			exponent, ok := currency.Exponent(v.labels[v.mapping.metric.LabelIndex("currency")])
			if !ok {
				sink.Reject(v.mapping.Metric, "currency")
				continue
			}
			value /= math.Pow10(exponent)
		}
		sink.Gauge(v.mapping.Metric, value, v.labels...)
	}
}

// wholeTarget reads a query that is about the platform or about clients, all of it each round.
type wholeTarget struct {
	dir      *directory
	query    *Query
	rejected *rejections
}

func (w *wholeTarget) Name() string { return "database" }

func (w *wholeTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	list, err := w.dir.get(ctx)
	if err != nil {
		return err
	}
	sink.Inventory("client", list.slugs)
	sum := newTotals()
	if w.query.Per == "client" {
		sum.rejected = slices.Clone(list.rejected)
	}
	err = w.dir.db.query(ctx, w.query.statement(w.query.SQL), func(r *row) error { return w.read(r, list, sum) })
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
	w.rejected.count(w.dir.log, w.query.Name, sum.rejected, sink)
	return nil
}

// read adds the values of a row. What is wrong with one costs its client; a row of the platform as a whole fails the query.
func (w *wholeTarget) read(r *row, list *listing, sum *totals) error {
	known := map[string]string{}
	if w.query.Per == "client" {
		id, err := r.id("client_id")
		if wrong, ok := asRowError(err); ok {
			sum.rejected = append(sum.rejected, rejectedRow{catalog.Other, wrong})
			return nil
		}
		if err != nil {
			return err
		}
		if known["client"] = list.slugOf[id]; known["client"] == "" {
			return nil // a client that is not active
		}
	}
	values, err := w.query.read(r, known, nil)
	if err != nil {
		return err
	}
	for _, v := range values {
		switch {
		case known["client"] != "":
			err = sum.addOf(known["client"], v)
		case v.wrong != nil:
			err = exporter.Failure(exporter.ReasonParse, *v.wrong)
		default:
			err = sum.add(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

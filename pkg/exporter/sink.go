package exporter

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Sink receives the samples of one collection. It accepts only what the catalog declares; the first mistake fails the
// whole collection. A Sink belongs to one collection and one goroutine.
type Sink struct {
	catalog    *catalog.Catalog
	samples    []sample
	inventory  []inventory
	rejections []rejection
	status     *Sink
	err        error
}

type sample struct {
	metric   *catalog.Metric
	labels   []string // in the order of the declaration
	reported []string // the labels as they were reported, once one of them has become "other"; otherwise nil
	position int      // among the samples of the collection
	value    float64
	created  time.Time
	hist     *HistogramValue
}

type inventory struct {
	label  string
	within string // the value that the label's limit is counted within, for labels that have such a limit
	values []string
}

type rejection struct{ metric, label string }

// Bool is a condition as a value: 1 when it holds, otherwise 0.
func Bool(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

// HistogramValue is the state of a histogram: cumulative counts for the bounds that the catalog declares.
type HistogramValue struct {
	Count   uint64
	Sum     float64
	Buckets []uint64 // cumulative, one for each bound, without +Inf; UnknownBucket where the source does not know
}

// UnknownBucket stands for a count that the source of a histogram does not know, because its own bounds are others. The
// bucket is not exposed: a guess would be wrong, and there is no number that means unknown.
const UnknownBucket = math.MaxUint64

// Status returns a sink for samples that are valid whether the collection succeeds or not: that the target is down, and
// what the exporter itself has counted and measured. Its samples replace those of the collection before at once, while
// the samples of the sink itself stay from the last collection that succeeded until they are too old. A series is
// reported to one of the two, never to both.
func (s *Sink) Status() *Sink {
	if s.status == nil {
		s.status = &Sink{catalog: s.catalog}
	}
	return s.status
}

// Gauge reports the value of a gauge. Label values stand in the order in which the catalog declares the labels.
func (s *Sink) Gauge(name string, value float64, labels ...string) {
	s.add(name, catalog.Gauge, sample{value: value, labels: labels})
}

// Counter reports the value of a counter and its start timestamp; the zero time if that is unknown.
func (s *Sink) Counter(name string, value float64, since time.Time, labels ...string) {
	s.add(name, catalog.Counter, sample{value: value, created: since, labels: labels})
}

// Histogram reports the state of a histogram and its start timestamp; the zero time if that is unknown.
func (s *Sink) Histogram(name string, value HistogramValue, since time.Time, labels ...string) {
	s.add(name, catalog.Histogram, sample{hist: &value, created: since, labels: labels})
}

// Inventory reports which values of an open label are known to exist, the most important first: they are admitted
// before any other value.
func (s *Sink) Inventory(label string, values []string) {
	s.inventory = append(s.inventory, inventory{label: label, values: values})
}

// InventoryWithin is Inventory for a label whose limit is counted within the values of another one: the sale events of a client.
func (s *Sink) InventoryWithin(within, label string, values []string) {
	s.inventory = append(s.inventory, inventory{label, within, values})
}

// Reject counts a series that cannot be exposed, because the value of a label is invalid in a way that the catalog cannot
// describe: a currency that does not exist. The rest of the collection is exposed.
func (s *Sink) Reject(name, label string) {
	m, ok := s.catalog.Lookup(name)
	switch {
	case s.err != nil:
	case !ok:
		s.err = internalf("metric %s is not declared in the catalog", name)
	case m.LabelIndex(label) < 0:
		s.err = internalf("metric %s has the labels %v, not %q", name, m.LabelNames(), label)
	default:
		s.rejections = append(s.rejections, rejection{name, label})
	}
}

func (s *Sink) add(name string, typ catalog.Type, v sample) {
	if s.err != nil {
		return
	}
	m, ok := s.catalog.Lookup(name)
	switch {
	case !ok:
		s.err = internalf("metric %s is not declared in the catalog", name)
	case m.Type != typ:
		s.err = internalf("metric %s is declared as a %s, not a %s", name, m.Type, typ)
	case len(v.labels) != len(m.Labels):
		s.err = internalf("metric %s has the labels %v, got %d values", name, m.LabelNames(), len(v.labels))
	case math.IsNaN(v.value) || math.IsInf(v.value, 0):
		s.err = Failure(ReasonParse, fmt.Errorf("metric %s%v: value %v is not a number", name, v.labels, v.value))
	case typ == catalog.Counter && v.value < 0:
		s.err = Failure(ReasonParse, fmt.Errorf("metric %s%v: a counter cannot be negative: %v", name, v.labels, v.value))
	case v.hist != nil && len(v.hist.Buckets) != len(m.Buckets):
		s.err = internalf("metric %s has %d buckets, got %d", name, len(m.Buckets), len(v.hist.Buckets))
	default:
		v.metric = m
		v.labels = slices.Clone(v.labels)
		v.position = len(s.samples)
		s.samples = append(s.samples, v)
	}
}

// family is the part of a metric family that one snapshot holds, sorted by label values.
type family struct {
	metric  *catalog.Metric
	samples []*dto.Metric
}

// seal makes the immutable families of a collection that has succeeded: label values are admitted or folded into
// "other", and a label set that was reported twice is an error.
func (s *Sink) seal(limiter *cardinalityLimiter, now time.Time) ([]family, error) {
	if s.err != nil {
		return nil, s.err
	}
	limiter.fold(s.samples, s.inventory, now)
	slices.SortFunc(s.samples, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.metric.Name, b.metric.Name), slices.Compare(a.labels, b.labels), slices.Compare(a.reported, b.reported))
	})
	for i := 1; i < len(s.samples); i++ {
		if a, b := &s.samples[i-1], &s.samples[i]; a.metric == b.metric && slices.Equal(a.labels, b.labels) && slices.Equal(a.reported, b.reported) {
			return nil, Failure(ReasonParse, fmt.Errorf("metric %s%s: the label set was reported twice", b.metric.Name, labelString(b)))
		}
	}
	for _, r := range s.rejections {
		limiter.self.labelValuesRejected.WithLabelValues(r.metric, r.label).Inc()
		limiter.self.seriesDropped.WithLabelValues(r.metric).Inc()
	}
	var families []family
	for len(s.samples) > 0 {
		n := 1
		for n < len(s.samples) && s.samples[n].metric == s.samples[0].metric {
			n++
		}
		if f := sealFamily(limiter, s.samples[:n]); len(f.samples) > 0 {
			families = append(families, f)
		}
		s.samples = s.samples[n:]
	}
	return families, nil
}

// sealFamily makes the family of the sorted samples of one metric. Neighbors with the same labels become one sample: values
// were folded into "other", or into an "other" that was reported. Those that cannot be added up are dropped.
func sealFamily(limiter *cardinalityLimiter, samples []sample) family {
	f, reported := family{metric: samples[0].metric}, len(samples)
	kept := samples[:0]
	merged := 0
	for i := range samples {
		v := &samples[i]
		switch last := len(kept) - 1; {
		case v.reported != nil && !v.addable():
		case last >= 0 && slices.Equal(kept[last].labels, v.labels):
			kept[last].merge(v)
			merged++
		default:
			kept = append(kept, *v)
		}
	}
	kept = limiter.limit(f.metric, kept)
	if dropped := reported - merged - len(kept); dropped > 0 {
		limiter.self.seriesDropped.WithLabelValues(f.metric.Name).Add(float64(dropped))
	}
	for i := range kept {
		f.samples = append(f.samples, kept[i].encode())
	}
	return f
}

// addable reports whether the sample, whose labels were folded, may be added to others.
func (v *sample) addable() bool {
	currency := v.metric.LabelIndex("currency") // money of different currencies cannot be added
	return v.metric.Additive() && (currency < 0 || v.labels[currency] == v.reported[currency])
}

// sealStatus is seal for the samples of Status. It returns nil when there are none.
func (s *Sink) sealStatus(limiter *cardinalityLimiter, now time.Time) ([]family, error) {
	if s == nil || s.status == nil {
		return nil, nil
	}
	return s.status.seal(limiter, now)
}

// labelString writes the labels as they were reported.
func labelString(v *sample) string {
	var b strings.Builder
	labels := v.labels
	if v.reported != nil {
		labels = v.reported
	}
	for i, l := range labels {
		fmt.Fprintf(&b, ",%s=%q", v.metric.Labels[i].Name, l)
	}
	return "{" + strings.TrimPrefix(b.String(), ",") + "}"
}

func (v *sample) encode() *dto.Metric {
	m := &dto.Metric{}
	for i, l := range v.labels {
		if l == "" {
			continue // an optional label, which this series lacks
		}
		m.Label = append(m.Label, &dto.LabelPair{Name: &v.metric.Labels[i].Name, Value: proto.String(l)})
	}
	// The exposition wants labels by name.
	slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	var created *timestamppb.Timestamp
	if !v.created.IsZero() {
		created = timestamppb.New(v.created)
	}
	switch v.metric.Type {
	case catalog.Gauge:
		m.Gauge = &dto.Gauge{Value: proto.Float64(v.value)}
	case catalog.Counter:
		m.Counter = &dto.Counter{Value: proto.Float64(v.value), CreatedTimestamp: created}
	case catalog.Histogram:
		h := &dto.Histogram{SampleCount: proto.Uint64(v.hist.Count), SampleSum: proto.Float64(v.hist.Sum), CreatedTimestamp: created}
		for i, n := range v.hist.Buckets {
			if n == UnknownBucket {
				continue
			}
			h.Bucket = append(h.Bucket, &dto.Bucket{CumulativeCount: proto.Uint64(n), UpperBound: proto.Float64(v.metric.Buckets[i])})
		}
		m.Histogram = h
	}
	return m
}

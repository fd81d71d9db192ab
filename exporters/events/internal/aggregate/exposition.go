package aggregate

import (
	"math"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// gather sums the shards and makes the families, by name, each with its series in the order of their label values. words
// returns the values of a shard to expose; series below the minimum state are not exposed. The caller holds the
// Aggregator's lock.
func (a *Aggregator) gather(now time.Time, words func(*Shard) []uint64, minimum exposureState) []*dto.MetricFamily {
	a.gathers++
	a.sumShards(words, minimum)
	b := &familyBuilder{aggregator: a, created: timestamppb.New(a.options.Start)}
	gauges := a.sumGauges(now)
	positions := a.positionGauges(minimum)
	var families []*dto.MetricFamily
	for _, m := range a.mapping.Metrics {
		mf := &dto.MetricFamily{Name: &m.Decl.Name, Help: &m.Decl.Help}
		switch m.Decl.Type {
		case catalog.Counter:
			mf.Type = dto.MetricType_COUNTER.Enum()
		case catalog.Gauge:
			mf.Type = dto.MetricType_GAUGE.Enum()
		case catalog.Histogram:
			mf.Type = dto.MetricType_HISTOGRAM.Enum()
		}
		mf.Metric = positions[m.Decl.Name]
		for _, s := range a.registry.sorted(m) {
			if m.Decl.Type == catalog.Gauge {
				if v, ok := gauges[s]; ok {
					mf.Metric = append(mf.Metric, b.gauge(s.labels, v))
				}
				continue
			}
			if s.lastGather == a.gathers || s.known {
				mf.Metric = append(mf.Metric, b.series(s))
			}
		}
		if len(mf.Metric) > 0 {
			families = append(families, mf)
		}
	}
	return families
}

// sumShards sums the values of all shards by series. Counts are integers; sums of seconds are added in the order of the
// partitions, so that no rounding makes a counter fall from one exposition to the next.
func (a *Aggregator) sumShards(wordsOf func(*Shard) []uint64, minimum exposureState) {
	if n := a.registry.size(); n > len(a.sums) {
		a.sums = make([]uint64, n+n/4)
	}
	for _, s := range a.shards {
		numbers := wordsOf(s)
		cells := s.frozenStates()
		for i := range s.exposure {
			if s.exposure[i] < minimum || s.exposure[i] == unexposed {
				continue
			}
			c := &cells[i]
			m := c.series.metric
			sums := a.sums[c.series.at : c.series.at+m.Words]
			if c.series.lastGather != a.gathers {
				c.series.lastGather = a.gathers
				clear(sums)
			}
			words := numbers[c.at+1 : c.at+1+m.Words]
			last := len(words) - 1
			for j, w := range words[:last] {
				sums[j] += w
			}
			if m.Float {
				sums[last] = math.Float64bits(math.Float64frombits(sums[last]) + math.Float64frombits(words[last]))
			} else {
				sums[last] = add(sums[last], words[last])
			}
		}
	}
}

// frozenStates are the states that gather may read: new ones are appended behind them.
func (s *Shard) frozenStates() []seriesState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.states[:len(s.exposure)]
}

// sumGauges sums the last reports of the sources. A source with reports in several partitions counts once.
func (a *Aggregator) sumGauges(now time.Time) map[*series]float64 {
	latest := map[gaugeKey]gauge{}
	for _, s := range a.shards {
		s.mu.Lock()
		s.expire(now.UnixMilli())
		for k, g := range s.gauges {
			if g.reportedAt >= latest[k].reportedAt {
				latest[k] = g
			}
		}
		s.mu.Unlock()
	}
	sums := map[*series]float64{}
	for k, g := range latest {
		sums[k.series] += g.value
	}
	return sums
}

// positionGauges makes the gauges about the consumer's position: offset, lag and time of the newest record.
func (a *Aggregator) positionGauges(minimum exposureState) map[string][]*dto.Metric {
	families := map[string][]*dto.Metric{}
	put := func(name string, v float64, labels ...string) {
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &v}}
		for i := 0; i < len(labels); i += 2 {
			if labels[i+1] != "" { // to Prometheus, an empty label is an absent one
				m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(labels[i]), Value: proto.String(labels[i+1])})
			}
		}
		families[name] = append(families[name], m)
	}
	newest := map[string]int64{}
	for i, s := range a.shards {
		offset := s.inFlightOffset
		if minimum == exposed {
			offset = s.acknowledgedOffset
		}
		s.mu.Lock()
		assigned, topicID, next, end := s.assigned, s.topicID, s.next, s.end
		newest[s.topic] = max(newest[s.topic], s.newest)
		s.mu.Unlock()
		if assigned {
			partition := strconv.Itoa(int(s.partition))
			put("consignwatch_offset", float64(offset), "partition", partition, "topic", s.topic, "topic_id", topicID)
			if end >= 0 {
				put("consignwatch_records_lag", float64(max(end-next, 0)), "partition", partition, "topic", s.topic)
			}
		}
		if last := i+1 == len(a.shards) || a.shards[i+1].topic != s.topic; last && newest[s.topic] > 0 {
			put("consignwatch_last_record_timestamp_seconds", float64(newest[s.topic])/1000, "topic", s.topic)
		}
	}
	return families
}

// familyBuilder makes the parts of the families out of few, large allocations.
type familyBuilder struct {
	aggregator *Aggregator
	created    *timestamppb.Timestamp

	metrics    arena[dto.Metric]
	counters   arena[dto.Counter]
	histograms arena[dto.Histogram]
	buckets    arena[dto.Bucket]
	pointers   arena[*dto.Bucket]
	floats     arena[float64]
	counts     arena[uint64]
}

type arena[T any] struct{ free []T }

// take returns n zero values in a row.
func (a *arena[T]) take(n int) []T {
	if len(a.free) < n {
		a.free = make([]T, max(n, 512))
	}
	t := a.free[:n:n]
	a.free = a.free[n:]
	return t
}

func (a *arena[T]) one(v T) *T {
	p := &a.take(1)[0]
	*p = v
	return p
}

func (b *familyBuilder) gauge(labels []*dto.LabelPair, v float64) *dto.Metric {
	m := &b.metrics.take(1)[0]
	m.Label, m.Gauge = labels, &dto.Gauge{Value: &v}
	return m
}

// series encodes a counter or a histogram: the sum of the shards, or 0 if none has it.
func (b *familyBuilder) series(s *series) *dto.Metric {
	words := b.aggregator.sums[s.at : s.at+s.metric.Words]
	if s.lastGather != b.aggregator.gathers {
		clear(words)
	}
	created := s.created
	if created == nil {
		created = b.created
	}
	m := &b.metrics.take(1)[0]
	m.Label = s.labels
	value := b.floats.one(s.number(words[len(words)-1]))
	if s.metric.Decl.Type == catalog.Counter {
		m.Counter = &b.counters.take(1)[0]
		m.Counter.Value, m.Counter.CreatedTimestamp = value, created
		return m
	}
	h := &b.histograms.take(1)[0]
	m.Histogram = h
	h.SampleSum, h.CreatedTimestamp = value, created
	bounds := s.metric.Decl.Buckets
	buckets := b.buckets.take(len(bounds) + 1)
	h.Bucket = b.pointers.take(len(bounds) + 1)
	counts := b.counts.take(len(bounds) + 1)
	cumulative := uint64(0)
	for i := range buckets {
		cumulative += words[i]
		counts[i] = cumulative
		buckets[i].CumulativeCount = &counts[i]
		buckets[i].UpperBound = &infinity
		if i < len(bounds) {
			buckets[i].UpperBound = &bounds[i]
		}
		if s.exemplars != nil {
			buckets[i].Exemplar = s.exemplars[i].encode()
		}
		h.Bucket[i] = &buckets[i]
	}
	h.SampleCount = &counts[len(bounds)]
	return m
}

var infinity = math.Inf(1)

// number decodes the last word of a series: a float, a count, or an amount in major units.
func (s *series) number(word uint64) float64 {
	switch {
	case s.metric.Float:
		return math.Float64frombits(word)
	case s.metric.CurrencyLabel >= 0:
		return float64(word) / minorPerMajor[s.exponent&7]
	}
	return float64(word)
}

// encode returns the exemplar, or nil if its ids are not valid by W3C Trace Context.
func (e *exemplar) encode() *dto.Exemplar {
	zero := [2]bool{true, true} // neither id may be 0
	for i, c := range e.ids {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return nil
		}
		if c != '0' {
			zero[i/32] = false
		}
	}
	if e.time == 0 || zero[0] || zero[1] {
		return nil
	}
	return &dto.Exemplar{
		Label: []*dto.LabelPair{
			{Name: proto.String("span_id"), Value: proto.String(string(e.ids[32:]))},
			{Name: proto.String("trace_id"), Value: proto.String(string(e.ids[:32]))},
		},
		Value:     proto.Float64(e.value),
		Timestamp: timestamppb.New(time.UnixMilli(e.time)),
	}
}

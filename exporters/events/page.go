package events

import (
	"math"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// page adds the shards up and makes the families, by name, each with its series in the order of their label values. of
// says which numbers of a shard count, and from which state on a cell is shown. The caller holds the ledger's lock.
func (l *Ledger) page(now time.Time, of func(*Shard) []uint64, from cellState) []*dto.MetricFamily {
	l.pages++
	l.add(of, from)
	p := &pageMaker{ledger: l, created: timestamppb.New(l.options.Start)}
	gauges := l.gauges(now)
	stream := l.stream(from)
	var families []*dto.MetricFamily
	for _, m := range l.plan.metrics {
		mf := &dto.MetricFamily{Name: &m.decl.Name, Help: &m.decl.Help}
		switch m.decl.Type {
		case catalog.Counter:
			mf.Type = dto.MetricType_COUNTER.Enum()
		case catalog.Gauge:
			mf.Type = dto.MetricType_GAUGE.Enum()
		case catalog.Histogram:
			mf.Type = dto.MetricType_HISTOGRAM.Enum()
		}
		mf.Metric = stream[m.decl.Name]
		for _, s := range l.registry.sorted(m) {
			if m.decl.Type == catalog.Gauge {
				if v, ok := gauges[s]; ok {
					mf.Metric = append(mf.Metric, p.gauge(s.labels, v))
				}
				continue
			}
			if s.page == l.pages || s.known {
				mf.Metric = append(mf.Metric, p.series(s))
			}
		}
		if len(mf.Metric) > 0 {
			families = append(families, mf)
		}
	}
	return families
}

// add sums the cells of all shards by series. Counts are integers; sums of seconds are added in the order of the
// partitions, so that a page never shows less than the one before because of rounding.
func (l *Ledger) add(of func(*Shard) []uint64, from cellState) {
	if n := l.registry.size(); n > len(l.sums) {
		l.sums = make([]uint64, n+n/4)
	}
	for _, s := range l.shards {
		numbers := of(s)
		cells := s.known()
		for i := range s.state {
			if s.state[i] < from || s.state[i] == unseen {
				continue
			}
			c := &cells[i]
			m := c.series.metric
			sums := l.sums[c.series.at : c.series.at+m.words]
			if c.series.page != l.pages {
				c.series.page = l.pages
				clear(sums)
			}
			words := numbers[c.at+1 : c.at+1+m.words]
			last := len(words) - 1
			for j, w := range words[:last] {
				sums[j] += w
			}
			if m.float {
				sums[last] = math.Float64bits(math.Float64frombits(sums[last]) + math.Float64frombits(words[last]))
			} else {
				sums[last] = add(sums[last], words[last])
			}
		}
	}
}

// known are the cells that a page may read: new ones come behind them.
func (s *Shard) known() []cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cells[:len(s.state)]
}

// gauges adds up what the sources have told last. A source that was heard in several partitions counts once.
func (l *Ledger) gauges(now time.Time) map[*series]float64 {
	latest := map[gaugeKey]gauge{}
	for _, s := range l.shards {
		s.mu.Lock()
		s.expire(now.UnixMilli())
		for k, g := range s.gauges {
			if g.told >= latest[k].told {
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

// stream makes the gauges about the stream itself.
func (l *Ledger) stream(from cellState) map[string][]*dto.Metric {
	families := map[string][]*dto.Metric{}
	put := func(name string, v float64, labels ...string) {
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &v}}
		for i := 0; i < len(labels); i += 2 {
			m.Label = append(m.Label, &dto.LabelPair{Name: proto.String(labels[i]), Value: proto.String(labels[i+1])})
		}
		families[name] = append(families[name], m)
	}
	newest := map[string]int64{}
	for i, s := range l.shards {
		offset := s.frozenOffset
		if from == exposed {
			offset = s.baseOffset
		}
		s.mu.Lock()
		assigned, next, end := s.assigned, s.next, s.end
		newest[s.topic] = max(newest[s.topic], s.newest)
		s.mu.Unlock()
		if assigned {
			partition := strconv.Itoa(int(s.partition))
			put("consignwatch_offset", float64(offset), "partition", partition, "topic", s.topic)
			if end >= 0 {
				put("consignwatch_records_lag", float64(max(end-next, 0)), "partition", partition, "topic", s.topic)
			}
		}
		if last := i+1 == len(l.shards) || l.shards[i+1].topic != s.topic; last && newest[s.topic] > 0 {
			put("consignwatch_last_record_timestamp_seconds", float64(newest[s.topic])/1000, "topic", s.topic)
		}
	}
	return families
}

// pageMaker makes the parts of a page out of few, large allocations.
type pageMaker struct {
	ledger  *Ledger
	created *timestamppb.Timestamp

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

func (p *pageMaker) gauge(labels []*dto.LabelPair, v float64) *dto.Metric {
	m := &p.metrics.take(1)[0]
	m.Label, m.Gauge = labels, &dto.Gauge{Value: &v}
	return m
}

// series shows a counter or a histogram: what the shards add up to, or 0 if none has it.
func (p *pageMaker) series(s *series) *dto.Metric {
	words := p.ledger.sums[s.at : s.at+s.metric.words]
	if s.page != p.ledger.pages {
		clear(words)
	}
	created := s.created
	if created == nil {
		created = p.created
	}
	m := &p.metrics.take(1)[0]
	m.Label = s.labels
	value := p.floats.one(s.number(words[len(words)-1]))
	if s.metric.decl.Type == catalog.Counter {
		m.Counter = &p.counters.take(1)[0]
		m.Counter.Value, m.Counter.CreatedTimestamp = value, created
		return m
	}
	h := &p.histograms.take(1)[0]
	m.Histogram = h
	h.SampleSum, h.CreatedTimestamp = value, created
	bounds := s.metric.decl.Buckets
	buckets := p.buckets.take(len(bounds) + 1)
	h.Bucket = p.pointers.take(len(bounds) + 1)
	counts := p.counts.take(len(bounds) + 1)
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

// number is the last word of a cell as what it means: a float, a count, or an amount in major units.
func (s *series) number(word uint64) float64 {
	switch {
	case s.metric.float:
		return math.Float64frombits(word)
	case s.metric.places >= 0:
		return float64(word) / pow10[s.places]
	}
	return float64(word)
}

// encode shows a trace, unless it is not what W3C Trace Context says it is.
func (e *exemplar) encode() *dto.Exemplar {
	zero := [2]bool{true, true} // neither number may be 0
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

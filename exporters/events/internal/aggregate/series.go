package aggregate

import (
	"cmp"
	"slices"
	"sync"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consignwatch/consignwatch/exporters/events/internal/interner"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
)

// series is one label set of one metric, over all partitions.
type series struct {
	metric   *mapping.Metric
	key      uint64
	values   []string         // in the order of the declaration
	labels   []*dto.LabelPair // sorted by name, as the exposition wants them
	at       int              // index of its words in Aggregator.sums
	exponent uint8            // decimal places of its currency, in whose minor units its amounts are

	// The fields below are guarded by the Aggregator's lock.
	known      bool // initialized to 0
	created    *timestamppb.Timestamp
	lastGather uint64     // the last gather that exposed the series
	exemplars  []exemplar // one for each bucket of a histogram
}

// registry holds all series, and keeps them within the limits of the metrics. Shards call get once for each series.
type registry struct {
	mu      sync.Mutex
	byKey   map[uint64]*series
	metrics map[*mapping.Metric]*metricSeries
	words   int // the length of Aggregator.sums

	knownSeries []*series

	exponents *exponents
}

// metricSeries are the series of one metric. Those up to sorted are sorted by label values; new ones are appended.
type metricSeries struct {
	list   []*series
	sorted int
}

func newRegistry(p *mapping.Compiled, e *exponents) *registry {
	r := &registry{byKey: map[uint64]*series{}, metrics: map[*mapping.Metric]*metricSeries{}, exponents: e}
	for _, m := range p.Metrics {
		r.metrics[m] = &metricSeries{}
	}
	return r
}

// get returns the series of a key. Beyond the metric's limit the values of all labels but client and currency become
// "other": what is counted stays complete, for each client and each currency. When there is no room for that either, the
// client does, too. Never the currency: amounts of different currencies cannot be added. The limit of the label currency
// bounds the series that this makes beyond the reserve.
func (r *registry) get(m *mapping.Metric, key uint64) *series {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.byKey[key]; s != nil {
		return s
	}
	n := len(r.metrics[m].list)
	if n < m.Limit {
		return r.put(m, key)
	}
	folded := fold(m, key, "client", "currency")
	if r.byKey[folded] == nil && n >= m.Limit+m.Reserve {
		folded = fold(m, key, "currency")
	}
	if folded != key {
		m.Dropped.Add(1)
	}
	if s := r.byKey[folded]; s != nil {
		return s
	}
	return r.put(m, folded)
}

// fold makes the values of all labels "other", except for some.
func fold(m *mapping.Metric, key uint64, except ...string) uint64 {
	ids := m.IDs(key)
	for i := range ids {
		if !slices.Contains(except, m.Decl.Labels[i].Name) {
			ids[i] = interner.OtherID
		}
	}
	return m.Key(ids)
}

func (r *registry) put(m *mapping.Metric, key uint64) *series {
	s := &series{metric: m, key: key, at: r.words}
	r.words += m.Words
	for i, id := range m.IDs(key) {
		v := m.Interners[i].ValueOf(id)
		s.values = append(s.values, v)
		s.labels = append(s.labels, &dto.LabelPair{Name: &m.Decl.Labels[i].Name, Value: proto.String(v)})
	}
	if m.CurrencyLabel >= 0 {
		s.exponent = r.exponents.of([]byte(s.values[m.CurrencyLabel]))
	}
	slices.SortFunc(s.labels, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	r.byKey[key] = s
	r.metrics[m].list = append(r.metrics[m].list, s)
	return s
}

// sorted returns the series of a metric in the order of the exposition. The caller may read it while series are added.
func (r *registry) sorted(m *mapping.Metric) []*series {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.metrics[m]
	if in.sorted < len(in.list) {
		// A new slice, because an earlier caller may still read the old one.
		in.list = slices.SortedStableFunc(slices.Values(in.list), func(a, b *series) int { return slices.Compare(a.values, b.values) })
		in.sorted = len(in.list)
	}
	return in.list[:len(in.list):len(in.list)]
}

func (r *registry) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.words
}

// initKnown adds the known label sets of a mapping, at 0. clients are the values that "*" stands for in the label client.
func (r *registry) initKnown(all []mapping.Known, clients []string) {
	for _, k := range all {
		m := k.Metric
		sets := [][]uint32{nil}
		for i, v := range k.Values {
			values := []string{v}
			if l := &m.Decl.Labels[i]; v == "*" && l.Closed() {
				values = l.Values
			} else if v == "*" {
				values = clients
			}
			var longer [][]uint32
			for _, set := range sets {
				for _, v := range values {
					if id, ok := m.Interners[i].Reserve(v); ok {
						longer = append(longer, append(slices.Clone(set), id))
					}
				}
			}
			sets = longer
		}
		for _, ids := range sets {
			s := r.get(m, m.Key(ids))
			r.mu.Lock()
			if !s.known {
				s.known = true
				r.knownSeries = append(r.knownSeries, s)
			}
			r.mu.Unlock()
		}
	}
}

// setCreated sets the start timestamp of the known series that were never exposed.
func (r *registry) setCreated(created *timestamppb.Timestamp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.knownSeries {
		if s.created == nil {
			s.created = created
		}
	}
}

// resetCreated removes start timestamp and exemplars from all series, as if they had never been exposed.
func (r *registry) resetCreated() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.byKey {
		s.created, s.exemplars = nil, nil
	}
}

// updateExemplars keeps the newest exemplar of each bucket.
func (s *series) updateExemplars(fresh []exemplar) {
	if s.exemplars == nil {
		s.exemplars = make([]exemplar, len(fresh))
	}
	for i := range fresh {
		if fresh[i].time > 0 && fresh[i].time >= s.exemplars[i].time {
			s.exemplars[i] = fresh[i]
		}
	}
}

// evict removes the series for which evicted is true, and closes the gaps between the others.
func (r *registry) evict(evicted func(*series) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.words = 0
	for _, in := range r.metrics {
		var list []*series
		sorted := 0
		for i, s := range in.list {
			if evicted(s) {
				delete(r.byKey, s.key)
				continue
			}
			s.at = r.words
			r.words += s.metric.Words
			list = append(list, s)
			if i < in.sorted {
				sorted++
			}
		}
		in.list, in.sorted = list, sorted
	}
}

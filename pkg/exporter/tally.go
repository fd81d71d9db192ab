package exporter

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Tally counts and measures what the exporter itself does to a target, from one collection to the next: requests by
// outcome, and how long they took. It is told to a sink whole, usually to Always: what was counted is true whether the
// collection succeeds or not. Its methods can be called from any goroutine.
type Tally struct {
	catalog *catalog.Catalog
	now     func() time.Time

	mu     sync.Mutex
	series []*tallied
	index  map[string]*tallied // by metric and label values
}

// tallied is one counter or histogram.
type tallied struct {
	metric  string
	labels  []string
	created time.Time
	sum     float64  // of a histogram, or the counter
	counts  []uint64 // of a histogram: observations in each bucket alone, the last one for +Inf
	bounds  []float64
}

// NewTally makes an empty tally of metrics that the catalog declares.
func NewTally(c *catalog.Catalog) *Tally {
	return &Tally{catalog: c, now: time.Now, index: map[string]*tallied{}}
}

// Begin makes a series start at 0, so that its first increase is seen as one.
func (t *Tally) Begin(metric string, labels ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.get(metric, labels)
}

// Add adds to a counter.
func (t *Tally) Add(metric string, n float64, labels ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.get(metric, labels).sum += n
}

// Observe adds a value to a histogram, with the bounds that the catalog declares.
func (t *Tally) Observe(metric string, value float64, labels ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.get(metric, labels)
	s.sum += value
	s.counts[sort.SearchFloat64s(s.bounds, value)]++
}

// Tell tells all series to the sink.
func (t *Tally) Tell(s *Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range t.series {
		if len(v.bounds) == 0 {
			s.Counter(v.metric, v.sum, v.created, v.labels...)
			continue
		}
		h := HistogramValue{Sum: v.sum, Buckets: make([]uint64, len(v.bounds))}
		for i, n := range v.counts {
			h.Count += n
			if i < len(h.Buckets) {
				h.Buckets[i] = h.Count
			}
		}
		s.Histogram(v.metric, h, v.created, v.labels...)
	}
}

func (t *Tally) get(metric string, labels []string) *tallied {
	id := metric + "\xff" + key(labels)
	s := t.index[id]
	if s == nil {
		s = &tallied{metric: metric, labels: slices.Clone(labels), created: t.now()}
		if m, ok := t.catalog.Lookup(metric); ok { // if not, the sink will say so
			s.bounds = m.Buckets
		}
		s.counts = make([]uint64, len(s.bounds)+1)
		t.index[id] = s
		t.series = append(t.series, s)
	}
	return s
}

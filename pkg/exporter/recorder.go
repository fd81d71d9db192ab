package exporter

import (
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Recorder keeps counters and histograms of the exporter's own requests to a target, from one collection to the next:
// requests by outcome, and their durations. Collect reports all its series to a sink, usually to Sink.Status, because
// these values are valid whether the collection succeeds or not. Its methods can be called from any goroutine.
type Recorder struct {
	catalog *catalog.Catalog
	now     func() time.Time

	mu     sync.Mutex
	series []*recordedSeries
	index  map[string]*recordedSeries // by metric and label values
}

// recordedSeries is one counter or histogram.
type recordedSeries struct {
	metric  string
	labels  []string
	created time.Time
	sum     float64  // of a histogram, or the counter
	counts  []uint64 // of a histogram: observations in each bucket alone, the last one for +Inf
	bounds  []float64
}

// NewRecorder makes an empty recorder of metrics that the catalog declares.
func NewRecorder(c *catalog.Catalog) *Recorder {
	return &Recorder{catalog: c, now: time.Now, index: map[string]*recordedSeries{}}
}

// Init initializes a series to 0, so that its first increase is seen as one.
func (r *Recorder) Init(metric string, labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.get(metric, labels)
}

// Add adds to a counter.
func (r *Recorder) Add(metric string, n float64, labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.get(metric, labels).sum += n
}

// Observe adds a value to a histogram, with the bounds that the catalog declares.
func (r *Recorder) Observe(metric string, value float64, labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.get(metric, labels)
	s.sum += value
	s.counts[sort.SearchFloat64s(s.bounds, value)]++
}

// Collect reports all series to the sink.
func (r *Recorder) Collect(s *Sink) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.series {
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

func (r *Recorder) get(metric string, labels []string) *recordedSeries {
	id := metric + "\xff" + strings.Join(labels, "\xff") // 0xff never occurs in UTF-8
	s := r.index[id]
	if s == nil {
		s = &recordedSeries{metric: metric, labels: slices.Clone(labels), created: r.now()}
		if m, ok := r.catalog.Lookup(metric); ok { // if not, the sink will say so
			s.bounds = m.Buckets
		}
		s.counts = make([]uint64, len(s.bounds)+1)
		r.index[id] = s
		r.series = append(r.series, s)
	}
	return s
}

package exporter

import (
	"cmp"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// source names one snapshot: a collector and one of its targets.
type source struct{ collector, target string }

func (s source) compare(o source) int {
	return cmp.Or(cmp.Compare(s.collector, o.collector), cmp.Compare(s.target, o.target))
}

// snapshot is what one collection has found. It never changes.
type snapshot struct {
	families []family
	expires  time.Time
}

// page holds the newest snapshot of every source and makes one exposition of them, together with the registry of
// the self metrics. It implements prometheus.Gatherer.
type page struct {
	self *selfMetrics
	log  *slog.Logger
	now  func() time.Time

	mu        sync.Mutex
	snapshots map[source]snapshot
	always    map[source]snapshot // of each source's last collection, whether it succeeded or not
	stream    Stream
	refused   map[[2]string]uint64 // what the stream has refused so far, by metric and label
	merged    []*dto.MetricFamily  // nil when it has to be made anew
}

func newPage(self *selfMetrics, log *slog.Logger, now func() time.Time) *page {
	return &page{self: self, log: log, now: now, snapshots: map[source]snapshot{}, always: map[source]snapshot{}}
}

// publish replaces the snapshot of a source.
func (p *page) publish(s source, snap snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.snapshots[s], p.merged = snap, nil
}

// publishAlways replaces what a source tells whether its collection succeeds or not.
func (p *page) publishAlways(s source, snap snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always[s], p.merged = snap, nil
}

// keep drops the snapshots of all sources but the given ones: after a reload.
func (p *page) keep(sources map[source]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, snapshots := range []map[source]snapshot{p.snapshots, p.always} {
		for s := range snapshots {
			if !sources[s] {
				delete(snapshots, s)
			}
		}
	}
	p.merged = nil
}

// setStream replaces the stream that is asked at each scrape.
func (p *page) setStream(s Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stream, p.refused = s, map[[2]string]uint64{}
}

// Gather returns the families of all snapshots that have not expired, and the self metrics, by name. What it returns is
// shared between scrapes and must not be changed.
func (p *page) Gather() ([]*dto.MetricFamily, error) { return p.gather(nil) }

// gather is Gather with the families of a stream.
func (p *page) gather(stream []*dto.MetricFamily) ([]*dto.MetricFamily, error) {
	collected := append(slices.Clip(p.collected()), stream...)
	self, err := p.self.gather(collected)
	all := append(collected, self...)
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all, err
}

var _ prometheus.Gatherer = (*page)(nil)

// scrape asks the stream, when there is one.
func (p *page) scrape(r *http.Request) (prometheus.Gatherer, func(written bool)) {
	p.mu.Lock()
	stream := p.stream
	p.mu.Unlock()
	if stream == nil {
		return p, func(bool) {}
	}
	families, settle := stream.Scrape(r)
	p.countRefused(stream)
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return p.gather(families) }), settle
}

// countRefused adds what the stream has refused since the last time.
func (p *page) countRefused(s Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Refused(func(metric, label string, n uint64) {
		before := p.refused[[2]string{metric, label}]
		p.refused[[2]string{metric, label}] = n
		switch {
		case label == "":
			p.self.seriesDropped.WithLabelValues(metric).Add(float64(n - before))
		case n > before:
			p.self.labelValuesRejected.WithLabelValues(metric, label).Add(float64(n - before))
		}
	})
}

func (p *page) collected() []*dto.MetricFamily {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, snapshots := range []map[source]snapshot{p.snapshots, p.always} {
		for s, snap := range snapshots {
			if !snap.expires.After(now) {
				delete(snapshots, s)
				p.merged = nil
			}
		}
	}
	if p.merged == nil {
		p.merged = p.merge()
	}
	return p.merged
}

// merge joins the snapshots. When two sources tell the same series, the first in order stays, so that the page is
// always valid.
func (p *page) merge() []*dto.MetricFamily {
	sources := slices.AppendSeq(slices.Collect(maps.Keys(p.snapshots)), maps.Keys(p.always))
	slices.SortFunc(sources, source.compare)
	sources = slices.Compact(sources)

	byMetric := map[string]*dto.MetricFamily{}
	told := map[string]map[string]source{} // by metric and label values; only for metrics with several sources
	first := map[string]*family{}
	names := []string{}
	for _, s := range sources {
		families := slices.Concat(p.always[s].families, p.snapshots[s].families)
		for i := range families {
			f := &families[i]
			name := f.metric.Name
			mf := byMetric[name]
			if mf == nil {
				names = append(names, name)
				first[name] = f
				byMetric[name] = &dto.MetricFamily{Name: &f.metric.Name, Help: &f.metric.Help, Type: dtoType(f.metric.Type).Enum(), Metric: slices.Clip(f.samples)}
				continue
			}
			if told[name] == nil {
				told[name] = make(map[string]source, len(first[name].keys))
				for _, k := range first[name].keys {
					told[name][k] = source{}
				}
			}
			for j, k := range f.keys {
				if _, twice := told[name][k]; twice {
					p.self.seriesDropped.WithLabelValues(name).Inc()
					p.log.Warn("two collectors report the same series, the second is dropped", "metric", name, "series", f.samples[j].String(), "collector", s.collector, "target", s.target)
					continue
				}
				told[name][k] = s
				mf.Metric = append(mf.Metric, f.samples[j])
			}
		}
	}
	slices.Sort(names)
	families := make([]*dto.MetricFamily, len(names))
	for i, n := range names {
		families[i] = byMetric[n]
	}
	return families
}

func dtoType(t catalog.Type) dto.MetricType {
	switch t {
	case catalog.Counter:
		return dto.MetricType_COUNTER
	case catalog.Histogram:
		return dto.MetricType_HISTOGRAM
	}
	return dto.MetricType_GAUGE
}

// seriesOf counts the series of a family as Prometheus does.
func seriesOf(mf *dto.MetricFamily) int {
	n := 0
	for _, m := range mf.Metric {
		if m.Histogram != nil {
			n += len(m.Histogram.Bucket) + 3
		} else {
			n++
		}
	}
	return n
}

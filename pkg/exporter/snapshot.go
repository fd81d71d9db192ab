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

// snapshotKey identifies a snapshot: a collector and one of its targets.
type snapshotKey struct{ collector, target string }

func (k snapshotKey) compare(o snapshotKey) int {
	return cmp.Or(cmp.Compare(k.collector, o.collector), cmp.Compare(k.target, o.target))
}

// snapshot holds the families of one collection. It never changes.
type snapshot struct {
	families []family
	expires  time.Time
}

// exposition holds the newest snapshot of every target and merges them into one scrape response, together with the
// registry of the self metrics. It implements prometheus.Gatherer.
type exposition struct {
	self *selfMetrics
	log  *slog.Logger
	now  func() time.Time

	mu        sync.Mutex
	snapshots map[snapshotKey]snapshot
	status    map[snapshotKey]snapshot // of each target's last collection, whether it succeeded or not
	gatherer  TransactionalGatherer
	rejected  map[[2]string]uint64 // the gatherer's rejected values so far, by metric and label
	merged    []*dto.MetricFamily  // nil when the snapshots have to be merged again
}

func newExposition(self *selfMetrics, log *slog.Logger, now func() time.Time) *exposition {
	return &exposition{self: self, log: log, now: now, snapshots: map[snapshotKey]snapshot{}, status: map[snapshotKey]snapshot{}}
}

// publish replaces the snapshot of a target.
func (e *exposition) publish(k snapshotKey, snap snapshot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.snapshots[k], e.merged = snap, nil
}

// publishStatus replaces the status snapshot of a target: the samples that are valid whether the collection succeeds or not.
func (e *exposition) publishStatus(k snapshotKey, snap snapshot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status[k], e.merged = snap, nil
}

// retain deletes the snapshots of all targets but the given ones: after a reload.
func (e *exposition) retain(keys map[snapshotKey]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, snapshots := range []map[snapshotKey]snapshot{e.snapshots, e.status} {
		for k := range snapshots {
			if !keys[k] {
				delete(snapshots, k)
			}
		}
	}
	e.merged = nil
}

// setGatherer replaces the gatherer that is called at each scrape. It may be nil.
func (e *exposition) setGatherer(g TransactionalGatherer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gatherer, e.rejected = g, map[[2]string]uint64{}
}

// Gather returns the families of all snapshots that have not expired, and the self metrics, by name. What it returns is
// shared between scrapes and must not be changed.
func (e *exposition) Gather() ([]*dto.MetricFamily, error) { return e.gather(nil) }

// gather is Gather with the families of a TransactionalGatherer.
func (e *exposition) gather(extra []*dto.MetricFamily) ([]*dto.MetricFamily, error) {
	collected := append(slices.Clip(e.collected()), extra...)
	self, err := e.self.gather(collected)
	all := append(collected, self...)
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all, err
}

var _ prometheus.Gatherer = (*exposition)(nil)

// scrape returns the gatherer of one scrape, and the function to call when the response was written or has failed. If
// the exporter has a TransactionalGatherer, scrape gathers from it.
func (e *exposition) scrape(r *http.Request) (prometheus.Gatherer, func(delivered bool)) {
	e.mu.Lock()
	gatherer := e.gatherer
	e.mu.Unlock()
	if gatherer == nil {
		return e, func(bool) {}
	}
	families, done := gatherer.Gather(r)
	e.countRejected(gatherer)
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return e.gather(families) }), done
}

// countRejected adds to the self metrics what the gatherer has rejected since the last scrape.
func (e *exposition) countRejected(g TransactionalGatherer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g.Rejected(func(metric, label string, n uint64) {
		before := e.rejected[[2]string{metric, label}]
		e.rejected[[2]string{metric, label}] = n
		switch {
		case label == "":
			e.self.seriesDropped.WithLabelValues(metric).Add(float64(n - before))
		case n > before:
			e.self.labelValuesRejected.WithLabelValues(metric, label).Add(float64(n - before))
		}
	})
}

func (e *exposition) collected() []*dto.MetricFamily {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	for _, snapshots := range []map[snapshotKey]snapshot{e.snapshots, e.status} {
		for k, snap := range snapshots {
			if !snap.expires.After(now) {
				delete(snapshots, k)
				e.merged = nil
			}
		}
	}
	if e.merged == nil {
		e.merged = e.merge()
	}
	return e.merged
}

// merge joins the snapshots. When two targets report the same series, the first in order stays, so that the exposition
// is always valid.
func (e *exposition) merge() []*dto.MetricFamily {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(e.snapshots)), maps.Keys(e.status))
	slices.SortFunc(keys, snapshotKey.compare)
	keys = slices.Compact(keys)

	byMetric := map[string]*dto.MetricFamily{}
	reported := map[string]map[string]snapshotKey{} // by metric and label values; only for metrics that several targets report
	first := map[string]*family{}
	names := []string{}
	for _, k := range keys {
		families := slices.Concat(e.status[k].families, e.snapshots[k].families)
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
			if reported[name] == nil {
				reported[name] = make(map[string]snapshotKey, len(first[name].keys))
				for _, labels := range first[name].keys {
					reported[name][labels] = snapshotKey{}
				}
			}
			for j, labels := range f.keys {
				if _, duplicate := reported[name][labels]; duplicate {
					e.self.seriesDropped.WithLabelValues(name).Inc()
					e.log.Warn("two collectors report the same series, the second is dropped", "metric", name, "series", f.samples[j].String(), "collector", k.collector, "target", k.target)
					continue
				}
				reported[name][labels] = k
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

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
	gatherer  *gathererInForce         // nil: the configuration has none
	merged    []*dto.MetricFamily      // nil when the snapshots have to be merged again
}

// gathererInForce is the TransactionalGatherer of a configuration. A scrape that began before a reload ends with the
// gatherer that it began with.
type gathererInForce struct {
	TransactionalGatherer

	mu       sync.Mutex
	rejected map[[2]string]uint64 // its rejected values so far, by metric and label
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

// deleteStatus deletes the status snapshot of a target whose status is unknown.
func (e *exposition) deleteStatus(k snapshotKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.status, k)
	e.merged = nil
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
	e.gatherer = nil
	if g != nil {
		e.gatherer = &gathererInForce{TransactionalGatherer: g, rejected: map[[2]string]uint64{}}
	}
}

// Gather returns the families of all snapshots that have not expired, and the self metrics, by name. What it returns is
// shared between scrapes and must not be changed.
func (e *exposition) Gather() ([]*dto.MetricFamily, error) { return e.gather(nil) }

// gather is Gather with the families of a TransactionalGatherer.
func (e *exposition) gather(extra []*dto.MetricFamily) ([]*dto.MetricFamily, error) {
	byName := func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) }
	all := slices.Concat(e.collected(), extra)
	slices.SortFunc(all, byName)
	self, err := e.self.gather(all)
	all = append(all, self...)
	slices.SortFunc(all, byName)
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
	gatherer.countRejected(e.self)
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return e.gather(families) }), done
}

// countRejected adds to the self metrics what the gatherer has rejected since the last scrape.
func (g *gathererInForce) countRejected(self *selfMetrics) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Rejected(func(metric, label string, n uint64) {
		before := g.rejected[[2]string{metric, label}]
		if n <= before {
			return
		}
		g.rejected[[2]string{metric, label}] = n
		if label == "" {
			self.seriesDropped.WithLabelValues(metric).Add(float64(n - before))
		} else {
			self.labelValuesRejected.WithLabelValues(metric, label).Add(float64(n - before))
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

	byName := map[string]*dto.MetricFamily{}
	shared := map[*dto.MetricFamily]bool{} // several targets, or both sinks of one, report it
	var families []*dto.MetricFamily
	for _, k := range keys {
		for _, f := range slices.Concat(e.status[k].families, e.snapshots[k].families) {
			mf := byName[f.metric.Name]
			if mf == nil {
				mf = &dto.MetricFamily{Name: &f.metric.Name, Help: &f.metric.Help, Type: dtoType(f.metric.Type).Enum(), Metric: slices.Clip(f.samples)}
				byName[f.metric.Name] = mf
				families = append(families, mf)
				continue
			}
			mf.Metric = append(mf.Metric, f.samples...)
			shared[mf] = true
		}
	}
	for mf := range shared {
		e.dropDuplicates(mf)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return families
}

// dropDuplicates drops the series of a family whose labels an earlier one has.
func (e *exposition) dropDuplicates(mf *dto.MetricFamily) {
	sorted := slices.Clone(mf.Metric)
	slices.SortStableFunc(sorted, compareLabels)
	duplicates := map[*dto.Metric]bool{}
	for i := 1; i < len(sorted); i++ {
		if compareLabels(sorted[i-1], sorted[i]) == 0 {
			duplicates[sorted[i]] = true
			e.self.seriesDropped.WithLabelValues(mf.GetName()).Inc()
			k := e.reporter(sorted[i])
			e.log.Warn("a series is reported twice, the second is dropped", "metric", mf.GetName(), "series", sorted[i].String(), "collector", k.collector, "target", k.target)
		}
	}
	if len(duplicates) > 0 {
		mf.Metric = slices.DeleteFunc(mf.Metric, func(m *dto.Metric) bool { return duplicates[m] })
	}
}

// reporter finds the target whose snapshot holds a series.
func (e *exposition) reporter(m *dto.Metric) snapshotKey {
	for _, snapshots := range []map[snapshotKey]snapshot{e.snapshots, e.status} {
		for k, snap := range snapshots {
			if slices.ContainsFunc(snap.families, func(f family) bool { return slices.Contains(f.samples, m) }) {
				return k
			}
		}
	}
	return snapshotKey{}
}

// compareLabels compares two series of one metric, which have the same labels in the same order, but for optional ones.
func compareLabels(a, b *dto.Metric) int {
	return slices.CompareFunc(a.Label, b.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetValue(), b.GetValue()) })
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

package exporter

import (
	"fmt"
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/version"
	"google.golang.org/protobuf/proto"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// selfMetrics are the metrics of the exporter itself. Names, help and labels come from the catalog.
type selfMetrics struct {
	registry *prometheus.Registry
	series   *catalog.Metric // the number of series by metric: of each exposition its own

	success             *prometheus.GaugeVec
	lastDuration        *prometheus.GaugeVec
	lastSuccess         *prometheus.GaugeVec
	failures            *prometheus.CounterVec
	seriesDropped       *prometheus.CounterVec
	labelValuesRejected *prometheus.CounterVec
	reloadSuccessful    prometheus.Gauge
	reloadTimestamp     prometheus.Gauge
	configHash          *prometheus.GaugeVec
}

func newSelfMetrics(c *catalog.Catalog) (*selfMetrics, error) {
	s := &selfMetrics{registry: prometheus.NewRegistry()}
	d := declared{catalog: c, registry: s.registry}
	s.success = d.gauge("consignwatch_collector_success")
	s.lastDuration = d.gauge("consignwatch_collector_last_duration_seconds")
	s.lastSuccess = d.gauge("consignwatch_collector_last_success_timestamp_seconds")
	s.failures = d.counter("consignwatch_collector_failures_total")
	d.lookup("consignwatch_series", catalog.Gauge)
	s.series, _ = c.Lookup("consignwatch_series")
	s.seriesDropped = d.counter("consignwatch_series_dropped_total")
	s.labelValuesRejected = d.counter("consignwatch_label_values_rejected_total")
	s.reloadSuccessful = d.gauge("consignwatch_config_last_reload_successful").WithLabelValues()
	s.reloadTimestamp = d.gauge("consignwatch_config_last_reload_timestamp_seconds").WithLabelValues()
	s.configHash = d.gauge("consignwatch_config_hash_info")
	d.gauge("consignwatch_build_info").WithLabelValues(version.Version, version.GetRevision(), runtime.Version()).Set(1)
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s, d.err
}

// declared makes vectors from declarations.
type declared struct {
	catalog  *catalog.Catalog
	registry *prometheus.Registry
	err      error
}

func (d *declared) lookup(name string, typ catalog.Type) (prometheus.Opts, []string) {
	m, ok := d.catalog.Lookup(name)
	if !ok || m.Type != typ {
		d.err = fmt.Errorf("self metric %s: not declared as a %s in the catalog", name, typ)
		return prometheus.Opts{Name: name}, nil
	}
	return prometheus.Opts{Name: name, Help: m.Help}, m.LabelNames()
}

func (d *declared) gauge(name string) *prometheus.GaugeVec {
	o, labels := d.lookup(name, catalog.Gauge)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts(o), labels)
	d.registry.MustRegister(v)
	return v
}

func (d *declared) counter(name string) *prometheus.CounterVec {
	o, labels := d.lookup(name, catalog.Counter)
	v := prometheus.NewCounterVec(prometheus.CounterOpts(o), labels)
	d.registry.MustRegister(v)
	return v
}

// initSeries initializes to 0 the counters that a catalog and a list of targets imply.
func (s *selfMetrics) initSeries(c *catalog.Catalog, keys []snapshotKey) {
	for _, k := range keys {
		for _, r := range catalog.Reasons() {
			s.failures.WithLabelValues(k.collector, r)
		}
	}
	for _, m := range c.All() {
		if m.Exporter != catalog.Every {
			s.seriesDropped.WithLabelValues(m.Name)
		}
	}
}

// deleteTarget deletes the gauges of a target that a reload has removed.
func (s *selfMetrics) deleteTarget(k snapshotKey) {
	for _, v := range []*prometheus.GaugeVec{s.success, s.lastDuration, s.lastSuccess} {
		v.DeleteLabelValues(k.collector, k.target)
	}
}

// gather collects the self metrics for an exposition of the given families, which are in the order of their names.
func (s *selfMetrics) gather(families []*dto.MetricFamily) ([]*dto.MetricFamily, error) {
	self, err := s.registry.Gather()
	if len(families) == 0 {
		return self, err
	}
	series := &dto.MetricFamily{Name: &s.series.Name, Help: &s.series.Help, Type: dto.MetricType_GAUGE.Enum(), Metric: make([]*dto.Metric, len(families))}
	for i, mf := range families {
		series.Metric[i] = &dto.Metric{
			Label: []*dto.LabelPair{{Name: &s.series.Labels[0].Name, Value: mf.Name}},
			Gauge: &dto.Gauge{Value: proto.Float64(float64(seriesOf(mf)))},
		}
	}
	return append(self, series), err
}

// setHash replaces the hash of the configuration.
func (s *selfMetrics) setHash(hash string) {
	s.configHash.Reset()
	s.configHash.WithLabelValues(hash).Set(1)
}

// snapshotKeysOf lists the collectors' targets in a stable order.
func snapshotKeysOf(cs []Collector) []snapshotKey {
	var keys []snapshotKey
	for _, c := range cs {
		for _, t := range c.Targets() {
			keys = append(keys, snapshotKey{c.Name(), t.Name()})
		}
	}
	slices.SortFunc(keys, snapshotKey.compare)
	return keys
}

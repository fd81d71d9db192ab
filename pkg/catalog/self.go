package catalog

// Reasons is the closed set of reasons for a failed collection.
func Reasons() []string {
	return []string{"timeout", "connection", "auth", "throttled", "query", "parse", "capability", "internal"}
}

func collector() Label {
	return Label{Name: "collector", Pattern: `[a-z0-9][a-z0-9_.-]*`, MaxLength: 63, Limit: 100, Typical: 15}
}

func metricLabel() Label {
	return Label{Name: "metric", Pattern: `[a-z][a-z0-9_]*`, MaxLength: 200, Limit: 100, Typical: 30}
}

// selfMetrics are what every exporter says about itself: contract section 6.
func selfMetrics() []Metric {
	target := Label{Name: "target", Pattern: `[a-zA-Z0-9][a-zA-Z0-9_.:-]*`, MaxLength: 100, Limit: 1000, Present: 1}
	return section("6", Every, Max, []Metric{
		{Name: "consignwatch_build_info", Type: Gauge, Unit: Info,
			Labels: []Label{one(Label{Name: "version", Pattern: `.*`, MaxLength: 100, Limit: 1}), one(Label{Name: "revision", Pattern: `.*`, MaxLength: 100, Limit: 1}), one(Label{Name: "goversion", Pattern: `.*`, MaxLength: 100, Limit: 1})},
			Help:   "Version, revision and Go version of the binary. Always 1."},
		{Name: "consignwatch_collector_success", Type: Gauge, Unit: Bool, Labels: []Label{collector(), target},
			Help: "Whether the last collection succeeded (1) or failed (0). Absent before the first one has ended."},
		{Name: "consignwatch_collector_last_duration_seconds", Type: Gauge, Unit: Seconds, Labels: []Label{collector(), target},
			Help: "Duration of the last collection, whether it succeeded or not."},
		{Name: "consignwatch_collector_last_success_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{collector(), target},
			Help: "When the last successful collection ended: the age of the values that the collector exposes."},
		{Name: "consignwatch_collector_failures_total", Type: Counter, Unit: Count, Labels: []Label{collector(), typical(1, oneOf("reason", Reasons()...))},
			Help: "Failed collections by reason."},
		{Name: "consignwatch_series", Type: Gauge, Unit: Count, Labels: []Label{metricLabel()},
			Help: "Series of the metric that the collectors expose now."},
		{Name: "consignwatch_series_dropped_total", Type: Counter, Unit: Count, Labels: []Label{typical(1, metricLabel())},
			Help: "Series that were left out of a collection: over the metric's limit, reported by more than one collector, or with a rejected label value and values that cannot be summed."},
		{Name: "consignwatch_label_values_rejected_total", Type: Counter, Unit: Count, Labels: []Label{typical(1, metricLabel()), typical(1, one(Label{Name: "label", Pattern: `[a-z][a-z0-9_]*`, MaxLength: 63, Limit: 50}))},
			Help: "Label values that became \"other\", because they do not belong to the label's domain or its limit was reached. Counted once per collection and series."},
		{Name: "consignwatch_config_last_reload_successful", Type: Gauge, Unit: Bool, Replicas: Min,
			Help: "Whether the last load of the configuration succeeded. After a failure the previous configuration stays in force."},
		{Name: "consignwatch_config_last_reload_timestamp_seconds", Type: Gauge, Unit: Timestamp,
			Help: "When the configuration that is in force was loaded."},
		{Name: "consignwatch_config_hash_info", Type: Gauge, Unit: Info, Labels: []Label{one(Label{Name: "hash", Pattern: `[0-9a-f]{16}`, MaxLength: 16, Limit: 1})},
			Help: "Hash of the configuration in force, files that it names included and secrets left out, to compare instances. Always 1."},
	})
}

// section says where metrics come from and how their replicas combine, unless a metric says so itself. What cannot be added
// up, like a time, combines by its maximum whatever the section.
func section(name string, e Exporter, c Combine, metrics []Metric) []Metric {
	for i := range metrics {
		m := &metrics[i]
		m.Section, m.Exporter = name, e
		switch {
		case m.Replicas != "":
		case m.Additive():
			m.Replicas = c
		default:
			m.Replicas = Max
		}
	}
	return metrics
}

package promql

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// foreignText lists the metrics of other programs that our rules and dashboards use.
//
//go:embed foreign.yml
var foreignText []byte

// foreignMetric is a metric of another program.
type foreignMetric struct {
	Name string `yaml:"name"`
	// Type is counter, gauge, histogram, summary or untyped, as in the program's scrape response.
	Type catalog.Type `yaml:"type"`
	// Labels are the labels of every series, without job and instance.
	Labels []string `yaml:"labels"`
	// SomeHosts marks metrics that depend on the kernel, the hardware or the configuration of the host or program.
	SomeHosts bool `yaml:"some_hosts"`
}

// Types that metrics of the catalog do not have. An untyped metric may be a counter.
const (
	summary catalog.Type = "summary"
	untyped catalog.Type = "untyped"
)

func foreignBySource() (map[string][]foreignMetric, error) {
	var sources map[string][]foreignMetric
	_, err := yamlfile.Parse("foreign.yml", foreignText, &sources)
	return sources, err
}

// foreignMetrics returns the foreign metrics by name. Callers must not change the map.
var foreignMetrics = sync.OnceValue(func() map[string]foreignMetric {
	sources, err := foreignBySource()
	if err != nil {
		panic(fmt.Sprintf("promql: %v", err)) // it is embedded, and TestForeignMetricsAreWhatTheRealServersExpose reads it
	}
	all := map[string]foreignMetric{}
	for _, metrics := range sources {
		for _, m := range metrics {
			all[m.Name] = m
		}
	}
	return all
})

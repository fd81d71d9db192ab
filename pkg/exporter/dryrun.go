package exporter

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// DryRunResult is what one collection would expose.
type DryRunResult struct {
	// Series is the number of series by metric.
	Series map[string]int
	// Rejected lists which label values would become "other" and which series would be dropped.
	Rejected []string
}

// DryRun collects a target once, as the scheduler does but without a running exporter: for commands that show what a
// configuration would expose.
func DryRun(ctx context.Context, c *catalog.Catalog, sizes catalog.Sizes, t Target) (result DryRunResult, err error) {
	self, err := newSelfMetrics(catalog.Shipped())
	if err != nil {
		return DryRunResult{}, err
	}
	sink := &Sink{catalog: c}
	defer func() {
		if p := recover(); p != nil {
			err = internalf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := t.Collect(ctx, sink); err != nil {
		return DryRunResult{}, err
	}
	limiter := newCardinalityLimiter(sizes, self)
	families, err := sink.seal(limiter, time.Now())
	if err != nil {
		return DryRunResult{}, err
	}
	status, err := sink.sealStatus(limiter, time.Now())
	if err != nil {
		return DryRunResult{}, err
	}
	result.Series = map[string]int{}
	for _, f := range slices.Concat(families, status) {
		result.Series[f.metric.Name] += len(f.samples) * seriesPerSample(f.metric)
	}
	result.Rejected, err = self.rejected()
	return result, err
}

// rejected describes, a sentence each, the counts of rejected label values and dropped series.
func (s *selfMetrics) rejected() ([]string, error) {
	families, err := s.registry.Gather()
	var rejected []string
	for _, mf := range families {
		for _, m := range mf.Metric {
			n := m.GetCounter().GetValue()
			if n == 0 {
				continue
			}
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			switch mf.GetName() {
			case "consignwatch_label_values_rejected_total":
				rejected = append(rejected, fmt.Sprintf("%s: %.0f values of the label %s became other", labels["metric"], n, labels["label"]))
			case "consignwatch_series_dropped_total":
				rejected = append(rejected, fmt.Sprintf("%s: %.0f series dropped", labels["metric"], n))
			}
		}
	}
	slices.Sort(rejected)
	return rejected, err
}

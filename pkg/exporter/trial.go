package exporter

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Trial is what one collection would put on the page.
type Trial struct {
	// Series is the number of series by metric.
	Series map[string]int
	// Refused says which label values would become "other" and which series would be dropped.
	Refused []string
}

// Try collects a target once, as the scheduler does but without a running exporter: for commands that show what a
// configuration would bring.
func Try(ctx context.Context, c *catalog.Catalog, sizes catalog.Sizes, t Target) (trial Trial, err error) {
	self, err := newSelfMetrics(catalog.Shipped())
	if err != nil {
		return Trial{}, err
	}
	sink := &Sink{catalog: c}
	defer func() {
		if p := recover(); p != nil {
			err = internalf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := t.Collect(ctx, sink); err != nil {
		return Trial{}, err
	}
	admit := newAdmission(sizes, self)
	families, err := sink.seal(admit, time.Now())
	if err != nil {
		return Trial{}, err
	}
	always, err := sink.sealAlways(admit, time.Now())
	if err != nil {
		return Trial{}, err
	}
	trial.Series = map[string]int{}
	for _, f := range slices.Concat(families, always) {
		trial.Series[f.metric.Name] = len(f.samples) * seriesPerSample(f.metric)
	}
	trial.Refused, err = self.refused()
	return trial, err
}

// refused lists the counts of what the admission has refused, in words.
func (s *selfMetrics) refused() ([]string, error) {
	families, err := s.registry.Gather()
	var refused []string
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
				refused = append(refused, fmt.Sprintf("%s: %.0f values of the label %s became other", labels["metric"], n, labels["label"]))
			case "consignwatch_series_dropped_total":
				refused = append(refused, fmt.Sprintf("%s: %.0f series dropped", labels["metric"], n))
			}
		}
	}
	slices.Sort(refused)
	return refused, err
}

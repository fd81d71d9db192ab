package recording

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
)

// moment reports whether a value is a time, in seconds since 1970: by the name of its metric, and because no duration in seconds is that large.
func moment(name string, v float64) bool {
	return v > 1e9 && (strings.HasSuffix(name, "_timestamp_seconds") || strings.HasSuffix(name, "time_seconds"))
}

// Shift returns the recording as if all of it had happened so much later: the samples, and the values that are times.
func (r *Recording) Shift(by time.Duration) *Recording {
	return r.edit(func(s promql.Series) []promql.FPoint {
		name := s.Metric.Get(model.MetricNameLabel)
		for i := range s.Floats {
			s.Floats[i].T += by.Milliseconds()
			if moment(name, s.Floats[i].F) {
				s.Floats[i].F += by.Seconds()
			}
		}
		return s.Floats
	})
}

// edit returns a copy in which the samples of each series are others. A series that has none left is left out.
func (r *Recording) edit(samples func(promql.Series) []promql.FPoint) *Recording {
	edited := &Recording{}
	for _, s := range r.Series {
		if floats := samples(promql.Series{Metric: s.Metric, Floats: slices.Clone(s.Floats)}); len(floats) > 0 {
			edited.Series = append(edited.Series, promql.Series{Metric: s.Metric, Floats: floats})
		}
	}
	return edited
}

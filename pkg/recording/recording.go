// Package recording keeps what a Prometheus has scraped in a time, so that rules can be evaluated over it again: it fetches the series by remote read, and
// stores them as a compressed block of Prometheus' own storage. It never evaluates a rule; what rules have recorded is left out, because whoever plays a
// recording evaluates them anew.
package recording

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
)

// Recording is what a Prometheus has scraped in a time: series sorted by labels, with samples in order of time. A stale marker is the NaN of Prometheus with
// that meaning.
type Recording struct {
	Series []promql.Series
}

// Bounds are the times of the first and of the last sample. A recording without samples has none.
func (r *Recording) Bounds() (first, last time.Time, ok bool) {
	var from, to int64
	for _, s := range r.Series {
		if len(s.Floats) == 0 {
			continue
		}
		if !ok || s.Floats[0].T < from {
			from = s.Floats[0].T
		}
		to = max(to, s.Floats[len(s.Floats)-1].T)
		ok = true
	}
	return time.UnixMilli(from).UTC(), time.UnixMilli(to).UTC(), ok
}

// Scraped reports whether a series was scraped, by what it is called: rules record names with a colon, by the convention that promtool and pint hold
// rules to, and Prometheus itself records the state of alerts.
func Scraped(l labels.Labels) bool {
	name := l.Get(model.MetricNameLabel)
	return name != "ALERTS" && name != "ALERTS_FOR_STATE" && !strings.Contains(name, ":")
}

// Interval is how often most targets were scraped: the median distance of the samples of `up`. It is 0 if no target has two.
func (r *Recording) Interval() time.Duration {
	var distances []int64
	for _, s := range r.Series {
		if s.Metric.Get(model.MetricNameLabel) != "up" {
			continue
		}
		for i := 1; i < len(s.Floats); i++ {
			distances = append(distances, s.Floats[i].T-s.Floats[i-1].T)
		}
	}
	if len(distances) == 0 {
		return 0
	}
	slices.Sort(distances)
	return time.Duration(distances[len(distances)/2]) * time.Millisecond
}

// Gap is a time in which nothing at all was scraped.
type Gap struct{ From, To time.Time }

func (g Gap) String() string {
	return fmt.Sprintf("%s to %s (%s)", g.From.Format(time.RFC3339), g.To.Format(time.RFC3339), g.To.Sub(g.From).Round(time.Second))
}

// Gaps are the times of at least so long in which no target was scraped: Prometheus did not run, or what it stored is lost.
func (r *Recording) Gaps(atLeast time.Duration) []Gap {
	var times []int64
	for _, s := range r.Series {
		if s.Metric.Get(model.MetricNameLabel) == "up" {
			for _, x := range s.Floats {
				if !value.IsStaleNaN(x.F) {
					times = append(times, x.T)
				}
			}
		}
	}
	slices.Sort(times)
	var gaps []Gap
	for i := 1; i < len(times); i++ {
		if times[i]-times[i-1] >= atLeast.Milliseconds() {
			gaps = append(gaps, Gap{time.UnixMilli(times[i-1]).UTC(), time.UnixMilli(times[i]).UTC()})
		}
	}
	return gaps
}

// sortSeries puts the series in order of their labels, and joins those that are the same: a recording that was fetched in parts.
func sortSeries(all []promql.Series) []promql.Series {
	slices.SortStableFunc(all, func(a, b promql.Series) int {
		return cmp.Or(labels.Compare(a.Metric, b.Metric), cmp.Compare(first(a), first(b)))
	})
	var joined []promql.Series
	for _, s := range all {
		last := len(joined) - 1
		if last < 0 || !labels.Equal(joined[last].Metric, s.Metric) {
			joined = append(joined, s)
			continue
		}
		for _, x := range s.Floats {
			if have := joined[last].Floats; len(have) == 0 || x.T > have[len(have)-1].T {
				joined[last].Floats = append(joined[last].Floats, x)
			}
		}
	}
	return joined
}

func first(s promql.Series) int64 {
	if len(s.Floats) == 0 {
		return 0
	}
	return s.Floats[0].T
}

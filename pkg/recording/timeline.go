package recording

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
)

// Counter reports whether a metric only grows, by its name: what Prometheus' conventions say of counters, summaries and histograms, and the counters of
// Linux that node_exporter shows under their own names.
func Counter(name string) bool {
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return strings.HasPrefix(name, "node_netstat_") || strings.HasPrefix(name, "node_vmstat_")
}

// Until returns what was recorded before a time.
func (r *Recording) Until(end time.Time) *Recording {
	return r.edit(func(s promql.Series) []promql.FPoint {
		n, _ := slices.BinarySearchFunc(s.Floats, end.UnixMilli(), func(x promql.FPoint, t int64) int { return cmp.Compare(x.T, t) })
		return s.Floats[:n]
	})
}

// Follow returns two recordings of which the second follows the first without a gap: an earlier one, shifted so that it ends one interval before this one
// begins, and this one, with counters that go on from where they were. What they had counted before this recording began is taken for what the earlier
// one had counted. A series that only the earlier one has ends with a stale marker.
func (r *Recording) Follow(earlier *Recording, interval time.Duration) (before, after *Recording) {
	begin, _, ok := r.Bounds()
	_, last, some := earlier.Bounds()
	if !ok || !some {
		return earlier, r
	}
	before = earlier.Shift(begin.Add(-interval).Sub(last))
	past := make(map[uint64]promql.Series, len(before.Series))
	for _, s := range before.Series {
		past[s.Metric.Hash()] = s
	}
	after = r.edit(func(s promql.Series) []promql.FPoint {
		if p, has := past[s.Metric.Hash()]; has {
			if Counter(s.Metric.Get(model.MetricNameLabel)) {
				proceed(s.Floats, p.Floats)
			}
			delete(past, s.Metric.Hash())
		}
		return s.Floats
	})
	for _, s := range past {
		if !value.IsStaleNaN(s.Floats[len(s.Floats)-1].F) {
			after.Series = append(after.Series, promql.Series{Metric: s.Metric, Floats: []promql.FPoint{{T: begin.UnixMilli(), F: math.Float64frombits(value.StaleNaN)}}})
		}
	}
	after.Series = sortSeries(after.Series)
	return before, after
}

// proceed adds to the values of a counter, until it is reset, what makes the first of them the last one of its past.
func proceed(s, past []promql.FPoint) {
	known := func(x promql.FPoint) bool { return !math.IsNaN(x.F) }
	last := lastWhere(past, known)
	first := slices.IndexFunc(s, known)
	if last < 0 || first < 0 {
		return
	}
	add, before := past[last].F-s[first].F, s[first].F
	for i := first; i < len(s); i++ {
		if !known(s[i]) {
			continue
		}
		if s[i].F < before { // the process has started anew
			return
		}
		before = s[i].F
		s[i].F += add
	}
}

func lastWhere(s []promql.FPoint, is func(promql.FPoint) bool) int {
	for i := len(s) - 1; i >= 0; i-- {
		if is(s[i]) {
			return i
		}
	}
	return -1
}

// Hold returns what was recorded before a time, and then the last minute of it again and again. Counters grow in each as they grew in it. Times that have moved
// since the other time go on with the clock: whatever happens every few minutes goes on happening, and whatever has stopped before stays so.
func (r *Recording) Hold(since, at time.Time, minutes int) *Recording {
	return r.Until(at).edit(func(series promql.Series) []promql.FPoint {
		name, s := series.Metric.Get(model.MetricNameLabel), series.Floats
		from := func(t time.Time) int {
			return slices.IndexFunc(s, func(x promql.FPoint) bool { return x.T >= t.UnixMilli() })
		}
		begin := from(at.Add(-time.Minute))
		if begin < 0 {
			return s
		}
		minute := slices.Clone(s[begin:])
		growth := 0.0
		first, last := minute[0].F, minute[len(minute)-1].F
		switch {
		case moment(name, last):
			if last > s[from(since)].F {
				growth = time.Minute.Seconds()
			}
		case Counter(name) && last >= first:
			growth = last - first
			if n := len(minute); n > 1 { // from the first sample to the first of the next minute there is one interval more
				growth *= float64(n) / float64(n-1)
			}
		}
		for m := range minutes {
			for _, x := range minute {
				if math.IsNaN(x.F) { // ended, or unknown
					s = append(s, promql.FPoint{T: x.T + int64(m+1)*time.Minute.Milliseconds(), F: x.F})
					continue
				}
				s = append(s, promql.FPoint{T: x.T + int64(m+1)*time.Minute.Milliseconds(), F: x.F + float64(m+1)*growth})
			}
		}
		return s
	})
}

// Without returns the recording without the time from one moment to another, as if what came after had come then. Counters and times go on without a jump; a
// series that ended in between ends there.
func (r *Recording) Without(from, to time.Time) *Recording {
	gap := to.Sub(from)
	return r.edit(func(series promql.Series) []promql.FPoint {
		name, s := series.Metric.Get(model.MetricNameLabel), series.Floats
		counts, skipped, was := Counter(name), 0.0, math.NaN()
		var left []promql.FPoint
		ended := false
		for _, x := range s {
			within := x.T >= from.UnixMilli() && x.T < to.UnixMilli()
			if counts && !math.IsNaN(x.F) {
				if x.F < was { // the process has started anew
					was, skipped = 0, 0
				}
				if within && !math.IsNaN(was) {
					skipped += x.F - was
				}
				was = x.F
			}
			if within {
				ended = value.IsStaleNaN(x.F)
				continue
			}
			if x.T >= to.UnixMilli() {
				x.T -= gap.Milliseconds()
				if ended && x.T > from.UnixMilli() && !value.IsStaleNaN(x.F) { // its end was in between
					left = append(left, promql.FPoint{T: from.UnixMilli(), F: math.Float64frombits(value.StaleNaN)})
				}
				ended = false
			}
			switch {
			case math.IsNaN(x.F):
			case counts:
				x.F -= skipped
			case moment(name, x.F):
				switch start := float64(from.UnixMilli()) / 1000; {
				case x.F >= start+gap.Seconds():
					x.F -= gap.Seconds()
				case x.F > start:
					x.F = start
				}
			}
			left = append(left, x)
		}
		if ended {
			left = append(left, promql.FPoint{T: from.UnixMilli(), F: math.Float64frombits(value.StaleNaN)})
		}
		return left
	})
}

// With returns the recording with further labels on the series for which a matcher holds, unless they have them.
func (r *Recording) With(matches []*labels.Matcher, further labels.Labels) *Recording {
	edited := &Recording{Series: slices.Clone(r.Series)}
	for i, s := range edited.Series {
		if slices.ContainsFunc(matches, func(m *labels.Matcher) bool { return !m.Matches(s.Metric.Get(m.Name)) }) {
			continue
		}
		b := labels.NewBuilder(s.Metric)
		further.Range(func(l labels.Label) {
			if s.Metric.Get(l.Name) == "" {
				b.Set(l.Name, l.Value)
			}
		})
		edited.Series[i].Metric = b.Labels()
	}
	edited.Series = sortSeries(edited.Series)
	return edited
}

// Missed returns the recording as if the scrapes of a job had failed from a time on, for one interval: its series end there, as Prometheus marks them, until
// the next scrape, and up is 0.
func (r *Recording) Missed(job string, at time.Time, interval time.Duration) *Recording {
	from, to := at.UnixMilli(), at.Add(interval).UnixMilli()
	return r.edit(func(series promql.Series) []promql.FPoint {
		name := series.Metric.Get(model.MetricNameLabel)
		if series.Metric.Get("job") != job || strings.HasPrefix(name, "scrape_") { // what Prometheus says of the scrape itself
			return series.Floats
		}
		for i, x := range series.Floats {
			if x.T < from || x.T >= to {
				continue
			}
			series.Floats[i].F = math.Float64frombits(value.StaleNaN)
			if name == "up" {
				series.Floats[i].F = 0
			}
		}
		return series.Floats
	})
}

// Stretch returns the recording as if all of it had taken so many times as long, from its beginning: what happened at second 3 happens at second 30, and what
// grew by 2 within a second grows by 20 in ten. Rates, ratios and levels stay what they were; windows and waits of rules see a longer time.
func (r *Recording) Stretch(factor int64) *Recording {
	begin, _, _ := r.Bounds()
	origin := begin.UnixMilli()
	return r.edit(func(series promql.Series) []promql.FPoint {
		name, s := series.Metric.Get(model.MetricNameLabel), series.Floats
		counts, was, is := Counter(name), math.NaN(), 0.0
		for i, x := range s {
			s[i].T = origin + (x.T-origin)*factor
			switch {
			case math.IsNaN(x.F):
			case moment(name, x.F):
				seconds := float64(origin) / 1000
				s[i].F = seconds + (x.F-seconds)*float64(factor)
			case counts:
				switch {
				case math.IsNaN(was):
					is = x.F
				case x.F < was: // the process has started anew
					is = x.F * float64(factor)
				default:
					is += (x.F - was) * float64(factor)
				}
				was, s[i].F = x.F, is
			}
		}
		return s
	})
}

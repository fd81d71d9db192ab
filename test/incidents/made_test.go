package incidents

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/recording"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
)

// made are incidents that are made of a recording by a change: they would take hours to record. docs/incidents.md lists them.
var made = map[string]struct {
	of     string // the recording
	change func(r *recording.Recording, begin time.Time) *recording.Recording
}{
	"replica-down":             {quietHours, replicaDown},
	"tables-locked-briefly":    {"tables-locked", lockedBriefly},
	"host-gone":                {"disk-filling", hostGone},
	"event-exporter-restarted": {"platform-unreachable", eventExporterRestarted},
}

// lockedBriefly ends the lock after three minutes, and goes on for half an hour after it has recovered.
func lockedBriefly(r *recording.Recording, begin time.Time) *recording.Recording {
	r = r.Without(begin.Add(faultOn+3*time.Minute), begin.Add(faultOff))
	_, last, _ := r.Bounds()
	return r.Hold(begin.Add(faultOn), last, 30)
}

// hostGone lets the host whose disk fills answer no more, eight minutes later, until two minutes before the end. The exporters run elsewhere.
func hostGone(r *recording.Recording, begin time.Time) *recording.Recording {
	_, last, _ := r.Bounds()
	gone := begin.Add(faultOn + 8*time.Minute)
	return r.Missed("node", gone, last.Add(-2*time.Minute).Sub(gone))
}

// eventExporterRestarted starts the event-exporter anew four minutes after the fault began: it misses two scrapes, and then has no series of what it has not
// seen since. What it counts begins at 0.
func eventExporterRestarted(r *recording.Recording, begin time.Time) *recording.Recording {
	const job = "event-exporter"
	start := begin.Add(faultOn + 4*time.Minute)
	first := start.Add(2 * interval)
	missed := r.Missed(job, start, 2*interval)
	grown := map[uint64]int64{} // by the labels without name and bucket: when the counter, or the histogram, has grown since
	key := func(m labels.Labels) uint64 {
		b := labels.NewBuilder(m).Del("le")
		name := m.Get(model.MetricNameLabel)
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		return b.Set(model.MetricNameLabel, name).Labels().Hash()
	}
	counts := func(s promql.Series) bool {
		return s.Metric.Get("job") == job && strings.HasPrefix(s.Metric.Get(model.MetricNameLabel), "consign_") && recording.Counter(s.Metric.Get(model.MetricNameLabel))
	}
	before := func(s promql.Series) (last float64) {
		for _, x := range s.Floats {
			if x.T < start.UnixMilli() && !math.IsNaN(x.F) {
				last = x.F
			}
		}
		return last
	}
	for _, s := range missed.Series {
		if !counts(s) {
			continue
		}
		was := before(s)
		for _, x := range s.Floats {
			if at, has := grown[key(s.Metric)]; x.T >= first.UnixMilli() && x.F > was && (!has || x.T < at) {
				grown[key(s.Metric)] = x.T
			}
		}
	}
	for i, s := range missed.Series {
		name := s.Metric.Get(model.MetricNameLabel)
		switch {
		case s.Metric.Get("job") == job && name == "process_start_time_seconds":
			missed.Series[i] = set(s, float64(start.UnixMilli())/1000, func(x promql.FPoint) bool { return x.T >= first.UnixMilli() })
		case counts(s):
			was, at := before(s), grown[key(s.Metric)]
			s = vanish(s, func(x promql.FPoint) bool { return x.T >= start.UnixMilli() && (at == 0 || x.T < at) })
			for j, x := range s.Floats {
				if x.T >= first.UnixMilli() && !math.IsNaN(x.F) {
					s.Floats[j].F = x.F - was
				}
			}
			missed.Series[i] = s
		}
	}
	return missed
}

// replicaDown adds a replica to the database, which answers as the primary does until it is down for an hour. Its other series vanish a minute later, as they do
// when a target no longer answers, and come back with it.
func replicaDown(r *recording.Recording, begin time.Time) *recording.Recording {
	off := begin.Add(faultOn + time.Hour)
	down, silent := during(begin.Add(faultOn), off), during(begin.Add(faultOn+time.Minute), off)
	all := r.Until(off.Add(25 * time.Minute)).Series
	add := func(s promql.Series, set ...string) {
		b := labels.NewBuilder(s.Metric)
		for i := 0; i < len(set); i += 2 {
			b.Set(set[i], set[i+1])
		}
		all = append(all, promql.Series{Metric: b.Set("server", "copy").Labels(), Floats: s.Floats})
	}
	for _, s := range slices.Clone(all) {
		name := s.Metric.Get(model.MetricNameLabel)
		switch {
		case !strings.HasPrefix(name, "consign_mysql_"):
		case name == "consign_mysql_up":
			add(set(s, 0, down), "role", "replica")
			for _, thread := range []string{"io", "sql"} {
				add(vanish(set(s, 1, always), silent), model.MetricNameLabel, "consign_mysql_replication_running", "role", "", "channel", "default", "thread", thread)
			}
		case name == "consign_mysql_read_only":
			add(vanish(set(s, 1, always), silent))
		default:
			add(vanish(s, silent))
		}
	}
	slices.SortFunc(all, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return &recording.Recording{Series: all}
}

// during reports of a sample whether it is within a time.
func during(from, to time.Time) func(promql.FPoint) bool {
	return func(x promql.FPoint) bool { return x.T >= from.UnixMilli() && x.T < to.UnixMilli() }
}

func always(promql.FPoint) bool { return true }

// set is a series some of whose samples have another value.
func set(s promql.Series, value float64, which func(promql.FPoint) bool) promql.Series {
	s.Floats = slices.Clone(s.Floats)
	for i, x := range s.Floats {
		if which(x) {
			s.Floats[i].F = value
		}
	}
	return s
}

// vanish is a series that lacks some of its samples, with the marker of its end in place of the first one of each run of them.
func vanish(s promql.Series, which func(promql.FPoint) bool) promql.Series {
	var left []promql.FPoint
	gone := false
	for _, x := range s.Floats {
		switch {
		case !which(x):
			left, gone = append(left, x), false
		case !gone:
			left, gone = append(left, promql.FPoint{T: x.T, F: math.Float64frombits(value.StaleNaN)}), true
		}
	}
	s.Floats = left
	return s
}

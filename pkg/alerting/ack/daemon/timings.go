package daemon

import (
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// timings has the histograms of the time to acknowledge and the time to resolve. It observes only what happens after the start of the process: what
// was acknowledged before was observed by the process before.
type timings struct {
	started time.Time
	// maxGap is the longest time between two snapshots after which a missing alert counts as resolved at the time of the later one.
	maxGap            time.Duration
	timeToAcknowledge map[string]*distribution // by priority
	timeToResolve     map[string]*distribution

	mu           sync.Mutex
	lastSnapshot time.Time           // time of the last snapshot
	incidents    map[string]incident // by fingerprint
}

// incident is an alert from when it fires until it resolves.
type incident struct {
	startsAt time.Time
	priority string
	counted  bool // its time to acknowledge has been observed
}

// distribution is a histogram with its bucket bounds.
type distribution struct {
	bounds []float64
	exporter.HistogramValue
}

func newTimings(c *catalog.Catalog, started time.Time, maxGap time.Duration) *timings {
	t := &timings{started: started, maxGap: maxGap, incidents: map[string]incident{}}
	t.timeToAcknowledge = distributions(c, acknowledgeTime)
	t.timeToResolve = distributions(c, resolveTime)
	return t
}

// distributions returns an empty distribution for each priority except that of the heartbeat.
func distributions(c *catalog.Catalog, metric string) map[string]*distribution {
	m, _ := c.Lookup(metric)
	byPriority := map[string]*distribution{}
	for _, p := range catalog.Priorities() {
		if p != ack.HeartbeatPriority {
			byPriority[p] = &distribution{bounds: m.Buckets, HistogramValue: exporter.HistogramValue{Buckets: make([]uint64, len(m.Buckets))}}
		}
	}
	return byPriority
}

func (d *distribution) observe(duration time.Duration) {
	v := max(duration.Seconds(), 0)
	d.Count++
	d.Sum += v
	for i, bound := range d.bounds {
		if v <= bound {
			d.Buckets[i]++
		}
	}
}

// observe compares a snapshot with the one before.
func (t *timings) observe(s *ack.Snapshot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	firing := map[string]incident{}
	for _, a := range s.Alerts {
		d, ok := t.timeToAcknowledge[a.Priority]
		if !ok {
			continue
		}
		i := t.incidents[a.Fingerprint]
		if !i.startsAt.Equal(a.StartsAt) {
			i = incident{startsAt: a.StartsAt, priority: a.Priority}
		}
		// A silence that is older than the alert does not acknowledge it, and one that is older than this process was observed by the process before.
		if acknowledgedAt := firstSilence(&a); !i.counted && acknowledgedAt.After(t.started) {
			d.observe(acknowledgedAt.Sub(a.StartsAt))
			i.counted = true
		}
		firing[a.Fingerprint] = i
	}
	if s.Time.Sub(t.lastSnapshot) <= t.maxGap {
		for fingerprint, i := range t.incidents {
			if current, ok := firing[fingerprint]; !ok || !current.startsAt.Equal(i.startsAt) {
				t.timeToResolve[i.priority].observe(s.Time.Sub(i.startsAt))
			}
		}
	}
	t.incidents, t.lastSnapshot = firing, s.Time
}

// firstSilence is the start of the first silence on an alert that began after the alert, or the zero time.
func firstSilence(a *ack.Alert) time.Time {
	var first time.Time
	for _, s := range a.Silences {
		if s.StartsAt.After(a.StartsAt) && (first.IsZero() || s.StartsAt.Before(first)) {
			first = s.StartsAt
		}
	}
	return first
}

// emit emits the histograms.
func (t *timings) emit(sink *exporter.Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for metric, byPriority := range map[string]map[string]*distribution{acknowledgeTime: t.timeToAcknowledge, resolveTime: t.timeToResolve} {
		for priority, d := range byPriority {
			value := d.HistogramValue
			value.Buckets = slices.Clone(value.Buckets)
			sink.Histogram(metric, value, t.started, priority)
		}
	}
}

package ack

import (
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// times counts how long alerts fire until they are acknowledged, and until they resolve. It counts what happens while it lives: what was taken
// before is known to whoever lived then.
type times struct {
	begin time.Time
	// gap is the longest time between two looks of which the later one still says when an alert resolved.
	gap         time.Duration
	acknowledge map[string]*distribution // by priority
	resolve     map[string]*distribution

	mu     sync.Mutex
	last   time.Time           // of the last look
	firing map[string]incident // by fingerprint
}

// incident is one alert from when it fires until it resolves.
type incident struct {
	began    time.Time
	priority string
	counted  bool // it was taken, and that is in the distribution
}

// distribution is a histogram in the making.
type distribution struct {
	bounds []float64
	exporter.HistogramValue
}

func newTimes(c *catalog.Catalog, begin time.Time, gap time.Duration) *times {
	t := &times{begin: begin, gap: gap, firing: map[string]incident{}}
	t.acknowledge = distributions(c, acknowledgeTime)
	t.resolve = distributions(c, resolveTime)
	return t
}

// distributions makes an empty one for each priority that people are paged for.
func distributions(c *catalog.Catalog, metric string) map[string]*distribution {
	m, _ := c.Lookup(metric)
	of := map[string]*distribution{}
	for _, p := range catalog.Priorities() {
		if p != heartbeatPriority {
			of[p] = &distribution{bounds: m.Buckets, HistogramValue: exporter.HistogramValue{Buckets: make([]uint64, len(m.Buckets))}}
		}
	}
	return of
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

// see compares a situation with the one before.
func (t *times) see(s *Situation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := map[string]incident{}
	for _, a := range s.Alerts {
		d, ok := t.acknowledge[a.Priority()]
		if !ok {
			continue
		}
		i := t.firing[a.Fingerprint]
		if !i.began.Equal(a.StartsAt) {
			i = incident{began: a.StartsAt, priority: a.Priority()}
		}
		// A silence that is older than the alert is no answer to it, and what is older than this process was counted before.
		if answer := answerTo(&a); !i.counted && answer.After(t.begin) {
			d.observe(answer.Sub(a.StartsAt))
			i.counted = true
		}
		now[a.Fingerprint] = i
	}
	if s.Time.Sub(t.last) <= t.gap {
		for fingerprint, i := range t.firing {
			if again, ok := now[fingerprint]; !ok || !again.began.Equal(i.began) {
				t.resolve[i.priority].observe(s.Time.Sub(i.began))
			}
		}
	}
	t.firing, t.last = now, s.Time
}

// answerTo is when the first silence on an alert was made after the alert had begun, or the zero time.
func answerTo(a *Alert) time.Time {
	var first time.Time
	for _, s := range a.Silences {
		if s.StartsAt.After(a.StartsAt) && (first.IsZero() || s.StartsAt.Before(first)) {
			first = s.StartsAt
		}
	}
	return first
}

// tell puts the distributions into a sink.
func (t *times) tell(sink *exporter.Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for metric, of := range map[string]map[string]*distribution{acknowledgeTime: t.acknowledge, resolveTime: t.resolve} {
		for priority, d := range of {
			value := d.HistogramValue
			value.Buckets = slices.Clone(value.Buckets)
			sink.Histogram(metric, value, t.begin, priority)
		}
	}
}

package exporter

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// overrun is how long a collection may stay beyond its deadline before it is reported as timed out.
const overrun = time.Second

// scheduler collects every target of every collector in the background, each in a goroutine of its own: a slow
// target delays no other one. There is never more than one collection in flight for a target.
type scheduler struct {
	catalog    *catalog.Catalog
	limiter    *cardinalityLimiter
	exposition *exposition
	self       *selfMetrics
	log        *slog.Logger

	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	pending map[snapshotKey]bool   // targets whose first collection has not ended
	failing map[snapshotKey]Reason // why the last collection of a target failed
}

// start starts the background collections. When stop is called they end, and their snapshots stay exposed.
func (s *scheduler) start(cs []Collector) {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.pending, s.failing = map[snapshotKey]bool{}, map[snapshotKey]Reason{}
	for _, k := range snapshotKeysOf(cs) {
		s.pending[k] = true
	}
	for _, c := range cs {
		targets := c.Targets()
		for i, t := range targets {
			j := job{collector: c.Name(), target: t, schedule: c.Schedule(), key: snapshotKey{c.Name(), t.Name()}}
			// Targets of one collector start a tenth of a second apart, or closer when the interval is too short for that.
			spread := min(j.schedule.Interval, time.Duration(len(targets))*100*time.Millisecond)
			delay := spread * time.Duration(i) / time.Duration(len(targets))
			s.running.Go(func() { s.run(ctx, j, delay) })
		}
	}
}

// stop ends the collections and waits until they have returned, or ctx ends.
func (s *scheduler) stop(ctx context.Context) error {
	s.cancel()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("collections still running: %w", ctx.Err())
	}
}

// ready reports whether every target was tried at least once.
func (s *scheduler) ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) == 0
}

// job is one target with the schedule of its collector.
type job struct {
	collector string
	target    Target
	schedule  Schedule
	key       snapshotKey
}

// run collects in a fixed interval, with a jitter that keeps exporters and targets from collecting in step. A
// collection that takes longer than the interval makes the next one start at the following tick.
func (s *scheduler) run(ctx context.Context, j job, delay time.Duration) {
	tick := time.Now().Add(delay)
	jitter := time.Duration(0)
	for sleepUntil(ctx, tick.Add(jitter)) {
		s.collect(ctx, j)
		tick = tick.Add(j.schedule.Interval)
		if now := time.Now(); tick.Before(now) {
			missed := now.Sub(tick)/j.schedule.Interval + 1
			tick = tick.Add(missed * j.schedule.Interval)
		}
		jitter = rand.N(j.schedule.Interval/20 + 1)
	}
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// result is the outcome of a collection.
type result struct {
	sink *Sink
	err  error
}

// collect runs one collection to its end. When it has not returned a second after its deadline, it is reported as
// timed out at once; its late result is thrown away.
func (s *scheduler) collect(parent context.Context, j job) {
	ctx, cancel := context.WithTimeout(parent, j.schedule.Timeout)
	defer cancel()
	begin := time.Now()
	ended := make(chan result, 1)
	go func() {
		r := result{sink: &Sink{catalog: s.catalog}}
		defer func() {
			if p := recover(); p != nil {
				r.err = internalf("panic: %v\n%s", p, debug.Stack())
			}
			ended <- r
		}()
		r.err = j.target.Collect(ctx, r.sink)
	}()

	late := time.NewTimer(j.schedule.Timeout + overrun)
	defer late.Stop()
	select {
	case r := <-ended:
		s.record(parent, j, begin, r)
	case <-late.C:
		s.record(parent, j, begin, result{err: Failure(ReasonTimeout, fmt.Errorf("no answer within %s, and the collection does not stop", j.schedule.Timeout))})
		<-ended
	}
}

// record publishes a result, or records why there is none.
func (s *scheduler) record(parent context.Context, j job, begin time.Time, r result) {
	if parent.Err() != nil {
		return // stopped: nothing was wrong with the target, and its samples may be another configuration's by now
	}
	now := time.Now()
	expires := now.Add(j.schedule.maxAge())
	status, err := r.sink.sealStatus(s.limiter, now)
	if len(status) > 0 {
		s.exposition.publishStatus(j.key, snapshot{families: status, expires: expires})
	} else { // unknown now, and what was known before is no answer to whether the target is up
		s.exposition.deleteStatus(j.key)
	}
	if r.err == nil {
		r.err = err
	}
	var families []family
	if r.err == nil {
		families, r.err = r.sink.seal(s.limiter, now)
	}
	s.self.lastDuration.WithLabelValues(j.collector, j.key.target).Set(now.Sub(begin).Seconds())
	success := s.self.success.WithLabelValues(j.collector, j.key.target)
	s.report(j, r.err)
	if r.err != nil {
		success.Set(0)
		s.self.failures.WithLabelValues(j.collector, string(ReasonOf(r.err))).Inc()
		return
	}
	s.exposition.publish(j.key, snapshot{families: families, expires: expires})
	success.Set(1)
	s.self.lastSuccess.WithLabelValues(j.collector, j.key.target).Set(float64(now.UnixNano()) / 1e9)
}

// report logs when a target begins to fail, fails for another reason, or recovers: not each failure of an outage.
func (s *scheduler) report(j job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, j.key)
	before, failed := s.failing[j.key]
	log := s.log.With("collector", j.collector, "target", j.key.target)
	switch {
	case err == nil && failed:
		delete(s.failing, j.key)
		log.Info("collection succeeds again", "after", before)
	case err != nil && before != ReasonOf(err):
		s.failing[j.key] = ReasonOf(err)
		log.Error("collection failed", "reason", ReasonOf(err), "err", err)
	case err != nil:
		log.Debug("collection failed again", "reason", before, "err", err)
	}
}

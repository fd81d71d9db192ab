// Package aggregate counts decoded records in the series of the exporter, one shard for each partition, so that every value
// that a scrape exposes belongs to exactly the records before an offset. It does no I/O and keeps nothing on disk: its
// callers say where a partition starts, and whether a response was delivered.
package aggregate

import (
	"cmp"
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consignwatch/consignwatch/exporters/events/internal/interner"
	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Options are the limits of an Aggregator. The zero value of each stands for its default.
type Options struct {
	// Sizes says how many clients and sale events may have series of their own.
	Sizes catalog.Sizes
	// Start is when the process started: the start timestamp, in Acknowledged, of series that no scrape has exposed yet.
	Start time.Time
	// MaxBytes is the largest record that is decoded. Default: 1 MiB, as Kafka's.
	MaxBytes int
	// DedupeSpan is how many offsets back a duplicate is recognised. Default: DefaultDedupeSpan.
	DedupeSpan int64
}

// Aggregator holds the counters, histograms and gauges of a process, over all partitions that it owns or has owned. Its
// methods may be called from any goroutine.
type Aggregator struct {
	options   Options
	mapping   *mapping.Compiled
	registry  *registry
	exponents *exponents
	seed      maphash.Seed

	mu                  sync.Mutex // guards the fields below, and in each shard the fields below its comment
	shards              []*Shard   // by topic and partition
	scrape              *Scrape    // the scrape in flight, or nil
	awaitingFirstScrape bool       // no scrape has come since the counters were reset to 0
	lastScrape          time.Time  // when the last scrape started
	lastDelivery        time.Time  // when the last scrape that was delivered started
	gathers             uint64
	sums                []uint64
}

// New compiles a mapping and makes an Aggregator without any series.
func New(m *mapping.Mapping, o Options) (*Aggregator, error) {
	if o.Sizes == (catalog.Sizes{}) {
		o.Sizes = catalog.SizesFor(catalog.DefaultClients)
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 20
	}
	if o.DedupeSpan == 0 {
		o.DedupeSpan = DefaultDedupeSpan
	}
	p, err := mapping.Compile(m, o.Sizes)
	if err != nil {
		return nil, err
	}
	a := &Aggregator{options: o, awaitingFirstScrape: true, mapping: p, exponents: newExponents(), seed: maphash.MakeSeed()}
	a.registry = newRegistry(p, a.exponents)
	a.registry.initKnown(p.Known, nil)
	return a, nil
}

// DedupeSpan is how many offsets before its start offset a partition must be replayed with Shard.Replay: 0 when no type of
// event counts once. Which topics have events of such types is known to no mapping, and what a partition had until now says
// nothing of its next record. So a consumer that would rather not replay what nobody needs defers it: Shard.DeferReplay.
func (a *Aggregator) DedupeSpan() int64 {
	if !a.mapping.Dedupes {
		return 0
	}
	return a.options.DedupeSpan
}

// SetInventory admits the clients of the inventory, in its order; from then on, all others count as "other". Clients that
// were admitted stay. It returns the rejected names: those that are no slugs or beyond the limit.
func (a *Aggregator) SetInventory(clients []string) (rejected []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mapping.Client == nil {
		return nil
	}
	rejected = a.mapping.Client.Seed(clients)
	a.registry.initKnown(a.mapping.Known, slices.DeleteFunc(slices.Clone(clients), func(c string) bool { return slices.Contains(rejected, c) }))
	return rejected
}

// Rejected calls f for each label of each metric, with the number of values that became "other".
func (a *Aggregator) Rejected(f func(metric, label string, n uint64)) {
	for _, m := range a.mapping.Metrics {
		for i := range m.Rejected {
			f(m.Decl.Name, m.Decl.Labels[i].Name, m.Rejected[i].Load())
		}
	}
}

// Dropped calls f for each metric, with the number of label sets beyond its limit of series. A counter counts them with
// the labels folded into "other"; a gauge leaves them out.
func (a *Aggregator) Dropped(f func(metric string, n uint64)) {
	for _, m := range a.mapping.Metrics {
		f(m.Decl.Name, m.Dropped.Load())
	}
}

// Shard returns the shard of a partition. The first call makes it; it is never removed.
func (a *Aggregator) Shard(topic string, partition int32) *Shard {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, found := slices.BinarySearchFunc(a.shards, Position{Topic: topic, Partition: partition}, func(s *Shard, p Position) int {
		return cmp.Or(cmp.Compare(s.topic, p.Topic), cmp.Compare(s.partition, p.Partition))
	})
	if !found {
		a.shards = slices.Insert(a.shards, at, newShard(a, topic, partition))
	}
	return a.shards[at]
}

// Position is an offset of a partition.
type Position struct {
	Topic     string
	TopicID   string // as it was given to Assign
	Partition int32
	Offset    int64
}

// ErrScrapeInFlight says that a scrape started before the last one was finished.
var ErrScrapeInFlight = errors.New("another scrape is in flight")

// Scrape is a scrape in flight by a scraper that acknowledges. Delivered, Exposed or Unknown finishes it; another call does
// nothing.
type Scrape struct {
	// Families is the exposition.
	Families []*dto.MetricFamily

	started    time.Time
	aggregator *Aggregator
	shards     []scrapedShard
}

type scrapedShard struct {
	shard      *Shard
	generation uint64
}

// StartScrape freezes all shards, and exposes the frozen values. timeout is the scraper's timeout, 0 when it sends none.
//
// After a reset to 0 expositions are empty until EndFirstScrape. At such a scrape Prometheus writes staleness markers for the series of
// the process before, whether the response arrives or not. Every later start timestamp is after the staleness markers:
// otherwise Prometheus would not ingest the created-timestamp zero sample, and would miss the reset of counters that
// have passed their old values already.
func (a *Aggregator) StartScrape(now time.Time, timeout time.Duration) (*Scrape, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.scrape != nil {
		return nil, ErrScrapeInFlight
	}
	if a.awaitingFirstScrape {
		a.lastScrape = now
		a.scrape = &Scrape{aggregator: a, started: now}
		return a.scrape, nil
	}
	created := timestamppb.New(a.created(now, timeout))
	a.registry.setCreated(created)
	sc := &Scrape{aggregator: a, started: now}
	for _, s := range a.shards {
		s.freeze(now.UnixMilli(), created)
		sc.shards = append(sc.shards, scrapedShard{s, s.generation})
	}
	a.scrape, a.lastScrape = sc, now
	sc.Families = a.gather(now, func(s *Shard) []uint64 { return s.inFlight }, inFlight)
	return sc, nil
}

// EndFirstScrape says that Prometheus has scraped since the reset to 0.
func (a *Aggregator) EndFirstScrape() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.awaitingFirstScrape = false
}

// ResetTime is when the counters were set to 0, at the start or by Reset.
func (a *Aggregator) ResetTime() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.options.Start
}

// AwaitingFirstScrape reports whether the next exposition is empty, because Prometheus has not scraped since the reset to 0.
func (a *Aggregator) AwaitingFirstScrape() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.awaitingFirstScrape
}

// created is the start timestamp of a series that is exposed for the first time at now. It has to be after the last scrape
// and before this one by the scraper's clock, which stamps the samples. A scrape lasts no longer than its timeout, and the
// timeout no longer than the interval: half of it leaves the most room to clocks that differ.
// Without a timeout it is the time of the last scrape.
func (a *Aggregator) created(now time.Time, timeout time.Duration) time.Time {
	if timeout > 0 {
		return now.Add(-timeout / 2)
	}
	return a.lastScrape
}

// Acknowledged returns the families for other readers than the scrapers: the acknowledged values, and none that are in
// flight. It delivers nothing.
func (a *Aggregator) Acknowledged(now time.Time) []*dto.MetricFamily {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gather(now, func(s *Shard) []uint64 { return s.acknowledged }, exposed)
}

// Delivered says that the scraper has the response. It returns the offsets that may be committed now.
func (sc *Scrape) Delivered() []Position { return sc.acknowledge(true) }

// Exposed is Delivered for a scraper that is asked later whether it has ingested the response: Aggregator.Ingested says that
// it has.
func (sc *Scrape) Exposed() []Position { return sc.acknowledge(false) }

// Ingested says that the response of a scrape that started then was delivered.
func (a *Aggregator) Ingested(started time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastDelivery = started
}

func (sc *Scrape) acknowledge(delivered bool) (positions []Position) {
	sc.finish(delivered, func(s *Shard) {
		s.acknowledge()
		if s.assigned {
			positions = append(positions, Position{s.topic, s.topicID, s.partition, s.inFlightOffset})
		}
	})
	return positions
}

// Unknown says that it is unknown whether the scraper has the response. The values in flight are acknowledged, so that
// they are never rolled back, but their offsets are not to be committed.
func (sc *Scrape) Unknown() { sc.finish(false, (*Shard).acknowledge) }

func (sc *Scrape) finish(delivered bool, f func(*Shard)) {
	a := sc.aggregator
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.scrape != sc {
		return
	}
	a.scrape = nil
	if delivered {
		a.lastDelivery = sc.started
	}
	for _, p := range sc.shards {
		if p.shard.generation == p.generation { // otherwise the shard was revoked, which has acknowledged the scrape
			p.shard.mu.Lock()
			f(p.shard)
			p.shard.mu.Unlock()
		}
	}
}

// Reset sets all counters to 0, as if the process had been killed and restarted now: delivered values stay in
// Prometheus, and values that may not have arrived are never exposed again. All shards are revoked.
func (a *Aggregator) Reset(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scrape = nil
	for _, s := range a.shards {
		s.mu.Lock()
		s.revoke()
		s.reset()
		s.mu.Unlock()
	}
	a.registry.resetCreated()
	a.options.Start, a.awaitingFirstScrape = now, true
}

// A value of an open label gives its place back, and its series end, when it has had no record for a while.
const (
	saleEventIdle = 14 * 24 * time.Hour // sale events, which end
	labelIdle     = 24 * time.Hour      // all others, once every place of their label is taken: a counter that stands still is worth more than a free place
)

// Evict removes the series of label values that are idle, so that other values can be admitted, and returns the number of
// those values. Values of the configuration stay. Idle is what has not changed for that long before the last delivery:
// while no scrape is delivered nothing ages, so that nothing is removed before Prometheus has had it. It evicts nothing
// while a scrape is in flight.
func (a *Aggregator) Evict() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.scrape != nil {
		return 0
	}
	for _, s := range a.shards {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	// From here on no shard counts, so that the ids of label values can be reused.
	idle := a.idleValues()
	evicted := func(s *series) bool {
		for i, id := range s.metric.IDs(s.key) {
			if idle[s.metric.Interners[i]][id] {
				return true
			}
		}
		return false
	}
	n := 0
	for _, ids := range idle {
		n += len(ids)
	}
	if n == 0 {
		return 0
	}
	for _, s := range a.shards {
		s.removeSeries(evicted)
	}
	a.registry.evict(evicted)
	for label, ids := range idle {
		label.Evict(slices.Collect(maps.Keys(ids)))
	}
	return n
}

// idleValues are the ids of the idle values of each label.
func (a *Aggregator) idleValues() map[*interner.Label]map[uint32]bool {
	places := map[*interner.Label][]interner.Place{}
	for _, m := range a.mapping.Metrics {
		for _, label := range m.Interners {
			if places[label] == nil {
				places[label] = label.Places()
			}
		}
	}
	// Admission is a use, and so is each change of a series.
	used := func(s *series, at time.Time) {
		for i, id := range s.metric.IDs(s.key) {
			if p := &places[s.metric.Interners[i]][id]; !p.AdmittedAt.IsZero() && at.After(p.AdmittedAt) {
				p.AdmittedAt = at
			}
		}
	}
	for _, s := range a.shards {
		for i := range s.states {
			switch c := &s.states[i]; {
			case s.current[c.at]&dirtyBit != 0: // not delivered yet
				used(c.series, a.lastDelivery)
			case i < len(s.frozenAt):
				used(c.series, time.UnixMilli(s.frozenAt[i]))
			}
		}
		for k, g := range s.gauges {
			used(k.series, time.UnixMilli(g.reportedAt))
		}
	}
	idle := map[*interner.Label]map[uint32]bool{}
	for label, values := range places {
		after := labelIdle
		switch {
		case label.Declaration().Within != "":
			after = saleEventIdle
		case !label.Full():
			continue
		}
		idle[label] = map[uint32]bool{}
		for id, p := range values {
			if !p.AdmittedAt.IsZero() && a.lastDelivery.Sub(p.AdmittedAt) > after {
				idle[label][uint32(id)] = true
			}
		}
	}
	// The sale events of a client go with it.
	for label, values := range places {
		if label.Declaration().Within == "" {
			continue
		}
		for id, p := range values {
			if !p.AdmittedAt.IsZero() && idle[a.mapping.Client][p.Within] {
				idle[label][uint32(id)] = true
			}
		}
	}
	return idle
}

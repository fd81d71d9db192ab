package events

import (
	"cmp"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// Options are the limits of a ledger. The zero value of each stands for its default.
type Options struct {
	// Sizes says how many clients and sale events may have series of their own.
	Sizes catalog.Sizes
	// Start is when the process started: a page outside of scrapes says so of series that no scrape has exposed yet.
	Start time.Time
	// MaxBytes is the size from which on a record is not looked into. Default: 1 MiB, as Kafka's.
	MaxBytes int
	// DedupeSpan is how many offsets back a duplicate is recognised. Default: DefaultDedupeSpan.
	DedupeSpan int64
}

// Ledger holds what a process has counted, over all partitions that it owns or has owned. Its methods may be called from
// any goroutine.
type Ledger struct {
	options  Options
	plan     *plan
	known    []knownSpec
	registry *registry
	seed     maphash.Seed

	mu     sync.Mutex // guards what follows, and in each shard what its comment says
	shards []*Shard   // by topic and partition
	scrape *Scrape    // the one in flight
	anew   bool       // no scrape has come since the counters began at 0
	last   time.Time  // when the last scrape began
	pages  uint64
	sums   []uint64
}

// NewLedger compiles a mapping and starts from nothing.
func NewLedger(m *Mapping, o Options) (*Ledger, error) {
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
	p, err := compile(m, o.Sizes)
	if err != nil {
		return nil, err
	}
	l := &Ledger{options: o, anew: true, plan: p, known: m.known, registry: newRegistry(p), seed: maphash.MakeSeed()}
	l.registry.know(p.byName, l.known, nil)
	return l, nil
}

// DedupeSpan is how many offsets before its start a partition must be read into Warm.
func (l *Ledger) DedupeSpan() int64 { return l.options.DedupeSpan }

// SetInventory admits the clients of the inventory, in its order; from then on, all others count as "other". Clients that
// were admitted stay. It returns the names that are no slugs or beyond the limit.
func (l *Ledger) SetInventory(clients []string) (refused []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plan.client == nil {
		return nil
	}
	refused = l.plan.client.announce(clients)
	l.registry.know(l.plan.byName, l.known, slices.DeleteFunc(slices.Clone(clients), func(c string) bool { return slices.Contains(refused, c) }))
	return refused
}

// Rejected calls f for each label of each metric, with the number of values that became "other".
func (l *Ledger) Rejected(f func(metric, label string, n uint64)) {
	for _, m := range l.plan.metrics {
		for i := range m.rejected {
			f(m.decl.Name, m.decl.Labels[i].Name, m.rejected[i].Load())
		}
	}
}

// Dropped calls f for each metric, with the number of label sets that found no room in it. A counter's are counted with
// the labels folded into "other"; a gauge's are left out.
func (l *Ledger) Dropped(f func(metric string, n uint64)) {
	for _, m := range l.plan.metrics {
		f(m.decl.Name, m.dropped.Load())
	}
}

// Shard returns the shard of a partition; it is made when it is asked for first, and stays.
func (l *Ledger) Shard(topic string, partition int32) *Shard {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, found := slices.BinarySearchFunc(l.shards, Position{Topic: topic, Partition: partition}, func(s *Shard, p Position) int {
		return cmp.Or(cmp.Compare(s.topic, p.Topic), cmp.Compare(s.partition, p.Partition))
	})
	if !found {
		l.shards = slices.Insert(l.shards, at, newShard(l, topic, partition))
	}
	return l.shards[at]
}

// Position is an offset of a partition.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// ErrScrapeInFlight says that a scrape began before the last one was settled.
var ErrScrapeInFlight = errors.New("another scrape is in flight")

// Scrape is one page for a scraper that the numbers are delivered to. Exactly one of Delivered, Undelivered and Unknown
// settles it; another call does nothing.
type Scrape struct {
	// Families is the page.
	Families []*dto.MetricFamily

	ledger *Ledger
	parts  []part
}

type part struct {
	shard      *Shard
	generation uint64
}

// Begin freezes what was counted so far, and makes the page of it. timeout is how long the scraper waits for a page, 0
// when it does not say.
//
// The first page after the counters began at 0 is empty. Prometheus notes at that scrape that the series of whoever was
// scraped before have ended, whether the page arrives or not. Every start timestamp of the pages after it is later than
// that note: otherwise Prometheus would leave the 0 out that the timestamp stands for, and miss that the counters began
// anew when they have passed their old values already.
func (l *Ledger) Begin(now time.Time, timeout time.Duration) (*Scrape, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scrape != nil {
		return nil, ErrScrapeInFlight
	}
	if l.anew {
		l.anew, l.last = false, now
		l.scrape = &Scrape{ledger: l}
		return l.scrape, nil
	}
	created := timestamppb.New(l.created(now, timeout))
	l.registry.begin(created)
	sc := &Scrape{ledger: l}
	for _, s := range l.shards {
		s.freeze(now.UnixMilli(), created)
		sc.parts = append(sc.parts, part{s, s.generation})
	}
	l.scrape, l.last = sc, now
	sc.Families = l.page(now, func(s *Shard) []uint64 { return s.frozen }, flying)
	return sc, nil
}

// Anew reports whether the next page that begins is the first one, which is empty.
func (l *Ledger) Anew() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.anew
}

// created is since when a series counts that is exposed for the first time at now. It has to be after the last scrape and
// before this one by the scraper's clock, which stamps the samples. A scrape lasts no longer than its timeout, and the
// timeout no longer than the interval: half of it leaves the most room to clocks that differ.
// Without a timeout it is when the last scrape arrived.
func (l *Ledger) created(now time.Time, timeout time.Duration) time.Time {
	if timeout > 0 {
		return now.Add(-timeout / 2)
	}
	return l.last
}

// Page is the page for everybody else: what was delivered, and nothing that might still be taken back. It delivers
// nothing.
func (l *Ledger) Page(now time.Time) []*dto.MetricFamily {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.page(now, func(s *Shard) []uint64 { return s.base }, exposed)
}

// Delivered says that the scraper has the page. It returns the offsets that may be committed now.
func (sc *Scrape) Delivered() []Position {
	var positions []Position
	sc.settle(func(s *Shard) {
		s.deliver()
		if s.assigned {
			s.delivered = s.frozenOffset
			positions = append(positions, Position{s.topic, s.partition, s.delivered})
		}
	})
	return positions
}

// Unknown says that nobody knows whether the scraper has the page. What it exposes is never taken back, but its
// offsets are not to be committed.
func (sc *Scrape) Unknown() { sc.settle((*Shard).deliver) }

// Undelivered says that the scraper does not have the page for sure. What was in flight is pending again.
func (sc *Scrape) Undelivered() { sc.settle((*Shard).takeBack) }

func (sc *Scrape) settle(f func(*Shard)) {
	l := sc.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scrape != sc {
		return
	}
	l.scrape = nil
	for _, p := range sc.parts {
		if p.shard.generation == p.generation { // otherwise it was revoked, which has settled it
			p.shard.mu.Lock()
			f(p.shard)
			p.shard.mu.Unlock()
		}
	}
}

// Forget drops all that was counted, as if the process had died and been started again now: what was delivered stays
// counted where it was delivered to, and nothing that may not have arrived is ever shown again. All shards are revoked.
func (l *Ledger) Forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scrape = nil
	for _, s := range l.shards {
		s.mu.Lock()
		s.revoke()
		s.zero()
		s.mu.Unlock()
	}
	l.registry.restart()
	l.options.Start, l.anew = now, true
}

// retireAfter is how long a sale event keeps its series after its last record.
const retireAfter = 14 * 24 * time.Hour

// Retire removes the series of sale events that had no record for 14 days, and gives their places to others. It returns
// how many events have gone. While a scrape is in flight, or when something of an event was not delivered yet, it
// leaves things as they are.
func (l *Ledger) Retire(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.scrape != nil {
		return 0
	}
	for _, s := range l.shards {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	// From here on nobody counts, so that numbers of label values can be given to others.
	gone := 0
	done := map[*domain]bool{}
	for _, m := range l.plan.metrics {
		i := m.eventLabel()
		if i < 0 || done[m.domains[i]] {
			continue
		}
		done[m.domains[i]] = true
		gone += l.retire(m.domains[i], now.Add(-retireAfter))
	}
	return gone
}

func (l *Ledger) retire(d *domain, before time.Time) int {
	last := d.since()
	eventOf := func(s *series) uint32 {
		i := s.metric.eventLabel()
		if i < 0 || s.metric.domains[i] != d {
			return otherID
		}
		return s.metric.ids(s.key)[i]
	}
	for _, s := range l.shards {
		for i := range s.cells {
			id := eventOf(s.cells[i].series)
			if id == otherID {
				continue
			}
			switch {
			case s.now[s.cells[i].at]&dirtyBit != 0:
				last[id] = before
			case i < len(s.touched):
				if t := time.UnixMilli(s.touched[i]); t.After(last[id]) {
					last[id] = t
				}
			}
		}
	}
	var ids []uint32
	for id, t := range last {
		if id != otherID && !t.IsZero() && t.Before(before) {
			ids = append(ids, uint32(id))
		}
	}
	if len(ids) == 0 {
		return 0
	}
	gone := func(s *series) bool { id := eventOf(s); return id != otherID && slices.Contains(ids, id) }
	for _, s := range l.shards {
		s.drop(gone)
	}
	l.registry.retire(gone)
	d.retire(ids)
	return len(ids)
}

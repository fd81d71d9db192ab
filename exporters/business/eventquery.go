package business

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// eventQuery reads a query `per: event`. Sale events that change are read each round; those that have ended are read
// once, cached, and read again after RefreshEnded: the cost depends on the live ones, not on the history.
type eventQuery struct {
	dir   *directory
	query *Query
	// refresh is how often an ended sale event is read again.
	refresh time.Duration

	rejected *rejections

	mu           sync.Mutex
	results      map[id]eventResult
	batch        int       // ended sale events to read at a time
	waitingSince time.Time // since when ended sale events have been waiting for a connection; zero when they are not
}

// eventResult holds the values of one sale event from the last time that it was read.
type eventResult struct {
	values   []rowValue
	labels   map[string]string // of the sale event, as they are in the values
	changing bool              // whether it was read as one that changes
	due      time.Time
}

// relabel updates the labels of the values: the sale event, or its client, may have been renamed.
func (r *eventResult) relabel(e *saleEvent) {
	if maps.Equal(r.labels, e.labels) {
		return
	}
	for _, v := range r.values {
		for _, i := range v.listed {
			if now, ok := e.labels[v.mapping.labels[i].column]; ok {
				v.labels[i] = now
			}
		}
	}
	r.labels = e.labels
}

const (
	firstBatch = 16
	maxBatch   = 64
)

func newEventQuery(dir *directory, q *Query, refresh time.Duration) *eventQuery {
	return &eventQuery{dir: dir, query: q, refresh: refresh, rejected: newRejections(), results: map[id]eventResult{}, batch: firstBatch}
}

func (q *eventQuery) wanted(e *saleEvent) bool { return e.exposed || q.query.Events == "all" }

// read queries some sale events, and caches their values.
func (q *eventQuery) read(ctx context.Context, events []*saleEvent, history bool) error {
	if len(events) == 0 {
		return nil
	}
	ids := make([]string, len(events))
	byID := make(map[id]*saleEvent, len(events))
	for i, e := range events {
		ids[i] = e.literal
		byID[e.id] = e
	}
	values := make(map[id][]rowValue, len(events))
	text := strings.ReplaceAll(q.query.SQL, eventsPlaceholder, strings.Join(ids, ","))
	s := q.query.statement(text)
	s.history = history
	err := q.dir.db.query(ctx, s, func(r *row) error {
		id, err := r.id("event_id")
		e := byID[id]
		if err == nil && e == nil {
			err = r.rejected(catalog.InvalidID, "event_id", "%q was not requested", id)
		}
		if wrong, ok := asRowError(err); ok {
			q.rejected.add(q.dir.log, q.query.Name, rejectedRow{catalog.Other, wrong})
			return nil
		}
		if err != nil {
			return err
		}
		values[id], err = q.query.read(r, e.labels, values[id])
		return err
	})
	if err != nil {
		return err
	}
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range events {
		// Spread over the second half of the period, so that a start does not cause a peak of load each day.
		due := now.Add(q.refresh - rand.N(q.refresh/2+1))
		q.results[e.id] = eventResult{values: values[e.id], labels: e.labels, changing: e.changing, due: due}
	}
	return nil
}

// liveTarget reads the sale events that change and reports the values of all.
type liveTarget struct{ *eventQuery }

func (t liveTarget) Name() string { return "live" }

func (t liveTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	list, err := t.dir.get(ctx)
	if err != nil {
		return err
	}
	var changing []*saleEvent
	for i := range list.events {
		if e := &list.events[i]; e.changing && t.wanted(e) {
			changing = append(changing, e)
		}
	}
	if err := t.read(ctx, changing, false); err != nil {
		return err
	}
	return t.emit(list, sink)
}

// emit reports the cached results to the sink. A value about a client as a whole is reported only when all of the client's
// sale events have been read: a part of a total would be a wrong total.
func (q *eventQuery) emit(list *listing, sink *exporter.Sink) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	partial := map[string]bool{}
	here := map[id]bool{}
	for i := range list.events {
		e := &list.events[i]
		here[e.id] = true
		if _, ok := q.results[e.id]; !ok && q.wanted(e) {
			partial[e.client] = true
		}
	}
	for _, r := range list.rejected {
		partial[r.client] = true // it has a sale event that is not in the list
	}
	for id := range q.results {
		if !here[id] {
			delete(q.results, id)
		}
	}
	sink.Inventory("client", list.slugs)
	for client, events := range list.exposed {
		sink.InventoryWithin(client, "event", events)
	}
	sum := newTotals()
	sum.rejected = slices.Clone(list.rejected)
	expected := make([]profiles, len(q.query.Metrics)) // empty for metrics without a profile
	for i := range expected {
		expected[i] = profiles{mapping: &q.query.Metrics[i], byEvent: map[id]*profile{}}
	}
	for i := range list.events {
		e := &list.events[i]
		result, read := q.results[e.id]
		if !read || !q.wanted(e) {
			continue
		}
		result.relabel(e)
		q.results[e.id] = result
		for _, v := range result.values {
			if v.wrong == nil && v.profilePart != nil {
				expected[slices.IndexFunc(expected, func(p profiles) bool { return p.mapping == v.mapping })].add(e, v)
				continue
			}
			hasEvent := v.mapping.metric.LabelIndex("event") >= 0
			if v.mapping.Profile == 0 && hasEvent && !e.exposed || !hasEvent && partial[e.client] {
				continue
			}
			if err := sum.addOf(e.client, v); err != nil {
				return err
			}
		}
	}
	for i := range q.query.Metrics {
		if m := &q.query.Metrics[i]; m.Zero {
			if err := q.zeros(m, list, partial, sum); err != nil {
				return err
			}
		}
	}
	for i := range expected {
		if err := expected[i].addExpected(time.Now(), partial, sum); err != nil {
			return err
		}
	}
	sum.emit(sink)
	q.rejected.count(q.dir.log, q.query.Name, sum.rejected, sink)
	return nil
}

// zeros adds the value 0 for clients, or sale events, that have been read and have no row.
func (q *eventQuery) zeros(m *Mapping, list *listing, partial map[string]bool, sum *totals) error {
	if m.metric.LabelIndex("event") < 0 {
		for _, slug := range list.slugs {
			if partial[slug] {
				continue
			}
			if err := sum.zeros(m, map[string]string{"client": slug}); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range list.events {
		e := &list.events[i]
		if _, read := q.results[e.id]; !read || !e.exposed {
			continue
		}
		if err := sum.zeros(m, e.labels); err != nil {
			return err
		}
	}
	return nil
}

// endedTarget reads sale events that no longer change. It exposes nothing itself: the next round of liveTarget reports the
// values.
type endedTarget struct{ *eventQuery }

func (t endedTarget) Name() string { return "ended" }

func (t endedTarget) Collect(ctx context.Context, _ *exporter.Sink) error {
	for {
		list, err := t.dir.get(ctx)
		if err != nil {
			return err
		}
		due := t.due(list)
		if len(due) == 0 {
			return nil
		}
		err = t.read(ctx, due, true)
		if errors.Is(err, errNoConnection) {
			return t.wait(err)
		}
		if err != nil {
			return t.shrinkBatch(err, len(due))
		}
		t.growBatch()
		if end, ok := ctx.Deadline(); ok && time.Until(end) < duration(t.query.Timeout)+2*clientTimeoutMargin {
			return nil // the next round continues
		}
	}
}

// due lists the sale events to read next: those never read since they ended, then those read longest ago.
func (q *eventQuery) due(list *listing) []*saleEvent {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	dueAt := func(e *saleEvent) time.Time {
		r, ok := q.results[e.id]
		if !ok || r.changing {
			return time.Time{}
		}
		return r.due
	}
	var due []*saleEvent
	for i := range list.events {
		if e := &list.events[i]; q.wanted(e) && !e.changing && !dueAt(e).After(now) {
			due = append(due, e)
		}
	}
	slices.SortStableFunc(due, func(a, b *saleEvent) int {
		return cmp.Or(dueAt(a).Compare(dueAt(b)), b.id.compare(a.id))
	})
	return due[:min(len(due), q.batch)]
}

// maxHistoryWait is how long history may wait for a connection before that is a failure.
const maxHistoryWait = time.Hour

// wait tolerates that other queries kept all connections busy: the next round tries again.
func (q *eventQuery) wait(err error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if q.waitingSince.IsZero() {
		q.waitingSince = now
	}
	if now.Sub(q.waitingSince) > maxHistoryWait {
		return fmt.Errorf("ended sale events have been waiting to be read since %s: %w", q.waitingSince.Format(time.RFC3339), err)
	}
	return nil
}

// shrinkBatch makes the next batch smaller when this one was too large for the time limit.
func (q *eventQuery) shrinkBatch(err error, size int) error {
	if exporter.ReasonOf(err) != exporter.ReasonTimeout {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batch = max(size/2, 1)
	if size == 1 {
		return fmt.Errorf("one ended sale event alone takes longer than the query's timeout %s: %w", q.query.Timeout, err)
	}
	return errors.Join(err, fmt.Errorf("the next batch has %d ended sale events instead of %d", q.batch, size))
}

func (q *eventQuery) growBatch() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batch = min(q.batch*2, maxBatch)
	q.waitingSince = time.Time{}
}

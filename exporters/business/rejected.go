package business

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// rowError is what is wrong with the data of one row, as opposed to the query. It costs the series of the row's client, not those of
// the others.
type rowError struct {
	reason string // one of catalog.RowRejections
	error
}

func (e rowError) Unwrap() error { return e.error }

// rejectedRow is a row that could not be used, and whose it is: catalog.Other when the row does not say.
type rejectedRow struct {
	client string
	err    rowError
}

// rejections counts what a query could not use, by client and reason.
type rejections struct {
	mu     sync.Mutex
	since  time.Time
	counts map[rejectionKey]uint64
	last   map[rejectionKey]time.Time // when the last one was counted
}

// logAgainAfter is how long a client and reason must have been without a rejected row for the next one to be logged: as long as the
// alert on them takes to resolve.
const logAgainAfter = 30 * time.Minute

type rejectionKey struct{ client, reason string }

func newRejections() *rejections {
	return &rejections{since: time.Now(), counts: map[rejectionKey]uint64{}, last: map[rejectionKey]time.Time{}}
}

// add counts a row, and logs the first one of a client and reason: it is read again each round. When it was corrected, the next one is
// the first again.
func (r *rejections) add(log *slog.Logger, collector string, row rejectedRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := rejectionKey{row.client, row.err.reason}
	r.counts[k]++
	now := time.Now()
	last, known := r.last[k]
	r.last[k] = now
	if !known || now.Sub(last) > logAgainAfter {
		log.Warn("a row cannot be used: the client's series of the metric are left out", "collector", collector, "client", row.client, "reason", row.err.reason, "err", row.err)
	}
}

// sorted lists the keys in order.
func (r *rejections) sorted() []rejectionKey {
	return slices.SortedFunc(maps.Keys(r.counts), func(a, b rejectionKey) int {
		return slices.Compare([]string{a.client, a.reason}, []string{b.client, b.reason})
	})
}

// count counts rows, and reports all counts to the sink.
func (r *rejections) count(log *slog.Logger, collector string, rows []rejectedRow, sink *exporter.Sink) {
	for _, row := range rows {
		r.add(log, collector, row)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.sorted() {
		sink.Status().Counter("consignwatch_row_values_rejected_total", float64(r.counts[k]), r.since, collector, k.client, k.reason)
	}
}

// describe says, a sentence each, what was rejected.
func (r *rejections) describe() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, k := range r.sorted() {
		all = append(all, fmt.Sprintf("client %s: %d values left out: %s", k.client, r.counts[k], k.reason))
	}
	return all
}

// asRowError separates what is wrong with a row from what is wrong with the query.
func asRowError(err error) (rowError, bool) {
	var row rowError
	ok := errors.As(err, &row)
	return row, ok
}

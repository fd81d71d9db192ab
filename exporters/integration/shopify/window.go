package shopify

import (
	"sync"
	"time"
)

// orderWindow holds the recent orders of a shop, so that a round has to read only changes. One collector fills it, another
// one compares it with the platform's database.
type orderWindow struct {
	client string
	length time.Duration
	grace  time.Duration
	reread time.Duration // interval of reading the whole window again
	limit  int
	filter string

	mu           sync.Mutex
	orders       map[resourceID]*order
	lastRead     time.Time // start of the last completed reading; the zero time: nothing is known
	lastFullRead time.Time // start of the last completed reading of the whole window
}

// order is an order that is neither a test nor cancelled.
type order struct {
	created time.Time
	found   bool // the platform has it
}

// rereadMissing is how soon the whole window is read again while orders are missing: a deleted order is not missing any
// longer.
const rereadMissing = 5 * time.Minute

func newOrderWindow(client string, c *Config) *orderWindow {
	return &orderWindow{
		client: client, length: time.Duration(c.OrderWindow), grace: time.Duration(c.GracePeriod),
		reread: time.Duration(c.RereadInterval), limit: c.MaxOrders, filter: c.OrderFilter,
	}
}

// changedSince returns since when changes are to be read, and whether the whole window is to be read.
func (w *orderWindow) changedSince(now time.Time) (since time.Time, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	reread := w.reread
	if reread > rereadMissing && len(w.missing(now)) > 0 {
		reread = rereadMissing
	}
	return w.lastRead, w.lastRead.IsZero() || now.Sub(w.lastFullRead) >= reread
}

// apply applies a completed reading. With more orders than the limit it returns false and clears the window.
func (w *orderWindow) apply(r *orderReading) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.full || w.orders == nil {
		w.orders = make(map[resourceID]*order, len(r.orders))
		w.lastFullRead = r.started
	}
	for id, seen := range r.orders {
		if seen.counts {
			found := w.orders[id] != nil && w.orders[id].found
			w.orders[id] = &order{seen.created, found}
		} else {
			delete(w.orders, id)
		}
	}
	w.lastRead = r.started
	w.prune(r.started)
	if len(w.orders) > w.limit {
		w.reset()
		return false
	}
	return true
}

// clear empties the window.
func (w *orderWindow) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reset()
}

func (w *orderWindow) reset() { w.orders, w.lastRead, w.lastFullRead = nil, time.Time{}, time.Time{} }

// prune deletes orders that are older than the window.
func (w *orderWindow) prune(now time.Time) {
	for id, o := range w.orders {
		if o.created.Before(now.Add(-w.length)) {
			delete(w.orders, id)
		}
	}
}

// recent returns the number of orders in the window, and when the newest was created; the zero time without any.
func (w *orderWindow) recent(now time.Time) (n int, newest time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.prune(now)
	for _, o := range w.orders {
		if o.created.After(newest) {
			newest = o.created
		}
	}
	return len(w.orders), newest
}

// due lists the orders that the platform should have, and that were not found yet. They are not known when the last reading is
// older than maxAge.
func (w *orderWindow) due(now time.Time, maxAge time.Duration) (ids []resourceID, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lastRead.IsZero() || now.Sub(w.lastRead) > maxAge {
		return nil, false
	}
	w.prune(now)
	return w.missing(now), true
}

func (w *orderWindow) missing(now time.Time) []resourceID {
	var ids []resourceID
	for id, o := range w.orders {
		if !o.found && !o.created.After(now.Add(-w.grace)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// markFound marks an order that the platform has.
func (w *orderWindow) markFound(id resourceID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.orders[id]; o != nil {
		o.found = true
	}
}

package integration

import (
	"sync"
	"time"
)

// orderWindow holds the recent orders of a shop, so that a round has to read only what is new. One collector fills it, another
// one compares it with the platform's books.
type orderWindow struct {
	client string
	length time.Duration
	grace  time.Duration
	reread time.Duration // the window as a whole is read again after that
	limit  int
	filter string

	mu     sync.Mutex
	orders map[resourceID]*order
	read   time.Time // begin of the last reading that came to its end; the zero time: nothing is known
	whole  time.Time // begin of the last reading of the window as a whole
}

// order is one that counts.
type order struct {
	created time.Time
	found   bool // the platform has it
}

// rereadMissing is how soon the window as a whole is read again while orders are missing: one that was deleted is missed no
// longer.
const rereadMissing = 5 * time.Minute

func newOrderWindow(client string, c *shopifyConfig) *orderWindow {
	return &orderWindow{
		client: client, length: time.Duration(c.OrderWindow), grace: time.Duration(c.GracePeriod),
		reread: time.Duration(c.RereadInterval), limit: c.MaxOrders, filter: c.OrderFilter,
	}
}

// since says since when changes are not known, and whether the window is to be read as a whole.
func (w *orderWindow) since(now time.Time) (since time.Time, whole bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	again := w.reread
	if again > rereadMissing && len(w.lost(now)) > 0 {
		again = rereadMissing
	}
	return w.read, w.read.IsZero() || now.Sub(w.whole) >= again
}

// take takes over what was read. It refuses more orders than the limit, and then knows nothing.
func (w *orderWindow) take(r *orderReading) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.whole || w.orders == nil {
		w.orders = make(map[resourceID]*order, len(r.orders))
		w.whole = r.begun
	}
	for id, seen := range r.orders {
		if seen.counts {
			found := w.orders[id] != nil && w.orders[id].found
			w.orders[id] = &order{seen.created, found}
		} else {
			delete(w.orders, id)
		}
	}
	w.read = r.begun
	w.prune(r.begun)
	if len(w.orders) > w.limit {
		w.reset()
		return false
	}
	return true
}

// forget makes the window as it was in the beginning.
func (w *orderWindow) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reset()
}

func (w *orderWindow) reset() { w.orders, w.read, w.whole = nil, time.Time{}, time.Time{} }

// prune lets go what has left the window.
func (w *orderWindow) prune(now time.Time) {
	for id, o := range w.orders {
		if o.created.Before(now.Add(-w.length)) {
			delete(w.orders, id)
		}
	}
}

// recent counts the orders of the window, and tells when the newest was created; the zero time without any.
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

// due lists the orders that the platform should have, and was not seen to have. It is not known when the last reading is older
// than maxAge.
func (w *orderWindow) due(now time.Time, maxAge time.Duration) (ids []resourceID, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.read.IsZero() || now.Sub(w.read) > maxAge {
		return nil, false
	}
	w.prune(now)
	return w.lost(now), true
}

func (w *orderWindow) lost(now time.Time) []resourceID {
	var ids []resourceID
	for id, o := range w.orders {
		if !o.found && !o.created.After(now.Add(-w.grace)) {
			ids = append(ids, id)
		}
	}
	return ids
}

// found notes that the platform has an order.
func (w *orderWindow) found(id resourceID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.orders[id]; o != nil {
		o.found = true
	}
}

package events

import (
	"hash/maphash"
	"math/bits"
)

// DefaultDedupeSpan is how many offsets back a duplicate is recognised.
const DefaultDedupeSpan = 1 << 17

// window remembers the events of a partition that must count once, by what identifies a CloudEvent: source and id. An
// event is a duplicate if the same one stands at one of the span offsets before it. That depends on the partition
// alone, not on when a process started: reading the span before the start offset makes the same window again.
//
// It remembers 64-bit hashes with a secret seed. In a full window of 131,072 events, a new event is taken for a
// duplicate with a probability of 2^-47: once in 140,000,000,000,000 events.
type window struct {
	span   int64
	seed   maphash.Seed
	queue  []sighting // ring of what is in the window, oldest first
	first  int
	queued int
	last   []sighting // newest sighting of each hash: open addressing, never more than half full
	marked int
}

type sighting struct {
	hash   uint64 // never 0
	offset int64
}

func (w *window) hash(source, id []byte) uint64 {
	h, l := bits.Mul64(maphash.Bytes(w.seed, source)^0xa0761d6478bd642f, maphash.Bytes(w.seed, id)|1)
	return max(h^l, 1)
}

// mark notes an event, and reports whether it was in the window already. Offsets only grow.
func (w *window) mark(hash uint64, offset int64) (seen bool) {
	for w.queued > 0 && w.queue[w.first].offset < offset-w.span {
		w.forget(w.queue[w.first])
		w.first = (w.first + 1) & (len(w.queue) - 1)
		w.queued--
	}
	if w.queued == len(w.queue) {
		w.grow()
	}
	w.queue[(w.first+w.queued)&(len(w.queue)-1)] = sighting{hash, offset}
	w.queued++
	at := w.find(hash)
	seen = w.last[at].hash == hash
	w.last[at] = sighting{hash, offset}
	if !seen {
		w.marked++
	}
	return seen
}

func (w *window) find(hash uint64) int {
	mask := len(w.last) - 1
	i := int(hash) & mask
	for w.last[i].hash != 0 && w.last[i].hash != hash {
		i = (i + 1) & mask
	}
	return i
}

// forget removes a hash, unless it was seen again later. What stands behind it in the table moves up.
func (w *window) forget(s sighting) {
	hole := w.find(s.hash)
	if w.last[hole] != s {
		return
	}
	w.marked--
	mask := len(w.last) - 1
	for i := (hole + 1) & mask; w.last[i].hash != 0; i = (i + 1) & mask {
		if home := int(w.last[i].hash) & mask; (i-home)&mask >= (i-hole)&mask {
			w.last[hole] = w.last[i]
			hole = i
		}
	}
	w.last[hole] = sighting{}
}

// grow doubles the ring and the table: a partition without such events costs nothing.
func (w *window) grow() {
	queue := make([]sighting, max(64, 2*len(w.queue)))
	for i := range w.queued {
		queue[i] = w.queue[(w.first+i)&(len(w.queue)-1)]
	}
	w.queue, w.first = queue, 0
	old := w.last
	w.last = make([]sighting, 2*len(queue))
	for _, s := range old {
		if s.hash != 0 {
			w.last[w.find(s.hash)] = s
		}
	}
}

// clear empties the window.
func (w *window) clear() {
	*w = window{span: w.span, seed: w.seed}
}

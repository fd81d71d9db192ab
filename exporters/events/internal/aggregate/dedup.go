package aggregate

import (
	"hash/maphash"
	"math/bits"
)

// DefaultDedupeSpan is how many offsets back a duplicate is recognised. A window that is full of events takes 6.3 MB: ring
// and table are powers of two.
const DefaultDedupeSpan = 1 << 17

// dedupWindow holds the events of a partition that must count once, by what identifies a CloudEvent: source and id. An
// event is a duplicate if the same one stands at one of the span offsets before it. That depends on the partition
// alone, not on when a process started: replaying the span before the start offset makes the same window again.
//
// It remembers 64-bit hashes with a secret seed. In a full window of 131,072 events, a new event is taken for a
// duplicate with a probability of 2^-47: once in 140,000,000,000,000 events.
type dedupWindow struct {
	span     int64
	seed     maphash.Seed
	queue    []dedupEntry // ring of what is in the window, oldest first
	first    int
	queued   int
	newest   []dedupEntry // newest entry of each hash: open addressing, half full at most; a map takes twice the time, and more memory
	distinct int
}

type dedupEntry struct {
	hash   uint64 // never 0
	offset int64
}

func (w *dedupWindow) hash(source, id []byte) uint64 {
	h, l := bits.Mul64(maphash.Bytes(w.seed, source)^0xa0761d6478bd642f, maphash.Bytes(w.seed, id)|1)
	return max(h^l, 1)
}

// add adds an event, and reports whether it was in the window already. Offsets only grow.
func (w *dedupWindow) add(hash uint64, offset int64) (seen bool) {
	// The entry at the far end of the span counts for this event, but for none after it: without it the span has room for
	// the new one.
	for w.queued > 0 && w.queue[w.first].offset <= offset-w.span {
		oldest := w.queue[w.first]
		seen = seen || oldest == dedupEntry{hash, offset - w.span}
		w.remove(oldest)
		w.first = (w.first + 1) & (len(w.queue) - 1)
		w.queued--
	}
	if w.queued == len(w.queue) {
		w.grow()
	}
	w.queue[(w.first+w.queued)&(len(w.queue)-1)] = dedupEntry{hash, offset}
	w.queued++
	at := w.find(hash)
	if w.newest[at].hash == hash {
		seen = true
	} else {
		w.distinct++
	}
	w.newest[at] = dedupEntry{hash, offset}
	return seen
}

func (w *dedupWindow) find(hash uint64) int {
	mask := len(w.newest) - 1
	i := int(hash) & mask
	for w.newest[i].hash != 0 && w.newest[i].hash != hash {
		i = (i + 1) & mask
	}
	return i
}

// remove removes the hash of an entry, unless a newer entry has it. Entries behind it in the table move up.
func (w *dedupWindow) remove(s dedupEntry) {
	hole := w.find(s.hash)
	if w.newest[hole] != s {
		return
	}
	w.distinct--
	mask := len(w.newest) - 1
	for i := (hole + 1) & mask; w.newest[i].hash != 0; i = (i + 1) & mask {
		if home := int(w.newest[i].hash) & mask; (i-home)&mask >= (i-hole)&mask {
			w.newest[hole] = w.newest[i]
			hole = i
		}
	}
	w.newest[hole] = dedupEntry{}
}

// grow doubles the ring and the table: a partition without such events costs nothing.
func (w *dedupWindow) grow() {
	queue := make([]dedupEntry, max(64, 2*len(w.queue)))
	for i := range w.queued {
		queue[i] = w.queue[(w.first+i)&(len(w.queue)-1)]
	}
	w.queue, w.first = queue, 0
	old := w.newest
	w.newest = make([]dedupEntry, 2*len(queue))
	for _, s := range old {
		if s.hash != 0 {
			w.newest[w.find(s.hash)] = s
		}
	}
}

// clear empties the window.
func (w *dedupWindow) clear() {
	*w = dedupWindow{span: w.span, seed: w.seed}
}

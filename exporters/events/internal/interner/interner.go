// Package interner gives the values of labels ids, up to the limits that the catalog declares for them: what is beyond
// the limit, outside of the label's domain, or looks like an id, a token or a person, is the value "other". It does not
// know metrics, series or events.
package interner

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// PlatformClient is the client of events that concern the platform as a whole.
const PlatformClient = "_platform"

// OtherID is the id of the value "other" of every label.
const OtherID = 0

// Label maps the values of a label to ids. Values are looked up without a lock; only one that is new takes it. For an open
// label it admits values until the limit is reached, and keeps them until they are evicted.
type Label struct {
	decl     *catalog.Label
	limit    int
	idBits   int // that an id needs
	hashSeed uint64

	table    atomic.Pointer[internTable]
	rejected [256]atomic.Uint64 // hashes of recently rejected values, so that a rejection is cheap too

	mu        sync.Mutex
	values    []*internedValue // by id; nil where one was evicted
	free      []uint32         // ids of evicted values
	counts    map[uint32]int
	inventory bool // only seeded values are admitted
}

// internedValue is an admitted value.
type internedValue struct {
	hash       uint64
	id         uint32
	within     uint32 // id of the client that a sale event belongs to
	text       string
	admittedAt time.Time // guarded by the Label's mu; the zero time if the value keeps its place for ever
}

// internTable finds values by their hash: open addressing, never more than half full. Slots are only ever filled, each by
// one atomic store, so that readers need no lock; a table that is too small, or loses a value, is replaced.
type internTable struct {
	slots []atomic.Pointer[internedValue]
	used  int
}

// New makes the Label of a declaration. For an open label it admits up to limit values; for a label with
// Within, up to limit values for each value of the Label within.
func New(l *catalog.Label, limit int, within *Label) *Label {
	li := &Label{decl: l, limit: limit, hashSeed: maphash.Bytes(maphash.MakeSeed(), nil) | 1, counts: map[uint32]int{}}
	li.table.Store(&internTable{slots: make([]atomic.Pointer[internedValue], 8)})
	li.put(catalog.Other, 0, time.Time{})
	for _, v := range l.Values {
		li.put(v, 0, time.Time{})
	}
	if l.Closed() {
		li.limit = len(l.Values)
	}
	if l.Name == "client" {
		li.put(PlatformClient, 0, time.Time{})
		li.limit++
	}
	li.idBits = bits.Len(uint(li.limit))
	if within != nil {
		li.idBits = bits.Len(uint(li.limit * (within.limit + 1)))
	}
	return li
}

// Declaration is the label's, of one of the metrics that have it.
func (li *Label) Declaration() *catalog.Label { return li.decl }

// Limit is how many values are admitted; of a label with Within, in each value of the other.
func (li *Label) Limit() int { return li.limit }

// Bits is how many bits an id needs.
func (li *Label) Bits() int { return li.idBits }

// hash mixes the bytes of a label value. The seed is secret, so that no client can choose values that collide.
func (li *Label) hash(b []byte, within uint32) uint64 {
	var x, y uint64
	switch n := len(b); {
	case n >= 8:
		for ; len(b) > 16; b = b[8:] {
			h, l := bits.Mul64(binary.LittleEndian.Uint64(b)^li.hashSeed^x, 0xa0761d6478bd642f)
			x = h ^ l
		}
		x, y = x^binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:])
	default:
		for i := range n {
			x = x<<8 | uint64(b[i])
		}
	}
	y ^= uint64(len(b))<<32 | uint64(within)
	h, l := bits.Mul64(x^li.hashSeed, y^0xe7037ed1a0b428db)
	h, l = bits.Mul64(h^l^li.hashSeed, 0x8ebc6af09c88c6e3)
	return h ^ l | 1 // 0 stands for nothing
}

// Intern returns the id of a value of the stream; false when the value is not admitted and counts as "other". For a label
// with Within, within is the id of the value that it belongs to: the client of a sale event.
func (li *Label) Intern(b []byte, within uint32, now int64) (uint32, bool) {
	h := li.hash(b, within)
	if v := li.table.Load().find(h, b, within); v != nil {
		return v.id, true
	}
	return li.admit(h, b, within, now)
}

// Reserve is Intern for a value of the configuration: whatever it looks like, and it is never evicted.
func (li *Label) Reserve(value string) (uint32, bool) {
	if value == catalog.Other {
		return OtherID, true
	}
	li.mu.Lock()
	defer li.mu.Unlock()
	b := []byte(value)
	if v := li.table.Load().find(li.hash(b, OtherID), b, OtherID); v != nil {
		v.admittedAt = time.Time{}
		return v.id, true
	}
	if !li.hasPlace(b, OtherID) {
		return OtherID, false
	}
	return li.put(value, OtherID, time.Time{}).id, true
}

func (t *internTable) find(h uint64, b []byte, within uint32) *internedValue {
	mask := len(t.slots) - 1
	for i := int(h>>1) & mask; ; i = (i + 1) & mask {
		v := t.slots[i&(len(t.slots)-1)].Load()
		if v == nil || v.hash == h && v.text == string(b) && v.within == within {
			return v
		}
	}
}

// admit admits or rejects a value that is not in the table.
func (li *Label) admit(h uint64, b []byte, within uint32, now int64) (uint32, bool) {
	if string(b) == catalog.Other {
		return OtherID, true
	}
	rejection := &li.rejected[h>>8&0xff]
	if li.decl.Closed() || rejection.Load() == h {
		return OtherID, false
	}
	if !li.named() && Identifying(b) {
		rejection.Store(h)
		return OtherID, false
	}
	li.mu.Lock()
	defer li.mu.Unlock()
	if v := li.table.Load().find(h, b, within); v != nil {
		return v.id, true // another goroutine was faster
	}
	if !li.hasPlace(b, within) {
		rejection.Store(h)
		return OtherID, false
	}
	return li.put(string(b), within, time.UnixMilli(now)).id, true
}

// hasPlace reports whether a value belongs to the label's domain and the limit is not reached. The sale events of clients
// that became "other" become "other", too.
func (li *Label) hasPlace(b []byte, within uint32) bool {
	full := li.inventory || li.count(within) >= li.limit
	return !full && !li.decl.Closed() && !(li.decl.Within != "" && within == OtherID) && li.decl.Matches(string(b))
}

// named reports whether the values are names that somebody has chosen for a client or a sale event, which may look like
// anything.
func (li *Label) named() bool { return li.decl.Name == "client" || li.decl.Within != "" }

// count is the number of values that count against the limit.
func (li *Label) count(within uint32) int {
	if li.decl.Within != "" {
		return li.counts[within]
	}
	return li.counts[0]
}

// put admits a value. The caller holds mu, or no other goroutine has the Label yet.
func (li *Label) put(value string, within uint32, now time.Time) *internedValue {
	v := &internedValue{hash: li.hash([]byte(value), within), within: within, text: value, admittedAt: now}
	if n := len(li.free); n > 0 {
		v.id, li.free = li.free[n-1], li.free[:n-1]
		li.values[v.id] = v
	} else {
		v.id = uint32(len(li.values))
		li.values = append(li.values, v)
	}
	if v.id != OtherID {
		li.counts[within]++
	}
	t := li.table.Load()
	if 2*(t.used+1) > len(t.slots) {
		li.rebuild(2 * len(t.slots))
		return v
	}
	t.insert(v)
	return v
}

func (t *internTable) insert(v *internedValue) {
	mask := len(t.slots) - 1
	i := int(v.hash>>1) & mask
	for t.slots[i].Load() != nil {
		i = (i + 1) & mask
	}
	t.slots[i].Store(v)
	t.used++
}

// rebuild makes a new table of all values.
func (li *Label) rebuild(size int) {
	t := &internTable{slots: make([]atomic.Pointer[internedValue], size)}
	for _, v := range li.values {
		if v != nil {
			t.insert(v)
		}
	}
	li.table.Store(t)
}

// Seed admits the values of an inventory, in its order, and from then on no others. It returns the rejected values: those
// that do not match or are beyond the limit.
func (li *Label) Seed(values []string) (rejected []string) {
	li.mu.Lock()
	defer li.mu.Unlock()
	for _, s := range values {
		b := []byte(s)
		if v := li.table.Load().find(li.hash(b, 0), b, 0); v != nil {
			v.admittedAt = time.Time{}
			continue
		}
		if !li.decl.Matches(s) || li.count(0) >= li.limit {
			rejected = append(rejected, s)
			continue
		}
		li.put(s, 0, time.Time{})
	}
	li.inventory = true
	li.resetRejected()
	return rejected
}

// Evict removes values, so that others can be admitted. Nobody may be using their ids.
func (li *Label) Evict(ids []uint32) {
	li.mu.Lock()
	defer li.mu.Unlock()
	for _, id := range ids {
		li.counts[li.values[id].within]--
		li.values[id] = nil
		li.free = append(li.free, id)
	}
	slices.Sort(li.free)
	li.rebuild(len(li.table.Load().slots))
	li.resetRejected()
}

// resetRejected clears the recently rejected values: they may be admitted now.
func (li *Label) resetRejected() {
	for i := range li.rejected {
		li.rejected[i].Store(0)
	}
}

// ValueOf is the value with that id.
func (li *Label) ValueOf(id uint32) string {
	li.mu.Lock()
	defer li.mu.Unlock()
	return li.values[id].text
}

// Full reports whether no further value has a place. A label with Within is never full as a whole.
func (li *Label) Full() bool {
	li.mu.Lock()
	defer li.mu.Unlock()
	return li.decl.Within == "" && li.count(OtherID) >= li.limit
}

// Place is that of a value which may be evicted.
type Place struct {
	// AdmittedAt is the zero time if there is no such value.
	AdmittedAt time.Time
	// Within is the id of the value that this one belongs to, of a label with Within.
	Within uint32
}

// Places are those of all values that may be evicted, by id.
func (li *Label) Places() []Place {
	li.mu.Lock()
	defer li.mu.Unlock()
	places := make([]Place, len(li.values))
	for i, v := range li.values {
		if v != nil {
			places[i] = Place{v.admittedAt, v.within}
		}
	}
	return places
}

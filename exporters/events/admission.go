package events

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// platformClient is the client of what concerns the platform as a whole.
const platformClient = "_platform"

// otherID is the number of the value "other" in every domain.
const otherID = 0

// domain is the set of values that a label can have, and gives each a number. Shards look values up without a lock;
// only a value that is seen for the first time takes one. Open domains admit values until their limit is reached, and
// keep them; the sale events of a client, of which there is a limit for each, are the only values that retire.
type domain struct {
	label *catalog.Label
	limit int
	bits  int // that a number of this domain needs
	seed  uint64

	table    atomic.Pointer[valueTable]
	rejected [256]atomic.Uint64 // hashes of values that were refused lately, so that a refusal is cheap too

	mu        sync.Mutex
	values    []*labelValue // by number; nil where one has retired
	free      []uint32      // numbers of retired values
	open      map[uint32]int
	inventory bool // only what was announced is admitted
}

// labelValue is an admitted value.
type labelValue struct {
	hash   uint64
	id     uint32
	within uint32 // number of the client that a sale event belongs to
	text   string
	since  time.Time
}

// valueTable finds values by their hash: open addressing, never more than half full. Slots are only ever filled, each by
// one atomic store, so that readers need no lock; a table that is too small, or loses a value, is replaced.
type valueTable struct {
	slots []atomic.Pointer[labelValue]
	used  int
}

// newDomain makes the domain of a label. An open one admits up to limit values, for each of the values of another
// domain if the label says so.
func newDomain(l *catalog.Label, limit int, within *domain) *domain {
	d := &domain{label: l, limit: limit, seed: maphash.Bytes(maphash.MakeSeed(), nil) | 1, open: map[uint32]int{}}
	d.table.Store(&valueTable{slots: make([]atomic.Pointer[labelValue], 8)})
	d.put(catalog.Other, 0, time.Time{})
	for _, v := range l.Values {
		d.put(v, 0, time.Time{})
	}
	if l.Closed() {
		d.limit = len(l.Values)
	}
	if l.Name == "client" {
		d.put(platformClient, 0, time.Time{})
		d.limit++
	}
	d.bits = bits.Len(uint(d.limit))
	if within != nil {
		d.bits = bits.Len(uint(d.limit * (within.limit + 1)))
	}
	return d
}

// hash mixes the bytes of a label value. The seed is secret, so that nobody can choose values that collide.
func (d *domain) hash(b []byte, within uint32) uint64 {
	var x, y uint64
	switch n := len(b); {
	case n >= 8:
		for ; len(b) > 16; b = b[8:] {
			h, l := bits.Mul64(load(b)^d.seed^x, 0xa0761d6478bd642f)
			x = h ^ l
		}
		x, y = x^load(b), load(b[len(b)-8:])
	default:
		for i := range n {
			x = x<<8 | uint64(b[i])
		}
	}
	y ^= uint64(len(b))<<32 | uint64(within)
	h, l := bits.Mul64(x^d.seed, y^0xe7037ed1a0b428db)
	h, l = bits.Mul64(h^l^d.seed, 0x8ebc6af09c88c6e3)
	return h ^ l | 1 // 0 stands for nothing
}

// id is the number of a value; false when it is not admitted and counts as "other". The value belongs to the sale
// event's client when the domain says so.
func (d *domain) id(b []byte, within uint32, now int64) (uint32, bool) {
	h := d.hash(b, within)
	if v := d.table.Load().find(h, b, within); v != nil {
		return v.id, true
	}
	return d.admit(h, b, within, now)
}

func (t *valueTable) find(h uint64, b []byte, within uint32) *labelValue {
	mask := len(t.slots) - 1
	for i := int(h>>1) & mask; ; i = (i + 1) & mask {
		v := t.slots[i&(len(t.slots)-1)].Load()
		if v == nil || v.hash == h && v.text == string(b) && v.within == within {
			return v
		}
	}
}

// admit decides about a value that is not in the table.
func (d *domain) admit(h uint64, b []byte, within uint32, now int64) (uint32, bool) {
	if string(b) == catalog.Other {
		return otherID, true
	}
	refusal := &d.rejected[h>>8&0xff]
	if d.label.Closed() || refusal.Load() == h {
		return otherID, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.table.Load().find(h, b, within); v != nil {
		return v.id, true // another shard was faster
	}
	full := d.inventory || d.count(within) >= d.limit
	// A sale event of a client that is not told apart is not told apart either.
	if full || d.label.Within != "" && within == otherID || !d.label.Matches(string(b)) {
		refusal.Store(h)
		return otherID, false
	}
	return d.put(string(b), within, time.UnixMilli(now)).id, true
}

// count is how many values there are against the limit.
func (d *domain) count(within uint32) int {
	if d.label.Within != "" {
		return d.open[within]
	}
	return d.open[0]
}

// put admits a value. The caller holds mu, or is the only one who knows the domain.
func (d *domain) put(value string, within uint32, now time.Time) *labelValue {
	v := &labelValue{hash: d.hash([]byte(value), within), within: within, text: value, since: now}
	if n := len(d.free); n > 0 {
		v.id, d.free = d.free[n-1], d.free[:n-1]
		d.values[v.id] = v
	} else {
		v.id = uint32(len(d.values))
		d.values = append(d.values, v)
	}
	if v.id != otherID {
		d.open[within]++
	}
	t := d.table.Load()
	if 2*(t.used+1) > len(t.slots) {
		d.rebuild(2 * len(t.slots))
		return v
	}
	t.insert(v)
	return v
}

func (t *valueTable) insert(v *labelValue) {
	mask := len(t.slots) - 1
	i := int(v.hash>>1) & mask
	for t.slots[i].Load() != nil {
		i = (i + 1) & mask
	}
	t.slots[i].Store(v)
	t.used++
}

// rebuild makes a new table of all values.
func (d *domain) rebuild(size int) {
	t := &valueTable{slots: make([]atomic.Pointer[labelValue], size)}
	for _, v := range d.values {
		if v != nil {
			t.insert(v)
		}
	}
	d.table.Store(t)
}

// announce admits the values of an inventory, in its order, and from then on no others. It returns those that do not
// match or are beyond the limit.
func (d *domain) announce(values []string) (refused []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range values {
		b := []byte(s)
		if d.table.Load().find(d.hash(b, 0), b, 0) != nil {
			continue
		}
		if !d.label.Matches(s) || d.count(0) >= d.limit {
			refused = append(refused, s)
			continue
		}
		d.put(s, 0, time.Time{})
	}
	d.inventory = true
	d.forgive()
	return refused
}

// retire takes values out, so that others can have their places. Nobody may be using their numbers.
func (d *domain) retire(ids []uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		d.open[d.values[id].within]--
		d.values[id] = nil
		d.free = append(d.free, id)
	}
	slices.Sort(d.free)
	d.rebuild(len(d.table.Load().slots))
	d.forgive()
}

// forgive forgets refusals: there may be room now.
func (d *domain) forgive() {
	for i := range d.rejected {
		d.rejected[i].Store(0)
	}
}

// text is the value with that number.
func (d *domain) text(id uint32) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.values[id].text
}

// since is when each value was admitted, by number; the zero time where there is none.
func (d *domain) since() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	since := make([]time.Time, len(d.values))
	for i, v := range d.values {
		if v != nil {
			since[i] = v.since
		}
	}
	return since
}

package cloudevent

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"unicode/utf8"
)

// Field is a place in a record that a mapping reads.
type Field struct {
	In   FieldKind
	Name string
}

// FieldKind says where a field stands.
type FieldKind uint8

// The places of a record that have fields.
const (
	InAttribute FieldKind = iota // of the CloudEvent
	InData                       // a path in the data, parts joined by dots
	InHeader                     // of the Kafka record
)

func (f Field) String() string {
	switch f.In {
	case InAttribute:
		return "attribute " + f.Name
	case InHeader:
		return "header " + f.Name
	}
	return "data." + f.Name
}

// Slots are the indexes of the decoder's values. These fields are decoded from every record; a mapping's own fields
// follow.
const (
	slotSpecVersion = iota
	SlotID
	SlotSource
	SlotType
	SlotTime
	SlotTraceParent
	slotData
	slotDataBase64
	slotContentType
	ownSlots

	maxSlots = 128
)

// Layout gives each field its slot, and the decoder a table of the keys of each object that it reads.
type Layout struct {
	slots   map[Field]int
	names   []string // of the slots, for messages
	event   *node    // keys of a structured event
	data    *node    // keys of the data
	headers *node    // names of the record's headers, ce_ in front of those that hold attributes

	attributes [maxSlots / 64]uint64 // the slots that ce_ headers go to
}

// NewLayout makes the layout of the fields that a mapping reads, beside those that every event has.
func NewLayout(fields []Field) (*Layout, error) {
	l := &Layout{slots: map[Field]int{}, event: &node{}, data: &node{}, headers: &node{}}
	for slot, name := range []string{"specversion", "id", "source", "type", "time", "traceparent", "data", "data_base64"} {
		f := Field{InAttribute, name}
		l.slots[f] = slot
		l.names = append(l.names, f.String())
		l.event.key(name).slot = slot
		if slot < slotData {
			l.attribute(name, slot)
		}
	}
	l.names[slotData], l.names[slotDataBase64] = "data", "data_base64"
	l.names = append(l.names, "header content-type")
	l.slots[Field{InHeader, "content-type"}] = slotContentType
	l.headers.key("content-type").slot = slotContentType
	l.event.key("data").child = l.data
	for _, f := range fields {
		l.add(f)
	}
	if len(l.names) > maxSlots {
		return nil, fmt.Errorf("the mapping reads %d different fields, at most %d are possible", len(l.names)-ownSlots, maxSlots-ownSlots)
	}
	nodes := 0
	for _, n := range []*node{l.event, l.headers} {
		n.seal(&nodes)
	}
	return l, nil
}

func (l *Layout) add(f Field) {
	if _, ok := l.slots[f]; ok {
		return
	}
	switch f.In {
	case InAttribute:
		slot := l.addSlot(f)
		l.event.key(f.Name).slot = slot
		l.attribute(f.Name, slot)
	case InHeader:
		l.headers.key(f.Name).slot = l.addSlot(f)
	case InData:
		// The objects on the way have slots too, so that a key that stands twice is noticed.
		n, path := l.data, strings.Split(f.Name, ".")
		for i, part := range path {
			k := n.key(part)
			if k.slot < 0 {
				k.slot = l.addSlot(Field{InData, strings.Join(path[:i+1], ".")})
			}
			if i < len(path)-1 {
				if k.child == nil {
					k.child = &node{}
				}
				n = k.child
			}
		}
	}
}

// attribute maps the ce_ header of an attribute, in binary mode, to a slot.
func (l *Layout) attribute(name string, slot int) {
	l.headers.key("ce_" + name).slot = slot
	l.attributes[slot>>6&1] |= 1 << (slot & 63)
}

// Slot is the slot of a field of the layout.
func (l *Layout) Slot(f Field) int { return l.slots[f] }

// Name is the field of a slot, in the words of the mapping.
func (l *Layout) Name(slot int) string { return l.names[slot] }

func (l *Layout) addSlot(f Field) int {
	l.slots[f] = len(l.names)
	l.names = append(l.names, f.String())
	return l.slots[f]
}

// node is the set of keys of an object that are read. Sealed, it is a table in which every key of the set has a place
// of its own, so that finding a key takes one look.
type node struct {
	number int
	keys   []key
	table  []key
	m1, m2 uint64
	shift  uint8
}

// key is a name, the slot of its value, and if the value is an object to read, the keys of that. Its name is also
// there as two words, which say all of it up to 16 bytes.
type key struct {
	lo, hi  uint64
	slot    int
	child   *node
	name    string
	matcher keyMatcher
}

// keyMatcher is a key with its closing quote, up to 16 bytes of both, in a form that two comparisons can find in a record. The
// two words overlap, or are the same one.
type keyMatcher struct {
	size        int // of name and quote; 0 when the key cannot be matched this way
	first, last uint64
	mask        uint64
	at          int // of last
}

func newKeyMatcher(name string) keyMatcher {
	b := []byte(name + `"`)
	g := keyMatcher{size: len(b), mask: math.MaxUint64, at: max(len(b)-8, 0)}
	if len(b) > 16 || !utf8.ValidString(name) || strings.ContainsAny(name, `"\`) {
		return keyMatcher{}
	}
	if len(b) < 8 {
		g.mask = 1<<(8*len(b)) - 1
		b = append(b, make([]byte, 8-len(b))...)
	}
	g.first, g.last = load(b), load(b[g.at:])
	return g
}

// matches reports whether the key stands at the beginning of b, which has at least 16 bytes.
func (g *keyMatcher) matches(b []byte) bool {
	return load(b)&g.mask == g.first && load(b[g.at&15:])&g.mask == g.last && g.size > 0
}

// key finds a name, or adds it.
func (n *node) key(name string) *key {
	for i := range n.keys {
		if n.keys[i].name == name {
			return &n.keys[i]
		}
	}
	lo, hi := PrefixWords([]byte(name))
	n.keys = append(n.keys, key{lo: lo, hi: hi, slot: -1, name: name, matcher: newKeyMatcher(name)})
	return &n.keys[len(n.keys)-1]
}

// seal looks for a hash function without collisions, and numbers the node and those below it.
func (n *node) seal(nodes *int) {
	n.number = *nodes
	*nodes++
	rnd := rand.New(rand.NewPCG(1, 2))
	size := 4
	for size < 2*len(n.keys) {
		size *= 2
	}
	for try := 1; !n.tryPlace(size, rnd.Uint64()|1, rnd.Uint64()|1); try++ {
		if try%100 == 0 {
			size *= 2
		}
	}
	for i := range n.keys {
		if c := n.keys[i].child; c != nil {
			c.seal(nodes)
		}
	}
}

func (n *node) tryPlace(size int, m1, m2 uint64) bool {
	n.m1, n.m2, n.shift = m1, m2, uint8(64-bits.TrailingZeros(uint(size)))
	table := make([]key, size)
	for _, k := range n.keys {
		at := &table[n.hash(k.lo, k.hi)]
		if at.name != "" {
			return false
		}
		*at = k
	}
	n.table = table
	return true
}

func (n *node) hash(lo, hi uint64) uint64 { return ((lo ^ hi*n.m2) * n.m1) >> (n.shift & 63) }

// find looks a key up by its words and its text.
func (n *node) find(lo, hi uint64, name []byte) *key {
	k := &n.table[n.hash(lo, hi)]
	if k.lo != lo || k.hi != hi || len(k.name) != len(name) || len(name) > 16 && k.name != string(name) || len(name) == 0 {
		return nil
	}
	return k
}

// PrefixWords are the first and the last eight bytes of a text; to a short one zeros are added, of a long one the rest is
// mixed in.
func PrefixWords(b []byte) (lo, hi uint64) {
	switch n := len(b); {
	case n < 8:
		for i := n - 1; i >= 0; i-- {
			lo = lo<<8 | uint64(b[i])
		}
	case n <= 16:
		lo, hi = load(b), load(b[n-8:])
	default:
		lo = load(b)
		for b = b[8:]; len(b) > 8; b = b[8:] {
			hi = bits.RotateLeft64((hi^load(b))*0x9e3779b97f4a7c15, 29)
		}
		for _, c := range b {
			hi = (hi ^ uint64(c)) * 0x9e3779b97f4a7c15
		}
	}
	return lo, hi
}

func load(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

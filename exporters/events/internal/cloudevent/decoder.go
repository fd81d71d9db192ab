package cloudevent

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep a record may be nested, the event itself included.
const maxDepth = 64

// Decoder reads CloudEvents 1.0 in JSON, structured or binary, in one pass over the record. It keeps only the fields of
// its layout, as references into the record, and allocates nothing. It takes what encoding/json takes, except for:
//
//   - a key of the layout that stands twice in its object: readers of JSON disagree on which of the values is meant, so
//     neither is counted;
//   - nesting deeper than maxDepth;
//   - text that is not UTF-8, which encoding/json would mend;
//   - data_base64: a mapping reads JSON.
//
// TestDecoderAgreesWithEncodingJSON and FuzzDecode hold it to that.
type Decoder struct {
	layout *Layout
	// next is, for each key, the one that followed it last time, and for a node at its number the one that came first:
	// a producer writes its keys in the same order in each event, so that the prediction saves the search.
	next [maxSlots + maxSlots]*key

	b       []byte
	seen    [maxSlots / 64]uint64
	slots   [maxSlots]Value
	scratch []byte
	problem Problem
}

// Kind is a kind of values.
type Kind uint8

// The kinds of JSON, and a text that still has its escapes.
const (
	KindNull Kind = iota
	KindText
	KindEscaped
	KindNumber
	KindTrue
	KindFalse
	KindObject
	KindArray
)

// Value is what stood in a field.
type Value struct {
	Raw      []byte // a text without its quotes, or a number as it is spelled
	mantissa uint64 // a number is mantissa × 10^exponent, unless long is set
	exponent int32
	Kind     Kind
	negative bool
	long     bool
	plain    bool // an integer in its ordinary spelling
}

// Get returns a field's value, or nil when it is absent or null, which CloudEvents makes the same.
func (d *Decoder) Get(slot int) *Value {
	if d.seen[slot>>6&1]>>(slot&63)&1 == 0 {
		return nil
	}
	v := &d.slots[slot&(maxSlots-1)]
	if v.Kind == KindNull {
		return nil
	}
	return v
}

// claim marks a field as found. It is false when the field had been found before.
func (d *Decoder) claim(slot int) bool {
	w, bit := &d.seen[slot>>6&1], uint64(1)<<(slot&63)
	if *w&bit != 0 {
		return false
	}
	*w |= bit
	return true
}

// NewDecoder makes a decoder of the fields of a layout.
func NewDecoder(l *Layout) Decoder { return Decoder{layout: l} }

// Decode reads a record, and reports whether it is an event. If it is none, Problem says why: of a record that is not
// UTF-8 that is always the reason, whatever else is wrong with it.
func (d *Decoder) Decode(r *Record) bool {
	if d.read(r) {
		return true
	}
	if d.problem.Reason != InvalidUTF8 && !utf8.Valid(r.Value) {
		d.problem.Reason = InvalidUTF8
	}
	return false
}

// Problem says why Decode has rejected the last record.
func (d *Decoder) Problem() Problem { return d.problem }

func (d *Decoder) read(r *Record) bool {
	d.b = r.Value
	d.seen = [maxSlots / 64]uint64{}
	d.scratch = d.scratch[:0]
	binary := false
	if len(r.Headers) > 0 && !d.headers(r.Headers, &binary) {
		return false
	}
	i := d.space(0)
	if i == len(d.b) {
		if !binary {
			return d.reject(Empty, -1, -1)
		}
		return d.envelope() // an event without data
	}
	switch {
	case d.b[i] == '{' && binary:
		i = d.object(i+1, d.layout.data, 1)
	case d.b[i] == '{':
		i = d.object(i+1, d.layout.event, 1)
	case binary:
		i = d.skip(i, 0)
	default:
		i = d.fail(Syntax, -1, i)
	}
	if i < 0 {
		return false
	}
	if i = d.space(i); i < len(d.b) {
		return d.reject(Syntax, -1, i)
	}
	return d.envelope()
}

// headers finds out the mode, and keeps the headers that are read.
func (d *Decoder) headers(hs []Header, binary *bool) bool {
	structured := false
	for i := range hs {
		h := &hs[i]
		lo, hi := PrefixWords(h.Key)
		k := d.layout.headers.find(lo, hi, h.Key)
		if k == nil {
			continue
		}
		attribute := len(h.Key) > 3 && h.Key[0] == 'c' && h.Key[1] == 'e' && h.Key[2] == '_'
		if attribute && structured {
			continue // in structured mode the event itself has the attributes
		}
		if !d.claim(k.slot) {
			return d.reject(RepeatedKey, k.slot, -1)
		}
		if !utf8.Valid(h.Value) {
			return d.reject(InvalidUTF8, k.slot, -1)
		}
		d.slots[k.slot] = Value{Kind: KindText, Raw: h.Value}
		if h.Value == nil { // as with a member of the JSON, null is absent
			d.slots[k.slot].Kind = KindNull
			continue
		}
		switch k.slot {
		case slotContentType:
			format, ok := cloudEventsFormat(h.Value)
			if !ok {
				break
			}
			if !bytes.EqualFold(format, []byte("+json")) {
				return d.reject(ContentType, -1, -1)
			}
			structured, *binary = true, false
			d.dropAttributes()
		case slotSpecVersion:
			*binary = !structured
		}
	}
	if !*binary && !structured {
		d.dropAttributes() // without ce_specversion it is not binary mode
	}
	return true
}

// cloudEventsFormat returns what follows application/cloudevents in a content type without its parameters; false when it
// is another type. By RFC 9110 case does not matter, and blanks may stand before the semicolon.
func cloudEventsFormat(contentType []byte) (format []byte, ok bool) {
	const structured = "application/cloudevents"
	media, _, _ := bytes.Cut(contentType, []byte(";"))
	media = bytes.Trim(media, " \t")
	if len(media) < len(structured) || !bytes.EqualFold(media[:len(structured)], []byte(structured)) {
		return nil, false
	}
	return media[len(structured):], true
}

// dropAttributes drops what was read from ce_ headers of a record that is not in binary mode.
func (d *Decoder) dropAttributes() {
	for i := range d.seen {
		d.seen[i] &^= d.layout.attributes[i]
	}
}

// envelope checks the attributes that every event has.
func (d *Decoder) envelope() bool {
	if d.Get(slotDataBase64) != nil {
		return d.reject(DataBase64, slotDataBase64, -1)
	}
	for slot := slotSpecVersion; slot <= SlotType; slot++ {
		v := d.Get(slot)
		if v == nil || v.Kind != KindText && v.Kind != KindEscaped || len(v.Raw) == 0 {
			return d.reject(BadAttribute, slot, -1)
		}
	}
	if string(d.Text(&d.slots[slotSpecVersion])) != "1.0" {
		return d.reject(SpecVersion, -1, -1)
	}
	return true
}

// fail sets the problem, with a field if slot is not negative, or at a position, and returns -1.
func (d *Decoder) fail(why Reason, slot, at int) int {
	d.problem = Problem{Reason: why, At: at}
	if slot >= 0 {
		d.problem.Field = d.layout.names[slot]
	}
	if why == Syntax && at >= len(d.b) {
		d.problem.Reason, d.problem.At = Truncated, len(d.b)
	}
	return -1
}

// reject is fail for functions that return a bool.
func (d *Decoder) reject(why Reason, slot, at int) bool {
	d.fail(why, slot, at)
	return false
}

// The functions below read one piece of JSON from position i on, and return the position after it, or -1.

func (d *Decoder) space(i int) int {
	for i < len(d.b) && (d.b[i] == ' ' || d.b[i] == '\n' || d.b[i] == '\t' || d.b[i] == '\r') {
		i++
	}
	return i
}

// object reads an object after its opening brace, and keeps the fields that n names.
func (d *Decoder) object(i int, n *node, depth int) int {
	if depth > maxDepth {
		return d.fail(TooDeep, -1, i)
	}
	b := d.b
	i = d.space(i)
	if i < len(b) && b[i] == '}' {
		return i + 1
	}
	next := &d.next[(maxSlots+n.number)&(2*maxSlots-1)]
	for {
		if i >= len(b) || b[i] != '"' {
			return d.fail(Syntax, -1, i)
		}
		i++
		k := *next
		if k != nil && i+16 <= len(b) && k.matcher.matches(b[i:i+16]) {
			i += k.matcher.size
			next = &d.next[k.slot&(maxSlots-1)]
		} else {
			var end int
			if k, end = d.key(i, n); end < 0 {
				return -1
			}
			i = end
			if k != nil {
				*next = k
				next = &d.next[k.slot&(maxSlots-1)]
			}
		}
		if i < len(b) && b[i] <= ' ' {
			i = d.space(i)
		}
		if i >= len(b) || b[i] != ':' {
			return d.fail(Syntax, -1, i)
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = d.space(i)
		}
		if k == nil {
			i = d.skip(i, depth)
		} else {
			i = d.keep(i, k, depth)
		}
		if i < 0 {
			return -1
		}
		if i < len(b) && b[i] <= ' ' {
			i = d.space(i)
		}
		if i >= len(b) {
			return d.fail(Truncated, -1, i)
		}
		if b[i] == '}' {
			return i + 1
		}
		if b[i] != ',' {
			return d.fail(Syntax, -1, i)
		}
		i++
		if i < len(b) && b[i] <= ' ' {
			i = d.space(i)
		}
	}
}

// key reads a key after its opening quote and looks it up. Keys of up to 16 bytes are found by two words, which the
// search for the closing quote has loaded anyway.
func (d *Decoder) key(i int, n *node) (*key, int) {
	b := d.b
	if i+16 <= len(b) {
		lo := load(b[i:])
		if m := special(lo); m != 0 {
			at := bits.TrailingZeros64(m) >> 3
			if b[i+at] == '"' {
				lo &= 1<<(8*at) - 1
				return n.find(lo, 0, b[i:i+at]), i + at + 1
			}
		} else if m := special(load(b[i+8:])); m != 0 {
			at := bits.TrailingZeros64(m)>>3 + 8
			if b[i+at] == '"' {
				return n.find(lo, load(b[i+at-8:]), b[i:i+at]), i + at + 1
			}
		}
	}
	end, esc := d.string(i)
	if end < 0 {
		return nil, -1
	}
	name := b[i:end]
	if esc {
		from := len(d.scratch)
		d.scratch = unescape(d.scratch, name)
		name = d.scratch[from:]
	}
	lo, hi := PrefixWords(name)
	return n.find(lo, hi, name), end + 1
}

// keep reads the value of a key of the layout.
func (d *Decoder) keep(i int, k *key, depth int) int {
	if !d.claim(k.slot) {
		return d.fail(RepeatedKey, k.slot, i)
	}
	v := &d.slots[k.slot&(maxSlots-1)]
	b := d.b
	if i >= len(b) {
		return d.fail(Truncated, -1, i)
	}
	switch c := b[i]; c {
	case '"':
		i++
		// The whole of string for what most texts are: plain, and not at the end of the record.
		for end := i; end+8 <= len(b); end += 8 {
			if m := special(load(b[end:])); m != 0 {
				if end += bits.TrailingZeros64(m) >> 3; b[end] == '"' {
					v.Raw, v.Kind = b[i:end], KindText
					return end + 1
				}
				break
			}
		}
		end, esc := d.string(i)
		if end < 0 {
			return -1
		}
		v.Raw, v.Kind = b[i:end], KindText
		if esc {
			v.Kind = KindEscaped
		}
		return end + 1
	case '{':
		v.Kind = KindObject
		if k.child != nil {
			return d.object(i+1, k.child, depth+1)
		}
		return d.skip(i, depth)
	case '[':
		v.Kind = KindArray
		return d.skip(i, depth)
	case 't':
		v.Kind = KindTrue
		return d.literal(i, "true")
	case 'f':
		v.Kind = KindFalse
		return d.literal(i, "false")
	case 'n':
		v.Kind = KindNull
		return d.literal(i, "null")
	default:
		v.Kind = KindNumber
		return d.number(i, v)
	}
}

func (d *Decoder) literal(i int, word string) int {
	if len(d.b)-i >= len(word) && string(d.b[i:i+len(word)]) == word {
		return i + len(word)
	}
	for j := range len(word) {
		if i+j >= len(d.b) || d.b[i+j] != word[j] {
			return d.fail(Syntax, -1, i+j)
		}
	}
	return -1
}

// special marks the bytes of a word that end a plain run of text: quote, backslash, control characters, and all that is
// not ASCII. The lowest mark is exact; the ones above it may be wrong.
func special(w uint64) uint64 {
	const low, high = 0x0101010101010101, 0x8080808080808080
	q, s := w^0x22*low, w^0x5c*low
	return ((q-low)&^q | (s-low)&^s | (w-0x20*low)&^w | w) & high
}

// string reads a string after its opening quote, and returns the position of the closing one.
func (d *Decoder) string(i int) (end int, esc bool) {
	b := d.b
	for {
		for i+8 <= len(b) {
			if m := special(load(b[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' && b[i] < utf8.RuneSelf {
			i++
		}
		if i >= len(b) {
			return d.fail(Truncated, -1, i), false
		}
		switch c := b[i]; {
		case c == '"':
			return i, esc
		case c == '\\':
			esc = true
			if i = d.escape(i + 1); i < 0 {
				return -1, false
			}
		case c < ' ':
			return d.fail(Syntax, -1, i), false
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return d.fail(InvalidUTF8, -1, i), false
			}
			i += size
		}
	}
}

// escape reads an escape sequence after its backslash.
func (d *Decoder) escape(i int) int {
	if i >= len(d.b) {
		return d.fail(Truncated, -1, i)
	}
	switch d.b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		for j := i + 1; j <= i+4; j++ {
			if j >= len(d.b) || hexDigit(d.b[j]) < 0 {
				return d.fail(Syntax, -1, j)
			}
		}
		return i + 5
	}
	return d.fail(Syntax, -1, i)
}

// skip reads a value that no rule reads, of any depth, without recursion: a stack of bits marks the objects.
func (d *Decoder) skip(i int, depth int) int {
	b := d.b
	var objects uint64 // one bit for each open bracket, the innermost lowest
	open := 0
	var plain Value
	for {
		// A value starts here.
		i = d.space(i)
		if i >= len(b) {
			return d.fail(Truncated, -1, i)
		}
		switch b[i] {
		case '"':
			if i, _ = d.string(i + 1); i < 0 {
				return -1
			}
			i++
		case '{', '[':
			if open++; depth+open > maxDepth {
				return d.fail(TooDeep, -1, i)
			}
			objects <<= 1
			closing := byte(']')
			if b[i] == '{' {
				objects |= 1
				closing = '}'
			}
			i = d.space(i + 1)
			if i < len(b) && b[i] == closing {
				i++
				open--
				objects >>= 1
				break // the empty one is a value that has ended
			}
			if objects&1 != 0 {
				if i = d.skipKey(i); i < 0 {
					return -1
				}
			}
			continue
		case 't':
			i = d.literal(i, "true")
		case 'f':
			i = d.literal(i, "false")
		case 'n':
			i = d.literal(i, "null")
		default:
			i = d.number(i, &plain)
		}
		if i < 0 {
			return -1
		}
		// A value has ended: so may the brackets around it.
		for {
			if open == 0 {
				return i
			}
			i = d.space(i)
			if i >= len(b) {
				return d.fail(Truncated, -1, i)
			}
			if b[i] == ',' {
				i++
				break
			}
			if objects&1 != 0 && b[i] != '}' || objects&1 == 0 && b[i] != ']' {
				return d.fail(Syntax, -1, i)
			}
			i++
			open--
			objects >>= 1
		}
		if objects&1 != 0 {
			if i = d.skipKey(d.space(i)); i < 0 {
				return -1
			}
		}
	}
}

// skipKey reads a key that no rule reads, with its colon.
func (d *Decoder) skipKey(i int) int {
	if i >= len(d.b) || d.b[i] != '"' {
		return d.fail(Syntax, -1, i)
	}
	end, _ := d.string(i + 1)
	if end < 0 {
		return -1
	}
	if i = d.space(end + 1); i >= len(d.b) || d.b[i] != ':' {
		return d.fail(Syntax, -1, i)
	}
	return i + 1
}

// Text returns a text without its escapes. It is valid until the next Decode.
func (d *Decoder) Text(v *Value) []byte {
	if v.Kind != KindEscaped {
		return v.Raw
	}
	from := len(d.scratch)
	d.scratch = unescape(d.scratch, v.Raw)
	return d.scratch[from:]
}

// Attribute returns the text of an attribute that every event has: SlotID, SlotSource or SlotType.
func (d *Decoder) Attribute(slot int) []byte { return d.Text(&d.slots[slot&(maxSlots-1)]) }

// Digits is the text of a number. An integer is the same in all its spellings.
func (d *Decoder) Digits(v *Value) []byte {
	if v.plain {
		return v.Raw
	}
	n, why := v.Integer(math.MaxUint64)
	if why != "" {
		return v.Raw
	}
	from := len(d.scratch)
	d.scratch = strconv.AppendUint(d.scratch, n, 10)
	return d.scratch[from:]
}

// unescape appends the meaning of a string that escape has checked. Like encoding/json, it puts U+FFFD in place of half
// a surrogate pair.
func unescape(to, s []byte) []byte {
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			to = append(to, s[i])
			i++
			continue
		}
		c := s[i+1]
		i += 2
		switch c {
		case 'b':
			to = append(to, '\b')
		case 'f':
			to = append(to, '\f')
		case 'n':
			to = append(to, '\n')
		case 'r':
			to = append(to, '\r')
		case 't':
			to = append(to, '\t')
		case 'u':
			r := hex4(s[i:])
			i += 4
			if 0xd800 <= r && r < 0xdc00 && i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' {
				if low := hex4(s[i+2:]); 0xdc00 <= low && low < 0xe000 {
					r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
					i += 6
				}
			}
			to = utf8.AppendRune(to, r) // half a pair becomes U+FFFD
		default:
			to = append(to, c)
		}
	}
	return to
}

func hex4(s []byte) rune {
	return rune(hexDigit(s[0])<<12 | hexDigit(s[1])<<8 | hexDigit(s[2])<<4 | hexDigit(s[3]))
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

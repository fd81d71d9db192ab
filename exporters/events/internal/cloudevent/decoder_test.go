package cloudevent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
	"github.com/consignwatch/consignwatch/test/seed"
)

// testLayout reads all that the events of the contract hold, and paths of several parts.
func testLayout(t testing.TB) *Layout {
	t.Helper()
	fields := []Field{
		{InData, "a"}, {InData, "a.b"}, {InData, "a.c.d"}, {InData, "a.c.a_key_that_is_longer_than_sixteen_bytes"}, {InData, "ü"},
		{InAttribute, "clientid"}, {InHeader, "queue"},
	}
	for _, e := range eventtest.Contract {
		var data map[string]any
		if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
			t.Fatal(err)
		}
		for name := range data {
			fields = append(fields, Field{InData, name})
		}
	}
	l, err := NewLayout(fields)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reference decodes a structured event, or the data of a binary one, with encoding/json. It returns what every slot
// holds: string, json.Number, bool, or the text "object" or "array" as an errorString.
func reference(l *Layout, b []byte, binary bool) (map[int]any, bool) {
	if !utf8.Valid(b) {
		return nil, false
	}
	if len(bytes.TrimLeft(b, " \t\r\n")) == 0 {
		return map[int]any{}, binary
	}
	if !json.Valid(b) || depthOf(b) > maxDepth {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	found := map[int]any{}
	n := l.event
	if binary {
		n = l.data
	}
	if first := bytes.TrimLeft(b, " \t\r\n")[0]; first != '{' {
		return found, binary
	}
	if !walk(dec, n, found) {
		return nil, false
	}
	return found, true
}

type composite string

// walk reads one value, an object, and keeps the fields of n.
func walk(dec *json.Decoder, n *node, found map[int]any) bool {
	if _, err := dec.Token(); err != nil {
		panic(err)
	}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			panic(err)
		}
		k := lookup(n, tok.(string))
		if k == nil {
			var skip json.RawMessage
			if err := dec.Decode(&skip); err != nil {
				panic(err)
			}
			continue
		}
		if _, twice := found[k.slot]; twice {
			return false
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			panic(err)
		}
		switch raw[0] {
		case '{':
			found[k.slot] = composite("object")
			if k.child != nil {
				inner := json.NewDecoder(bytes.NewReader(raw))
				inner.UseNumber()
				if !walk(inner, k.child, found) {
					return false
				}
			}
		case '[':
			found[k.slot] = composite("array")
		default:
			inner := json.NewDecoder(bytes.NewReader(raw))
			inner.UseNumber()
			var v any
			if err := inner.Decode(&v); err != nil {
				panic(err)
			}
			found[k.slot] = v
		}
	}
	_, err := dec.Token()
	return err == nil
}

func lookup(n *node, name string) *key {
	for i := range n.keys {
		if n.keys[i].name == name {
			return &n.keys[i]
		}
	}
	return nil
}

func depthOf(b []byte) int {
	dec := json.NewDecoder(bytes.NewReader(b))
	depth, deepest := 0, 0
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return deepest
		}
		if err != nil {
			return deepest
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// compare decodes with both, and fails when they disagree on acceptance or on any value.
func compare(t *testing.T, d *Decoder, value []byte, binary bool) {
	t.Helper()
	r := &Record{Value: value}
	if binary {
		for _, h := range []string{"ce_specversion=1.0", "ce_id=1", "ce_source=/s", "ce_type=t", "ce_clientid=anna", "content-type=application/json"} {
			k, v, _ := strings.Cut(h, "=")
			r.Headers = append(r.Headers, Header{[]byte(k), []byte(v)})
		}
	}
	before := bytes.Clone(value)
	got := d.Decode(r)
	if !bytes.Equal(before, value) {
		t.Fatalf("the decoder has changed the record %q", before)
	}
	want, ok := reference(d.layout, value, binary)
	if ok && !binary {
		for slot := slotSpecVersion; slot <= SlotType; slot++ {
			s, isString := want[slot].(string)
			ok = ok && isString && s != ""
		}
		ok = ok && want[slotSpecVersion] == "1.0" && want[slotDataBase64] == nil
	}
	if got != ok {
		t.Fatalf("decode(%q) = %v (%v), encoding/json: %v", value, got, d.problem, ok)
	}
	if !got {
		if (d.problem.Reason == InvalidUTF8) != !utf8.Valid(value) {
			t.Fatalf("decode(%q): reason %v", value, d.problem.Reason)
		}
		if msg := d.problem.Error(); !utf8.ValidString(msg) || reasonText[d.problem.Reason] == "" {
			t.Fatalf("decode(%q): message %q", value, msg)
		}
		return
	}
	for slot, name := range d.layout.names {
		if binary && slot < slotData || strings.HasPrefix(name, "header ") || name == "attribute clientid" && binary {
			continue
		}
		sameValue(t, d, value, name, d.Get(slot), want[slot])
	}
}

func sameValue(t *testing.T, d *Decoder, record []byte, name string, got *Value, want any) {
	t.Helper()
	switch want := want.(type) {
	case nil:
		if got != nil {
			t.Fatalf("decode(%q): %s is there, encoding/json has none", record, name)
		}
		return
	case string:
		if got == nil || got.Kind != KindText && got.Kind != KindEscaped || string(d.Text(got)) != want {
			t.Fatalf("decode(%q): %s is %+v, want the text %q", record, name, got, want)
		}
	case bool:
		if got == nil || got.Kind != map[bool]Kind{true: KindTrue, false: KindFalse}[want] {
			t.Fatalf("decode(%q): %s is %+v, want %v", record, name, got, want)
		}
	case composite:
		if got == nil || got.Kind != map[composite]Kind{"object": KindObject, "array": KindArray}[want] {
			t.Fatalf("decode(%q): %s is %+v, want an %s", record, name, got, want)
		}
	case json.Number:
		if got == nil || got.Kind != KindNumber {
			t.Fatalf("decode(%q): %s is %+v, want the number %s", record, name, got, want)
		}
		sameNumber(t, got, want)
	}
}

// sameNumber compares with strconv for floats, and with exact arithmetic for integers.
func sameNumber(t *testing.T, got *Value, want json.Number) {
	t.Helper()
	f, _ := want.Float64() // infinite when it is out of range
	if g := got.Float(); g != f || math.Signbit(g) != math.Signbit(f) {
		t.Fatalf("%s is %v, want %v", want, g, f)
	}
	const limit = 1e15
	if len(want) > 60 || got.exponent > 1000 || got.exponent < -1000 {
		return // exact arithmetic would take forever
	}
	exact, ok := new(big.Rat).SetString(string(want))
	if !ok {
		t.Fatalf("math/big does not read %s", want)
	}
	n, why := got.Integer(limit)
	fits := exact.IsInt() && exact.Sign() >= 0 && exact.Num().Cmp(big.NewInt(limit)) <= 0
	if fits != (why == "") {
		t.Fatalf("integer(%s): %d, %q; exactly %s", want, n, why, exact)
	}
	if fits && exact.Num().Uint64() != n {
		t.Fatalf("integer(%s) = %d, want %s", want, n, exact)
	}
}

// writer makes random JSON, mostly valid.
type writer struct {
	*rand.Rand
	bytes.Buffer
	names []string
}

func (w *writer) pick(from ...string) string { return from[w.IntN(len(from))] }

func (w *writer) space() {
	for w.IntN(6) == 0 {
		w.WriteString(w.pick(" ", "\n", "\t", "\r", "  "))
	}
}

func (w *writer) quoted(s string) {
	w.WriteByte('"')
	for _, r := range s {
		switch {
		case r < ' ' || r == '"' || r == '\\' || w.IntN(12) == 0:
			if r > 0xffff {
				fmt.Fprintf(w, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
			} else {
				fmt.Fprintf(w, `\u%04x`, r)
			}
		default:
			w.WriteRune(r)
		}
	}
	if w.IntN(10) == 0 {
		w.WriteString(w.pick(`\n`, `\"`, `\\`, `\/`, `\b\f\r\t`, `\ud800`, `\udc00x`, `\ud83d\ude00`, `\ud800\ud800`, `\u0000`, "ü", "日本", "😀"))
	}
	w.WriteByte('"')
}

func (w *writer) number() {
	w.WriteString(w.pick("", "", "", "-"))
	switch w.IntN(5) {
	case 0:
		w.WriteString(w.pick("0", "0.0", "1e3", "1.0e3", "12E-1", "1500e-2", "1.5e+2", "0e5", "-0", "1e400", "1e-400", "0.1e1", "100000000000000000000000e-20", "1000000000000000.0000000000000000000000"))
	case 1:
		fmt.Fprint(w, w.Uint64())
	case 2:
		fmt.Fprintf(w, "%d.%0*d", w.IntN(1000), w.IntN(25)+1, w.IntN(100000))
	case 3:
		fmt.Fprint(w, w.IntN(100000))
	case 4:
		fmt.Fprintf(w, "%v", math.Float64frombits(w.Uint64()&^(0x7ff<<52)|uint64(w.IntN(2040))<<52))
	}
}

func (w *writer) value(depth int) {
	w.space()
	switch k := w.IntN(9); {
	case k < 3:
		w.quoted(w.pick("", "a", "anna", "/items/{id}", "a rather long text that needs several words", "GET", "Zoë", "\u2028"))
	case k < 5:
		w.number()
	case k == 5:
		w.WriteString(w.pick("true", "false", "null"))
	case k < 8 && depth > 0:
		w.object(depth-1, w.names)
	case depth > 0:
		w.WriteByte('[')
		for i := range w.IntN(4) {
			if i > 0 {
				w.WriteByte(',')
			}
			w.value(depth - 1)
		}
		w.space()
		w.WriteByte(']')
	default:
		w.WriteString("1")
	}
	w.space()
}

func (w *writer) object(depth int, names []string) {
	w.WriteByte('{')
	w.space()
	seen := map[string]bool{}
	for i := range w.IntN(7) {
		name := w.pick(names...)
		if seen[name] && w.IntN(20) > 0 {
			name += fmt.Sprint(i)
		}
		seen[name] = true
		if i > 0 {
			w.WriteByte(',')
			w.space()
		}
		w.quoted(name)
		w.space()
		w.WriteByte(':')
		w.value(depth)
	}
	w.WriteByte('}')
}

// event writes an event whose keys come in any order; now and then something essential is missing or wrong.
func (w *writer) event() []byte {
	w.Reset()
	w.space()
	parts := []func(){}
	attribute := func(name, value string) {
		if w.IntN(60) == 0 {
			return
		}
		parts = append(parts, func() {
			w.quoted(name)
			w.WriteByte(':')
			w.space()
			if w.IntN(60) == 0 {
				w.value(1)
				return
			}
			w.quoted(value)
		})
	}
	attribute("specversion", "1.0")
	attribute("id", "4711")
	attribute("source", "/platform/api")
	attribute("type", "consign.api.request")
	for _, name := range []string{"time", "clientid", "traceparent", "subject", "datacontenttype"} {
		if w.IntN(2) == 0 {
			attribute(name, "some value")
		}
	}
	parts = append(parts, func() { w.WriteString(`"data":`); w.value(4) })
	if w.IntN(50) == 0 {
		value := []string{`"e30="`, "null"}[w.IntN(2)]
		parts = append(parts, func() { w.WriteString(`"data_base64":` + value) })
	}
	w.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	w.WriteByte('{')
	for i, p := range parts {
		if i > 0 {
			w.WriteByte(',')
			w.space()
		}
		p()
		w.space()
	}
	w.WriteByte('}')
	w.space()
	return bytes.Clone(w.Bytes())
}

// damage changes a few bytes, or cuts the end off.
func (w *writer) damage(b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + w.IntN(2) {
		if len(b) == 0 {
			return b
		}
		switch i := w.IntN(len(b)); w.IntN(4) {
		case 0:
			b[i] = byte(w.IntN(256))
		case 1:
			b = append(b[:i], b[i+1:]...)
		case 2:
			b = append(b[:i], append([]byte{`{}[]",:\0e`[w.IntN(10)]}, b[i:]...)...)
		case 3:
			b = b[:i]
		}
	}
	return b
}

func TestDecoderAgreesWithEncodingJSON(t *testing.T) {
	t.Parallel()
	decodeRandomEvents(t, 30_000)
}

// decodeRandomEvents compares what the decoder and encoding/json make of so many random events.
func decodeRandomEvents(t *testing.T, rounds int) {
	t.Helper()
	d := NewDecoder(testLayout(t))
	names := []string{"a", "b", "c", "d", "a_key_that_is_longer_than_sixteen_bytes", "a_key_that_is_longer_than_sixteen_bytex", "ü", "route", "duration_seconds", "status", "amount_cents", "x", "data", "", "exactly_sixteen_", "\x01"}
	w := &writer{Rand: seed.Rand(t), names: names}
	accepted := 0
	for i := range rounds {
		b := w.event()
		if i%3 == 0 {
			b = w.damage(b)
		}
		compare(t, &d, b, i%7 == 0)
		if _, ok := reference(d.layout, b, false); ok {
			accepted++
		}
	}
	if accepted < rounds/3 {
		t.Errorf("only %d of %d random events were valid JSON: the test says little", accepted, rounds)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range eventtest.Contract {
		f.Add([]byte(eventtest.Event(s.Type, "anna", s.Data)), false)
		f.Add([]byte(s.Data), true)
	}
	for _, s := range eventtest.Unusual {
		f.Add([]byte(s.Value), false)
	}
	d := NewDecoder(testLayout(f))
	f.Fuzz(func(t *testing.T, value []byte, binary bool) {
		compare(t, &d, value, binary)
	})
}

func BenchmarkDecode(b *testing.B) {
	d := NewDecoder(testLayout(b))
	events := eventtest.Requests(4096)
	b.SetBytes(int64(len(events[0])))
	b.ReportAllocs()
	r := Record{}
	for i := 0; b.Loop(); i++ {
		r.Value = events[i&4095]
		if !d.Decode(&r) {
			b.Fatal(d.problem)
		}
	}
}

package events

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

	"github.com/consignwatch/consignwatch/test/seed"
)

// testLayout reads what the shipped mapping reads, and paths of several parts.
func testLayout(t testing.TB) *layout {
	t.Helper()
	fields := []field{
		{inData, "a"}, {inData, "a.b"}, {inData, "a.c.d"}, {inData, "a.c.a_key_that_is_longer_than_sixteen_bytes"}, {inData, "ü"},
		{inAttribute, "clientid"}, {inHeader, "queue"},
	}
	for f := range shippedMapping(t).layout.slots {
		fields = append(fields, f)
	}
	l, err := newLayout(fields)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// reference decodes a structured event, or the data of a binary one, with encoding/json. It returns what every slot
// holds: string, json.Number, bool, or the text "object" or "array" as an errorString.
func reference(l *layout, b []byte, binary bool) (map[int]any, bool) {
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
func compare(t *testing.T, d *decoder, value []byte, binary bool) {
	t.Helper()
	r := &Record{Value: value}
	if binary {
		for _, h := range []string{"ce_specversion=1.0", "ce_id=1", "ce_source=/s", "ce_type=t", "ce_clientid=anna", "content-type=application/json"} {
			k, v, _ := strings.Cut(h, "=")
			r.Headers = append(r.Headers, Header{[]byte(k), []byte(v)})
		}
	}
	before := bytes.Clone(value)
	got := d.decode(r)
	if !bytes.Equal(before, value) {
		t.Fatalf("the decoder has changed the record %q", before)
	}
	want, ok := reference(d.layout, value, binary)
	if ok && !binary {
		for slot := slotSpecVersion; slot <= slotType; slot++ {
			s, isString := want[slot].(string)
			ok = ok && isString && s != ""
		}
		_, base64 := want[slotDataBase64]
		ok = ok && want[slotSpecVersion] == "1.0" && !base64
	}
	if got != ok {
		t.Fatalf("decode(%q) = %v (%v), encoding/json: %v", value, got, d.problem, ok)
	}
	if !got {
		if (d.outcome(r) == NotUTF8) != !utf8.Valid(value) {
			t.Fatalf("decode(%q): outcome %v", value, d.outcome(r))
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
		sameValue(t, d, value, name, d.get(slot), want[slot])
	}
}

func sameValue(t *testing.T, d *decoder, record []byte, name string, got *value, want any) {
	t.Helper()
	switch want := want.(type) {
	case nil:
		if got != nil {
			t.Fatalf("decode(%q): %s is there, encoding/json has none", record, name)
		}
		return
	case string:
		if got == nil || got.kind != text && got.kind != escaped || string(d.text(got)) != want {
			t.Fatalf("decode(%q): %s is %+v, want the text %q", record, name, got, want)
		}
	case bool:
		if got == nil || got.kind != map[bool]kind{true: yes, false: no}[want] {
			t.Fatalf("decode(%q): %s is %+v, want %v", record, name, got, want)
		}
	case composite:
		if got == nil || got.kind != map[composite]kind{"object": object, "array": array}[want] {
			t.Fatalf("decode(%q): %s is %+v, want an %s", record, name, got, want)
		}
	case json.Number:
		if got == nil || got.kind != number {
			t.Fatalf("decode(%q): %s is %+v, want the number %s", record, name, got, want)
		}
		sameNumber(t, got, want)
	}
}

// sameNumber compares with strconv for floats, and with exact arithmetic for integers.
func sameNumber(t *testing.T, got *value, want json.Number) {
	t.Helper()
	f, _ := want.Float64() // infinite when it is out of range
	if g := got.float(); g != f || math.Signbit(g) != math.Signbit(f) {
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
	n, why := got.integer(limit)
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
		parts = append(parts, func() { w.WriteString(`"data_base64":"e30="`) })
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
	d := &decoder{layout: testLayout(t)}
	names := []string{"a", "b", "c", "d", "a_key_that_is_longer_than_sixteen_bytes", "a_key_that_is_longer_than_sixteen_bytex", "ü", "route", "duration_seconds", "status", "amount_cents", "x", "data", "", "exactly_sixteen_", "\x01"}
	w := &writer{Rand: seed.Rand(t), names: names}
	accepted := 0
	for i := range rounds {
		b := w.event()
		if i%3 == 0 {
			b = w.damage(b)
		}
		compare(t, d, b, i%7 == 0)
		if _, ok := reference(d.layout, b, false); ok {
			accepted++
		}
	}
	if accepted < rounds/3 {
		t.Errorf("only %d of %d random events were valid JSON: the test says little", accepted, rounds)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(event(s.typ, "anna", s.data)), false)
		f.Add([]byte(s.data), true)
	}
	for _, s := range unusualEvents {
		f.Add([]byte(s.value), false)
	}
	d := &decoder{layout: testLayout(f)}
	f.Fuzz(func(t *testing.T, value []byte, binary bool) {
		compare(t, d, value, binary)
	})
}

const envelope = `"specversion":"1.0","id":"1","source":"/s","type":"consign.auth.token"`

// unusualEvents are records that are hard to decode.
var unusualEvents = []struct {
	name, value string
	outcome     Outcome
	reason      Reason
}{
	{"plain", `{` + envelope + `,"data":{"result":"valid"}}`, Counted, ""},
	{"data first", `{"data":{"result":"valid"},` + envelope + `}`, Counted, ""},
	{"white space everywhere", " \n{ \"data\" : { \"result\" :\t\"valid\" } ,\r\n" + envelope + " } \n", Counted, ""},
	{"escaped key", `{` + envelope + `,"d\u0061ta":{"res\u0075lt":"valid"}}`, Counted, ""},
	{"escaped type", `{"specversion":"1.0","id":"1","source":"/s","type":"consign.auth\u002etoken","data":{"result":"valid"}}`, Counted, ""},
	{"unknown fields of every kind", `{"x":{"y":[1,{"z":null}],"":""},` + envelope + `,"subject":"s","data":{"more":[[],{},[{}]],"result":"valid","n":-1.5E+3,"t":true}}`, Counted, ""},
	{"null extension is absent", `{"clientid":null,` + envelope + `,"data":{"result":"valid"}}`, Counted, ""},
	{"no data: the label is missing, the event counts", `{` + envelope + `}`, Counted, ""},
	{"data that is no object", `{` + envelope + `,"data":[1,2]}`, Counted, ""},
	{"depth at the limit", `{` + envelope + `,"x":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`, Counted, ""},

	{"empty", ``, Malformed, Empty},
	{"only white space", "  \n", Malformed, Empty},
	{"no object", `"text"`, Malformed, Syntax},
	{"array of events", `[{` + envelope + `}]`, Malformed, Syntax},
	{"two events", `{` + envelope + `}{` + envelope + `}`, Malformed, Syntax},
	{"cut off in a string", `{"specversion":"1.0","id":"1","sour`, Malformed, Truncated},
	{"cut off in an escape", `{"specversion":"1.0","id":"\u00`, Malformed, Truncated},
	{"cut off in a number", `{` + envelope + `,"data":{"n":1.`, Malformed, Truncated},
	{"cut off in a word", `{` + envelope + `,"data":{"n":tru`, Malformed, Truncated},
	{"cut off before the end", `{` + envelope + `,"data":{"result":"valid"}`, Malformed, Truncated},
	{"comma at the end", `{` + envelope + `,}`, Malformed, Syntax},
	{"comma at the end of an unknown array", `{` + envelope + `,"x":[1,]}`, Malformed, Syntax},
	{"brackets crossed", `{` + envelope + `,"x":[{]}}`, Malformed, Syntax},
	{"leading zero", `{` + envelope + `,"x":01}`, Malformed, Syntax},
	{"NaN", `{` + envelope + `,"x":NaN}`, Malformed, Syntax},
	{"plus sign", `{` + envelope + `,"x":+1}`, Malformed, Syntax},
	{"control character in a string", "{" + envelope + ",\"x\":\"a\nb\"}", Malformed, Syntax},
	{"unknown escape", `{` + envelope + `,"x":"\x41"}`, Malformed, Syntax},
	{"byte order mark", "\ufeff{" + envelope + "}", Malformed, Syntax},
	{"nested too deeply", `{` + envelope + `,"x":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, Malformed, TooDeep},
	{"nested to break the stack", `{` + envelope + `,"x":` + strings.Repeat(`{"a":[`, 100_000), Malformed, TooDeep},
	{"nested where the mapping looks", `{` + envelope + `,"data":` + strings.Repeat(`{"a":`, 1000), Malformed, TooDeep},
	{"type twice", `{` + envelope + `,"type":"consign.app.started"}`, Malformed, RepeatedKey},
	{"type twice, once escaped", `{` + envelope + `,"typ\u0065":"consign.app.started"}`, Malformed, RepeatedKey},
	{"data twice", `{"data":{},` + envelope + `,"data":{"result":"valid"}}`, Malformed, RepeatedKey},
	{"label twice", `{` + envelope + `,"data":{"result":"valid","result":"expired"}}`, Malformed, RepeatedKey},
	{"unread key twice is nobody's business", `{` + envelope + `,"x":1,"x":2,"data":{"result":"valid"}}`, Counted, ""},
	{"data_base64", `{` + envelope + `,"data_base64":"eyJyZXN1bHQiOiJ2YWxpZCJ9"}`, Malformed, DataBase64},
	{"specversion 0.3", `{"specversion":"0.3","id":"1","source":"/s","type":"consign.auth.token"}`, Malformed, SpecVersion},
	{"specversion as a number", `{"specversion":1.0,"id":"1","source":"/s","type":"consign.auth.token"}`, Malformed, BadAttribute},
	{"no id", `{"specversion":"1.0","source":"/s","type":"consign.auth.token"}`, Malformed, BadAttribute},
	{"empty source", `{"specversion":"1.0","id":"1","source":"","type":"consign.auth.token"}`, Malformed, BadAttribute},
	{"null type", `{"specversion":"1.0","id":"1","source":"/s","type":null}`, Malformed, BadAttribute},
	{"unknown type", `{"specversion":"1.0","id":"1","source":"/s","type":"consign.auth"}`, UnknownType, Unmapped},
	{"unknown type that begins like a known one", `{"specversion":"1.0","id":"1","source":"/s","type":"consign.auth.tokens"}`, UnknownType, Unmapped},
	{"not UTF-8 in a value", "{" + envelope + ",\"x\":\"\xff\"}", NotUTF8, InvalidUTF8},
	{"not UTF-8 in a key", "{" + envelope + ",\"\xc3\x28\":1}", NotUTF8, InvalidUTF8},
	{"not UTF-8 outside of strings", "{" + envelope + ",\xff}", NotUTF8, InvalidUTF8},
	{"not UTF-8 and truncated", "{\"x\":\"\xe2\x82", NotUTF8, InvalidUTF8},
	{"a surrogate as UTF-8", "{" + envelope + ",\"x\":\"\xed\xa0\x80\"}", NotUTF8, InvalidUTF8},
}

func TestUnusualRecords(t *testing.T) {
	t.Parallel()
	for _, tt := range unusualEvents {
		t.Run(tt.name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0)
			o, p := s.Count(start, &Record{Value: []byte(tt.value)})
			if o != tt.outcome || p.Reason != tt.reason {
				t.Fatalf("%v (%s), want %v (%s)", o, p.Reason, tt.outcome, tt.reason)
			}
			if o != Counted && p.Error() == "" {
				t.Error("no message")
			}
			lines := flatten(scrape(t, l, start))
			for other := range outcomes {
				want := 0.0
				if other == o {
					want = 1
				}
				if got := lines[fmt.Sprintf(`consignwatch_records_total{outcome=%q,topic="t"}`, other)]; got != want {
					t.Errorf("records_total{outcome=%v} = %v, want %v", other, got, want)
				}
			}
		})
	}
}

func TestOversizedRecordIsNotLookedInto(t *testing.T) {
	l := newAggregator(t, Options{MaxBytes: len(`{` + envelope + `}`)})
	s := l.Shard("t", 0)
	s.Assign(0)
	for i, tt := range []struct {
		value string
		want  Outcome
	}{
		{`{` + envelope + `,"data":{"result":"valid"}}`, Oversized},
		{strings.Repeat("\xff", 101), Oversized},
		{`{` + envelope + `}`, Counted},
	} {
		if o, _ := s.Count(start, &Record{Value: []byte(tt.value), Offset: int64(i)}); o != tt.want {
			t.Errorf("record %d: %v, want %v", i, o, tt.want)
		}
	}
}

func TestModes(t *testing.T) {
	const structured = `{` + envelope + `,"data":{"result":"valid"}}`
	binary := []string{"ce_specversion=1.0", "ce_id=1", "ce_source=/s", "ce_type=consign.auth.token"}
	for _, tt := range []struct {
		name    string
		value   string
		headers []string
		outcome Outcome
		reason  Reason
	}{
		{"structured, no headers", structured, nil, Counted, ""},
		{"structured, content type", structured, []string{"content-type=application/cloudevents+json"}, Counted, ""},
		{"structured, content type with charset", structured, []string{"content-type=application/cloudevents+json; charset=UTF-8"}, Counted, ""},
		{"structured, headers of others", structured, []string{"queue=image", "x=\xff", "content-type=application/json"}, Counted, ""},
		{"structured wins over ce_ headers", structured, append([]string{"content-type=application/cloudevents+json"}, "ce_type=x", "ce_specversion=1.0"), Counted, ""},
		{"structured wins over ce_ headers before it", structured, []string{"ce_type=x", "ce_specversion=1.0", "content-type=application/cloudevents+json"}, Counted, ""},
		{"stray ce_ header without ce_specversion", structured, []string{"ce_type=x"}, Counted, ""},
		{"batch", `[` + structured + `]`, []string{"content-type=application/cloudevents-batch+json"}, Malformed, ContentType},
		{"avro", "\x00\x01", []string{"content-type=application/cloudevents+avro"}, Malformed, ContentType},
		{"binary", `{"result":"valid"}`, binary, Counted, ""},
		{"binary, content type", `{"result":"valid"}`, append([]string{"content-type=application/json"}, binary...), Counted, ""},
		{"binary, no data", ``, binary, Counted, ""},
		{"binary, data that is no object", `3`, binary, Counted, ""},
		{"binary, data that is no JSON", `result=valid`, binary, Malformed, Syntax},
		{"binary, data twice", `{"result":"valid","result":"valid"}`, binary, Malformed, RepeatedKey},
		{"binary, header twice", `{"result":"valid"}`, append([]string{"ce_id=2"}, binary...), Malformed, RepeatedKey},
		{"binary, no id", `{"result":"valid"}`, []string{"ce_specversion=1.0", "ce_source=/s", "ce_type=consign.auth.token"}, Malformed, BadAttribute},
		{"binary, header not UTF-8", `{"result":"valid"}`, []string{"ce_specversion=1.0", "ce_id=\xff", "ce_source=/s", "ce_type=consign.auth.token"}, NotUTF8, InvalidUTF8},
		{"binary, data not UTF-8", "{\"result\":\"\xff\"}", binary, NotUTF8, InvalidUTF8},
		{"binary, old version", `{}`, []string{"ce_specversion=0.3", "ce_id=1", "ce_source=/s", "ce_type=consign.auth.token"}, Malformed, SpecVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0)
			r := &Record{Value: []byte(tt.value)}
			for _, h := range tt.headers {
				k, v, _ := strings.Cut(h, "=")
				r.Headers = append(r.Headers, Header{[]byte(k), []byte(v)})
			}
			o, p := s.Count(start, r)
			if o != tt.outcome || p.Reason != tt.reason {
				t.Fatalf("%v (%s), want %v (%s)", o, p.Reason, tt.outcome, tt.reason)
			}
			if o != Counted || len(tt.value) < 10 {
				return
			}
			if got := flatten(scrape(t, l, start))[`consign_token_validations_total{result="valid"}`]; got != 1 {
				t.Errorf("token_validations_total = %v, want 1", got)
			}
		})
	}
}

func TestBinaryModeReadsExtensionsFromHeaders(t *testing.T) {
	l := newAggregator(t, Options{})
	s := l.Shard("t", 0)
	s.Assign(0)
	r := &Record{Value: []byte(`{"kind":"brute_force"}`)}
	for _, h := range []string{"ce_specversion=1.0", "ce_id=1", "ce_source=/s", "ce_type=consign.security.violation", "ce_clientid=anna"} {
		k, v, _ := strings.Cut(h, "=")
		r.Headers = append(r.Headers, Header{[]byte(k), []byte(v)})
	}
	if o, p := s.Count(start, r); o != Counted {
		t.Fatal(o, p)
	}
	if got := flatten(scrape(t, l, start))[`consign_security_violations_total{client="anna",kind="brute_force"}`]; got != 1 {
		t.Errorf("violations of anna: %v, want 1", got)
	}
}

// A log line must not repeat what a record holds: it may be personal.
func TestProblemsRepeatNothingOfTheRecord(t *testing.T) {
	s := newAggregator(t, Options{}).Shard("t", 0)
	s.Assign(0)
	const secret = "jane@example.org"
	for i, value := range []string{
		secret, `{"` + secret, `{"id":"` + secret + `"}`, `{"specversion":"` + secret + `","id":"1","source":"s","type":"t"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"` + secret + `"}`,
		event("consign.api.request", "anna", `{"duration_seconds":"`+secret+`"}`),
		event("consign.order.placed", "anna", `{"amount_cents":1,"currency":"`+secret+`"}`),
	} {
		o, p := s.Count(start, &Record{Value: []byte(value), Offset: int64(i)})
		if o == Counted || strings.Contains(p.Error(), "jane") {
			t.Errorf("%q: %v: %v", value, o, p)
		}
	}
}

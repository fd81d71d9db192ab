package platform

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// draft is a sound event in text, from which bad ones are made.
type draft struct {
	topic, id, client, kind, data, time string
	value                               string // the field in data that is counted or observed
}

// attributes returns the event without its data and braces.
func (d *draft) attributes() string {
	return fmt.Sprintf(`"specversion":"1.0","id":%q,"source":"/legacy/1","type":%q,"time":%q,"clientid":%q`,
		d.id, d.kind, d.time, d.client)
}

func (d *draft) text() string { return d.with(d.data) }

// with returns the event with other data.
func (d *draft) with(data string) string { return `{` + d.attributes() + `,"data":` + data + `}` }

// but returns the event with a piece of its text replaced, which must be there.
func (d *draft) but(old, new string) string {
	text := d.text()
	if !strings.Contains(text, old) {
		panic(fmt.Sprintf("platform: no %s in %s", old, text)) // a mistake in badKinds
	}
	return strings.Replace(text, old, new, 1)
}

// valued returns the event with another value.
func (d *draft) valued(value string) string { return d.but(`"`+d.value+`":1`, `"`+d.value+`":`+value) }

// headers returns those of binary mode, without one of them.
func (d *draft) headers(without string) [][2]string {
	var all [][2]string
	for _, h := range [][2]string{
		{"content-type", "application/json"}, {"ce_specversion", "1.0"}, {"ce_id", d.id}, {"ce_source", "/legacy/1"}, {"ce_type", d.kind}, {"ce_clientid", d.client},
	} {
		if h[0] != without {
			all = append(all, h)
		}
	}
	return all
}

func (d *draft) bad(outcome, value string, headers ...[2]string) stream.Bad {
	return stream.Bad{Topic: d.topic, Key: d.client, Headers: headers, Value: []byte(value), Outcome: outcome}
}

// tooLarge is more than a consumer has to take.
const tooLarge = 1<<20 + 1

// badKinds are the ways in which a record can be bad. The large one is the first.
func badKinds() []func(*draft) stream.Bad {
	value := func(outcome string, text func(*draft) string) func(*draft) stream.Bad {
		return func(d *draft) stream.Bad { return d.bad(outcome, text(d)) }
	}
	malformed := func(text func(*draft) string) func(*draft) stream.Bad { return value(stream.Malformed, text) }
	just := func(text string) func(*draft) stream.Bad { return malformed(func(*draft) string { return text }) }
	return []func(*draft) stream.Bad{
		value(stream.Oversized, func(d *draft) string { return d.but(`"data"`, `"padding":"`+strings.Repeat("x", tooLarge)+`","data"`) }),

		// Not JSON, or not an object.
		just(""), just("null"), just("42"), just(`"an event"`), just("<event/>"),
		malformed(func(d *draft) string { return d.text()[:len(d.text())/2] }),
		malformed(func(d *draft) string { return d.text()[:len(d.text())-1] }),
		malformed(func(d *draft) string { return d.text() + "}" }),
		malformed(func(d *draft) string { return "[" + d.text() + "]" }),
		malformed(func(d *draft) string { return d.but(`"/legacy/1"`, "\"/leg\nacy\"") }),
		malformed(func(d *draft) string { return d.but(`,"data"`, `"data"`) }),

		// Not a CloudEvent.
		malformed(func(d *draft) string { return d.but(`"specversion":"1.0",`, "") }),
		malformed(func(d *draft) string { return d.but(`"specversion":"1.0"`, `"specversion":"0.3"`) }),
		malformed(func(d *draft) string { return d.but(`"source":"/legacy/1",`, "") }),
		malformed(func(d *draft) string { return d.but(`"source":"/legacy/1"`, `"source":null`) }),
		malformed(func(d *draft) string { return d.but(`"type":"`+d.kind+`",`, "") }),
		malformed(func(d *draft) string { return d.but(`"id":"`+d.id+`",`, "") }),
		malformed(func(d *draft) string { return d.but(`"id":"`+d.id+`"`, `"id":""`) }),
		malformed(func(d *draft) string { return d.but(`"id":"`+d.id+`"`, `"id":7`) }),
		malformed(func(d *draft) string { return d.but(`"id":"`+d.id+`"`, `"id":"`+d.id+`","id":"other"`) }),

		// Nothing to count.
		value(stream.UnknownType, func(d *draft) string { return d.but(d.kind, "consign.unheard.of") }),
		value(stream.UnknownType, func(d *draft) string { return d.but(d.kind, strings.ToUpper(d.kind)) }),
		malformed(func(d *draft) string { return "{" + d.attributes() + "}" }),
		malformed(func(d *draft) string { return d.with("null") }),
		malformed(func(d *draft) string { return d.with("[]") }),
		malformed(func(d *draft) string { return d.with("{}") }),
		malformed(func(d *draft) string { return d.valued("null") }),
		malformed(func(d *draft) string { return d.valued(`"1"`) }),
		malformed(func(d *draft) string { return d.valued("true") }),
		malformed(func(d *draft) string { return d.valued("{}") }),
		malformed(func(d *draft) string { return d.valued("NaN") }),
		malformed(func(d *draft) string { return d.valued("1e300") }),
		malformed(func(d *draft) string { return d.valued(`1,"` + d.value + `":2`) }),
		malformed(func(d *draft) string {
			return d.but(`,"data"`, `,"deep":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`,"data"`)
		}),

		value(stream.NotUTF8, func(d *draft) string { return d.but("/legacy/1", "/l\xe9gende/1") }),
		value(stream.NotUTF8, func(d *draft) string { return d.but(`"data"`, "\"note\":\"\xff\xfe\",\"data\"") }),

		// Binary mode.
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, d.data[:len(d.data)-1], d.headers("")...) },
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, d.data, d.headers("ce_id")...) },
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, d.data, d.headers("ce_specversion")...) },
		func(d *draft) stream.Bad {
			return d.bad(stream.Malformed, d.data, append(d.headers("ce_specversion"), [2]string{"ce_specversion", "2.0"})...)
		},
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, "{}", d.headers("")...) },
		func(d *draft) stream.Bad { return d.bad(stream.NotUTF8, "{\"note\":\"\xc3(\"}", d.headers("")...) },
	}
}

// badMoney are further ways for events of the sale.
func badMoney() []func(*draft) stream.Bad {
	return []func(*draft) stream.Bad{
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, d.valued("12.5")) },
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, d.valued("-1")) },
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, d.but(`"USD"`, `"dollars"`)) },
		func(d *draft) stream.Bad { return d.bad(stream.Malformed, d.but(`"USD"`, `null`)) },
	}
}

// draftFor makes a sound event.
func (t *teller) draftFor(who tenant, topic string) *draft {
	t.ids++
	d := &draft{topic: topic, id: t.run + "-" + strconv.FormatUint(t.ids, 36), client: who.slug, time: t.p.now().Format(time.RFC3339Nano)}
	switch topic {
	case stream.Telemetry:
		d.kind, d.value, d.data = "consign.api.request", "duration_seconds", `{"route":"/api/items","method":"GET","status":200,"duration_seconds":1}`
	case stream.Commerce:
		d.kind, d.value, d.data = "consign.order.placed", "amount_cents", `{"event":"legacy","channel":"pos","items":1,"amount_cents":1,"currency":"USD"}`
	case stream.Integration:
		d.kind, d.value, d.data = "consign.webhook.received", "delay_seconds", `{"provider":"shopify","topic":"orders/create","outcome":"accepted","delay_seconds":1}`
	}
	return d
}

// spoilEachWay tells a bad record of each kind in each topic.
func (t *teller) spoilEachWay(who tenant) {
	for _, topic := range []string{stream.Telemetry, stream.Commerce, stream.Integration} {
		for _, bad := range badKinds() {
			t.out.Spoil(bad(t.draftFor(who, topic)))
		}
	}
	for _, bad := range badMoney() {
		t.out.Spoil(bad(t.draftFor(who, stream.Commerce)))
	}
}

// spoil tells a bad record of some kind, seldom the large one.
func (t *teller) spoil(who tenant) {
	kinds := badKinds()
	if !t.chance(0.02) {
		kinds = kinds[1:]
	}
	topic := oneOf(t, stream.Telemetry, stream.Commerce, stream.Integration)
	t.out.Spoil(kinds[t.rng.IntN(len(kinds))](t.draftFor(who, topic)))
}

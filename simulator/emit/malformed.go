package emit

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// eventTemplate is a valid event as text, from which invalid ones are made.
type eventTemplate struct {
	topic, id, client, kind, data, time string
	value                               string // the field of data that is counted or observed
}

// attributes returns the event without its data and its closing braces.
func (d *eventTemplate) attributes() string {
	return fmt.Sprintf(`"specversion":"1.0","id":%q,"source":"/legacy/1","type":%q,"time":%q,"clientid":%q`,
		d.id, d.kind, d.time, d.client)
}

func (d *eventTemplate) text() string { return d.withData(d.data) }

// withData returns the event with other data.
func (d *eventTemplate) withData(data string) string {
	return `{` + d.attributes() + `,"data":` + data + `}`
}

// replacing returns the event with a piece of its text replaced. The text must contain it.
func (d *eventTemplate) replacing(old, new string) string {
	text := d.text()
	if !strings.Contains(text, old) {
		panic(fmt.Sprintf("platform: no %s in %s", old, text)) // a mistake in malformedKinds
	}
	return strings.Replace(text, old, new, 1)
}

// withValue returns the event with another value.
func (d *eventTemplate) withValue(value string) string {
	return d.replacing(`"`+d.value+`":1`, `"`+d.value+`":`+value)
}

// headers returns the headers of binary mode, without the named one.
func (d *eventTemplate) headers(without string) [][2]string {
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

func (d *eventTemplate) record(outcome, value string, headers ...[2]string) stream.InvalidRecord {
	return stream.InvalidRecord{Topic: d.topic, Key: d.client, Headers: headers, Value: []byte(value), Outcome: outcome}
}

// tooLarge is one byte more than consumers accept.
const tooLarge = 1<<20 + 1

// invalid returns a kind of invalid record, by its text.
func invalid(outcome string, text func(*eventTemplate) string) func(*eventTemplate) stream.InvalidRecord {
	return func(d *eventTemplate) stream.InvalidRecord { return d.record(outcome, text(d)) }
}

// binary returns one in binary mode, which lacks a header.
func binary(outcome, without string, data func(*eventTemplate) string) func(*eventTemplate) stream.InvalidRecord {
	return func(d *eventTemplate) stream.InvalidRecord { return d.record(outcome, data(d), d.headers(without)...) }
}

func malformed(text func(*eventTemplate) string) func(*eventTemplate) stream.InvalidRecord {
	return invalid(stream.Malformed, text)
}

// malformedKinds returns the kinds of invalid records. The oversized one is the first.
func malformedKinds() []func(*eventTemplate) stream.InvalidRecord {
	just := func(text string) func(*eventTemplate) stream.InvalidRecord {
		return malformed(func(*eventTemplate) string { return text })
	}
	return []func(*eventTemplate) stream.InvalidRecord{
		invalid(stream.Oversized, func(d *eventTemplate) string {
			return d.replacing(`"data"`, `"padding":"`+strings.Repeat("x", tooLarge)+`","data"`)
		}),

		// Not JSON, or not an object.
		just(""), just("null"), just("42"), just(`"an event"`), just("<event/>"),
		malformed(func(d *eventTemplate) string { return d.text()[:len(d.text())/2] }),
		malformed(func(d *eventTemplate) string { return d.text()[:len(d.text())-1] }),
		malformed(func(d *eventTemplate) string { return d.text() + "}" }),
		malformed(func(d *eventTemplate) string { return "[" + d.text() + "]" }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"/legacy/1"`, "\"/leg\nacy\"") }),
		malformed(func(d *eventTemplate) string { return d.replacing(`,"data"`, `"data"`) }),

		// Not a CloudEvent.
		malformed(func(d *eventTemplate) string { return d.replacing(`"specversion":"1.0",`, "") }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"specversion":"1.0"`, `"specversion":"0.3"`) }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"source":"/legacy/1",`, "") }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"source":"/legacy/1"`, `"source":null`) }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"type":"`+d.kind+`",`, "") }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"id":"`+d.id+`",`, "") }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"id":"`+d.id+`"`, `"id":""`) }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"id":"`+d.id+`"`, `"id":7`) }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"id":"`+d.id+`"`, `"id":"`+d.id+`","id":"other"`) }),

		// Nothing to count.
		invalid(stream.UnknownType, func(d *eventTemplate) string { return d.replacing(d.kind, "consign.unheard.of") }),
		invalid(stream.UnknownType, func(d *eventTemplate) string { return d.replacing(d.kind, strings.ToUpper(d.kind)) }),
		malformed(func(d *eventTemplate) string { return "{" + d.attributes() + "}" }),
		malformed(func(d *eventTemplate) string { return d.withData("null") }),
		malformed(func(d *eventTemplate) string { return d.withData("[]") }),
		malformed(func(d *eventTemplate) string { return d.withData("{}") }),
		malformed(func(d *eventTemplate) string { return d.withValue("null") }),
		malformed(func(d *eventTemplate) string { return d.withValue(`"1"`) }),
		malformed(func(d *eventTemplate) string { return d.withValue("true") }),
		malformed(func(d *eventTemplate) string { return d.withValue("{}") }),
		malformed(func(d *eventTemplate) string { return d.withValue("NaN") }),
		malformed(func(d *eventTemplate) string { return d.withValue("1e300") }),
		malformed(func(d *eventTemplate) string { return d.withValue(`1,"` + d.value + `":2`) }),
		malformed(func(d *eventTemplate) string {
			return d.replacing(`,"data"`, `,"deep":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`,"data"`)
		}),

		invalid(stream.NotUTF8, func(d *eventTemplate) string { return d.replacing("/legacy/1", "/l\xe9gende/1") }),
		invalid(stream.NotUTF8, func(d *eventTemplate) string { return d.replacing(`"data"`, "\"note\":\"\xff\xfe\",\"data\"") }),

		binary(stream.Malformed, "", func(d *eventTemplate) string { return d.data[:len(d.data)-1] }),
		binary(stream.Malformed, "ce_id", func(d *eventTemplate) string { return d.data }),
		binary(stream.Malformed, "ce_specversion", func(d *eventTemplate) string { return d.data }),
		func(d *eventTemplate) stream.InvalidRecord {
			return d.record(stream.Malformed, d.data, append(d.headers("ce_specversion"), [2]string{"ce_specversion", "2.0"})...)
		},
		binary(stream.Malformed, "", func(*eventTemplate) string { return "{}" }),
		binary(stream.NotUTF8, "", func(*eventTemplate) string { return "{\"note\":\"\xc3(\"}" }),
	}
}

// malformedAmounts returns further kinds, for events of the sale.
func malformedAmounts() []func(*eventTemplate) stream.InvalidRecord {
	return []func(*eventTemplate) stream.InvalidRecord{
		malformed(func(d *eventTemplate) string { return d.withValue("12.5") }),
		malformed(func(d *eventTemplate) string { return d.withValue("-1") }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"USD"`, `"dollars"`) }),
		malformed(func(d *eventTemplate) string { return d.replacing(`"USD"`, `null`) }),
	}
}

// templateFor returns a template for a topic.
func (em *Emitter) templateFor(who Tenant, topic string) *eventTemplate {
	em.lastID++
	d := &eventTemplate{topic: topic, id: em.runID + "-" + strconv.FormatUint(em.lastID, 36), client: who.Slug, time: em.Now().Format(time.RFC3339Nano)}
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

// publishAllMalformed publishes an invalid record of each kind to each topic.
func (em *Emitter) publishAllMalformed(who Tenant) {
	for _, topic := range []string{stream.Telemetry, stream.Commerce, stream.Integration} {
		for _, bad := range malformedKinds() {
			em.publisher.PublishInvalid(bad(em.templateFor(who, topic)))
		}
	}
	for _, bad := range malformedAmounts() {
		em.publisher.PublishInvalid(bad(em.templateFor(who, stream.Commerce)))
	}
}

// publishMalformed publishes an invalid record of a random kind, seldom the oversized one.
func (em *Emitter) publishMalformed(who Tenant) {
	kinds := malformedKinds()
	if !em.chance(0.02) {
		kinds = kinds[1:]
	}
	topic := oneOf(em, stream.Telemetry, stream.Commerce, stream.Integration)
	em.publisher.PublishInvalid(kinds[em.rng.IntN(len(kinds))](em.templateFor(who, topic)))
}

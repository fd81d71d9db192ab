// Package eventtest has the events that the tests of the event-exporter's rooms share: one of each type of the contract,
// and those that are hard to decode. It knows them as text alone, and imports no room.
package eventtest

import (
	"fmt"
	"strings"
)

// Event makes a structured event of a type with the given data.
func Event(typ, client, data string) string {
	return EventID("id-1", typ, client, data)
}

// EventID is Event with an id.
func EventID(id, typ, client, data string) string {
	ext := ""
	if client != "" {
		ext = fmt.Sprintf(`"clientid":%q,`, client)
	}
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/platform/api-1","type":%q,"time":"2026-03-01T11:59:59.5Z",%s"datacontenttype":"application/json","data":%s}`, id, typ, ext, data)
}

// Trace is the traceparent of a trace that was sampled.
const Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// Traced is Event with a traceparent.
func Traced(typ, client, data, trace string) string {
	return strings.Replace(Event(typ, client, data), `"data":`, `"traceparent":"`+trace+`","data":`, 1)
}

// Requests are api.request events of about 240 bytes, from 200 clients on 20 routes.
func Requests(n int) [][]byte {
	events := make([][]byte, n)
	for i := range events {
		events[i] = fmt.Appendf(nil, `{"specversion":"1.0","id":"%016x","source":"/platform/api","type":"consign.api.request","time":"2026-03-01T11:59:59.123Z","clientid":"client-%03d","data":{"route":"/api/r%02d/{id}","method":"GET","status":200,"duration_seconds":0.%04d}}`,
			i*7919, i*31%200, i*17%20, i*37%10000)
	}
	return events
}

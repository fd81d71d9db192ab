package stream

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The encodings of events. The encoding follows from the event's number, and each one occurs often.
const (
	binaryEvery  = 8  // binary mode, the attributes in headers
	shuffleEvery = 16 // structured mode with its keys in another order, and with whitespace
	bareEvery    = 2  // structured mode without a content type
)

// envelope is an event in structured mode.
type envelope struct {
	SpecVersion string `json:"specversion"`
	ID          string `json:"id"`
	Source      string `json:"source"`
	Type        string `json:"type"`
	Time        string `json:"time"`
	Client      string `json:"clientid,omitempty"`
	TraceParent string `json:"traceparent,omitempty"`
	Data        any    `json:"data"`
}

func envelopeOf(e *Event) envelope {
	return envelope{"1.0", e.ID, e.Source, typeOf(e.Data), e.Time.UTC().Format(time.RFC3339Nano), e.Client, e.TraceParent, e.Data}
}

// record encodes the n-th event.
func record(e *Event, n uint64) (*kgo.Record, error) {
	r := &kgo.Record{Topic: topicOf(e.Data), Key: keyOf(e.Client), Timestamp: e.Time}
	env := envelopeOf(e)
	var err error
	switch {
	case n%binaryEvery == binaryEvery-1:
		r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}}
		for _, a := range [][2]string{
			{"ce_specversion", env.SpecVersion}, {"ce_id", env.ID}, {"ce_source", env.Source}, {"ce_type", env.Type},
			{"ce_time", env.Time}, {"ce_clientid", env.Client}, {"ce_traceparent", env.TraceParent},
		} {
			if a[1] != "" {
				r.Headers = append(r.Headers, kgo.RecordHeader{Key: a[0], Value: []byte(a[1])})
			}
		}
		r.Value, err = json.Marshal(e.Data)
	case n%shuffleEvery == shuffleEvery/2:
		r.Value, err = json.MarshalIndent(struct { // embedded, so that data and source come first
			Data   any    `json:"data"`
			Source string `json:"source"`
			envelope
		}{env.Data, env.Source, env}, " ", "\t")
	default:
		r.Value, err = json.Marshal(env)
	}
	if len(r.Headers) == 0 && n%bareEvery == 0 {
		r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/cloudevents+json; charset=UTF-8")}}
	}
	if err != nil {
		return nil, fmt.Errorf("stream: %s: %w", typeOf(e.Data), err)
	}
	return r, nil
}

func keyOf(client string) []byte {
	if client == "" {
		client = PlatformKey
	}
	return []byte(client)
}

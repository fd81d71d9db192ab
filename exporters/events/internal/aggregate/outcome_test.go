package aggregate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
)

func TestUnusualRecords(t *testing.T) {
	t.Parallel()
	for _, tt := range eventtest.Unusual {
		t.Run(tt.Name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0, "")
			o, p := s.Count(start, &cloudevent.Record{Value: []byte(tt.Value)})
			if o.String() != tt.Outcome || string(p.Reason) != tt.Reason {
				t.Fatalf("%v (%s), want %v (%s)", o, p.Reason, tt.Outcome, tt.Reason)
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
	l := newAggregator(t, Options{MaxBytes: len(`{` + eventtest.Envelope + `}`)})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	for i, tt := range []struct {
		value string
		want  Outcome
	}{
		{`{` + eventtest.Envelope + `,"data":{"result":"valid"}}`, Oversized},
		{strings.Repeat("\xff", 101), Oversized},
		{`{` + eventtest.Envelope + `}`, Counted},
	} {
		if o, _ := s.Count(start, &cloudevent.Record{Value: []byte(tt.value), Offset: int64(i)}); o != tt.want {
			t.Errorf("record %d: %v, want %v", i, o, tt.want)
		}
	}
}

// A batch that cannot be decompressed is passed over, and its records are counted: pending until they are delivered, rolled
// back with the partition, and once.
func TestASkippedBatchIsCountedOnceAndExactly(t *testing.T) {
	const series = `consignwatch_records_total{outcome="undecodable",topic="t"}`
	a := newAggregator(t, Options{})
	s := a.Shard("t", 0)
	s.Assign(100, "")
	if o := s.Skip(90, 110, Undecodable, 20); o != Undecodable { // the start offset divides the batch: ten are left
		t.Errorf("skipped: %v", o)
	}
	if got := flatten(a.Acknowledged(start))[series]; got != 0 {
		t.Errorf("not delivered, another reader gets %v", got)
	}
	s.Assign(100, "")
	s.Skip(90, 110, Undecodable, 20)
	s.Skip(110, 140, Undecodable, 7) // compaction has left 7 of 30
	for _, again := range [][2]int64{{90, 110}, {110, 140}} {
		if o := s.Skip(again[0], again[1], Undecodable, 20); o != AlreadyCounted {
			t.Errorf("skipped again: %v", o)
		}
	}
	record := &cloudevent.Record{Value: []byte(`{` + eventtest.Envelope + `}`), Offset: 139}
	if o, _ := s.Count(start, record); o != AlreadyCounted {
		t.Errorf("a record of the batch: %v", o)
	}
	record.Offset = 140
	if o, p := s.Count(start, record); o != Counted {
		t.Errorf("the record behind the batch: %v: %v", o, p)
	}
	got := flatten(scrape(t, a, start))
	if got[series] != 17 || got[`consignwatch_offset{partition="0",topic="t"}`] != 141 {
		t.Errorf("%v undecodable, offset %v, want 17 and 141", got[series], got[`consignwatch_offset{partition="0",topic="t"}`])
	}
	s.Revoke()
	if o := s.Skip(141, 150, Undecodable, 9); o != AlreadyCounted {
		t.Errorf("after the partition was revoked: %v", o)
	}
}

// Behind the last record of a transaction stands a marker, which nobody counts: a partition that is read to its end has no lag.
func TestTheOffsetMovesPastMarkers(t *testing.T) {
	a := newAggregator(t, Options{})
	s := a.Shard("t", 0)
	s.Assign(0, "")
	s.SetEnd(5)
	s.Count(start, &cloudevent.Record{Value: []byte(`{` + eventtest.Envelope + `}`)})
	s.Advance(5)
	s.Advance(3) // an answer that is older
	sc, err := a.StartScrape(start, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := flatten(sc.Families)
	if offset, lag := got[`consignwatch_offset{partition="0",topic="t"}`], got[`consignwatch_records_lag{partition="0",topic="t"}`]; offset != 5 || lag != 0 {
		t.Errorf("offset %v, lag %v, want 5 and 0", offset, lag)
	}
	if p := sc.Delivered(); len(p) != 1 || p[0].Offset != 5 {
		t.Errorf("delivered: %v, want offset 5", p)
	}
	s.Revoke()
	s.Advance(9)
	s.Assign(5, "")
	if s.Next() != 5 {
		t.Errorf("next is %d, want 5", s.Next())
	}
}

// The event counts; its time is neither a delay nor when the newest record was made.
func TestImpossibleTimesAreNotObserved(t *testing.T) {
	const delay = "consignwatch_record_delay_seconds"
	for _, tt := range []struct {
		name, time string // the member of the JSON
		reason     string // empty when it is observed
		delay      float64
	}{
		{"now", `"2026-03-01T12:00:00Z"`, "", 0},
		{"a month ago", `"2026-01-29T12:00:00Z"`, "", 31 * 86400},
		{"escaped", `"2026-03-01T11\u003a59:58Z"`, "", 2},
		{"a clock that is ahead", `"2026-03-02T11:59:00Z"`, "", 0},
		{"null", `null`, "", -1},
		{"the zero time of Go", `"0001-01-01T00:00:00Z"`, "too_large", 0},
		{"the zero time of Unix", `"1970-01-01T00:00:00Z"`, "too_large", 0},
		{"the last one of RFC 3339", `"9999-12-31T23:59:59Z"`, "in_the_future", 0},
		{"two days ahead", `"2026-03-03T12:00:00Z"`, "in_the_future", 0},
		{"no RFC 3339", `"2026-03-01 12:00:00"`, "not_a_time", 0},
		{"a number", `1772366400`, "not_a_time", 0},
		{"an object", `{"seconds":1772366400}`, "not_a_time", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0, "")
			made := start.Add(-5 * time.Second)
			record := &cloudevent.Record{Value: []byte(`{` + eventtest.Envelope + `,"time":` + tt.time + `,"data":{"result":"valid"}}`), Timestamp: made.UnixMilli()}
			if o, p := s.Count(start, record); o != Counted {
				t.Fatal(o, p)
			}
			got := flatten(scrape(t, l, start))
			observed := 1.0
			if tt.reason != "" || tt.delay < 0 {
				observed, tt.delay = 0, 0
				if newest := got[`consignwatch_last_record_timestamp_seconds{topic="t"}`]; newest != float64(made.Unix()) {
					t.Errorf("the newest record is of %v, want its own time, %v", newest, made.Unix())
				}
			}
			if n, sum := got[delay+`_count{topic="t"}`], got[delay+`_sum{topic="t"}`]; n != observed || sum != tt.delay {
				t.Errorf("%v observations, sum %v, want %v and %v", n, sum, observed, tt.delay)
			}
			for _, reason := range []string{"too_large", "in_the_future", "not_a_time"} {
				want := 0.0
				if reason == tt.reason {
					want = 1
				}
				series := fmt.Sprintf(`consignwatch_values_rejected_total{metric=%q,reason=%q}`, delay, reason)
				if n, ok := got[series]; !ok || n != want {
					t.Errorf("%s is %v, %v, want %v", series, n, ok, want)
				}
			}
		})
	}
}

func TestModes(t *testing.T) {
	const structured = `{` + eventtest.Envelope + `,"data":{"result":"valid"}}`
	binary := []string{"ce_specversion=1.0", "ce_id=1", "ce_source=/s", "ce_type=consign.auth.token"}
	for _, tt := range []struct {
		name    string
		value   string
		headers []string
		outcome Outcome
		reason  cloudevent.Reason
	}{
		{"structured, no headers", structured, nil, Counted, ""},
		{"structured, content type", structured, []string{"content-type=application/cloudevents+json"}, Counted, ""},
		{"structured, content type with charset", structured, []string{"content-type=application/cloudevents+json; charset=UTF-8"}, Counted, ""},
		{"structured, content type with blanks before its parameter", structured, []string{"content-type=application/cloudevents+json \t; charset=utf-8"}, Counted, ""},
		{"structured, content type in capitals, beside ce_ headers", structured, []string{"ce_type=x", "content-type=Application/CloudEvents+JSON", "ce_specversion=1.0"}, Counted, ""},
		{"avro in capitals", "\x00\x01", []string{"content-type=Application/CloudEvents+Avro ;v=1"}, Malformed, cloudevent.ContentType},
		{"structured, headers of others", structured, []string{"queue=image", "x=\xff", "content-type=application/json"}, Counted, ""},
		{"structured wins over ce_ headers", structured, append([]string{"content-type=application/cloudevents+json"}, "ce_type=x", "ce_specversion=1.0"), Counted, ""},
		{"structured wins over ce_ headers before it", structured, []string{"ce_type=x", "ce_specversion=1.0", "content-type=application/cloudevents+json"}, Counted, ""},
		{"stray ce_ header without ce_specversion", structured, []string{"ce_type=x"}, Counted, ""},
		{"batch", `[` + structured + `]`, []string{"content-type=application/cloudevents-batch+json"}, Malformed, cloudevent.ContentType},
		{"avro", "\x00\x01", []string{"content-type=application/cloudevents+avro"}, Malformed, cloudevent.ContentType},
		{"binary", `{"result":"valid"}`, binary, Counted, ""},
		{"binary, content type", `{"result":"valid"}`, append([]string{"content-type=application/json"}, binary...), Counted, ""},
		{"binary, no data", ``, binary, Counted, ""},
		{"binary, data that is no object", `3`, binary, Counted, ""},
		{"binary, data that is no JSON", `result=valid`, binary, Malformed, cloudevent.Syntax},
		{"binary, data twice", `{"result":"valid","result":"valid"}`, binary, Malformed, cloudevent.RepeatedKey},
		{"binary, header twice", `{"result":"valid"}`, append([]string{"ce_id=2"}, binary...), Malformed, cloudevent.RepeatedKey},
		{"binary, no id", `{"result":"valid"}`, []string{"ce_specversion=1.0", "ce_source=/s", "ce_type=consign.auth.token"}, Malformed, cloudevent.BadAttribute},
		{"binary, header not UTF-8", `{"result":"valid"}`, []string{"ce_specversion=1.0", "ce_id=\xff", "ce_source=/s", "ce_type=consign.auth.token"}, NotUTF8, cloudevent.InvalidUTF8},
		{"binary, data not UTF-8", "{\"result\":\"\xff\"}", binary, NotUTF8, cloudevent.InvalidUTF8},
		{"binary, old version", `{}`, []string{"ce_specversion=0.3", "ce_id=1", "ce_source=/s", "ce_type=consign.auth.token"}, Malformed, cloudevent.SpecVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newAggregator(t, Options{})
			s := l.Shard("t", 0)
			s.Assign(0, "")
			r := &cloudevent.Record{Value: []byte(tt.value)}
			for _, h := range tt.headers {
				k, v, _ := strings.Cut(h, "=")
				r.Headers = append(r.Headers, cloudevent.Header{Key: []byte(k), Value: []byte(v)})
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

// A header without a value is absent, as a member of the JSON is that is null.
func TestANullHeaderIsAbsent(t *testing.T) {
	l := newAggregator(t, Options{})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	structured := cloudevent.Record{Value: []byte(`{` + eventtest.Envelope + `,"data":{"result":"valid"}}`), Headers: []cloudevent.Header{{Key: []byte("ce_specversion")}, {Key: []byte("content-type")}}}
	if o, p := s.Count(start, &structured); o != Counted {
		t.Errorf("structured: %v: %v", o, p)
	}
	binary := cloudevent.Record{Offset: 1, Value: []byte(`{"kind":"brute_force"}`), Headers: []cloudevent.Header{{Key: []byte("ce_clientid")}}}
	for k, v := range map[string]string{"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/s", "ce_type": "consign.security.violation"} {
		binary.Headers = append(binary.Headers, cloudevent.Header{Key: []byte(k), Value: []byte(v)})
	}
	if o, p := s.Count(start, &binary); o != Counted {
		t.Errorf("binary: %v: %v", o, p)
	}
	if got := flatten(scrape(t, l, start))[`consign_security_violations_total{client="_platform",kind="brute_force"}`]; got != 1 {
		t.Errorf("violations of the platform: %v, want 1", got)
	}
}

func TestBinaryModeReadsExtensionsFromHeaders(t *testing.T) {
	l := newAggregator(t, Options{})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	r := &cloudevent.Record{Value: []byte(`{"kind":"brute_force"}`)}
	for _, h := range []string{"ce_specversion=1.0", "ce_id=1", "ce_source=/s", "ce_type=consign.security.violation", "ce_clientid=anna"} {
		k, v, _ := strings.Cut(h, "=")
		r.Headers = append(r.Headers, cloudevent.Header{Key: []byte(k), Value: []byte(v)})
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
	s.Assign(0, "")
	const secret = "jane@example.org"
	for i, value := range []string{
		secret, `{"` + secret, `{"id":"` + secret + `"}`, `{"specversion":"` + secret + `","id":"1","source":"s","type":"t"}`,
		`{"specversion":"1.0","id":"1","source":"s","type":"` + secret + `"}`,
		eventtest.Event("consign.api.request", "anna", `{"duration_seconds":"`+secret+`"}`),
		eventtest.Event("consign.order.placed", "anna", `{"amount_cents":1,"currency":"`+secret+`"}`),
	} {
		o, p := s.Count(start, &cloudevent.Record{Value: []byte(value), Offset: int64(i)})
		if o == Counted || strings.Contains(p.Error(), "jane") {
			t.Errorf("%q: %v: %v", value, o, p)
		}
	}
}

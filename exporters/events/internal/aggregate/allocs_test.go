package aggregate

import (
	"fmt"
	"testing"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
)

// Once its series exist, no event costs an allocation, in any mode.
func TestCountingAllocatesNothing(t *testing.T) {
	for _, tt := range eventtest.Contract {
		t.Run(tt.Name, func(t *testing.T) {
			s := newAggregator(t, Options{DedupeSpan: 64}).Shard("t", 0)
			s.Assign(0, "")
			var records []cloudevent.Record
			for i := range 512 {
				value := eventtest.Traced(tt.Type, "anna", tt.Data, eventtest.Trace)
				if i%2 == 0 {
					value = eventtest.EventID(fmt.Sprintf("%d \\u00e9", i), tt.Type, "anna", tt.Data)
				}
				records = append(records, cloudevent.Record{Value: []byte(value)})
			}
			offset := int64(0)
			bad := func(_ *cloudevent.Record, _ Outcome, p cloudevent.Problem) { t.Error(p) }
			run := func() {
				for i := range records {
					records[i].Offset = offset
					offset++
				}
				s.CountBatch(start, records, bad)
			}
			run()
			if n := testing.AllocsPerRun(10, run); n != 0 {
				t.Errorf("%v allocations for %d events", n, len(records))
			}
		})
	}
}

func TestBadRecordsAllocateNothing(t *testing.T) {
	s := newAggregator(t, Options{}).Shard("t", 0)
	s.Assign(0, "")
	offset := int64(0)
	for _, tt := range eventtest.Unusual {
		r := cloudevent.Record{Value: []byte(tt.Value)}
		run := func() {
			r.Offset = offset
			offset++
			s.Count(start, &r)
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", tt.Name, n)
		}
	}
}

// A producer that does not template its routes costs no memory, either.
func TestIdsInRoutesAllocateNothing(t *testing.T) {
	s := newAggregator(t, Options{}).Shard("t", 0)
	s.Assign(0, "")
	var records []cloudevent.Record
	for i := range 2000 {
		route := fmt.Sprintf("/items/7c9e6679-7425-40de-944b-e07fc1f9%04d", i)
		records = append(records, cloudevent.Record{Offset: int64(i), Value: []byte(eventtest.Event("consign.api.request", "anna", `{"route":"`+route+`","method":"GET","status":200,"duration_seconds":0.1}`))})
	}
	s.Count(start, &records[0])
	next := 1
	if n := testing.AllocsPerRun(1000, func() {
		s.Count(start, &records[next])
		next++
	}); n != 0 {
		t.Errorf("%v allocations for each", n)
	}
}

func TestBinaryModeAllocatesNothing(t *testing.T) {
	s := newAggregator(t, Options{}).Shard("t", 0)
	s.Assign(0, "")
	r := cloudevent.Record{Value: []byte(`{"route":"/items","method":"GET","status":200,"duration_seconds":0.1}`)}
	for _, h := range [][2]string{{"content-type", "application/json"}, {"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/s"}, {"ce_type", "consign.api.request"}, {"ce_clientid", "anna"}, {"x-other", "y"}} {
		r.Headers = append(r.Headers, cloudevent.Header{Key: []byte(h[0]), Value: []byte(h[1])})
	}
	run := func() {
		r.Offset++
		if o, p := s.Count(start, &r); o != Counted {
			t.Fatal(o, p)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

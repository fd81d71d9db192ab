package aggregate

import (
	"hash/maphash"
	"strings"
	"testing"
	"unsafe"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
	"github.com/consignwatch/consignwatch/test/seed"
)

// The rule is about the partition alone: the same event at one of the span offsets before.
func TestWindowMatchesItsRule(t *testing.T) {
	rnd := seed.Rand(t)
	for _, span := range []int64{1, 7, 100, 5000} {
		w := dedupWindow{span: span, seed: maphash.MakeSeed()}
		last := map[uint64]int64{}
		offset := int64(0)
		for range 60_000 {
			offset += 1 + int64(rnd.IntN(3)) // other events lie between
			h := 1 + uint64(rnd.IntN(2000))*0x9e3779b97f4a7c15
			at, seen := last[h]
			if got, want := w.add(h, offset), seen && at >= offset-span; got != want {
				t.Fatalf("span %d, offset %d: %v, want %v (before at %d)", span, offset, got, want, at)
			}
			last[h] = offset
		}
		if w.queued > int(span) || w.distinct > w.queued {
			t.Errorf("span %d: %d sightings, %d hashes", span, w.queued, w.distinct)
		}
	}
}

// The documentation says how much memory a partition takes.
func TestAFullWindowTakesNoMoreThanItSays(t *testing.T) {
	w := dedupWindow{span: DefaultDedupeSpan, seed: maphash.MakeSeed()}
	for offset := range int64(3 * DefaultDedupeSpan) {
		w.add(uint64(offset+1)*0x9e3779b97f4a7c15, offset)
	}
	if bytes := (len(w.queue) + len(w.newest)) * int(unsafe.Sizeof(dedupEntry{})); bytes > 6_300_000 || w.queued != DefaultDedupeSpan {
		t.Errorf("%d bytes for %d events", bytes, w.queued)
	}
}

// A window that was replayed from the span before the start offset decides like one that was never lost.
func TestWindowIsRebuiltFromItsSpan(t *testing.T) {
	const span = 500
	rnd := seed.Rand(t)
	log := make([]uint64, 20_000)
	for i := range log {
		log[i] = 1 + uint64(rnd.IntN(800))
	}
	whole := dedupWindow{span: span, seed: maphash.MakeSeed()}
	for start := 1000; start < len(log); start += 1777 {
		rebuilt := dedupWindow{span: span, seed: maphash.MakeSeed()}
		for o := start - span; o < start; o++ {
			rebuilt.add(log[o], int64(o))
		}
		whole.clear()
		for o := range log {
			want := whole.add(log[o], int64(o))
			if o >= start {
				if got := rebuilt.add(log[o], int64(o)); got != want {
					t.Fatalf("start %d, offset %d: %v, want %v", start, o, got, want)
				}
			}
		}
	}
}

// A partition of which no event counts once is never reread, and one that has such events only as far as they need it.
func TestADeferredReplayWaitsForAnEventThatNeedsIt(t *testing.T) {
	const span = 100
	a := newAggregator(t, Options{DedupeSpan: span})
	s := a.Shard("t", 0)
	at := func(offset int64, typ string) *cloudevent.Record {
		return &cloudevent.Record{Value: []byte(eventtest.EventID("x", typ, "anna", `{"event":"s","result":"valid"}`)), Offset: offset}
	}
	const once, often = "consign.dropoff.scheduled", "consign.auth.token"
	for _, tt := range []struct {
		name   string
		record *cloudevent.Record
		want   Outcome
	}{
		{"a type that counts often", at(500, often), Counted},
		{"a record that cannot be read", &cloudevent.Record{Offset: 501}, Malformed},
		{"an event that counts once", at(599, once), NeedsReplay},
		{"the same, tried again", at(599, once), NeedsReplay},
	} {
		if tt.record.Offset == 500 {
			s.Assign(500, "")
			s.DeferReplay()
		}
		if got, _ := s.Count(start, tt.record); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	s.Replay(at(499, once))
	s.Replayed()
	if got, _ := s.Count(start, at(599, once)); got != Duplicate {
		t.Errorf("replayed: %v, want duplicate", got)
	}
	s.Assign(500, "")
	s.DeferReplay()
	if got, _ := s.Count(start, at(600, once)); got != Counted { // what stands before the start offset is too far away
		t.Errorf("a span behind the start offset: %v", got)
	}
	if got, _ := s.Count(start, at(601, once)); got != Duplicate {
		t.Errorf("after it: %v", got)
	}
}

func TestAMappingWithoutTypesThatCountOnceNeedsNoReplay(t *testing.T) {
	if span := newAggregator(t, Options{}).DedupeSpan(); span != DefaultDedupeSpan {
		t.Errorf("the shipped mapping: %d offsets", span)
	}
	if span := newAggregatorOf(t, parsed(t, strings.ReplaceAll(shippedText(t), "dedupe: true", "dedupe: false")), Options{Start: start}).DedupeSpan(); span != 0 {
		t.Errorf("without dedupe: %d offsets", span)
	}
}

func TestSourceAndIDIdentifyAnEventTogether(t *testing.T) {
	w := dedupWindow{span: 10, seed: maphash.MakeSeed()}
	if w.hash([]byte("ab"), []byte("c")) == w.hash([]byte("a"), []byte("bc")) || w.hash([]byte("a"), []byte("b")) == w.hash([]byte("b"), []byte("a")) {
		t.Error("different events have the same hash")
	}
}

func BenchmarkWindow(b *testing.B) {
	w := dedupWindow{span: DefaultDedupeSpan, seed: maphash.MakeSeed()}
	offset := int64(0)
	source, id := []byte("/platform/api-1"), []byte("0123456789abcdef")
	for range 2 * DefaultDedupeSpan {
		offset++
		w.add(uint64(offset)*0x9e3779b97f4a7c15, offset)
	}
	b.ReportAllocs()
	for b.Loop() {
		offset++
		id[offset&15]++
		w.add(w.hash(source, id), offset)
	}
}

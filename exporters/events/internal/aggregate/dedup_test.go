package aggregate

import (
	"hash/maphash"
	"testing"

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
		if w.queued > int(span)+1 || w.distinct > w.queued {
			t.Errorf("span %d: %d sightings, %d hashes", span, w.queued, w.distinct)
		}
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

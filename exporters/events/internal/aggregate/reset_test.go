package aggregate

import (
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
)

// TestResetIsLikeANewProcess resets values that are delivered, in flight, and pending. Afterwards the
// first exposition is empty, and the next one has only what was counted since.
func TestResetIsLikeANewProcess(t *testing.T) {
	l := newAggregator(t, Options{})
	l.SetInventory([]string{"anna"})
	s := l.Shard("t", 0)
	s.Assign(0, "")
	offset := int64(0)
	use := func(feature string) {
		t.Helper()
		if o, p := s.Count(start, &cloudevent.Record{Value: []byte(eventtest.Traced("consign.feature.used", "anna", `{"feature":"`+feature+`","role":"shopper"}`, eventtest.Trace)), Offset: offset}); o != Counted {
			t.Fatal(o, p)
		}
		offset++
	}
	use("delivered")
	scrape(t, l, start.Add(time.Second))
	use("delivered")
	use("flying")
	inFlight, err := l.StartScrape(start.Add(2*time.Second), 0)
	if err != nil {
		t.Fatal(err)
	}
	use("pending")
	again := start.Add(time.Minute)
	l.Reset(again)
	if got := inFlight.Delivered(); got != nil {
		t.Errorf("a scrape that was in flight delivers %v", got)
	}
	first := again.Add(time.Second)
	if page := scrape(t, l, first); len(page) != 0 {
		t.Errorf("the first scrape response afterwards shows %v", page)
	}
	s.Assign(1, "")
	offset = 1
	use("delivered")
	use("pending")
	page := scrape(t, l, first.Add(time.Second))
	shown := flatten(page)
	for feature, want := range map[string]float64{"delivered": 1, "pending": 1} {
		if got := shown[`consign_feature_uses_total{feature="`+feature+`",role="shopper"}`]; got != want {
			t.Errorf("%s: %v, want %v", feature, got, want)
		}
		if got := createdOf(page, "consign_feature_uses_total", feature); !got.Equal(first) {
			t.Errorf("%s counts since %v, want %v", feature, got, first)
		}
	}
	if got, ok := shown[`consign_feature_uses_total{feature="flying",role="shopper"}`]; ok {
		t.Errorf("what was not counted again is %v", got)
	}
	if got := createdOf(page, "consign_token_validations_total", "expired"); !got.Equal(first) {
		t.Errorf("a known series counts since %v, want %v", got, first)
	}
}

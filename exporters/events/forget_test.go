package events

import (
	"strings"
	"testing"
	"time"
)

// TestForgetIsLikeANewProcess forgets what was delivered, what is in flight, and what is pending. Afterwards all series
// are there at 0 and count from then on, also those that had no scrape yet.
func TestForgetIsLikeANewProcess(t *testing.T) {
	l := newLedger(t, Options{})
	l.SetInventory([]string{"anna"})
	s := l.Shard("t", 0)
	s.Assign(0)
	offset := int64(0)
	use := func(feature string) {
		t.Helper()
		if o, p := s.Count(start, &Record{Value: []byte(traced("consign.feature.used", "anna", `{"feature":"`+feature+`","role":"shopper"}`, trace)), Offset: offset}); o != Counted {
			t.Fatal(o, p)
		}
		offset++
	}
	use("delivered")
	scrape(t, l, start.Add(time.Second))
	use("delivered")
	use("flying")
	inFlight, err := l.Begin(start.Add(2 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	use("pending")
	again := start.Add(time.Minute)
	l.Forget(again)
	if got := inFlight.Delivered(); got != nil {
		t.Errorf("a scrape that was in flight delivers %v", got)
	}
	page := scrape(t, l, again.Add(time.Second))
	for line, v := range flatten(page) {
		if v != 0 || strings.HasPrefix(line, "consignwatch_offset") {
			t.Errorf("%s = %v", line, v)
		}
	}
	s.Assign(1)
	offset = 1
	use("delivered")
	use("pending")
	page = scrape(t, l, again.Add(2*time.Second))
	for feature, want := range map[string]float64{"delivered": 1, "flying": 0, "pending": 1} {
		if got := flatten(page)[`consign_feature_uses_total{feature="`+feature+`",role="shopper"}`]; got != want {
			t.Errorf("%s: %v, want %v", feature, got, want)
		}
	}
	for feature, want := range map[string]time.Time{"delivered": again, "flying": again, "pending": again.Add(time.Second)} {
		if got := createdOf(page, "consign_feature_uses_total", feature); !got.Equal(want) {
			t.Errorf("%s counts since %v, want %v", feature, got, want)
		}
	}
	if got := createdOf(page, "consign_token_validations_total", "expired"); !got.Equal(again) {
		t.Errorf("a known series counts since %v, want %v", got, again)
	}
}

package cloudevent

import (
	"testing"
	"testing/quick"
	"time"
)

func TestTimesAgreeWithThePackageTime(t *testing.T) {
	for _, s := range []string{
		"2026-03-01T11:59:59Z", "2026-03-01T11:59:59.5Z", "2026-03-01t11:59:59.123456789z", "1969-12-31T23:59:59.999+00:00",
		"2024-02-29T23:59:59-11:30", "2000-02-29T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2100-03-01T00:00:00Z",
	} {
		want, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			want, err = time.Parse(time.RFC3339Nano, "2026-03-01T11:59:59.123456789Z")
		}
		if got, ok := ParseTime([]byte(s)); !ok || err != nil || got != want.UnixMilli() {
			t.Errorf("%s: %d, %v, want %d", s, got, ok, want.UnixMilli())
		}
	}
	for _, s := range []string{
		"", "now", "2026-03-01", "2026-03-01T11:59:59", "2026-03-01 11:59:59Z", "2026-13-01T11:59:59Z", "2026-02-29T11:59:59Z", "2100-02-29T00:00:00Z",
		"2026-03-01T24:00:00Z", "2026-03-01T11:60:00Z", "2026-03-01T11:59:61Z", "2026-03-01T11:59:59.Z", "2026-03-01T11:59:59+1:00", "2026-03-01T11:59:59+25:00",
		"2026-03-01T11:59:59Zx", "2026-03-0xT11:59:59Z", "2026-00-01T11:59:59Z", "2026-01-00T11:59:59Z",
	} {
		if got, ok := ParseTime([]byte(s)); ok {
			t.Errorf("%q was taken for %d", s, got)
		}
	}
	same := func(ms int64) bool {
		ms %= 200_000_000_000_000 // up to the year 8307
		if ms < 0 {
			ms = -ms
		}
		got, ok := ParseTime([]byte(time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")))
		return ok && got == ms
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}

func BenchmarkParseTime(b *testing.B) {
	s := []byte("2026-03-01T11:59:59.123Z")
	b.Run("parseTime", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ParseTime(s)
		}
	})
	b.Run("time.Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = time.Parse(time.RFC3339Nano, string(s))
		}
	})
}

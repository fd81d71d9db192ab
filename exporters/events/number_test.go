package events

import (
	"math"
	"math/big"
	"strconv"
	"testing"
	"testing/quick"
	"time"
)

func parseNumber(t *testing.T, s string) *value {
	t.Helper()
	d := &decoder{layout: &layout{}, b: []byte(s)}
	v := &value{}
	if end := d.number(0, v); end != len(s) {
		t.Fatalf("%s: read up to %d: %v", s, end, d.problem)
	}
	return v
}

func TestFloatsAreRoundedAsStrconvDoes(t *testing.T) {
	same := func(f float64, precision uint8, format uint8) bool {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return true
		}
		s := strconv.FormatFloat(f, "efg"[format%3], int(precision%25), 64)
		want, _ := strconv.ParseFloat(s, 64)
		return parseNumber(t, s).float() == want
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
}

// Cents are exact in every spelling of JSON.
func TestIntegersAreExactInEverySpelling(t *testing.T) {
	exact := func(n uint64, point, zeros uint8) bool {
		n %= 1e15 + 1
		digits := strconv.FormatUint(n, 10)
		for range zeros % 30 {
			digits += "0"
		}
		at := int(point) % len(digits)
		s := digits[:at+1]
		if s[0] == '0' {
			return true // no number of JSON begins so
		}
		if rest := digits[at+1:]; rest != "" {
			s += "." + rest
		}
		s += "e" + strconv.Itoa(len(digits)-at-1-int(zeros%30))
		got, why := parseNumber(t, s).integer(1e15)
		if why != "" || got != n {
			t.Logf("%s: %d, %s", s, got, why)
		}
		return why == "" && got == n
	}
	if err := quick.Check(exact, &quick.Config{MaxCount: 20_000}); err != nil {
		t.Error(err)
	}
	for s, want := range map[string]Reason{
		"1.0e3": "", "1000": "", "100000e-2": "", "0.001e3": "", "0": "", "-0": "", "0e99": "", "0.0": "", "1e15": "",
		"1000000000000000.00000000000000000000000000000": "",
		"0.1": NotAnInteger, "1e-1": NotAnInteger, "1.5": NotAnInteger, "10.00000000000000000000000000000000000000001": TooLarge,
		"-1": BelowZero, "1e16": TooLarge, "1000000000000001": TooLarge, "18446744073709551617": TooLarge, "1e1048576": TooLarge, "1e-99999999999999999999": NotAnInteger,
	} {
		if _, why := parseNumber(t, s).integer(1e15); why != want {
			t.Errorf("%s: %q, want %q", s, why, want)
		}
	}
}

func TestExponentsOfCurrencies(t *testing.T) {
	e := newExponents()
	for code, want := range map[string]uint8{
		"USD": 2, "EUR": 2, "CAD": 2, "JPY": 0, "KWD": 3, "CLF": 4, "IDR": 2, "PKR": 2, "IQD": 3, "SLE": 2,
		"XXX": noCurrency, "QQQ": noCurrency, "usd": noCurrency, "US": noCurrency, "": noCurrency, "USDX": noCurrency, "U\x00D": noCurrency,
	} {
		if got := e.of([]byte(code)); got != want {
			t.Errorf("%q: %d, want %d", code, got, want)
		}
	}
	for _, exp := range e {
		if exp != noCurrency && exp > otherExponent {
			t.Errorf("an exponent of %d is larger than that of other currencies", exp)
		}
	}
}

func TestAmountsNeverWrapAround(t *testing.T) {
	if got := add(math.MaxUint64-1, 5); got != math.MaxUint64 {
		t.Errorf("%d", got)
	}
	if max := new(big.Int).Mul(big.NewInt(maxAmount), big.NewInt(1e4)); !max.IsUint64() {
		t.Error("one amount in another currency does not fit")
	}
}

func TestTimesAgreeWithThePackageTime(t *testing.T) {
	for _, s := range []string{
		"2026-03-01T11:59:59Z", "2026-03-01T11:59:59.5Z", "2026-03-01t11:59:59.123456789z", "1969-12-31T23:59:59.999+00:00",
		"2024-02-29T23:59:59-11:30", "2000-02-29T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2100-03-01T00:00:00Z",
	} {
		want, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			want, err = time.Parse(time.RFC3339Nano, "2026-03-01T11:59:59.123456789Z")
		}
		if got, ok := parseTime([]byte(s)); !ok || err != nil || got != want.UnixMilli() {
			t.Errorf("%s: %d, %v, want %d", s, got, ok, want.UnixMilli())
		}
	}
	for _, s := range []string{
		"", "now", "2026-03-01", "2026-03-01T11:59:59", "2026-03-01 11:59:59Z", "2026-13-01T11:59:59Z", "2026-02-29T11:59:59Z", "2100-02-29T00:00:00Z",
		"2026-03-01T24:00:00Z", "2026-03-01T11:60:00Z", "2026-03-01T11:59:61Z", "2026-03-01T11:59:59.Z", "2026-03-01T11:59:59+1:00", "2026-03-01T11:59:59+25:00",
		"2026-03-01T11:59:59Zx", "2026-03-0xT11:59:59Z", "2026-00-01T11:59:59Z", "2026-01-00T11:59:59Z",
	} {
		if got, ok := parseTime([]byte(s)); ok {
			t.Errorf("%q was taken for %d", s, got)
		}
	}
	same := func(ms int64) bool {
		ms %= 200_000_000_000_000 // up to the year 8307
		if ms < 0 {
			ms = -ms
		}
		got, ok := parseTime([]byte(time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")))
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
			parseTime(s)
		}
	})
	b.Run("time.Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = time.Parse(time.RFC3339Nano, string(s))
		}
	})
}

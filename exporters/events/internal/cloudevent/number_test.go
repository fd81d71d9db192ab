package cloudevent

import (
	"math"
	"strconv"
	"testing"
	"testing/quick"
)

func parseNumber(t *testing.T, s string) *Value {
	t.Helper()
	d := Decoder{layout: &Layout{}, b: []byte(s)}
	v := &Value{}
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
		return parseNumber(t, s).Float() == want
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
		got, why := parseNumber(t, s).Integer(1e15)
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
		if _, why := parseNumber(t, s).Integer(1e15); why != want {
			t.Errorf("%s: %q, want %q", s, why, want)
		}
	}
}

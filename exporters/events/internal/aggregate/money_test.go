package aggregate

import (
	"math"
	"testing"
)

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
		if exp != noCurrency && int(exp) >= len(minorPerMajor) {
			t.Errorf("an exponent of %d has no factor", exp)
		}
	}
}

func TestAmountsNeverWrapAround(t *testing.T) {
	if got := add(math.MaxUint64-1, 5); got != math.MaxUint64 {
		t.Errorf("%d", got)
	}
}

package aggregate

import (
	"math"
	"math/big"
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

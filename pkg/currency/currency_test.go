package currency

import (
	"strings"
	"testing"
)

func TestExponentsAreThoseOfISO4217(t *testing.T) {
	for code, want := range map[string]int{
		"USD": 2, "EUR": 2, "GBP": 2, "CAD": 2, "JPY": 0, "KRW": 0, "CLP": 0, "BHD": 3, "KWD": 3, "IQD": 3, "CLF": 4,
		"IDR": 2, "COP": 2, "PKR": 2, "RSD": 2, "LAK": 2, // shown without decimals, counted with them
		"MRU": 2, "STN": 2, "SLE": 2, "VED": 2, "XCG": 2, "ZWG": 2, // the newer ones
		"AED": 2, "CUC": 2, "ZWL": 2, "BIF": 0, "XPF": 0, "TND": 3, "UYW": 4, // at the edges of the table
	} {
		if got, ok := Exponent(code); !ok || got != want {
			t.Errorf("%s: %d (known: %t), want %d", code, got, ok, want)
		}
	}
}

func TestWhatIsNoCurrencyIsNotKnown(t *testing.T) {
	for _, code := range []string{"", "US", "USDT", "usd", "XYZ", "BTC", "XXX", "XTS", "XAU", "DEM", "D A", "\tED", "ED ", " AE", "ÄÖ", "$", "\n  "} {
		if got, ok := Exponent(code); ok {
			t.Errorf("%q: %d, want that it is not known", code, got)
		}
	}
}

func TestNoCodeStandsTwiceInTheTable(t *testing.T) {
	seen := map[string]bool{}
	for _, codes := range byExponent {
		for code := range strings.FieldsSeq(codes) {
			if len(code) != 3 || seen[code] {
				t.Errorf("%q stands there twice, or is no code", code)
			}
			seen[code] = true
		}
	}
	if len(seen) < 160 {
		t.Errorf("only %d currencies", len(seen))
	}
}

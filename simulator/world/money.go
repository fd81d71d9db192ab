package world

import "math"

// Major converts minor units of a currency.
func Major(minor int64, currency string) float64 {
	return float64(minor) / math.Pow10(Exponent(currency))
}

// OrderCurrency returns the currency of an order, which is not always that of the sale event: every tenth order of a Canadian one is
// paid in US dollars, at par.
func OrderCurrency(e *Event, order uint64) string {
	if e.Currency == "CAD" && order%10 == 0 {
		return "USD"
	}
	return e.Currency
}

// Exponent returns the number of decimals of a currency in ISO 4217.
func Exponent(currency string) int {
	switch currency {
	case "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF":
		return 0
	case "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND":
		return 3
	default:
		return 2
	}
}

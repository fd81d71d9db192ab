package aggregate

import (
	"math"

	"github.com/consignwatch/consignwatch/pkg/currency"
)

// minorPerMajor is how many minor units a major one has, by their exponent.
var minorPerMajor = [8]float64{1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7}

// maxAmount is the largest amount of one record, in minor units. What is above it is a mistake.
const maxAmount = 1e15

// exponents holds the decimals of every currency's minor unit, by its code, for a look-up without a search. A currency
// that does not exist has noCurrency.
type exponents [26 * 26 * 26]uint8

const noCurrency = math.MaxUint8

func newExponents() *exponents {
	var e exponents
	for i := range e {
		e[i] = noCurrency
		code := []byte{'A' + byte(i/26/26), 'A' + byte(i/26%26), 'A' + byte(i%26)}
		if exp, ok := currency.Exponent(string(code)); ok {
			e[i] = uint8(exp)
		}
	}
	return &e
}

// of is the exponent of the currency with that code.
func (e *exponents) of(code []byte) uint8 {
	if len(code) != 3 {
		return noCurrency
	}
	a, b, c := code[0]-'A', code[1]-'A', code[2]-'A'
	if a > 25 || b > 25 || c > 25 {
		return noCurrency
	}
	return e[(int(a)*26+int(b))*26+int(c)]
}

// add adds amounts without ever wrapping around.
func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

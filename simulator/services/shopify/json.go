package shopify

import (
	"math"
	"strconv"
)

// object is a JSON object whose order does not matter.
type object = map[string]any

// shopifyFloat is written as Shopify writes it, with a decimal point even where it is whole.
type shopifyFloat float64

// MarshalJSON implements json.Marshaler.
func (f shopifyFloat) MarshalJSON() ([]byte, error) {
	if whole := math.Trunc(float64(f)); whole == float64(f) {
		return strconv.AppendFloat(nil, whole, 'f', 1, 64), nil
	}
	return strconv.AppendFloat(nil, float64(f), 'f', -1, 64), nil
}

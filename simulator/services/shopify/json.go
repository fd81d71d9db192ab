package shopify

import (
	"bytes"
	"math"
	"strconv"

	"github.com/consignwatch/consignwatch/simulator/services/wire"
)

// object is a JSON object whose fields keep their order.
type object []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(wire.Marshal(m.name))
		b.WriteByte(':')
		b.Write(wire.Marshal(m.value))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// shopifyFloat is written as Shopify writes it, with a decimal point even where it is whole.
type shopifyFloat float64

// MarshalJSON implements json.Marshaler.
func (f shopifyFloat) MarshalJSON() ([]byte, error) {
	if whole := math.Trunc(float64(f)); whole == float64(f) {
		return strconv.AppendFloat(nil, whole, 'f', 1, 64), nil
	}
	return strconv.AppendFloat(nil, float64(f), 'f', -1, 64), nil
}

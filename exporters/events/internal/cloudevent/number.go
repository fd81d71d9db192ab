package cloudevent

import (
	"math"
	"strconv"
	"unsafe"
)

// number reads a JSON number, and its decimal value on the way.
func (d *Decoder) number(i int, v *Value) int {
	b, start := d.b, i
	v.negative = i < len(b) && b[i] == '-'
	if v.negative {
		i++
	}
	if i >= len(b) || b[i]-'0' > 9 {
		return d.fail(Syntax, -1, i)
	}
	var m uint64
	first := i
	if b[i] == '0' {
		i++ // nothing may follow a leading zero
	} else {
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			m = m*10 + uint64(b[i]-'0')
		}
	}
	digits, exp := i-first, 0
	whole := i
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			m = m*10 + uint64(b[i]-'0')
		}
		if i == point {
			return d.fail(Syntax, -1, i)
		}
		digits += i - point
		exp = point - i
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		sign := 1
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			if b[i] == '-' {
				sign = -1
			}
			i++
		}
		power, e := i, 0
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			e = min(e*10+int(b[i]-'0'), 1<<20) // beyond, it is zero or infinite anyway
		}
		if i == power {
			return d.fail(Syntax, -1, i)
		}
		exp += sign * e
	}
	v.Raw, v.mantissa, v.exponent = b[start:i], m, int32(exp)
	v.long = digits > 19 // more may not fit into 64 bits
	v.plain = i == whole
	return i
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Float is the number as a float64, correctly rounded, as strconv does it; infinite when it is too large. Mantissa and
// power of ten are both exact in the common case, so that one division rounds once.
func (v *Value) Float() float64 {
	if !v.long && v.mantissa < 1<<53 && -22 <= v.exponent && v.exponent <= 22 {
		f := float64(v.mantissa)
		if v.exponent < 0 {
			f /= pow10[-v.exponent]
		} else {
			f *= pow10[v.exponent]
		}
		if v.negative {
			f = -f
		}
		return f
	}
	// The string lives only as long as the call: a copy would be an allocation that the record decides on.
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(v.Raw), len(v.Raw)), 64) // its only error is the range
	return f
}

// Integer is the number if it is an integer from 0 to limit, however it is written: 1000, 1000.0 and 1e3 are the same.
func (v *Value) Integer(limit uint64) (uint64, Reason) {
	m, exp := v.mantissa, int(v.exponent)
	if v.long {
		var ok bool
		if m, exp, ok = v.significant(); !ok {
			return 0, TooLarge // or finer than anything that is counted
		}
	}
	if m == 0 {
		return 0, ""
	}
	if v.negative {
		return 0, BelowZero
	}
	for ; exp < 0; exp++ {
		if m%10 != 0 {
			return 0, NotAnInteger
		}
		m /= 10
	}
	for ; exp > 0; exp-- {
		if m > limit/10 {
			return 0, TooLarge
		}
		m *= 10
	}
	if m > limit {
		return 0, TooLarge
	}
	return m, ""
}

// significant reads the digits of a long number again, without the zeros at its end. It is false when they still do
// not fit into 64 bits.
func (v *Value) significant() (m uint64, exp int, ok bool) {
	exp = int(v.exponent)
	zeros := 0
	for _, c := range v.Raw {
		if c|0x20 == 'e' {
			break
		}
		if c-'0' > 9 {
			continue // sign or point
		}
		if c == '0' {
			zeros++
			continue
		}
		for ; zeros > 0 && m > 0; zeros-- {
			if m > math.MaxUint64/10 {
				return 0, 0, false
			}
			m *= 10
		}
		zeros = 0
		if m > (math.MaxUint64-9)/10 {
			return 0, 0, false
		}
		m = m*10 + uint64(c-'0')
	}
	return m, exp + zeros, true
}

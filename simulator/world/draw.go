package world

import (
	"math"
	"math/rand/v2"
)

// PickCategory prefers the first three categories: clothes.
func PickCategory(rng *rand.Rand) int {
	n := len(GoodsCategories())
	if rng.Float64() < 0.5 {
		return rng.IntN(3)
	}
	return rng.IntN(n)
}

// PickPrice draws a price, a low one more often.
func PickPrice(rng *rand.Rand, k goodsCategory, currency string) int64 {
	u := rng.Float64()
	step := int64(50)
	if Exponent(currency) == 0 {
		step = 10
	}
	return max((k.low+int64(float64(k.high-k.low)*u*u))/step*step, step)
}

// PickLines returns how many items an order has: mostly one or two, at most five.
func PickLines(rng *rand.Rand) int {
	n := 1
	for n < 5 && rng.Float64() < 0.45 {
		n++
	}
	return n
}

// PickChannel draws the channel of an order.
func PickChannel(rng *rand.Rand) string {
	if rng.Float64() < 0.65 {
		return POS
	}
	return Online
}

// PickPriority returns the priority of a ticket, given a random number from 0 to 1.
func PickPriority(u float64) string {
	switch {
	case u < 0.06:
		return "urgent"
	case u < 0.2:
		return "high"
	case u < 0.75:
		return "normal"
	default:
		return "low"
	}
}

// Poisson draws the number of occurrences from a Poisson distribution with the given mean, at most maxOccurrences.
func Poisson(rng *rand.Rand, mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > maxOccurrences {
		return maxOccurrences
	}
	limit, product, n := math.Exp(-mean), rng.Float64(), 0
	for product > limit && n < maxOccurrences {
		product *= rng.Float64()
		n++
	}
	return n
}

// maxOccurrences is the most that poisson draws.
const maxOccurrences = 25

package shopify

import (
	"math"
	"strconv"
	"time"
)

// maxQueryCost is what a single query may cost at the most, on any plan.
const maxQueryCost = 1000

// Plan is what a shop pays for.
type Plan struct {
	Bucket  float64 // points that an app can have saved
	Restore float64 // points a second
}

// Basic and Plus are plans. Shopify publishes the rates; the sizes of the buckets are an assumption.
func Basic() Plan { return Plan{Bucket: 2000, Restore: 100} }
func Plus() Plan  { return Plan{Bucket: 20000, Restore: 1000} }

// bucket holds the points that an app has left at a shop.
type bucket struct {
	Plan
	level float64
	at    time.Time
}

// refill brings the level up to date. A clock that goes back adds nothing.
func (b *bucket) refill(now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.level = min(b.Bucket, b.level+passed*b.Restore)
		b.at = now
	}
}

// take takes the points that a query may cost, when there are as many.
func (b *bucket) take(now time.Time, points int) bool {
	b.refill(now)
	if float64(points) > b.level {
		return false
	}
	b.level -= float64(points)
	return true
}

// refund returns the points that the query did not cost after all.
func (b *bucket) refund(points int) { b.level = min(b.Bucket, b.level+float64(points)) }

func (b *bucket) status() object {
	return object{
		"maximumAvailable":   shopifyFloat(b.Bucket),
		"currentlyAvailable": math.Floor(b.level),
		"restoreRate":        shopifyFloat(b.Restore),
	}
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

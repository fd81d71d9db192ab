package world

import (
	"fmt"
	"slices"
	"time"
)

// Live reports whether a sale event is neither planned nor over.
func Live(status string) bool {
	return status == Reconciliation || BeforeReconciliation(status)
}

// Selling reports whether people can buy at a sale event.
func Selling(status string) bool { return status == Active || status == Markdown }

// ShoppersOf returns the usual number of shoppers of a sale event.
func ShoppersOf(event uint64) int { return 6 + int(event*7919%17) }

// NewEvent returns a sale event in draft, with a unique slug.
func NewEvent(id uint64, client *Client, start time.Time, day time.Duration, books *Books) Event {
	season := [...]string{"winter", "spring", "summer", "fall"}[(int(start.Month())%12)/3]
	slug := fmt.Sprintf("%s-%d", season, start.Year())
	taken := func(slug string) bool {
		return slices.ContainsFunc(books.Events, func(e Event) bool { return e.ClientID == client.ID && e.Slug == slug })
	}
	base, number := slug, 2
	for taken(slug) {
		slug = fmt.Sprintf("%s-%d", base, number)
		number++
	}
	name := fmt.Sprintf("%s%s Sale %d", string(season[0]-'a'+'A'), season[1:], start.Year())
	if number > 2 {
		name += fmt.Sprintf(" (%d)", number-1)
	}
	end := start.Add(Days(day, SaleDays)).Truncate(time.Microsecond)
	return Event{
		ID: id, ClientID: client.ID, Slug: slug, Name: name, Status: Draft,
		StartAt: start, EndAt: end, ReturnWindowEnd: end.Add(Days(day, ReturnDays)).Truncate(time.Microsecond),
		MaxConsignors: 50, Currency: currencyOf(client.ID),
	}
}

// SlotsOf returns the drop-off slots of a sale event: quarters of an hour on the day before it starts.
func SlotsOf(e *Event, day time.Duration, keys IDs, participants int) []DropoffSlot {
	const capacity = 6
	var slots []DropoffSlot
	for i := range participants*5/4/capacity + 2 {
		at := e.StartAt.Add(-day + Days(day, float64(i%80)/96)).Truncate(time.Microsecond)
		slots = append(slots, DropoffSlot{ID: keys.Of(DropoffSlot{}), EventID: e.ID, StartAt: at, Capacity: capacity, Remaining: capacity})
	}
	return slots
}

// ShiftsOf returns the volunteer shifts of a sale event: three hours each, from the day before it starts to its end.
func ShiftsOf(e *Event, day time.Duration, keys IDs, participants int) []VolunteerShift {
	const capacity = 4
	n := max(participants/3/capacity, 4)
	var shifts []VolunteerShift
	for i := range n {
		at := e.StartAt.Add(Days(day, -1+float64(i)*(SaleDays+0.875)/float64(n))).Truncate(time.Microsecond)
		shifts = append(shifts, VolunteerShift{
			ID: keys.Of(VolunteerShift{}), EventID: e.ID, ShiftType: shiftTypes()[i%4], StartAt: at, EndAt: at.Add(day / 8).Truncate(time.Microsecond),
			Capacity: capacity, Remaining: capacity,
		})
	}
	return shifts
}

// Earnings returns what a participant gets of what their items sold for: 60 %, super consignors 65 %, and 5 % more for each of up to
// three volunteer shifts.
func Earnings(p *EventConsignor, sold int64) int64 {
	rate := int64(60)
	if p.Type == Super {
		rate = 65
	}
	rate += 5 * min(p.VolunteerShiftCount, 3)
	return sold * rate / 100
}

// Half returns half a price, but at least 1.
func Half(cents int64) int64 { return max(cents/2, 1) }

// OrdersOf returns the lines of each order.
func OrdersOf(sales []Sale) [][]Sale {
	var orders [][]Sale
	place := map[uint64]int{}
	for _, s := range sales {
		i, known := place[s.ShopifyOrderID]
		if !known {
			i = len(orders)
			place[s.ShopifyOrderID], orders = i, append(orders, nil)
		}
		orders[i] = append(orders[i], s)
	}
	return orders
}

// AmountOf adds up what was paid.
func AmountOf(sales []Sale) (cents int64) {
	for _, s := range sales {
		cents += s.AmountCents
	}
	return cents
}

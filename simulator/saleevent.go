package simulator

import (
	"fmt"
	"slices"
	"time"
)

func live(status string) bool {
	return status == Reconciliation || beforeReconciliation(status)
}

func selling(status string) bool { return status == Active || status == Markdown }

// shoppersOf returns the usual number of shoppers of a sale event.
func shoppersOf(event uint64) int { return 6 + int(event*7919%17) }

// newEvent returns a sale event in draft, with a unique slug.
func newEvent(id uint64, client *Client, start time.Time, day time.Duration, books *Books) Event {
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
	end := start.Add(days(day, saleDays)).Truncate(time.Microsecond)
	return Event{
		ID: id, ClientID: client.ID, Slug: slug, Name: name, Status: Draft,
		StartAt: start, EndAt: end, ReturnWindowEnd: end.Add(days(day, returnDays)).Truncate(time.Microsecond),
		MaxConsignors: 50, Currency: currencyOf(int(client.ID - 1)),
	}
}

// slotsOf returns the drop-off slots of a sale event: quarters of an hour on the day before it starts.
func slotsOf(e *Event, day time.Duration, keys ids, participants int) []DropoffSlot {
	const capacity = 6
	var slots []DropoffSlot
	for i := range participants*5/4/capacity + 2 {
		at := e.StartAt.Add(-day + days(day, float64(i%80)/96)).Truncate(time.Microsecond)
		slots = append(slots, DropoffSlot{ID: keys.of(DropoffSlot{}), EventID: e.ID, StartAt: at, Capacity: capacity, Remaining: capacity})
	}
	return slots
}

// shiftsOf returns the volunteer shifts of a sale event: three hours each, from the day before it starts to its end.
func shiftsOf(e *Event, day time.Duration, keys ids, participants int) []VolunteerShift {
	const capacity = 4
	n := max(participants/3/capacity, 4)
	var shifts []VolunteerShift
	for i := range n {
		at := e.StartAt.Add(days(day, -1+float64(i)*(saleDays+0.875)/float64(n))).Truncate(time.Microsecond)
		shifts = append(shifts, VolunteerShift{
			ID: keys.of(VolunteerShift{}), EventID: e.ID, ShiftType: shiftTypes()[i%4], StartAt: at, EndAt: at.Add(day / 8).Truncate(time.Microsecond),
			Capacity: capacity, Remaining: capacity,
		})
	}
	return shifts
}

// earnings returns what a participant gets of what their items sold for: 60 %, super consignors 65 %, and 5 % more for each of up to
// three volunteer shifts.
func earnings(p *EventConsignor, sold int64) int64 {
	rate := int64(60)
	if p.Type == Super {
		rate = 65
	}
	rate += 5 * min(p.VolunteerShiftCount, 3)
	return sold * rate / 100
}

func half(cents int64) int64 { return max(cents/2, 1) }

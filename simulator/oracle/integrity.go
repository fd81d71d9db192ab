package oracle

import "github.com/consignwatch/consignwatch/simulator/world"

// violations counts the violations of each sale event, by its id and the check.
func violations(b *world.Books, totals map[uint64]world.Totals) map[uint64]map[string]int64 {
	found := map[uint64]map[string]int64{}
	count := func(event uint64, check string, n int64) {
		if found[event] == nil {
			found[event] = map[string]int64{}
		}
		found[event][check] += n
	}
	for event, t := range totals {
		for check, n := range t.Violations {
			count(event, check, n)
		}
	}

	taken := map[uint64]int64{} // by slot
	scheduled := map[uint64]int64{}
	for _, booking := range b.DropoffBookings {
		if booking.Status != world.Cancelled {
			taken[booking.SlotID]++
		}
		if booking.Status == world.Scheduled {
			scheduled[booking.EventConsignorID]++
		}
	}
	for _, slot := range b.DropoffSlots {
		if slot.Remaining < 0 {
			count(slot.EventID, world.NegativeRemaining, 1)
		}
		if taken[slot.ID] > slot.Capacity {
			count(slot.EventID, world.OverbookedSlot, 1)
		}
	}
	helping := map[uint64]int64{} // by shift
	for _, booking := range b.VolunteerBookings {
		if booking.Status != world.Cancelled {
			helping[booking.ShiftID]++
		}
	}
	for _, shift := range b.VolunteerShifts {
		if shift.Remaining < 0 {
			count(shift.EventID, world.NegativeRemaining, 1)
		}
		if helping[shift.ID] > shift.Capacity {
			count(shift.EventID, world.OverbookedSlot, 1)
		}
	}

	paid := map[uint64]bool{}
	for _, s := range b.Settlements {
		if s.Status == world.Paid {
			paid[s.EventConsignorID] = true
		}
	}
	for _, participant := range b.EventConsignors {
		if scheduled[participant.ID] > 1 {
			count(participant.EventID, world.DoubleDropoff, 1)
		}
		event := b.Events.Get(participant.EventID)
		if (participant.IsPaid || paid[participant.ID]) && event != nil && world.BeforeReconciliation(event.Status) {
			count(event.ID, world.PaidBeforeReconciliation, 1)
		}
	}
	return found
}

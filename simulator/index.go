package simulator

import (
	"math/rand/v2"
	"slices"
	"time"
)

// index holds the rows that activities choose from. It follows from the books: each inserted, updated or deleted row moves to the pools
// where it belongs.
type index struct {
	injected  map[rowKey]bool // rows of violations: life leaves them alone
	abandoned map[uint64]bool // sessions without further heartbeats
	reserved  map[uint64]bool // items of missing orders

	participants      pools // event_consignors, by event
	unpaid            pools // event_consignors whose fee is not paid, by event
	undropped         pools // event_consignors without a scheduled drop-off, by event
	unsettled         pools // event_consignors without a settlement, by event
	drafts            pools // items, by event
	forSale           pools // items, by event
	locked            pools // items, by event
	unsynced          pools // items, by event
	sold              pools // sales that are not returned, by event
	openSlots         pools // drop-off slots with room, by event
	openShifts        pools // volunteer shifts with room, by event
	dropoffs          pools // scheduled drop-off bookings, by slot
	helpers           pools // scheduled volunteer bookings, by shift
	dueSlots          pools // drop-off slots with a scheduled booking, by event
	dueShifts         pools // volunteer shifts with a scheduled booking, by event
	pending           pools // pending settlements, by event
	shoppers          pools // sessions of shoppers that go on, by event
	staff             pools // other sessions that go on, by client
	abandonedByClient pools // sessions that were abandoned, by client
	consignors        pools // active consignors, by client
	mail              pools // consignors whose mail address is not synced, by client
	open              pools // tickets, by client
	waiting           pools // tickets, by client
	events            pools // sale events that are not over, by client

	joined  map[[2]uint64]uint64 // event_consignors by event and consignor
	slotOf  map[uint64]uint64    // event of a drop-off slot
	shiftOf map[uint64]uint64    // event of a volunteer shift
}

type rowKey struct {
	table string
	id    uint64
}

func keyOf(r Row) rowKey { return rowKey{r.table().title(), r.RowID()} }

func newIndex() *index {
	return &index{
		injected: map[rowKey]bool{}, abandoned: map[uint64]bool{}, reserved: map[uint64]bool{},
		joined: map[[2]uint64]uint64{}, slotOf: map[uint64]uint64{}, shiftOf: map[uint64]uint64{},
	}
}

// indexOf returns the index of books. Sessions that are inactive are taken for abandoned.
func indexOf(b *Books, now time.Time) *index {
	x := newIndex()
	for _, s := range b.Sessions {
		if s.EndedAt.IsZero() && s.LastSeenAt.Before(now.Add(-seenWithin)) {
			x.abandoned[s.ID] = true
		}
	}
	for _, t := range allTables() {
		t.indexAll(x, b)
	}
	return x
}

// inject marks rows of violations: life leaves them alone.
func (x *index) inject(rows []Row) {
	for _, r := range rows {
		x.injected[keyOf(r)] = true
	}
}

func (x *index) free(r Row, there bool) bool { return there && !x.injected[keyOf(r)] }

func (x *index) event(r *Event, there bool) {
	x.events.set(r.ClientID, r.ID, there && r.Status != Complete && r.Status != Cancelled)
}

func (x *index) consignor(r *Consignor, there bool) {
	free := x.free(*r, there) && r.Active
	x.consignors.set(r.ClientID, r.ID, free)
	x.mail.set(r.ClientID, r.ID, free && r.SyncStatus != Completed)
}

func (x *index) eventConsignor(r *EventConsignor, there bool) {
	free := x.free(*r, there)
	if key := [2]uint64{r.EventID, r.ConsignorID}; there {
		if x.joined[key] == 0 {
			x.undropped.set(r.EventID, r.ID, free)
			x.unsettled.set(r.EventID, r.ID, free)
		}
		x.joined[key] = r.ID
	} else {
		delete(x.joined, key)
		x.undropped.set(r.EventID, r.ID, false)
		x.unsettled.set(r.EventID, r.ID, false)
	}
	x.participants.set(r.EventID, r.ID, free)
	x.unpaid.set(r.EventID, r.ID, free && !r.FeePaid)
}

func (x *index) item(r *Item, there bool) {
	free := x.free(*r, there)
	x.drafts.set(r.EventID, r.ID, free && r.Status == Draft)
	x.forSale.set(r.EventID, r.ID, free && r.Status == Active && !x.reserved[r.ID])
	x.locked.set(r.EventID, r.ID, free && r.Status == Locked)
	x.unsynced.set(r.EventID, r.ID, free && r.Unsynced())
}

// reserve sets whether an item is reserved: reserved items are not for sale.
func (x *index) reserve(i *Item, on bool) {
	if i == nil {
		return
	}
	if on {
		x.reserved[i.ID] = true
	} else {
		delete(x.reserved, i.ID)
	}
	x.item(i, true)
}

func (x *index) sale(r *Sale, there bool) {
	x.sold.set(r.EventID, r.ID, x.free(*r, there) && !r.IsReturned)
}

func (x *index) slot(r *DropoffSlot, there bool) {
	x.slotOf[r.ID] = r.EventID
	x.openSlots.set(r.EventID, r.ID, x.free(*r, there) && r.Remaining > 0)
}

func (x *index) dropoffBooking(r *DropoffBooking, there bool) {
	scheduled := x.free(*r, there) && r.Status == Scheduled
	event := x.slotOf[r.SlotID]
	x.dropoffs.set(r.SlotID, r.ID, scheduled)
	x.dueSlots.set(event, r.SlotID, x.dropoffs.len(r.SlotID) > 0)
	// One drop-off each: completed bookings and no-shows count.
	x.undropped.set(event, r.EventConsignorID, there && r.Status == Cancelled && !x.injected[rowKey{eventConsignorsTable.name, r.EventConsignorID}])
}

func (x *index) shift(r *VolunteerShift, there bool) {
	x.shiftOf[r.ID] = r.EventID
	x.openShifts.set(r.EventID, r.ID, x.free(*r, there) && r.Remaining > 0)
}

func (x *index) volunteerBooking(r *VolunteerBooking, there bool) {
	x.helpers.set(r.ShiftID, r.ID, x.free(*r, there) && r.Status == Scheduled)
	x.dueShifts.set(x.shiftOf[r.ShiftID], r.ShiftID, x.helpers.len(r.ShiftID) > 0)
}

func (x *index) session(r *Session, there bool) {
	on := there && r.EndedAt.IsZero()
	if !on {
		delete(x.abandoned, r.ID)
	}
	abandoned := x.abandoned[r.ID]
	x.abandonedByClient.set(r.ClientID, r.ID, on && abandoned)
	if r.Role == "shopper" {
		x.shoppers.set(r.EventID, r.ID, on && !abandoned)
	} else {
		x.staff.set(r.ClientID, r.ID, on && !abandoned)
	}
}

func (x *index) settlement(r *Settlement, there bool) {
	x.pending.set(r.EventID, r.ID, x.free(*r, there) && r.Status == Pending)
	if there {
		x.unsettled.set(r.EventID, r.EventConsignorID, false)
	}
}

func (x *index) ticket(r *SupportTicket, there bool) {
	free := x.free(*r, there)
	x.open.set(r.ClientID, r.ID, free && r.Status == Open)
	x.waiting.set(r.ClientID, r.ID, free && r.Status == Waiting)
}

// pools are sets of row ids, each by the id of its owner.
type pools struct{ of map[uint64]*pool }

// pool is a set from which random members are drawn quickly and reproducibly.
type pool struct {
	ids []uint64
	at  map[uint64]int
}

func (p *pools) set(owner, id uint64, in bool) {
	set := p.of[owner]
	if set == nil {
		if !in {
			return
		}
		set = &pool{at: map[uint64]int{}}
		if p.of == nil {
			p.of = map[uint64]*pool{}
		}
		p.of[owner] = set
	}
	i, there := set.at[id]
	switch {
	case in && !there:
		set.at[id] = len(set.ids)
		set.ids = append(set.ids, id)
	case !in && there:
		last := len(set.ids) - 1
		set.ids[i] = set.ids[last]
		set.at[set.ids[i]] = i
		set.ids = set.ids[:last]
		delete(set.at, id)
	}
}

func (p *pools) members(owner uint64) []uint64 {
	if set := p.of[owner]; set != nil {
		return set.ids
	}
	return nil
}

func (p *pools) len(owner uint64) int { return len(p.members(owner)) }

// pick draws a member; false if there is none.
func (p *pools) pick(rng *rand.Rand, owner uint64) (uint64, bool) {
	ids := p.members(owner)
	if len(ids) == 0 {
		return 0, false
	}
	return ids[rng.IntN(len(ids))], true
}

// some returns up to n members.
func (p *pools) some(owner uint64, n int) []uint64 {
	ids := p.members(owner)
	return slices.Clone(ids[:min(n, len(ids))])
}

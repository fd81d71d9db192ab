package world

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Index holds the rows that activities choose from. It follows from the books: each inserted, updated or deleted row moves to the pools
// where it belongs.
type Index struct {
	injected  map[rowKey]bool // rows of violations: life leaves them alone
	Abandoned map[uint64]bool // sessions without further heartbeats
	reserved  map[uint64]bool // items of missing orders

	Participants      Pools // event_consignors, by event
	Unpaid            Pools // event_consignors whose fee is not paid, by event
	Undropped         Pools // event_consignors without a scheduled drop-off, by event
	Unsettled         Pools // event_consignors without a settlement, by event
	Drafts            Pools // items, by event
	ForSale           Pools // items, by event
	Locked            Pools // items, by event
	Unsynced          Pools // items, by event
	Sold              Pools // sales that are not returned, by event
	OpenSlots         Pools // drop-off slots with room, by event
	OpenShifts        Pools // volunteer shifts with room, by event
	Dropoffs          Pools // scheduled drop-off bookings, by slot
	Helpers           Pools // scheduled volunteer bookings, by shift
	DueSlots          Pools // drop-off slots with a scheduled booking, by event
	DueShifts         Pools // volunteer shifts with a scheduled booking, by event
	Pending           Pools // pending settlements, by event
	Shoppers          Pools // sessions of shoppers that go on, by event
	Staff             Pools // other sessions that go on, by client
	AbandonedByClient Pools // sessions that were abandoned, by client
	Consignors        Pools // active consignors, by client
	Mail              Pools // consignors whose mail address is not synced, by client
	Open              Pools // tickets, by client
	Waiting           Pools // tickets, by client
	Events            Pools // sale events that are not over, by client

	Joined  map[[2]uint64]uint64 // event_consignors by event and consignor
	slotOf  map[uint64]uint64    // event of a drop-off slot
	shiftOf map[uint64]uint64    // event of a volunteer shift
}

type rowKey struct {
	table string
	id    uint64
}

func keyOf(r Row) rowKey { return rowKey{r.Table().Title(), r.RowID()} }

// NewIndex returns an index without rows.
func NewIndex() *Index {
	return &Index{
		injected: map[rowKey]bool{}, Abandoned: map[uint64]bool{}, reserved: map[uint64]bool{},
		Joined: map[[2]uint64]uint64{}, slotOf: map[uint64]uint64{}, shiftOf: map[uint64]uint64{},
	}
}

// IndexOf returns the index of books. Sessions that are inactive are taken for abandoned.
func IndexOf(b *Books, now time.Time) *Index {
	x := NewIndex()
	for _, s := range b.Sessions {
		if s.EndedAt.IsZero() && s.LastSeenAt.Before(now.Add(-SeenWithin)) {
			x.Abandoned[s.ID] = true
		}
	}
	for _, t := range AllTables() {
		t.indexAll(x, b)
	}
	return x
}

// Inject marks rows of violations: life leaves them alone.
func (x *Index) Inject(rows []Row) {
	for _, r := range rows {
		x.injected[keyOf(r)] = true
	}
}

func (x *Index) free(r Row, there bool) bool { return there && !x.injected[keyOf(r)] }

func (x *Index) event(r *Event, there bool) {
	x.Events.set(r.ClientID, r.ID, there && r.Status != Complete && r.Status != Cancelled)
}

func (x *Index) consignor(r *Consignor, there bool) {
	free := x.free(*r, there) && r.Active
	x.Consignors.set(r.ClientID, r.ID, free)
	x.Mail.set(r.ClientID, r.ID, free && r.SyncStatus != Completed)
}

func (x *Index) eventConsignor(r *EventConsignor, there bool) {
	free := x.free(*r, there)
	if key := [2]uint64{r.EventID, r.ConsignorID}; there {
		if x.Joined[key] == 0 {
			x.Undropped.set(r.EventID, r.ID, free)
			x.Unsettled.set(r.EventID, r.ID, free)
		}
		x.Joined[key] = r.ID
	} else {
		delete(x.Joined, key)
		x.Undropped.set(r.EventID, r.ID, false)
		x.Unsettled.set(r.EventID, r.ID, false)
	}
	x.Participants.set(r.EventID, r.ID, free)
	x.Unpaid.set(r.EventID, r.ID, free && !r.FeePaid)
}

func (x *Index) item(r *Item, there bool) {
	free := x.free(*r, there)
	x.Drafts.set(r.EventID, r.ID, free && r.Status == Draft)
	x.ForSale.set(r.EventID, r.ID, free && r.Status == Active && !x.reserved[r.ID])
	x.Locked.set(r.EventID, r.ID, free && r.Status == Locked)
	x.Unsynced.set(r.EventID, r.ID, free && r.Unsynced())
}

// Reserve sets whether an item is reserved: reserved items are not for sale.
func (x *Index) Reserve(i *Item, on bool) {
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

func (x *Index) sale(r *Sale, there bool) {
	x.Sold.set(r.EventID, r.ID, x.free(*r, there) && !r.IsReturned)
}

func (x *Index) slot(r *DropoffSlot, there bool) {
	x.slotOf[r.ID] = r.EventID
	x.OpenSlots.set(r.EventID, r.ID, x.free(*r, there) && r.Remaining > 0)
}

func (x *Index) dropoffBooking(r *DropoffBooking, there bool) {
	scheduled := x.free(*r, there) && r.Status == Scheduled
	event := x.slotOf[r.SlotID]
	x.Dropoffs.set(r.SlotID, r.ID, scheduled)
	x.DueSlots.set(event, r.SlotID, x.Dropoffs.Len(r.SlotID) > 0)
	// One drop-off each: completed bookings and no-shows count.
	x.Undropped.set(event, r.EventConsignorID, there && r.Status == Cancelled && !x.injected[rowKey{eventConsignorsTable.Name, r.EventConsignorID}])
}

func (x *Index) shift(r *VolunteerShift, there bool) {
	x.shiftOf[r.ID] = r.EventID
	x.OpenShifts.set(r.EventID, r.ID, x.free(*r, there) && r.Remaining > 0)
}

func (x *Index) volunteerBooking(r *VolunteerBooking, there bool) {
	x.Helpers.set(r.ShiftID, r.ID, x.free(*r, there) && r.Status == Scheduled)
	x.DueShifts.set(x.shiftOf[r.ShiftID], r.ShiftID, x.Helpers.Len(r.ShiftID) > 0)
}

// Session moves a session to the pools where it belongs.
func (x *Index) Session(r *Session, there bool) {
	on := there && r.EndedAt.IsZero()
	if !on {
		delete(x.Abandoned, r.ID)
	}
	abandoned := x.Abandoned[r.ID]
	x.AbandonedByClient.set(r.ClientID, r.ID, on && abandoned)
	if r.Role == "shopper" {
		x.Shoppers.set(r.EventID, r.ID, on && !abandoned)
	} else {
		x.Staff.set(r.ClientID, r.ID, on && !abandoned)
	}
}

func (x *Index) settlement(r *Settlement, there bool) {
	x.Pending.set(r.EventID, r.ID, x.free(*r, there) && r.Status == Pending)
	if there {
		x.Unsettled.set(r.EventID, r.EventConsignorID, false)
	}
}

func (x *Index) ticket(r *SupportTicket, there bool) {
	free := x.free(*r, there)
	x.Open.set(r.ClientID, r.ID, free && r.Status == Open)
	x.Waiting.set(r.ClientID, r.ID, free && r.Status == Waiting)
}

// Pools are sets of row ids, each by the id of its owner.
type Pools struct{ of map[uint64]*pool }

// pool is a set from which random members are drawn quickly and reproducibly.
type pool struct {
	ids []uint64
	at  map[uint64]int
}

func (p *Pools) set(owner, id uint64, in bool) {
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

func (p *Pools) members(owner uint64) []uint64 {
	if set := p.of[owner]; set != nil {
		return set.ids
	}
	return nil
}

// Len returns the number of members.
func (p *Pools) Len(owner uint64) int { return len(p.members(owner)) }

// Pick draws a member; false if there is none.
func (p *Pools) Pick(rng *rand.Rand, owner uint64) (uint64, bool) {
	ids := p.members(owner)
	if len(ids) == 0 {
		return 0, false
	}
	return ids[rng.IntN(len(ids))], true
}

// Some returns up to n members.
func (p *Pools) Some(owner uint64, n int) []uint64 {
	ids := p.members(owner)
	return slices.Clone(ids[:min(n, len(ids))])
}

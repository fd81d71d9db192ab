package world

import (
	"cmp"
	"slices"
	"time"
)

// Books are the expected content of the database: every row of every table, kept from what the simulator has committed and never read
// from the database.
//
// After a bulk load the items and sales of sale events that are over stand only as Totals.
type Books struct {
	Clients           Rows[Client]
	ShopifyAccess     Rows[ShopifyAccess]
	Events            Rows[Event]
	Categories        Rows[Category]
	Consignors        Rows[Consignor]
	EventConsignors   Rows[EventConsignor]
	Items             Rows[Item]
	Sales             Rows[Sale]
	DropoffSlots      Rows[DropoffSlot]
	DropoffBookings   Rows[DropoffBooking]
	VolunteerShifts   Rows[VolunteerShift]
	VolunteerBookings Rows[VolunteerBooking]
	Sessions          Rows[Session]
	Settlements       Rows[Settlement]
	SyncRuns          Rows[SyncRun]
	Backups           Rows[Backup]
	SupportTickets    Rows[SupportTicket]

	// Totals of the items and sales of a sale event, by its id, where the rows themselves are not kept.
	Totals map[uint64]Totals
}

// Rows are the rows of one table in the order of their ids.
type Rows[T Row] []T

// Get returns the row with the id, or nil.
func (r Rows[T]) Get(id uint64) *T {
	if i, ok := r.find(id); ok {
		return &r[i]
	}
	return nil
}

// find tries the position for ids without gaps, and then searches.
func (r Rows[T]) find(id uint64) (int, bool) {
	if len(r) == 0 || id < r[0].RowID() || id > r[len(r)-1].RowID() {
		if len(r) == 0 || id < r[0].RowID() {
			return 0, false
		}
		return len(r), false
	}
	if i := id - r[0].RowID(); i < uint64(len(r)) && r[i].RowID() == id {
		return int(i), true
	}
	return slices.BinarySearchFunc(r, id, func(row T, id uint64) int { return cmp.Compare(row.RowID(), id) })
}

// put inserts the row, or replaces the one with its id.
func (r *Rows[T]) put(row T) {
	i, ok := r.find(row.RowID())
	if ok {
		(*r)[i] = row
		return
	}
	*r = slices.Insert(*r, i, row)
}

// remove deletes rows.
func (r *Rows[T]) remove(rows []Row) {
	gone := make(map[uint64]bool, len(rows))
	for _, row := range rows {
		gone[row.RowID()] = true
	}
	*r = slices.DeleteFunc(*r, func(row T) bool { return gone[row.RowID()] })
}

// Clone returns a deep copy.
func (b *Books) Clone() *Books {
	c := &Books{Totals: make(map[uint64]Totals, len(b.Totals))}
	for _, t := range AllTables() {
		t.copyRows(b, c)
	}
	for id, t := range b.Totals {
		c.Totals[id] = t // nobody changes a Totals after it was made
	}
	return c
}

// ClientBySlug returns the client, or nil.
func (b *Books) ClientBySlug(slug string) *Client {
	for i := range b.Clients {
		if b.Clients[i].Slug == slug {
			return &b.Clients[i]
		}
	}
	return nil
}

// Exported reports whether the sale event has series at a time: its client is active, it is neither draft nor cancelled, and it has not
// been complete for more than 14 days.
func (b *Books) Exported(e *Event, now time.Time) bool {
	if client := b.Clients.Get(e.ClientID); client == nil || !client.Active {
		return false
	}
	switch e.Status {
	case Draft, Cancelled:
		return false
	case Complete:
		return !e.CompletedAt.IsZero() && !e.CompletedAt.Before(now.Add(-retireAfter))
	default:
		return true
	}
}

// retireAfter is how long a sale event is exported after its completion.
const retireAfter = 14 * 24 * time.Hour

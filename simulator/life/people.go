package life

import (
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Activities of people: consignors, volunteers, visitors, and those who ask for support.

// register makes a consignor take part: a known one, or a new one.
func (l *Life) register(c *store.Change, event uint64) {
	e := l.Books.Events.Get(event)
	if e.Status != world.Registration || int64(l.Index.Participants.Len(event)) >= e.MaxConsignors {
		return
	}
	if l.shops.RefusedByClerk(e.ClientID, "sign_up", "registration") {
		return
	}
	now := l.Now()
	consignor, ok := l.Index.Consignors.Pick(l.rng, e.ClientID)
	if !ok || l.chance(0.5) || l.Index.Joined[[2]uint64{event, consignor}] != 0 {
		consignor = l.IDs.Of(world.Consignor{})
		c.Insert(world.Consignor{ID: consignor, ClientID: e.ClientID, Active: true, CreatedAt: now, SyncStatus: world.Pending})
	}
	participant := world.EventConsignor{ID: l.IDs.Of(world.EventConsignor{}), EventID: event, ConsignorID: consignor, Type: world.Regular, FeePaid: l.chance(0.8), CreatedAt: now}
	if l.chance(0.2) {
		participant.Type = world.Super
	}
	c.Insert(participant)
}

func (l *Life) payFee(c *store.Change, event uint64) {
	if id, ok := l.Index.Unpaid.Pick(l.rng, event); ok {
		participant := *l.Books.EventConsignors.Get(id)
		participant.FeePaid = true
		c.Update(participant)
	}
}

// changeAddress changes the email address of a consignor, which is not synced yet.
func (l *Life) changeAddress(c *store.Change, client uint64) {
	if id, ok := l.Index.Consignors.Pick(l.rng, client); ok {
		consignor := *l.Books.Consignors.Get(id)
		consignor.SyncStatus, consignor.LastSyncAttempt = world.Pending, l.Now()
		c.Update(consignor)
	}
}

func (l *Life) bookDropoff(c *store.Change, event uint64) {
	participant, ok := l.Index.Undropped.Pick(l.rng, event)
	slotID, open := l.Index.OpenSlots.Pick(l.rng, event)
	if !ok || !open {
		return
	}
	slot := *l.Books.DropoffSlots.Get(slotID)
	if !slot.StartAt.After(l.Now()) {
		return
	}
	slot.Remaining--
	c.Insert(world.DropoffBooking{ID: l.IDs.Of(world.DropoffBooking{}), SlotID: slotID, EventConsignorID: participant, Status: world.Scheduled})
	c.Update(slot)
}

func (l *Life) cancelDropoff(c *store.Change, event uint64) {
	slotID, ok := l.Index.DueSlots.Pick(l.rng, event)
	if !ok {
		return
	}
	id, ok := l.Index.Dropoffs.Pick(l.rng, slotID)
	if !ok {
		return
	}
	booking, slot := *l.Books.DropoffBookings.Get(id), *l.Books.DropoffSlots.Get(slotID)
	booking.Status = world.Cancelled
	slot.Remaining++
	c.Update(booking, slot)
}

// endDropoffs ends a drop-off slot: most consignors came.
func (l *Life) endDropoffs(c *store.Change, slot uint64) {
	now := l.Now()
	for _, id := range l.Index.Dropoffs.Some(slot, world.Batch) {
		booking := *l.Books.DropoffBookings.Get(id)
		booking.Status = world.NoShow
		if l.chance(0.94) {
			booking.Status, booking.ArrivedAt, booking.CompletedAt = world.Completed, l.Books.DropoffSlots.Get(slot).StartAt, now
		}
		c.Update(booking)
	}
}

func (l *Life) bookShift(c *store.Change, event uint64) {
	participant, ok := l.Index.Participants.Pick(l.rng, event)
	shiftID, open := l.Index.OpenShifts.Pick(l.rng, event)
	if !ok || !open {
		return
	}
	shift := *l.Books.VolunteerShifts.Get(shiftID)
	if !shift.StartAt.After(l.Now()) {
		return
	}
	for _, id := range l.Index.Helpers.Some(shiftID, world.Batch) {
		if l.Books.VolunteerBookings.Get(id).EventConsignorID == participant {
			return
		}
	}
	shift.Remaining--
	c.Insert(world.VolunteerBooking{ID: l.IDs.Of(world.VolunteerBooking{}), ShiftID: shiftID, EventConsignorID: participant, Status: world.Scheduled})
	c.Update(shift)
}

func (l *Life) cancelShift(c *store.Change, event uint64) {
	shiftID, ok := l.Index.DueShifts.Pick(l.rng, event)
	if !ok {
		return
	}
	id, ok := l.Index.Helpers.Pick(l.rng, shiftID)
	if !ok {
		return
	}
	booking, shift := *l.Books.VolunteerBookings.Get(id), *l.Books.VolunteerShifts.Get(shiftID)
	booking.Status = world.Cancelled
	shift.Remaining++
	c.Update(booking, shift)
}

func (l *Life) endShift(c *store.Change, shift uint64) {
	for _, id := range l.Index.Helpers.Some(shift, world.Batch) {
		booking := *l.Books.VolunteerBookings.Get(id)
		booking.Status = world.NoShow
		if l.chance(0.94) {
			booking.Status = world.Completed
			if row := l.Books.EventConsignors.Get(booking.EventConsignorID); row != nil {
				participant := *row
				participant.VolunteerShiftCount++
				c.Update(participant)
			}
		}
		c.Update(booking)
	}
}

func (l *Life) arrive(c *store.Change, client, event uint64, role string) {
	if event != 0 && !world.Selling(l.Books.Events.Get(event).Status) {
		return
	}
	if l.shops.RefusedByClerk(client, "sign_in", "sign-in") {
		return
	}
	now := l.Now()
	c.Insert(world.Session{ID: l.IDs.Of(world.Session{}), ClientID: client, EventID: event, Role: role, StartedAt: now, LastSeenAt: now})
}

// leave ends a session. Now and then somebody abandons it instead, without the platform's knowledge.
func (l *Life) leave(c *store.Change, from *world.Pools, owner uint64) {
	id, ok := from.Pick(l.rng, owner)
	if !ok {
		return
	}
	session := *l.Books.Sessions.Get(id)
	if l.chance(0.05) {
		l.Memory.Lock()
		defer l.Memory.Unlock()
		l.Index.Abandoned[id] = true
		l.Index.Session(&session, true)
		return
	}
	session.LastSeenAt = l.Now()
	session.EndedAt = session.LastSeenAt
	c.Update(session)
}

// heartbeat updates the last-seen time of active sessions, and ends those that were abandoned long ago.
func (l *Life) heartbeat(c *store.Change, client uint64) {
	now := l.Now()
	seen := l.Index.Staff.Some(client, world.Batch)
	for _, event := range l.Index.Events.Some(client, world.Batch) {
		seen = append(seen, l.Index.Shoppers.Some(event, world.Batch)...)
	}
	for _, id := range seen {
		if session := *l.Books.Sessions.Get(id); session.LastSeenAt.Before(now) {
			session.LastSeenAt = now
			c.Update(session)
		}
	}
	for _, id := range l.Index.AbandonedByClient.Some(client, world.Batch) {
		if session := *l.Books.Sessions.Get(id); session.LastSeenAt.Before(now.Add(-sessionTimeout)) {
			session.EndedAt = session.LastSeenAt
			c.Update(session)
		}
	}
}

// sessionTimeout is when the platform ends an abandoned session.
const sessionTimeout = 30 * time.Minute

func (l *Life) openTicket(c *store.Change, client uint64, priority string) {
	c.Insert(world.SupportTicket{
		ID: l.IDs.Of(world.SupportTicket{}), ClientID: client, Priority: priority, Status: world.Open,
		Category: world.TicketCategories()[l.rng.IntN(len(world.TicketCategories()))], OpenedAt: l.Now(),
	})
}

func (l *Life) answerTicket(c *store.Change, client uint64) {
	if id, ok := l.Index.Open.Pick(l.rng, client); ok && !l.faults.IsOn(faults.TicketsPilingUp, client) {
		ticket := *l.Books.SupportTickets.Get(id)
		ticket.Status, ticket.FirstResponseAt = world.Waiting, l.Now()
		c.Update(ticket)
	}
}

func (l *Life) solveTicket(c *store.Change, client uint64) {
	if id, ok := l.Index.Waiting.Pick(l.rng, client); ok {
		ticket := *l.Books.SupportTickets.Get(id)
		ticket.Status, ticket.SolvedAt = world.Solved, l.Now()
		c.Update(ticket)
	}
}

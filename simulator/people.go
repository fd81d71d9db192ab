package simulator

import "time"

// Activities of people: consignors, volunteers, visitors, and those who ask for support.

// register makes a consignor take part: a known one, or a new one.
func (l *Life) register(c *Change, event uint64) {
	e := l.books.Events.Get(event)
	if e.Status != Registration || int64(l.index.participants.len(event)) >= e.MaxConsignors {
		return
	}
	if l.shops.RefusedByClerk(e.ClientID, "sign_up", "registration") {
		return
	}
	now := l.now()
	consignor, ok := l.index.consignors.pick(l.rng, e.ClientID)
	if !ok || l.chance(0.5) || l.index.joined[[2]uint64{event, consignor}] != 0 {
		consignor = l.ids.of(Consignor{})
		c.Insert(Consignor{ID: consignor, ClientID: e.ClientID, Active: true, CreatedAt: now, SyncStatus: Pending})
	}
	participant := EventConsignor{ID: l.ids.of(EventConsignor{}), EventID: event, ConsignorID: consignor, Type: Regular, FeePaid: l.chance(0.8), CreatedAt: now}
	if l.chance(0.2) {
		participant.Type = Super
	}
	c.Insert(participant)
}

func (l *Life) payFee(c *Change, event uint64) {
	if id, ok := l.index.unpaid.pick(l.rng, event); ok {
		participant := *l.books.EventConsignors.Get(id)
		participant.FeePaid = true
		c.Update(participant)
	}
}

// changeAddress changes the email address of a consignor, which is not synced yet.
func (l *Life) changeAddress(c *Change, client uint64) {
	if id, ok := l.index.consignors.pick(l.rng, client); ok {
		consignor := *l.books.Consignors.Get(id)
		consignor.SyncStatus, consignor.LastSyncAttempt = Pending, l.now()
		c.Update(consignor)
	}
}

func (l *Life) bookDropoff(c *Change, event uint64) {
	participant, ok := l.index.undropped.pick(l.rng, event)
	slotID, open := l.index.openSlots.pick(l.rng, event)
	if !ok || !open {
		return
	}
	slot := *l.books.DropoffSlots.Get(slotID)
	if !slot.StartAt.After(l.now()) {
		return
	}
	slot.Remaining--
	c.Insert(DropoffBooking{ID: l.ids.of(DropoffBooking{}), SlotID: slotID, EventConsignorID: participant, Status: Scheduled})
	c.Update(slot)
}

func (l *Life) cancelDropoff(c *Change, event uint64) {
	slotID, ok := l.index.dueSlots.pick(l.rng, event)
	if !ok {
		return
	}
	id, ok := l.index.dropoffs.pick(l.rng, slotID)
	if !ok {
		return
	}
	booking, slot := *l.books.DropoffBookings.Get(id), *l.books.DropoffSlots.Get(slotID)
	booking.Status = Cancelled
	slot.Remaining++
	c.Update(booking, slot)
}

// endDropoffs ends a drop-off slot: most consignors came.
func (l *Life) endDropoffs(c *Change, slot uint64) {
	now := l.now()
	for _, id := range l.index.dropoffs.some(slot, batch) {
		booking := *l.books.DropoffBookings.Get(id)
		booking.Status = NoShow
		if l.chance(0.94) {
			booking.Status, booking.ArrivedAt, booking.CompletedAt = Completed, l.books.DropoffSlots.Get(slot).StartAt, now
		}
		c.Update(booking)
	}
}

func (l *Life) bookShift(c *Change, event uint64) {
	participant, ok := l.index.participants.pick(l.rng, event)
	shiftID, open := l.index.openShifts.pick(l.rng, event)
	if !ok || !open {
		return
	}
	shift := *l.books.VolunteerShifts.Get(shiftID)
	if !shift.StartAt.After(l.now()) {
		return
	}
	for _, id := range l.index.helpers.some(shiftID, batch) {
		if l.books.VolunteerBookings.Get(id).EventConsignorID == participant {
			return
		}
	}
	shift.Remaining--
	c.Insert(VolunteerBooking{ID: l.ids.of(VolunteerBooking{}), ShiftID: shiftID, EventConsignorID: participant, Status: Scheduled})
	c.Update(shift)
}

func (l *Life) cancelShift(c *Change, event uint64) {
	shiftID, ok := l.index.dueShifts.pick(l.rng, event)
	if !ok {
		return
	}
	id, ok := l.index.helpers.pick(l.rng, shiftID)
	if !ok {
		return
	}
	booking, shift := *l.books.VolunteerBookings.Get(id), *l.books.VolunteerShifts.Get(shiftID)
	booking.Status = Cancelled
	shift.Remaining++
	c.Update(booking, shift)
}

func (l *Life) endShift(c *Change, shift uint64) {
	for _, id := range l.index.helpers.some(shift, batch) {
		booking := *l.books.VolunteerBookings.Get(id)
		booking.Status = NoShow
		if l.chance(0.94) {
			booking.Status = Completed
			if row := l.books.EventConsignors.Get(booking.EventConsignorID); row != nil {
				participant := *row
				participant.VolunteerShiftCount++
				c.Update(participant)
			}
		}
		c.Update(booking)
	}
}

func (l *Life) arrive(c *Change, client, event uint64, role string) {
	if event != 0 && !selling(l.books.Events.Get(event).Status) {
		return
	}
	if l.shops.RefusedByClerk(client, "sign_in", "sign-in") {
		return
	}
	now := l.now()
	c.Insert(Session{ID: l.ids.of(Session{}), ClientID: client, EventID: event, Role: role, StartedAt: now, LastSeenAt: now})
}

// leave ends a session. Now and then somebody abandons it instead, without the platform's knowledge.
func (l *Life) leave(c *Change, from *pools, owner uint64) {
	id, ok := from.pick(l.rng, owner)
	if !ok {
		return
	}
	session := *l.books.Sessions.Get(id)
	if l.chance(0.05) {
		l.memory.Lock()
		defer l.memory.Unlock()
		l.index.abandoned[id] = true
		l.index.session(&session, true)
		return
	}
	session.LastSeenAt = l.now()
	session.EndedAt = session.LastSeenAt
	c.Update(session)
}

// heartbeat updates the last-seen time of active sessions, and ends those that were abandoned long ago.
func (l *Life) heartbeat(c *Change, client uint64) {
	now := l.now()
	seen := l.index.staff.some(client, batch)
	for _, event := range l.index.events.some(client, batch) {
		seen = append(seen, l.index.shoppers.some(event, batch)...)
	}
	for _, id := range seen {
		if session := *l.books.Sessions.Get(id); session.LastSeenAt.Before(now) {
			session.LastSeenAt = now
			c.Update(session)
		}
	}
	for _, id := range l.index.abandonedByClient.some(client, batch) {
		if session := *l.books.Sessions.Get(id); session.LastSeenAt.Before(now.Add(-sessionTimeout)) {
			session.EndedAt = session.LastSeenAt
			c.Update(session)
		}
	}
}

// sessionTimeout is when the platform ends an abandoned session.
const sessionTimeout = 30 * time.Minute

func (l *Life) openTicket(c *Change, client uint64, priority string) {
	c.Insert(SupportTicket{
		ID: l.ids.of(SupportTicket{}), ClientID: client, Priority: priority, Status: Open,
		Category: ticketCategories()[l.rng.IntN(len(ticketCategories()))], OpenedAt: l.now(),
	})
}

func (l *Life) answerTicket(c *Change, client uint64) {
	if id, ok := l.index.open.pick(l.rng, client); ok && !l.faults.isOn(TicketsPilingUp, client) {
		ticket := *l.books.SupportTickets.Get(id)
		ticket.Status, ticket.FirstResponseAt = Waiting, l.now()
		c.Update(ticket)
	}
}

func (l *Life) solveTicket(c *Change, client uint64) {
	if id, ok := l.index.waiting.pick(l.rng, client); ok {
		ticket := *l.books.SupportTickets.Get(id)
		ticket.Status, ticket.SolvedAt = Solved, l.now()
		c.Update(ticket)
	}
}

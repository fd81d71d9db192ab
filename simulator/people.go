package simulator

import "time"

// Activities of people: consignors, volunteers, visitors, and those who ask for support.

// register makes a consignor take part: a known one, or a new one.
func (p *Platform) register(c *Change, event uint64) {
	e := p.books.Events.Get(event)
	if e.Status != Registration || int64(p.index.participants.len(event)) >= e.MaxConsignors {
		return
	}
	if p.refusedByClerk(e.ClientID, "sign_up", "registration") {
		return
	}
	now := p.now()
	consignor, ok := p.index.consignors.pick(p.rng, e.ClientID)
	if !ok || p.chance(0.5) || p.index.joined[[2]uint64{event, consignor}] != 0 {
		consignor = next(&p.ids.consignor)
		c.Insert(Consignor{ID: consignor, ClientID: e.ClientID, Active: true, CreatedAt: now, SyncStatus: Pending})
	}
	participant := EventConsignor{ID: next(&p.ids.participant), EventID: event, ConsignorID: consignor, Type: Regular, FeePaid: p.chance(0.8), CreatedAt: now}
	if p.chance(0.2) {
		participant.Type = Super
	}
	c.Insert(participant)
}

func (p *Platform) payFee(c *Change, event uint64) {
	if id, ok := p.index.unpaid.pick(p.rng, event); ok {
		participant := *p.books.EventConsignors.Get(id)
		participant.FeePaid = true
		c.Update(participant)
	}
}

// changeAddress changes the email address of a consignor, which is not synced yet.
func (p *Platform) changeAddress(c *Change, client uint64) {
	if id, ok := p.index.consignors.pick(p.rng, client); ok {
		consignor := *p.books.Consignors.Get(id)
		consignor.SyncStatus, consignor.LastSyncAttempt = Pending, p.now()
		c.Update(consignor)
	}
}

func (p *Platform) bookDropoff(c *Change, event uint64) {
	participant, ok := p.index.undropped.pick(p.rng, event)
	slotID, open := p.index.openSlots.pick(p.rng, event)
	if !ok || !open {
		return
	}
	slot := *p.books.DropoffSlots.Get(slotID)
	if !slot.StartAt.After(p.now()) {
		return
	}
	slot.Remaining--
	c.Insert(DropoffBooking{ID: next(&p.ids.dropoff), SlotID: slotID, EventConsignorID: participant, Status: Scheduled})
	c.Update(slot)
}

func (p *Platform) cancelDropoff(c *Change, event uint64) {
	slotID, ok := p.index.dueSlots.pick(p.rng, event)
	if !ok {
		return
	}
	id, ok := p.index.dropoffs.pick(p.rng, slotID)
	if !ok {
		return
	}
	booking, slot := *p.books.DropoffBookings.Get(id), *p.books.DropoffSlots.Get(slotID)
	booking.Status = Cancelled
	slot.Remaining++
	c.Update(booking, slot)
}

// endDropoffs ends a drop-off slot: most consignors came.
func (p *Platform) endDropoffs(c *Change, slot uint64) {
	now := p.now()
	for _, id := range p.index.dropoffs.some(slot, batch) {
		booking := *p.books.DropoffBookings.Get(id)
		booking.Status = NoShow
		if p.chance(0.94) {
			booking.Status, booking.ArrivedAt, booking.CompletedAt = Completed, p.books.DropoffSlots.Get(slot).StartAt, now
		}
		c.Update(booking)
	}
}

func (p *Platform) bookShift(c *Change, event uint64) {
	participant, ok := p.index.participants.pick(p.rng, event)
	shiftID, open := p.index.openShifts.pick(p.rng, event)
	if !ok || !open {
		return
	}
	shift := *p.books.VolunteerShifts.Get(shiftID)
	if !shift.StartAt.After(p.now()) {
		return
	}
	for _, id := range p.index.helpers.some(shiftID, batch) {
		if p.books.VolunteerBookings.Get(id).EventConsignorID == participant {
			return
		}
	}
	shift.Remaining--
	c.Insert(VolunteerBooking{ID: next(&p.ids.helper), ShiftID: shiftID, EventConsignorID: participant, Status: Scheduled})
	c.Update(shift)
}

func (p *Platform) cancelShift(c *Change, event uint64) {
	shiftID, ok := p.index.dueShifts.pick(p.rng, event)
	if !ok {
		return
	}
	id, ok := p.index.helpers.pick(p.rng, shiftID)
	if !ok {
		return
	}
	booking, shift := *p.books.VolunteerBookings.Get(id), *p.books.VolunteerShifts.Get(shiftID)
	booking.Status = Cancelled
	shift.Remaining++
	c.Update(booking, shift)
}

func (p *Platform) endShift(c *Change, shift uint64) {
	for _, id := range p.index.helpers.some(shift, batch) {
		booking := *p.books.VolunteerBookings.Get(id)
		booking.Status = NoShow
		if p.chance(0.94) {
			booking.Status = Completed
			if row := p.books.EventConsignors.Get(booking.EventConsignorID); row != nil {
				participant := *row
				participant.VolunteerShiftCount++
				c.Update(participant)
			}
		}
		c.Update(booking)
	}
}

func (p *Platform) arrive(c *Change, client, event uint64, role string) {
	if event != 0 && !selling(p.books.Events.Get(event).Status) {
		return
	}
	if p.refusedByClerk(client, "sign_in", "sign-in") {
		return
	}
	now := p.now()
	c.Insert(Session{ID: next(&p.ids.session), ClientID: client, EventID: event, Role: role, StartedAt: now, LastSeenAt: now})
}

// leave ends a session. Now and then somebody abandons it instead, without the platform's knowledge.
func (p *Platform) leave(c *Change, from pools, owner uint64) {
	id, ok := from.pick(p.rng, owner)
	if !ok {
		return
	}
	session := *p.books.Sessions.Get(id)
	if p.chance(0.05) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.index.abandoned[id] = true
		p.index.session(&session, true)
		return
	}
	session.LastSeenAt = p.now()
	session.EndedAt = session.LastSeenAt
	c.Update(session)
}

// heartbeat updates the last-seen time of active sessions, and ends those that were abandoned long ago.
func (p *Platform) heartbeat(c *Change, client uint64) {
	now := p.now()
	seen := p.index.staff.some(client, batch)
	for _, event := range p.index.events.some(client, batch) {
		seen = append(seen, p.index.shoppers.some(event, batch)...)
	}
	for _, id := range seen {
		if session := *p.books.Sessions.Get(id); session.LastSeenAt.Before(now) {
			session.LastSeenAt = now
			c.Update(session)
		}
	}
	for _, id := range p.index.abandonedByClient.some(client, batch) {
		if session := *p.books.Sessions.Get(id); session.LastSeenAt.Before(now.Add(-sessionTimeout)) {
			session.EndedAt = session.LastSeenAt
			c.Update(session)
		}
	}
}

// sessionTimeout is when the platform ends an abandoned session.
const sessionTimeout = 30 * time.Minute

func (p *Platform) openTicket(c *Change, client uint64, priority string) {
	c.Insert(SupportTicket{
		ID: next(&p.ids.ticket), ClientID: client, Priority: priority, Status: Open,
		Category: ticketCategories()[p.rng.IntN(len(ticketCategories()))], OpenedAt: p.now(),
	})
}

func (p *Platform) answerTicket(c *Change, client uint64) {
	if id, ok := p.index.open.pick(p.rng, client); ok && !p.faults.isOn(TicketsPilingUp, client) {
		ticket := *p.books.SupportTickets.Get(id)
		ticket.Status, ticket.FirstResponseAt = Waiting, p.now()
		c.Update(ticket)
	}
}

func (p *Platform) solveTicket(c *Change, client uint64) {
	if id, ok := p.index.waiting.pick(p.rng, client); ok {
		ticket := *p.books.SupportTickets.Get(id)
		ticket.Status, ticket.SolvedAt = Solved, p.now()
		c.Update(ticket)
	}
}

package simulator

import (
	"slices"
	"time"
)

// Activities of a sale event. Each changes nothing if there is no row for it.

func selling(status string) bool { return status == Active || status == Markdown }

// listItem makes a participant add an item.
func (p *Platform) listItem(c *Change, event uint64) {
	e := p.books.Events.Get(event)
	owner, ok := p.index.participants.pick(p.rng, event)
	if !ok {
		return
	}
	category := pickCategory(p.rng)
	c.Insert(Item{
		ID: next(&p.ids.item), EventID: event, EventConsignorID: owner, CategoryID: uint64(category + 1),
		PriceCents: pickPrice(p.rng, goodsCategories()[category], e.Currency), Status: Draft, MarkdownEligible: p.chance(0.8),
		ImageBytes: 80_000 + p.rng.Int64N(900_000), UpdatedAt: p.now(),
	})
}

// publish puts a draft on sale.
func (p *Platform) publish(c *Change, event uint64) {
	e := p.books.Events.Get(event)
	id, ok := p.index.drafts.pick(p.rng, event)
	if !ok || e.Status != Registration && !selling(e.Status) {
		return
	}
	item := *p.books.Items.Get(id)
	now := p.now()
	item.Status, item.ListedAt, item.UpdatedAt, item.ShopifyProductID = Active, now, now, next(&p.ids.product)
	c.Update(item)
}

func (p *Platform) reprice(c *Change, event uint64) {
	id, ok := p.index.forSale.pick(p.rng, event)
	if !ok {
		return
	}
	item := *p.books.Items.Get(id)
	item.PriceCents, item.UpdatedAt = max(item.PriceCents*9/10, 1), p.now()
	c.Update(item)
}

// purchase places an order of one to five items. When the order gets lost, no row changes.
func (p *Platform) purchase(c *Change, event uint64) []Sale {
	e := p.books.Events.Get(event)
	if !selling(e.Status) {
		return nil
	}
	var chosen []uint64
	for range pickLines(p.rng) {
		if id, ok := p.index.forSale.pick(p.rng, event); ok && !slices.Contains(chosen, id) {
			chosen = append(chosen, id)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	now := p.now()
	order := Sale{EventID: event, ShopifyOrderID: next(&p.ids.order), Currency: e.Currency, Channel: pickChannel(p.rng), SoldAt: now}
	var sales []Sale
	var items []Row
	for _, id := range chosen {
		item := *p.books.Items.Get(id)
		item.Status, item.SoldAt, item.UpdatedAt, item.SoldPriceCents = Sold, now, now, item.PriceCents
		if e.Status == Markdown && item.MarkdownEligible {
			item.SoldPriceCents = half(item.PriceCents)
		}
		items = append(items, item)
		sale := order
		sale.ID, sale.ItemID, sale.AmountCents = next(&p.ids.sale), id, item.SoldPriceCents
		sales = append(sales, sale)
	}
	if p.losesOrders(e.ClientID) {
		p.loseOrder(e.ClientID, sales)
		return sales
	}
	c.Update(items...)
	for _, sale := range sales { // one after the other: one statement
		c.Insert(sale)
	}
	return sales
}

// returnItem returns a sold item within the return window. While the sale goes on, the item may be sold again.
func (p *Platform) returnItem(c *Change, event uint64) {
	e := p.books.Events.Get(event)
	id, ok := p.index.sold.pick(p.rng, event)
	now := p.now()
	if !ok || now.After(e.ReturnWindowEnd) || !selling(e.Status) && e.Status != Closed && e.Status != Returns {
		return
	}
	sale := *p.books.Sales.Get(id)
	row := p.books.Items.Get(sale.ItemID)
	if row == nil || row.Status != Sold {
		return
	}
	sale.IsReturned, sale.ReturnedAt = true, now
	item := *row
	item.Status, item.UpdatedAt = Returned, now
	if selling(e.Status) && p.chance(0.3) {
		item.Status, item.SoldAt, item.SoldPriceCents = Active, time.Time{}, 0
	}
	c.Update(sale, item)
}

// lockItems ends the sale of unsold items.
func (p *Platform) lockItems(c *Change, event uint64) {
	now := p.now()
	for _, id := range p.index.forSale.some(event, batch) {
		item := *p.books.Items.Get(id)
		item.Status, item.UpdatedAt = Locked, now
		c.Update(item)
	}
}

// transfer moves an unsold item on to the client's next sale event, in which its consignor takes part, too.
func (p *Platform) transfer(c *Change, event uint64) {
	e := p.books.Events.Get(event)
	id, ok := p.index.locked.pick(p.rng, event)
	if !ok {
		return
	}
	item := *p.books.Items.Get(id)
	target := p.nextEvent(e)
	if target == nil || item.TransferCount >= maxTransfers {
		return
	}
	now := p.now()
	consignor := p.books.EventConsignors.Get(item.EventConsignorID).ConsignorID
	owner := p.index.joined[[2]uint64{target.ID, consignor}]
	if owner == 0 {
		owner = next(&p.ids.participant)
		c.Insert(EventConsignor{ID: owner, EventID: target.ID, ConsignorID: consignor, Type: Regular, CreatedAt: now})
	}
	moved := item
	moved.ID, moved.EventID, moved.EventConsignorID = next(&p.ids.item), target.ID, owner
	moved.Status, moved.ShopifyProductID, moved.TransferCount = Draft, 0, item.TransferCount+1
	moved.ListedAt, moved.SyncedAt, moved.UpdatedAt = time.Time{}, time.Time{}, now
	item.Status, item.UpdatedAt = Transferred, now
	c.Insert(moved)
	c.Update(item)
}

// nextEvent returns the client's next sale event that takes items, or nil.
func (p *Platform) nextEvent(e *Event) *Event {
	for i := range p.books.Events {
		if other := &p.books.Events[i]; other.ClientID == e.ClientID && (other.Status == Registration || other.Status == Setup) && other.Currency == e.Currency {
			return other
		}
	}
	return nil
}

// settleAccounts creates the participants' settlements.
func (p *Platform) settleAccounts(c *Change, event uint64) {
	sold := map[uint64]int64{}
	for i := range p.books.Sales {
		s := &p.books.Sales[i]
		if s.EventID != event || s.IsReturned {
			continue
		}
		if item := p.books.Items.Get(s.ItemID); item != nil {
			sold[item.EventConsignorID] += s.AmountCents
		}
	}
	now := p.now()
	var settlements []Row
	for _, id := range p.index.unsettled.some(event, batch) {
		participant := *p.books.EventConsignors.Get(id)
		participant.TotalEarningsCents = earnings(&participant, sold[id])
		s := Settlement{ID: next(&p.ids.settlement), EventID: event, EventConsignorID: id, AmountCents: participant.TotalEarningsCents, Status: Pending, CreatedAt: now}
		if s.AmountCents == 0 {
			s.Status = Cancelled
		}
		c.Update(participant)
		settlements = append(settlements, s)
	}
	c.Insert(settlements...)
}

func (p *Platform) pay(c *Change, event uint64, n int) {
	if p.books.Events.Get(event).Status != Reconciliation {
		return
	}
	now := p.now()
	for _, id := range p.index.pending.some(event, n) {
		s := *p.books.Settlements.Get(id)
		s.Status, s.PaidAt = Paid, now
		participant := *p.books.EventConsignors.Get(s.EventConsignorID)
		participant.IsPaid = true
		c.Update(s, participant)
	}
}

// advance moves a sale event to its next status when that is due and its conditions are met.
func (p *Platform) advance(c *Change, event uint64) {
	e := *p.books.Events.Get(event)
	now := p.now()
	due := dueStatus(&e, now, p.day())
	if due == e.Status {
		return
	}
	switch due {
	case Setup:
		if p.chance(0.04) {
			due = Cancelled
		}
	case Registration:
		expected := max(p.config.Items/p.config.Events/itemsEach, 5)
		for _, slot := range slotsOf(&e, p.day(), &p.ids, expected) {
			c.Insert(slot)
		}
		for _, shift := range shiftsOf(&e, p.day(), &p.ids, expected) {
			c.Insert(shift)
		}
	case Reconciliation:
		if p.index.forSale.len(event) > 0 {
			return
		}
	case Complete:
		if p.index.unsettled.len(event) > 0 || p.index.pending.len(event) > 0 {
			return
		}
		e.CompletedAt = now
	}
	e.Status = due
	c.Update(e)
}

// planEvent drafts a client's next sale event.
func (p *Platform) planEvent(c *Change, client uint64) {
	row := p.books.Clients.Get(client)
	if p.index.events.len(client) > 1 {
		return
	}
	start := p.now().Add(days(p.day(), setupBefore+1+5*p.rng.Float64())).Truncate(time.Microsecond)
	e := newEvent(next(&p.ids.event), row, start, p.day(), p.books)
	c.Insert(e)
}

package simulator

import (
	"slices"
	"time"
)

// Activities of a sale event. Each changes nothing if there is no row for it.

// listItem makes a participant add an item.
func (l *Life) listItem(c *Change, event uint64) {
	e := l.books.Events.Get(event)
	owner, ok := l.index.participants.pick(l.rng, event)
	if !ok {
		return
	}
	category := pickCategory(l.rng)
	c.Insert(Item{
		ID: l.ids.of(Item{}), EventID: event, EventConsignorID: owner, CategoryID: uint64(category + 1),
		PriceCents: pickPrice(l.rng, goodsCategories()[category], e.Currency), Status: Draft, MarkdownEligible: l.chance(0.8),
		ImageBytes: 80_000 + l.rng.Int64N(900_000), UpdatedAt: l.now(),
	})
}

// publish puts a draft on sale.
func (l *Life) publish(c *Change, event uint64) {
	e := l.books.Events.Get(event)
	id, ok := l.index.drafts.pick(l.rng, event)
	if !ok || e.Status != Registration && !selling(e.Status) {
		return
	}
	item := *l.books.Items.Get(id)
	now := l.now()
	item.Status, item.ListedAt, item.UpdatedAt, item.ShopifyProductID = Active, now, now, l.ids.next(products)
	c.Update(item)
}

func (l *Life) reprice(c *Change, event uint64) {
	id, ok := l.index.forSale.pick(l.rng, event)
	if !ok {
		return
	}
	item := *l.books.Items.Get(id)
	item.PriceCents, item.UpdatedAt = max(item.PriceCents*9/10, 1), l.now()
	c.Update(item)
}

// Buying reports whether shoppers of a client can buy.
func (l *Life) Buying(client uint64) bool {
	return !l.faults.isOn(SaleStalled, client) && !l.faults.isOn(CheckoutFailing, client) && !l.shops.ShopDown(client)
}

// buy makes a shopper buy: by a request to the API if visitors use one, else directly.
func (l *Life) buy(c *Change, client, event uint64) {
	if !l.Living.Load() || !l.visitors.Order(client, event) {
		l.Purchase(c, event)
	}
}

// Purchase places an order of one to five items. When the order gets lost, no row changes.
func (l *Life) Purchase(c *Change, event uint64) []Sale {
	e := l.books.Events.Get(event)
	if !selling(e.Status) {
		return nil
	}
	var chosen []uint64
	for range pickLines(l.rng) {
		if id, ok := l.index.forSale.pick(l.rng, event); ok && !slices.Contains(chosen, id) {
			chosen = append(chosen, id)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	now := l.now()
	order := Sale{EventID: event, ShopifyOrderID: l.ids.next(orders), Currency: e.Currency, Channel: pickChannel(l.rng), SoldAt: now}
	var sales []Sale
	var items []Row
	for _, id := range chosen {
		item := *l.books.Items.Get(id)
		item.Status, item.SoldAt, item.UpdatedAt, item.SoldPriceCents = Sold, now, now, item.PriceCents
		if e.Status == Markdown && item.MarkdownEligible {
			item.SoldPriceCents = half(item.PriceCents)
		}
		items = append(items, item)
		sale := order
		sale.ID, sale.ItemID, sale.AmountCents = l.ids.of(Sale{}), id, item.SoldPriceCents
		sales = append(sales, sale)
	}
	if l.shops.LoseOrder(e.ClientID, sales) {
		return sales
	}
	c.Update(items...)
	for _, sale := range sales { // one after the other: one statement
		c.Insert(sale)
	}
	return sales
}

// returnItem returns a sold item within the return window. While the sale goes on, the item may be sold again.
func (l *Life) returnItem(c *Change, event uint64) {
	e := l.books.Events.Get(event)
	id, ok := l.index.sold.pick(l.rng, event)
	now := l.now()
	if !ok || now.After(e.ReturnWindowEnd) || !selling(e.Status) && e.Status != Closed && e.Status != Returns {
		return
	}
	sale := *l.books.Sales.Get(id)
	row := l.books.Items.Get(sale.ItemID)
	if row == nil || row.Status != Sold {
		return
	}
	sale.IsReturned, sale.ReturnedAt = true, now
	item := *row
	item.Status, item.UpdatedAt = Returned, now
	if selling(e.Status) && l.chance(0.3) {
		item.Status, item.SoldAt, item.SoldPriceCents = Active, time.Time{}, 0
	}
	c.Update(sale, item)
}

// lockItems ends the sale of unsold items.
func (l *Life) lockItems(c *Change, event uint64) {
	now := l.now()
	for _, id := range l.index.forSale.some(event, batch) {
		item := *l.books.Items.Get(id)
		item.Status, item.UpdatedAt = Locked, now
		c.Update(item)
	}
}

// transfer moves an unsold item on to the client's next sale event, in which its consignor takes part, too.
func (l *Life) transfer(c *Change, event uint64) {
	e := l.books.Events.Get(event)
	id, ok := l.index.locked.pick(l.rng, event)
	if !ok {
		return
	}
	item := *l.books.Items.Get(id)
	target := l.nextEvent(e)
	if target == nil || item.TransferCount >= maxTransfers {
		return
	}
	now := l.now()
	consignor := l.books.EventConsignors.Get(item.EventConsignorID).ConsignorID
	owner := l.index.joined[[2]uint64{target.ID, consignor}]
	if owner == 0 {
		owner = l.ids.of(EventConsignor{})
		c.Insert(EventConsignor{ID: owner, EventID: target.ID, ConsignorID: consignor, Type: Regular, CreatedAt: now})
	}
	moved := item
	moved.ID, moved.EventID, moved.EventConsignorID = l.ids.of(Item{}), target.ID, owner
	moved.Status, moved.ShopifyProductID, moved.TransferCount = Draft, 0, item.TransferCount+1
	moved.ListedAt, moved.SyncedAt, moved.UpdatedAt = time.Time{}, time.Time{}, now
	item.Status, item.UpdatedAt = Transferred, now
	c.Insert(moved)
	c.Update(item)
}

// nextEvent returns the client's next sale event that takes items, or nil.
func (l *Life) nextEvent(e *Event) *Event {
	for i := range l.books.Events {
		if other := &l.books.Events[i]; other.ClientID == e.ClientID && (other.Status == Registration || other.Status == Setup) && other.Currency == e.Currency {
			return other
		}
	}
	return nil
}

// settleAccounts creates the participants' settlements.
func (l *Life) settleAccounts(c *Change, event uint64) {
	sold := map[uint64]int64{}
	for i := range l.books.Sales {
		s := &l.books.Sales[i]
		if s.EventID != event || s.IsReturned {
			continue
		}
		if item := l.books.Items.Get(s.ItemID); item != nil {
			sold[item.EventConsignorID] += s.AmountCents
		}
	}
	now := l.now()
	var settlements []Row
	for _, id := range l.index.unsettled.some(event, batch) {
		participant := *l.books.EventConsignors.Get(id)
		participant.TotalEarningsCents = earnings(&participant, sold[id])
		s := Settlement{ID: l.ids.of(Settlement{}), EventID: event, EventConsignorID: id, AmountCents: participant.TotalEarningsCents, Status: Pending, CreatedAt: now}
		if s.AmountCents == 0 {
			s.Status = Cancelled
		}
		c.Update(participant)
		settlements = append(settlements, s)
	}
	c.Insert(settlements...)
}

func (l *Life) pay(c *Change, event uint64, n int) {
	if l.books.Events.Get(event).Status != Reconciliation {
		return
	}
	now := l.now()
	for _, id := range l.index.pending.some(event, n) {
		s := *l.books.Settlements.Get(id)
		s.Status, s.PaidAt = Paid, now
		participant := *l.books.EventConsignors.Get(s.EventConsignorID)
		participant.IsPaid = true
		c.Update(s, participant)
	}
}

// advance moves a sale event to its next status when that is due and its conditions are met.
func (l *Life) advance(c *Change, event uint64) {
	e := *l.books.Events.Get(event)
	now := l.now()
	due := dueStatus(&e, now, l.day())
	if due == e.Status {
		return
	}
	switch due {
	case Setup:
		if l.chance(0.04) {
			due = Cancelled
		}
	case Registration:
		expected := max(l.config.Items/l.config.Events/itemsEach, 5)
		for _, slot := range slotsOf(&e, l.day(), l.ids, expected) {
			c.Insert(slot)
		}
		for _, shift := range shiftsOf(&e, l.day(), l.ids, expected) {
			c.Insert(shift)
		}
	case Reconciliation:
		if l.index.forSale.len(event) > 0 {
			return
		}
	case Complete:
		if l.index.unsettled.len(event) > 0 || l.index.pending.len(event) > 0 {
			return
		}
		e.CompletedAt = now
	}
	e.Status = due
	c.Update(e)
}

// planEvent drafts a client's next sale event.
func (l *Life) planEvent(c *Change, client uint64) {
	row := l.books.Clients.Get(client)
	if l.index.events.len(client) > 1 {
		return
	}
	start := l.now().Add(days(l.day(), setupBefore+1+5*l.rng.Float64())).Truncate(time.Microsecond)
	e := newEvent(l.ids.of(Event{}), row, start, l.day(), l.books)
	c.Insert(e)
}

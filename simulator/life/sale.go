package life

import (
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Activities of a sale event. Each changes nothing if there is no row for it.

// listItem makes a participant add an item.
func (l *Life) listItem(c *store.Change, event uint64) {
	e := l.Books.Events.Get(event)
	owner, ok := l.Index.Participants.Pick(l.rng, event)
	if !ok {
		return
	}
	category := world.PickCategory(l.rng)
	c.Insert(world.Item{
		ID: l.IDs.Of(world.Item{}), EventID: event, EventConsignorID: owner, CategoryID: uint64(category + 1),
		PriceCents: world.PickPrice(l.rng, world.GoodsCategories()[category], e.Currency), Status: world.Draft, MarkdownEligible: l.chance(0.8),
		ImageBytes: 80_000 + l.rng.Int64N(900_000), UpdatedAt: l.Now(),
	})
}

// publish puts a draft on sale.
func (l *Life) publish(c *store.Change, event uint64) {
	e := l.Books.Events.Get(event)
	id, ok := l.Index.Drafts.Pick(l.rng, event)
	if !ok || e.Status != world.Registration && !world.Selling(e.Status) {
		return
	}
	item := *l.Books.Items.Get(id)
	now := l.Now()
	item.Status, item.ListedAt, item.UpdatedAt, item.ShopifyProductID = world.Active, now, now, l.IDs.Next(world.Products)
	c.Update(item)
}

func (l *Life) reprice(c *store.Change, event uint64) {
	id, ok := l.Index.ForSale.Pick(l.rng, event)
	if !ok {
		return
	}
	item := *l.Books.Items.Get(id)
	item.PriceCents, item.UpdatedAt = max(item.PriceCents*9/10, 1), l.Now()
	c.Update(item)
}

// Buying reports whether shoppers of a client can buy.
func (l *Life) Buying(client uint64) bool {
	return !l.faults.IsOn(faults.SaleStalled, client) && !l.faults.IsOn(faults.CheckoutFailing, client) && !l.shops.ShopDown(client)
}

// buy makes a shopper buy: by a request to the API if visitors use one, else directly.
func (l *Life) buy(c *store.Change, client, event uint64) {
	if !l.Living.Load() || !l.visitors.Order(client, event) {
		l.Purchase(c, event)
	}
}

// Purchase places an order of one to five items. When the order gets lost, no row changes.
func (l *Life) Purchase(c *store.Change, event uint64) []world.Sale {
	e := l.Books.Events.Get(event)
	if !world.Selling(e.Status) {
		return nil
	}
	var chosen []uint64
	for range world.PickLines(l.rng) {
		if id, ok := l.Index.ForSale.Pick(l.rng, event); ok && !slices.Contains(chosen, id) {
			chosen = append(chosen, id)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	now := l.Now()
	order := world.Sale{EventID: event, ShopifyOrderID: l.IDs.Next(world.Orders), Channel: world.PickChannel(l.rng), SoldAt: now}
	order.Currency = world.OrderCurrency(e, order.ShopifyOrderID)
	var sales []world.Sale
	var items []world.Row
	for _, id := range chosen {
		item := *l.Books.Items.Get(id)
		item.Status, item.SoldAt, item.UpdatedAt, item.SoldPriceCents = world.Sold, now, now, item.PriceCents
		if e.Status == world.Markdown && item.MarkdownEligible {
			item.SoldPriceCents = world.Half(item.PriceCents)
		}
		items = append(items, item)
		sale := order
		sale.ID, sale.ItemID, sale.AmountCents = l.IDs.Of(world.Sale{}), id, item.SoldPriceCents
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
func (l *Life) returnItem(c *store.Change, event uint64) {
	e := l.Books.Events.Get(event)
	id, ok := l.Index.Sold.Pick(l.rng, event)
	now := l.Now()
	if !ok || now.After(e.ReturnWindowEnd) || !world.Selling(e.Status) && e.Status != world.Closed && e.Status != world.Returns {
		return
	}
	sale := *l.Books.Sales.Get(id)
	row := l.Books.Items.Get(sale.ItemID)
	if row == nil || row.Status != world.Sold {
		return
	}
	sale.IsReturned, sale.ReturnedAt = true, now
	item := *row
	item.Status, item.UpdatedAt = world.Returned, now
	if world.Selling(e.Status) && l.chance(0.3) {
		item.Status, item.SoldAt, item.SoldPriceCents = world.Active, time.Time{}, 0
	}
	c.Update(sale, item)
}

// lockItems ends the sale of unsold items.
func (l *Life) lockItems(c *store.Change, event uint64) {
	now := l.Now()
	for _, id := range l.Index.ForSale.Some(event, world.Batch) {
		item := *l.Books.Items.Get(id)
		item.Status, item.UpdatedAt = world.Locked, now
		c.Update(item)
	}
}

// transfer moves an unsold item on to the client's next sale event, in which its consignor takes part, too.
func (l *Life) transfer(c *store.Change, event uint64) {
	e := l.Books.Events.Get(event)
	id, ok := l.Index.Locked.Pick(l.rng, event)
	if !ok {
		return
	}
	item := *l.Books.Items.Get(id)
	target := l.nextEvent(e)
	if target == nil || item.TransferCount >= world.MaxTransfers {
		return
	}
	now := l.Now()
	consignor := l.Books.EventConsignors.Get(item.EventConsignorID).ConsignorID
	owner := l.Index.Joined[[2]uint64{target.ID, consignor}]
	if owner == 0 {
		owner = l.IDs.Of(world.EventConsignor{})
		c.Insert(world.EventConsignor{ID: owner, EventID: target.ID, ConsignorID: consignor, Type: world.Regular, CreatedAt: now})
	}
	moved := item
	moved.ID, moved.EventID, moved.EventConsignorID = l.IDs.Of(world.Item{}), target.ID, owner
	moved.Status, moved.ShopifyProductID, moved.TransferCount = world.Draft, 0, item.TransferCount+1
	moved.ListedAt, moved.SyncedAt, moved.UpdatedAt = time.Time{}, time.Time{}, now
	item.Status, item.UpdatedAt = world.Transferred, now
	c.Insert(moved)
	c.Update(item)
}

// nextEvent returns the client's next sale event that takes items, or nil.
func (l *Life) nextEvent(e *world.Event) *world.Event {
	for i := range l.Books.Events {
		if other := &l.Books.Events[i]; other.ClientID == e.ClientID && (other.Status == world.Registration || other.Status == world.Setup) && other.Currency == e.Currency {
			return other
		}
	}
	return nil
}

// settleAccounts creates the participants' settlements.
func (l *Life) settleAccounts(c *store.Change, event uint64) {
	sold := map[uint64]int64{}
	for i := range l.Books.Sales {
		s := &l.Books.Sales[i]
		if s.EventID != event || s.IsReturned {
			continue
		}
		if item := l.Books.Items.Get(s.ItemID); item != nil {
			sold[item.EventConsignorID] += item.SoldPriceCents // in the sale event's currency, unlike the sale's amount
		}
	}
	now := l.Now()
	var settlements []world.Row
	for _, id := range l.Index.Unsettled.Some(event, world.Batch) {
		participant := *l.Books.EventConsignors.Get(id)
		participant.TotalEarningsCents = world.Earnings(&participant, sold[id])
		s := world.Settlement{ID: l.IDs.Of(world.Settlement{}), EventID: event, EventConsignorID: id, AmountCents: participant.TotalEarningsCents, Status: world.Pending, CreatedAt: now}
		if s.AmountCents == 0 {
			s.Status = world.Cancelled
		}
		c.Update(participant)
		settlements = append(settlements, s)
	}
	c.Insert(settlements...)
}

func (l *Life) pay(c *store.Change, event uint64, n int) {
	if l.Books.Events.Get(event).Status != world.Reconciliation {
		return
	}
	now := l.Now()
	for _, id := range l.Index.Pending.Some(event, n) {
		s := *l.Books.Settlements.Get(id)
		s.Status, s.PaidAt = world.Paid, now
		participant := *l.Books.EventConsignors.Get(s.EventConsignorID)
		participant.IsPaid = true
		c.Update(s, participant)
	}
}

// advance moves a sale event to its next status when that is due and its conditions are met.
func (l *Life) advance(c *store.Change, event uint64) {
	e := *l.Books.Events.Get(event)
	now := l.Now()
	due := world.DueStatus(&e, now, l.Day())
	if due == e.Status {
		return
	}
	switch due {
	case world.Setup:
		if l.chance(0.04) {
			due = world.Cancelled
		}
	case world.Registration:
		expected := max(l.config.Items/l.config.Events/world.ItemsEach, 5)
		for _, slot := range world.SlotsOf(&e, l.Day(), l.IDs, expected) {
			c.Insert(slot)
		}
		for _, shift := range world.ShiftsOf(&e, l.Day(), l.IDs, expected) {
			c.Insert(shift)
		}
	case world.Reconciliation:
		if l.Index.ForSale.Len(event) > 0 {
			return
		}
	case world.Complete:
		if l.Index.Unsettled.Len(event) > 0 || l.Index.Pending.Len(event) > 0 {
			return
		}
		e.CompletedAt = now
	}
	e.Status = due
	c.Update(e)
}

// planEvent drafts a client's next sale event.
func (l *Life) planEvent(c *store.Change, client uint64) {
	row := l.Books.Clients.Get(client)
	if l.Index.Events.Len(client) > 1 {
		return
	}
	start := l.Now().Add(world.Days(l.Day(), world.SetupBefore+1+5*l.rng.Float64())).Truncate(time.Microsecond)
	e := world.NewEvent(l.IDs.Of(world.Event{}), row, start, l.Day(), l.Books)
	c.Insert(e)
}

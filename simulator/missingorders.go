package simulator

import "slices"

// missingOrder is an order that the shop has and the platform lacks, because its webhook was lost. In the books its items stay active, but
// nobody else can buy them.
type missingOrder struct {
	lines []Sale
}

// losesOrders reports whether the orders of a client get lost.
func (p *Platform) losesOrders(client uint64) bool {
	if p.external == nil {
		return false
	}
	p.external.mu.Lock()
	defer p.external.mu.Unlock()
	return p.external.ordersLost[client]
}

// loseOrder creates an order in the shop and not in the books. The caller holds writeLock.
func (p *Platform) loseOrder(client uint64, lines []Sale) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range lines {
		p.index.reserve(p.books.Items.Get(s.ItemID), true)
	}
	o := p.external
	o.mu.Lock()
	o.missingOrders[client] = append(o.missingOrders[client], missingOrder{lines})
	o.mu.Unlock()
	o.logError(o.order(p.books, lines))
}

// missingCount returns the number of a client's missing orders.
func (o *externalServices) missingCount(client uint64) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.missingOrders[client])
}

// importLate records the oldest missing orders of a client.
func (p *Platform) importLate(c *Change, client uint64) {
	o := p.external
	o.mu.Lock()
	n := min(len(o.missingOrders[client]), batch/5)
	orders := slices.Clone(o.missingOrders[client][:n])
	o.mu.Unlock()
	now := p.now()
	var sales []Row
	for _, order := range orders {
		for _, s := range order.lines {
			if row := p.books.Items.Get(s.ItemID); row != nil {
				item := *row
				item.Status, item.SoldAt, item.UpdatedAt, item.SoldPriceCents = Sold, s.SoldAt, now, s.AmountCents
				c.Update(item)
			}
			sales = append(sales, s)
		}
	}
	c.Insert(sales...)
	c.importedLate = true
	c.effects = append(c.effects, func(b *Books, x *index) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.missingOrders[client] = o.missingOrders[client][n:]
		for _, order := range orders {
			for _, s := range order.lines {
				x.reserve(b.Items.Get(s.ItemID), false)
			}
		}
	})
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

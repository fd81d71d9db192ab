package platform

import "slices"

// lostOrder is one that a shop has, and that the platform knows nothing of: its webhook was lost. Its items stay as they are in
// the books, but nobody else can buy them.
type lostOrder struct {
	lines []Sale
}

// loses tells whether the platform does not hear of a client's orders.
func (p *Platform) loses(client uint64) bool {
	if p.outside == nil {
		return false
	}
	p.outside.mu.Lock()
	defer p.outside.mu.Unlock()
	return p.outside.losing[client]
}

// lose brings an order into the shop and not into the books. The caller holds the turn.
func (p *Platform) lose(client uint64, lines []Sale) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range lines {
		p.index.reserve(p.books.Items.Get(s.ItemID), true)
	}
	o := p.outside
	o.mu.Lock()
	o.lost[client] = append(o.lost[client], lostOrder{lines})
	o.mu.Unlock()
	o.report(o.order(p.books, lines))
}

// missing counts the orders that a client's shop has and the platform lacks.
func (o *outsiders) missing(client uint64) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lost[client])
}

// importLate records the oldest orders of a client that were lost.
func (p *Platform) importLate(c *Change, client uint64) {
	o := p.outside
	o.mu.Lock()
	n := min(len(o.lost[client]), batch/5)
	orders := slices.Clone(o.lost[client][:n])
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
	c.late = true
	c.effects = append(c.effects, func(b *Books, x *index) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.lost[client] = o.lost[client][n:]
		for _, order := range orders {
			for _, s := range order.lines {
				x.reserve(b.Items.Get(s.ItemID), false)
			}
		}
	})
}

// reserve keeps an item from being sold, or lets it be sold again.
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

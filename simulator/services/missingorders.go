package services

import (
	"slices"

	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// missingOrder is an order that the shop has and the platform lacks, because its webhook was lost. In the books its items stay active, but
// nobody else can buy them.
type missingOrder struct {
	lines []world.Sale
}

// losesOrders reports whether the orders of a client get lost.
func (o *Services) losesOrders(client uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ordersLost[client]
}

// LoseOrder creates an order in the shop and not in the books, if the client's orders get lost. The caller holds the store's write lock.
func (o *Services) LoseOrder(client uint64, lines []world.Sale) bool {
	if !o.losesOrders(client) {
		return false
	}
	o.Memory.Lock()
	defer o.Memory.Unlock()
	for _, s := range lines {
		o.Index.Reserve(o.Books.Items.Get(s.ItemID), true)
	}
	o.mu.Lock()
	o.missingOrders[client] = append(o.missingOrders[client], missingOrder{lines})
	o.mu.Unlock()
	o.logError(o.order(o.Books, lines))
	return true
}

// ImportsLate reports whether there are missing orders of a client that can be imported.
func (o *Services) ImportsLate(client uint64) bool {
	return o.missingCount(client) > 0 && !o.losesOrders(client)
}

// missingCount returns the number of a client's missing orders.
func (o *Services) missingCount(client uint64) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.missingOrders[client])
}

// ImportLate records the oldest missing orders of a client.
func (o *Services) ImportLate(c *store.Change, client uint64) {
	o.mu.Lock()
	n := min(len(o.missingOrders[client]), world.Batch/5)
	orders := slices.Clone(o.missingOrders[client][:n])
	o.mu.Unlock()
	now := o.Now()
	var sales []world.Row
	for _, order := range orders {
		for _, s := range order.lines {
			if row := o.Books.Items.Get(s.ItemID); row != nil {
				item := *row
				item.Status, item.SoldAt, item.UpdatedAt, item.SoldPriceCents = world.Sold, s.SoldAt, now, s.AmountCents
				c.Update(item)
			}
			sales = append(sales, s)
		}
	}
	c.Insert(sales...)
	c.ImportedLate = true
	c.Then(func(b *world.Books, x *world.Index) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.missingOrders[client] = o.missingOrders[client][n:]
		for _, order := range orders {
			for _, s := range order.lines {
				x.Reserve(b.Items.Get(s.ItemID), false)
			}
		}
	})
}

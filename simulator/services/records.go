package services

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/simulator/services/clerk"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// How the external services get the rows of the books.

// ordersKept is how far back a shop returns its orders.
const ordersKept = 60 * 24 * time.Hour

// Seed fills the services from the books: recent orders, products of synced items, users.
func (o *Services) Seed(b *world.Books) error {
	var clients []shopClient
	for _, c := range b.Clients {
		access := b.ShopifyAccess.Get(c.ID)
		if !c.Active || access == nil {
			continue
		}
		clients = append(clients, shopClient{
			Slug: c.Slug, Name: c.Name, Domain: access.ShopDomain, Token: world.FakeToken(c.ID), TokenExpires: access.TokenExpiresAt,
		})
		o.shops[c.ID] = access.ShopDomain
	}
	if err := o.open(clients); err != nil {
		return fmt.Errorf("platform: external services: %w", err)
	}
	for i := range b.Items {
		if err := o.product(b, &b.Items[i]); err != nil {
			return fmt.Errorf("platform: external services: %w", err)
		}
	}
	since := o.Now().Add(-ordersKept)
	orders := world.OrdersOf(slices.DeleteFunc(slices.Clone(b.Sales), func(s world.Sale) bool { return s.SoldAt.Before(since) }))
	slices.SortFunc(orders, func(a, b []world.Sale) int { return a[0].SoldAt.Compare(b[0].SoldAt) }) // the fake appends
	for _, lines := range orders {
		if domain := o.shopOf(b, lines[0].EventID); domain != "" {
			if _, err := o.Shopify.PutOrder(domain, shopOrder(lines)); err != nil {
				return fmt.Errorf("platform: external services: %w", err)
			}
		}
	}
	for _, c := range b.Consignors {
		if c.Active {
			if _, err := o.Clerk.AddUser(user(c)); err != nil {
				return fmt.Errorf("platform: external services: %w", err)
			}
		}
	}
	return nil
}

// shopOf returns the domain of the shop of a sale event; "" if there is none. The caller may read the books.
func (o *Services) shopOf(b *world.Books, event uint64) string {
	e := b.Events.Get(event)
	if e == nil {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shops[e.ClientID]
}

// Changed applies a change of the books to the services.
func (o *Services) Changed(b *world.Books, c *store.Change) {
	var sold []world.Sale
	for _, n := range c.Rows {
		var err error
		switch after := n.After.(type) {
		case nil:
			err = o.remove(b, n.Before)
		case world.Sale:
			before, known := n.Before.(world.Sale)
			switch {
			case !known:
				sold = append(sold, after)
			case after.IsReturned && !before.IsReturned:
				err = o.refund(b, after)
			}
		case world.Item:
			before, known := n.Before.(world.Item)
			if !known || before.SyncedAt.IsZero() {
				err = o.product(b, &after)
			}
		case world.Consignor:
			if n.Before == nil {
				_, err = o.Clerk.SignUp(user(after))
			}
		}
		o.logError(err)
	}
	if c.ImportedLate { // the shop has them already
		return
	}
	for _, lines := range world.OrdersOf(sold) {
		o.logError(o.order(b, lines))
	}
}

func (o *Services) logError(err error) {
	if err != nil {
		o.Logger.Warn("platform: the external services do not follow", "err", err)
	}
}

// order creates an order in its shop.
func (o *Services) order(b *world.Books, lines []world.Sale) error {
	domain := o.shopOf(b, lines[0].EventID)
	if domain == "" {
		return nil
	}
	o.mu.Lock()
	if !o.ordersLost[b.Events.Get(lines[0].EventID).ClientID] {
		o.orderEvents[lines[0].ShopifyOrderID] = b.Events.Get(lines[0].EventID).Slug
	}
	o.mu.Unlock()
	_, err := o.Shopify.CreateOrder(domain, shopOrder(lines))
	return err
}

// takeOrderEvent returns the sale event of an order whose webhook has arrived, once.
func (o *Services) takeOrderEvent(body []byte) (event string, ok bool) {
	var order struct {
		ID uint64 `json:"id"`
	}
	if json.Unmarshal(body, &order) != nil {
		return "", false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	event, ok = o.orderEvents[order.ID]
	delete(o.orderEvents, order.ID)
	return event, ok
}

// refund updates a refunded order in the shop. The order may be older than what the shop keeps.
func (o *Services) refund(b *world.Books, s world.Sale) error {
	domain := o.shopOf(b, s.EventID)
	if domain == "" || s.SoldAt.Before(o.Now().Add(-ordersKept)) {
		return nil
	}
	var lines []world.Sale
	for _, other := range b.Sales {
		if other.ShopifyOrderID == s.ShopifyOrderID {
			lines = append(lines, other)
		}
	}
	return o.Shopify.UpdateOrder(domain, int64(s.ShopifyOrderID), func(order *shopify.Order) { order.FinancialStatus = shopOrder(lines).FinancialStatus })
}

// remove removes deleted rows from the shop: an order is cancelled.
func (o *Services) remove(b *world.Books, row world.Row) error {
	switch row := row.(type) {
	case world.Sale:
		domain := o.shopOf(b, row.EventID)
		if domain == "" || slices.ContainsFunc(b.Sales, func(s world.Sale) bool { return s.ShopifyOrderID == row.ShopifyOrderID }) {
			return nil
		}
		return o.Shopify.UpdateOrder(domain, int64(row.ShopifyOrderID), func(order *shopify.Order) { order.CancelledAt = o.Now() })
	case world.Item:
		if domain := o.shopOf(b, row.EventID); domain != "" && inShop(&row) {
			return o.Shopify.DeleteProduct(domain, int64(row.ShopifyProductID))
		}
	}
	return nil
}

// inShop reports whether an item is a product in the shop.
func inShop(i *world.Item) bool { return i.ShopifyProductID != 0 && !i.SyncedAt.IsZero() }

func (o *Services) product(b *world.Books, i *world.Item) error {
	domain := o.shopOf(b, i.EventID)
	if domain == "" || !inShop(i) {
		return nil
	}
	_, err := o.Shopify.PutProduct(domain, shopify.Product{ID: int64(i.ShopifyProductID), Title: world.FakeTitle(i.ID, i.CategoryID), CreatedAt: i.SyncedAt})
	return err
}

// shopOrder returns an order as the shop has it.
func shopOrder(lines []world.Sale) shopify.Order {
	o := shopify.Order{ID: int64(lines[0].ShopifyOrderID), CreatedAt: lines[0].SoldAt}
	kept := func(s world.Sale) bool { return !s.IsReturned }
	returned := func(s world.Sale) bool { return s.IsReturned }
	switch {
	case !slices.ContainsFunc(lines, kept):
		o.FinancialStatus = "REFUNDED"
	case slices.ContainsFunc(lines, returned):
		o.FinancialStatus = "PARTIALLY_REFUNDED"
	}
	return o
}

// user returns a consignor as Clerk has them.
func user(c world.Consignor) clerk.User {
	return clerk.User{ID: fmt.Sprintf("user_%027d", c.ID), CreatedAt: c.CreatedAt, LastActiveAt: c.LastSyncAttempt}
}

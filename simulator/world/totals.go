package world

import "time"

// Totals are the sums over the items and sales of one sale event. Money is in minor units.
type Totals struct {
	Items          map[ItemGroup]Sum
	Orders         map[string]int64  // distinct orders, by channel
	Sales          map[SaleGroup]Sum // sales that were not returned
	Returns        map[uint64]int64  // sales that were returned, by category id (0: the item is missing)
	Unsynced       int64             // items that the shop does not have as they are
	OldestUnsynced time.Time         // zero when there is none
	StoredBytes    int64             // of the items' images
	OrderParts     map[int]int64     // distinct orders, by the part of the sale (see partOf)
	ListedParts    map[int]int64     // items, by the part in which they were listed, from four lengths of the sale before it begins
	Violations     map[string]int64  // of the checks on items and sales
}

// ItemGroup is what items are counted by.
type ItemGroup struct {
	CategoryID uint64
	State      string
}

// SaleGroup is what sales are summed by. CategoryID 0 stands for an item that is missing.
type SaleGroup struct {
	CategoryID uint64
	Currency   string
}

// Sum is a number of rows and their money. The money of an item is its price, of a sold one what was paid for it.
type Sum struct{ Count, Cents int64 }

func newTotals() *Totals {
	return &Totals{Items: map[ItemGroup]Sum{}, Orders: map[string]int64{}, Sales: map[SaleGroup]Sum{}, Returns: map[uint64]int64{}, Violations: map[string]int64{},
		OrderParts: map[int]int64{}, ListedParts: map[int]int64{}}
}

const (
	PartsOfSale  = 72 // hours of a sale of three days
	ListedBefore = 4  // lengths of the sale before it begins in which items are listed
)

// partOf returns the 72nd part of a sale event's length that a time lies in, counted from some lengths before its start.
func partOf(e *Event, at time.Time, lengthsBefore int64) int {
	length := e.EndAt.Sub(e.StartAt).Microseconds()
	return max(int(PartsOfSale*(at.Sub(e.StartAt).Microseconds()+lengthsBefore*length)/length), 0)
}

// SaleTotals returns the totals of every sale event that has items or sales, by its id.
func (b *Books) SaleTotals() map[uint64]Totals {
	totals := map[uint64]*Totals{}
	of := func(event uint64) *Totals {
		if totals[event] == nil {
			totals[event] = newTotals()
		}
		return totals[event]
	}
	type salesOfItem struct{ all, kept int64 }
	salesOf := make(map[uint64]salesOfItem, len(b.Sales))
	type order struct {
		event, id uint64
		channel   string
	}
	orders := map[order]bool{}
	type orderPart struct {
		event, id uint64
		part      int
	}
	orderParts := map[orderPart]bool{}

	for i := range b.Sales {
		s := &b.Sales[i]
		t := of(s.EventID)
		n := salesOf[s.ItemID]
		n.all++
		if !s.IsReturned {
			n.kept++
		}
		salesOf[s.ItemID] = n

		var category uint64
		if item := b.Items.Get(s.ItemID); item != nil {
			category = item.CategoryID
		} else {
			t.Violations[SaleWithoutItem]++
		}
		if s.IsReturned {
			t.Returns[category]++
			if e := b.Events.Get(s.EventID); e != nil && s.ReturnedAt.After(e.ReturnWindowEnd) {
				t.Violations[ReturnAfterWindow]++
			}
		} else {
			group := SaleGroup{category, s.Currency}
			sum := t.Sales[group]
			t.Sales[group] = Sum{sum.Count + 1, sum.Cents + s.AmountCents}
		}
		if key := (order{s.EventID, s.ShopifyOrderID, s.Channel}); !orders[key] {
			orders[key] = true
			t.Orders[s.Channel]++
		}
		if e := b.Events.Get(s.EventID); e != nil {
			if key := (orderPart{s.EventID, s.ShopifyOrderID, partOf(e, s.SoldAt, 0)}); !orderParts[key] {
				orderParts[key] = true
				t.OrderParts[key.part]++
			}
		}
	}
	for i := range b.Items {
		item := &b.Items[i]
		t := of(item.EventID)
		cents := item.PriceCents
		if item.Status == Sold {
			cents = item.SoldPriceCents
		}
		group := ItemGroup{item.CategoryID, item.Status}
		sum := t.Items[group]
		t.Items[group] = Sum{sum.Count + 1, sum.Cents + cents}
		t.StoredBytes += item.ImageBytes
		if e := b.Events.Get(item.EventID); e != nil && !item.ListedAt.IsZero() {
			t.ListedParts[partOf(e, item.ListedAt, ListedBefore)]++
		}
		if item.Unsynced() {
			t.Unsynced++
			if t.OldestUnsynced.IsZero() || item.UpdatedAt.Before(t.OldestUnsynced) {
				t.OldestUnsynced = item.UpdatedAt
			}
		}
		if item.Status == Sold && salesOf[item.ID].all == 0 {
			t.Violations[SoldWithoutSale]++
		}
		if salesOf[item.ID].kept > 1 {
			t.Violations[SoldTwice]++
		}
		if item.TransferCount > MaxTransfers {
			t.Violations[TooManyTransfers]++
		}
		if item.Status != Draft && item.PriceCents <= 0 {
			t.Violations[PriceNotPositive]++
		}
	}
	all := make(map[uint64]Totals, len(totals)+len(b.Totals))
	for id, t := range totals {
		all[id] = *t
	}
	for id, t := range b.Totals {
		all[id] = t
	}
	return all
}

// MaxTransfers is how often an unsold item may be transferred to a later sale event.
const MaxTransfers = 2

package world

import "slices"

// The ten integrity checks. Each counts rows that contradict each other or the rules of a sale, over the sale events
// that are exported (Books.Exported), per client of the sale event; a client without any has 0. Healthy life
// keeps all of them at 0.
const (
	// SoldWithoutSale counts items with status sold for which there is no row in sales at all (no row with this
	// item_id, returned or not). An item that was transferred is not sold.
	SoldWithoutSale = "sold_without_sale"
	// SaleWithoutItem counts sales (returned ones too) whose item_id is no row of items. The sale event is the
	// sale's.
	SaleWithoutItem = "sale_without_item"
	// NegativeRemaining counts drop-off slots and volunteer shifts with remaining < 0.
	NegativeRemaining = "negative_remaining"
	// OverbookedSlot counts drop-off slots and volunteer shifts that have more bookings with a status other than
	// cancelled than their capacity. What remaining says does not matter.
	OverbookedSlot = "overbooked_slot"
	// DoubleDropoff counts participants (event_consignors) with more than one drop-off booking in status scheduled.
	DoubleDropoff = "double_dropoff"
	// TooManyTransfers counts items with transfer_count > 2, whatever their status.
	TooManyTransfers = "too_many_transfers"
	// PriceNotPositive counts items with a status other than draft and price_cents <= 0.
	PriceNotPositive = "price_not_positive"
	// SoldTwice counts items with more than one sale that is not returned. The sale event is the item's.
	SoldTwice = "sold_twice"
	// ReturnAfterWindow counts sales with is_returned = 1 and returned_at > return_window_end of the sale's event.
	ReturnAfterWindow = "return_after_window"
	// PaidBeforeReconciliation counts participants (event_consignors) of a sale event in status setup,
	// registration, active, markdown, closed or returns who have is_paid = 1, or a settlement with status paid, or
	// both: each participant once.
	PaidBeforeReconciliation = "paid_before_reconciliation"
)

// Checks returns the names of the ten checks.
func Checks() []string {
	return []string{SoldWithoutSale, SaleWithoutItem, NegativeRemaining, OverbookedSlot, DoubleDropoff,
		TooManyTransfers, PriceNotPositive, SoldTwice, ReturnAfterWindow, PaidBeforeReconciliation}
}

// BeforeReconciliation reports whether a sale event has not come to its reconciliation.
func BeforeReconciliation(status string) bool {
	return slices.Contains([]string{Setup, Registration, Active, Markdown, Closed, Returns}, status)
}

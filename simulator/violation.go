package simulator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNoSaleEvent says that a client has no sale event for a violation.
var ErrNoSaleEvent = errors.New("the client has no sale event in which this can go wrong")

// InjectViolation adds exactly n violations of an integrity check to the sale events of a client, in the database and in the books, and
// returns their client and rows. They have rows of their own, which life leaves alone. Violations of paid_before_reconciliation end with
// the reconciliation of their sale event.
//
// The client needs a live sale event that is exported; without one the error is ErrNoSaleEvent. Client 0 is the first one with a suitable
// sale event.
func InjectViolation(ctx context.Context, s *Store, check string, client uint64, n int) (uint64, []Row, error) {
	if err := s.lockFilled(ctx); err != nil {
		return 0, nil, err
	}
	defer s.unlockWrites()
	if err := s.resolveUnknown(ctx); err != nil {
		return 0, nil, err
	}
	if !slices.Contains(Checks(), check) {
		return 0, nil, fmt.Errorf("platform: plant %q: no such check", check)
	}
	now := s.now()
	e := eventForViolation(s.books, check, client, now)
	if e == nil {
		return 0, nil, fmt.Errorf("platform: plant %s: %w", check, ErrNoSaleEvent)
	}
	c := s.newChange("plant " + check)
	violations := &violationRows{ids: s.ids, event: e, now: now}
	for range n {
		violations.addViolation(check)
	}
	c.Then(func(_ *Books, x *index) { x.inject(violations.rows) })
	c.Insert(violations.rows...)
	return e.ClientID, violations.rows, s.applyResolved(ctx, c)
}

// RemoveViolation deletes injected rows.
func RemoveViolation(ctx context.Context, s *Store, rows []Row) error {
	if err := s.lockFilled(ctx); err != nil {
		return err
	}
	defer s.unlockWrites()
	c := s.newChange("uproot")
	c.Delete(rows...)
	return s.applyResolved(ctx, c)
}

// eventForViolation returns a suitable sale event, preferably one that stays live for long; nil if there is none.
func eventForViolation(b *Books, check string, client uint64, now time.Time) *Event {
	var best *Event
	rank := func(e *Event) int {
		if check == ReturnAfterWindow && !e.ReturnWindowEnd.After(now) {
			return -1 // late returns look most natural where the window has ended
		}
		return slices.Index([]string{Active, Markdown, Registration, Setup, Closed, Returns, Reconciliation}, e.Status)
	}
	for i := range b.Events {
		e := &b.Events[i]
		owner := b.Clients.Get(e.ClientID)
		switch {
		case owner == nil || !owner.Active || client != 0 && e.ClientID != client:
		case !live(e.Status) || check == PaidBeforeReconciliation && !beforeReconciliation(e.Status):
		case best == nil || rank(e) < rank(best):
			best = e
		}
	}
	return best
}

// violationRows builds the rows of injected violations.
type violationRows struct {
	ids   ids
	event *Event
	now   time.Time
	rows  []Row
}

func (s *violationRows) add(rows ...Row) { s.rows = append(s.rows, rows...) }

func (s *violationRows) addViolation(check string) {
	ids := s.ids
	switch check {
	case SoldWithoutSale:
		s.add(s.item(Sold))
	case SaleWithoutItem:
		item := s.item(Sold)
		s.add(s.sale(item)) // the item's id is used up, its row is not inserted
	case NegativeRemaining:
		s.add(DropoffSlot{ID: ids.of(DropoffSlot{}), EventID: s.event.ID, StartAt: s.later(), Capacity: 1, Remaining: -1})
	case OverbookedSlot:
		slot := DropoffSlot{ID: ids.of(DropoffSlot{}), EventID: s.event.ID, StartAt: s.later(), Capacity: 1, Remaining: 0}
		s.add(slot)
		for range 2 {
			s.add(DropoffBooking{ID: ids.of(DropoffBooking{}), SlotID: slot.ID, EventConsignorID: s.participant(false), Status: Scheduled})
		}
	case DoubleDropoff:
		slot := DropoffSlot{ID: ids.of(DropoffSlot{}), EventID: s.event.ID, StartAt: s.later(), Capacity: 2, Remaining: 0}
		s.add(slot)
		participant := s.participant(false)
		for range 2 {
			s.add(DropoffBooking{ID: ids.of(DropoffBooking{}), SlotID: slot.ID, EventConsignorID: participant, Status: Scheduled})
		}
	case TooManyTransfers:
		item := s.item(Active)
		item.TransferCount = maxTransfers + 1
		s.add(item)
	case PriceNotPositive:
		item := s.item(Active)
		item.PriceCents = 0
		s.add(item)
	case SoldTwice:
		item := s.item(Sold)
		s.add(item, s.sale(item), s.sale(item))
	case ReturnAfterWindow:
		item := s.item(Returned)
		sale := s.sale(item)
		sale.IsReturned = true
		// While the window is open, the time of the return lies in the future.
		sale.ReturnedAt = later(s.now, s.event.ReturnWindowEnd.Add(time.Hour))
		s.add(item, sale)
	case PaidBeforeReconciliation:
		s.add(Settlement{
			ID: ids.of(Settlement{}), EventID: s.event.ID, EventConsignorID: s.participant(true),
			AmountCents: 1250, Status: Paid, CreatedAt: s.now, PaidAt: s.now,
		})
	}
}

// later returns a time that stays in the future for long.
func (s *violationRows) later() time.Time { return s.now.Add(30 * 24 * time.Hour) }

// participant adds a consignor who takes part, and returns the participation.
func (s *violationRows) participant(paid bool) uint64 {
	consignor := Consignor{
		ID: s.ids.of(Consignor{}), ClientID: s.event.ClientID, Active: true, CreatedAt: s.now, SyncStatus: Completed, LastSyncAttempt: s.now,
	}
	participant := EventConsignor{
		ID: s.ids.of(EventConsignor{}), EventID: s.event.ID, ConsignorID: consignor.ID, Type: Regular, FeePaid: true, IsPaid: paid, CreatedAt: s.now,
	}
	s.add(consignor, participant)
	return participant.ID
}

// item returns an item of a new participant.
func (s *violationRows) item(status string) Item {
	item := Item{
		ID: s.ids.of(Item{}), EventID: s.event.ID, EventConsignorID: s.participant(false), CategoryID: 1,
		ShopifyProductID: s.ids.next(products), PriceCents: 1000, Status: status, MarkdownEligible: true, ImageBytes: 250_000,
		ListedAt: s.now, SyncedAt: s.now, UpdatedAt: s.now,
	}
	if status == Sold || status == Returned {
		item.SoldAt, item.SoldPriceCents = s.now, item.PriceCents
	}
	return item
}

// sale returns a sale of an item, in an order of its own.
func (s *violationRows) sale(item Item) Sale {
	return Sale{
		ID: s.ids.of(Sale{}), EventID: s.event.ID, ItemID: item.ID, ShopifyOrderID: s.ids.next(orders),
		AmountCents: item.PriceCents, Currency: s.event.Currency, Channel: Online, SoldAt: s.now,
	}
}

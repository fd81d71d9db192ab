// Package violations adds rows that violate an integrity check, and removes them. They are rows of their own, which life leaves alone.
package violations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// ErrNoSaleEvent says that a client has no sale event for a violation.
var ErrNoSaleEvent = errors.New("the client has no sale event in which this can go wrong")

// Inject adds exactly n violations of an integrity check to the sale events of a client, in the database and in the books, and
// returns their client and rows. They have rows of their own, which life leaves alone. Violations of paid_before_reconciliation end with
// the reconciliation of their sale event.
//
// The client needs a live sale event that is exported; without one the error is ErrNoSaleEvent. Client 0 is the first one with a suitable
// sale event.
func Inject(ctx context.Context, s *store.Store, check string, client uint64, n int) (uint64, []world.Row, error) {
	if err := s.LockFilled(ctx); err != nil {
		return 0, nil, err
	}
	defer s.UnlockWrites()
	if err := s.ResolveUnknown(ctx); err != nil {
		return 0, nil, err
	}
	if !slices.Contains(world.Checks(), check) {
		return 0, nil, fmt.Errorf("platform: inject a violation of %q: no such check", check)
	}
	now := s.Now()
	e := eventForViolation(s.Books, check, client, now)
	if e == nil {
		return 0, nil, fmt.Errorf("platform: inject a violation of %s: %w", check, ErrNoSaleEvent)
	}
	c := s.NewChange("inject a violation of " + check)
	violations := &violationRows{ids: s.IDs, event: e, now: now}
	for range n {
		violations.addViolation(check)
	}
	c.Then(func(_ *world.Books, x *world.Index) { x.Inject(violations.rows) })
	c.Insert(violations.rows...)
	return e.ClientID, violations.rows, s.ApplyResolved(ctx, c)
}

// Remove deletes injected rows.
func Remove(ctx context.Context, s *store.Store, rows []world.Row) error {
	if err := s.LockFilled(ctx); err != nil {
		return err
	}
	defer s.UnlockWrites()
	c := s.NewChange("remove injected violations")
	c.Delete(rows...)
	return s.ApplyResolved(ctx, c)
}

// eventForViolation returns a suitable sale event, preferably one that stays live for long; nil if there is none.
func eventForViolation(b *world.Books, check string, client uint64, now time.Time) *world.Event {
	var best *world.Event
	rank := func(e *world.Event) int {
		if check == world.ReturnAfterWindow && !e.ReturnWindowEnd.After(now) {
			return -1 // late returns look most natural where the window has ended
		}
		return slices.Index([]string{world.Active, world.Markdown, world.Registration, world.Setup, world.Closed, world.Returns, world.Reconciliation}, e.Status)
	}
	for i := range b.Events {
		e := &b.Events[i]
		owner := b.Clients.Get(e.ClientID)
		switch {
		case owner == nil || !owner.Active || client != 0 && e.ClientID != client:
		case !world.Live(e.Status) || check == world.PaidBeforeReconciliation && !world.BeforeReconciliation(e.Status):
		case best == nil || rank(e) < rank(best):
			best = e
		}
	}
	return best
}

// violationRows builds the rows of injected violations.
type violationRows struct {
	ids   world.IDs
	event *world.Event
	now   time.Time
	rows  []world.Row
}

func (s *violationRows) add(rows ...world.Row) { s.rows = append(s.rows, rows...) }

func (s *violationRows) addViolation(check string) {
	ids := s.ids
	switch check {
	case world.SoldWithoutSale:
		s.add(s.item(world.Sold))
	case world.SaleWithoutItem:
		item := s.item(world.Sold)
		s.add(s.sale(item)) // the item's id is used up, its row is not inserted
	case world.NegativeRemaining:
		s.add(world.DropoffSlot{ID: ids.Of(world.DropoffSlot{}), EventID: s.event.ID, StartAt: s.later(), Capacity: 1, Remaining: -1})
	case world.OverbookedSlot:
		slot := world.DropoffSlot{ID: ids.Of(world.DropoffSlot{}), EventID: s.event.ID, StartAt: s.later(), Capacity: 1, Remaining: 0}
		s.add(slot)
		for range 2 {
			s.add(world.DropoffBooking{ID: ids.Of(world.DropoffBooking{}), SlotID: slot.ID, EventConsignorID: s.participant(false), Status: world.Scheduled})
		}
	case world.DoubleDropoff:
		slot := world.DropoffSlot{ID: ids.Of(world.DropoffSlot{}), EventID: s.event.ID, StartAt: s.later(), Capacity: 2, Remaining: 0}
		s.add(slot)
		participant := s.participant(false)
		for range 2 {
			s.add(world.DropoffBooking{ID: ids.Of(world.DropoffBooking{}), SlotID: slot.ID, EventConsignorID: participant, Status: world.Scheduled})
		}
	case world.TooManyTransfers:
		item := s.item(world.Active)
		item.TransferCount = world.MaxTransfers + 1
		s.add(item)
	case world.PriceNotPositive:
		item := s.item(world.Active)
		item.PriceCents = 0
		s.add(item)
	case world.SoldTwice:
		item := s.item(world.Sold)
		s.add(item, s.sale(item), s.sale(item))
	case world.ReturnAfterWindow:
		item := s.item(world.Returned)
		sale := s.sale(item)
		sale.IsReturned = true
		// While the window is open, the time of the return lies in the future.
		sale.ReturnedAt = world.Later(s.now, s.event.ReturnWindowEnd.Add(time.Hour))
		s.add(item, sale)
	case world.PaidBeforeReconciliation:
		s.add(world.Settlement{
			ID: ids.Of(world.Settlement{}), EventID: s.event.ID, EventConsignorID: s.participant(true),
			AmountCents: 1250, Status: world.Paid, CreatedAt: s.now, PaidAt: s.now,
		})
	}
}

// later returns a time that stays in the future for long.
func (s *violationRows) later() time.Time { return s.now.Add(30 * 24 * time.Hour) }

// participant adds a consignor who takes part, and returns the participation.
func (s *violationRows) participant(paid bool) uint64 {
	consignor := world.Consignor{
		ID: s.ids.Of(world.Consignor{}), ClientID: s.event.ClientID, Active: true, CreatedAt: s.now, SyncStatus: world.Completed, LastSyncAttempt: s.now,
	}
	participant := world.EventConsignor{
		ID: s.ids.Of(world.EventConsignor{}), EventID: s.event.ID, ConsignorID: consignor.ID, Type: world.Regular, FeePaid: true, IsPaid: paid, CreatedAt: s.now,
	}
	s.add(consignor, participant)
	return participant.ID
}

// item returns an item of a new participant.
func (s *violationRows) item(status string) world.Item {
	item := world.Item{
		ID: s.ids.Of(world.Item{}), EventID: s.event.ID, EventConsignorID: s.participant(false), CategoryID: 1,
		ShopifyProductID: s.ids.Next(world.Products), PriceCents: 1000, Status: status, MarkdownEligible: true, ImageBytes: 250_000,
		ListedAt: s.now, SyncedAt: s.now, UpdatedAt: s.now,
	}
	if status == world.Sold || status == world.Returned {
		item.SoldAt, item.SoldPriceCents = s.now, item.PriceCents
	}
	return item
}

// sale returns a sale of an item, in an order of its own.
func (s *violationRows) sale(item world.Item) world.Sale {
	return world.Sale{
		ID: s.ids.Of(world.Sale{}), EventID: s.event.ID, ItemID: item.ID, ShopifyOrderID: s.ids.Next(world.Orders),
		AmountCents: item.PriceCents, Currency: s.event.Currency, Channel: world.Online, SoldAt: s.now,
	}
}

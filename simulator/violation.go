package simulator

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// InjectViolation adds exactly n violations of an integrity check to the sale events of a client, in the database and in the books. They
// have rows of their own, which life leaves alone, and stay until the database is dropped. Violations of paid_before_reconciliation end
// with the reconciliation of their sale event.
//
// The client needs a live sale event that is exported; without one the error is ErrNoSaleEvent.
func (p *Platform) InjectViolation(ctx context.Context, check, client string, n int) error {
	id, err := p.clientID(client)
	if err != nil {
		return fmt.Errorf("platform: plant %s: %w", check, err)
	}
	_, _, err = p.injectViolation(ctx, check, id, n)
	return err
}

// injectViolation adds violations, and returns their client and rows. Client 0 is the first one with a suitable sale event.
func (p *Platform) injectViolation(ctx context.Context, check string, client uint64, n int) (uint64, []Row, error) {
	if err := p.lockFilled(ctx); err != nil {
		return 0, nil, err
	}
	defer p.unlockWrites()
	if err := p.resolveUnknown(ctx); err != nil {
		return 0, nil, err
	}
	if !slices.Contains(Checks(), check) {
		return 0, nil, fmt.Errorf("platform: plant %q: no such check", check)
	}
	e := p.eventForViolation(check, client)
	if e == nil {
		return 0, nil, fmt.Errorf("platform: plant %s: %w", check, ErrNoSaleEvent)
	}
	violations := &violationRows{p: p, event: e, now: p.now()}
	for range n {
		violations.addViolation(check)
	}
	c := p.newChange("plant " + check)
	c.effects = append(c.effects, func(_ *Books, x *index) {
		for _, r := range violations.rows {
			x.injected[keyOf(r)] = true
		}
	})
	c.Insert(violations.rows...)
	return e.ClientID, violations.rows, p.applyResolved(ctx, c)
}

// removeViolation deletes injected rows.
func (p *Platform) removeViolation(ctx context.Context, rows []Row) error {
	if err := p.lockFilled(ctx); err != nil {
		return err
	}
	defer p.unlockWrites()
	c := p.newChange("uproot")
	c.Delete(rows...)
	return p.applyResolved(ctx, c)
}

// eventForViolation returns a suitable sale event, preferably one that stays live for long; nil if there is none.
func (p *Platform) eventForViolation(check string, client uint64) *Event {
	var best *Event
	rank := func(e *Event) int {
		if check == ReturnAfterWindow && !e.ReturnWindowEnd.After(p.now()) {
			return -1 // late returns look most natural where the window has ended
		}
		return slices.Index([]string{Active, Markdown, Registration, Setup, Closed, Returns, Reconciliation}, e.Status)
	}
	for i := range p.books.Events {
		e := &p.books.Events[i]
		owner := p.books.Clients.Get(e.ClientID)
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
	p     *Platform
	event *Event
	now   time.Time
	rows  []Row
}

func (s *violationRows) add(rows ...Row) { s.rows = append(s.rows, rows...) }

func (s *violationRows) addViolation(check string) {
	ids := &s.p.ids
	switch check {
	case SoldWithoutSale:
		s.add(s.item(Sold))
	case SaleWithoutItem:
		item := s.item(Sold)
		s.add(s.sale(item)) // the item's id is used up, its row is not inserted
	case NegativeRemaining:
		s.add(DropoffSlot{ID: next(&ids.slot), EventID: s.event.ID, StartAt: s.later(), Capacity: 1, Remaining: -1})
	case OverbookedSlot:
		slot := DropoffSlot{ID: next(&ids.slot), EventID: s.event.ID, StartAt: s.later(), Capacity: 1, Remaining: 0}
		s.add(slot)
		for range 2 {
			s.add(DropoffBooking{ID: next(&ids.dropoff), SlotID: slot.ID, EventConsignorID: s.participant(false), Status: Scheduled})
		}
	case DoubleDropoff:
		slot := DropoffSlot{ID: next(&ids.slot), EventID: s.event.ID, StartAt: s.later(), Capacity: 2, Remaining: 0}
		s.add(slot)
		participant := s.participant(false)
		for range 2 {
			s.add(DropoffBooking{ID: next(&ids.dropoff), SlotID: slot.ID, EventConsignorID: participant, Status: Scheduled})
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
			ID: next(&ids.settlement), EventID: s.event.ID, EventConsignorID: s.participant(true),
			AmountCents: 1250, Status: Paid, CreatedAt: s.now, PaidAt: s.now,
		})
	}
}

// later returns a time that stays in the future for long.
func (s *violationRows) later() time.Time { return s.now.Add(30 * 24 * time.Hour) }

// participant adds a consignor who takes part, and returns the participation.
func (s *violationRows) participant(paid bool) uint64 {
	consignor := Consignor{
		ID: next(&s.p.ids.consignor), ClientID: s.event.ClientID, Active: true, CreatedAt: s.now, SyncStatus: Completed, LastSyncAttempt: s.now,
	}
	participant := EventConsignor{
		ID: next(&s.p.ids.participant), EventID: s.event.ID, ConsignorID: consignor.ID, Type: Regular, FeePaid: true, IsPaid: paid, CreatedAt: s.now,
	}
	s.add(consignor, participant)
	return participant.ID
}

// item returns an item of a new participant.
func (s *violationRows) item(status string) Item {
	item := Item{
		ID: next(&s.p.ids.item), EventID: s.event.ID, EventConsignorID: s.participant(false), CategoryID: 1,
		ShopifyProductID: next(&s.p.ids.product), PriceCents: 1000, Status: status, MarkdownEligible: true, ImageBytes: 250_000,
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
		ID: next(&s.p.ids.sale), EventID: s.event.ID, ItemID: item.ID, ShopifyOrderID: next(&s.p.ids.order),
		AmountCents: item.PriceCents, Currency: s.event.Currency, Channel: Online, SoldAt: s.now,
	}
}

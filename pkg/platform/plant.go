package platform

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Plant adds n violations of an integrity check to the sale events of a client, exactly n, through the books like everything else.
// They are rows of their own, which life leaves alone; they stay until the database is dropped. Those of paid_before_reconciliation
// end when their sale event comes to its reconciliation.
//
// The client needs a sale event that is exported and goes on; otherwise the error is ErrNoPlace.
func (p *Platform) Plant(ctx context.Context, check, client string, n int) error {
	id, err := p.clientID(client)
	if err != nil {
		return fmt.Errorf("platform: plant %s: %w", check, err)
	}
	_, _, err = p.plant(ctx, check, id, n)
	return err
}

// plant adds violations, and returns for which client, and the rows. Client 0 is the first that has a sale event for it.
func (p *Platform) plant(ctx context.Context, check string, client uint64, n int) (uint64, []Row, error) {
	if err := p.takeFilled(ctx); err != nil {
		return 0, nil, err
	}
	defer p.release()
	if err := p.settle(ctx); err != nil {
		return 0, nil, err
	}
	if !slices.Contains(Checks(), check) {
		return 0, nil, fmt.Errorf("platform: plant %q: no such check", check)
	}
	e := p.placeFor(check, client)
	if e == nil {
		return 0, nil, fmt.Errorf("platform: plant %s: %w", check, ErrNoPlace)
	}
	seeds := &seeds{p: p, event: e, now: p.now()}
	for range n {
		seeds.plant(check)
	}
	c := p.newChange("plant " + check)
	c.effects = append(c.effects, func(_ *Books, x *index) {
		for _, r := range seeds.rows {
			x.planted[keyOf(r)] = true
		}
	})
	c.Insert(seeds.rows...)
	return e.ClientID, seeds.rows, p.insist(ctx, c)
}

// uproot removes planted rows.
func (p *Platform) uproot(ctx context.Context, rows []Row) error {
	if err := p.takeFilled(ctx); err != nil {
		return err
	}
	defer p.release()
	c := p.newChange("uproot")
	c.Delete(rows...)
	return p.insist(ctx, c)
}

// placeFor returns the sale event to plant in: one that will go on for long, if there is one.
func (p *Platform) placeFor(check string, client uint64) *Event {
	var best *Event
	rank := func(e *Event) int {
		if check == ReturnAfterWindow && !e.ReturnWindowEnd.After(p.now()) {
			return -1 // a return too late is most natural where it is late already
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

// seeds are the rows of planted violations.
type seeds struct {
	p     *Platform
	event *Event
	now   time.Time
	rows  []Row
}

func (s *seeds) add(rows ...Row) { s.rows = append(s.rows, rows...) }

func (s *seeds) plant(check string) {
	ids := &s.p.ids
	switch check {
	case SoldWithoutSale:
		s.add(s.item(Sold))
	case SaleWithoutItem:
		item := s.item(Sold)
		s.add(s.sale(item)) // the item's key is used up, the item does not come
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
		// Where the window is still open, the return has to be one of tomorrow.
		sale.ReturnedAt = later(s.now, s.event.ReturnWindowEnd.Add(time.Hour))
		s.add(item, sale)
	case PaidBeforeReconciliation:
		s.add(Settlement{
			ID: next(&ids.settlement), EventID: s.event.ID, EventConsignorID: s.participant(true),
			AmountCents: 1250, Status: Paid, CreatedAt: s.now, PaidAt: s.now,
		})
	}
}

// later is a time that has not come yet, and will not for a while.
func (s *seeds) later() time.Time { return s.now.Add(30 * 24 * time.Hour) }

// participant adds a consignor who takes part.
func (s *seeds) participant(paid bool) uint64 {
	consignor := Consignor{
		ID: next(&s.p.ids.consignor), ClientID: s.event.ClientID, Active: true, CreatedAt: s.now, SyncStatus: Completed, LastSyncAttempt: s.now,
	}
	participant := EventConsignor{
		ID: next(&s.p.ids.participant), EventID: s.event.ID, ConsignorID: consignor.ID, Type: Regular, FeePaid: true, IsPaid: paid, CreatedAt: s.now,
	}
	s.add(consignor, participant)
	return participant.ID
}

// item makes an item of a new participant.
func (s *seeds) item(status string) Item {
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

// sale makes a sale of an item, in an order of its own.
func (s *seeds) sale(item Item) Sale {
	return Sale{
		ID: next(&s.p.ids.sale), EventID: s.event.ID, ItemID: item.ID, ShopifyOrderID: next(&s.p.ids.order),
		AmountCents: item.PriceCents, Currency: s.event.Currency, Channel: Online, SoldAt: s.now,
	}
}

// Package seed generates the rows of a healthy platform that has been running for a while, and writes them into empty tables. The same
// configuration and time give the same rows. What happens afterwards is not its business.
package seed

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/consignwatch/consignwatch/simulator/world"
)

// generator generates the rows of a healthy platform that has been running for a while. The same seed, sizes and time give the same rows.
// Live sale events fit the platform's speed; past ones are in real days.
type generator struct {
	config     Config
	rng        *rand.Rand
	now        time.Time
	day        time.Duration // a platform day
	books      *world.Books
	ids        world.IDs
	consignors map[uint64][]uint64 // by client
}

// Config says what to generate.
type Config struct {
	Clients, Events, LiveEvents, Items int
	Seed                               uint64
	Bulk                               bool          // keep the items and sales of sale events that are over as totals only
	Day                                time.Duration // the length of a platform day
	Progress                           func(rows int64)
}

func newGenerator(config Config, now time.Time, ids world.IDs) *generator {
	return &generator{
		config: config, rng: rand.New(rand.NewPCG(config.Seed, 0x66696c6c)), now: now, day: config.Day,
		books: &world.Books{Totals: map[uint64]world.Totals{}}, ids: ids, consignors: map[uint64][]uint64{},
	}
}

// plan is the plan of a sale event, before its rows are generated.
type plan struct {
	client   int // from 0
	status   string
	position float64 // within its status, 0 to 1
	ago      float64 // days since it ended
	items    int
}

// plans distributes the sale events over the clients, the live ones first, and the items over the sale events.
func (g *generator) plans() []plan {
	liveStatuses := []string{world.Active, world.Markdown, world.Registration, world.Active, world.Returns, world.Active, world.Setup, world.Markdown, world.Closed, world.Active, world.Reconciliation, world.Registration}
	weights := map[string]float64{world.Registration: 0.7, world.Active: 1, world.Markdown: 1, world.Closed: 1, world.Returns: 1, world.Reconciliation: 1, world.Complete: 1, world.Cancelled: 0.2}
	plans := make([]plan, g.config.Events)
	sum := 0.0
	shares := make([]float64, len(plans))
	for i := range plans {
		p := plan{client: i % g.config.Clients, position: 0.1 + 0.8*g.rng.Float64()}
		if i < g.config.LiveEvents {
			p.status = liveStatuses[i%len(liveStatuses)]
		} else {
			over := i - g.config.LiveEvents
			switch {
			case over >= 24: // past sale events are mostly complete
				p.status, p.ago = world.Complete, 20+700*g.rng.Float64()
			case over%6 == 0:
				p.status, p.ago = world.Complete, 1+11*g.rng.Float64()
			case over%6 == 2:
				p.status, p.ago = world.Cancelled, 10+200*g.rng.Float64()
			case over%6 == 4:
				p.status = world.Draft
			default:
				p.status, p.ago = world.Complete, 20+700*g.rng.Float64()
			}
		}
		shares[i] = weights[p.status] * (0.7 + 0.6*g.rng.Float64())
		sum += shares[i]
		plans[i] = p
	}
	given := 0
	last := -1
	for i := range plans {
		if shares[i] > 0 {
			plans[i].items = int(float64(g.config.Items) * shares[i] / sum)
			given += plans[i].items
			last = i
		}
	}
	if last >= 0 {
		plans[last].items += g.config.Items - given
	}
	return plans
}

// base generates the clients and the categories.
func (g *generator) base() {
	for _, k := range world.GoodsCategories() {
		g.books.Categories = append(g.books.Categories, world.Category{ID: g.ids.Of(world.Category{}), Slug: k.Slug, Name: k.Name})
	}
	for n := range g.config.Clients {
		name := world.ClientName(n)
		slug := world.SlugOf(name)
		c := world.Client{
			ID: g.ids.Of(world.Client{}), Slug: slug, Name: name, Domain: slug + ".consign.example", Plan: world.PlanNames()[n%3],
			// An inactive client, which must not be exported.
			Active:    n == 0 || n < g.config.Clients-1 || g.config.Clients < 4,
			CreatedAt: g.ago(time.Duration(100+g.rng.IntN(900)) * 24 * time.Hour),
		}
		g.books.Clients = append(g.books.Clients, c)
		g.books.ShopifyAccess = append(g.books.ShopifyAccess, world.ShopifyAccess{
			ClientID: c.ID, ShopDomain: slug + ".shop.example", TokenExpiresAt: g.ago(-time.Duration(60+g.rng.IntN(300)) * 24 * time.Hour), Active: c.Active,
		})
	}
}

// event generates a sale event with all its rows.
func (g *generator) event(p plan) world.Event {
	day := g.day
	var start time.Time
	switch p.status {
	case world.Complete:
		day = 24 * time.Hour
		start = g.ago(world.Days(day, p.ago+world.PayDays+world.SaleDays+world.ReturnDays))
	case world.Cancelled:
		day = 24 * time.Hour
		start = g.ago(world.Days(day, p.ago))
	default:
		from, to := world.Phase(p.status)
		start = g.ago(world.Days(day, from+p.position*(to-from)))
	}
	client := &g.books.Clients[p.client]
	participants := 0
	if p.items > 0 {
		participants = max(p.items/30, 3)
	}
	e := world.NewEvent(g.ids.Of(world.Event{}), client, start, day, g.books)
	e.Status = p.status
	e.MaxConsignors = int64(max(participants*3/2, 20)+9) / 10 * 10
	if p.status == world.Complete {
		e.CompletedAt = e.ReturnWindowEnd.Add(world.Days(day, world.PayDays))
	}
	g.books.Events = append(g.books.Events, e)
	if p.items == 0 {
		return e
	}
	firstParticipant := len(g.books.EventConsignors)
	g.participants(&e, day, participants)
	joined := g.books.EventConsignors[firstParticipant:]
	earned := g.items(&e, day, p.items, joined)
	if e.Status != world.Cancelled {
		g.dropoffs(&e, day, joined)
		g.shifts(&e, day, joined)
		g.settle(&e, joined, earned)
	}
	return e
}

// participants makes consignors of the client take part, half of them known ones.
func (g *generator) participants(e *world.Event, day time.Duration, n int) {
	known := slices.Clone(g.consignors[e.ClientID])
	g.rng.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	known = known[:min(len(known), n/2)]
	opened := e.StartAt.Add(-world.Days(day, world.RegistrationBefore))
	for i := range n {
		at := g.between(opened, world.Earlier(e.StartAt, g.now))
		var consignor uint64
		if i < len(known) {
			consignor = known[i]
		} else {
			consignor = g.consignor(e.ClientID, at)
		}
		p := world.EventConsignor{
			ID: g.ids.Of(world.EventConsignor{}), EventID: e.ID, ConsignorID: consignor, Type: world.Regular,
			FeePaid: g.chance(0.93) || e.Status == world.Complete, CreatedAt: at,
		}
		if g.chance(0.2) {
			p.Type = world.Super
		}
		g.books.EventConsignors = append(g.books.EventConsignors, p)
	}
}

func (g *generator) consignor(client uint64, at time.Time) uint64 {
	c := world.Consignor{ID: g.ids.Of(world.Consignor{}), ClientID: client, Active: g.chance(0.97), CreatedAt: at, SyncStatus: world.Completed}
	c.LastSyncAttempt = world.Earlier(at.Add(g.day/200).Truncate(time.Microsecond), g.now)
	switch {
	case g.chance(0.02):
		c.SyncStatus, c.CreatedAt, c.LastSyncAttempt = world.Pending, g.between(g.now.Add(-g.day/48), g.now), time.Time{}
	case g.chance(0.02):
		c.SyncStatus, c.LastSyncAttempt = world.Failed, world.Later(at, g.between(g.now.Add(-g.day/24), g.now))
	}
	g.books.Consignors = append(g.books.Consignors, c)
	g.consignors[client] = append(g.consignors[client], c.ID)
	return c.ID
}

// soldShare is the share of items that is sold by a point of a sale event's life.
func soldShare(status string, position float64) float64 {
	switch status {
	case world.Registration, world.Cancelled:
		return 0
	case world.Active:
		return 0.55 * position
	case world.Markdown:
		return 0.5 + 0.15*position
	default:
		return 0.68
	}
}

// items generates the items of a sale event with their sales, and returns each participant's sales amount.
func (g *generator) items(e *world.Event, day time.Duration, n int, participants []world.EventConsignor) []int64 {
	goods := world.GoodsCategories()
	earned := make([]int64, len(participants))
	position := world.Clamp(float64(g.now.Sub(e.StartAt))/float64(e.EndAt.Sub(e.StartAt)), 0, 1)
	sold := soldShare(e.Status, position)
	opened, closed := e.StartAt.Add(-world.Days(day, world.RegistrationBefore)), world.Earlier(e.EndAt, g.now)
	markdown := e.StartAt.Add(time.Duration(world.MarkdownShare * float64(e.EndAt.Sub(e.StartAt))))
	recent := g.now.Add(-g.day / 288) // five platform minutes
	var order world.Sale              // that the next sold item may belong to
	open := 0                         // free lines of order
	for range n {
		owner := g.rng.IntN(len(participants))
		category := world.PickCategory(g.rng)
		item := world.Item{
			ID: g.ids.Of(world.Item{}), EventID: e.ID, EventConsignorID: participants[owner].ID, CategoryID: uint64(category + 1),
			PriceCents: world.PickPrice(g.rng, goods[category], e.Currency), MarkdownEligible: g.chance(0.8), ImageBytes: 80_000 + g.rng.Int64N(900_000),
		}
		item.ListedAt = g.between(opened, world.Earlier(e.StartAt, g.now))
		item.UpdatedAt = item.ListedAt
		if g.chance(0.1) {
			item.TransferCount = 1 + g.rng.Int64N(world.MaxTransfers)
		}
		switch {
		case g.chance(sold):
			if open == 0 {
				open = world.PickLines(g.rng)
				order = world.Sale{EventID: e.ID, ShopifyOrderID: g.ids.Next(world.Orders), Channel: world.PickChannel(g.rng), SoldAt: g.between(e.StartAt, closed)}
				order.Currency = world.OrderCurrency(e, order.ShopifyOrderID)
			}
			open--
			g.sell(e, &item, order, markdown)
			if item.Status == world.Sold {
				earned[owner] += item.SoldPriceCents
			}
		case e.Status == world.Registration && g.chance(0.25), e.Status == world.Cancelled && g.chance(0.5):
			item.Status, item.ListedAt = world.Draft, time.Time{}
		case e.Status == world.Registration, e.Status == world.Active, e.Status == world.Markdown, e.Status == world.Cancelled:
			item.Status = world.Active
			if world.Live(e.Status) && g.chance(0.01) { // its price was changed just now
				item.UpdatedAt = world.Later(item.UpdatedAt, g.between(recent, g.now))
			}
		case e.Status == world.Complete && g.chance(0.5), e.Status == world.Reconciliation && g.chance(0.3):
			item.Status, item.UpdatedAt = world.Transferred, g.between(e.EndAt, world.Earlier(e.ReturnWindowEnd, g.now))
		default:
			item.Status, item.UpdatedAt = world.Locked, g.between(e.EndAt, world.Earlier(e.EndAt.Add(world.Days(day, world.ClosedDays)), g.now))
		}
		if item.Status != world.Draft {
			item.ShopifyProductID = g.ids.Next(world.Products)
			if item.UpdatedAt.Before(recent) {
				item.SyncedAt = world.Earlier(item.UpdatedAt.Add(g.day/288).Truncate(time.Microsecond), g.now)
			}
		}
		g.books.Items = append(g.books.Items, item)
	}
	return earned
}

// sell generates the sale of an item, as a line of an order, and sometimes its return.
func (g *generator) sell(e *world.Event, item *world.Item, order world.Sale, markdown time.Time) {
	item.Status, item.SoldAt, item.UpdatedAt = world.Sold, order.SoldAt, order.SoldAt
	item.SoldPriceCents = item.PriceCents
	if item.MarkdownEligible && !order.SoldAt.Before(markdown) {
		item.SoldPriceCents = world.Half(item.PriceCents)
	}
	sale := order
	sale.ID, sale.ItemID, sale.AmountCents = g.ids.Of(world.Sale{}), item.ID, item.SoldPriceCents
	if g.chance(0.03) {
		sale.IsReturned, sale.ReturnedAt = true, g.between(sale.SoldAt, world.Earlier(e.ReturnWindowEnd, g.now))
		item.Status, item.UpdatedAt = world.Returned, sale.ReturnedAt
	}
	g.books.Sales = append(g.books.Sales, sale)
}

func (g *generator) dropoffs(e *world.Event, day time.Duration, participants []world.EventConsignor) {
	if e.Status == world.Setup {
		return
	}
	slots := world.SlotsOf(e, day, g.ids, len(participants))
	for _, p := range participants {
		slot := &slots[g.rng.IntN(len(slots))]
		if slot.Remaining == 0 || g.chance(0.15) {
			continue
		}
		b := world.DropoffBooking{ID: g.ids.Of(world.DropoffBooking{}), SlotID: slot.ID, EventConsignorID: p.ID, Status: world.Scheduled}
		switch {
		case g.chance(0.05):
			b.Status = world.Cancelled
		case slot.StartAt.Before(g.now) && g.chance(0.05):
			b.Status = world.NoShow
		case slot.StartAt.Before(g.now):
			b.Status = world.Completed
			b.ArrivedAt = world.Earlier(slot.StartAt.Add(day/1440).Truncate(time.Microsecond), g.now)
			b.CompletedAt = world.Earlier(b.ArrivedAt.Add(day/144).Truncate(time.Microsecond), g.now)
		}
		if b.Status != world.Cancelled {
			slot.Remaining--
		}
		g.books.DropoffBookings = append(g.books.DropoffBookings, b)
	}
	g.books.DropoffSlots = append(g.books.DropoffSlots, slots...)
}

func (g *generator) shifts(e *world.Event, day time.Duration, participants []world.EventConsignor) {
	if e.Status == world.Setup {
		return
	}
	shifts := world.ShiftsOf(e, day, g.ids, len(participants))
	for i := range participants {
		p := &participants[i]
		shift := &shifts[g.rng.IntN(len(shifts))]
		if shift.Remaining == 0 || g.chance(0.6) {
			continue
		}
		b := world.VolunteerBooking{ID: g.ids.Of(world.VolunteerBooking{}), ShiftID: shift.ID, EventConsignorID: p.ID, Status: world.Scheduled}
		switch {
		case g.chance(0.05):
			b.Status = world.Cancelled
		case shift.EndAt.Before(g.now) && g.chance(0.05):
			b.Status = world.NoShow
		case shift.EndAt.Before(g.now):
			b.Status = world.Completed
			p.VolunteerShiftCount++
		}
		if b.Status != world.Cancelled {
			shift.Remaining--
		}
		g.books.VolunteerBookings = append(g.books.VolunteerBookings, b)
	}
	g.books.VolunteerShifts = append(g.books.VolunteerShifts, shifts...)
}

// settle generates the settlements of a sale event in reconciliation or complete.
func (g *generator) settle(e *world.Event, participants []world.EventConsignor, sold []int64) {
	if e.Status != world.Reconciliation && e.Status != world.Complete {
		return
	}
	for i := range participants {
		p := &participants[i]
		p.TotalEarningsCents = world.Earnings(p, sold[i])
		s := world.Settlement{ID: g.ids.Of(world.Settlement{}), EventID: e.ID, EventConsignorID: p.ID, AmountCents: p.TotalEarningsCents, Status: world.Pending, CreatedAt: world.Earlier(e.ReturnWindowEnd, g.now)}
		switch {
		case s.AmountCents == 0:
			s.Status = world.Cancelled
		case e.Status == world.Complete || g.chance(0.4):
			s.Status, s.PaidAt, p.IsPaid = world.Paid, g.between(s.CreatedAt, world.Earlier(world.Later(e.CompletedAt, s.CreatedAt), g.now)), true
		}
		g.books.Settlements = append(g.books.Settlements, s)
	}
}

func (g *generator) chance(p float64) bool { return g.rng.Float64() < p }

// ago returns the time a while before now.
func (g *generator) ago(d time.Duration) time.Time { return g.now.Add(-d).Truncate(time.Microsecond) }

// between returns a random time between two times; the first one if they are in the wrong order.
func (g *generator) between(from, to time.Time) time.Time {
	if !to.After(from) {
		return from.Truncate(time.Microsecond)
	}
	return from.Add(time.Duration(g.rng.Int64N(int64(to.Sub(from))))).Truncate(time.Microsecond)
}

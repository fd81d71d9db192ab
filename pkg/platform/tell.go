package platform

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/jobs"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// teller tells the event stream what happens: every change of the books that the contract has an event for, exactly once, and
// around it what a platform at work says of itself (requests, queries, calls, mails). The first follows from the rows, so that
// stream and database agree; the second is made up from the life that goes on; what it tells of jobs is how they went.
type teller struct {
	p    *Platform
	out  *stream.Publisher
	jobs *jobs.Pool

	mu     sync.Mutex
	rng    *rand.Rand
	run    string // of this process, in front of ids
	ids    uint64
	diary  diary
	mails  int
	copies copies
	gauges time.Time // when pools and threads are reported next
	crash  time.Time // when the next crash is due, while they are on
	burst  time.Time
	busy   float64         // share of the pools that is in use
	kept   []func(*teller) // what requests have to tell that were made while life was paused

	postponed []postponed // mails that wait for Mandrill
}

func newTeller(p *Platform, out *stream.Publisher) (*teller, error) {
	t := &teller{
		p: p, out: out, rng: rand.New(rand.NewPCG(p.config.Seed, 0x74656c6c)),
		run: strconv.FormatInt(time.Now().UnixMicro(), 36), busy: 0.2, copies: copies{recent: map[uint64][]*stream.Event{}},
	}
	var err error
	t.jobs, err = openJobs(t)
	return t, err
}

func (t *teller) chance(p float64) bool { return t.rng.Float64() < p }

// mishap decides whether something goes wrong by itself.
func (t *teller) mishap(p float64) bool { return !t.p.config.Flawless && t.chance(p) }

// oneOf picks one; the first ones more often.
func oneOf[T any](t *teller, of ...T) T {
	u := t.rng.Float64()
	return of[int(u*u*float64(len(of)))]
}

// about returns a duration around another, mostly a little below, seldom far above.
func (t *teller) about(d time.Duration) stream.Duration {
	return stream.Seconds(time.Duration(float64(d) * math.Exp(0.5*t.rng.NormFloat64())))
}

// tenant is a client as the stream knows it; its zero value is the platform itself.
type tenant struct {
	id   uint64
	slug string
}

// voice is somebody who tells something: an instance of a program, on behalf of a client.
type voice struct {
	*teller
	tenant
	source string
	trace  string // of the request that it belongs to
}

// by is the voice of some instance of a program.
func (t *teller) by(who tenant, program string) voice {
	return voice{t, who, sourceOf(program, t.rng.IntN(instancesOf(program))), ""}
}

// platform is the voice of some instance of a program that speaks for no client.
func (t *teller) platform(program string) voice { return t.by(tenant{}, program) }

func instancesOf(program string) int {
	switch program {
	case "api":
		return 3
	case "worker":
		return 2
	default:
		return 1
	}
}

func sourceOf(program string, instance int) string {
	return "/" + program + "/" + strconv.Itoa(instance+1)
}

// traced returns the same voice within a request.
func (v voice) traced() voice {
	v.trace = fmt.Sprintf("%016x%016x", v.rng.Uint64(), v.rng.Uint64()|1)
	return v
}

// say publishes an event.
func (v voice) say(d stream.Data) {
	v.ids++
	e := &stream.Event{ID: v.run + "-" + strconv.FormatUint(v.ids, 36), Source: v.source, Time: v.p.now(), Client: v.slug, Data: d}
	if v.trace != "" {
		e.TraceParent = fmt.Sprintf("00-%s-%016x-01", v.trace, v.rng.Uint64()|1)
	}
	v.out.Publish(e)
	v.copy(v.tenant, e)
}

// tell tells what a change of the books means to others. Who books calls it, with the books as they are now.
func (t *teller) tell(books *Books, c *Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &story{teller: t, books: books, measured: c.measured, late: c.late}
	for _, n := range c.news {
		s.row(n)
	}
	for _, o := range s.orders {
		s.order(o)
	}
	for _, o := range s.refunds {
		s.refund(o)
	}
}

// story is what one change means.
type story struct {
	*teller
	books           *Books
	orders, refunds []*order // sales that belong together
	measured, late  bool     // Change.measured, Change.late
}

type order struct {
	sale  Sale // the first one
	lines []Sale
	cents int64
}

func (o *order) add(s Sale) {
	o.lines = append(o.lines, s)
	o.cents += s.AmountCents
}

// gather adds a sale to its order.
func gather(to *[]*order, s Sale) {
	for _, o := range *to {
		if o.sale.ShopifyOrderID == s.ShopifyOrderID {
			o.add(s)
			return
		}
	}
	o := &order{sale: s}
	o.add(s)
	*to = append(*to, o)
}

func (s *story) client(id uint64) tenant {
	if c := s.books.Clients.Get(id); c != nil {
		return tenant{id, c.Slug}
	}
	return tenant{}
}

// place returns the voice of a program for a sale event's client, and the sale event's slug.
func (s *story) place(event uint64, program string) (voice, *Event) {
	e := s.books.Events.Get(event)
	if e == nil {
		e = &Event{}
	}
	return s.by(s.client(e.ClientID), program), e
}

func (s *story) category(id uint64) string {
	if c := s.books.Categories.Get(id); c != nil {
		return c.Slug
	}
	return noCategory
}

func (s *story) row(n news) {
	switch after := n.after.(type) {
	case Sale:
		before, known := n.before.(Sale)
		if !known {
			gather(&s.orders, after)
		}
		if after.IsReturned && !before.IsReturned {
			gather(&s.refunds, after)
		}
	case Item:
		before, known := n.before.(Item)
		s.item(before, after, known)
	case EventConsignor:
		if n.before == nil {
			s.registered(after)
		}
	case VolunteerBooking:
		before, _ := n.before.(VolunteerBooking)
		s.volunteer(before, after)
	case DropoffBooking:
		before, _ := n.before.(DropoffBooking)
		s.dropoff(before, after)
	case Session:
		before, known := n.before.(Session)
		s.session(before, after, known)
	case SyncRun:
		if n.before == nil {
			s.synced(after)
		}
	case Settlement:
		before, _ := n.before.(Settlement)
		s.settlement(before, after)
	case Event:
		before, _ := n.before.(Event)
		s.event(before, after)
	case Backup:
		if before, known := n.before.(Backup); known && before.FinishedAt.IsZero() && !after.FinishedAt.IsZero() {
			s.platform("worker").enqueue(jobs.Report, "backup", outcomeArg, after.Outcome)
		}
	case SupportTicket:
		if n.before == nil {
			s.by(s.client(after.ClientID), "api").visit(endpoint{"POST", "/api/tickets", "support", "support_tickets", "insert"}, 201, "client_admin")
		}
	}
}

func outcomeOf(ok bool) string {
	if ok {
		return Succeeded
	}
	return Failed
}

func (s *story) order(o *order) {
	v, e := s.place(o.sale.EventID, "api")
	v = v.traced()
	took := v.about(40 * time.Second)
	v.say(stream.ProcessStarted{Process: "checkout"})
	if !s.measured {
		v.request(endpoint{"POST", "/api/orders", "checkout", "sales", "insert"}, 201)
	}
	v.say(stream.OrderPlaced{Event: e.Slug, Channel: o.sale.Channel, Items: len(o.lines), AmountCents: o.cents, Currency: o.sale.Currency})
	v.say(stream.FeatureUsed{Feature: "checkout", Role: "shopper"})
	v.say(stream.ProcessFinished{Process: "checkout", Outcome: Succeeded, Duration: took})

	w := s.by(v.tenant, "worker")
	switch {
	case s.late:
		w.say(stream.ErrorRaised{Category: "integration", Kind: "webhook_miss", Component: "order-import"})
		w.say(stream.OrderImported{Event: e.Slug, Outcome: Succeeded, Delay: stream.Seconds(s.p.now().Sub(o.sale.SoldAt))})
	case s.p.outside == nil: // otherwise a webhook comes
		w.webhook("shopify", "orders/create")
		if s.mishap(0.01) {
			w.say(stream.OrderImported{Event: e.Slug, Outcome: Failed, Delay: w.about(8 * time.Second)})
			w.recover("retry", "order-import")
		}
		w.say(stream.OrderImported{Event: e.Slug, Outcome: Succeeded, Delay: w.about(4 * time.Second)})
	}
	if o.sale.Channel == Online {
		w.mail("order-receipt")
	}
}

func (s *story) refund(o *order) {
	v, e := s.place(o.sale.EventID, "api")
	v = v.traced()
	v.request(endpoint{"POST", "/api/returns", "returns", "sales", "update"}, 201)
	v.say(stream.OrderRefunded{
		Event: e.Slug, Items: len(o.lines), AmountCents: o.cents, Currency: o.sale.Currency,
		Reason: oneOf(s.teller, "wrong-size", "changed-mind", "damaged", "duplicate-gift", "other"),
	})
	if s.p.outside == nil {
		s.by(v.tenant, "worker").webhook("shopify", "refunds/create")
	}
}

func (s *story) item(before, after Item, known bool) {
	v, e := s.place(after.EventID, "api")
	category := s.category(after.CategoryID)
	switch {
	case after.Status == before.Status && known:
		if after.PriceCents != before.PriceCents {
			v.visit(endpoint{"PUT", "/api/items/{id}", "pricing", "items", "update"}, 200, "consignor")
		}
	case after.Status == Draft:
		v.visit(endpoint{"POST", "/api/items", "item-entry", "items", "insert"}, 201, "consignor")
	case after.Status == Active && before.Status == Sold, after.Status == Returned:
		v.say(stream.ItemReturned{Event: e.Slug, Category: category})
	case after.Status == Active:
		v.visit(endpoint{"POST", "/api/items/{id}/publish", "item-entry", "items", "update"}, 200, "consignor")
		v.say(stream.ItemListed{Event: e.Slug, Category: category})
		v.enqueue(jobs.Image, "resize")
	case after.Status == Sold:
		v.say(stream.ItemSold{
			Event: e.Slug, Category: category, AmountCents: after.SoldPriceCents, Currency: e.Currency,
			Markdown: after.SoldPriceCents < after.PriceCents, Listed: stream.Seconds(after.SoldAt.Sub(after.ListedAt)),
		})
	case after.Status == Transferred:
		v.say(stream.ItemTransferred{Event: e.Slug, Category: category})
	}
}

func (s *story) registered(r EventConsignor) {
	v, e := s.place(r.EventID, "api")
	v = v.traced()
	v.request(endpoint{"POST", "/api/events/{id}/consignors", "registration", "event_consignors", "insert"}, 201)
	v.say(stream.ConsignorRegistered{Event: e.Slug, Kind: r.Type, FeePaid: r.FeePaid})
	v.say(stream.AuthRequest{Operation: "sign_up", Outcome: "ok", Duration: v.about(150 * time.Millisecond)})
	w := s.by(v.tenant, "worker")
	if s.p.outside == nil {
		w.webhook("clerk", "user.created")
	}
	w.mail("welcome")
}

func (s *story) volunteer(before, after VolunteerBooking) {
	shift := s.books.VolunteerShifts.Get(after.ShiftID)
	if shift == nil || before.Status == after.Status {
		return
	}
	v, e := s.place(shift.EventID, "api")
	switch after.Status {
	case Scheduled:
		v.visit(endpoint{"POST", "/api/events/{id}/volunteers", "volunteering", "volunteer_bookings", "insert"}, 201, "volunteer")
		v.say(stream.VolunteerSignedUp{Event: e.Slug, Shift: shift.ShiftType})
		s.by(v.tenant, "worker").mail("shift-confirmation")
	case Cancelled:
		v.visit(endpoint{"DELETE", "/api/events/{id}/volunteers", "volunteering", "volunteer_bookings", "update"}, 200, "volunteer")
		v.say(stream.VolunteerCancelled{Event: e.Slug, Shift: shift.ShiftType})
	}
}

func (s *story) dropoff(before, after DropoffBooking) {
	slot := s.books.DropoffSlots.Get(after.SlotID)
	if slot == nil || before.Status == after.Status {
		return
	}
	v, e := s.place(slot.EventID, "api")
	switch after.Status {
	case Scheduled:
		v.visit(endpoint{"POST", "/api/events/{id}/dropoffs", "drop-off", "dropoff_bookings", "insert"}, 201, "consignor")
		v.say(stream.DropoffScheduled{Event: e.Slug})
		s.by(v.tenant, "worker").mail("dropoff-reminder")
	case Completed:
		took := stream.Seconds(after.CompletedAt.Sub(after.ArrivedAt))
		v.say(stream.ProcessStarted{Process: "intake"})
		v.say(stream.DropoffCompleted{Event: e.Slug, Duration: took, Items: 5 + s.rng.IntN(40)})
		v.say(stream.ProcessFinished{Process: "intake", Outcome: Succeeded, Duration: took})
	case NoShow:
		v.say(stream.DropoffMissed{Event: e.Slug})
	}
}

func (s *story) session(before, after Session, known bool) {
	v := s.by(s.client(after.ClientID), "api")
	if !known {
		took := 120 * time.Millisecond
		if s.p.outside == nil {
			v.call("clerk", "sessions.verify", "ok")
		} else {
			last := s.p.outside.of(clerkService)
			took += last.Duration
			v.like("clerk", "sessions.verify", last)
		}
		v.say(stream.AuthRequest{Operation: "sign_in", Outcome: "ok", Duration: v.about(took)})
		v.say(stream.SessionStarted{Role: after.Role})
	}
	if before.EndedAt.IsZero() && !after.EndedAt.IsZero() {
		v.say(stream.SessionEnded{Role: after.Role, Duration: stream.Seconds(after.EndedAt.Sub(after.StartedAt))})
		v.say(stream.AuthRequest{Operation: "sign_out", Outcome: "ok", Duration: v.about(60 * time.Millisecond)})
	}
}

func (s *story) synced(r SyncRun) {
	v := s.by(s.client(r.ClientID), "worker")
	d := stream.SyncFinished{Kind: r.Kind, Outcome: r.Outcome, Items: s.rng.IntN(60), Duration: v.about(6 * time.Second)}
	if s.mishap(0.03) {
		d.Conflicts = 1
	}
	if s.p.faults.isOn(StateConflicts, r.ClientID) {
		d.Conflicts = 3 + s.rng.IntN(8)
	}
	ok := r.Outcome == Succeeded
	call := "ok"
	if !ok {
		call = "timeout"
		v.say(stream.ErrorRaised{Category: "integration", Kind: "sync", Component: "sync-worker"})
		v.recover("retry", "sync-worker")
	}
	if last := s.p.lastOfShop(r.ClientID); ok == last.Well() {
		v.like("shopify", r.Kind, last)
	} else {
		v.call("shopify", r.Kind, call)
	}
	v.enqueue(jobs.Sync, r.Kind, outcomeArg, r.Outcome)
	v.say(d)
}

func (s *story) settlement(before, after Settlement) {
	if before.Status == after.Status {
		return
	}
	v, e := s.place(after.EventID, "worker")
	switch after.Status {
	case Pending:
		v.say(stream.ProcessStarted{Process: "settlement"})
	case Paid:
		if beforeReconciliation(e.Status) {
			v.say(stream.ProcessViolated{Process: "settlement"})
			v.say(stream.ErrorRaised{Category: "business", Kind: "process_violation", Component: "settlement"})
			return
		}
		v.say(stream.ProcessFinished{Process: "settlement", Outcome: Succeeded, Duration: stream.Seconds(after.PaidAt.Sub(after.CreatedAt))})
		v.mail("payout")
	}
}

func (s *story) event(before, after Event) {
	if before.Status == after.Status {
		return
	}
	v, _ := s.place(after.ID, "worker")
	switch after.Status {
	case Registration:
		v.mail("registration-open")
	case Reconciliation:
		v.say(stream.ProcessStarted{Process: "reconciliation"})
		v.enqueue(jobs.Report, "reconciliation")
	case Complete:
		v.say(stream.ProcessFinished{Process: "reconciliation", Outcome: Succeeded, Duration: stream.Seconds(after.CompletedAt.Sub(after.ReturnWindowEnd))})
	}
}

// diary is what will be told at a time to come, the soonest first.
type diary []entry

type entry struct {
	at time.Time
	do func()
}

func (d diary) Len() int           { return len(d) }
func (d diary) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d diary) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *diary) Push(x any)        { *d = append(*d, x.(entry)) }
func (d *diary) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// after tells something in a while.
func (t *teller) after(d stream.Duration, do func()) {
	heap.Push(&t.diary, entry{t.p.now().Add(time.Duration(d) * time.Microsecond), do})
}

// due tells what is due.
func (t *teller) due() {
	for now := t.p.now(); len(t.diary) > 0 && !t.diary[0].at.After(now); {
		heap.Pop(&t.diary).(entry).do()
	}
}

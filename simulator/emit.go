package simulator

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// eventEmitter publishes the platform's events: each change of the books that the contract has an event for, exactly once, and around
// them the telemetry of a platform at work (requests, queries, calls, emails). The former follow from the rows, so that stream and
// database agree. The latter report what the API, the external services and the jobs did. Only some are made up: the requests with which
// people make changes that the API has no endpoint for, those of faults, and what the worker measures.
type eventEmitter struct {
	p         *Platform
	publisher *stream.Publisher
	jobs      *jobs.Pool

	mu          sync.Mutex
	rng         *rand.Rand
	runID       string // of this process; prefix of event ids
	lastID      uint64
	mailCount   int
	duplicates  duplicates
	nextGauges  time.Time // when pools and threads are reported next
	nextCrash   time.Time // while crash-loop is on
	nextBurst   time.Time
	utilization float64               // share of the pools in use
	deferred    []func(*eventEmitter) // events of requests that were made while life was paused

	postponed []postponed // emails that wait for Mandrill
}

func newEventEmitter(p *Platform, out *stream.Publisher) (*eventEmitter, error) {
	em := &eventEmitter{
		p: p, publisher: out, rng: rand.New(rand.NewPCG(p.config.Seed, 0x74656c6c)),
		runID: strconv.FormatInt(time.Now().UnixMicro(), 36), utilization: 0.2, duplicates: duplicates{recent: map[uint64][]*stream.Event{}},
	}
	var err error
	em.jobs, err = openJobs(em)
	return em, err
}

func (em *eventEmitter) chance(p float64) bool { return em.rng.Float64() < p }

// randomFailure reports whether a random failure happens, which Config.Flawless turns off.
func (em *eventEmitter) randomFailure(p float64) bool { return !em.p.config.Flawless && em.chance(p) }

// oneOf picks one of the values, the first ones more often.
func oneOf[T any](em *eventEmitter, of ...T) T {
	u := em.rng.Float64()
	return of[int(u*u*float64(len(of)))]
}

// jitter returns a duration around d, log-normally distributed.
func (em *eventEmitter) jitter(d time.Duration) stream.Duration {
	return stream.Seconds(time.Duration(float64(d) * math.Exp(0.5*em.rng.NormFloat64())))
}

// tenant is a client in the stream; the zero value is the platform itself.
type tenant struct {
	id   uint64
	slug string
}

// source emits events as one instance of a component, on behalf of a tenant.
type source struct {
	*eventEmitter
	tenant
	uri   string
	trace string // trace id of the request that the events belong to
}

// sourceFor returns a source: a random instance of a component, for a tenant.
func (em *eventEmitter) sourceFor(who tenant, component string) source {
	return source{em, who, sourceURI(component, em.rng.IntN(instances(component))), ""}
}

// platformSource returns a source without a tenant.
func (em *eventEmitter) platformSource(component string) source {
	return em.sourceFor(tenant{}, component)
}

func instances(component string) int {
	switch component {
	case "api":
		return 3
	case "worker":
		return 2
	default:
		return 1
	}
}

func sourceURI(component string, instance int) string {
	return "/" + component + "/" + strconv.Itoa(instance+1)
}

// withTrace returns the source with a new trace id.
func (src source) withTrace() source {
	src.trace = fmt.Sprintf("%016x%016x", src.rng.Uint64(), src.rng.Uint64()|1)
	return src
}

// emit publishes an event of the source.
func (src source) emit(d stream.Data) {
	src.lastID++
	e := &stream.Event{ID: src.runID + "-" + strconv.FormatUint(src.lastID, 36), Source: src.uri, Time: src.p.now(), Client: src.slug, Data: d}
	if src.trace != "" {
		e.TraceParent = fmt.Sprintf("00-%s-%016x-01", src.trace, src.rng.Uint64()|1)
	}
	src.publisher.Publish(e)
	src.rememberForDuplicates(src.tenant, e)
}

// emitChange emits the events that follow from a change of the books. recordChange calls it with the books as they are after the change.
func (em *eventEmitter) emitChange(books *Books, c *Change) {
	em.mu.Lock()
	defer em.mu.Unlock()
	s := &changeEvents{eventEmitter: em, books: books, reportedByAPI: c.reportedByAPI, importedLate: c.importedLate}
	for _, n := range c.rowChanges {
		s.row(n)
	}
	for _, o := range s.orders {
		s.order(o)
	}
	for _, o := range s.refunds {
		s.refund(o)
	}
}

// changeEvents emits the events of one change.
type changeEvents struct {
	*eventEmitter
	books                       *Books
	orders, refunds             []*order // sales by order
	reportedByAPI, importedLate bool     // as in Change
}

type order struct {
	sale  Sale // the first line
	lines []Sale
	cents int64
}

func (o *order) add(s Sale) {
	o.lines = append(o.lines, s)
	o.cents += s.AmountCents
}

// addToOrder adds a sale to its order, or begins one.
func addToOrder(orders *[]*order, s Sale) {
	for _, o := range *orders {
		if o.sale.ShopifyOrderID == s.ShopifyOrderID {
			o.add(s)
			return
		}
	}
	o := &order{sale: s}
	o.add(s)
	*orders = append(*orders, o)
}

func (s *changeEvents) client(id uint64) tenant {
	if c := s.books.Clients.Get(id); c != nil {
		return tenant{id, c.Slug}
	}
	return tenant{}
}

// sourceForEvent returns a source for a sale event's client, and the sale event.
func (s *changeEvents) sourceForEvent(event uint64, component string) (source, *Event) {
	e := s.books.Events.Get(event)
	if e == nil {
		e = &Event{}
	}
	return s.sourceFor(s.client(e.ClientID), component), e
}

func (s *changeEvents) category(id uint64) string {
	if c := s.books.Categories.Get(id); c != nil {
		return c.Slug
	}
	return noCategory
}

func (s *changeEvents) row(n rowChange) {
	switch after := n.after.(type) {
	case Sale:
		before, known := n.before.(Sale)
		if !known {
			addToOrder(&s.orders, after)
		}
		if after.IsReturned && !before.IsReturned {
			addToOrder(&s.refunds, after)
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
			s.platformSource("worker").enqueue(jobs.Report, "backup", outcomeArg, after.Outcome)
		}
	case SupportTicket:
		if n.before == nil {
			s.sourceFor(s.client(after.ClientID), "api").visit(endpoint{"POST", "/api/tickets", "support", "support_tickets", "insert"}, 201, "client_admin")
		}
	}
}

func outcomeOf(ok bool) string {
	if ok {
		return Succeeded
	}
	return Failed
}

func (s *changeEvents) order(o *order) {
	src, e := s.sourceForEvent(o.sale.EventID, "api")
	src = src.withTrace()
	took := src.jitter(40 * time.Second)
	src.emit(stream.ProcessStarted{Process: "checkout"})
	if !s.reportedByAPI {
		src.request(endpoint{"POST", "/api/orders", "checkout", "sales", "insert"}, 201)
	}
	src.emit(stream.OrderPlaced{Event: e.Slug, Channel: o.sale.Channel, Items: len(o.lines), AmountCents: o.cents, Currency: o.sale.Currency})
	src.emit(stream.FeatureUsed{Feature: "checkout", Role: "shopper"})
	src.emit(stream.ProcessFinished{Process: "checkout", Outcome: Succeeded, Duration: took})

	worker := s.sourceFor(src.tenant, "worker")
	if s.importedLate { // otherwise its webhook arrives
		worker.emit(stream.ErrorRaised{Category: "integration", Kind: "webhook_miss", Component: "order-import"})
		worker.emit(stream.OrderImported{Event: e.Slug, Outcome: Succeeded, Delay: stream.Seconds(s.p.now().Sub(o.sale.SoldAt))})
	}
	if o.sale.Channel == Online {
		worker.mail("order-receipt")
	}
}

func (s *changeEvents) refund(o *order) {
	src, e := s.sourceForEvent(o.sale.EventID, "api")
	src = src.withTrace()
	src.request(endpoint{"POST", "/api/returns", "returns", "sales", "update"}, 201)
	src.emit(stream.OrderRefunded{
		Event: e.Slug, Items: len(o.lines), AmountCents: o.cents, Currency: o.sale.Currency,
		Reason: oneOf(s.eventEmitter, "wrong-size", "changed-mind", "damaged", "duplicate-gift", "other"),
	})
}

func (s *changeEvents) item(before, after Item, known bool) {
	src, e := s.sourceForEvent(after.EventID, "api")
	category := s.category(after.CategoryID)
	switch {
	case after.Status == before.Status && known:
		if after.PriceCents != before.PriceCents {
			src.visit(endpoint{"PUT", "/api/items/{id}", "pricing", "items", "update"}, 200, "consignor")
		}
	case after.Status == Draft:
		src.visit(endpoint{"POST", "/api/items", "item-entry", "items", "insert"}, 201, "consignor")
	case after.Status == Active && before.Status == Sold, after.Status == Returned:
		src.emit(stream.ItemReturned{Event: e.Slug, Category: category})
	case after.Status == Active:
		src.visit(endpoint{"POST", "/api/items/{id}/publish", "item-entry", "items", "update"}, 200, "consignor")
		src.emit(stream.ItemListed{Event: e.Slug, Category: category})
		src.enqueue(jobs.Image, "resize")
	case after.Status == Sold:
		src.emit(stream.ItemSold{
			Event: e.Slug, Category: category, AmountCents: after.SoldPriceCents, Currency: e.Currency,
			Markdown: after.SoldPriceCents < after.PriceCents, Listed: stream.Seconds(after.SoldAt.Sub(after.ListedAt)),
		})
	case after.Status == Transferred:
		src.emit(stream.ItemTransferred{Event: e.Slug, Category: category})
	}
}

func (s *changeEvents) registered(r EventConsignor) {
	src, e := s.sourceForEvent(r.EventID, "api")
	src = src.withTrace()
	src.request(endpoint{"POST", "/api/events/{id}/consignors", "registration", "event_consignors", "insert"}, 201)
	src.emit(stream.ConsignorRegistered{Event: e.Slug, Kind: r.Type, FeePaid: r.FeePaid})
	src.emit(stream.AuthRequest{Operation: "sign_up", Outcome: "ok", Duration: src.jitter(150 * time.Millisecond)})
	s.sourceFor(src.tenant, "worker").mail("welcome")
}

func (s *changeEvents) volunteer(before, after VolunteerBooking) {
	shift := s.books.VolunteerShifts.Get(after.ShiftID)
	if shift == nil || before.Status == after.Status {
		return
	}
	src, e := s.sourceForEvent(shift.EventID, "api")
	switch after.Status {
	case Scheduled:
		src.visit(endpoint{"POST", "/api/events/{id}/volunteers", "volunteering", "volunteer_bookings", "insert"}, 201, "volunteer")
		src.emit(stream.VolunteerSignedUp{Event: e.Slug, Shift: shift.ShiftType})
		s.sourceFor(src.tenant, "worker").mail("shift-confirmation")
	case Cancelled:
		src.visit(endpoint{"DELETE", "/api/events/{id}/volunteers", "volunteering", "volunteer_bookings", "update"}, 200, "volunteer")
		src.emit(stream.VolunteerCancelled{Event: e.Slug, Shift: shift.ShiftType})
	}
}

func (s *changeEvents) dropoff(before, after DropoffBooking) {
	slot := s.books.DropoffSlots.Get(after.SlotID)
	if slot == nil || before.Status == after.Status {
		return
	}
	src, e := s.sourceForEvent(slot.EventID, "api")
	switch after.Status {
	case Scheduled:
		src.visit(endpoint{"POST", "/api/events/{id}/dropoffs", "drop-off", "dropoff_bookings", "insert"}, 201, "consignor")
		src.emit(stream.DropoffScheduled{Event: e.Slug})
		s.sourceFor(src.tenant, "worker").mail("dropoff-reminder")
	case Completed:
		took := stream.Seconds(after.CompletedAt.Sub(after.ArrivedAt))
		src.emit(stream.ProcessStarted{Process: "intake"})
		src.emit(stream.DropoffCompleted{Event: e.Slug, Duration: took, Items: 5 + s.rng.IntN(40)})
		src.emit(stream.ProcessFinished{Process: "intake", Outcome: Succeeded, Duration: took})
	case NoShow:
		src.emit(stream.DropoffMissed{Event: e.Slug})
	}
}

func (s *changeEvents) session(before, after Session, known bool) {
	src := s.sourceFor(s.client(after.ClientID), "api")
	if !known {
		last := s.p.external.lastCall(clerkService)
		src.callLike("clerk", "sessions.verify", last)
		src.emit(stream.AuthRequest{Operation: "sign_in", Outcome: "ok", Duration: src.jitter(120*time.Millisecond + last.Duration)})
		src.emit(stream.SessionStarted{Role: after.Role})
	}
	if before.EndedAt.IsZero() && !after.EndedAt.IsZero() {
		src.emit(stream.SessionEnded{Role: after.Role, Duration: stream.Seconds(after.EndedAt.Sub(after.StartedAt))})
		src.emit(stream.AuthRequest{Operation: "sign_out", Outcome: "ok", Duration: src.jitter(60 * time.Millisecond)})
	}
}

func (s *changeEvents) synced(r SyncRun) {
	src := s.sourceFor(s.client(r.ClientID), "worker")
	d := stream.SyncFinished{Kind: r.Kind, Outcome: r.Outcome, Items: s.rng.IntN(60), Duration: src.jitter(6 * time.Second)}
	if s.randomFailure(0.03) {
		d.Conflicts = 1
	}
	if s.p.faults.isOn(StateConflicts, r.ClientID) {
		d.Conflicts = 3 + s.rng.IntN(8)
	}
	ok := r.Outcome == Succeeded
	call := "ok"
	if !ok {
		call = "timeout"
		src.emit(stream.ErrorRaised{Category: "integration", Kind: "sync", Component: "sync-worker"})
		src.recovery("retry", "sync-worker")
	}
	if last := s.p.lastShopCall(r.ClientID); ok == last.OK() {
		src.callLike("shopify", r.Kind, last)
	} else {
		src.syntheticCall("shopify", r.Kind, call)
	}
	src.enqueue(jobs.Sync, r.Kind, outcomeArg, r.Outcome)
	src.emit(d)
}

func (s *changeEvents) settlement(before, after Settlement) {
	if before.Status == after.Status {
		return
	}
	src, e := s.sourceForEvent(after.EventID, "worker")
	switch after.Status {
	case Pending:
		src.emit(stream.ProcessStarted{Process: "settlement"})
	case Paid:
		if beforeReconciliation(e.Status) {
			src.emit(stream.ProcessViolated{Process: "settlement"})
			src.emit(stream.ErrorRaised{Category: "business", Kind: "process_violation", Component: "settlement"})
			return
		}
		src.emit(stream.ProcessFinished{Process: "settlement", Outcome: Succeeded, Duration: stream.Seconds(after.PaidAt.Sub(after.CreatedAt))})
		src.mail("payout")
	}
}

func (s *changeEvents) event(before, after Event) {
	if before.Status == after.Status {
		return
	}
	src, _ := s.sourceForEvent(after.ID, "worker")
	switch after.Status {
	case Registration:
		src.mail("registration-open")
	case Reconciliation:
		src.emit(stream.ProcessStarted{Process: "reconciliation"})
		src.enqueue(jobs.Report, "reconciliation")
	case Complete:
		src.emit(stream.ProcessFinished{Process: "reconciliation", Outcome: Succeeded, Duration: stream.Seconds(after.CompletedAt.Sub(after.ReturnWindowEnd))})
	}
}

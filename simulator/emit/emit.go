// Package emit publishes what happens as CloudEvents: the events that follow from each committed change, and around them the telemetry of a
// platform at work and of its background jobs. It changes no row.
package emit

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Emitter publishes the platform's events: each change of the books that the contract has an event for, exactly once, and around
// them the telemetry of a platform at work (requests, queries, calls, emails). The former follow from the rows, so that stream and
// database agree. The latter report what the API, the external services and the jobs did. Only some are made up: the requests with which
// people make changes that the API has no endpoint for, those of faults, and what the worker measures.
type Emitter struct {
	*store.Store
	config    Config
	faults    *faults.Switches
	publisher *stream.Publisher
	jobs      *jobs.Pool
	api       API
	external  External

	mu          sync.Mutex
	rng         *rand.Rand
	runID       string // of this process; prefix of event ids
	lastID      uint64
	duplicates  duplicates
	nextGauges  time.Time // when pools and threads are reported next
	nextCrash   time.Time // while crash-loop is on
	nextBurst   time.Time
	utilization float64          // share of the pools in use
	deferred    []func(*Emitter) // events of requests that were made while life was paused
}

// Config configures an emitter.
type Config struct {
	Brokers    []string
	Seed       uint64
	Tick       time.Duration // how often telemetry is emitted
	Flawless   bool          // nothing fails at random
	BrokerDown func(on bool) error
}

// API is the platform's API, which measures its connection pool and its request slots.
type API interface {
	Gauges() (stream.DBPool, stream.WorkerThreads)
}

// External is the external services. Apart from Deliver, it is called with the emitter locked.
type External interface {
	// LastCall returns the last call to Clerk, and LastShopCall the last one to a client's shop.
	LastCall() Call
	LastShopCall(client uint64) Call
	// Deliver sends the email of a job.
	Deliver(jobs.Job) error
	// Delivered emits what follows from an attempt to send an email, and Processed what follows from that of a webhook.
	Delivered(Source, jobs.Finished)
	Processed(Source, jobs.Finished)
	// Resend enqueues the emails that could not be sent.
	Resend(*Emitter)
}

// New makes an emitter. Connect it before anything is emitted.
func New(config Config, s *store.Store, faults *faults.Switches) (*Emitter, error) {
	out, err := stream.Open(config.Brokers)
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	em := &Emitter{
		Store: s, config: config, faults: faults, publisher: out, rng: rand.New(rand.NewPCG(config.Seed, 0x74656c6c)),
		runID: strconv.FormatInt(time.Now().UnixMicro(), 36), utilization: 0.2, duplicates: duplicates{recent: map[uint64][]*stream.Event{}},
	}
	if em.jobs, err = openJobs(em); err != nil {
		out.Close()
		return nil, err
	}
	return em, nil
}

// Connect connects the emitter to what it reports on.
func (em *Emitter) Connect(api API, external External) { em.api, em.external = api, external }

// Close closes the queues and the publisher.
func (em *Emitter) Close() {
	em.jobs.Close()
	em.publisher.Close()
}

// Flush waits until the broker has acknowledged everything that was published so far.
func (em *Emitter) Flush(ctx context.Context) error {
	em.mu.Lock() // after a running emit
	out := em.publisher
	em.mu.Unlock()
	return out.Flush(ctx)
}

// Totals returns what an exact consumer counts.
func (em *Emitter) Totals() []stream.Total { return em.publisher.Totals() }

func (em *Emitter) chance(p float64) bool { return em.rng.Float64() < p }

// randomFailure reports whether a random failure happens, which Config.Flawless turns off.
func (em *Emitter) randomFailure(p float64) bool { return !em.config.Flawless && em.chance(p) }

// oneOf picks one of the values, the first ones more often.
func oneOf[T any](em *Emitter, of ...T) T {
	u := em.rng.Float64()
	return of[int(u*u*float64(len(of)))]
}

// Jitter returns a duration around d, log-normally distributed.
func (em *Emitter) Jitter(d time.Duration) stream.Duration {
	return stream.Seconds(time.Duration(float64(d) * math.Exp(0.5*em.rng.NormFloat64())))
}

// Tenant is a client in the stream; the zero value is the platform itself.
type Tenant struct {
	ID   uint64
	Slug string
}

// Source emits events as one instance of a component, on behalf of a tenant.
type Source struct {
	*Emitter
	Tenant
	uri   string
	Trace string // trace id of the request that the events belong to
}

// SourceFor returns a source: a random instance of a component, for a tenant.
func (em *Emitter) SourceFor(who Tenant, component string) Source {
	return em.SourceOf(who, component, em.rng.IntN(instances(component)))
}

// SourceOf returns an instance of a component as a source, for a tenant.
func (em *Emitter) SourceOf(who Tenant, component string, instance int) Source {
	return Source{em, who, "/" + component + "/" + strconv.Itoa(instance+1), ""}
}

// PlatformSource returns a source without a tenant.
func (em *Emitter) PlatformSource(component string) Source {
	return em.SourceFor(Tenant{}, component)
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

// WithTrace returns the source with a new trace id.
func (src Source) WithTrace() Source {
	src.Trace = fmt.Sprintf("%016x%016x", src.rng.Uint64(), src.rng.Uint64()|1)
	return src
}

// InTrace returns the source within a trace.
func (src Source) InTrace(id string) Source {
	src.Trace = id
	return src
}

// Emit publishes an event of the source.
func (src Source) Emit(d stream.Data) {
	src.lastID++
	e := &stream.Event{ID: src.runID + "-" + strconv.FormatUint(src.lastID, 36), Source: src.uri, Time: src.Now(), Client: src.Slug, Data: d}
	if src.Trace != "" {
		e.TraceParent = fmt.Sprintf("00-%s-%016x-01", src.Trace, src.rng.Uint64()|1)
	}
	src.publisher.Publish(e)
	src.rememberForDuplicates(src.Tenant, e)
}

// Changed emits the events that follow from a change of the books.
func (em *Emitter) Changed(books *world.Books, c *store.Change) {
	em.mu.Lock()
	defer em.mu.Unlock()
	s := &changeEvents{Emitter: em, books: books, change: c}
	for _, n := range c.Rows {
		s.row(n)
	}
	for _, lines := range world.OrdersOf(s.sold) {
		s.order(lines)
	}
	for _, lines := range world.OrdersOf(s.refunded) {
		s.refund(lines)
	}
}

// changeEvents emits the events of one change.
type changeEvents struct {
	*Emitter
	books          *world.Books
	change         *store.Change
	sold, refunded []world.Sale // lines of orders
}

func (s *changeEvents) client(id uint64) Tenant {
	if c := s.books.Clients.Get(id); c != nil {
		return Tenant{id, c.Slug}
	}
	return Tenant{}
}

// sourceForEvent returns a source for a sale event's client, and the sale event.
func (s *changeEvents) sourceForEvent(event uint64, component string) (Source, *world.Event) {
	e := s.books.Events.Get(event)
	if e == nil {
		e = &world.Event{}
	}
	return s.SourceFor(s.client(e.ClientID), component), e
}

func (s *changeEvents) category(id uint64) string {
	if c := s.books.Categories.Get(id); c != nil {
		return c.Slug
	}
	return world.NoCategory
}

func (s *changeEvents) row(n store.RowChange) {
	switch after := n.After.(type) {
	case world.Sale:
		before, known := n.Before.(world.Sale)
		if !known {
			s.sold = append(s.sold, after)
		}
		if after.IsReturned && !before.IsReturned {
			s.refunded = append(s.refunded, after)
		}
	case world.Item:
		before, known := n.Before.(world.Item)
		s.item(before, after, known)
	case world.EventConsignor:
		if n.Before == nil {
			s.registered(after)
		}
	case world.VolunteerBooking:
		before, _ := n.Before.(world.VolunteerBooking)
		s.volunteer(before, after)
	case world.DropoffBooking:
		before, _ := n.Before.(world.DropoffBooking)
		s.dropoff(before, after)
	case world.Session:
		before, known := n.Before.(world.Session)
		s.session(before, after, known)
	case world.SyncRun:
		if n.Before == nil {
			s.synced(after)
		}
	case world.Settlement:
		before, _ := n.Before.(world.Settlement)
		s.settlement(before, after)
	case world.Event:
		before, _ := n.Before.(world.Event)
		s.event(before, after)
	case world.Backup:
		if before, known := n.Before.(world.Backup); known && before.FinishedAt.IsZero() && !after.FinishedAt.IsZero() {
			s.PlatformSource("worker").Enqueue(jobs.Report, "backup", outcomeArg, after.Outcome)
		}
	case world.SupportTicket:
		if n.Before == nil {
			s.SourceFor(s.client(after.ClientID), "api").visit(Endpoint{"POST", "/api/tickets", "support", "support_tickets", "insert"}, 201, "client_admin")
		}
	}
}

// OutcomeOf returns the outcome of what went well or not.
func OutcomeOf(ok bool) string {
	if ok {
		return world.Succeeded
	}
	return world.Failed
}

func (s *changeEvents) order(lines []world.Sale) {
	first := lines[0]
	src, e := s.sourceForEvent(first.EventID, "api")
	src = src.WithTrace()
	took := src.Jitter(40 * time.Second)
	src.Emit(stream.ProcessStarted{Process: "checkout"})
	if !s.change.ReportedByAPI {
		src.request(Endpoint{"POST", "/api/orders", "checkout", "sales", "insert"}, 201)
	}
	src.Emit(stream.OrderPlaced{Event: e.Slug, Channel: first.Channel, Items: len(lines), AmountCents: world.AmountOf(lines), Currency: first.Currency})
	src.Emit(stream.FeatureUsed{Feature: "checkout", Role: "shopper"})
	src.Emit(stream.ProcessFinished{Process: "checkout", Outcome: world.Succeeded, Duration: took})

	worker := s.SourceFor(src.Tenant, "worker")
	if s.change.ImportedLate { // otherwise its webhook arrives
		worker.Emit(stream.ErrorRaised{Category: "integration", Kind: "webhook_miss", Component: "order-import"})
		worker.Emit(stream.OrderImported{Event: e.Slug, Outcome: world.Succeeded, Delay: stream.Seconds(s.Now().Sub(first.SoldAt))})
	}
	if first.Channel == world.Online {
		worker.mail("order-receipt")
	}
}

func (s *changeEvents) refund(lines []world.Sale) {
	src, e := s.sourceForEvent(lines[0].EventID, "api")
	src = src.WithTrace()
	src.request(Endpoint{"POST", "/api/returns", "returns", "sales", "update"}, 201)
	src.Emit(stream.OrderRefunded{
		Event: e.Slug, Items: len(lines), AmountCents: world.AmountOf(lines), Currency: lines[0].Currency,
		Reason: oneOf(s.Emitter, "wrong-size", "changed-mind", "damaged", "duplicate-gift", "other"),
	})
}

func (s *changeEvents) item(before, after world.Item, known bool) {
	src, e := s.sourceForEvent(after.EventID, "api")
	category := s.category(after.CategoryID)
	switch {
	case after.Status == before.Status && known:
		if after.PriceCents != before.PriceCents {
			src.visit(Endpoint{"PUT", "/api/items/{id}", "pricing", "items", "update"}, 200, "consignor")
		}
	case after.Status == world.Draft:
		src.visit(Endpoint{"POST", "/api/items", "item-entry", "items", "insert"}, 201, "consignor")
	case after.Status == world.Active && before.Status == world.Sold, after.Status == world.Returned:
		src.Emit(stream.ItemReturned{Event: e.Slug, Category: category})
	case after.Status == world.Active:
		src.visit(Endpoint{"POST", "/api/items/{id}/publish", "item-entry", "items", "update"}, 200, "consignor")
		src.Emit(stream.ItemListed{Event: e.Slug, Category: category})
		src.Enqueue(jobs.Image, "resize")
	case after.Status == world.Sold:
		src.Emit(stream.ItemSold{
			Event: e.Slug, Category: category, AmountCents: after.SoldPriceCents, Currency: e.Currency,
			Markdown: after.SoldPriceCents < after.PriceCents, Listed: stream.Seconds(after.SoldAt.Sub(after.ListedAt)),
		})
	case after.Status == world.Transferred:
		src.Emit(stream.ItemTransferred{Event: e.Slug, Category: category})
	}
}

func (s *changeEvents) registered(r world.EventConsignor) {
	src, e := s.sourceForEvent(r.EventID, "api")
	src = src.WithTrace()
	src.request(Endpoint{"POST", "/api/events/{id}/consignors", "registration", "event_consignors", "insert"}, 201)
	src.Emit(stream.ConsignorRegistered{Event: e.Slug, Kind: r.Type, FeePaid: r.FeePaid})
	src.Emit(stream.AuthRequest{Operation: "sign_up", Outcome: "ok", Duration: src.Jitter(150 * time.Millisecond)})
	s.SourceFor(src.Tenant, "worker").mail("welcome")
}

func (s *changeEvents) volunteer(before, after world.VolunteerBooking) {
	shift := s.books.VolunteerShifts.Get(after.ShiftID)
	if shift == nil || before.Status == after.Status {
		return
	}
	src, e := s.sourceForEvent(shift.EventID, "api")
	switch after.Status {
	case world.Scheduled:
		src.visit(Endpoint{"POST", "/api/events/{id}/volunteers", "volunteering", "volunteer_bookings", "insert"}, 201, "volunteer")
		src.Emit(stream.VolunteerSignedUp{Event: e.Slug, Shift: shift.ShiftType})
		s.SourceFor(src.Tenant, "worker").mail("shift-confirmation")
	case world.Cancelled:
		src.visit(Endpoint{"DELETE", "/api/events/{id}/volunteers", "volunteering", "volunteer_bookings", "update"}, 200, "volunteer")
		src.Emit(stream.VolunteerCancelled{Event: e.Slug, Shift: shift.ShiftType})
	}
}

func (s *changeEvents) dropoff(before, after world.DropoffBooking) {
	slot := s.books.DropoffSlots.Get(after.SlotID)
	if slot == nil || before.Status == after.Status {
		return
	}
	src, e := s.sourceForEvent(slot.EventID, "api")
	switch after.Status {
	case world.Scheduled:
		src.visit(Endpoint{"POST", "/api/events/{id}/dropoffs", "drop-off", "dropoff_bookings", "insert"}, 201, "consignor")
		src.Emit(stream.DropoffScheduled{Event: e.Slug})
		s.SourceFor(src.Tenant, "worker").mail("dropoff-reminder")
	case world.Completed:
		took := stream.Seconds(after.CompletedAt.Sub(after.ArrivedAt))
		src.Emit(stream.ProcessStarted{Process: "intake"})
		src.Emit(stream.DropoffCompleted{Event: e.Slug, Duration: took, Items: 5 + s.rng.IntN(40)})
		src.Emit(stream.ProcessFinished{Process: "intake", Outcome: world.Succeeded, Duration: took})
	case world.NoShow:
		src.Emit(stream.DropoffMissed{Event: e.Slug})
	}
}

func (s *changeEvents) session(before, after world.Session, known bool) {
	src := s.SourceFor(s.client(after.ClientID), "api")
	if !known {
		last := s.external.LastCall()
		src.callLike("clerk", "sessions.verify", last)
		src.Emit(stream.AuthRequest{Operation: "sign_in", Outcome: "ok", Duration: src.Jitter(120*time.Millisecond + last.Duration)})
		src.Emit(stream.SessionStarted{Role: after.Role})
	}
	if before.EndedAt.IsZero() && !after.EndedAt.IsZero() {
		src.Emit(stream.SessionEnded{Role: after.Role, Duration: stream.Seconds(after.EndedAt.Sub(after.StartedAt))})
		src.Emit(stream.AuthRequest{Operation: "sign_out", Outcome: "ok", Duration: src.Jitter(60 * time.Millisecond)})
	}
}

func (s *changeEvents) synced(r world.SyncRun) {
	src := s.SourceFor(s.client(r.ClientID), "worker")
	d := stream.SyncFinished{Kind: r.Kind, Outcome: r.Outcome, Items: s.rng.IntN(60), Duration: src.Jitter(6 * time.Second)}
	if s.randomFailure(0.03) {
		d.Conflicts = 1
	}
	if s.faults.IsOn(faults.StateConflicts, r.ClientID) {
		d.Conflicts = 3 + s.rng.IntN(8)
	}
	ok := r.Outcome == world.Succeeded
	call := "ok"
	if !ok {
		call = "timeout"
		src.Emit(stream.ErrorRaised{Category: "integration", Kind: "sync", Component: "sync-worker"})
		src.recovery("retry", "sync-worker")
	}
	if last := s.external.LastShopCall(r.ClientID); ok == last.OK() {
		src.callLike("shopify", r.Kind, last)
	} else {
		src.SyntheticCall("shopify", r.Kind, call)
	}
	src.Enqueue(jobs.Sync, r.Kind, outcomeArg, r.Outcome)
	src.Emit(d)
}

func (s *changeEvents) settlement(before, after world.Settlement) {
	if before.Status == after.Status {
		return
	}
	src, e := s.sourceForEvent(after.EventID, "worker")
	switch after.Status {
	case world.Pending:
		src.Emit(stream.ProcessStarted{Process: "settlement"})
	case world.Paid:
		if world.BeforeReconciliation(e.Status) {
			src.Emit(stream.ProcessViolated{Process: "settlement"})
			src.Emit(stream.ErrorRaised{Category: "business", Kind: "process_violation", Component: "settlement"})
			return
		}
		src.Emit(stream.ProcessFinished{Process: "settlement", Outcome: world.Succeeded, Duration: stream.Seconds(after.PaidAt.Sub(after.CreatedAt))})
		src.mail("payout")
	}
}

func (s *changeEvents) event(before, after world.Event) {
	if before.Status == after.Status {
		return
	}
	src, _ := s.sourceForEvent(after.ID, "worker")
	switch after.Status {
	case world.Registration:
		src.mail("registration-open")
	case world.Reconciliation:
		src.Emit(stream.ProcessStarted{Process: "reconciliation"})
		src.Enqueue(jobs.Report, "reconciliation")
	case world.Complete:
		src.Emit(stream.ProcessFinished{Process: "reconciliation", Outcome: world.Succeeded, Duration: stream.Seconds(after.CompletedAt.Sub(after.ReturnWindowEnd))})
	}
}

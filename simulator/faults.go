package simulator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The faults.
const (
	SoldTwiceFault   = "sold-twice"
	NegativeSlots    = "negative-slots"
	SyncStalled      = "sync-stalled"
	DatabaseDown     = "database-down"
	ReturnAfterFault = "return-after-window"
	OverbookedFault  = "overbooked-slot"
	PaidEarly        = "paid-early"
	TicketsPilingUp  = "tickets-piling-up"
	BackupMissing    = "backup-missing"
	SaleStalled      = "sale-stalled"
)

// The faults of the event stream.
const (
	MalformedEvents   = "malformed-events"
	DuplicateEvents   = "duplicate-events"
	StreamBurst       = "stream-burst"
	BrokerRestart     = "broker-restart"
	ErrorsBurst       = "errors-burst"
	CrashLoop         = "crash-loop"
	CheckoutFailing   = "checkout-failing"
	ValidationStorm   = "validation-storm"
	StateConflicts    = "state-conflicts"
	RecoveriesFailing = "recoveries-failing"
	CrossTenantAccess = "cross-tenant-access"
	BruteForce        = "brute-force"
)

// The faults of the jobs.
const (
	WorkersStopped = "workers-stopped"
	JobsFailing    = "jobs-failing"
	DeadLetters    = "dead-letters"
)

// Scopes of a fault.
const (
	oneClient = "one client" // without a name: the first client with a suitable sale event
	clients   = "clients"    // without a name: all clients
	everybody = "platform"   // takes no client
)

// Fault is a fault that can be switched on while the simulator runs.
type Fault struct {
	Name        string `json:"name"`
	Scope       string `json:"scope"` // "one client", "clients" or "platform"
	Description string `json:"description"`
	Changes     string `json:"changes"` // in the database, or in the stream

	check    string // violations of this check are injected
	on       func(context.Context, []uint64) error
	off      func(context.Context, []uint64, time.Time) error
	afterOff func() // runs after it was switched off somewhere
	// touches: some prices change immediately, so that there is something to sync.
	touches bool
}

// catalogue returns all faults.
func (f *Faults) catalogue() []Fault {
	return append(append(f.infraFaults(), f.externalFaults()...), []Fault{
		{Name: SoldTwiceFault, Scope: oneClient, check: SoldTwice,
			Description: "An item was sold to two shoppers.",
			Changes:     "An item with two sales that are not returned is added; off removes it."},
		{Name: NegativeSlots, Scope: oneClient, check: NegativeRemaining,
			Description: "A drop-off slot has a negative number of remaining places.",
			Changes:     "A drop-off slot with remaining = -1 is added; off removes it."},
		{Name: OverbookedFault, Scope: oneClient, check: OverbookedSlot,
			Description: "A drop-off slot has more bookings than places.",
			Changes:     "A drop-off slot with one place and two bookings is added; off removes them."},
		{Name: ReturnAfterFault, Scope: oneClient, check: ReturnAfterWindow,
			Description: "A sale was returned after the return window had ended.",
			Changes:     "A returned item and its sale are added; off removes them."},
		{Name: PaidEarly, Scope: oneClient, check: PaidBeforeReconciliation,
			Description: "A consignor was paid before the reconciliation.",
			Changes:     "A participant with a paid settlement is added to a live sale event; off removes them."},
		{Name: SyncStalled, Scope: clients, on: f.touchItems,
			Description: "The sync with the shop does not run: products, inventory and orders.",
			Changes:     "No sync_runs of these kinds and no synced_at; some prices change immediately. Off: the next run catches up."},
		{Name: TicketsPilingUp, Scope: clients, on: f.openTickets, off: f.solveTickets,
			Description: "Support tickets pile up, and nobody answers.",
			Changes:     "Eight tickets immediately, many more follow, none is answered. Off solves those that were opened meanwhile."},
		{Name: SaleStalled, Scope: clients,
			Description: "Shoppers are there, and nobody buys.",
			Changes:     "No new sales. Off: people buy again."},
		{Name: BackupMissing, Scope: everybody, on: f.backUpNow, off: f.backUpLater,
			Description: "Backups fail.",
			Changes:     "A run of each target starts immediately, and all fail. Off: a run of each starts immediately, and succeeds."},
		{Name: DatabaseDown, Scope: everybody, on: f.database(true), off: f.databaseOff,
			Description: "The database does not answer.",
			Changes:     "Nothing; the server is stopped. Off resumes it."},

		{Name: MalformedEvents, Scope: clients, on: f.inStream(malformedAll),
			Description: "Producers publish records that nobody can read: cut off, not UTF-8, too large, of unknown types, without values, nested too deeply.",
			Changes:     "In the stream: each kind of bad record in each topic immediately, then one a second. GET /stream-books says how each is counted."},
		{Name: DuplicateEvents, Scope: clients, on: f.inStream(republishAll),
			Description: "Producers publish duplicates of the sale's events.",
			Changes:     "In the stream: the client's last 20 events of consign.commerce again immediately; then many new ones twice, immediately or 300 events later, and one of the last 20 every two seconds."},
		{Name: StreamBurst, Scope: clients, on: f.inStream(burstAll),
			Description: "Far more events than usual.",
			Changes:     "In the stream: 20,000 requests and queries immediately, then 5,000 every 10 seconds."},
		{Name: BrokerRestart, Scope: everybody, on: f.broker(true), off: f.brokerBack,
			Description: "The Kafka broker stops, and comes back with its data when the fault is switched off.",
			Changes:     "Nothing is lost: what happens meanwhile is published afterwards, as long as no more than 100,000 records wait; then telemetry is left out. No more than 10,000 jobs wait."},
		{Name: ErrorsBurst, Scope: clients, on: f.inStream(noImmediateEvents),
			Description: "Many requests fail.",
			Changes:     "In the stream: eight requests a second with status 500 and a system error that the user sees, two integration errors a second."},
		{Name: CrashLoop, Scope: everybody, on: f.inStream(crashAll),
			Description: "The worker crashes again and again.",
			Changes:     "In the stream: a crash and a start of the worker immediately, and every four seconds."},
		{Name: CheckoutFailing, Scope: clients, on: f.inStream(noImmediateEvents),
			Description: "Nobody can pay.",
			Changes:     "No new sales. In the stream: two failed checkouts a second, each with status 502 and an integration error that the user sees."},
		{Name: ValidationStorm, Scope: clients, on: f.inStream(noImmediateEvents),
			Description: "Many entries fail validation.",
			Changes:     "In the stream: five requests a second with status 422 and a validation error."},
		{Name: StateConflicts, Scope: clients, on: f.inStream(noImmediateEvents),
			Description: "Platform and shop are inconsistent.",
			Changes:     "In the stream: three requests a second with status 409 and a state conflict, syncs with many conflicts."},
		{Name: RecoveriesFailing, Scope: everybody, on: f.inStream(noImmediateEvents),
			Description: "The platform's attempts to recover by itself fail.",
			Changes:     "In the stream: every recovery fails, and there are two more a second."},
		{Name: CrossTenantAccess, Scope: clients, on: f.inStream(noImmediateEvents),
			Description: "Somebody requests data of another client.",
			Changes:     "In the stream: a request a second with status 403, a token of the wrong tenant and a security violation."},
		{Name: BruteForce, Scope: clients, on: f.inStream(noImmediateEvents),
			Description: "Somebody tries out passwords.",
			Changes:     "In the stream: ten sign-ins a second that are denied, a security violation a second."},

		{Name: WorkersStopped, Scope: everybody, on: f.stopWorkers, off: f.startWorkers,
			Description: "The workers of background jobs have stopped.",
			Changes:     "In the queues: the workers finish their current jobs and leave their group, and jobs pile up. Off: they come back and work off the backlog."},
		{Name: JobsFailing, Scope: clients, on: f.inStream(noImmediateEvents),
			Description: "Most background jobs fail.",
			Changes:     "In the queues: seven of ten attempts fail, so that many jobs are retried and a third of them become dead letters."},
		{Name: DeadLetters, Scope: everybody, on: f.inStream(noImmediateEvents),
			Description: "After a release the workers cannot read the jobs of one queue.",
			Changes:     "In the queues: the release remakes images, a job every two seconds, and every job of the queue image becomes a dead letter at its first attempt."},
	}...)
}

// Errors of fault switches.
var (
	ErrUnknownFault  = errors.New("unknown fault")
	ErrUnknownClient = errors.New("unknown client")
	ErrNoDatabase    = errors.New("nobody said how to stop the database (Config.DatabaseDown, or --database-pid)")
	ErrNoStream      = errors.New("the platform publishes no events (Config.Stream, or --kafka-listen)")
	ErrNoBroker      = errors.New("nobody said how to stop the broker (Config.BrokerDown, or --kafka-listen)")
	ErrScope         = errors.New("it concerns the platform and takes no client")
	ErrOnForAll      = errors.New("it is on for all clients: switch it off for all")
	ErrNoSaleEvent   = errors.New("the client has no sale event in which this can go wrong")
)

// Faults are the fault switches. A fault that is on for a client can be switched off for that client, or for all.
type Faults struct {
	p *Platform

	// A lock for each fault: an injection that waits for the database must not keep anybody from switching database-down off.
	switching map[string]*sync.Mutex

	mu     sync.RWMutex
	states map[string][]*faultState
}

// faultState is where a fault is on.
type faultState struct {
	client   uint64 // 0: all clients, or the platform
	since    time.Time
	injected []Row
}

func newFaults(p *Platform) *Faults {
	f := &Faults{p: p, switching: map[string]*sync.Mutex{}, states: map[string][]*faultState{}}
	for _, name := range f.Names() {
		f.switching[name] = new(sync.Mutex)
	}
	return f
}

// FaultState is a fault with its state.
type FaultState struct {
	Fault
	On      bool     `json:"on"`
	Clients []string `json:"clients,omitempty"` // slugs, if it is on for some clients only
}

// List returns every fault with its state.
func (f *Faults) List() []FaultState {
	slugs := map[uint64]string{}
	for _, c := range f.p.clientList() {
		slugs[c.ID] = c.Slug
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	var list []FaultState
	for _, fault := range f.catalogue() {
		s := FaultState{Fault: fault, On: len(f.states[fault.Name]) > 0}
		for _, on := range f.states[fault.Name] {
			if on.client != 0 {
				s.Clients = append(s.Clients, slugs[on.client])
			}
		}
		list = append(list, s)
	}
	return list
}

// Names returns the names of all faults.
func (f *Faults) Names() []string {
	var names []string
	for _, fault := range f.catalogue() {
		names = append(names, fault.Name)
	}
	return names
}

// isOn reports whether a fault is on for a client.
func (f *Faults) isOn(name string, client uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.ContainsFunc(f.states[name], func(s *faultState) bool { return s.client == 0 || s.client == client })
}

// On switches a fault on. The fault's Scope says what client "" means. A fault that is on already stays as it is.
func (f *Faults) On(ctx context.Context, name, client string) error {
	fault, id, err := f.find(name, client)
	if err != nil {
		return err
	}
	f.switching[name].Lock()
	defer f.switching[name].Unlock()
	if f.isOn(name, id) || fault.Scope == oneClient && id == 0 && f.any(name) {
		return nil
	}
	state := &faultState{client: id, since: f.p.now()}
	if fault.check != "" {
		state.client, state.injected, err = f.p.injectViolation(ctx, fault.check, id, 1)
		if errors.Is(err, ErrOutcomeUnknown) { // the rows will be there, and have to be removed
			f.set(name, append(slices.Clone(f.statesOf(name)), state))
		}
		if err != nil {
			return fmt.Errorf("fault %s: %w", name, err)
		}
	}
	// State before action, so that life does not work against the fault; off again if the action fails.
	f.set(name, append(slices.Clone(f.statesOf(name)), state))
	if fault.on != nil {
		if err := fault.on(ctx, f.affected(id)); err != nil {
			f.drop(name, state)
			return fmt.Errorf("fault %s: %w", name, err)
		}
	}
	f.p.config.Logger.Info("platform: fault on", "fault", name, "client", client)
	return nil
}

// Off switches a fault off and repairs what it changed. Client "" switches it off everywhere.
func (f *Faults) Off(ctx context.Context, name, client string) error {
	fault, id, err := f.find(name, client)
	if err != nil {
		return err
	}
	f.switching[name].Lock()
	defer f.switching[name].Unlock()
	for _, state := range slices.Clone(f.statesOf(name)) {
		if client != "" && state.client != id {
			if state.client == 0 {
				return fmt.Errorf("fault %s: %w", name, ErrOnForAll)
			}
			continue
		}
		if len(state.injected) > 0 {
			err = f.p.removeViolation(ctx, state.injected)
		} else if fault.off != nil {
			err = fault.off(ctx, f.affected(state.client), state.since)
		}
		if err != nil {
			return fmt.Errorf("fault %s: switch off: %w", name, err)
		}
		f.drop(name, state)
		if fault.afterOff != nil {
			fault.afterOff()
		}
	}
	f.p.config.Logger.Info("platform: fault off", "fault", name, "client", client)
	return nil
}

// AllOff switches every fault off.
func (f *Faults) AllOff(ctx context.Context) error {
	var all []error
	// Servers first: the other faults need them.
	for _, name := range append(serverFaults(), f.Names()...) {
		if f.any(name) {
			all = append(all, f.Off(ctx, name, ""))
		}
	}
	return errors.Join(all...)
}

// ServersUp switches off all faults that stop or change a server: no server is left broken.
func (f *Faults) ServersUp() error {
	var all []error
	for _, name := range serverFaults() {
		if f.any(name) {
			all = append(all, f.Off(context.Background(), name, ""))
		}
	}
	return errors.Join(all...)
}

func (f *Faults) find(name, client string) (Fault, uint64, error) {
	all := f.catalogue()
	i := slices.IndexFunc(all, func(fault Fault) bool { return fault.Name == name })
	if i < 0 {
		return Fault{}, 0, fmt.Errorf("fault %q: %w", name, ErrUnknownFault)
	}
	if client == "" {
		return all[i], 0, nil
	}
	if all[i].Scope == everybody {
		return Fault{}, 0, fmt.Errorf("fault %s: %w", name, ErrScope)
	}
	id, err := f.p.clientID(client)
	return all[i], id, err
}

func (f *Faults) statesOf(name string) []*faultState {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.states[name]
}

func (f *Faults) any(name string) bool { return len(f.statesOf(name)) > 0 }

func (f *Faults) set(name string, states []*faultState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[name] = states
}

func (f *Faults) drop(name string, state *faultState) {
	f.set(name, slices.DeleteFunc(slices.Clone(f.statesOf(name)), func(s *faultState) bool { return s == state }))
}

// affected returns the client, or all active ones for 0.
func (f *Faults) affected(client uint64) []uint64 {
	if client != 0 {
		return []uint64{client}
	}
	var all []uint64
	for _, c := range f.p.clientList() {
		if c.Active {
			all = append(all, c.ID)
		}
	}
	return all
}

// touchItems changes some prices, so that there is something to sync.
func (f *Faults) touchItems(ctx context.Context, clients []uint64) error {
	return f.p.Do(ctx, "touch items", func(b *Books, c *Change) error {
		now := f.p.now()
		for _, e := range b.Events {
			if !slices.Contains(clients, e.ClientID) || !selling(e.Status) && e.Status != Registration {
				continue
			}
			for _, id := range f.p.index.forSale.some(e.ID, 5) {
				item := *b.Items.Get(id)
				item.UpdatedAt = now
				c.Update(item)
			}
		}
		return nil
	})
}

func (f *Faults) openTickets(ctx context.Context, clients []uint64) error {
	return f.p.Do(ctx, "open tickets", func(_ *Books, c *Change) error {
		for _, client := range clients {
			for i := range 8 {
				f.p.openTicket(c, client, priorities()[i%2])
			}
		}
		return nil
	})
}

func (f *Faults) solveTickets(ctx context.Context, clients []uint64, since time.Time) error {
	return f.p.Do(ctx, "solve tickets", func(b *Books, c *Change) error {
		now := f.p.now()
		for _, ticket := range b.SupportTickets {
			if ticket.Status == Open && !ticket.OpenedAt.Before(since) && slices.Contains(clients, ticket.ClientID) {
				ticket.Status, ticket.FirstResponseAt, ticket.SolvedAt = Solved, now, now
				c.Update(ticket)
			}
		}
		return nil
	})
}

// backUpNow makes every backup due.
func (f *Faults) backUpNow(ctx context.Context, _ []uint64) error {
	if err := f.p.lockWrites(ctx); err != nil {
		return err
	}
	defer f.p.unlockWrites()
	for _, clock := range f.p.clock.backups {
		clock.next = f.p.now()
	}
	return nil
}

func (f *Faults) backUpLater(ctx context.Context, clients []uint64, _ time.Time) error {
	return f.backUpNow(ctx, clients)
}

func (f *Faults) database(down bool) func(context.Context, []uint64) error {
	return func(context.Context, []uint64) error {
		if f.p.config.DatabaseDown == nil {
			return ErrNoDatabase
		}
		return f.p.config.DatabaseDown(down)
	}
}

func (f *Faults) databaseOff(ctx context.Context, clients []uint64, _ time.Time) error {
	return f.database(false)(ctx, clients)
}

func (p *Platform) clientList() []Client {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return slices.Clone(p.books.Clients)
}

func (p *Platform) clientID(slug string) (uint64, error) {
	for _, c := range p.clientList() {
		if c.Slug == slug {
			if !c.Active {
				return 0, fmt.Errorf("client %q is not active: %w", slug, ErrUnknownClient)
			}
			return c.ID, nil
		}
	}
	return 0, fmt.Errorf("client %q: %w", slug, ErrUnknownClient)
}

// Package simulator simulates the platform that consignwatch monitors: the contract's tables in a real database, filled with
// children's consignment sales, in which life goes on. It keeps books of everything that it did, from which a test knows the expected
// values, and faults can be switched on in it.
//
// It publishes what happens as CloudEvents to Kafka (simulator/stream), if Config.Stream names brokers. The events of a sale follow
// from the rows that changed, each exactly once. Around them visitors send real requests to an API, emails are sent, and external services
// are called; background work consists of real jobs in queues of the same Kafka (simulator/jobs).
//
// The books hold what the simulator has committed; they are never read from the database. Each activity is one transaction, and the
// books change when the transaction is known to be committed. The database may die, hang and come back.
//
// All times in the database are real times. Config.Speed makes days shorter: at speed 60 a platform day lasts 24 minutes, and as much
// happens in it as in a day.
//
// This package configures and connects the rooms, and serves the control interface; it decides nothing about life itself. Rooms import only
// those above them here:
//
//	world                    rows, books, and the rules of a sale
//	oracle, seed, store      what has to be exported; the rows at the beginning; the database with its books
//	stream, jobs             events and job queues in Kafka
//	violations, faults       rows that violate a check; the fault switches
//	emit                     the events of changes, jobs and faults
//	life, infra, services    what happens; the API, the cache and the disk; Shopify, Clerk and Mandrill
package simulator

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/infra"
	"github.com/consignwatch/consignwatch/simulator/life"
	"github.com/consignwatch/consignwatch/simulator/oracle"
	"github.com/consignwatch/consignwatch/simulator/seed"
	"github.com/consignwatch/consignwatch/simulator/services"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/violations"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Config configures the simulator. Only DSN has no default.
type Config struct {
	DSN string // go-sql-driver/mysql, with the database's name

	Clients    int // 5
	Events     int // sale events of all clients together; 8
	LiveEvents int // of these, how many are live; half of them
	Items      int // of all sale events together; 1000
	Seed       uint64
	IDsAfter   uint64 // the keys of rows begin after it; 0
	// Bulk keeps the items and sales of sale events that are over as totals only, for millions of items. Nothing changes in a sale
	// event that is over, so life goes on as usual.
	Bulk bool
	// Fresh truncates the platform's tables before they are filled: their rows are lost.
	Fresh bool
	// Flawless turns off random failures: every failure is then a fault's.
	Flawless bool
	// Nights adds a night and an evening peak: from one to six nobody arrives and those who are there leave; most arrive in the evening.
	Nights bool
	// Noon starts the platform's day at noon instead of at the present time of day.
	Noon bool
	// Acceleration speeds up what does not follow the platform's day: calls to the external services and their latency, sync, backups,
	// visits, and the emails and images of faults. 1 is real time.
	Acceleration float64

	Speed   float64          // platform days in a day; 1
	Tick    time.Duration    // how often life decides on the next activities; 200ms
	Timeout time.Duration    // of a transaction; 3s
	Now     func() time.Time // time.Now
	Logger  *slog.Logger     // nil: nothing is logged

	// DatabaseDown stops the database server (true) and resumes it (false), for the fault database-down. The simulator itself has
	// no means to do it.
	DatabaseDown func(on bool) error

	// Stream is the Kafka brokers, host:port, to which the platform publishes its events and its jobs. Empty: no stream. Topics
	// returns the topics that must exist. A platform with a stream needs an API and external services (ExternalServices), from which most of the
	// events come.
	Stream []string
	// BrokerDown stops the broker (true) and restarts it (false), for the fault broker-restart.
	BrokerDown func(on bool) error

	Infra

	// ExternalServices is the address at which fakes of Shopify, Clerk and Mandrill are served: host:port of the loopback interface; port 0 is
	// a free one. The platform then has shops, calls the services and receives their webhooks.
	ExternalServices string
	// ExternalServicesDir is the folder for the services' secrets and for the list of clients. Empty: a temporary one.
	ExternalServicesDir string

	// Progress receives the number of rows that Fill has written so far. Its calls do not overlap.
	Progress func(rows int64)
}

func (c *Config) setDefaults() error {
	c.Clients = cmp.Or(c.Clients, 5)
	c.Events = cmp.Or(c.Events, 8)
	c.LiveEvents = cmp.Or(c.LiveEvents, (c.Events+1)/2)
	c.Items = cmp.Or(c.Items, 1000)
	c.Speed = cmp.Or(c.Speed, 1)
	c.Acceleration = cmp.Or(c.Acceleration, 1)
	c.Tick = cmp.Or(c.Tick, 200*time.Millisecond)
	c.Timeout = cmp.Or(c.Timeout, 3*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Clients < 1 || c.Events < 1 || c.Items < 1:
		return fmt.Errorf("platform: %d clients, %d sale events, %d items: at least one of each", c.Clients, c.Events, c.Items)
	case c.LiveEvents < 0 || c.LiveEvents > c.Events:
		return fmt.Errorf("platform: %d of %d sale events live: not possible", c.LiveEvents, c.Events)
	case c.Acceleration < 1 || c.Acceleration > 100:
		return fmt.Errorf("platform: acceleration %g: between 1 and 100", c.Acceleration)
	case c.Speed < 0.01 || c.Speed > 100_000:
		return fmt.Errorf("platform: speed %g: between 0.01 and 100000", c.Speed)
	case len(c.Stream) > 0 && c.API == "":
		return fmt.Errorf("platform: publish events: %w", faults.ErrNoAPI)
	case len(c.Stream) > 0 && c.ExternalServices == "":
		return fmt.Errorf("platform: publish events: %w", faults.ErrNoExternal)
	}
	return nil
}

// Infra names the infrastructure of the platform.
type Infra = infra.Config

// Platform is the simulator. Its methods can be called from any goroutine.
type Platform struct {
	config   Config
	store    *store.Store
	faults   *faults.Switches
	tasks    *faults.Tasks
	emitter  *emit.Emitter // nil: no stream
	inflight *emit.Inflight
	infra    *infra.Infra
	services *services.Services // nil: no external services
	life     *life.Life
}

// New checks the configuration and makes a simulator. It does not connect to the database.
func New(config Config) (*Platform, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	rows, err := store.Open(store.Config{
		Clock: world.Clock{Time: config.Now, Speed: config.Speed, Acceleration: config.Acceleration}, DSN: config.DSN, Timeout: config.Timeout, Logger: config.Logger,
		IDsAfter: config.IDsAfter,
	})
	if err != nil {
		return nil, err
	}
	p := &Platform{config: config, store: rows, faults: faults.NewSwitches(rows), tasks: faults.NewTasks(2 * config.Timeout)}
	if err := p.connect(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// connect makes the parts of the platform and connects them. A change goes to the services first, so that a shop has an order before
// anybody reports it.
func (p *Platform) connect() (err error) {
	c := &p.config
	if len(c.Stream) > 0 {
		p.emitter, err = emit.New(emit.Config{Brokers: c.Stream, Seed: c.Seed, Tick: c.Tick, Flawless: c.Flawless, BrokerDown: c.BrokerDown}, p.store, p.faults)
		if err != nil {
			return err
		}
	}
	p.inflight = emit.NewInflight(p.store, p.emitter)
	if p.infra, err = infra.Start(infra.Setup{Config: c.Infra, Seed: c.Seed, Tick: c.Tick}, p.store, p.faults, p.tasks, p.inflight); err != nil {
		return err
	}
	var shops life.Shops
	if c.ExternalServices != "" {
		listener, err := listenLoopback(context.Background(), "address of the external services", c.ExternalServices)
		if err != nil {
			return fmt.Errorf("platform: %w", err)
		}
		if p.services, err = services.Serve(services.Config{Listener: listener, Dir: c.ExternalServicesDir}, p.store, p.faults, p.inflight); err != nil {
			return err
		}
		shops = p.services
		p.store.Observe(p.services)
	}
	p.life = life.New(life.Config{
		Events: c.Events, Items: c.Items, Seed: c.Seed, Tick: c.Tick, Flawless: c.Flawless, Nights: c.Nights, Noon: c.Noon,
	}, p.store, p.faults, shops, p.infra)
	p.infra.Connect(p.life)
	if p.emitter != nil {
		p.emitter.Connect(p.infra.API(), p.services)
		p.store.Observe(p.emitter)
	}
	if c.Disk.Dir != "" {
		p.store.Observe(p.infra)
	}
	p.faults.Register(slices.Concat(p.infra.Faults(), p.services.Faults(), faults.Violations(), p.life.Faults(), p.databaseFaults(), p.emitter.Faults())...)
	return nil
}

func (p *Platform) databaseFaults() []faults.Fault {
	database := func(down bool) faults.Action {
		return func(context.Context, faults.Where) error {
			if p.config.DatabaseDown == nil {
				return faults.ErrNoDatabase
			}
			return p.config.DatabaseDown(down)
		}
	}
	return []faults.Fault{
		{Name: faults.DatabaseDown, Scope: faults.Everybody, On: database(true), Off: database(false),
			Description: "The database does not answer.",
			Changes:     "Nothing; the server is stopped. Off resumes it."},
	}
}

// Close closes the connections. Run must have returned.
func (p *Platform) Close() error {
	var err error
	if p.infra != nil {
		err = p.infra.Close()
	}
	if p.services != nil {
		err = errors.Join(err, p.services.Close())
	}
	if p.emitter != nil {
		p.emitter.Close()
	}
	return errors.Join(err, p.store.Close())
}

// Fill creates the missing tables and fills them. It refuses tables that hold a client, because they may be somebody else's, unless
// Config.Fresh is set.
func (p *Platform) Fill(ctx context.Context) error {
	c := &p.config
	generate := func(db *sql.DB, now time.Time, ids world.IDs) (*world.Books, error) {
		return seed.Fill(ctx, db, seed.Config{
			Clients: c.Clients, Events: c.Events, LiveEvents: c.LiveEvents, Items: c.Items, Seed: c.Seed, Bulk: c.Bulk, Day: p.store.Day(), Progress: c.Progress,
		}, now, ids)
	}
	return p.store.Fill(ctx, c.Fresh, generate, func(b *world.Books, now time.Time) error {
		p.life.Reset(now)
		if p.services == nil {
			return nil
		}
		return p.services.Seed(b)
	})
}

// Run simulates life until the context ends, finishes the running activity and returns nil. While the database fails, Run waits and
// retries.
func (p *Platform) Run(ctx context.Context) error {
	if !p.store.Filled.Load() {
		return store.ErrNotFilled
	}
	if p.life.Living.Swap(true) {
		return errors.New("platform: life: it runs already")
	}
	defer p.life.Living.Store(false)
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { p.infra.Run(ctx) })
	if p.services != nil {
		beside.Go(func() { p.services.Run(ctx) })
	}
	if p.emitter != nil {
		beside.Go(func() { p.emitter.Run(ctx) })
		beside.Go(func() { p.emitter.RunWorkers(ctx) })
	}
	p.life.Run(ctx)
	return nil
}

// Step runs the activities of a time span (Life.Step), for a test that simulates life without a clock.
func (p *Platform) Step(ctx context.Context, elapsed time.Duration) error {
	return p.life.Step(ctx, elapsed)
}

// Do makes a change of the caller's (Store.Do).
func (p *Platform) Do(ctx context.Context, name string, fill func(*world.Books, *store.Change) error) error {
	return p.store.Do(ctx, name, fill)
}

// Books returns a copy of the books. To compare it with the database, pause life first.
func (p *Platform) Books() *world.Books { return p.store.Snapshot() }

// Truth returns every sample that the business-exporter has to export now.
func (p *Platform) Truth() []oracle.Sample { return oracle.Truth(p.Books(), p.store.Now()) }

// Faults returns the fault switches.
func (p *Platform) Faults() *faults.Switches { return p.faults }

// InjectViolation adds exactly n violations of an integrity check to the sale events of a client, in the database and in the books. They
// have rows of their own, which life leaves alone, and stay until the database is dropped. Violations of paid_before_reconciliation end
// with the reconciliation of their sale event.
//
// The client needs a live sale event that is exported; without one the error is ErrNoSaleEvent.
func (p *Platform) InjectViolation(ctx context.Context, check, client string, n int) error {
	id, err := p.store.ClientID(client)
	if err != nil {
		return fmt.Errorf("platform: inject a violation of %s: %w", check, err)
	}
	_, _, err = violations.Inject(ctx, p.store, check, id, n)
	return err
}

// Pause waits for the running activity and starts no other until Resume. After it returns nil, the books, the database and the stream
// agree, and only Do, InjectViolation and the faults change them; jobs stay in their queues. It waits for the API requests in flight;
// events of later requests are deferred until Resume. It also waits while the outcome of a transaction is unknown, and while the
// broker does not acknowledge what was published.
func (p *Platform) Pause(ctx context.Context) error {
	was := p.store.Paused.Swap(true)
	if err := p.quiesce(ctx); err != nil {
		if p.store.Paused.Store(was); !was {
			p.resumeJobs()
		}
		return fmt.Errorf("platform: pause: %w", err)
	}
	return nil
}

func (p *Platform) quiesce(ctx context.Context) error {
	if err := p.inflight.Await(ctx); err != nil {
		return err
	}
	if err := p.store.LockWrites(ctx); err != nil {
		return err
	}
	defer p.store.UnlockWrites()
	if err := p.store.AwaitResolved(ctx); err != nil {
		return err
	}
	if p.emitter == nil {
		return nil
	}
	if err := p.emitter.PauseJobs(ctx); err != nil {
		return err
	}
	return p.FlushStream(ctx)
}

// StreamTruth returns what an exact consumer of the stream has counted once it has read all acknowledged records: every counter of the
// contract's section 1, count and sum of every histogram, and consignwatch_records_total. It is sorted by name and labels. Money is in
// minor units of its currency (Sample.Major converts them), times are in seconds. Series without any event are absent. Without a stream
// it is empty.
//
// The samples follow from the published events themselves. To compare them with a consumer's, pause life first.
func (p *Platform) StreamTruth() []oracle.Sample {
	samples := []oracle.Sample{}
	if p.emitter == nil {
		return samples
	}
	for _, t := range p.emitter.Totals() {
		samples = append(samples, oracle.Sample{Name: t.Name, Labels: t.Labels, Value: float64(t.Value) / float64(t.Scale)})
	}
	slices.SortFunc(samples, oracle.Compare)
	return samples
}

// FlushStream waits until the requests in flight have ended and the broker has acknowledged everything that was published so far. Pause
// includes it.
func (p *Platform) FlushStream(ctx context.Context) error {
	if p.emitter == nil {
		return nil
	}
	if err := p.inflight.Await(ctx); err != nil {
		return fmt.Errorf("platform: requests that are on their way: %w", err)
	}
	return p.emitter.Flush(ctx)
}

// Resume lets life go on.
func (p *Platform) Resume() {
	p.store.Paused.Store(false)
	p.resumeJobs()
	select {
	case p.life.Wake <- struct{}{}:
	default:
	}
}

func (p *Platform) resumeJobs() {
	if p.emitter != nil {
		p.emitter.ResumeJobs()
	}
}

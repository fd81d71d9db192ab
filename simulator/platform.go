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
package simulator

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Config configures the simulator. Only DSN has no default.
type Config struct {
	DSN string // go-sql-driver/mysql, with the database's name

	Clients    int // 5
	Events     int // sale events of all clients together; 8
	LiveEvents int // of these, how many are live; half of them
	Items      int // of all sale events together; 1000
	Seed       uint64
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
	// returns the topics that must exist. A platform with a stream needs an API and external services (Outside), from which most of the
	// events come.
	Stream []string
	// BrokerDown stops the broker (true) and restarts it (false), for the fault broker-restart.
	BrokerDown func(on bool) error

	Infra

	// Outside is the address at which fakes of Shopify, Clerk and Mandrill are served: host:port of the loopback interface; port 0 is
	// a free one. The platform then has shops, calls the services and receives their webhooks.
	Outside string
	// OutsideDir is the folder for the services' secrets and for the list of clients. Empty: a temporary one.
	OutsideDir string

	// Progress receives the number of rows that Fill has written so far. Its calls do not overlap.
	Progress func(rows int64)
}

func (c *Config) setDefaults() error {
	if c.Clients == 0 {
		c.Clients = 5
	}
	if c.Events == 0 {
		c.Events = 8
	}
	if c.LiveEvents == 0 {
		c.LiveEvents = (c.Events + 1) / 2
	}
	if c.Items == 0 {
		c.Items = 1000
	}
	if c.Speed == 0 {
		c.Speed = 1
	}
	if c.Acceleration == 0 {
		c.Acceleration = 1
	}
	if c.Tick == 0 {
		c.Tick = 200 * time.Millisecond
	}
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Clients < 1 || c.Events < 1 || c.Items < 1:
		return fmt.Errorf("platform: %d clients, %d sale events, %d items: at least one of each", c.Clients, c.Events, c.Items)
	case c.LiveEvents < 0 || c.LiveEvents > c.Events:
		return fmt.Errorf("platform: %d of %d sale events live: not possible", c.LiveEvents, c.Events)
	case c.Acceleration < 1 || c.Acceleration > 100:
		return fmt.Errorf("platform: haste %g: between 1 and 100", c.Acceleration)
	case c.Speed < 0.01 || c.Speed > 100_000:
		return fmt.Errorf("platform: speed %g: between 0.01 and 100000", c.Speed)
	case len(c.Stream) > 0 && c.API == "":
		return fmt.Errorf("platform: publish events: %w", ErrNoAPI)
	case len(c.Stream) > 0 && c.Outside == "":
		return fmt.Errorf("platform: publish events: %w", ErrNoExternal)
	}
	return nil
}

// Platform is the simulator. Its methods can be called from any goroutine.
type Platform struct {
	config  Config
	db      *sql.DB
	login   *login // of db
	faults  *Faults
	emitter *eventEmitter // nil: no stream
	infra
	external *externalServices // nil: no external services
	inflight inflight

	writeLock chan struct{} // held by whoever runs a transaction
	paused    atomic.Bool   // life does not acquire writeLock
	filled    atomic.Bool
	living    atomic.Bool
	wake      chan struct{} // makes Run take a step at once

	// Written with writeLock and mu held; read with either.
	mu      sync.RWMutex
	books   *Books
	index   *index
	changes int64 // changes recorded

	// Guarded by writeLock.
	ids            ids
	rng            *rand.Rand
	unknownOutcome *Change // committed or not: nobody knows yet
	clock          lifeClock

	failing  atomic.Pointer[string] // the last error while the database fails
	failures atomic.Int64
}

// New checks the configuration and makes a simulator. It does not connect.
func New(config Config) (*Platform, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	db, login, err := open(config.DSN, config.Timeout)
	if err != nil {
		return nil, err
	}
	p := &Platform{
		config: config, db: db, login: login, writeLock: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		books: &Books{Totals: map[uint64]Totals{}}, index: newIndex(), ids: firstIDs(),
		rng:      rand.New(rand.NewPCG(config.Seed, 0x6c696665)),
		inflight: inflight{pending: map[*inflightRequest]struct{}{}},
	}
	p.faults = newFaults(p)
	if len(config.Stream) > 0 {
		out, err := stream.Open(config.Stream)
		if err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("platform: %w", err)
		}
		if p.emitter, err = newEventEmitter(p, out); err != nil {
			out.Close()
			_ = db.Close()
			return nil, err
		}
	}
	if err := p.startInfra(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.openExternal(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close closes the connections. Run must have returned.
func (p *Platform) Close() error {
	err := p.stopInfra()
	if p.external != nil {
		err = errors.Join(err, p.external.Close())
	}
	if p.emitter != nil {
		p.emitter.jobs.Close()
		p.emitter.publisher.Close()
	}
	return errors.Join(err, p.db.Close())
}

// Books returns a copy of the books. To compare it with the database, pause life first.
func (p *Platform) Books() *Books {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.books.Clone()
}

// Truth returns every sample that the business-exporter has to export now (Books.Truth).
func (p *Platform) Truth() []Sample { return p.Books().Truth(p.now()) }

// Faults returns the fault switches.
func (p *Platform) Faults() *Faults { return p.faults }

// Pause waits for the running activity and starts no other until Resume. After it returns nil, the books, the database and the stream
// agree, and only Do, InjectViolation and the faults change them; jobs stay in their queues. It waits for the API requests in flight;
// events of later requests are deferred until Resume. It also waits while the outcome of a transaction is unknown, and while the
// broker does not acknowledge what was published.
func (p *Platform) Pause(ctx context.Context) error {
	was := p.paused.Swap(true)
	if err := p.quiesce(ctx); err != nil {
		if p.paused.Store(was); !was {
			p.resumeJobs()
		}
		return fmt.Errorf("platform: pause: %w", err)
	}
	return nil
}

func (p *Platform) quiesce(ctx context.Context) error {
	if err := p.inflight.await(ctx); err != nil {
		return err
	}
	if err := p.lockWrites(ctx); err != nil {
		return err
	}
	defer p.unlockWrites()
	if err := p.awaitResolved(ctx); err != nil {
		return err
	}
	if p.emitter == nil {
		return nil
	}
	if err := p.emitter.jobs.Pause(ctx); err != nil {
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
func (p *Platform) StreamTruth() []Sample {
	samples := []Sample{}
	if p.emitter == nil {
		return samples
	}
	for _, t := range p.emitter.publisher.Totals() {
		samples = append(samples, Sample{t.Name, t.Labels, float64(t.Value) / float64(t.Scale)})
	}
	slices.SortFunc(samples, compareSamples)
	return samples
}

// FlushStream waits until the requests in flight have ended and the broker has acknowledged everything that was published so far. Pause
// includes it.
func (p *Platform) FlushStream(ctx context.Context) error {
	if p.emitter == nil {
		return nil
	}
	if err := p.inflight.await(ctx); err != nil {
		return fmt.Errorf("platform: requests that are on their way: %w", err)
	}
	p.emitter.mu.Lock() // after a running emit
	out := p.emitter.publisher
	p.emitter.mu.Unlock()
	return out.Flush(ctx)
}

// Resume lets life go on.
func (p *Platform) Resume() {
	p.paused.Store(false)
	p.resumeJobs()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

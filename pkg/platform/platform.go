// Package platform is a small stand-in for the platform that consignwatch monitors: the contract's tables in a real
// database, filled with children's consignment sales, in which life goes on. It keeps its own books of everything that it
// did, so that a test can ask what is true, and it can be made to fail on purpose.
//
// What happens, it also tells the world as CloudEvents in Kafka (pkg/platform/stream), if there is one. The events of the sale
// follow from the rows that changed, each exactly once; requests, queries and mails are made up around them. What is done in the
// background are real jobs in queues of the same Kafka (pkg/platform/jobs).
//
// The books never come from the database. Each activity is one transaction, and the books change when it is known to
// have been committed. The database may die, hang and come back.
//
// Every time that stands in the database is the true time. The speed makes days shorter: at speed 60 a platform day
// lasts 24 minutes, and as much happens in it as in a day.
package platform

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

	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// Config says which platform to make. Only DSN has no default.
type Config struct {
	DSN string // go-sql-driver/mysql, with the database's name

	Clients    int // 5
	Events     int // sale events of all clients together; 8
	LiveEvents int // of these, how many are going on; half of them
	Items      int // of all sale events together; 1000
	Seed       uint64
	// Bulk keeps the items and sales of sale events that are over as totals only, for millions of items. The
	// platform lives as usual; what is over does not change anyway.
	Bulk bool
	// Fresh empties the platform's tables before they are filled: whatever was in them is lost.
	Fresh bool
	// Flawless keeps what goes wrong now and then by itself, as on every platform, from going wrong: then every failure is a fault's.
	Flawless bool
	// Nights is that people sleep: from one to six nobody comes, and who is there leaves; in the evening most come.
	Nights bool
	// Noon begins the platform's day at noon instead of at the present time of day.
	Noon bool
	// Haste is how many times faster than in life goes what does not follow the platform's day: calls to the outside services and how
	// late they answer, synchronisation, backups, visits, and the mails and pictures of faults; 1.
	Haste float64

	Speed   float64          // 1: a platform day lasts a day
	Tick    time.Duration    // how often it is decided what happens next; 200ms
	Timeout time.Duration    // of one transaction; 3s
	Now     func() time.Time // time.Now
	Logger  *slog.Logger     // nothing is logged

	// DatabaseDown stops the database server (true) and lets it go on (false), for the fault database-down. The
	// simulator has no way of its own to do it.
	DatabaseDown func(on bool) error

	// Stream is where the platform publishes what happens, and where its jobs wait: host:port of Kafka brokers. Empty: nowhere.
	// Topics says which topics somebody has to create.
	Stream []string
	// BrokerDown stops the broker (true) and lets it come back (false), for the fault broker-restart.
	BrokerDown func(on bool) error

	Machinery

	// Outside is where fakes of Shopify, Clerk and Mandrill are served: host:port of the loopback interface, with port 0 for a free one.
	// The platform then really has shops, calls the services and receives their webhooks. Empty: all of that is made up.
	Outside string
	// OutsideDir is the folder for the files with their secrets, and with the list of clients. Empty: a temporary one.
	OutsideDir string

	// Progress hears how many rows Fill has written so far, one call at a time.
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
	if c.Haste == 0 {
		c.Haste = 1
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
	case c.Haste < 1 || c.Haste > 100:
		return fmt.Errorf("platform: haste %g: between 1 and 100", c.Haste)
	case c.Speed < 0.01 || c.Speed > 100_000:
		return fmt.Errorf("platform: speed %g: between 0.01 and 100000", c.Speed)
	}
	return nil
}

// Platform is the simulator. Its methods can be called from any goroutine.
type Platform struct {
	config Config
	db     *sql.DB
	login  *login // of db
	faults *Faults
	teller *teller // nil: there is no stream
	equipment
	outside *outsiders // nil: there are none
	flights flights

	turn   chan struct{} // held by who transacts
	paused atomic.Bool   // life does not take the turn
	filled atomic.Bool
	living atomic.Bool
	wake   chan struct{} // life looks again

	// Written by who holds the turn, under mu; read by who holds either.
	mu    sync.RWMutex
	books *Books
	index *index
	done  int64 // changes booked

	// Of who holds the turn.
	ids       ids
	rng       *rand.Rand
	unsettled *Change // its outcome is unknown
	clock     lifeClock

	failing  atomic.Pointer[string] // the last error, while the database does not do its work
	failures atomic.Int64
}

// New checks the configuration. It does not connect.
func New(config Config) (*Platform, error) {
	if err := config.setDefaults(); err != nil {
		return nil, err
	}
	db, login, err := open(config.DSN, config.Timeout)
	if err != nil {
		return nil, err
	}
	p := &Platform{
		config: config, db: db, login: login, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		books: &Books{Totals: map[uint64]Totals{}}, index: newIndex(), ids: firstIDs(),
		rng:     rand.New(rand.NewPCG(config.Seed, 0x6c696665)),
		flights: flights{on: map[*flight]struct{}{}},
	}
	p.faults = newFaults(p)
	if len(config.Stream) > 0 {
		out, err := stream.Open(config.Stream)
		if err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("platform: %w", err)
		}
		if p.teller, err = newTeller(p, out); err != nil {
			out.Close()
			_ = db.Close()
			return nil, err
		}
	}
	if err := p.equip(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.openOutside(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close ends the connections. Run must have returned.
func (p *Platform) Close() error {
	err := p.dismantle()
	if p.outside != nil {
		err = errors.Join(err, p.outside.Close())
	}
	if p.teller != nil {
		p.teller.jobs.Close()
		p.teller.out.Close()
	}
	return errors.Join(err, p.db.Close())
}

// Books returns a copy of the books. To compare it with the database, pause life first.
func (p *Platform) Books() *Books {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.books.Clone()
}

// Truth returns what the business-exporter has to say now (Books.Truth).
func (p *Platform) Truth() []Sample { return p.Books().Truth(p.now()) }

// Faults returns the switches of the faults.
func (p *Platform) Faults() *Faults { return p.faults }

// Pause lets the running activity end and starts no other, until Resume. When it returns nil, the books, the
// database and the stream say the same, and only Do, Plant and the faults change them; jobs stay in their queues. It waits
// for the requests to the API that are on their way; what later ones have to tell is told after Resume. While the database is down and the
// outcome of a transaction is unknown, and while the broker does not take what was published, it waits.
func (p *Platform) Pause(ctx context.Context) error {
	was := p.paused.Swap(true)
	if err := p.quiet(ctx); err != nil {
		if p.paused.Store(was); !was {
			p.resumeJobs()
		}
		return fmt.Errorf("platform: pause: %w", err)
	}
	return nil
}

func (p *Platform) quiet(ctx context.Context) error {
	if err := p.flights.await(ctx); err != nil {
		return err
	}
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.release()
	if err := p.awaitSettled(ctx); err != nil {
		return err
	}
	if p.teller == nil {
		return nil
	}
	if err := p.teller.jobs.Pause(ctx); err != nil {
		return err
	}
	return p.FlushStream(ctx)
}

// StreamTruth returns every counter of the contract's section 1, and of every histogram the count and the sum, with what an exact consumer
// has counted once it has read all that the broker has acknowledged so far; besides, consignwatch_records_total. It is
// sorted by name and labels. Money is in minor units of its currency (Sample.Major converts it), times are in seconds. A series that nothing was
// ever counted for is absent. Without a stream there is none.
//
// It follows from the events themselves, as they were published. To compare it with a consumer, pause life first.
func (p *Platform) StreamTruth() []Sample {
	samples := []Sample{}
	if p.teller == nil {
		return samples
	}
	for _, t := range p.teller.out.Totals() {
		samples = append(samples, Sample{t.Name, t.Labels, float64(t.Value) / float64(t.Scale)})
	}
	slices.SortFunc(samples, compareSamples)
	return samples
}

// FlushStream waits until the requests that are on their way have ended, and the broker has acknowledged everything that was
// told so far. Pause does so, too.
func (p *Platform) FlushStream(ctx context.Context) error {
	if p.teller == nil {
		return nil
	}
	if err := p.flights.await(ctx); err != nil {
		return fmt.Errorf("platform: requests that are on their way: %w", err)
	}
	p.teller.mu.Lock() // whoever is talking finishes
	out := p.teller.out
	p.teller.mu.Unlock()
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

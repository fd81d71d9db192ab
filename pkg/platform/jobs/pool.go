package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says how jobs are done. Brokers, Work and Report have no default.
type Config struct {
	Brokers  []string
	Workers  int           // members of the group; 2
	AtOnce   int           // jobs that a worker has in hand at most; 16
	Attempts int           // of a job, at most; 3
	Backoff  time.Duration // before the second attempt; before the third twice that; 250ms
	Buffer   int           // jobs that wait for a broker that is away, at most; 10,000
	Now      func() time.Time
	Logger   *slog.Logger // nothing is logged

	// Work makes an attempt. It has to end by itself, and soon: whoever stops the workers waits for it. An error means
	// another attempt, but for one that wraps ErrFinal or ErrPoison.
	Work func(Job) error
	// Report hears of every attempt that has ended, before the job goes on. While the jobs are paused it hears nothing.
	Report func(Finished)
}

// Errors of attempts.
var (
	ErrFinal  = errors.New("final")  // no other attempt, and no dead letter
	ErrPoison = errors.New("poison") // no other attempt, but a dead letter
)

// ErrFull says that too many jobs wait for the broker.
var ErrFull = errors.New("jobs: too many wait for the broker")

// Finished is an attempt that has ended.
type Finished struct {
	Job
	Outcome  string
	Err      error         // unless it succeeded
	Worker   int           // from 0
	Wait     time.Duration // from when this attempt was published
	Duration time.Duration
}

// Pool is the queues with their workers. Its methods can be called from any goroutine.
type Pool struct {
	config Config
	out    *outbox
	ledger *ledger
	gate   *gate
	ids    atomic.Uint64
	living atomic.Int64 // workers that run

	mu      sync.Mutex
	off     bool
	changed chan struct{} // closed, and replaced, when off or idle changes
	idle    bool          // no worker runs
}

// Open makes a pool. It does not connect: the broker may come later.
func Open(config Config) (*Pool, error) {
	if config.Workers == 0 {
		config.Workers = 2
	}
	if config.AtOnce == 0 {
		config.AtOnce = 16
	}
	if config.Attempts == 0 {
		config.Attempts = 3
	}
	if config.Backoff == 0 {
		config.Backoff = 250 * time.Millisecond
	}
	if config.Buffer == 0 {
		config.Buffer = 10_000
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Pool{
		config: config, gate: newGate(), idle: true, changed: make(chan struct{}),
		ledger: newLedger(strconv.FormatInt(time.Now().UnixMicro(), 36) + "-"),
	}
	var err error
	p.out, err = openOutbox(config.Brokers, func(err error) { config.Logger.Warn("jobs wait", "err", err) })
	return p, err
}

// Enqueue puts a job into its queue; its ID, time and attempt are set here. It does not wait: ErrFull says that too many wait
// for the broker already. An unknown queue is an error.
func (p *Pool) Enqueue(j Job) error {
	if p.ledger.counts[j.Queue] == nil {
		return fmt.Errorf("jobs: there is no queue %q", j.Queue)
	}
	if p.out.waiting() >= int64(p.config.Buffer) {
		return ErrFull
	}
	j.ID, j.EnqueuedAt, j.Attempt = p.ledger.run+strconv.FormatUint(p.ids.Add(1), 36), p.config.Now().UTC(), 1
	return p.publish(&j, p.ledger.enqueued)
}

// publish writes the record of an attempt; note is called before.
func (p *Pool) publish(j *Job, note func(*Job)) error {
	record, err := j.record(p.config.Now())
	if err != nil {
		return err
	}
	note(j)
	p.out.write(record, func(r *kgo.Record) { p.ledger.published(j, r) })
	return nil
}

// State is what the books say.
type State struct {
	Workers int              `json:"workers"` // that run
	Held    int              `json:"held"`    // jobs that workers have in hand, and that wait for Resume
	Queues  map[string]Count `json:"queues"`
}

// State returns what the books say.
func (p *Pool) State() State { return State{int(p.living.Load()), p.gate.held(), p.ledger.state()} }

// Pause waits until no attempt is made, and lets none begin until Resume. The workers stay in the group.
func (p *Pool) Pause(ctx context.Context) error { return p.gate.close(ctx) }

// Resume lets attempts begin.
func (p *Pool) Resume() { p.gate.open() }

// Stop makes all workers finish what they have in hand and leave the group, and waits until they have; Start lets them come back.
func (p *Pool) Stop(ctx context.Context) error {
	p.change(func() { p.off = true })
	for {
		p.mu.Lock()
		idle, changed := p.idle, p.changed
		p.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("jobs: workers still run: %w", context.Cause(ctx))
		}
	}
}

// Start undoes Stop. It does not wait.
func (p *Pool) Start() { p.change(func() { p.off = false }) }

func (p *Pool) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Run lets the workers work, but for when they are stopped, until the context ends; then they leave the group.
func (p *Pool) Run(ctx context.Context) error {
	for {
		p.mu.Lock()
		off, changed := p.off, p.changed
		p.idle = off || ctx.Err() != nil
		idle := p.idle
		p.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil
		case idle:
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		err := p.shift(ctx)
		p.change(func() { p.idle = true })
		if err != nil {
			return err
		}
	}
}

// shift lets the workers work until they are stopped.
func (p *Pool) shift(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	defer workers.Wait()
	for i := range p.config.Workers {
		w, err := p.newWorker(i)
		if err != nil {
			cancel()
			return err
		}
		p.living.Add(1)
		workers.Go(func() {
			defer p.living.Add(-1)
			w.run(ctx)
		})
	}
	for {
		p.mu.Lock()
		off, changed := p.off, p.changed
		p.mu.Unlock()
		if off {
			cancel()
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Close gives what waits a little time to be written, and ends the pool. Run must have returned.
func (p *Pool) Close() { p.out.close() }

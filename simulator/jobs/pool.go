package jobs

import (
	"cmp"
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

// Config configures a pool. Brokers, Work and Report have no default.
type Config struct {
	Brokers     []string
	Workers     int           // members of the group; 2
	MaxInFlight int           // jobs in progress of a worker; 16
	Attempts    int           // of a job; 3
	Backoff     time.Duration // before the second attempt; before the third twice that; 250ms
	Buffer      int           // jobs that wait for the broker; 10,000
	Now         func() time.Time
	Logger      *slog.Logger // nil: nothing is logged

	// Work makes an attempt. It must return soon by itself: Stop waits for it. Attempts with errors are retried, except for errors
	// that wrap ErrFinal or ErrPoison.
	Work func(Job) error
	// Report receives every attempt that has ended, before the job goes on; none while the jobs are paused.
	Report func(Finished)
}

// Errors of attempts.
var (
	ErrFinal  = errors.New("final")  // not retried, no dead letter
	ErrPoison = errors.New("poison") // not retried, dead letter
)

// ErrFull says that too many jobs wait for the broker already.
var ErrFull = errors.New("jobs: too many wait for the broker")

// Finished is an attempt that has ended.
type Finished struct {
	Job
	Outcome  string
	Err      error         // nil if it succeeded
	Worker   int           // from 0
	Wait     time.Duration // from when this attempt was published
	Duration time.Duration
}

// Pool is the queues with their workers. Its methods can be called from any goroutine.
type Pool struct {
	config    Config
	out       *outbox
	tracker   *tracker
	pauseGate *pauseGate
	ids       atomic.Uint64
	running   atomic.Int64 // running workers

	mu      sync.Mutex
	stopped bool
	changed chan struct{} // closed, and replaced, when stopped or idle changes
	idle    bool          // no worker is running
}

// Open makes a pool. It does not connect: the broker may come later.
func Open(config Config) (*Pool, error) {
	config.Workers = cmp.Or(config.Workers, 2)
	config.MaxInFlight = cmp.Or(config.MaxInFlight, 16)
	config.Attempts = cmp.Or(config.Attempts, 3)
	config.Backoff = cmp.Or(config.Backoff, 250*time.Millisecond)
	config.Buffer = cmp.Or(config.Buffer, 10_000)
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	if config.Now == nil {
		config.Now = time.Now
	}
	p := &Pool{
		config: config, pauseGate: newPauseGate(), idle: true, changed: make(chan struct{}),
		tracker: newTracker(strconv.FormatInt(time.Now().UnixMicro(), 36) + "-"),
	}
	var err error
	p.out, err = openOutbox(config.Brokers, func(err error) { config.Logger.Warn("jobs wait", "err", err) })
	return p, err
}

// Enqueue puts a job into its queue, and sets its ID, time and attempt. It does not wait: ErrFull says that too many jobs wait for the
// broker. An unknown queue is an error.
func (p *Pool) Enqueue(j Job) error {
	if p.tracker.counts[j.Queue] == nil {
		return fmt.Errorf("jobs: there is no queue %q", j.Queue)
	}
	if p.out.waiting() >= int64(p.config.Buffer) {
		return ErrFull
	}
	j.ID, j.EnqueuedAt, j.Attempt = p.tracker.run+strconv.FormatUint(p.ids.Add(1), 36), p.config.Now().UTC(), 1
	return p.publish(&j, p.tracker.enqueued)
}

// publish writes the record of an attempt; track is called before.
func (p *Pool) publish(j *Job, track func(*Job)) error {
	record, err := j.record(p.config.Now())
	if err != nil {
		return err
	}
	track(j)
	p.out.write(record, func(r *kgo.Record) { p.tracker.published(j, r) })
	return nil
}

// State is the counts of all queues.
type State struct {
	Workers int              `json:"workers"` // running
	Held    int              `json:"held"`    // jobs that workers hold until Resume
	Queues  map[string]Count `json:"queues"`
}

// State returns the counts of all queues.
func (p *Pool) State() State {
	return State{int(p.running.Load()), p.pauseGate.waitingCount(), p.tracker.state()}
}

// Pause waits for the running attempts and starts no other until Resume. The workers stay in the group.
func (p *Pool) Pause(ctx context.Context) error { return p.pauseGate.close(ctx) }

// Resume ends Pause.
func (p *Pool) Resume() { p.pauseGate.open() }

// Stop makes all workers finish their jobs and leave the group, and waits for them. Start restarts the workers.
func (p *Pool) Stop(ctx context.Context) error {
	p.change(func() { p.stopped = true })
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

// Start ends Stop. It does not wait.
func (p *Pool) Start() { p.change(func() { p.stopped = false }) }

func (p *Pool) change(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Run runs the workers, except while they are stopped, until the context ends; then they leave the group.
func (p *Pool) Run(ctx context.Context) error {
	for {
		p.mu.Lock()
		stopped, changed := p.stopped, p.changed
		p.idle = stopped || ctx.Err() != nil
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
		err := p.runWorkers(ctx)
		p.change(func() { p.idle = true })
		if err != nil {
			return err
		}
	}
}

// runWorkers runs the workers until they are stopped.
func (p *Pool) runWorkers(ctx context.Context) error {
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
		p.running.Add(1)
		workers.Go(func() {
			defer p.running.Add(-1)
			w.run(ctx)
		})
	}
	for {
		p.mu.Lock()
		stopped, changed := p.stopped, p.changed
		p.mu.Unlock()
		if stopped {
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

// Close writes what is buffered, not for long, and closes the pool. Run must have returned.
func (p *Pool) Close() { p.out.close() }

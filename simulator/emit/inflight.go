package emit

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/consignwatch/consignwatch/simulator/store"
)

// Inflight is the set of requests in flight: requests that the API serves, and those that visitors send. Each request emits its events
// when it ends; before that, the totals of the stream are not final.
type Inflight struct {
	store   *store.Store
	emitter *Emitter // nil: nothing is emitted

	mu      sync.Mutex
	pending map[*Request]struct{}
	traces  map[string]int // how many of the pending ones are in a trace
}

// NewInflight makes an empty set. Without a stream, the emitter is nil.
func NewInflight(s *store.Store, emitter *Emitter) *Inflight {
	return &Inflight{store: s, emitter: emitter, pending: map[*Request]struct{}{}, traces: map[string]int{}}
}

// Request is a request in flight.
type Request struct {
	set         *Inflight
	trace       string
	WhilePaused bool // it began while life was paused: it changes no row, and its events are deferred until Resume
	ended       chan struct{}
}

// Begin adds a request, in a trace unless that is empty. What the API does for a visitor belongs to the visitor's request: it is
// in the same trace, and when that began before life was paused, so did this.
func (f *Inflight) Begin(trace string) *Request {
	r := &Request{set: f, trace: trace, ended: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	// Under the lock: Pause sets paused first, and awaits the pending requests then.
	if r.WhilePaused = f.store.Paused.Load() && f.traces[trace] == 0; !r.WhilePaused {
		f.pending[r] = struct{}{}
		if trace != "" {
			f.traces[trace]++
		}
	}
	return r
}

// End removes the request, and emits its events if there is a stream.
func (r *Request) End(emit func(*Emitter)) {
	if em := r.set.emitter; em != nil && emit != nil {
		em.emitOrDefer(r.WhilePaused, emit)
	}
	r.set.mu.Lock()
	defer r.set.mu.Unlock()
	if _, pending := r.set.pending[r]; pending && r.trace != "" {
		if r.set.traces[r.trace]--; r.set.traces[r.trace] == 0 {
			delete(r.set.traces, r.trace)
		}
	}
	delete(r.set.pending, r)
	close(r.ended)
}

// Emit emits events as a request does that ends at once.
func (f *Inflight) Emit(emit func(*Emitter)) { f.Begin("").End(emit) }

// Full reports whether so many records wait for the broker that telemetry is dropped.
func (f *Inflight) Full() bool {
	return f.emitter != nil && f.emitter.publisher.Waiting() >= telemetryLimit
}

// Await waits until the requests that are in flight now have ended.
func (f *Inflight) Await(ctx context.Context) error {
	f.mu.Lock()
	now := slices.Collect(maps.Keys(f.pending))
	f.mu.Unlock()
	for _, request := range now {
		select {
		case <-request.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// emitOrDefer emits the events of a request, or defers them until Resume. While too many records wait for the broker, they are dropped.
func (em *Emitter) emitOrDefer(whilePaused bool, emit func(*Emitter)) {
	em.mu.Lock()
	defer em.mu.Unlock()
	switch {
	case em.publisher.Waiting()+int64(len(em.deferred)) >= telemetryLimit:
	case whilePaused:
		em.deferred = append(em.deferred, emit)
	default:
		emit(em)
	}
}

// Deferred returns the number of requests whose events are deferred until life goes on.
func (em *Emitter) Deferred() int {
	em.mu.Lock()
	defer em.mu.Unlock()
	return len(em.deferred)
}

// emitDeferred emits the events that were deferred while life was paused.
func (em *Emitter) emitDeferred() {
	deferred := em.deferred
	em.deferred = nil
	for _, emit := range deferred {
		emit(em)
	}
}

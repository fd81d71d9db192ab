package simulator

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// inflight is the set of requests in flight: requests that the API serves, and those that visitors send. Each request emits its events
// when it ends; before that, the totals of the stream are not final.
type inflight struct {
	mu      sync.Mutex
	pending map[*inflightRequest]struct{}
}

// inflightRequest is a request in flight.
type inflightRequest struct {
	p           *Platform
	whilePaused bool // it began while life was paused: it changes no row, and its events are deferred until Resume
	ended       chan struct{}
}

// beginRequest adds a request.
func (p *Platform) beginRequest() *inflightRequest {
	f := &inflightRequest{p: p, ended: make(chan struct{})}
	p.inflight.mu.Lock()
	defer p.inflight.mu.Unlock()
	// Under the lock: Pause sets paused first, and awaits the pending requests then.
	if f.whilePaused = p.paused.Load(); !f.whilePaused {
		p.inflight.pending[f] = struct{}{}
	}
	return f
}

// end removes the request, and emits its events if there is a stream.
func (f *inflightRequest) end(emit func(*eventEmitter)) {
	if em := f.p.emitter; em != nil && emit != nil {
		em.emitOrDefer(f.whilePaused, emit)
	}
	f.p.inflight.mu.Lock()
	defer f.p.inflight.mu.Unlock()
	delete(f.p.inflight.pending, f)
	close(f.ended)
}

// await waits until the requests that are in flight now have ended.
func (f *inflight) await(ctx context.Context) error {
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
func (em *eventEmitter) emitOrDefer(whilePaused bool, emit func(*eventEmitter)) {
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

// emitDeferred emits the events that were deferred while life was paused.
func (em *eventEmitter) emitDeferred() {
	deferred := em.deferred
	em.deferred = nil
	for _, emit := range deferred {
		emit(em)
	}
}

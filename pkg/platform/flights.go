package platform

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// flights are the requests on their way: to the API, and of visitors to it. Each ends by telling what it was, so that nobody
// can say what is true before those are home that left.
type flights struct {
	mu sync.Mutex
	on map[*flight]struct{}
}

// flight is a request on its way.
type flight struct {
	p      *Platform
	late   bool // it left while life was paused: it changes nothing, and what it tells is kept until life goes on
	landed chan struct{}
}

// takeOff begins a request.
func (p *Platform) takeOff() *flight {
	f := &flight{p: p, landed: make(chan struct{})}
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	// Under the lock: whoever pauses life first sets paused and then looks who is on.
	if f.late = p.paused.Load(); !f.late {
		p.flights.on[f] = struct{}{}
	}
	return f
}

// land ends the request, and lets it tell something if anybody listens.
func (f *flight) land(tell func(*teller)) {
	if t := f.p.teller; t != nil && tell != nil {
		t.listen(f.late, tell)
	}
	f.p.flights.mu.Lock()
	defer f.p.flights.mu.Unlock()
	delete(f.p.flights.on, f)
	close(f.landed)
}

// await waits for the requests that are on their way now.
func (f *flights) await(ctx context.Context) error {
	f.mu.Lock()
	now := slices.Collect(maps.Keys(f.on))
	f.mu.Unlock()
	for _, flight := range now {
		select {
		case <-flight.landed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// listen lets a request tell what it was: now, or when life goes on. While the broker has been away for long, nobody listens.
func (t *teller) listen(late bool, tell func(*teller)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.out.Waiting()+int64(len(t.kept)) >= telemetryLimit:
	case late:
		t.kept = append(t.kept, tell)
	default:
		tell(t)
	}
}

// tellKept tells what was kept while life was paused.
func (t *teller) tellKept() {
	kept := t.kept
	t.kept = nil
	for _, tell := range kept {
		tell(t)
	}
}

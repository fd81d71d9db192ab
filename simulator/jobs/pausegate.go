package jobs

import (
	"context"
	"fmt"
	"sync"
)

// pauseGate blocks attempts while the jobs are paused.
type pauseGate struct {
	mu      sync.Mutex
	paused  bool
	entered int
	waiting int           // attempts that are blocked
	changed chan struct{} // closed, and replaced, when paused or entered changes
}

func newPauseGate() *pauseGate { return &pauseGate{changed: make(chan struct{})} }

func (g *pauseGate) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
	close(g.changed)
	g.changed = make(chan struct{})
}

// await waits until a condition holds, and calls a function at that moment. Both are called with mu held.
func (g *pauseGate) await(ctx context.Context, is func() bool, then func()) error {
	for {
		g.mu.Lock()
		if is() {
			then()
			g.mu.Unlock()
			return nil
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (g *pauseGate) enter(ctx context.Context) error {
	g.wait(1)
	defer g.wait(-1)
	return g.await(ctx, func() bool { return !g.paused }, func() { g.entered++ })
}

func (g *pauseGate) wait(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting += n
}

// waitingCount returns the number of blocked attempts.
func (g *pauseGate) waitingCount() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

func (g *pauseGate) leave() { g.change(func() { g.entered-- }) }

func (g *pauseGate) open() { g.change(func() { g.paused = false }) }

// close blocks further attempts, and waits until all others have ended.
func (g *pauseGate) close(ctx context.Context) error {
	g.change(func() { g.paused = true })
	if err := g.await(ctx, func() bool { return g.entered == 0 }, func() {}); err != nil {
		return fmt.Errorf("jobs: some are still worked at: %w", err)
	}
	return nil
}

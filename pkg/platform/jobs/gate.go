package jobs

import (
	"context"
	"fmt"
	"sync"
)

// gate lets attempts begin, or not.
type gate struct {
	mu      sync.Mutex
	shut    bool
	inside  int
	waiting int           // who would enter, and may not yet
	changed chan struct{} // closed, and replaced, when shut or inside changes
}

func newGate() *gate { return &gate{changed: make(chan struct{})} }

func (g *gate) change(do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	do()
	close(g.changed)
	g.changed = make(chan struct{})
}

// await waits until something is so, and does something at that moment. Both are called with mu held.
func (g *gate) await(ctx context.Context, is func() bool, then func()) error {
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

func (g *gate) enter(ctx context.Context) error {
	g.wait(1)
	defer g.wait(-1)
	return g.await(ctx, func() bool { return !g.shut }, func() { g.inside++ })
}

func (g *gate) wait(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting += n
}

// held returns how many would enter, and may not yet.
func (g *gate) held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

func (g *gate) leave() { g.change(func() { g.inside-- }) }

func (g *gate) open() { g.change(func() { g.shut = false }) }

// close waits until nobody is inside.
func (g *gate) close(ctx context.Context) error {
	g.change(func() { g.shut = true })
	if err := g.await(ctx, func() bool { return g.inside == 0 }, func() {}); err != nil {
		return fmt.Errorf("jobs: some are still worked at: %w", err)
	}
	return nil
}

package platform

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errNotYet says that a fault ends as soon as a server answers.
var errNotYet = errors.New("the server does not answer yet; it will be put right as soon as it does")

// errands are what goes on while a fault is on, each in a goroutine of its own.
type errands struct {
	patience time.Duration // of a switch: a server that does not answer is waited for in the background

	mu      sync.Mutex
	running map[string]*errand
	gone    bool
}

// errand breaks something, keeps it broken, and puts it right.
type errand struct {
	end     context.CancelFunc // it is to be put right
	abandon context.CancelFunc // it is to be left as it is
	begun   chan struct{}      // closed when it is broken
	done    chan struct{}      // closed when it has been put right
	err     error              // then
}

// deed is what an errand does. It breaks something and calls begun; when the context on ends, it puts it right, and returns
// at once when alive ends. Whatever it waits for in between, on ends the breaking and alive ends all.
type deed func(on, alive context.Context, begun func()) error

// begin starts an errand. When a server does not answer for long, it returns all the same, and the errand goes on waiting.
func (e *errands) begin(ctx context.Context, name string, do deed) error {
	e.mu.Lock()
	if e.gone || e.running[name] != nil {
		e.mu.Unlock()
		return errNotYet
	}
	alive, abandon := context.WithCancel(context.Background())
	on, end := context.WithCancel(alive)
	r := &errand{end: end, abandon: abandon, begun: make(chan struct{}), done: make(chan struct{})}
	e.running[name] = r
	e.mu.Unlock()
	go func() {
		defer close(r.done)
		r.err = do(on, alive, sync.OnceFunc(func() { close(r.begun) }))
	}()
	select {
	case <-r.begun:
	case <-ctx.Done():
	case <-time.After(e.patience):
	case <-r.done:
		e.forget(name)
		return r.err
	}
	return nil
}

// finish ends an errand and waits, not for ever, until everything has been put right.
func (e *errands) finish(ctx context.Context, name string) error {
	e.mu.Lock()
	r := e.running[name]
	e.mu.Unlock()
	if r == nil {
		return nil
	}
	r.end()
	select {
	case <-r.done:
		e.forget(name)
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errNotYet, context.Cause(ctx))
	case <-time.After(e.patience):
		return errNotYet
	}
}

func (e *errands) forget(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.running[name]; r != nil {
		r.abandon()
		delete(e.running, name)
	}
}

// abandon lets every errand go, and begins none any more. The returned function waits for them.
func (e *errands) abandon() (wait func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone = true
	var all []*errand
	for _, r := range e.running {
		r.abandon()
		all = append(all, r)
	}
	return func() {
		for _, r := range all {
			<-r.done
		}
	}
}

// insist does something again and again until it succeeds, until it is refused for good, or until the context ends. It never leaves in
// the middle: what was sent to a server that hangs is carried out when it goes on, and must not come after what is sent later.
func insist(ctx context.Context, refused func(error) bool, do func() error) error {
	for {
		err := do()
		if err == nil || refused(err) {
			return err
		}
		if !rest(ctx, shortestRetry) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// never is for what has to be put right, whatever a server says first.
func never(error) bool { return false }

// rest waits, and tells whether the context still lasts.
func rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

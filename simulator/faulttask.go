package simulator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errStillBroken says that a fault has not ended, because a server does not answer.
var errStillBroken = errors.New("the server does not answer yet; it will be put right as soon as it does")

// retryEvery is the time between two attempts to change a server.
const retryEvery = 200 * time.Millisecond

// Tasks are the running tasks of faults, each in a goroutine of its own.
type Tasks struct {
	timeout time.Duration // of start and finish; after it the task goes on in the background

	mu      sync.Mutex
	running map[string]*faultTask
	closed  bool
}

// NewTasks makes tasks whose start and finish take no longer than a timeout.
func NewTasks(timeout time.Duration) *Tasks {
	return &Tasks{timeout: timeout, running: map[string]*faultTask{}}
}

// faultTask breaks a server, keeps it broken, and repairs it.
type faultTask struct {
	end     context.CancelFunc // makes the action repair
	abandon context.CancelFunc // makes the action return without a repair
	active  chan struct{}      // closed when the fault is in effect
	done    chan struct{}      // closed when the action has returned
	err     error              // of the action; valid after done
}

// action is what a fault task runs. It breaks something and calls active; when the context on ends, it repairs and returns. When alive
// ends, it returns at once. Waits while it breaks end with on, all others with alive.
type action func(on, alive context.Context, active func()) error

// start starts a task and waits until its fault is in effect, but not longer than the timeout; the task goes on.
func (t *Tasks) start(ctx context.Context, name string, do action) error {
	t.mu.Lock()
	if t.closed || t.running[name] != nil {
		t.mu.Unlock()
		return errStillBroken
	}
	alive, abandon := context.WithCancel(context.Background())
	on, end := context.WithCancel(alive)
	task := &faultTask{end: end, abandon: abandon, active: make(chan struct{}), done: make(chan struct{})}
	t.running[name] = task
	t.mu.Unlock()
	go func() {
		defer close(task.done)
		task.err = do(on, alive, sync.OnceFunc(func() { close(task.active) }))
	}()
	select {
	case <-task.active:
	case <-ctx.Done():
	case <-time.After(t.timeout):
	case <-task.done:
		t.forget(name)
		return task.err
	}
	return nil
}

// finish makes a task repair, and waits until it has, but not longer than the timeout.
func (t *Tasks) finish(ctx context.Context, name string) error {
	t.mu.Lock()
	task := t.running[name]
	t.mu.Unlock()
	if task == nil {
		return nil
	}
	task.end()
	select {
	case <-task.done:
		t.forget(name)
		return task.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errStillBroken, context.Cause(ctx))
	case <-time.After(t.timeout):
		return errStillBroken
	}
}

func (t *Tasks) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if task := t.running[name]; task != nil {
		task.abandon()
		delete(t.running, name)
	}
}

// abandon makes all tasks return without a repair, and rejects new ones. The returned function waits for the tasks.
func (t *Tasks) abandon() (wait func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	var all []*faultTask
	for _, task := range t.running {
		task.abandon()
		all = append(all, task)
	}
	return func() {
		for _, task := range all {
			<-task.done
		}
	}
}

// retryUntil calls a function until it succeeds, its error is a refusal, or the context ends. A call is never interrupted: a server that
// hangs carries out what was sent as soon as it resumes, and that must not come after what is sent later.
func retryUntil(ctx context.Context, refused func(error) bool, do func() error) error {
	for {
		err := do()
		if err == nil || refused(err) {
			return err
		}
		if !sleep(ctx, retryEvery) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// neverRefused is for repairs: every error is retried.
func neverRefused(error) bool { return false }

// sleep waits, and reports whether the context has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

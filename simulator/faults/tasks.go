package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrStillBroken says that a fault has not ended, because a server does not answer.
var ErrStillBroken = errors.New("the server does not answer yet; it will be put right as soon as it does")

// RetryEvery is the time between two attempts to change a server.
const RetryEvery = 200 * time.Millisecond

// Tasks are the running tasks of faults, each in a goroutine of its own.
type Tasks struct {
	Timeout time.Duration // of Start and Finish; after it the task goes on in the background

	mu      sync.Mutex
	running map[string]*faultTask
	closed  bool
}

// NewTasks makes tasks whose start and finish take no longer than a timeout.
func NewTasks(timeout time.Duration) *Tasks {
	return &Tasks{Timeout: timeout, running: map[string]*faultTask{}}
}

// faultTask breaks a server, keeps it broken, and repairs it.
type faultTask struct {
	end     context.CancelFunc // makes the action repair
	abandon context.CancelFunc // makes the action return without a repair
	active  chan struct{}      // closed when the fault is in effect
	done    chan struct{}      // closed when the action has returned
	err     error              // of the action; valid after done
}

// TaskFunc is what a fault task runs. It breaks something and calls active; when the context on ends, it repairs and returns. When alive
// ends, it returns at once. Waits while it breaks end with on, all others with alive.
type TaskFunc func(on, alive context.Context, active func()) error

// Start starts a task and waits until its fault is in effect, but not longer than the timeout; the task goes on.
func (t *Tasks) Start(ctx context.Context, name string, do TaskFunc) error {
	t.mu.Lock()
	if t.closed || t.running[name] != nil {
		t.mu.Unlock()
		return ErrStillBroken
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
	case <-time.After(t.Timeout):
	case <-task.done:
		t.forget(name)
		return task.err
	}
	return nil
}

// Running returns a channel that is closed when the running task of a fault ends; nil: none runs.
func (t *Tasks) Running(name string) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if task := t.running[name]; task != nil {
		return task.done
	}
	return nil
}

// Finish makes a task repair, and waits until it has, but not longer than the timeout.
func (t *Tasks) Finish(ctx context.Context, name string) error {
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
		return fmt.Errorf("%w: %w", ErrStillBroken, context.Cause(ctx))
	case <-time.After(t.Timeout):
		return ErrStillBroken
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

// Abandon makes all tasks return without a repair, and rejects new ones. The returned function waits for the tasks.
func (t *Tasks) Abandon() (wait func()) {
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

// RetryUntil calls a function until it succeeds, its error is a refusal, or the context ends. A call is never interrupted: a server that
// hangs carries out what was sent as soon as it resumes, and that must not come after what is sent later.
func RetryUntil(ctx context.Context, refused func(error) bool, do func() error) error {
	for {
		err := do()
		if err == nil || refused(err) {
			return err
		}
		if !Sleep(ctx, RetryEvery) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// NeverRefused is for repairs: every error is retried.
func NeverRefused(error) bool { return false }

// Sleep waits, and reports whether the context has not ended.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

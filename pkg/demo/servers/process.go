// Package servers starts the real servers that the demo and the tests run
// against (MariaDB, Prometheus, Alertmanager, Redis, node_exporter), each as a
// child process on a folder of its own and a free port of the loopback
// interface.
//
// A child never outlives the process that started it, not even a kill -9 of
// it, and a Ctrl-C at the terminal reaches the children only through Stop. The
// package never installs anything, and never touches a server that it did not
// start.
package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	readyTimeout = time.Minute           // from start to ready, on a busy machine
	readyPause   = 25 * time.Millisecond // between two looks at readiness
	readyTry     = 2 * time.Second       // one look at readiness
	tailLines    = 20
	tailBytes    = 16 << 10
)

// ErrStopped is the error of a process that ended because it was asked to.
var ErrStopped = errors.New("stopped")

// Command says what to run and how to see that it is ready.
type Command struct {
	Name    string   // as people call it: "MariaDB"
	Path    string   // executable
	Args    []string // without the executable
	Dir     string   // working folder; must exist
	LogFile string   // standard output and error, appended
	Address string   // host:port that it listens on
	// Ready returns nil when the process can be used. It is asked until then.
	// Nil: ready when started.
	Ready        func(context.Context) error
	ReadyTimeout time.Duration // 0: a minute
}

// Process is a child process. Its methods can be called from any goroutine.
type Process struct {
	command Command

	mu      sync.Mutex
	current *run
}

// run is one life of a process, from start to exit.
type run struct {
	cmd     *exec.Cmd
	logFrom int64 // size of the log file at the start
	done    chan struct{}
	err     error // set before done is closed
	asked   bool  // Stop or Kill was called; guarded by Process.mu
}

// Start starts the command and waits until it is ready. The context bounds the
// start only, not the life of the process. When it is not ready in time, or
// ends before, nothing is left running and the error carries the last lines of
// its log.
func Start(ctx context.Context, command Command) (*Process, error) {
	p := &Process{command: command}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Restart starts the process again with the same command, folder and address
// after Stop, Kill or a crash. It is an error while the process runs.
func (p *Process) Restart(ctx context.Context) error {
	select {
	case <-p.Done():
		return p.start(ctx)
	default:
		return fmt.Errorf("restart %s: it is still running (pid %d): stop it first", p.command.Name, p.PID())
	}
}

// Name returns the name that people know the process by.
func (p *Process) Name() string { return p.command.Name }

// Address returns host:port of the listener.
func (p *Process) Address() string { return p.command.Address }

// URL returns the address as the root of an HTTP service, without a slash at
// the end.
func (p *Process) URL() string { return "http://" + p.command.Address }

// PID returns the process id of the latest start.
func (p *Process) PID() int { return p.life().cmd.Process.Pid }

// Done is closed when the process has ended, for whatever reason. Restart
// begins a new life with a channel of its own.
func (p *Process) Done() <-chan struct{} { return p.life().done }

// Err returns nil while the process runs, ErrStopped after Stop or Kill, and
// otherwise an error that says how it ended, with the last lines of its log.
func (p *Process) Err() error {
	r := p.life()
	select {
	case <-r.done:
	default:
		return nil
	}
	if p.wasAsked(r) {
		return ErrStopped
	}
	return p.ended(r)
}

// Stop asks the process to end (SIGTERM) and waits. When the context ends
// first, it kills the process and its children and says so. A process that has
// ended already is no error.
func (p *Process) Stop(ctx context.Context) error {
	r := p.ask()
	select {
	case <-r.done:
		return nil
	default:
	}
	terminate(r.cmd.Process)
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		killGroup(r.cmd.Process)
		<-r.done
		return fmt.Errorf("stop %s: it did not end by itself and was killed: %w", p.command.Name, context.Cause(ctx))
	}
}

// Kill ends the process and its children at once (SIGKILL) and waits for that.
func (p *Process) Kill() error {
	r := p.ask()
	select {
	case <-r.done:
		return nil
	default:
	}
	killGroup(r.cmd.Process)
	<-r.done
	return nil
}

// Signal sends a signal to the process alone. Tests hang a server with SIGSTOP,
// after which it answers nothing more, and wake it with SIGCONT.
func (p *Process) Signal(signal os.Signal) error {
	process := p.life().cmd.Process
	if err := process.Signal(signal); err != nil {
		return fmt.Errorf("signal %s to %s: %w", signal, p.command.Name, err)
	}
	if err := AwaitSignal(process.Pid, signal); err != nil {
		return fmt.Errorf("signal %s to %s: %w", signal, p.command.Name, err)
	}
	return nil
}

// LogTail returns the last lines that the process wrote since its latest
// start, at most 20, without a newline at the end.
func (p *Process) LogTail() string { return tail(p.command.LogFile, p.life().logFrom) }

func (p *Process) life() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// ask notes that the end of the current life is wanted.
func (p *Process) ask() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.current.done: // ended before anybody asked
	default:
		p.current.asked = true
	}
	return p.current
}

func (p *Process) wasAsked(r *run) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.asked
}

func (p *Process) start(ctx context.Context) error {
	r, err := launch(p.command)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.command.Name, err)
	}
	p.mu.Lock()
	p.current = r
	p.mu.Unlock()
	if err := p.awaitReady(ctx, r); err != nil {
		killGroup(r.cmd.Process)
		<-r.done
		return fmt.Errorf("start %s: %w", p.command.Name, err)
	}
	return nil
}

func (p *Process) awaitReady(ctx context.Context, r *run) error {
	if p.command.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.command.ReadyTimeout, readyTimeout))
	defer cancel()
	for {
		try, cancelTry := context.WithTimeout(ctx, readyTry)
		notReady := p.command.Ready(try)
		cancelTry()
		select {
		case <-r.done: // also when another server answered on its port
			return p.ended(r)
		default:
		}
		if notReady == nil {
			return nil
		}
		select {
		case <-r.done:
			return p.ended(r)
		case <-ctx.Done():
			return withLog(fmt.Errorf("not ready: %w (%w)", notReady, context.Cause(ctx)), p.command.LogFile, r.logFrom)
		case <-time.After(readyPause):
		}
	}
}

// ended describes an unexpected end.
func (p *Process) ended(r *run) error {
	return withLog(fmt.Errorf("%s ended: %w", filepath.Base(p.command.Path), r.err), p.command.LogFile, r.logFrom)
}

// errExitedCleanly stands for the status 0 of a process that should have
// stayed.
var errExitedCleanly = errors.New("exit status 0")

// launch starts the executable in a process group of its own.
//
// One goroutine per process holds an OS thread from the start of the child to
// its end. Linux sends the parent-death signal when the *thread* that forked
// the child ends, not the process; a thread of the Go runtime may end at any
// time, but not one that a goroutine is locked to and waits on.
func launch(command Command) (*run, error) {
	log, err := os.OpenFile(command.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor
	info, err := log.Stat()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(command.Path, command.Args...)
	cmd.Dir = command.Dir
	cmd.Stdout, cmd.Stderr = log, log
	isolate(cmd)

	r := &run{cmd: cmd, logFrom: info.Size(), done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		sweep(cmd.Process) // blocks until the child has ended
		if r.err = cmd.Wait(); r.err == nil {
			r.err = errExitedCleanly
		}
		close(r.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return r, nil
}

func withLog(err error, file string, from int64) error {
	lines := tail(file, from)
	if lines == "" {
		return fmt.Errorf("%w; its log is empty", err)
	}
	return fmt.Errorf("%w; the last lines of its log:\n%s", err, lines)
}

// tail returns the last lines of the part of a file that begins at from.
func tail(file string, from int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from = max(from, info.Size()-tailBytes)
	data := make([]byte, max(info.Size()-from, 0))
	n, _ := f.ReadAt(data, from)
	lines := strings.Split(strings.TrimRight(string(data[:n]), "\n"), "\n")
	return strings.Join(lines[max(len(lines)-tailLines, 0):], "\n")
}

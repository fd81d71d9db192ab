package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
)

// stopTimeout is how long one part may take to end after it is asked to: as long as the event-exporter, which waits up to
// 25 s for a last scrape, and 4 s for the rest.
const stopTimeout = 30 * time.Second

// running is a running part. *servers.Process implements it.
type running interface {
	Address() string // host:port
	PID() int
	Done() <-chan struct{} // closed when it has ended
	Err() error            // how it ended
	Stop(context.Context) error
}

// part is a part of the demo.
type part struct {
	name         string            // also its folder
	job          string            // in Prometheus; empty: the name
	what         string            // a few words for the table of addresses
	path         string            // URL path to open first; empty: not HTTP
	scraped      bool              // Prometheus scrapes its /metrics
	parameters   map[string]string // of the scrape
	user         string            // as whom Prometheus scrapes it; empty for nobody
	passwordFile func(*stack) string
	executables  []string // that must be installed
	// start returns when the part is ready. All parts before it are up.
	start func(ctx context.Context, s *stack, folder string) (running, error)
}

// startedPart is a part that is up.
type startedPart struct {
	part
	running
}

// stack is a demo with its running parts.
type stack struct {
	config Config
	folder string
	parts  []part
	screen *screen
	up     []startedPart // in the order of their start
}

func newStack(config Config, folder string, parts []part) (*stack, error) {
	file := config.NotificationsFile
	if file == "" {
		file = filepath.Join(folder, "notifications.jsonl")
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("notifications file: %w", err)
	}
	config.NotificationsFile = absolute
	return &stack{
		config: config,
		folder: folder,
		parts:  parts,
		screen: &screen{out: config.Out, terminal: config.Terminal, steps: len(parts), onWriteError: func(error) {}},
	}, nil
}

// errDurationOver is the cancellation cause of a demo whose duration is over.
var errDurationOver = errors.New("the duration is over")

func (s *stack) run(ctx context.Context) (err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s.screen.onWriteError = end
	defer func() { err = errors.Join(err, s.stop()) }()

	if err := s.startAll(ctx, end); err != nil {
		return ending(ctx, err)
	}
	if s.config.StateFile != "" {
		defer func() { err = errors.Join(err, statefile.Remove(s.config.StateFile)) }()
		if err := s.state().Write(s.config.StateFile); err != nil {
			return err
		}
	}
	s.screen.table(s)
	if s.config.Duration > 0 {
		timer := time.AfterFunc(s.config.Duration, func() { end(errDurationOver) })
		defer timer.Stop()
	}
	if len(s.config.Faults) > 0 {
		if err := s.switchFaultsOn(ctx); err != nil {
			return ending(ctx, err)
		}
	}
	<-ctx.Done()
	return ending(ctx, nil)
}

// ending returns the result of the demo: the crash that ended it, nil when the
// context was cancelled, and otherwise err.
func ending(ctx context.Context, err error) error {
	var crash *CrashError
	if errors.As(context.Cause(ctx), &crash) {
		return crash
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *stack) startAll(ctx context.Context, end context.CancelCauseFunc) error {
	for _, p := range s.parts {
		s.screen.partStarting(p)
		begin := time.Now()
		folder := filepath.Join(s.folder, p.name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		process, err := p.start(ctx, s, folder)
		if err != nil {
			s.screen.clear()
			return err
		}
		s.up = append(s.up, startedPart{part: p, running: process})
		if err := s.writeTarget(p, process.Address()); err != nil {
			return err
		}
		go watch(p.name, process, end)
		s.screen.partStarted(p, process.Address(), time.Since(begin))
	}
	return nil
}

// watch cancels the demo when the part ends. When the demo stops the part, end has
// been called before, and this call has no effect.
func watch(name string, process running, end context.CancelCauseFunc) {
	<-process.Done()
	end(&CrashError{Part: name, Err: process.Err()})
}

// stop ends all parts, the last one first.
func (s *stack) stop() error {
	s.screen.clear()
	if len(s.up) > 0 {
		s.screen.line("stopping %d parts", len(s.up))
	}
	var failures []error
	for _, p := range slices.Backward(s.up) {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		failures = append(failures, p.Stop(ctx))
		cancel()
	}
	return errors.Join(failures...)
}

// part returns a part that is up.
func (s *stack) part(name string) (running, error) {
	for _, p := range s.up {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("demo: the part %s is not up", name)
}

// state is what the state file says of the running demo.
func (s *stack) state() statefile.State {
	state := statefile.State{
		PID:               os.Getpid(),
		Started:           time.Now().UTC(),
		Folder:            s.folder,
		DSNFile:           s.dsnFile(),
		NotificationsFile: s.config.NotificationsFile,
		TimeScale:         cmp.Or(s.config.TimeScale, 1),
		Interval:          s.scrapeInterval().Seconds(),
	}
	for _, p := range s.up {
		host, port, _ := net.SplitHostPort(p.Address())
		number, _ := strconv.Atoi(port)
		part := statefile.Part{
			Name: p.name, Address: p.Address(), Host: host, Port: number,
			PID: p.PID(), Folder: filepath.Join(s.folder, p.name),
		}
		if p.path != "" {
			part.URL = "http://" + p.Address()
		}
		state.Parts = append(state.Parts, part)
	}
	return state
}

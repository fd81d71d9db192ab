// Package demo runs the whole of consignwatch on one machine: a real database
// with a living platform in it, the exporters, Prometheus, Alertmanager, and a
// receiver that shows pages as they arrive. Everything lives in a temporary
// folder and on free ports of the loopback interface, and ends together. The
// rules and the routing are those that are shipped, with the page receiver in
// the place of everybody; the package has none of its own.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/consignwatch/consignwatch/pkg/servers"
)

// Config says what the demo runs and how it shows it.
type Config struct {
	Clients int     // tenants of the platform
	Events  int     // sale events of all tenants
	Items   int     // items of all sale events
	Seed    uint64  // of the platform's data
	Speed   float64 // how much faster than in life things happen

	Flawless bool          // nothing goes wrong on the platform but by faults
	Nights   bool          // people sleep at night and come in the evening
	Noon     bool          // the platform's day begins at noon, whatever the time of day is
	Interval time.Duration // of Prometheus's scrapes and evaluations; 2s unless set
	Duration time.Duration // from when all is up; 0: until the context ends
	Faults   []string      // switched on when all is up

	StateFile string // see State; empty: none
	PagesFile string // one line of JSON per page; empty: in the demo's folder

	Rules        fs.FS // recording/*.yml and alerts/*.yml
	Alertmanager fs.FS // site.yml, inhibition.yml and templates
	// TimeScale is how much faster than the policy alerts notify and escalate;
	// 1 unless set.
	TimeScale  float64
	Dashboards fs.FS // a folder for each of Grafana's; shown if a Grafana is installed; nil: none

	Out      io.Writer
	Terminal bool // Out is a terminal: colours and a progress bar
}

// CrashError says which part ended although nobody asked it to.
type CrashError struct {
	Part string
	Err  error // how it ended, with the last lines of its log
}

func (e *CrashError) Error() string { return fmt.Sprintf("%s crashed: %v", e.Part, e.Err) }

func (e *CrashError) Unwrap() error { return e.Err }

// Run starts all parts and blocks until the context ends, the duration is
// over, or a part crashes, which is a *CrashError. Before it returns it ends
// every part, the last one first, and removes the folder and the state file.
// The end of the context is no error, nor is that nobody reads Out any more.
func Run(ctx context.Context, config Config) error {
	return run(ctx, config, append(allParts(), grafanaParts(config)...))
}

func run(ctx context.Context, config Config, parts []part) (err error) {
	if err := findExecutables(parts); err != nil {
		return err
	}
	if config.StateFile != "" { // an old one would tell a script that all is up
		if err := removeState(config.StateFile); err != nil {
			return err
		}
	}
	folder, err := os.MkdirTemp("", "consignwatch-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	s, err := newStack(config, folder, parts)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// findExecutables looks for everything before anything is started, so that one
// run tells all that is missing.
func findExecutables(parts []part) error {
	var missing []error
	for _, p := range parts {
		for _, name := range p.executables {
			if _, err := servers.Find(name); err != nil {
				missing = append(missing, err)
			}
		}
	}
	return errors.Join(missing...)
}

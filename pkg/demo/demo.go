// Package demo runs the whole stack on one machine: a real database with a
// simulated platform, the exporters, Prometheus, Alertmanager, and a webhook
// receiver that shows notifications as they arrive. All data is in a temporary
// folder, all ports are free ports of the loopback interface, and all processes
// end together. Rules and routing are the shipped ones, with the webhook receiver
// in place of all contacts; the package has none of its own.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// Config says what the demo runs and how it shows it.
type Config struct {
	Clients int     // tenants of the platform
	Events  int     // sale events of all tenants
	Items   int     // items of all sale events
	Seed    uint64  // of the platform's data
	Speed   float64 // how much faster than real time the platform runs

	Flawless bool          // the platform has no failures besides its faults
	Nights   bool          // no traffic at night, a peak in the evening
	Noon     bool          // the platform's day starts at noon, not at the present time of day
	Interval time.Duration // scrape and evaluation interval of Prometheus; 2s unless set
	Duration time.Duration // from when all is up; 0: until the context ends
	Faults   []string      // switched on when all is up

	StateFile         string // see package statefile; empty: none
	NotificationsFile string // one line of JSON per notification; empty: in the demo's folder

	Rules        fs.FS // recording/*.yml and alerts/*.yml
	Alertmanager fs.FS // site.yml, inhibition.yml and templates
	// TimeScale is how much faster than the policy alerts notify and escalate;
	// 1 unless set.
	TimeScale  float64
	Dashboards map[string][]byte // by path: a folder for each of Grafana's; shown if a Grafana is installed; nil: none

	Out      io.Writer
	Terminal bool // Out is a terminal: colours and a progress bar
}

// CrashError says which part ended unexpectedly.
type CrashError struct {
	Part string
	Err  error // how it ended, with the last lines of its log
}

func (e *CrashError) Error() string { return fmt.Sprintf("%s crashed: %v", e.Part, e.Err) }

func (e *CrashError) Unwrap() error { return e.Err }

// Run starts all parts, and blocks until the context ends, the duration is
// over, or a part crashes, which is a *CrashError. Before it returns, it stops
// every part, the last one first, and removes the folder and the state file.
// It returns nil when the context ends, and when Out cannot be written to.
func Run(ctx context.Context, config Config) error {
	return run(ctx, config, append(allParts(), grafanaParts(config)...))
}

func run(ctx context.Context, config Config, parts []part) (err error) {
	if err := findExecutables(parts); err != nil {
		return err
	}
	if config.StateFile != "" { // with an old file, a script would assume that the demo is up
		if err := statefile.Remove(config.StateFile); err != nil {
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

// findExecutables looks for all executables before any part is started, so that
// one run reports all that are missing.
func findExecutables(parts []part) error {
	var missing []error
	for _, p := range parts {
		for _, name := range p.executables {
			if _, err := executable.Find(name); err != nil {
				missing = append(missing, err)
			}
		}
	}
	return errors.Join(missing...)
}

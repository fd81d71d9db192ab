package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/consignwatch/consignwatch/alertmanager"
	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/recording"
	"github.com/consignwatch/consignwatch/rules"
)

// Times of a recording, relative to its start.
const (
	faultOn    = 5 * time.Minute
	faultOff   = 15 * time.Minute
	end        = 25 * time.Minute
	quietHours = 2 * time.Hour

	interval = 15 * time.Second // of scrapes and evaluations, as in deploy/examples
	warmUp   = 3 * time.Minute  // from when all parts are up until the recording starts: windows of rates are filled, and all collectors have run
)

// incident is an incident to record.
type incident struct {
	name string
	what string
	// on starts the fault in a running demo, and off ends it; nil: a longer recording without a fault.
	on, off func(context.Context, statefile.State) error
}

// record runs a demo, and writes the samples that its Prometheus scrapes into a file.
func (i incident) record(ctx context.Context, file, log string) (err error) {
	out, err := os.Create(log)
	if err != nil {
		return err
	}
	defer out.Close()
	folder, err := os.MkdirTemp("", "consignwatch-record-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	stateFile := filepath.Join(folder, "state.json")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel() // the recording is complete
		ended <- demo.Run(ctx, demo.Config{
			Clients: 5, Events: 10, Items: 2000, Seed: 1, Speed: 60, Flawless: true, Noon: true,
			Interval: interval, StateFile: stateFile, Out: out,
			Rules: rules.Files, Alertmanager: alertmanager.Files,
		})
	}()
	err = i.recordDemo(ctx, stateFile, file)
	cancel()
	return errors.Join(<-ended, err)
}

// recordDemo waits for the demo, starts and ends the fault, and writes the recording.
func (i incident) recordDemo(ctx context.Context, stateFile, file string) error {
	var state statefile.State
	for {
		var err error
		if state, err = statefile.Read(stateFile); err == nil {
			break
		}
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
	if err := wait(ctx, warmUp); err != nil {
		return err
	}
	begin := time.Now()
	if i.on == nil {
		if err := wait(ctx, quietHours); err != nil {
			return err
		}
	} else {
		if err := wait(ctx, faultOn); err != nil {
			return err
		}
		if err := i.on(ctx, state); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		if err := wait(ctx, time.Until(begin.Add(faultOff))); err != nil {
			return err
		}
		if err := i.off(ctx, state); err != nil {
			return fmt.Errorf("end: %w", err)
		}
		if err := wait(ctx, time.Until(begin.Add(end))); err != nil {
			return err
		}
	}
	prometheus, _ := state.Part("prometheus")
	r, err := recording.Fetch(ctx, http.DefaultClient, prometheus.URL, begin, time.Now())
	if err != nil {
		return err
	}
	if gaps := r.Gaps(2 * interval); len(gaps) > 0 {
		return fmt.Errorf("nothing was scraped from %v: the machine stood still", gaps)
	}
	names, err := newAnonymizer(state)
	if err != nil {
		return err
	}
	for n, s := range r.Series {
		r.Series[n].Metric = names.replaceIn(s.Metric)
	}
	return r.Write(file)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// anonymizer replaces names and addresses that differ between demos and between machines.
type anonymizer struct {
	host    string            // of the machine
	replace *strings.Replacer // replaces addresses by the part's name with its usual port, and the demo's folder
}

func newAnonymizer(state statefile.State) (*anonymizer, error) {
	ports := map[string]string{
		"mariadb": "3306", "redis": "6379", "platform-sim": "8080", "business-exporter": "9473", "system-exporter": "9471", "integration-exporter": "9472",
		"event-exporter": "9474", "node_exporter": "9100", "alertmanager": "9093", "ackd": "9475", "prometheus": "9090", "receiver": "8081",
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	replace := []string{state.Folder, "/srv/demo"}
	parts := slices.Clone(state.Parts)
	slices.SortFunc(parts, func(a, b statefile.Part) int { return cmp.Compare(len(b.Address), len(a.Address)) }) // an address may be a prefix of another one
	for _, part := range parts {
		port, ok := ports[part.Name]
		if !ok {
			return nil, fmt.Errorf("no usual port is known of the part %s", part.Name)
		}
		replace = append(replace, part.Address, net.JoinHostPort(part.Name, port))
	}
	return &anonymizer{host, strings.NewReplacer(replace...)}, nil
}

func (n *anonymizer) replaceIn(l labels.Labels) labels.Labels {
	b := labels.NewScratchBuilder(l.Len())
	l.Range(func(l labels.Label) {
		if l.Value == n.host {
			b.Add(l.Name, "demo")
		} else {
			b.Add(l.Name, n.replace.Replace(l.Value))
		}
	})
	b.Sort()
	return b.Labels()
}

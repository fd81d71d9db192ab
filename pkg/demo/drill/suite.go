package drill

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
)

// assignment is a fault with the alerts that it is drilled for. Each alert is drilled by one fault only.
type assignment struct {
	fault    *Fault
	patterns []string
}

// assignments returns the faults of the plans by batch of the table. Batches without an outage come first: they can overlap.
func assignments(plans []Plan) [][]assignment {
	var overlapping, outages [][]assignment
	for _, batch := range Batches() {
		var all []assignment
		for i := range batch {
			f := &batch[i]
			var patterns []string
			for _, pattern := range f.MustFire {
				if slices.ContainsFunc(plans, func(p Plan) bool {
					return p.Fault != nil && p.Fault.Name == f.Name && p.Fault.Client == f.Client && p.Alert.Name == alertName(pattern)
				}) {
					patterns = append(patterns, pattern)
				}
			}
			if len(patterns) > 0 {
				all = append(all, assignment{f, patterns})
			}
		}
		switch {
		case len(all) == 0:
		case slices.ContainsFunc(all, func(a assignment) bool { return a.fault.Outage }):
			outages = append(outages, all)
		default:
			overlapping = append(overlapping, all)
		}
	}
	return append(overlapping, outages...)
}

// Suite drills many alerts. It drills alerts at the same time unless they would disturb each other.
type Suite struct {
	Environment *Environment
	Options
	// Rules are the alert rules that synthetic alerts are made from.
	Rules map[string]Rule
	// Client is the label client of synthetic alerts that are not about the platform.
	Client string
	// AckTimeout is how long to wait for the acknowledgement of a synthetic alert. Zero: do not wait.
	AckTimeout time.Duration
	// Out receives progress messages, and the timeline of each alert when its drill has ended.
	Out io.Writer

	mu      sync.Mutex
	records []*Record
}

// Drill drills the plans: the faults of each batch of the table together, one batch after the other. A batch begins when the faults of the batch before
// are off, although their alerts may not have resolved yet; a batch with an outage begins when all drills have ended. Then the alerts that no fault
// fires, and those that were only inhibited, are drilled as synthetic alerts, all at once. All faults are off afterwards, also after an error.
func (s *Suite) Drill(ctx context.Context, plans []Plan) ([]*Record, error) {
	batches := assignments(plans)
	var drills sync.WaitGroup
	for i, batch := range batches {
		if i > 0 && slices.ContainsFunc(batch, func(a assignment) bool { return a.fault.Outage }) {
			s.printf("Waiting for all alerts to resolve: outages come next.")
			drills.Wait()
		}
		if ctx.Err() != nil {
			break
		}
		var names []string
		var faultsOn sync.WaitGroup
		for _, a := range batch {
			names = append(names, a.fault.Name)
		}
		s.printf("Batch %d of %d: %s.", i+1, len(batches), strings.Join(names, ", "))
		for _, a := range batch {
			faultsOn.Add(1)
			drills.Go(func() {
				records, err := s.Environment.byFault(ctx, a.fault, a.patterns, s.Options, sync.OnceFunc(faultsOn.Done))
				if err != nil && ctx.Err() == nil { // the others can still be drilled
					records = append(records, &Record{Alert: strings.Join(a.patterns, ", "), Trigger: "the fault " + a.fault.Name, Missing: []string{err.Error()}})
				}
				s.add(records...)
			})
		}
		faultsOn.Wait()
	}
	drills.Wait()
	if err := ctx.Err(); err != nil {
		return s.records, err
	}
	s.drillSynthetic(ctx, plans)
	return s.records, ctx.Err()
}

// drillSynthetic drills alerts that no fault fires, and alerts that were inhibited and never notified. A synthetic alert that another synthetic alert
// inhibits is drilled again without that one.
func (s *Suite) drillSynthetic(ctx context.Context, plans []Plan) {
	remaining := slices.DeleteFunc(slices.Clone(plans), func(plan Plan) bool { return plan.Fault != nil && !s.onlyInhibited(plan.Alert.Name) })
	for len(remaining) > 0 && ctx.Err() == nil {
		s.printf("Synthetic: %s that no fault fires, or that others inhibited.", alerts(len(remaining)))
		var drills sync.WaitGroup
		var inhibited []Plan
		var mutex sync.Mutex
		records := make([]*Record, len(remaining))
		for i, plan := range remaining {
			drills.Go(func() {
				synthetic := s.Environment.Synthetic(s.AckTimeout, s.Patience)
				record, err := synthetic.Drill(ctx, s.Rules[plan.Alert.Name], plan.ClientOf(s.Client))
				if err != nil && ctx.Err() == nil {
					record = &Record{Alert: plan.Alert.Name, Priority: plan.Priority(), Trigger: syntheticTrigger, Missing: []string{err.Error()}}
				}
				records[i] = record
				if record != nil && record.InhibitedBy != "" {
					mutex.Lock()
					defer mutex.Unlock()
					inhibited = append(inhibited, plan)
				}
			})
		}
		drills.Wait()
		retry := len(inhibited) < len(remaining)
		for _, record := range records {
			if record != nil && (record.InhibitedBy == "" || !retry) {
				s.add(record)
			}
		}
		if !retry {
			return
		}
		remaining = inhibited
	}
}

// onlyInhibited reports whether an alert has fired, and was inhibited and never notified.
func (s *Suite) onlyInhibited(alert string) bool {
	inhibited := false
	for _, r := range s.records {
		if alertName(r.Alert) == alert {
			if r.InhibitedBy == "" {
				return false
			}
			inhibited = true
		}
	}
	return inhibited
}

// ClientOf is the label client of the synthetic alert: _platform if the alert is about the platform.
func (p *Plan) ClientOf(client string) string {
	if p.Alert.Platform {
		return routing.Platform
	}
	return client
}

func (s *Suite) printf(format string, values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.Out, format+"\n\n", values...)
}

func (s *Suite) add(records ...*Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		r.Print(s.Out)
	}
	s.records = append(s.records, records...)
}

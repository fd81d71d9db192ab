package drill

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/pkg/routing"
)

// assignment is a fault with those of its alerts that it is drilled for: each alert is drilled by one fault.
type assignment struct {
	fault *Fault
	fires []string // patterns
}

// assignments are the faults of the plans, turn by turn of the table. Turns without an outage come first: they can overlap.
func assignments(plans []Plan) [][]assignment {
	var overlapping, alone [][]assignment
	for _, turn := range Turns() {
		var all []assignment
		for i := range turn {
			f := &turn[i]
			var fires []string
			for _, pattern := range f.Fires {
				if slices.ContainsFunc(plans, func(p Plan) bool {
					return p.Fault != nil && p.Fault.Name == f.Name && p.Fault.Client == f.Client && p.Alert.Name == nameOf(pattern)
				}) {
					fires = append(fires, pattern)
				}
			}
			if len(fires) > 0 {
				all = append(all, assignment{f, fires})
			}
		}
		switch {
		case len(all) == 0:
		case slices.ContainsFunc(all, func(a assignment) bool { return a.fault.Outage }):
			alone = append(alone, all)
		default:
			overlapping = append(overlapping, all)
		}
	}
	return append(overlapping, alone...)
}

// Program drills many alerts, as many at a time as do not disturb each other.
type Program struct {
	Stage *Stage
	Options
	// Rules are those of the synthetic alerts.
	Rules map[string]Rule
	// Client is that of the synthetic alerts.
	Client string
	// Awaiting is how long somebody may take to acknowledge a synthetic alert.
	Awaiting time.Duration
	// Out gets the progress, and the timeline of each alert when it has resolved.
	Out io.Writer

	mutex   sync.Mutex
	records []*Record
}

// Drill drills the plans: the faults of each turn of the table together, one turn after the other. A turn begins when the faults of the one before are
// off, though its alerts may still be there; one with an outage begins when everything is over. In the end the alerts that no fault fires, or
// that others have explained, are made up, all at once. Whatever happens, all faults are off afterwards.
func (p *Program) Drill(ctx context.Context, plans []Plan) ([]*Record, error) {
	turns := assignments(plans)
	var drills sync.WaitGroup
	for i, turn := range turns {
		if i > 0 && slices.ContainsFunc(turn, func(t assignment) bool { return t.fault.Outage }) {
			p.say("Waiting for all alerts to resolve: outages come next.")
			drills.Wait()
		}
		if ctx.Err() != nil {
			break
		}
		var names []string
		var on sync.WaitGroup
		for _, t := range turn {
			names = append(names, t.fault.Name)
		}
		p.say("Batch %d of %d: %s.", i+1, len(turns), strings.Join(names, ", "))
		for _, t := range turn {
			on.Add(1)
			drills.Go(func() {
				records, err := p.Stage.byFault(ctx, t.fault, t.fires, p.Options, sync.OnceFunc(on.Done))
				if err != nil && ctx.Err() == nil { // the others can still be drilled
					records = append(records, &Record{Alert: strings.Join(t.fires, ", "), How: "the fault " + t.fault.Name, Missing: []string{err.Error()}})
				}
				p.note(records...)
			})
		}
		on.Wait()
	}
	drills.Wait()
	if err := ctx.Err(); err != nil {
		return p.records, err
	}
	p.makeUp(ctx, plans)
	return p.records, ctx.Err()
}

// makeUp drills what no fault fires, and what nobody was told of because another alert explained it. What is not told because another one that is
// made up explains it is drilled again without that one.
func (p *Program) makeUp(ctx context.Context, plans []Plan) {
	left := slices.DeleteFunc(slices.Clone(plans), func(plan Plan) bool { return plan.Fault != nil && !p.onlyExplained(plan.Alert.Name) })
	for len(left) > 0 && ctx.Err() == nil {
		p.say("Synthetic: %s that no fault fires, or that others inhibited.", alerts(len(left)))
		var drills sync.WaitGroup
		var explained []Plan
		var mutex sync.Mutex
		records := make([]*Record, len(left))
		for i, plan := range left {
			drills.Go(func() {
				s := p.Stage.Synthetic(p.Awaiting, p.Patience)
				record, err := s.Drill(ctx, p.Rules[plan.Alert.Name], plan.Whose(p.Client))
				if err != nil && ctx.Err() == nil {
					record = &Record{Alert: plan.Alert.Name, Priority: plan.Priority(), How: madeUp, Missing: []string{err.Error()}}
				}
				records[i] = record
				if record != nil && record.Explained != "" {
					mutex.Lock()
					defer mutex.Unlock()
					explained = append(explained, plan)
				}
			})
		}
		drills.Wait()
		again := len(explained) < len(left)
		for _, record := range records {
			if record != nil && (record.Explained == "" || !again) {
				p.note(record)
			}
		}
		if !again {
			return
		}
		left = explained
	}
}

// onlyExplained reports whether an alert has fired, and was never told since another one explained it.
func (p *Program) onlyExplained(alert string) bool {
	explained := false
	for _, r := range p.records {
		if nameOf(r.Alert) == alert {
			if r.Explained == "" {
				return false
			}
			explained = true
		}
	}
	return explained
}

// Whose client the alert has when it is made up: the platform's if it is about the platform.
func (p *Plan) Whose(client string) string {
	if p.Alert.Platform {
		return routing.Platform
	}
	return client
}

func (p *Program) say(format string, values ...any) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	fmt.Fprintf(p.Out, format+"\n\n", values...)
}

func (p *Program) note(records ...*Record) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, r := range records {
		r.Print(p.Out)
	}
	p.records = append(p.records, records...)
}

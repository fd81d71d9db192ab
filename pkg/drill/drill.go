// Package drill runs drills: a fault is switched on, and the drill measures how long it takes until the right person is notified, until the next one
// is, and until the alert has resolved. The table of faults says which fault of the simulated platform fires which alert; tests of the rules and
// drills share it. An alert that no fault can fire is drilled with a synthetic one, which says so. It breaks nothing but a demo.
package drill

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/routing"
)

// Plan is how one alert is drilled.
type Plan struct {
	Alert routing.Alert
	// Fault fires the alert. Nil: no fault of the platform does, and the alert is synthetic.
	Fault *Fault
}

// How says it in words.
func (p *Plan) How() string {
	if p.Fault == nil {
		return "synthetic"
	}
	return "fault " + p.Fault.Name
}

// Plans says for each alert of P0 and P1 how it is drilled, in the order of their priority and name.
func Plans(alerts []routing.Alert) []Plan {
	var plans []Plan
	for _, a := range alerts {
		if !slices.Contains(a.Priorities, "P0") && !slices.Contains(a.Priorities, "P1") {
			continue
		}
		plans = append(plans, Plan{a, faultOf(a.Name)})
	}
	slices.SortFunc(plans, func(a, b Plan) int {
		return cmp.Or(cmp.Compare(a.Priority(), b.Priority()), cmp.Compare(a.Alert.Name, b.Alert.Name))
	})
	return plans
}

// Priority is the worst that the alert can have, empty for a plan that is about a fault as a whole.
func (p *Plan) Priority() string {
	if len(p.Alert.Priorities) == 0 {
		return ""
	}
	return slices.Min(p.Alert.Priorities)
}

// faultOf is the fault that is there for an alert, or else one that fires it besides.
func faultOf(alert string) *Fault {
	var other *Fault
	for _, turn := range Turns() {
		for i := range turn {
			for j, pattern := range turn[i].Fires {
				switch {
				case nameOf(pattern) != alert:
				case j == 0:
					return &turn[i]
				case other == nil:
					other = &turn[i]
				}
			}
		}
	}
	return other
}

// nameOf is the alert's name in a pattern.
func nameOf(pattern string) string {
	name, _, _ := strings.Cut(pattern, " ")
	return name
}

// FaultNamed is the fault of the table with a name, or nil. Of several, the one for all clients.
func FaultNamed(name string) *Fault {
	var found *Fault
	for _, turn := range Turns() {
		for i := range turn {
			if turn[i].Name == name && (found == nil || turn[i].Client == All) {
				found = &turn[i]
			}
		}
	}
	return found
}

// Rule is an alert as the rules declare it.
type Rule struct {
	Alert       string            `yaml:"alert"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Rules reads the rules of all alerts below root; of an alert with several, the one with the worst priority.
func Rules(root fs.FS) (map[string]Rule, error) {
	files, err := fs.Glob(root, "rules/alerts/*.yml")
	if err != nil {
		return nil, err
	}
	rules := map[string]Rule{}
	for _, file := range files {
		var doc struct {
			Groups []struct {
				Rules []Rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		text, err := fs.ReadFile(root, file)
		if err == nil {
			err = yaml.Unmarshal(text, &doc)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				if before, ok := rules[r.Alert]; r.Alert != "" && (!ok || r.Labels["priority"] < before.Labels["priority"]) {
					rules[r.Alert] = r
				}
			}
		}
	}
	return rules, nil
}

// Policy is what a drill measures against.
type Policy struct {
	*routing.Routing
	// Evaluation is how often Prometheus evaluates rules.
	Evaluation time.Duration
}

// slack is for what takes time on every way: a request, a flush, a busy machine.
const slack = 5 * time.Second

// notify is how long it may take from firing until the first is told; of an alert that joined a group, until that is told about again.
func (p *Policy) notify(alert, priority string, joined bool) time.Duration {
	wait := p.Wait(alert, priority)
	if joined {
		wait = max(wait, p.interval(priority))
	}
	return wait + p.Evaluation + slack
}

// interval is how long a group waits between notifications.
func (p *Policy) interval(priority string) time.Duration {
	t := p.Site.Policy.Priorities[priority]
	if t == nil {
		return 0
	}
	return time.Duration(t.GroupInterval)
}

// escalate is how long an alert fires until a level is told, and how much later than that is too late. Zero: the level is not called.
func (p *Policy) escalate(level routing.Level, priority string) (due, late time.Duration) {
	t := p.Site.Policy.Priorities[priority]
	if t == nil {
		return 0, 0
	}
	return t.Delay(level.Role), time.Duration(t.GroupWait) + 3*p.Evaluation + slack
}

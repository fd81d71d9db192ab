// Package drill runs drills: it switches a fault on, and measures how long it takes until the right receiver is notified, until each level is
// notified, and until the alert has resolved. The table of faults (Batches) lists which fault of the simulated platform fires which alerts; drills and
// tests of the rules use it. An alert that no fault fires is drilled with a synthetic alert, which says so in its summary. The package switches faults
// on only in a demo, never in a real stack.
package drill

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/alerting/routing"
)

// Plan says how to drill one alert.
type Plan struct {
	Alert routing.Alert
	// Fault fires the alert. Nil: no fault of the platform fires it, and the drill posts a synthetic alert.
	Fault *Fault
}

// Trigger describes what fires the alert.
func (p *Plan) Trigger() string {
	if p.Fault == nil {
		return "synthetic"
	}
	return "fault " + p.Fault.Name
}

// Plans returns the plans for all P0 and P1 alerts, ordered by priority and alertname.
func Plans(alerts []routing.Alert) []Plan {
	var plans []Plan
	for _, alert := range alerts {
		if !slices.Contains(alert.Priorities, "P0") && !slices.Contains(alert.Priorities, "P1") {
			continue
		}
		plans = append(plans, Plan{alert, faultFor(alert.Name)})
	}
	slices.SortFunc(plans, func(alert, b Plan) int {
		return cmp.Or(cmp.Compare(alert.Priority(), b.Priority()), cmp.Compare(alert.Alert.Name, b.Alert.Name))
	})
	return plans
}

// Priority is the highest priority that the alert can have, empty for a plan for a whole fault.
func (p *Plan) Priority() string {
	if len(p.Alert.Priorities) == 0 {
		return ""
	}
	return slices.Min(p.Alert.Priorities)
}

// faultFor returns the fault whose first alert this is, or else the first fault that fires it among others, or nil.
func faultFor(alert string) *Fault {
	var secondary *Fault
	for _, batch := range Batches() {
		for i := range batch {
			for j, pattern := range batch[i].MustFire {
				switch {
				case alertName(pattern) != alert:
				case j == 0:
					return &batch[i]
				case secondary == nil:
					secondary = &batch[i]
				}
			}
		}
	}
	return secondary
}

// alertName is the alertname of a pattern.
func alertName(pattern string) string {
	name, _, _ := strings.Cut(pattern, " ")
	return name
}

// FindFault returns the fault of the table with the name, or nil. Of several, it returns the one for all clients.
func FindFault(name string) *Fault {
	var found *Fault
	for _, batch := range Batches() {
		for i := range batch {
			if batch[i].Name == name && (found == nil || batch[i].Client == AllClients) {
				found = &batch[i]
			}
		}
	}
	return found
}

// Rule is an alert rule.
type Rule struct {
	Alert       string            `yaml:"alert"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// LoadRules reads the alert rules below root, by alertname; of several rules of one alert, the one with the highest priority.
func LoadRules(root fs.FS) (map[string]Rule, error) {
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

// Policy has the deadlines that a drill compares with.
type Policy struct {
	*routing.Routing
	// Evaluation is Prometheus's evaluation interval.
	Evaluation time.Duration
}

// tolerance is added to every deadline for requests, flushes and a busy machine.
const tolerance = 5 * time.Second

// notifyDeadline is how long it may take from firing until the first notification. For an alert that joined an existing group, that is the group's next one.
func (p *Policy) notifyDeadline(alert, priority string, joined bool) time.Duration {
	wait := p.Wait(alert, priority)
	if joined {
		wait = max(wait, p.groupInterval(priority))
	}
	return wait + p.Evaluation + tolerance
}

// groupInterval is the group_interval of a priority.
func (p *Policy) groupInterval(priority string) time.Duration {
	t := p.Site.Policy.Priorities[priority]
	if t == nil {
		return 0
	}
	return time.Duration(t.GroupInterval)
}

// escalationDelay is how long an alert fires until a level is notified, and how much later than that is in time. Zero: the level is not notified.
func (p *Policy) escalationDelay(level routing.Level, priority string) (due, late time.Duration) {
	t := p.Site.Policy.Priorities[priority]
	if t == nil {
		return 0, 0
	}
	return t.Delay(level.Role), time.Duration(t.GroupWait) + 3*p.Evaluation + tolerance
}

package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Inhibition is the content of alertmanager/inhibition.yml. Which alert inhibits which others is not in it: an alert says with the label cause what is
// broken while it fires, and with the label depends_on, a list with commas, of which causes it is a symptom. Only the cause notifies.
type Inhibition struct {
	// Hold is for how long a cause still inhibits its symptoms after it has resolved: their expressions have range windows.
	Hold yamlfile.Duration `yaml:"hold"`
	// SeverityOrders are lists of alerts with the same identity labels, most severe first: the most severe firing alert inhibits the others.
	SeverityOrders []SeverityOrder `yaml:"severity_order"`
	// SeverityInhibition excludes alerts that an alert of higher severity with the same client, component and subject does not inhibit.
	SeverityInhibition struct {
		Exclude []string `yaml:"exclude"`
	} `yaml:"severity_inhibition"`

	file *yamlfile.File
}

// SeverityOrder is a list of alerts, most severe first, which inhibit each other if client, component and subject are equal.
type SeverityOrder struct {
	Name   string   `yaml:"name"` // of the inhibition rules, as in Alertmanager's metrics
	Alerts []string `yaml:"alerts"`
}

func readInhibition(root fs.FS) (*Inhibition, error) {
	var i Inhibition
	file, err := readFile(root, InhibitionFile, &i)
	if err != nil {
		return nil, err
	}
	i.file = file
	return &i, nil
}

// inhibitionSourceRecent is the alert that fires while alerts with a cause fire, and for the hold after it: one for each cause and client. It is the source of
// inhibitions that outlast the cause, and notifies nobody.
const inhibitionSourceRecent = "InhibitionSourceRecent"

// cause has the rules that say that something is broken: those that concern the platform, and those that concern one client each.
type cause struct{ platform, client []*alertRule }

// causes are all causes, by name, which is a value of the label cause.
func (r *Routing) causes() map[string]*cause {
	all := map[string]*cause{}
	for i := range r.Alerts {
		for _, rule := range r.Alerts[i].rules {
			for _, name := range rule.causes {
				if all[name] == nil {
					all[name] = &cause{}
				}
				scope := &all[name].client
				if rule.platform {
					scope = &all[name].platform
				}
				*scope = append(*scope, rule)
			}
		}
	}
	return all
}

// mildest is the least urgent priority that the rules can have. For a rule that takes it from its client, P0 or P1 by whether the client's sale is live,
// it is P0: what depends on it has that of the same client.
func mildest(rules []*alertRule) string {
	priority := "P0"
	for _, rule := range rules {
		priority = max(priority, slices.Min(rule.priorities))
	}
	return priority
}

// checkInhibition checks what is left of the inhibitions in their file, and the labels cause and depends_on of the alert rules.
func (r *Routing) checkInhibition() error {
	var errs []error
	in := r.Inhibition
	known := func(key, name string) {
		if _, ok := r.alert(name); !ok {
			errs = append(errs, in.file.Errorf(key, "there is no alert %q in %s", name, alertFiles))
		}
	}
	if a := time.Duration(in.Hold); a < time.Minute || a > 15*time.Minute {
		errs = append(errs, in.file.Errorf("hold", "must be between 1m and 15m: how long do symptoms look back?"))
	}
	names := map[string]bool{}
	for i, l := range in.SeverityOrders {
		key := fmt.Sprintf("severity_order.%d", i)
		if l.Name == "" || names[l.Name] {
			errs = append(errs, in.file.Errorf(key+".name", "missing or duplicate name %q", l.Name))
		}
		names[l.Name] = true
		for j, a := range l.Alerts {
			known(fmt.Sprintf("%s.alerts.%d", key, j), a)
		}
	}
	for i, a := range in.SeverityInhibition.Exclude {
		known(fmt.Sprintf("severity_inhibition.exclude.%d", i), a)
	}
	causes := r.causes()
	for _, a := range r.Alerts {
		for _, rule := range a.rules {
			errs = append(errs, rule.checkCauses(), r.checkDependencies(a, rule, causes))
		}
	}
	return errors.Join(errs...)
}

// causeName matches the name of a cause. A comma ends it in depends_on.
var causeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(:[a-z0-9_-]+)?$`)

func (r *alertRule) checkCauses() error {
	if len(r.causes) > 0 && slices.Equal(r.teams, []string{clientAdmin}) {
		return r.errorf("the label cause: an alert for client admins inhibits nothing")
	}
	for _, name := range r.causes {
		if !causeName.MatchString(name) {
			return r.errorf("the label cause: %q is no name like database or exporter:business-exporter", name)
		}
	}
	return nil
}

// checkDependencies checks what an alert depends on: that there is an alert that fires when it is broken, and that this one may be inhibited.
func (r *Routing) checkDependencies(a Alert, rule *alertRule, causes map[string]*cause) error {
	if len(rule.dependsOn) == 0 {
		return nil
	}
	if slices.Contains(rule.priorities, "none") || rule.category == "security" {
		return rule.errorf("the label depends_on: what is about security, or notifies nobody, is never inhibited")
	}
	for _, d := range rule.dependsOn {
		c := causes[d.name]
		switch {
		case c == nil && d.ofLabel: // not everything that the label can say is a cause
		case c == nil:
			return rule.errorf("the label depends_on: no alert has the cause %q; there are %s", d.name, strings.Join(slices.Sorted(maps.Keys(causes)), ", "))
		case slices.Contains(rule.causes, d.name):
			return rule.errorf("the label depends_on: it is %q itself", d.name)
		case a.Platform && len(c.platform) == 0:
			return rule.errorf("the label depends_on: %q is what fails for one client, and the alert is about the platform", d.name)
		}
	}
	for _, p := range rule.priorities {
		w, slowest := r.wait(a, rule, p, causes)
		if w > longestWait && w > time.Duration(r.Site.Policy.Priorities[p].GroupWait) {
			return rule.errorf("the label depends_on: as %s it would need a group wait of %s for %s to fire first (at most %s): give it a longer `for`", p, w, slowest, longestWait)
		}
	}
	return nil
}

// Wait is the group wait of an alert: that of its priority, or longer if one of its causes would otherwise have less than twice its `for`
// to fire before the alert is notified.
func (r *Routing) Wait(alert, priority string) time.Duration {
	a, _ := r.alert(alert)
	causes := r.causes()
	var longest time.Duration
	for _, rule := range a.rules {
		w, _ := r.wait(a, rule, priority, causes)
		longest = max(longest, w)
	}
	return longest
}

// wait is the group wait that one rule of an alert needs, and the name of the alert that it waits for.
func (r *Routing) wait(a Alert, rule *alertRule, priority string, causes map[string]*cause) (wait time.Duration, slowest string) {
	t := r.Site.Policy.Priorities[priority]
	if t == nil {
		return 0, "" // the heartbeat has none
	}
	wait = time.Duration(t.GroupWait)
	for _, d := range rule.dependsOn {
		if c := causes[d.name]; c != nil {
			for _, scope := range [][]*alertRule{c.platform, c.client} {
				for _, source := range scope {
					if w := 2*source.wait - a.For; w > wait && mildest(scope) <= priority {
						wait, slowest = w, source.alert
					}
				}
			}
		}
	}
	return wait, slowest
}

// inhibition is one inhibition rule, from which both Alertmanager's inhibit_rules and PromQL are generated.
type inhibition struct {
	name        string   // as in Alertmanager's metrics
	source      []string // matchers
	target      []string // matchers, without those of alertnames
	alerts      []string // names of the target; none: any
	equal       []string
	description string // for people
	hold        bool   // also for the hold after the source has resolved
}

// notClient keeps alerts for client admins from being inhibited by alerts for the staff.
const notClient = `team!="client_admin"`

// inhibitions are all inhibition rules, without their variants for escalations: one for each cause that something depends on, and its scope.
func (r *Routing) inhibitions() []inhibition {
	dependents := map[string][]string{}
	for _, a := range r.Alerts {
		for _, rule := range a.rules {
			for _, d := range rule.dependsOn {
				if !slices.Contains(dependents[d.name], a.Name) {
					dependents[d.name] = append(dependents[d.name], a.Name)
				}
			}
		}
	}
	var all []inhibition
	causes := r.causes()
	for _, name := range slices.Sorted(maps.Keys(causes)) {
		if len(dependents[name]) == 0 {
			continue
		}
		slices.Sort(dependents[name])
		// A list with commas has the cause as a whole element.
		target := []string{fmt.Sprintf(`depends_on=~"(.+,)?%s(,.+)?"`, name), notClient}
		clientSuffix := ""
		if len(causes[name].platform) > 0 {
			clientSuffix = "-client"
		}
		for _, scope := range []struct {
			rules         []*alertRule
			suffix, match string
			equal         []string
		}{
			{causes[name].platform, "", matcher("client", Platform), nil},
			{causes[name].client, clientSuffix, fmt.Sprintf("client!=%q", Platform), []string{"client"}},
		} {
			if len(scope.rules) == 0 {
				continue
			}
			var sources []string
			for _, rule := range scope.rules {
				if !slices.Contains(sources, rule.alert) {
					sources = append(sources, rule.alert)
				}
			}
			i := inhibition{
				name: name + scope.suffix, source: []string{matcher("cause", name), scope.match}, target: slices.Clone(target), equal: scope.equal, hold: true,
				description: fmt.Sprintf("%s (cause %s) inhibits %s", strings.Join(sources, ", "), name, strings.Join(dependents[name], ", ")),
			}
			// What is more urgent than its cause notifies nevertheless.
			if all := Priorities(); mildest(scope.rules) != all[0] {
				milder := all[slices.Index(all, mildest(scope.rules)):]
				i.target = append(i.target, oneOf("priority", milder...))
				i.description += " of " + strings.Join(milder, ", ")
			}
			all = append(all, i)
		}
	}
	identity := []string{"client", "component", "subject"}
	for _, l := range r.Inhibition.SeverityOrders {
		for i := range l.Alerts[:max(len(l.Alerts)-1, 0)] {
			all = append(all, inhibition{
				name: fmt.Sprintf("%s-%d", l.Name, i+1), source: []string{matcher("alertname", l.Alerts[i])},
				target: []string{notClient}, alerts: l.Alerts[i+1:], equal: identity,
				description: fmt.Sprintf("%s inhibits %s", l.Alerts[i], strings.Join(l.Alerts[i+1:], ", ")),
			})
		}
	}
	for severities := []string{"critical", "warning", "info"}; len(severities) > 1; severities = severities[1:] {
		higher, lower := severities[0], severities[1:]
		i := inhibition{
			name: "severity-" + higher, source: []string{matcher("severity", higher), notClient}, target: []string{oneOf("severity", lower...), notClient}, equal: identity,
			description: fmt.Sprintf("severity %s inhibits %s", higher, strings.Join(lower, " and ")),
		}
		for _, exclude := range r.Inhibition.SeverityInhibition.Exclude {
			i.target = append(i.target, fmt.Sprintf("alertname!=%q", exclude))
		}
		all = append(all, i)
	}
	return all
}

func matcher(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }

// oneOf matches a label with one of several values.
func oneOf(name string, values ...string) string {
	if len(values) == 1 {
		return matcher(name, values[0])
	}
	return fmt.Sprintf("%s=~%q", name, strings.Join(values, "|"))
}

// inhibitRule is an entry of Alertmanager's inhibit_rules.
type inhibitRule struct {
	Name   string   `yaml:"name"`
	Source []string `yaml:"source_matchers"`
	Target []string `yaml:"target_matchers"`
	Equal  []string `yaml:"equal,flow"`
}

// inhibitRules are the inhibition rules for Alertmanager. An escalation has the labels of its source, except the name and the cause: it is inhibited with
// it, and no source itself. Where alerts are selected by name, it needs a rule of its own. So does what outlasts a cause: of the sources of a rule whose
// equal labels have the same values, Alertmanager (0.31) knows one, and when that resolves it may miss the others for a minute.
func (r *Routing) inhibitRules() []inhibitRule {
	var rules []inhibitRule
	for _, i := range r.inhibitions() {
		source := append(slices.Clone(i.source), `escalation=""`)
		switch {
		case i.hold:
			rules = append(rules,
				inhibitRule{i.name, append(source, fmt.Sprintf("alertname!=%q", inhibitionSourceRecent)), i.target, i.equal},
				inhibitRule{i.name + "-hold", append([]string{matcher("alertname", inhibitionSourceRecent)}, i.source...), i.target, i.equal})
		case len(i.alerts) > 0:
			for _, by := range []struct{ suffix, name string }{{"", "alertname"}, {"-escalated", "source_alertname"}} {
				rules = append(rules, inhibitRule{i.name + by.suffix, source, append([]string{oneOf(by.name, i.alerts...)}, i.target...), i.equal})
			}
		default:
			rules = append(rules, inhibitRule{i.name, source, i.target, i.equal})
		}
	}
	return rules
}

package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Inhibition says which alert inhibits which others, so that only the cause pages.
type Inhibition struct {
	Causes []Cause `yaml:"causes"`
	// Aftermath is for how long a cause inhibits its symptoms after it has resolved, because they look back.
	Aftermath yamlfile.Duration `yaml:"aftermath"`
	// Ladders are alerts on one thing, in order of severity: the most severe one that fires inhibits the others.
	Ladders []Ladder `yaml:"ladders"`
	// Worse has the alerts that one of a higher severity on the same thing does not inhibit.
	Worse struct {
		Except []string `yaml:"except"`
	} `yaml:"worse"`

	file *yamlfile.File
}

// Cause is an alert with what it inhibits.
type Cause struct {
	Name string `yaml:"name"` // in Alertmanager's metrics
	// Alert is the cause.
	Alert string `yaml:"alert"`
	// Explains are its symptoms. Those of a platform's cause may be anybody's, those of a client's cause are the same client's.
	Explains []Symptom `yaml:"explains"`
}

// Symptom is an alert that another one inhibits; with a subject: only on that subject.
type Symptom struct {
	Alert   string `yaml:"alert"`
	Subject string `yaml:"subject"`
}

// UnmarshalYAML reads a name, or a mapping.
func (s *Symptom) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Alert = n.Value
		return nil
	}
	type plain Symptom
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a symptom is the name of an alert, or {alert: NAME, subject: VALUE}", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Value != "alert" && key.Value != "subject" {
			return fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
		}
	}
	return n.Decode((*plain)(s))
}

// Ladder is a list of alerts on one thing, that is of one client, component and subject.
type Ladder struct {
	Name   string   `yaml:"name"`
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

// inhibitionSourceRecent is the alert that a cause fires, or did a short while ago. It is the source of inhibitions that outlast the cause, and notifies nobody.
const inhibitionSourceRecent = "InhibitionSourceRecent"

// checkInhibition holds the inhibitions against the alerts.
func (r *Routing) checkInhibition() error {
	var errs []error
	in := r.Inhibition
	known := func(key, name string) (Alert, bool) {
		a, ok := r.alert(name)
		if !ok {
			errs = append(errs, in.file.Errorf(key, "there is no alert %q in %s", name, alertFiles))
		}
		return a, ok
	}
	if a := time.Duration(in.Aftermath); a < time.Minute || a > 15*time.Minute {
		errs = append(errs, in.file.Errorf("aftermath", "must be between 1m and 15m: how long do symptoms look back?"))
	}
	names := map[string]bool{}
	name := func(key, name string) {
		if name == "" || names[name] {
			errs = append(errs, in.file.Errorf(key, "missing or duplicate name %q", name))
		}
		names[name] = true
	}
	for i, c := range in.Causes {
		key := fmt.Sprintf("causes.%d", i)
		name(key+".name", c.Name)
		cause, ok := known(key+".alert", c.Alert)
		for j, s := range c.Explains {
			key := fmt.Sprintf("%s.explains.%d", key, j)
			symptom, found := known(key, s.Alert)
			if !ok || !found {
				continue
			}
			switch {
			case s.Alert == c.Alert:
				errs = append(errs, in.file.Errorf(key, "%s cannot inhibit itself", s.Alert))
			case !cause.Platform && symptom.Platform:
				errs = append(errs, in.file.Errorf(key, "%s is one client's alert, and cannot inhibit %s, which is the platform's", c.Alert, s.Alert))
			case cause.mildest() > symptom.worst() && cause.Platform:
				errs = append(errs, in.file.Errorf(key, "%s is %s, and cannot inhibit %s, which can be %s", c.Alert, cause.mildest(), s.Alert, symptom.worst()))
			case slices.Contains(symptom.Priorities, "none"), symptom.Category == "security":
				errs = append(errs, in.file.Errorf(key, "%s is never inhibited", s.Alert))
			}
			for _, p := range symptom.Priorities {
				if w := r.Wait(s.Alert, p); w > longestWait && w > time.Duration(r.Site.Policy.Priorities[p].GroupWait) {
					errs = append(errs, in.file.Errorf(key, "%s would need a group wait of %s for %s to fire first (at most %s): give its rule a longer `for`", s.Alert, w, c.Alert, longestWait))
				}
			}
		}
	}
	for i, l := range in.Ladders {
		key := fmt.Sprintf("ladders.%d", i)
		name(key+".name", l.Name)
		for j, a := range l.Alerts {
			known(fmt.Sprintf("%s.alerts.%d", key, j), a)
		}
	}
	for i, a := range in.Worse.Except {
		known(fmt.Sprintf("worse.except.%d", i), a)
	}
	return errors.Join(errs...)
}

// Wait is the group wait of an alert, after its `for`: that of its priority, and longer where one of its causes would otherwise
// have less than twice the time that it takes to fire.
func (r *Routing) Wait(alert, priority string) time.Duration {
	t := r.Site.Policy.Priorities[priority]
	if t == nil {
		return 0 // the heartbeat has none
	}
	wait := time.Duration(t.GroupWait)
	symptom, _ := r.alert(alert)
	for _, c := range r.Inhibition.Causes {
		cause, ok := r.alert(c.Alert)
		if ok && slices.ContainsFunc(c.Explains, func(s Symptom) bool { return s.Alert == alert }) {
			wait = max(wait, 2*cause.For-symptom.For)
		}
	}
	return wait
}

// inhibition is one relation between alerts that fire, as Alertmanager and PromQL both write it.
type inhibition struct {
	name    string
	source  []string // matchers
	target  []string // matchers, besides those on the name
	alerts  string   // regular expression of the target's name; empty: any
	except  string   // regular expression of names that are no target; empty: none
	equal   []string
	explain string // in words
	lasting bool   // for a while after the source has ended
}

// notClient keeps alerts for client admins from being inhibited by alerts for the staff.
const notClient = `team!="client_admin"`

// inhibitions are all relations, without their variants for escalations.
func (r *Routing) inhibitions() []inhibition {
	var all []inhibition
	for _, c := range r.Inhibition.Causes {
		cause, _ := r.alert(c.Alert)
		var subjects []string
		for _, s := range c.Explains {
			if !slices.Contains(subjects, s.Subject) {
				subjects = append(subjects, s.Subject)
			}
		}
		for _, subject := range subjects {
			one := inhibition{name: c.Name, source: []string{matcher("alertname", c.Alert)}, target: []string{notClient}, lasting: true}
			if cause.Platform {
				one.source = append(one.source, matcher("client", Platform))
			} else {
				one.source = append(one.source, fmt.Sprintf("client!=%q", Platform))
				one.equal = []string{"client"}
			}
			var names []string
			for _, s := range c.Explains {
				if s.Subject == subject {
					names = append(names, s.Alert)
				}
			}
			if subject != "" {
				one.name += "-" + subject
				one.target = append(one.target, matcher("subject", subject))
			}
			one.alerts = strings.Join(names, "|")
			one.explain = fmt.Sprintf("%s inhibits %s", c.Alert, strings.Join(names, ", "))
			if subject != "" {
				one.explain += " with subject " + subject
			}
			all = append(all, one)
		}
	}
	thing := []string{"client", "component", "subject"}
	for _, l := range r.Inhibition.Ladders {
		for i := range l.Alerts[:max(len(l.Alerts)-1, 0)] {
			all = append(all, inhibition{
				name: fmt.Sprintf("%s-%d", l.Name, i+1), source: []string{matcher("alertname", l.Alerts[i])},
				target: []string{notClient}, alerts: strings.Join(l.Alerts[i+1:], "|"), equal: thing,
				explain: fmt.Sprintf("%s inhibits %s", l.Alerts[i], strings.Join(l.Alerts[i+1:], ", ")),
			})
		}
	}
	for _, worse := range []struct{ over, under string }{{"critical", "warning|info"}, {"warning", "info"}} {
		all = append(all, inhibition{
			name: "severity-" + worse.over, source: []string{matcher("severity", worse.over), notClient},
			target: []string{fmt.Sprintf("severity=~%q", worse.under), notClient}, except: strings.Join(r.Inhibition.Worse.Except, "|"), equal: thing,
			explain: fmt.Sprintf("severity %s inhibits %s", worse.over, strings.ReplaceAll(worse.under, "|", " and ")),
		})
	}
	return all
}

func matcher(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }

// inhibitRule is one of Alertmanager's.
type inhibitRule struct {
	Name   string   `yaml:"name"`
	Source []string `yaml:"source_matchers"`
	Target []string `yaml:"target_matchers"`
	Equal  []string `yaml:"equal,flow"`
}

// inhibitRules are the relations for Alertmanager: each for alerts, and for the escalations of those alerts. No escalation is
// a source.
func (r *Routing) inhibitRules() []inhibitRule {
	var rules []inhibitRule
	for _, i := range r.inhibitions() {
		source := append(slices.Clone(i.source), `escalation=""`)
		alert := append(slices.Clone(i.target), `escalation=""`)
		escalated := append(slices.Clone(i.target), `escalation!=""`)
		if i.alerts != "" {
			alert = append([]string{fmt.Sprintf("alertname=~%q", i.alerts)}, alert...)
			escalated = append([]string{fmt.Sprintf("source_alertname=~%q", i.alerts)}, escalated...)
		}
		if i.except != "" {
			alert = append(alert, fmt.Sprintf("alertname!~%q", i.except))
			escalated = append(escalated, fmt.Sprintf("source_alertname!~%q", i.except))
		}
		rules = append(rules,
			inhibitRule{i.name, source, alert, i.equal},
			inhibitRule{i.name + "-escalated", source, escalated, i.equal})
		if i.lasting {
			after := append([]string{matcher("alertname", inhibitionSourceRecent), "source_" + i.source[0]}, i.source[1:]...)
			rules = append(rules,
				inhibitRule{i.name + "-after", after, alert, i.equal},
				inhibitRule{i.name + "-after-escalated", after, escalated, i.equal})
		}
	}
	return rules
}

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

// Inhibition is the content of alertmanager/inhibition.yml: which alerts inhibit which others, so that only the cause pages.
type Inhibition struct {
	Causes []Cause `yaml:"causes"`
	// Hold is for how long a cause still inhibits its symptoms after it has resolved: their expressions have range windows.
	Hold yamlfile.Duration `yaml:"aftermath"`
	// SeverityOrders are lists of alerts with the same identity labels, most severe first: the most severe firing alert inhibits the others.
	SeverityOrders []SeverityOrder `yaml:"ladders"`
	// SeverityInhibition excludes alerts that an alert of higher severity with the same client, component and subject does not inhibit.
	SeverityInhibition struct {
		Exclude []string `yaml:"except"`
	} `yaml:"worse"`

	file *yamlfile.File
}

// Cause is an alert that inhibits others.
type Cause struct {
	Name string `yaml:"name"` // of the inhibition rules, as in Alertmanager's metrics
	// Alert is the alertname of the source.
	Alert string `yaml:"alert"`
	// Inhibits are its symptoms, the targets: of any client if the cause is about the platform, otherwise of the same client.
	Inhibits []Symptom `yaml:"explains"`
}

// Symptom is an alert that a cause inhibits; with a subject: only alerts with that subject.
type Symptom struct {
	Alert   string `yaml:"alert"`
	Subject string `yaml:"subject"`
}

// UnmarshalYAML reads an alertname, or a mapping.
func (s *Symptom) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.Alert = n.Value
		return nil
	}
	type fields Symptom
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: a symptom is the name of an alert, or {alert: NAME, subject: VALUE}", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key := n.Content[i]; key.Value != "alert" && key.Value != "subject" {
			return fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
		}
	}
	return n.Decode((*fields)(s))
}

// SeverityOrder is a list of alerts, most severe first, which inhibit each other if client, component and subject are equal.
type SeverityOrder struct {
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

// inhibitionSourceRecent is the alert that fires while a cause fires, and for the hold after it. It is the source of inhibitions that outlast the cause,
// and notifies nobody.
const inhibitionSourceRecent = "InhibitionSourceRecent"

// checkInhibition checks the inhibitions against the alert rules.
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
	if a := time.Duration(in.Hold); a < time.Minute || a > 15*time.Minute {
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
		for j, s := range c.Inhibits {
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
			case cause.lowestPriority() > symptom.highestPriority() && cause.Platform:
				errs = append(errs, in.file.Errorf(key, "%s is %s, and cannot inhibit %s, which can be %s", c.Alert, cause.lowestPriority(), s.Alert, symptom.highestPriority()))
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
	for i, l := range in.SeverityOrders {
		key := fmt.Sprintf("ladders.%d", i)
		name(key+".name", l.Name)
		for j, a := range l.Alerts {
			known(fmt.Sprintf("%s.alerts.%d", key, j), a)
		}
	}
	for i, a := range in.SeverityInhibition.Exclude {
		known(fmt.Sprintf("worse.except.%d", i), a)
	}
	return errors.Join(errs...)
}

// Wait is the group wait of an alert: that of its priority, or longer if one of its causes would otherwise have less than twice its `for`
// to fire before the alert is notified.
func (r *Routing) Wait(alert, priority string) time.Duration {
	t := r.Site.Policy.Priorities[priority]
	if t == nil {
		return 0 // the heartbeat has none
	}
	wait := time.Duration(t.GroupWait)
	symptom, _ := r.alert(alert)
	for _, c := range r.Inhibition.Causes {
		cause, ok := r.alert(c.Alert)
		if ok && slices.ContainsFunc(c.Inhibits, func(s Symptom) bool { return s.Alert == alert }) {
			wait = max(wait, 2*cause.For-symptom.For)
		}
	}
	return wait
}

// inhibition is one inhibition rule, from which both Alertmanager's inhibit_rules and PromQL are generated.
type inhibition struct {
	name        string
	source      []string // matchers
	target      []string // matchers, without those of the alertname
	alerts      string   // regular expression of the target's alertname; empty: any
	exclude     string   // regular expression of alertnames that are no target; empty: none
	equal       []string
	description string // for people
	hold        bool   // also for the hold after the source has resolved
}

// notClient keeps alerts for client admins from being inhibited by alerts for the staff.
const notClient = `team!="client_admin"`

// inhibitions are all inhibition rules, without their variants for escalations.
func (r *Routing) inhibitions() []inhibition {
	var all []inhibition
	for _, c := range r.Inhibition.Causes {
		cause, _ := r.alert(c.Alert)
		var subjects []string
		for _, s := range c.Inhibits {
			if !slices.Contains(subjects, s.Subject) {
				subjects = append(subjects, s.Subject)
			}
		}
		for _, subject := range subjects {
			i := inhibition{name: c.Name, source: []string{matcher("alertname", c.Alert)}, target: []string{notClient}, hold: true}
			if cause.Platform {
				i.source = append(i.source, matcher("client", Platform))
			} else {
				i.source = append(i.source, fmt.Sprintf("client!=%q", Platform))
				i.equal = []string{"client"}
			}
			var names []string
			for _, s := range c.Inhibits {
				if s.Subject == subject {
					names = append(names, s.Alert)
				}
			}
			if subject != "" {
				i.name += "-" + subject
				i.target = append(i.target, matcher("subject", subject))
			}
			i.alerts = strings.Join(names, "|")
			i.description = fmt.Sprintf("%s inhibits %s", c.Alert, strings.Join(names, ", "))
			if subject != "" {
				i.description += " with subject " + subject
			}
			all = append(all, i)
		}
	}
	identity := []string{"client", "component", "subject"}
	for _, l := range r.Inhibition.SeverityOrders {
		for i := range l.Alerts[:max(len(l.Alerts)-1, 0)] {
			all = append(all, inhibition{
				name: fmt.Sprintf("%s-%d", l.Name, i+1), source: []string{matcher("alertname", l.Alerts[i])},
				target: []string{notClient}, alerts: strings.Join(l.Alerts[i+1:], "|"), equal: identity,
				description: fmt.Sprintf("%s inhibits %s", l.Alerts[i], strings.Join(l.Alerts[i+1:], ", ")),
			})
		}
	}
	for _, severity := range []struct{ higher, lower string }{{"critical", "warning|info"}, {"warning", "info"}} {
		all = append(all, inhibition{
			name: "severity-" + severity.higher, source: []string{matcher("severity", severity.higher), notClient},
			target: []string{fmt.Sprintf("severity=~%q", severity.lower), notClient}, exclude: strings.Join(r.Inhibition.SeverityInhibition.Exclude, "|"), equal: identity,
			description: fmt.Sprintf("severity %s inhibits %s", severity.higher, strings.ReplaceAll(severity.lower, "|", " and ")),
		})
	}
	return all
}

func matcher(name, value string) string { return fmt.Sprintf("%s=%q", name, value) }

// inhibitRule is an entry of Alertmanager's inhibit_rules.
type inhibitRule struct {
	Name   string   `yaml:"name"`
	Source []string `yaml:"source_matchers"`
	Target []string `yaml:"target_matchers"`
	Equal  []string `yaml:"equal,flow"`
}

// inhibitRules are the inhibition rules for Alertmanager: one for the alerts, and one for the escalations of these alerts. No escalation
// is a source.
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
		if i.exclude != "" {
			alert = append(alert, fmt.Sprintf("alertname!~%q", i.exclude))
			escalated = append(escalated, fmt.Sprintf("source_alertname!~%q", i.exclude))
		}
		rules = append(rules,
			inhibitRule{i.name, source, alert, i.equal},
			inhibitRule{i.name + "-escalated", source, escalated, i.equal})
		if i.hold {
			held := append([]string{matcher("alertname", inhibitionSourceRecent), "source_" + i.source[0]}, i.source[1:]...)
			rules = append(rules,
				inhibitRule{i.name + "-after", held, alert, i.equal},
				inhibitRule{i.name + "-after-escalated", held, escalated, i.equal})
		}
	}
	return rules
}

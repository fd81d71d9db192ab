package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Alert has those properties of an alert's rules that routing depends on.
type Alert struct {
	Name string
	// For is the shortest `for` of its rules.
	For time.Duration
	// Priorities and Teams are the values that the labels priority and team can have.
	Priorities, Teams []string
	// Category is the value of the label category.
	Category string
	// Platform says that the alert concerns the platform as a whole.
	Platform bool

	rules []*alertRule
}

// alertRule is one of the rules of an alert.
type alertRule struct {
	file       string
	line       int
	alert      string
	expr       string
	wait       time.Duration // its `for`
	priorities []string      // that it can have
	teams      []string      // the same
	category   string
	platform   bool
	causes     []string // what is broken while it fires: the values that its label cause can have
	dependsOn  []dependency
}

func (r *alertRule) errorf(format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s: "+format, append([]any{r.file, r.line, r.alert}, args...)...)
}

// highestPriority is the highest priority that the alert can have. P0 is the highest.
func (a Alert) highestPriority() string { return slices.Min(a.Priorities) }

// readAlerts reads the alert rules, except the file of escalation rules, which routing generates itself.
func readAlerts(root fs.FS) ([]Alert, error) {
	files, err := fs.Glob(root, alertFiles)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no rule file; run in the project's folder or set --root", alertFiles)
	}
	var alerts []Alert
	var errs []error
	for _, file := range files {
		if file == EscalationFile {
			continue
		}
		var doc struct {
			Groups []struct {
				Labels map[string]string `yaml:"labels"`
				Rules  []ruleText        `yaml:"rules"`
			} `yaml:"groups"`
		}
		text, err := fs.ReadFile(root, file)
		if err == nil {
			err = yaml.Unmarshal(text, &doc) // `consignwatch check` reads rule files strictly
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
			continue
		}
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				if r.Alert == "" {
					continue
				}
				labels := maps.Clone(g.Labels)
				if labels == nil {
					labels = map[string]string{}
				}
				maps.Copy(labels, r.Labels)
				rule, err := newRule(file, r, labels)
				alerts, errs = addRule(alerts, rule), append(errs, err)
			}
		}
	}
	return alerts, errors.Join(errs...)
}

// ruleText is what this package reads of a rule.
type ruleText struct {
	Alert  string            `yaml:"alert"`
	Expr   string            `yaml:"expr"`
	For    yamlfile.Duration `yaml:"for"`
	Labels map[string]string `yaml:"labels"`
	line   int
}

// UnmarshalYAML also keeps the line.
func (r *ruleText) UnmarshalYAML(n *yaml.Node) error {
	type fields ruleText
	r.line = n.Line
	return n.Decode((*fields)(r))
}

// newRule reads the labels of a rule. A priority that it does not set is a label of its series: P0 or P1, by whether the client's sale is live.
func newRule(file string, text ruleText, labels map[string]string) (*alertRule, error) {
	values := func(name string, otherwise ...string) []string {
		if v, ok := labels[name]; ok {
			return []string{v}
		}
		return otherwise
	}
	r := &alertRule{
		file: file, line: text.line, alert: text.Alert, expr: text.Expr, wait: time.Duration(text.For), category: labels["category"], platform: labels["client"] == Platform,
		priorities: values("priority", "P0", "P1"), teams: values("team", append(StaffTeams(), clientAdmin)...),
	}
	var errs []error
	causes, err := labelValues(labels["cause"])
	if err != nil {
		errs = append(errs, r.errorf("the label cause: %w", err))
	}
	for _, c := range causes {
		if c.name != "" {
			r.causes = append(r.causes, c.name)
		}
	}
	lists, err := labelValues(labels["depends_on"])
	if err != nil {
		errs = append(errs, r.errorf("the label depends_on: %w", err))
	}
	for _, list := range lists {
		for name := range strings.SplitSeq(list.name, ",") {
			d := dependency{name, list.ofLabel}
			if list.name != "" && !slices.Contains(r.dependsOn, d) {
				r.dependsOn = append(r.dependsOn, d)
			}
		}
	}
	return r, errors.Join(errs...)
}

// addRule adds an alert rule to its alert.
func addRule(alerts []Alert, r *alertRule) []Alert {
	i := slices.IndexFunc(alerts, func(a Alert) bool { return a.Name == r.alert })
	if i < 0 {
		i = len(alerts)
		alerts = append(alerts, Alert{Name: r.alert, For: r.wait, Category: r.category, Platform: true})
	}
	a := &alerts[i]
	a.rules = append(a.rules, r)
	a.For = min(a.For, r.wait)
	a.Platform = a.Platform && r.platform
	for to, more := range map[*[]string][]string{&a.Priorities: r.priorities, &a.Teams: r.teams} {
		*to = slices.Concat(*to, more)
		slices.Sort(*to)
		*to = slices.Compact(*to)
	}
	return alerts
}

// alert finds an alert by its name.
func (r *Routing) alert(name string) (Alert, bool) {
	i := slices.IndexFunc(r.Alerts, func(a Alert) bool { return a.Name == name })
	if i < 0 {
		return Alert{}, false
	}
	return r.Alerts[i], true
}

// checkChannels reports contacts that are notified of P0 alerts by email alone: email may be what is broken.
func (r *Routing) checkChannels() error {
	var errs []error
	seen := map[string]bool{}
	for _, team := range StaffTeams() {
		if !slices.ContainsFunc(r.Alerts, func(a Alert) bool { return a.highestPriority() == "P0" && slices.Contains(a.Teams, team) }) {
			continue
		}
		for _, role := range []string{"initial", "secondary", "management", "emergency"} {
			receiver, c := r.Site.contact(team, role)
			onlyMail := !slices.ContainsFunc(c.Channels, func(c Channel) bool { return c.Kind != "email" })
			if onlyMail && !seen[receiver] {
				key := "contacts." + role
				if r.Site.Teams[team].byRole(role) != nil {
					key = "teams." + team + "." + role
				}
				errs = append(errs, r.Site.file.Errorf(key+".channels", "is notified of P0 by email alone, which may be what is broken: add another channel"))
			}
			seen[receiver] = true
		}
	}
	return errors.Join(errs...)
}

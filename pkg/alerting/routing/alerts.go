package routing

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
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
}

// highestPriority is the highest priority that the alert can have. P0 is the highest.
func (a Alert) highestPriority() string { return slices.Min(a.Priorities) }

// lowestPriority is the lowest priority that the alert can have.
func (a Alert) lowestPriority() string { return slices.Max(a.Priorities) }

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
				Rules  []struct {
					Alert  string            `yaml:"alert"`
					For    yamlfile.Duration `yaml:"for"`
					Labels map[string]string `yaml:"labels"`
				} `yaml:"rules"`
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
				alerts = addRule(alerts, r.Alert, time.Duration(r.For), labels)
			}
		}
	}
	return alerts, errors.Join(errs...)
}

// addRule adds an alert rule. A priority that the rule does not set is a label of its series: P0 or P1, by whether the client's sale is live.
func addRule(alerts []Alert, name string, wait time.Duration, labels map[string]string) []Alert {
	i := slices.IndexFunc(alerts, func(a Alert) bool { return a.Name == name })
	if i < 0 {
		i = len(alerts)
		alerts = append(alerts, Alert{Name: name, For: wait, Category: labels["category"], Platform: true})
	}
	a := &alerts[i]
	a.For = min(a.For, wait)
	a.Platform = a.Platform && labels["client"] == Platform
	values := func(all []string, name string, otherwise ...string) []string {
		if v, ok := labels[name]; ok {
			otherwise = []string{v}
		}
		all = append(all, otherwise...)
		slices.Sort(all)
		return slices.Compact(all)
	}
	a.Priorities = values(a.Priorities, "priority", "P0", "P1")
	a.Teams = values(a.Teams, "team", append(StaffTeams(), clientAdmin)...)
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

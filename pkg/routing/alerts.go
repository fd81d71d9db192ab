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

// Alert is what routing knows of an alert's rules.
type Alert struct {
	Name string
	// For is how long the shortest of its rules waits.
	For time.Duration
	// Priorities and teams that it can have.
	Priorities, Teams []string
	// Category is the row of the list of priorities that the alert belongs to.
	Category string
	// Platform says that the alert concerns the platform as a whole.
	Platform bool
}

// worst is the highest priority that the alert can have: the lower the number, the worse.
func (a Alert) worst() string { return slices.Min(a.Priorities) }

// mildest is the lowest priority that the alert can have.
func (a Alert) mildest() string { return slices.Max(a.Priorities) }

// readAlerts reads the rule files, except those that routing makes itself.
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

// addRule adds a rule of an alert. A priority that the rule does not set comes with the series: that of a client's incident.
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

// checkChannels makes sure that email is not the only channel of whoever is notified of a P0: email may be what is broken.
func (r *Routing) checkChannels() error {
	var errs []error
	seen := map[string]bool{}
	for _, team := range StaffTeams() {
		if !slices.ContainsFunc(r.Alerts, func(a Alert) bool { return a.worst() == "P0" && slices.Contains(a.Teams, team) }) {
			continue
		}
		for _, role := range []string{"initial", "secondary", "management", "emergency"} {
			receiver, c := r.Site.contact(team, role)
			onlyMail := !slices.ContainsFunc(c.Channels, func(c Channel) bool { return c.Kind != "email" })
			if onlyMail && !seen[receiver] {
				key := "contacts." + role
				if r.Site.Teams[team].of(role) != nil {
					key = "teams." + team + "." + role
				}
				errs = append(errs, r.Site.file.Errorf(key+".channels", "is notified of P0 by email alone, which may be what is broken: add another channel"))
			}
			seen[receiver] = true
		}
	}
	return errors.Join(errs...)
}

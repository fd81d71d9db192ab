package alertmanager_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/common/model"
)

// inhibitionSourceRecent is the alert InhibitionSourceRecent of the cause of an alert.
func inhibitionSourceRecent(l model.LabelSet) model.LabelSet {
	return model.LabelSet{
		"alertname": "InhibitionSourceRecent", "client": l["client"], "component": "alerting", "subject": l["cause"], "cause": l["cause"],
		"team": "technical", "category": "routing", "priority": "none", "severity": "none",
	}
}

// escalated is the escalation of an alert to a level.
func escalated(l model.LabelSet, level string) model.LabelSet {
	e := l.Clone()
	e["source_alertname"], e["alertname"], e["escalation"] = l["alertname"], model.LabelValue("Escalation"+level), model.LabelValue(level)
	delete(e, "cause")
	return e
}

// allAlerts are all shipped alerts with their escalations and the InhibitionSourceRecent of their cause, for each client and priority that they can have.
func allAlerts(t testing.TB) []model.LabelSet {
	var s site
	decode(t, filepath.Join(root, "alertmanager/site.yml"), &s)
	all := rules(t)
	var alerts []model.LabelSet
	for _, r := range all {
		if r.labels["escalation"] != "" || r.name == "InhibitionSourceRecent" {
			continue // generated below from the others
		}
		for _, client := range s.clients() {
			if fixed := r.labels["client"]; fixed != "" && fixed != client {
				continue
			}
			for _, priority := range priorities() {
				if fixed := r.labels["priority"]; fixed != "" {
					priority = fixed
				}
				for _, series := range r.series() {
					given := map[string]string{"alertname": r.name, "client": client, "priority": priority}
					maps.Copy(given, series)
					l := alertLabels(all, given)
					alerts = append(alerts, l)
					if l["cause"] != "" {
						alerts = append(alerts, inhibitionSourceRecent(l))
					}
					for _, level := range levels()[1:] {
						alerts = append(alerts, escalated(l, level))
					}
				}
				if r.labels["priority"] != "" {
					break
				}
			}
		}
	}
	return alerts
}

// TestNoAlertReachesAnotherClient checks that a client's receiver only gets alerts of that client for its admins: no alert of another client, no alert
// for the staff, and no escalation.
func TestNoAlertReachesAnotherClient(t *testing.T) {
	r := shipped(t)
	alerts := allAlerts(t)
	reached := map[string]bool{}
	for _, l := range alerts {
		routes := r.route.Match(l)
		if len(routes) != 1 {
			t.Errorf("%s has %d routes, want 1", describe(l), len(routes))
		}
		for _, route := range routes {
			receiver := route.RouteOpts.Receiver
			slug, toClient := strings.CutPrefix(receiver, "client-")
			if !toClient {
				continue
			}
			reached[receiver] = true
			if string(l["client"]) != slug || l["team"] != "client_admin" || l["escalation"] != "" {
				t.Errorf("%s reaches %s", describe(l), receiver)
			}
		}
	}
	for _, c := range r.config.Receivers {
		if strings.HasPrefix(c.Name, "client-") && !reached[c.Name] {
			t.Errorf("nothing reaches %s: the test proves nothing about it", c.Name)
		}
	}
	t.Logf("%d alerts", len(alerts))
}

// TestANotificationToAClientHoldsOneClient checks that every route to a client's receiver groups by client, so that one notification has alerts of one
// client only, and has a matcher on client, so that no alert of another client matches.
func TestANotificationToAClientHoldsOneClient(t *testing.T) {
	r := shipped(t)
	seen := 0
	var walk func(route *dispatch.Route, clients []string)
	walk = func(route *dispatch.Route, clients []string) {
		clients = slices.Clone(clients)
		for _, m := range route.Matchers {
			if m.Name == "client" && m.Type.String() == "=" {
				clients = append(clients, m.Value)
			}
		}
		if slug, ok := strings.CutPrefix(route.RouteOpts.Receiver, "client-"); ok {
			seen++
			if _, grouped := route.RouteOpts.GroupBy["client"]; !grouped || route.RouteOpts.GroupByAll {
				t.Errorf("%s is not grouped by the client", route.ID())
			}
			if !slices.Contains(clients, slug) {
				t.Errorf("%s does not ask for the client", route.ID())
			}
		}
		for _, child := range route.Routes {
			walk(child, clients)
		}
	}
	walk(r.route, nil)
	if seen == 0 {
		t.Error("no route ends at a client")
	}
}

// TestInhibitionKeepsToItself checks every inhibition rule with every pair of alerts: no alert of a client is inhibited by one of another client, no alert
// for client admins is inhibited, no escalation inhibits, and no alert matches both sides of a rule (for which Alertmanager ignores other sources).
func TestInhibitionKeepsToItself(t *testing.T) {
	r := shipped(t)
	alerts := allAlerts(t)
	pairs := 0
	for _, c := range r.config.InhibitRules {
		rule := inhibit.NewInhibitRule(c)
		var sources, targets []model.LabelSet
		for _, l := range alerts {
			source, target := rule.SourceMatchers.Matches(l), rule.TargetMatchers.Matches(l)
			switch {
			case source && target:
				t.Errorf("%s: %s is on both sides", c.Name, describe(l))
			case source && (l["escalation"] != "" || l["team"] == "client_admin"):
				t.Errorf("%s: %s silences others", c.Name, describe(l))
			case target && l["team"] == "client_admin":
				t.Errorf("%s: %s is silenced, and client admins are not notified of it", c.Name, describe(l))
			case target && (l["category"] == "security" || l["alertname"] == "Watchdog"):
				if c.Name != "severity-critical" {
					t.Errorf("%s: %s is silenced", c.Name, describe(l))
				}
			}
			if source {
				sources = append(sources, l)
			}
			if target {
				targets = append(targets, l)
			}
		}
		if len(sources) == 0 {
			if !strings.Contains(c.Name, "severity-") {
				t.Errorf("%s: no alert is its source", c.Name)
			}
			continue
		}
		for name := range rule.Equal {
			for _, l := range append(slices.Clone(sources), targets...) {
				if l[name] == "" {
					t.Errorf("%s: %s lacks the label %s, which would be equal to any other that lacks it", c.Name, describe(l), name)
				}
			}
		}
		for _, s := range sources {
			for _, o := range targets {
				same := true
				for name := range rule.Equal {
					same = same && s[name] == o[name]
				}
				if !same {
					continue
				}
				pairs++
				if s["client"] != platform && s["client"] != o["client"] {
					t.Errorf("%s: %s silences %s", c.Name, describe(s), describe(o))
				}
			}
		}
	}
	if pairs < 1000 {
		t.Errorf("only %d pairs in which one silences the other", pairs)
	}
}

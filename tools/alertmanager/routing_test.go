// Package alertmanager_test holds the routing against the pinned Alertmanager's own packages: where each alert goes, when,
// with which others, and what keeps it from going. It is in that server's module so that its dependencies stay out of ours.
package alertmanager_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/timeinterval"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

const (
	root     = "../.."
	platform = "_platform"
)

// rig is the shipped configuration in Alertmanager's packages.
type rig struct {
	config *config.Config
	route  *dispatch.Route
	times  *timeinterval.Intervener
}

func load(t testing.TB, file string) *rig {
	t.Helper()
	c, err := config.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, i := range c.TimeIntervals {
		intervals[i.Name] = i.TimeIntervals
	}
	return &rig{config: c, route: dispatch.NewRoute(c.Route, nil), times: timeinterval.NewIntervener(intervals)}
}

func shipped(t testing.TB) *rig { return load(t, filepath.Join(root, "alertmanager/alertmanager.yml")) }

// active reports whether a route tells of anything at a time.
func (r *rig) active(t testing.TB, route *dispatch.Route, at time.Time) bool {
	t.Helper()
	muted, _, err := r.times.Mutes(route.RouteOpts.MuteTimeIntervals, at)
	if err != nil {
		t.Fatal(err)
	}
	if len(route.RouteOpts.ActiveTimeIntervals) == 0 {
		return !muted
	}
	active, _, err := r.times.Mutes(route.RouteOpts.ActiveTimeIntervals, at)
	if err != nil {
		t.Fatal(err)
	}
	return active && !muted
}

// receivers are whom an alert reaches at a time.
func (r *rig) receivers(t testing.TB, l model.LabelSet, at time.Time) []string {
	t.Helper()
	names := []string{}
	for _, route := range r.route.Match(l) {
		if r.active(t, route, at) {
			names = append(names, route.RouteOpts.Receiver)
		}
	}
	return names
}

// group are the labels that alerts in one notification share.
func group(route *dispatch.Route, l model.LabelSet) model.LabelSet {
	g := model.LabelSet{}
	for name := range route.RouteOpts.GroupBy {
		if v, ok := l[name]; ok {
			g[name] = v
		}
	}
	return g
}

// inhibited reports whether an alert is muted while others fire.
func (r *rig) inhibited(t testing.TB, l model.LabelSet, firing ...model.LabelSet) bool {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	marker := types.NewMarker(prometheus.NewRegistry())
	alerts, err := mem.NewAlerts(ctx, marker, time.Hour, 0, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), featurecontrol.NoopFlags{})
	if err != nil {
		t.Fatal(err)
	}
	defer alerts.Close()
	for _, f := range append(firing, l) {
		now := time.Now()
		if err := alerts.Put(ctx, &types.Alert{Alert: model.Alert{Labels: f, StartsAt: now.Add(-time.Minute), EndsAt: now.Add(time.Hour)}, UpdatedAt: now}); err != nil {
			t.Fatal(err)
		}
	}
	in := inhibit.NewInhibitor(alerts, r.config.InhibitRules, marker, slog.New(slog.DiscardHandler))
	go in.Run()
	defer in.Stop()
	in.WaitForLoading()
	return in.Mutes(ctx, l)
}

// rule is an alert rule as far as routing goes.
type rule struct {
	name                string
	labels, annotations map[string]string
}

// rules are all shipped alert rules.
func rules(t testing.TB) []rule {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "rules/alerts/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	var all []rule
	for _, file := range files {
		var doc struct {
			Groups []struct {
				Labels map[string]string
				Rules  []struct {
					Alert               string
					Labels, Annotations map[string]string
				}
			}
		}
		decode(t, file, &doc)
		for _, g := range doc.Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					labels := map[string]string{}
					maps.Copy(labels, g.Labels)
					maps.Copy(labels, r.Labels)
					all = append(all, rule{r.Alert, labels, r.Annotations})
				}
			}
		}
	}
	return all
}

func decode(t testing.TB, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// labelled completes the labels of an alert with those that its rule sets. A label that comes with the series stands for one
// of one client, P1, subject x.
func labelled(all []rule, given map[string]string) model.LabelSet {
	l := model.LabelSet{"client": platform, "component": "x", "subject": "x", "team": "technical", "priority": "P1", "category": "downtime"}
	if i := slices.IndexFunc(all, func(r rule) bool { return r.name == given["alertname"] }); i >= 0 {
		for name, value := range all[i].labels {
			if !strings.Contains(value, "{{") {
				l[model.LabelName(name)] = model.LabelValue(value)
			}
		}
	}
	for name, value := range given {
		l[model.LabelName(name)] = model.LabelValue(value)
	}
	l["severity"] = map[model.LabelValue]model.LabelValue{"P0": "critical", "P1": "critical", "P2": "warning", "P3": "info", "none": "none"}[l["priority"]]
	return l
}

// routingCase is one case of alertmanager/tests.
type routingCase struct {
	Name      string              `yaml:"name"`
	At        string              `yaml:"at"` // 2026-05-04 03:00 America/Chicago
	Labels    map[string]string   `yaml:"labels"`
	Firing    []map[string]string `yaml:"firing"`
	Receivers []string            `yaml:"receivers"`
	Group     map[string]string   `yaml:"group"`
	Wait      string              `yaml:"group_wait"`
	Interval  string              `yaml:"group_interval"`
	Repeat    string              `yaml:"repeat_interval"`
	Inhibited bool                `yaml:"inhibited"`
}

func cases(t testing.TB) map[string][]routingCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "alertmanager/tests/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	all := map[string][]routingCase{}
	for _, file := range files {
		text, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewDecoder(text)
		decoder.KnownFields(true)
		var list []routingCase
		if err := decoder.Decode(&list); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text.Close()
		all[filepath.Base(file)] = list
	}
	return all
}

func moment(t testing.TB, s string) time.Time {
	t.Helper()
	i := strings.LastIndex(s, " ")
	zone, err := time.LoadLocation(s[i+1:])
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.ParseInLocation("2006-01-02 15:04", s[:i], zone)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestCases runs alertmanager/tests.
func TestCases(t *testing.T) {
	r, all := shipped(t), rules(t)
	for file, list := range cases(t) {
		for _, c := range list {
			t.Run(file+"/"+c.Name, func(t *testing.T) {
				at := moment(t, "2026-05-04 10:00 America/Chicago")
				if c.At != "" {
					at = moment(t, c.At)
				}
				l := labelled(all, c.Labels)
				var firing []model.LabelSet
				for _, f := range c.Firing {
					firing = append(firing, labelled(all, f))
				}
				if got := r.inhibited(t, l, firing...); got != c.Inhibited {
					t.Errorf("inhibited: %v, want %v", got, c.Inhibited)
				}
				if got := r.receivers(t, l, at); !slices.Equal(got, c.Receivers) {
					t.Errorf("receivers %v, want %v", got, c.Receivers)
				}
				o := r.route.Match(l)[0].RouteOpts
				if c.Group != nil {
					got := map[string]string{}
					for name, value := range group(r.route.Match(l)[0], l) {
						got[string(name)] = string(value)
					}
					if !maps.Equal(got, c.Group) {
						t.Errorf("group %v, want %v", got, c.Group)
					}
				}
				for name, pair := range map[string][2]string{
					"group_wait":      {c.Wait, model.Duration(o.GroupWait).String()},
					"group_interval":  {c.Interval, model.Duration(o.GroupInterval).String()},
					"repeat_interval": {c.Repeat, model.Duration(o.RepeatInterval).String()},
				} {
					if pair[0] != "" && pair[0] != pair[1] {
						t.Errorf("%s %s, want %s", name, pair[1], pair[0])
					}
				}
			})
		}
	}
}

// describe is an alert in a message of a test.
func describe(l model.LabelSet) string {
	return fmt.Sprintf("%s{priority=%s team=%s client=%s source=%s}", l["alertname"], l["priority"], l["team"], l["client"], l["source_alertname"])
}

// Package alertmanager_test tests the shipped configuration with the packages of the pinned Alertmanager: the receivers of each alert, the times,
// the grouping and the inhibition. It is in a module of its own, so that Alertmanager's dependencies stay out of the main module.
package alertmanager_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
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

// configuration is an Alertmanager configuration, loaded with Alertmanager's packages.
type configuration struct {
	config *config.Config
	route  *dispatch.Route
	times  *timeinterval.Intervener
}

func load(t testing.TB, file string) *configuration {
	t.Helper()
	c, err := config.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, i := range c.TimeIntervals {
		intervals[i.Name] = i.TimeIntervals
	}
	return &configuration{config: c, route: dispatch.NewRoute(c.Route, nil), times: timeinterval.NewIntervener(intervals)}
}

func shipped(t testing.TB) *configuration {
	return load(t, filepath.Join(root, "alertmanager/alertmanager.yml"))
}

// active reports whether a route notifies at a time.
func (c *configuration) active(t testing.TB, route *dispatch.Route, at time.Time) bool {
	t.Helper()
	muted, _, err := c.times.Mutes(route.RouteOpts.MuteTimeIntervals, at)
	if err != nil {
		t.Fatal(err)
	}
	if len(route.RouteOpts.ActiveTimeIntervals) == 0 {
		return !muted
	}
	active, _, err := c.times.Mutes(route.RouteOpts.ActiveTimeIntervals, at)
	if err != nil {
		t.Fatal(err)
	}
	return active && !muted
}

// receivers are the receivers that are notified of an alert at a time.
func (c *configuration) receivers(t testing.TB, l model.LabelSet, at time.Time) []string {
	t.Helper()
	names := []string{}
	for _, route := range c.route.Match(l) {
		if c.active(t, route, at) {
			names = append(names, route.RouteOpts.Receiver)
		}
	}
	return names
}

// group are the group labels of an alert on a route.
func group(route *dispatch.Route, l model.LabelSet) model.LabelSet {
	g := model.LabelSet{}
	for name := range route.RouteOpts.GroupBy {
		if v, ok := l[name]; ok {
			g[name] = v
		}
	}
	return g
}

// inhibited reports whether an alert is inhibited while others fire.
func (c *configuration) inhibited(t testing.TB, l model.LabelSet, firing ...model.LabelSet) bool {
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
	in := inhibit.NewInhibitor(alerts, c.config.InhibitRules, marker, slog.New(slog.DiscardHandler))
	go in.Run()
	defer in.Stop()
	in.WaitForLoading()
	return in.Mutes(ctx, l)
}

// rule is an alert rule with its labels and annotations.
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

// alertLabels adds the labels that the rule of an alert sets. Labels that come from series get defaults: the platform, P1, component and subject x.
func alertLabels(all []rule, given map[string]string) model.LabelSet {
	l := model.LabelSet{"client": platform, "component": "x", "subject": "x", "team": "technical", "priority": "P1", "category": "downtime"}
	set := func(alertname string, names ...string) {
		i := slices.IndexFunc(all, func(r rule) bool { return r.name == alertname })
		if i < 0 {
			return
		}
		for name, value := range all[i].labels {
			if len(names) > 0 && !slices.Contains(names, name) {
				continue
			}
			if value = expand(value, given); value != "" {
				l[model.LabelName(name)] = model.LabelValue(value)
			}
		}
	}
	// An escalation has this label of its source.
	if source := given["source_alertname"]; source != "" {
		set(source, "depends_on")
	}
	set(given["alertname"])
	for name, value := range given {
		l[model.LabelName(name)] = model.LabelValue(value)
	}
	l["severity"] = map[model.LabelValue]model.LabelValue{"P0": "critical", "P1": "critical", "P2": "warning", "P3": "info", "none": "none"}[l["priority"]]
	return l
}

// expand writes a label of a rule for labels of the series, as Prometheus does.
func expand(text string, labels map[string]string) string {
	var b strings.Builder
	if err := template.Must(template.New("label").Option("missingkey=zero").Parse("{{$labels := .}}"+text)).Execute(&b, labels); err != nil {
		panic(err)
	}
	return b.String()
}

// readLabel matches a label of the series that the label of a rule depends on.
var readLabel = regexp.MustCompile(`\$labels\.([a-z_]+)(?: "([^"]+)")?`)

// series are the labels of series for which the labels of a rule differ.
func (r rule) series() []map[string]string {
	all := []map[string]string{{}}
	known := map[string][]string{
		"service": {"shopify", "clerk", "mandrill", "storage"}, "provider": {"shopify", "clerk", "mandrill"},
		"job": {"system-exporter", "integration-exporter", "business-exporter", "event-exporter"},
	}
	for _, label := range []string{"cause", "depends_on"} {
		for _, m := range readLabel.FindAllStringSubmatch(r.labels[label], -1) {
			values := known[m[1]]
			if len(values) == 0 {
				values = []string{m[2]}
			}
			for _, v := range values {
				if one := map[string]string{m[1]: v, "subject": v}; !slices.ContainsFunc(all, func(o map[string]string) bool { return maps.Equal(o, one) }) {
					all = append(all, one)
				}
			}
		}
	}
	if len(all) > 1 {
		return all[1:]
	}
	return all
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

func parseTime(t testing.TB, s string) time.Time {
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

// TestRoutingCases runs alertmanager/tests.
func TestRoutingCases(t *testing.T) {
	r, all := shipped(t), rules(t)
	for file, list := range cases(t) {
		for _, c := range list {
			t.Run(file+"/"+c.Name, func(t *testing.T) {
				at := parseTime(t, "2026-05-04 10:00 America/Chicago")
				if c.At != "" {
					at = parseTime(t, c.At)
				}
				l := alertLabels(all, c.Labels)
				var firing []model.LabelSet
				for _, f := range c.Firing {
					firing = append(firing, alertLabels(all, f))
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

// describe formats an alert for an error message.
func describe(l model.LabelSet) string {
	return fmt.Sprintf("%s{priority=%s team=%s client=%s source=%s}", l["alertname"], l["priority"], l["team"], l["client"], l["source_alertname"])
}

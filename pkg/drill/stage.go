package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/amapi"
	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/pkg/pages"
)

// Stage is a running demo, as a drill sees it.
type Stage struct {
	Policy  *Policy
	Clients []string

	state      demo.State
	prometheus prometheusv1.API
	client     *amapi.Client
	there      shared[[]amapi.Alert]
	states     shared[[]alertState]
	groups     groups
	queries    map[string]string // expressions of the rules, by alert
}

// What keeps a group in Alertmanager after the end of its alert: for so long Prometheus says once a minute that the alert has resolved
// (resolvedRetention), which makes the group again when it was gone. The group loses the alert at its next interval, and goes at the next cleaning.
const (
	retention = 15 * time.Minute
	cleaning  = 30 * time.Second
)

// askTimeout bounds one question.
const askTimeout = 10 * time.Second

// Open connects to the demo of a state file; policy makes what it is measured against.
func Open(ctx context.Context, file string, policy func(state demo.State, clients []string) (*Policy, error)) (*Stage, error) {
	state, err := demo.ReadState(file)
	if err != nil {
		return nil, fmt.Errorf("is a demo running with --state-file %s? %w", file, err)
	}
	s := &Stage{state: state}
	at := map[string]string{}
	for _, name := range []string{"platform-sim", "prometheus", "alertmanager"} {
		part, ok := state.Part(name)
		if !ok {
			return nil, fmt.Errorf("%s: the demo has no %s", file, name)
		}
		at[name] = part.URL
	}
	client, err := api.NewClient(api.Config{Address: at["prometheus"]})
	if err != nil {
		return nil, err
	}
	s.prometheus = prometheusv1.NewAPI(client)
	if s.client, err = amapi.New(at["alertmanager"], http.DefaultClient); err != nil {
		return nil, err
	}
	var platform struct{ Clients []string }
	if err := s.control(ctx, http.MethodGet, "/state", &platform); err != nil {
		return nil, err
	}
	s.Clients = platform.Clients
	if s.queries, err = s.expressions(ctx); err != nil {
		return nil, err
	}
	s.Policy, err = policy(state, s.Clients)
	return s, err
}

// control asks the platform.
func (s *Stage) control(ctx context.Context, method, path string, answer any) error {
	part, _ := s.state.Part("platform-sim")
	ctx, cancel := context.WithTimeout(ctx, 3*askTimeout) // some faults are off only when a server answers again
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, part.URL+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("platform-sim: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return fmt.Errorf("platform-sim: %s: %w", path, err)
	case response.StatusCode/100 != 2:
		return fmt.Errorf("platform-sim: %s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(text)))
	case answer == nil:
		return nil
	}
	return json.Unmarshal(text, answer)
}

// turn switches a fault on or off. Switching it off is tried until the platform has done it.
func (s *Stage) turn(ctx context.Context, f *Fault, how string) error {
	path := "/faults/" + url.PathEscape(f.Name) + "/" + how
	if f.Client != All {
		path += "?client=" + url.QueryEscape(f.ClientOf(s.Clients))
	}
	return s.control(ctx, http.MethodPost, path, nil)
}

// expressions are those of the rules that run.
func (s *Stage) expressions(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	rules, err := s.prometheus.Rules(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for its rules: %w", err)
	}
	queries := map[string]string{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if alert, ok := r.(prometheusv1.AlertingRule); ok {
				if before := queries[alert.Name]; before != "" {
					alert.Query = "(" + before + ") or (" + alert.Query + ")"
				}
				queries[alert.Name] = alert.Query
			}
		}
	}
	return queries, nil
}

// alertState is an alert in Prometheus.
type alertState struct {
	name   string // "alertname client subject"
	labels map[string]string
	firing bool
	active time.Time
}

// alerts are those that are pending or firing.
func (s *Stage) alerts(ctx context.Context) ([]alertState, error) {
	return s.states.get(func() ([]alertState, error) { return s.askForAlerts(ctx) })
}

func (s *Stage) askForAlerts(ctx context.Context) ([]alertState, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	result, err := s.prometheus.Alerts(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus for its alerts: %w", err)
	}
	var states []alertState
	for _, a := range result.Alerts {
		labels := map[string]string{}
		for name, value := range a.Labels {
			labels[string(name)] = string(value)
		}
		states = append(states, alertState{fullName(labels), labels, a.State == prometheusv1.AlertStateFiring, a.ActiveAt})
	}
	return states, nil
}

// fullName is the alert as the table of faults writes it.
func fullName(labels map[string]string) string {
	return strings.TrimSpace(labels["alertname"] + " " + labels["client"] + " " + labels["subject"])
}

// seen reports whether the expression of an alert has a result now, before any rule is evaluated.
func (s *Stage) seen(ctx context.Context, alert string) bool {
	query := s.queries[alert]
	if query == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	value, _, _, err := s.prometheus.Query(ctx, query, time.Time{})
	vector, ok := value.(model.Vector)
	return err == nil && ok && len(vector) > 0
}

// pagesSince reads the pages file from a place, and returns where to go on.
func (s *Stage) pagesSince(from int64) ([]pages.Page, int64, error) {
	file, err := os.Open(s.state.PagesFile)
	if err != nil {
		return nil, from, fmt.Errorf("pages file: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return nil, from, fmt.Errorf("pages file: %w", err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, from, fmt.Errorf("pages file: %w", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // whole lines only
	var all []pages.Page
	for line := range bytes.Lines(text) {
		var p pages.Page
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, from, fmt.Errorf("pages file: %w", err)
		}
		all = append(all, p)
	}
	return all, from + int64(len(text)), nil
}

// endOfPages is where the pages of a drill that begins now will be.
func (s *Stage) endOfPages() (int64, error) {
	info, err := os.Stat(s.state.PagesFile)
	if err != nil {
		return 0, fmt.Errorf("pages file: %w", err)
	}
	return info.Size(), nil
}

// joined reports whether the alert of a page may have come into a group that was there already.
func (s *Stage) joined(a pages.Alert) bool {
	return s.groups.joined(a.Labels, a.StartsAt, retention+s.Policy.interval(a.Labels["priority"])+cleaning)
}

// Synthetic is a drill with alerts that are made up, on this stage.
func (s *Stage) Synthetic(awaiting, patience time.Duration) *Synthetic {
	return &Synthetic{Client: s.client, Stage: s, Policy: s.Policy, Awaiting: awaiting, Patience: patience}
}

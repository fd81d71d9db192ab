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

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

// Environment is a running demo: its platform, its Prometheus, its Alertmanager, and its file of notifications.
type Environment struct {
	Policy  *Policy
	Clients []string

	state              statefile.State
	prometheus         prometheusv1.API
	client             *amclient.Client
	alertmanagerAlerts cached[[]amclient.Alert]
	prometheusAlerts   cached[[]alertState]
	groups             groupHistory
	queries            map[string]string // expressions of the rules, by alert
}

// How long a group stays in Alertmanager after its alert has resolved: Prometheus sends the resolved alert once a minute for its resolvedRetention,
// which creates the group again if it was deleted. After that the group drops the alert at its next group_interval, and the next cleanup deletes the group.
const (
	resolvedRetention = 15 * time.Minute
	cleanupInterval   = 30 * time.Second
)

// requestTimeout is the timeout of one request.
const requestTimeout = 10 * time.Second

// Open connects to the demo of a state file; policy returns the deadlines for it.
func Open(ctx context.Context, file string, policy func(state statefile.State, clients []string) (*Policy, error)) (*Environment, error) {
	state, err := statefile.Read(file)
	if err != nil {
		return nil, fmt.Errorf("is a demo running with --state-file %s? %w", file, err)
	}
	e := &Environment{state: state}
	urls := map[string]string{}
	for _, name := range []string{"platform-sim", "prometheus", "alertmanager"} {
		part, ok := state.Part(name)
		if !ok {
			return nil, fmt.Errorf("%s: the demo has no %s", file, name)
		}
		urls[name] = part.URL
	}
	client, err := api.NewClient(api.Config{Address: urls["prometheus"]})
	if err != nil {
		return nil, err
	}
	e.prometheus = prometheusv1.NewAPI(client)
	if e.client, err = amclient.New(urls["alertmanager"], http.DefaultClient); err != nil {
		return nil, err
	}
	var platform struct{ Clients []string }
	if err := e.control(ctx, http.MethodGet, "/state", &platform); err != nil {
		return nil, err
	}
	e.Clients = platform.Clients
	if e.queries, err = e.expressions(ctx); err != nil {
		return nil, err
	}
	e.Policy, err = policy(state, e.Clients)
	return e, err
}

// control sends a request to the control interface of the platform.
func (e *Environment) control(ctx context.Context, method, path string, result any) error {
	part, _ := e.state.Part("platform-sim")
	ctx, cancel := context.WithTimeout(ctx, 3*requestTimeout) // some faults are off only when a server answers again
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
	case result == nil:
		return nil
	}
	return json.Unmarshal(text, result)
}

// switchFault switches a fault on or off.
func (e *Environment) switchFault(ctx context.Context, f *Fault, state string) error {
	path := "/faults/" + url.PathEscape(f.Name) + "/" + state
	if f.Client != AllClients {
		path += "?client=" + url.QueryEscape(f.ClientOf(e.Clients))
	}
	return e.control(ctx, http.MethodPost, path, nil)
}

// expressions are the expressions of the alert rules that Prometheus has loaded, by alertname.
func (e *Environment) expressions(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	rules, err := e.prometheus.Rules(ctx, nil)
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

// alertState is an alert of Prometheus.
type alertState struct {
	name   string // "alertname client subject"
	labels map[string]string
	firing bool
	active time.Time
}

// alertsInPrometheus lists the pending and firing alerts, from the cache if possible.
func (e *Environment) alertsInPrometheus(ctx context.Context) ([]alertState, error) {
	return e.prometheusAlerts.get(func() ([]alertState, error) { return e.fetchAlerts(ctx) })
}

func (e *Environment) fetchAlerts(ctx context.Context) ([]alertState, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	result, err := e.prometheus.Alerts(ctx)
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

// fullName is the alert in the notation of the table of faults.
func fullName(labels map[string]string) string {
	return strings.TrimSpace(labels["alertname"] + " " + labels["client"] + " " + labels["subject"])
}

// hasResult reports whether the expression of an alert has a result now.
func (e *Environment) hasResult(ctx context.Context, alert string) bool {
	query := e.queries[alert]
	if query == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	value, _, _, err := e.prometheus.Query(ctx, query, time.Time{})
	vector, ok := value.(model.Vector)
	return err == nil && ok && len(vector) > 0
}

// notificationsSince reads the notifications file from an offset, and returns the offset of the next read.
func (e *Environment) notificationsSince(offset int64) ([]webhookreceiver.Notification, int64, error) {
	file, err := os.Open(e.state.NotificationsFile)
	if err != nil {
		return nil, offset, fmt.Errorf("notifications file: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, offset, fmt.Errorf("notifications file: %w", err)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, offset, fmt.Errorf("notifications file: %w", err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1] // whole lines only
	var all []webhookreceiver.Notification
	for line := range bytes.Lines(text) {
		var n webhookreceiver.Notification
		if err := json.Unmarshal(line, &n); err != nil {
			return nil, offset, fmt.Errorf("notifications file: %w", err)
		}
		all = append(all, n)
	}
	return all, offset + int64(len(text)), nil
}

// notificationsEnd is the present size of the notifications file: the offset of the notifications of a drill that begins now.
func (e *Environment) notificationsEnd() (int64, error) {
	info, err := os.Stat(e.state.NotificationsFile)
	if err != nil {
		return 0, fmt.Errorf("notifications file: %w", err)
	}
	return info.Size(), nil
}

// joined reports whether an alert of a notification may have joined an existing group.
func (e *Environment) joined(a webhookreceiver.Alert) bool {
	return e.groups.joined(a.Labels, a.StartsAt, resolvedRetention+e.Policy.groupInterval(a.Labels["priority"])+cleanupInterval)
}

// Synthetic returns a drill with synthetic alerts in this environment.
func (e *Environment) Synthetic(ackTimeout, patience time.Duration) *Synthetic {
	return &Synthetic{Client: e.client, Environment: e, Policy: e.Policy, AckTimeout: ackTimeout, Patience: patience}
}

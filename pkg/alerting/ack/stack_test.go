package ack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/ack"
	"github.com/consignwatch/consignwatch/pkg/alerting/ack/daemon"
	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// stack is a real Alertmanager with a sender of alerts that behaves as Prometheus does, and a webhook receiver.
type stack struct {
	t       *testing.T
	process *servers.Process
	client  *amclient.Client

	mu            sync.Mutex
	firing        map[string]amclient.PostableAlert // by name and client
	resolved      map[string]amclient.PostableAlert // sent for as long as the firing ones, as by Prometheus
	notifications []webhookreceiver.Notification
	paused        bool // send no alerts
}

const (
	resend        = 200 * time.Millisecond
	alertLifetime = 5 * time.Second // of an alert that is not sent again
)

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{t: t, firing: map[string]amclient.PostableAlert{}, resolved: map[string]amclient.PostableAlert{}}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var notification webhookreceiver.Notification
		if err := json.NewDecoder(r.Body).Decode(&notification); err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notifications = append(s.notifications, notification)
	}))
	t.Cleanup(receiver.Close)
	folder := t.TempDir()
	config := filepath.Join(folder, "alertmanager.yml")
	text := fmt.Sprintf(`
route: {receiver: page, group_by: ["..."], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h, routes: [{receiver: nobody, matchers: [alertname="Watchdog"]}]}
receivers: [{name: nobody}, {name: page, webhook_configs: [{url: "%s", send_resolved: true}]}]
`, receiver.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.process, err = servers.StartAlertmanager(t.Context(), folder, servers.AlertmanagerConfig{ConfigFile: config}); err != nil {
		t.Fatal(err)
	}
	if s.client, err = amclient.New(s.process.URL(), http.DefaultClient); err != nil {
		t.Fatal(err)
	}
	s.fire("Watchdog", "_platform", map[string]string{"priority": "none"})
	ctx, cancel := context.WithCancel(context.Background())
	var sender sync.WaitGroup
	sender.Go(func() { s.send(ctx) })
	t.Cleanup(func() {
		cancel()
		sender.Wait()
		if err := s.process.Kill(); err != nil {
			t.Error(err)
		}
	})
	s.await("the heartbeat", func() bool { return len(s.alerts()) > 0 })
	return s
}

// send posts the alerts again and again, as Prometheus does.
func (s *stack) send(ctx context.Context) {
	for ctx.Err() == nil {
		s.post(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(resend):
		}
	}
}

// post ignores errors: while Alertmanager is down, the next post tries again.
func (s *stack) post(ctx context.Context) {
	s.mu.Lock()
	var all []amclient.PostableAlert
	if !s.paused {
		for _, a := range s.firing {
			a.EndsAt = time.Now().Add(alertLifetime)
			all = append(all, a)
		}
		all = slices.AppendSeq(all, maps.Values(s.resolved))
	}
	s.mu.Unlock()
	if len(all) > 0 {
		_ = s.client.PostAlerts(ctx, all...)
	}
}

func (s *stack) fire(name, client string, more map[string]string) {
	labels := map[string]string{"alertname": name, "client": client, "component": "checkout", "subject": "card/visa", "priority": "P0", "severity": "critical", "team": "technical"}
	maps.Copy(labels, more)
	s.mu.Lock()
	delete(s.resolved, name+" "+client)
	s.firing[name+" "+client] = amclient.PostableAlert{Labels: labels, StartsAt: time.Now()}
	s.mu.Unlock()
	s.post(s.t.Context())
}

// escalate fires the escalation of an alert, as the escalation rules do.
func (s *stack) escalate(name, client, level string) {
	s.fire("Escalation"+level, client, map[string]string{"source_alertname": name, "escalation": level})
}

// resolve resolves an alert.
func (s *stack) resolve(name, client string) {
	s.mu.Lock()
	a := s.firing[name+" "+client]
	a.EndsAt = time.Now()
	delete(s.firing, name+" "+client)
	s.resolved[name+" "+client] = a
	s.mu.Unlock()
	s.post(s.t.Context())
}

func (s *stack) setPaused(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
}

func (s *stack) alerts() []amclient.Alert {
	s.t.Helper()
	alerts, err := s.client.Alerts(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return alerts
}

// suppressed reports, by name and client, whether the state of an alert in Alertmanager is suppressed.
func (s *stack) suppressed() map[string]bool {
	s.t.Helper()
	suppressed := map[string]bool{}
	for _, a := range s.alerts() {
		suppressed[a.Labels["alertname"]+" "+a.Labels["client"]] = a.Status.State == "suppressed"
	}
	return suppressed
}

// notificationsAbout counts the notifications with a status that contain an alert.
func (s *stack) notificationsAbout(status, name, client string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.notifications {
		for _, a := range p.Alerts {
			if p.Status == status && a.Labels["alertname"] == name && a.Labels["client"] == client {
				n++
			}
		}
	}
	return n
}

// activeSilences lists the active silences.
func (s *stack) activeSilences() []amclient.Silence {
	s.t.Helper()
	all, err := s.client.Silences(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var active []amclient.Silence
	for _, silence := range all {
		if silence.Active() {
			active = append(active, silence)
		}
	}
	return active
}

func (s *stack) await(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within a minute; silences %+v", what, s.activeSilences())
		}
	}
}

// acknowledger acknowledges alerts as ann.
func (s *stack) acknowledger() *ack.Acknowledger {
	return &ack.Acknowledger{Client: s.client, Author: "ann", Comment: "on it", Length: ack.DefaultLength}
}

func (s *stack) acknowledge(matchers ...string) amclient.Silence {
	s.t.Helper()
	results, err := s.acknowledger().Acknowledge(s.t.Context(), selection(s.t, matchers...))
	if err != nil || len(results) != 1 {
		s.t.Fatalf("%v: %v", results, err)
	}
	return results[0].Silence
}

func selection(t *testing.T, matchers ...string) ack.Selection {
	t.Helper()
	selector, err := ack.ParseMatchers(matchers...)
	if err != nil {
		t.Fatal(err)
	}
	return ack.Selection{Selector: selector}
}

// daemonConfig is a configuration with an interval of one second. The heartbeat becomes too old before an alert that is not sent again resolves.
func daemonConfig(url string) string {
	return "alertmanager: {url: '" + url + "'}\npolicy_file: " + testPolicy() + "\ninterval: 1s\ntimeout: 1s\nrenew_for: 6s\nsettle: 0s\nheartbeat: {alertname: Watchdog, max_age: 3s}\n"
}

// testPolicy is the path of a policy with times in seconds.
func testPolicy() string {
	path, err := filepath.Abs("testdata/policy.yml")
	if err != nil {
		panic(err)
	}
	return path
}

func (s *stack) daemon(change ...string) *exportertest.Running {
	s.t.Helper()
	return exportertest.Start(s.t, daemon.App(), strings.NewReplacer(change...).Replace(daemonConfig(s.process.URL())))
}

// acknowledgedValue is the value of consign_alert_acknowledged for an alert: 1, 0, or -1 when there is no sample.
func acknowledgedValue(series map[string]float64, name, client string) float64 {
	return acknowledgedAs(series, name, client, "P0")
}

func acknowledgedAs(series map[string]float64, name, client, priority string) float64 {
	v, ok := series[fmt.Sprintf("consign_alert_acknowledged{alertname=%q,client=%q,component=\"checkout\",priority=%q,subject=\"card/visa\"}", name, client, priority)]
	if !ok {
		return -1
	}
	return v
}

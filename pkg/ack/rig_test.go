package ack

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

	"github.com/consignwatch/consignwatch/pkg/amapi"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/pages"
	"github.com/consignwatch/consignwatch/pkg/servers"
)

// station is a real Alertmanager, somebody who sends alerts to it as Prometheus does, and whoever is paged.
type station struct {
	t       *testing.T
	process *servers.Process
	client  *amapi.Client

	mu       sync.Mutex
	firing   map[string]amapi.PostableAlert // by name and client
	resolved map[string]amapi.PostableAlert // sent for as long as the firing ones, as by Prometheus
	pages    []pages.Page
	mute     bool // nothing is sent
}

const (
	resend = 200 * time.Millisecond
	lasts  = 5 * time.Second // of an alert that is not sent again
)

func newStation(t *testing.T) *station {
	t.Helper()
	s := &station{t: t, firing: map[string]amapi.PostableAlert{}, resolved: map[string]amapi.PostableAlert{}}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var page pages.Page
		if err := json.NewDecoder(r.Body).Decode(&page); err != nil {
			t.Error(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pages = append(s.pages, page)
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
	if s.client, err = amapi.New(s.process.URL(), http.DefaultClient); err != nil {
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

// send tells what fires, again and again.
func (s *station) send(ctx context.Context) {
	for ctx.Err() == nil {
		s.post(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(resend):
		}
	}
}

// post does not mind an Alertmanager that is down: it tries again.
func (s *station) post(ctx context.Context) {
	s.mu.Lock()
	var all []amapi.PostableAlert
	if !s.mute {
		for _, a := range s.firing {
			a.EndsAt = time.Now().Add(lasts)
			all = append(all, a)
		}
		all = slices.AppendSeq(all, maps.Values(s.resolved))
	}
	s.mu.Unlock()
	if len(all) > 0 {
		_ = s.client.PostAlerts(ctx, all...)
	}
}

func (s *station) fire(name, client string, more map[string]string) {
	labels := map[string]string{"alertname": name, "client": client, "component": "checkout", "subject": "card/visa", "priority": "P0", "severity": "critical", "team": "technical"}
	maps.Copy(labels, more)
	s.mu.Lock()
	delete(s.resolved, name+" "+client)
	s.firing[name+" "+client] = amapi.PostableAlert{Labels: labels, StartsAt: time.Now()}
	s.mu.Unlock()
	s.post(s.t.Context())
}

// escalate fires what the rules of escalation make of an alert.
func (s *station) escalate(name, client, level string) {
	s.fire("Escalation"+level, client, map[string]string{"source_alertname": name, "escalation": level})
}

// resolve ends an alert.
func (s *station) resolve(name, client string) {
	s.mu.Lock()
	a := s.firing[name+" "+client]
	a.EndsAt = time.Now()
	delete(s.firing, name+" "+client)
	s.resolved[name+" "+client] = a
	s.mu.Unlock()
	s.post(s.t.Context())
}

func (s *station) setMute(mute bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = mute
}

func (s *station) alerts() []amapi.Alert {
	s.t.Helper()
	alerts, err := s.client.Alerts(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return alerts
}

// suppressed says by name and client whether Alertmanager keeps an alert from paging.
func (s *station) suppressed() map[string]bool {
	s.t.Helper()
	of := map[string]bool{}
	for _, a := range s.alerts() {
		of[a.Labels["alertname"]+" "+a.Labels["client"]] = a.Status.State == "suppressed"
	}
	return of
}

// paged counts the pages for an alert with a status.
func (s *station) paged(status, name, client string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.pages {
		for _, a := range p.Alerts {
			if p.Status == status && a.Labels["alertname"] == name && a.Labels["client"] == client {
				n++
			}
		}
	}
	return n
}

// active lists the silences in force.
func (s *station) active() []amapi.Silence {
	s.t.Helper()
	all, err := s.client.Silences(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var active []amapi.Silence
	for _, silence := range all {
		if silence.Active() {
			active = append(active, silence)
		}
	}
	return active
}

func (s *station) await(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within a minute; silences %+v", what, s.active())
		}
	}
}

// desk is where Ann takes alerts.
func (s *station) desk() *Desk {
	return &Desk{Client: s.client, Author: "ann", Comment: "on it", Length: DefaultLength}
}

func (s *station) take(matchers ...string) amapi.Silence {
	s.t.Helper()
	outcomes, err := s.desk().Take(s.t.Context(), selection(s.t, matchers...))
	if err != nil || len(outcomes) != 1 {
		s.t.Fatalf("%v: %v", outcomes, err)
	}
	return outcomes[0].Silence
}

func selection(t *testing.T, matchers ...string) Selection {
	t.Helper()
	selector, err := ParseMatchers(matchers...)
	if err != nil {
		t.Fatal(err)
	}
	return Selection{Selector: selector}
}

// quick is a configuration of a daemon that looks every second. The heartbeat gets too old before an alert that is not sent again ends.
func quick(url string) string {
	return "alertmanager: {url: '" + url + "'}\ninterval: 1s\ntimeout: 1s\nrenew_for: 6s\nsettle: 0s\nheartbeat: {alertname: Watchdog, max_age: 3s}\n"
}

func (s *station) daemon(change ...string) *exportertest.Running {
	s.t.Helper()
	return exportertest.Start(s.t, App(), strings.NewReplacer(change...).Replace(quick(s.process.URL())))
}

// state is the series of an alert on the page: 1, 0, or -1 when there is none.
func state(series map[string]float64, name, client string) float64 {
	v, ok := series[fmt.Sprintf("%s{alertname=%q,client=%q,component=\"checkout\",priority=\"P0\",subject=\"card/visa\"}", acknowledged, name, client)]
	if !ok {
		return -1
	}
	return v
}

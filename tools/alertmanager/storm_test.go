package alertmanager_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/alertmanager/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// firing is an alert that Prometheus tells of from one time to another, counted from the start.
type firing struct {
	from, to time.Duration
	labels   model.LabelSet
}

// sent is a notification.
type sent struct {
	at       time.Duration
	receiver string
	firing   []string // describe of each alert
	clients  []string
	resolved int
}

// recorder takes the place of a receiver's integrations: it notes what would be sent.
type recorder struct {
	name  string
	start time.Time
	mu    *sync.Mutex
	sent  *[]sent
}

func (recorder) SendResolved() bool { return true }

func (r recorder) Notify(_ context.Context, alerts ...*types.Alert) (bool, error) {
	s := sent{at: time.Since(r.start), receiver: r.name}
	for _, a := range alerts {
		if a.Resolved() {
			s.resolved++
		} else {
			s.firing = append(s.firing, describe(a.Labels))
		}
		if c := string(a.Labels["client"]); !slices.Contains(s.clients, c) {
			s.clients = append(s.clients, c)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.sent = append(*r.sent, s)
	return false, nil
}

// simulate lets Prometheus, as it does, send alerts when they begin, each minute, and when they end, to the dispatcher, the
// inhibitor and the whole notification pipeline of Alertmanager, in time that passes by itself.
func simulate(t *testing.T, r *rig, until time.Duration, events []firing) []sent {
	var all []sent
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		quiet := slog.New(slog.DiscardHandler)
		marker := types.NewMarker(prometheus.NewRegistry())
		alerts, err := mem.NewAlerts(ctx, marker, 30*time.Minute, 0, nil, quiet, prometheus.NewRegistry(), featurecontrol.NoopFlags{})
		if err != nil {
			t.Fatal(err)
		}
		silences, err := silence.New(silence.Options{Retention: 120 * time.Hour, Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		log, err := nflog.New(nflog.Options{Retention: 120 * time.Hour, Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var mu sync.Mutex
		receivers := map[string][]notify.Integration{}
		for _, c := range r.config.Receivers {
			receivers[c.Name] = nil
			if c.Name == "nobody" {
				continue
			}
			note := recorder{c.Name, start, &mu, &all}
			receivers[c.Name] = []notify.Integration{notify.NewIntegration(note, note, "recorder", 0, c.Name)}
		}
		inhibitor := inhibit.NewInhibitor(alerts, r.config.InhibitRules, marker, quiet)
		pipeline := notify.NewPipelineBuilder(prometheus.NewRegistry(), featurecontrol.NoopFlags{}).New(
			receivers, func() time.Duration { return 0 }, inhibitor, silence.NewSilencer(silences, marker, quiet), r.times, marker, log, nil)
		dispatcher := dispatch.NewDispatcher(alerts, r.route, pipeline, marker, nil, 30*time.Second, nil, quiet, dispatch.NewDispatcherMetrics(false, prometheus.NewRegistry()))
		var servers sync.WaitGroup
		servers.Go(inhibitor.Run)
		inhibitor.WaitForLoading()
		servers.Go(func() { dispatcher.Run(start) })
		dispatcher.WaitForLoading()

		last := make([]time.Duration, len(events))
		for now := time.Duration(0); now <= until; now += 10 * time.Second {
			var put []*types.Alert
			for i, e := range events {
				if now < e.from || last[i] < 0 || (last[i] > 0 && now < e.to && now-last[i] < time.Minute) {
					continue
				}
				end := time.Now().Add(4 * time.Minute)
				last[i] = max(now, 1)
				if now >= e.to {
					end, last[i] = time.Now(), -1
				}
				put = append(put, &types.Alert{UpdatedAt: time.Now(), Alert: model.Alert{Labels: e.labels, StartsAt: start.Add(e.from), EndsAt: end}})
			}
			if err := alerts.Put(ctx, put...); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
		dispatcher.Stop()
		inhibitor.Stop()
		alerts.Close()
		cancel()
		servers.Wait()
	})
	return all
}

// withClients renders the routing of an installation with so many clients, by the shipped program.
func withClients(t *testing.T, n int) *rig {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"alertmanager", "rules"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "alertmanager/site.yml")
	var s map[string]any
	decode(t, file, &s)
	var clients []any
	for i := range n {
		slug := fmt.Sprintf("client-%02d", i)
		clients = append(clients, map[string]any{"slug": slug, "name": slug, "admins": map[string]any{
			"name": slug, "channels": []any{map[string]any{"email": map[string]any{"to": "admin@" + slug + ".example"}}}}})
	}
	s["clients"] = clients
	text, err := yaml.Marshal(s)
	if err == nil {
		err = os.WriteFile(file, text, fs.FileMode(0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool(t, "consignwatch", "make build"), "render", "--root", dir).CombinedOutput(); err != nil {
		t.Fatalf("render: %v\n%s", err, out)
	}
	return load(t, filepath.Join(dir, "alertmanager/alertmanager.yml"))
}

// outage is what fires when a cause takes effect on every client: the cause after seen; its symptoms of the platform and of
// each client, all at once, which is the worst case; and four minutes longer; what client admins hear of it; and, every ten minutes, a level for each of
// them, as if Prometheus did not know what explains what.
func outage(t *testing.T, clients int, cause string, seen, end time.Duration, alone []string) []firing {
	all := rules(t)
	var events []firing
	add := func(from time.Duration, l model.LabelSet) { events = append(events, firing{from, end, l}) }
	// fires adds an alert, and what becomes of it when nobody takes it.
	fires := func(given map[string]string) {
		l := labelled(all, given)
		add(seen, l)
		for i, level := range levels()[1:] {
			e := l.Clone()
			e["source_alertname"], e["alertname"], e["escalation"] = l["alertname"], model.LabelValue("Escalation"+level), model.LabelValue(level)
			add(seen+time.Duration(i+1)*10*time.Minute, e)
		}
	}
	for _, name := range append(alone, cause) {
		fires(map[string]string{"alertname": name})
	}
	// Symptoms look back, and outlast their cause. Prometheus says that it has been there.
	events = append(events, firing{seen, end + 6*time.Minute, causeSeen(labelled(all, map[string]string{"alertname": cause}))})
	over := end
	end += 4 * time.Minute
	var inhibition struct {
		Causes []struct {
			Alert    string
			Explains []yaml.Node
		}
	}
	decode(t, filepath.Join(root, "alertmanager/inhibition.yml"), &inhibition)
	for _, c := range inhibition.Causes {
		if c.Alert != cause {
			continue
		}
		for _, node := range c.Explains {
			given := map[string]string{"alertname": node.Value}
			if node.Kind == yaml.MappingNode {
				var s struct{ Alert, Subject string }
				if err := node.Decode(&s); err != nil {
					t.Fatal(err)
				}
				given = map[string]string{"alertname": s.Alert, "subject": s.Subject}
			}
			i := slices.IndexFunc(all, func(r rule) bool { return r.name == given["alertname"] })
			if all[i].labels["client"] == platform {
				// The worst case: it fires together with its cause. In Alertmanager it waits.
				fires(given)
				continue
			}
			for n := range clients {
				// Half of them have a live sale.
				own := map[string]string{"client": fmt.Sprintf("client-%02d", n), "priority": []string{"P0", "P1"}[n%2]}
				for k, v := range given {
					own[k] = v
				}
				fires(own)
			}
		}
	}
	end = over
	for n := range clients {
		add(seen+2*time.Minute, labelled(all, map[string]string{"alertname": "ClientSaleAffected", "client": fmt.Sprintf("client-%02d", n)}))
	}
	return events
}

// count says how often each receiver was told that something fires.
func count(notifications []sent) map[string]int {
	n := map[string]int{}
	for _, s := range notifications {
		if len(s.firing) > 0 {
			n[s.receiver]++
		}
	}
	return n
}

// TestAnOutageIsToldOnce lets an outage hit 50 clients, and nobody takes it: all levels are called in time, none of them more
// than three times, and each client's admins once. When it ends, each hears so once.
func TestAnOutageIsToldOnce(t *testing.T) {
	const clients = 50
	r := withClients(t, clients)
	for _, c := range []struct {
		cause string
		seen  time.Duration
		alone []string
		want  int // notifications to each level
	}{
		{"DatabaseDown", 30 * time.Second, []string{"PlatformUnreachable"}, 2},
		{"ShopifyDown", time.Minute, nil, 1},
	} {
		t.Run(c.cause, func(t *testing.T) {
			events := outage(t, clients, c.cause, c.seen, 40*time.Minute, c.alone)
			all := simulate(t, r, 50*time.Minute, events)
			n := count(all)
			for i, receiver := range []string{"technical-initial", "technical-secondary", "management", "emergency"} {
				if n[receiver] != c.want {
					t.Errorf("%s was told %d times, want %d", receiver, n[receiver], c.want)
				}
				due := c.seen + time.Duration(i)*10*time.Minute
				first := slices.IndexFunc(all, func(s sent) bool { return s.receiver == receiver })
				if first < 0 || all[first].at < due || all[first].at > due+15*time.Second {
					t.Errorf("%s was not told between %s and 15s later: %+v", receiver, due, all[max(first, 0)])
				}
			}
			for i := range clients {
				receiver := fmt.Sprintf("client-client-%02d", i)
				if n[receiver] != 1 {
					t.Errorf("%s was told %d times, want once", receiver, n[receiver])
				}
			}
			for _, s := range all {
				if strings.HasPrefix(s.receiver, "client-") && !slices.Equal(s.clients, []string{strings.TrimPrefix(s.receiver, "client-")}) {
					t.Errorf("%s was told of %v", s.receiver, s.clients)
				}
				if len(s.firing) > 0 && s.at > 40*time.Minute {
					t.Errorf("after the end: %+v", s)
				}
			}
			if t.Failed() {
				for _, s := range all {
					if !strings.HasPrefix(s.receiver, "client-") {
						t.Logf("%s %s %v %d resolved", s.at, s.receiver, s.firing, s.resolved)
					}
				}
			}
			over := 0
			for _, s := range all {
				if len(s.firing) == 0 && s.resolved > 0 {
					over++
				}
			}
			if want := 4*c.want + clients; over != want {
				t.Errorf("%d notifications that it is over, want %d", over, want)
			}
			t.Logf("%d alerts, %d notifications", len(events), len(all))
		})
	}
}

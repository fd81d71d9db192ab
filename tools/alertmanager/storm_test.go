package alertmanager_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/tools/alertmanager/notifications"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// firing is an alert that fires from one time to another, relative to the start of the simulation.
type firing struct {
	from, to time.Duration
	labels   model.LabelSet
}

// notification is a notification to one receiver.
type notification struct {
	at       time.Duration
	receiver string
	firing   []string // describe of each alert
	clients  []string
	resolved int
}

// simulationStart is the start of a simulation: midnight of a Saturday.
var simulationStart = time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC)

// simulate sends alerts to Alertmanager as Prometheus does: when they begin, once a minute, and when they resolve. It returns the notifications of each
// receiver's first channel.
func simulate(t *testing.T, r *configuration, until time.Duration, events []firing) []notification {
	t.Helper()
	var posts []notifications.Post
	last := make([]time.Duration, len(events))
	for now := time.Duration(0); now <= until; now += 10 * time.Second {
		post := notifications.Post{Time: simulationStart.Add(now)}
		for i, e := range events {
			if now < e.from || last[i] < 0 || (last[i] > 0 && now < e.to && now-last[i] < time.Minute) {
				continue
			}
			end := post.Time.Add(4 * time.Minute)
			last[i] = max(now, 1)
			if now >= e.to {
				end, last[i] = post.Time, -1
			}
			post.Alerts = append(post.Alerts, notifications.Alert{Labels: e.labels, StartsAt: simulationStart.Add(e.from), EndsAt: end})
		}
		posts = append(posts, post)
	}
	all, err := notifications.Replay(t, r.config, posts, simulationStart.Add(until))
	if err != nil {
		t.Fatal(err)
	}
	channel := map[string]string{} // the first of each receiver
	var sent []notification
	for _, n := range all {
		if channel[n.Receiver] == "" {
			channel[n.Receiver] = n.Channel
		}
		if channel[n.Receiver] != n.Channel {
			continue
		}
		s := notification{at: n.Time.Sub(simulationStart), receiver: n.Receiver, resolved: len(n.Resolved)}
		for _, a := range n.Firing {
			s.firing = append(s.firing, describe(a.Labels))
		}
		for _, a := range slices.Concat(n.Firing, n.Resolved) {
			if c := string(a.Labels["client"]); !slices.Contains(s.clients, c) {
				s.clients = append(s.clients, c)
			}
		}
		sent = append(sent, s)
	}
	return sent
}

// withClients renders the routing of an installation with n clients, with the consignwatch program.
func withClients(t *testing.T, n int) *configuration {
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

// outageAlerts are the alerts of an outage that affects every client: the cause, which fires after start; its symptoms of the platform and of each client, at
// the same time, which is the worst case, and until four minutes later; the alert for client admins; and every ten minutes an escalation of each alert, as
// if the escalation rules did not take inhibition into account.
func outageAlerts(t *testing.T, clients int, cause string, start, end time.Duration, alone []string) []firing {
	all := rules(t)
	var events []firing
	add := func(from time.Duration, l model.LabelSet) { events = append(events, firing{from, end, l}) }
	// addAlert adds an alert and its escalations.
	addAlert := func(given map[string]string) {
		l := alertLabels(all, given)
		add(start, l)
		for i, level := range levels()[1:] {
			add(start+time.Duration(i+1)*10*time.Minute, escalated(l, level))
		}
	}
	for _, name := range append(alone, cause) {
		addAlert(map[string]string{"alertname": name})
	}
	source := alertLabels(all, map[string]string{"alertname": cause})
	// Symptoms have range windows, and outlast their cause. InhibitionSourceRecent fires meanwhile.
	events = append(events, firing{start, end + 6*time.Minute, inhibitionSourceRecent(source)})
	outageEnd := end
	end += 4 * time.Minute
	symptoms := 0
	for _, r := range all {
		for _, series := range r.series() {
			if !slices.Contains(strings.Split(expand(r.labels["depends_on"], series), ","), string(source["cause"])) {
				continue
			}
			symptoms++
			given := map[string]string{"alertname": r.name}
			maps.Copy(given, series)
			if r.labels["client"] == platform {
				// The worst case: it fires together with its cause, and Alertmanager's group wait has to be long enough.
				addAlert(given)
				continue
			}
			for n := range clients {
				// Half of them have a live sale.
				own := map[string]string{"client": fmt.Sprintf("client-%02d", n), "priority": []string{"P0", "P1"}[n%2]}
				maps.Copy(own, given)
				addAlert(own)
			}
		}
	}
	if symptoms < 10 {
		t.Fatalf("%d alerts depend on %s", symptoms, source["cause"])
	}
	end = outageEnd
	for n := range clients {
		add(start+2*time.Minute, alertLabels(all, map[string]string{"alertname": "ClientSaleAffected", "client": fmt.Sprintf("client-%02d", n)}))
	}
	return events
}

// count is the number of notifications with firing alerts, by receiver.
func count(notifications []notification) map[string]int {
	n := map[string]int{}
	for _, s := range notifications {
		if len(s.firing) > 0 {
			n[s.receiver]++
		}
	}
	return n
}

// TestAnOutageIsNotifiedOnce simulates an unacknowledged outage of 50 clients: all levels are notified in time, none of them more than three times,
// and each client's admins once. Each is notified of the resolution once.
func TestAnOutageIsNotifiedOnce(t *testing.T) {
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
			events := outageAlerts(t, clients, c.cause, c.seen, 40*time.Minute, c.alone)
			all := simulate(t, r, 50*time.Minute, events)
			n := count(all)
			for i, receiver := range []string{"technical-initial", "technical-secondary", "management", "emergency"} {
				if n[receiver] != c.want {
					t.Errorf("%s was notified %d times, want %d", receiver, n[receiver], c.want)
				}
				due := c.seen + time.Duration(i)*10*time.Minute
				first := slices.IndexFunc(all, func(s notification) bool { return s.receiver == receiver })
				if first < 0 || all[first].at < due || all[first].at > due+15*time.Second {
					t.Errorf("%s was not told between %s and 15s later: %+v", receiver, due, all[max(first, 0)])
				}
			}
			for i := range clients {
				receiver := fmt.Sprintf("client-client-%02d", i)
				if n[receiver] != 1 {
					t.Errorf("%s was notified %d times, want once", receiver, n[receiver])
				}
			}
			for _, s := range all {
				if strings.HasPrefix(s.receiver, "client-") && !slices.Equal(s.clients, []string{strings.TrimPrefix(s.receiver, "client-")}) {
					t.Errorf("%s was notified of %v", s.receiver, s.clients)
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
				t.Errorf("%d notifications of the resolution, want %d", over, want)
			}
			t.Logf("%d alerts, %d notifications", len(events), len(all))
		})
	}
}

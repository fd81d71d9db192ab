//go:build acceptance

package escalation

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/drill"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
)

// labelOfSeries matches a label of the series in a template.
var labelOfSeries = regexp.MustCompile(`\$labels\.(\w+)`)

// storm are all alerts that a fault of all clients can fire, for all clients, at the same time. This is worse than a real outage, because causes and
// symptoms fire in any order, and no value stays below its threshold. Left out are burn rates, and the alerts that page beside their cause.
func storm(t *testing.T, clients []string, fault, first string, except ...string) []labels {
	t.Helper()
	rules := shippedAlerts(t)
	var all []labels
	for _, batch := range drill.Batches() {
		for _, f := range batch {
			if f.Name != fault || !strings.HasPrefix(f.MustFire[0], first+" ") {
				continue
			}
			for _, pattern := range slices.Concat(f.MustFire, f.MayFire) {
				name, rest, _ := strings.Cut(pattern, " ")
				client, subject, _ := strings.Cut(rest, " ")
				if strings.HasPrefix(name, "SloBudget") || slices.Contains(except, name) {
					continue
				}
				rule, ok := rules[name]
				if !ok {
					t.Fatalf("%s of the table is no alert", name)
				}
				about := []string{client}
				if client == "*" {
					about = clients
				}
				for _, client := range about {
					l := maps.Clone(rule.Labels)
					delete(l, "cause")
					delete(l, "depends_on")
					maps.DeleteFunc(l, func(_, value string) bool { return strings.Contains(value, "{{") })
					l["alert"], l["client"] = name, client
					// Labels that the rule does not set: the highest priority, and any component and subject.
					l["priority"], l["severity"] = cmp.Or(l["priority"], "P0"), cmp.Or(l["severity"], "critical")
					l["component"] = cmp.Or(l["component"], "it")
					l["subject"] = cmp.Or(l["subject"], strings.ReplaceAll(subject, "*", "it"), "it")
					for _, m := range labelOfSeries.FindAllStringSubmatch(rule.Labels["depends_on"], -1) {
						l[m[1]] = l["subject"] // of these alerts, it is the subject
					}
					all = append(all, l)
				}
			}
		}
	}
	return all
}

// levelOf is the level of a receiver, 0 for client admins.
func levelOf(receiver string) int {
	switch {
	case strings.HasPrefix(receiver, "client-"):
		return 0
	case receiver == "management":
		return 3
	case receiver == "emergency":
		return 4
	case strings.HasSuffix(receiver, "-secondary"):
		return 2
	}
	return 1
}

func TestAStormSendsFewNotifications(t *testing.T) {
	t.Parallel()
	clients := make([]string, 50)
	for i := range clients {
		clients[i] = fmt.Sprintf("client-%02d", i)
	}
	for _, s := range []struct {
		fault, first    string
		alerts, maximum int // minimum of firing alerts, and maximum of notifications to each level of the staff
		except          []string
	}{
		{"database-down", "DatabaseDown", 150, 3, nil},
		{"shopify-down", "ShopifyDown", 150, 1, []string{"CheckoutFailing", "JobsFailing"}},
	} {
		t.Run(s.fault, func(t *testing.T) {
			t.Parallel()
			r := newEnvironment(t, clients...)
			faults := storm(t, clients, s.fault, s.first, s.except...)
			if len(faults) < s.alerts {
				t.Fatalf("%d alerts are no storm", len(faults))
			}
			t.Logf("%d alerts", len(faults))
			r.setFiring(faults...)
			r.await("the last level", 5*levelDelay+30*time.Second, func() bool {
				return len(r.notificationsWith(webhookreceiver.Firing, func(p webhookreceiver.Notification) bool { return levelOf(p.Receiver) == 4 })) > 0
			})
			r.await("word to the clients", time.Minute, func() bool {
				return len(r.notificationsWith(webhookreceiver.Firing, func(p webhookreceiver.Notification) bool { return levelOf(p.Receiver) == 0 })) >= len(clients)
			})
			time.Sleep(levelDelay) // for notifications that should not come
			r.checkNotificationCounts(webhookreceiver.Firing, clients, s.maximum)
			r.setResolved(faults...)
			r.await("the end to the clients", time.Minute, func() bool {
				return len(r.notificationsWith(webhookreceiver.Resolved, func(p webhookreceiver.Notification) bool { return levelOf(p.Receiver) == 0 })) >= len(clients)
			})
			time.Sleep(levelDelay / 2)
			r.checkNotificationCounts(webhookreceiver.Resolved, clients, s.maximum)
		})
	}
}

// checkNotificationCounts checks the number of notifications to each level, and to each client.
func (e *environment) checkNotificationCounts(status string, clients []string, maximum int) {
	e.t.Helper()
	byLevel := map[int]int{}
	byReceiver := map[string]int{}
	for _, n := range e.notificationsWith(status, func(webhookreceiver.Notification) bool { return true }) {
		byLevel[levelOf(n.Receiver)]++
		byReceiver[n.Receiver]++
		for _, a := range n.Alerts {
			if client, ok := strings.CutPrefix(n.Receiver, "client-"); ok && a.Labels["client"] != client {
				e.t.Errorf("%s is notified of %v", n.Receiver, a.Labels)
			}
		}
	}
	for l := 1; l <= 4; l++ {
		if byLevel[l] < 1 || byLevel[l] > maximum {
			e.t.Errorf("%s: level %d is notified %d times, want 1 to %d", status, l, byLevel[l], maximum)
		}
	}
	for _, client := range clients {
		if n := byReceiver["client-"+client]; n != 1 {
			e.t.Errorf("%s: the admins of %s are notified %d times, want once", status, client, n)
		}
	}
	e.t.Logf("%s: %d notifications to the staff by level: %v", status, byLevel[1]+byLevel[2]+byLevel[3]+byLevel[4], byLevel)
	if e.t.Failed() {
		e.t.Log(e.timeline())
	}
}

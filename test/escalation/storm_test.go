//go:build acceptance

package escalation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/drill"
	"github.com/consignwatch/consignwatch/pkg/pages"
)

// storm is everything that a fault for all clients can fire, each alert for all clients that it can be about, at the same moment: worse than it is,
// because causes and symptoms come in any order, and none stays below its threshold.
func storm(t *testing.T, clients []string, fault, first string) []labels {
	t.Helper()
	known := shippedAlerts(t)
	var all []labels
	for _, turn := range drill.Turns() {
		for _, f := range turn {
			if f.Name != fault || !strings.HasPrefix(f.Fires[0], first+" ") {
				continue
			}
			for _, pattern := range slices.Concat(f.Fires, f.May) {
				name, rest, _ := strings.Cut(pattern, " ")
				whose, subject, _ := strings.Cut(rest, " ")
				rule, ok := known[name]
				if !ok {
					t.Fatalf("%s of the table is no alert", name)
				}
				about := []string{whose}
				if whose == "*" {
					about = clients
				}
				for _, client := range about {
					l := maps.Clone(rule.Labels)
					maps.DeleteFunc(l, func(_, value string) bool { return strings.Contains(value, "{{") })
					l["alert"], l["client"] = name, client
					// What is not fixed: the worst, and something.
					l["priority"], l["severity"] = cmp.Or(l["priority"], "P0"), cmp.Or(l["severity"], "critical")
					l["component"] = cmp.Or(l["component"], "it")
					l["subject"] = cmp.Or(l["subject"], strings.ReplaceAll(subject, "*", "it"), "it")
					all = append(all, l)
				}
			}
		}
	}
	return all
}

// levels are the receivers of the staff by the level at which they hear of an alert.
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

func TestAStormIsToldInAFewWords(t *testing.T) {
	t.Parallel()
	clients := make([]string, 50)
	for i := range clients {
		clients[i] = fmt.Sprintf("client-%02d", i)
	}
	for _, s := range []struct {
		fault, first string
		alerts, most int // that fire at least, and notifications to the staff at the most
	}{
		{"database-down", "DatabaseDown", 150, 3},
		{"shopify-down", "ShopifyDown", 150, 1},
	} {
		t.Run(s.fault, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, clients...)
			faults := storm(t, clients, s.fault, s.first)
			if len(faults) < s.alerts {
				t.Fatalf("%d alerts are no storm", len(faults))
			}
			t.Logf("%d alerts", len(faults))
			r.on(faults...)
			r.await("the last level", 5*level+30*time.Second, func() bool {
				return len(r.of(pages.Firing, func(p pages.Page) bool { return levelOf(p.Receiver) == 4 })) > 0
			})
			r.await("word to the clients", time.Minute, func() bool {
				return len(r.of(pages.Firing, func(p pages.Page) bool { return levelOf(p.Receiver) == 0 })) >= len(clients)
			})
			time.Sleep(level) // for what would come on top
			r.count(pages.Firing, clients, s.most)
			r.off(faults...)
			r.await("the end to the clients", time.Minute, func() bool {
				return len(r.of(pages.Resolved, func(p pages.Page) bool { return levelOf(p.Receiver) == 0 })) >= len(clients)
			})
			time.Sleep(level / 2)
			r.count(pages.Resolved, clients, s.most)
		})
	}
}

// count checks how often each level, and each client, was told.
func (r *rig) count(status string, clients []string, most int) {
	r.t.Helper()
	levels := map[int]int{}
	told := map[string]int{}
	for _, p := range r.of(status, func(pages.Page) bool { return true }) {
		levels[levelOf(p.Receiver)]++
		told[p.Receiver]++
		for _, a := range p.Alerts {
			if client, ok := strings.CutPrefix(p.Receiver, "client-"); ok && a.Labels["client"] != client {
				r.t.Errorf("%s is told of %v", p.Receiver, a.Labels)
			}
		}
	}
	for l := 1; l <= 4; l++ {
		if levels[l] < 1 || levels[l] > most {
			r.t.Errorf("%s: level %d is told %d times, want 1 to %d", status, l, levels[l], most)
		}
	}
	for _, client := range clients {
		if n := told["client-"+client]; n != 1 {
			r.t.Errorf("%s: the admins of %s are told %d times, want once", status, client, n)
		}
	}
	r.t.Logf("%s: %d notifications to the staff by level: %v", status, levels[1]+levels[2]+levels[3]+levels[4], levels)
	if r.t.Failed() {
		r.t.Log(r.story())
	}
}

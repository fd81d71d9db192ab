package alertmanager_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// site has the fields of the inventory that the matrix needs. It does not use the code that renders the routes.
type site struct {
	Teams map[string]struct {
		Secondary   *struct{} `yaml:"secondary"`
		LowPriority *struct{} `yaml:"low_priority"`
	} `yaml:"teams"`
	Clients []struct {
		Slug     string    `yaml:"slug"`
		TimeZone string    `yaml:"time_zone"`
		Admins   *struct{} `yaml:"admins"`
	} `yaml:"clients"`
}

func priorities() []string { return []string{"P0", "P1", "P2", "P3"} }
func teams() []string {
	return []string{"technical", "support", "system_admin", "client_admin"}
}
func levels() []string { return []string{"", "L2", "L3", "L4"} }

// clients are the clients of the inventory, the platform, and an unknown client.
func (s site) clients() []string {
	names := []string{platform, "stranger"}
	for _, c := range s.Clients {
		names = append(names, c.Slug)
	}
	return names
}

// combination is one combination of label values: an alert of the matrix, without the time.
type combination struct{ priority, team, client, level string }

func (p combination) labels() model.LabelSet {
	l := alertLabels(nil, map[string]string{"alertname": "Anything", "priority": p.priority, "team": p.team, "client": p.client})
	if p.level != "" {
		l["alertname"], l["source_alertname"], l["escalation"] = model.LabelValue("Escalation"+p.level), "Anything", model.LabelValue(p.level)
	}
	return l
}

func (s site) combinations() []combination {
	var all []combination
	for _, p := range priorities() {
		for _, t := range teams() {
			for _, c := range s.clients() {
				for _, l := range levels() {
					all = append(all, combination{p, t, c, l})
				}
			}
		}
	}
	return all
}

// receiver is the expected receiver. It implements the documented routing independently of the code that renders the routes.
func (s site) receiver(p combination) string {
	team := p.team
	if p.level != "" && team == "client_admin" {
		team = "technical" // client alerts do not escalate; such an escalation would go to the staff
	}
	switch p.level {
	case "L2":
		return strings.ReplaceAll(team, "_", "-") + "-secondary"
	case "L3":
		return "management"
	case "L4":
		return "emergency"
	}
	if team == "client_admin" {
		for _, c := range s.Clients {
			if c.Slug == p.client && c.Admins != nil {
				return "client-" + p.client
			}
		}
		return "support-initial"
	}
	if p.priority == "P3" && s.Teams[team].LowPriority != nil {
		return strings.ReplaceAll(team, "_", "-") + "-low-priority"
	}
	return strings.ReplaceAll(team, "_", "-") + "-initial"
}

// within reports whether a local time is between two times of day.
func within(at time.Time, from, to string) bool {
	now := at.Format("15:04")
	return from <= now && now < to
}

// isNotified reports whether the receiver is notified at this time.
func (s site) isNotified(t testing.TB, p combination, at time.Time) bool {
	localTime := func(zone string) time.Time {
		l, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		return at.In(l)
	}
	delay := time.Duration(0)
	if p.level != "" {
		delay = map[string]time.Duration{
			"P0L2": 10 * time.Minute, "P0L3": 20 * time.Minute, "P0L4": 30 * time.Minute,
			"P1L2": 30 * time.Minute, "P1L3": 2 * time.Hour, "P1L4": 4 * time.Hour, "P2L2": 24 * time.Hour,
		}[p.priority+p.level]
	}
	switch p.client { // maintenance windows
	case "tiny-treasures-kids-sale":
		local := localTime("America/New_York")
		for back := range 8 {
			day := local.AddDate(0, 0, -back)
			start := time.Date(day.Year(), day.Month(), day.Day(), 23, 0, 0, 0, day.Location())
			if start.Weekday() == time.Sunday && !local.Before(start) && local.Before(start.Add(3*time.Hour+delay)) {
				return false
			}
		}
	case "petits-pas-consignment-co":
		local := localTime("America/Toronto")
		start := time.Date(2026, 12, 5, 22, 0, 0, 0, local.Location())
		if !local.Before(start) && local.Before(start.Add(6*time.Hour+delay)) {
			return false
		}
	}
	receiver := s.receiver(p)
	if slug, ok := strings.CutPrefix(receiver, "client-"); ok {
		zone := "America/Chicago"
		for _, c := range s.Clients {
			if c.Slug == slug && c.TimeZone != "" {
				zone = c.TimeZone
			}
		}
		return p.priority < "P2" || within(localTime(zone), "08:00", "20:00")
	}
	if p.priority != "P2" || (p.level != "" && p.level != "L2") || (p.level == "" && p.team == "client_admin") {
		return true
	}
	chicago := localTime("America/Chicago")
	hours := map[string][2]string{"technical": {"08:00", "18:00"}, "client_admin": {"08:00", "18:00"}, "support": {"09:00", "17:00"}, "system_admin": {"08:00", "17:00"}}[p.team]
	if p.level == "L2" {
		hours[0] = map[string]string{"08:00": "10:00", "09:00": "11:00"}[hours[0]]
	}
	last := time.Friday
	if p.team == "support" {
		last = time.Saturday
	}
	return chicago.Weekday() >= time.Monday && chicago.Weekday() <= last && within(chicago, hours[0], hours[1])
}

// TestReceiversForEachPriorityTeamClientLevelAndTime compares the receivers of every combination, at times near the limits of time intervals.
func TestReceiversForEachPriorityTeamClientLevelAndTime(t *testing.T) {
	r := shipped(t)
	var s site
	decode(t, filepath.Join(root, "alertmanager/site.yml"), &s)
	var times []time.Time
	for _, m := range []string{
		"2026-05-04 03:00 America/Chicago", "2026-05-04 07:59 America/Chicago", "2026-05-04 08:00 America/Chicago", "2026-05-04 09:30 America/Chicago",
		"2026-05-04 10:30 America/Chicago", "2026-05-04 11:00 America/Chicago", "2026-05-04 16:59 America/Chicago", "2026-05-04 17:30 America/Chicago", "2026-05-04 18:00 America/Chicago",
		"2026-05-02 12:00 America/Chicago", "2026-05-03 12:00 America/Chicago",
		"2026-05-03 22:59 America/New_York", "2026-05-03 23:00 America/New_York", "2026-05-04 00:00 America/New_York", "2026-05-04 01:59 America/New_York",
		"2026-05-04 02:00 America/New_York", "2026-05-04 02:10 America/New_York", "2026-05-04 02:30 America/New_York", "2026-05-04 05:59 America/New_York", "2026-05-05 01:59 America/New_York", "2026-05-05 12:00 America/New_York",
		"2026-12-05 21:59 America/Toronto", "2026-12-05 22:00 America/Toronto", "2026-12-06 03:59 America/Toronto", "2026-12-06 04:00 America/Toronto", "2026-12-06 08:00 America/Toronto", "2026-12-07 11:30 America/Toronto",
		"2026-03-09 13:00 UTC", "2026-11-02 13:30 UTC", "2026-05-04 06:30 UTC", "2026-05-04 18:30 UTC",
	} {
		times = append(times, parseTime(t, m))
	}
	asked := 0
	for _, p := range s.combinations() {
		for _, at := range times {
			asked++
			want := []string{}
			if s.isNotified(t, p, at) {
				want = append(want, s.receiver(p))
			}
			if got := r.receivers(t, p.labels(), at); !slices.Equal(got, want) {
				t.Errorf("%s at %s: %v, want %v", describe(p.labels()), at, got, want)
			}
		}
	}
	t.Logf("%d alerts and times", asked)
}

// TestAmtoolRoutesToTheSameReceivers compares with `amtool config routes test`, which ignores time intervals.
func TestAmtoolRoutesToTheSameReceivers(t *testing.T) {
	amtool := tool(t, "amtool", "make deps")
	var s site
	decode(t, filepath.Join(root, "alertmanager/site.yml"), &s)
	want := map[string]string{} // arguments to receivers
	all := rules(t)
	add := func(l model.LabelSet, receiver string) {
		var args []string
		for name, value := range l {
			args = append(args, fmt.Sprintf("%s=%s", name, value))
		}
		slices.Sort(args)
		want[strings.Join(args, "\x00")] = receiver
	}
	for _, list := range cases(t) {
		for _, c := range list {
			if len(c.Receivers) == 1 {
				add(alertLabels(all, c.Labels), c.Receivers[0])
			}
		}
	}
	for _, p := range s.combinations() {
		// amtool is a process for each alert, so not for all clients: only the platform, a client with admins, and one without.
		if slices.Contains([]string{platform, "tiny-treasures-kids-sale", "stranger"}, p.client) {
			add(p.labels(), s.receiver(p))
		}
	}
	limit := make(chan struct{}, 4)
	var wait sync.WaitGroup
	for args, receiver := range want {
		limit <- struct{}{}
		wait.Go(func() {
			defer func() { <-limit }()
			out, err := exec.CommandContext(t.Context(), amtool, append([]string{"config", "routes", "test",
				"--config.file=" + filepath.Join(root, "alertmanager/alertmanager.yml"), "--verify.receivers=" + receiver}, strings.Split(args, "\x00")...)...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", strings.ReplaceAll(args, "\x00", " "), err, out)
			}
		})
	}
	wait.Wait()
	t.Logf("%d alerts", len(want))
}

// tool returns the path of a program that a make target builds: in the folder CONSIGNWATCH_BIN, or in .build/bin.
func tool(t testing.TB, name, target string) string {
	t.Helper()
	folder := os.Getenv("CONSIGNWATCH_BIN")
	if folder == "" {
		folder = filepath.Join(root, ".build/bin")
	}
	path := filepath.Join(folder, name)
	if _, err := exec.LookPath(path); err != nil {
		t.Fatalf("%v; to get it, run in the project's folder: %s", err, target)
	}
	return path
}

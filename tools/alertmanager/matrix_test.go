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

// site is what the matrix needs of the inventory. It is read apart from the program that renders the routes.
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

// clients are all of the inventory, the platform, and one that nobody knows.
func (s site) clients() []string {
	names := []string{platform, "stranger"}
	for _, c := range s.Clients {
		names = append(names, c.Slug)
	}
	return names
}

// point is one cell of the matrix, without the time.
type point struct{ priority, team, client, level string }

func (p point) labels() model.LabelSet {
	l := labelled(nil, map[string]string{"alertname": "Anything", "priority": p.priority, "team": p.team, "client": p.client})
	if p.level != "" {
		l["alertname"], l["source_alertname"], l["escalation"] = model.LabelValue("Escalation"+p.level), "Anything", model.LabelValue(p.level)
	}
	return l
}

func (s site) points() []point {
	var all []point
	for _, p := range priorities() {
		for _, t := range teams() {
			for _, c := range s.clients() {
				for _, l := range levels() {
					all = append(all, point{p, t, c, l})
				}
			}
		}
	}
	return all
}

// receiver is who should hear of it, told in other words than those of the program: by the text of the design.
func (s site) receiver(p point) string {
	team := p.team
	if p.level != "" && team == "client_admin" {
		team = "technical" // no alert of clients escalates; if one did, it would be the staff's
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

// within reports whether the clock on the wall is between two times of day.
func within(at time.Time, from, to string) bool {
	now := at.Format("15:04")
	return from <= now && now < to
}

// told reports whether they should hear of it now.
func (s site) told(t testing.TB, p point, at time.Time) bool {
	in := func(zone string) time.Time {
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
	switch p.client { // planned work
	case "tiny-treasures-kids-sale":
		there := in("America/New_York")
		for back := range 8 {
			day := there.AddDate(0, 0, -back)
			start := time.Date(day.Year(), day.Month(), day.Day(), 23, 0, 0, 0, day.Location())
			if start.Weekday() == time.Sunday && !there.Before(start) && there.Before(start.Add(3*time.Hour+delay)) {
				return false
			}
		}
	case "petits-pas-consignment-co":
		there := in("America/Toronto")
		start := time.Date(2026, 12, 5, 22, 0, 0, 0, there.Location())
		if !there.Before(start) && there.Before(start.Add(6*time.Hour+delay)) {
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
		return p.priority < "P2" || within(in(zone), "08:00", "20:00")
	}
	if p.priority != "P2" || (p.level != "" && p.level != "L2") || (p.level == "" && p.team == "client_admin") {
		return true
	}
	chicago := in("America/Chicago")
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

// TestMatrix asks for every priority, team, client and level at times that matter who hears of it.
func TestMatrix(t *testing.T) {
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
		times = append(times, moment(t, m))
	}
	asked := 0
	for _, p := range s.points() {
		for _, at := range times {
			asked++
			want := []string{}
			if s.told(t, p, at) {
				want = append(want, s.receiver(p))
			}
			if got := r.receivers(t, p.labels(), at); !slices.Equal(got, want) {
				t.Errorf("%s at %s: %v, want %v", describe(p.labels()), at, got, want)
			}
		}
	}
	t.Logf("%d alerts and times", asked)
}

// TestAmtool asks the pinned amtool, which knows no time, for the same.
func TestAmtool(t *testing.T) {
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
				add(labelled(all, c.Labels), c.Receivers[0])
			}
		}
	}
	for _, p := range s.points() {
		// Each process takes its time: every priority, team and level of the platform, and of a client with and one without admins.
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

// tool is the path of a program that a target of make builds: in the folder that CONSIGNWATCH_BIN names, or in .build/bin.
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

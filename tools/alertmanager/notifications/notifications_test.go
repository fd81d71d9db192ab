package notifications

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/common/model"
)

func configured(t *testing.T, text string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// texts formats notifications: time, receiver, channel, and number of alerts.
func texts(all []Notification) []string {
	var lines []string
	for _, n := range all {
		lines = append(lines, fmt.Sprintf("%s %s %s %d firing %d resolved", n.Time.Format(time.TimeOnly), n.Receiver, n.Channel, len(n.Firing), len(n.Resolved)))
	}
	return lines
}

const routing = `
route:
  receiver: all
  group_by: [alertname]
  group_wait: 30s
  group_interval: 1m
  repeat_interval: 1h
  routes:
    - {receiver: office, matchers: ['team="office"'], active_time_intervals: [hours], continue: true}
    - {receiver: all}
receivers:
  - {name: all, webhook_configs: [{url: 'http://127.0.0.1:1/'}], email_configs: [{to: a@example.org, from: b@example.org, smarthost: 'localhost:25', send_resolved: true}]}
  - {name: office, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}
inhibit_rules:
  - {source_matchers: ['alertname="Cause"'], target_matchers: ['alertname="Symptom"']}
time_intervals:
  - {name: hours, time_intervals: [{weekdays: [monday:friday], times: [{start_time: "10:00", end_time: "18:00"}]}]}
`

// Replay does what Alertmanager does at the times of the posts: group wait, deduplication, grouping, inhibition, time intervals, and resolved notifications.
func TestReplaySendsWhatAlertmanagerWould(t *testing.T) {
	begin := time.Date(2026, 3, 4, 9, 58, 0, 0, time.UTC) // a Wednesday
	alert := func(from, until time.Duration, pairs ...string) Alert {
		a := Alert{Labels: model.LabelSet{}, StartsAt: begin.Add(from), EndsAt: begin.Add(until)}
		for i := 0; i < len(pairs); i += 2 {
			a.Labels[model.LabelName(pairs[i])] = model.LabelValue(pairs[i+1])
		}
		return a
	}
	posts := []Post{
		{begin, []Alert{alert(0, time.Hour, "alertname", "Cause", "team", "office"), alert(0, time.Hour, "alertname", "Symptom")}},
		{begin.Add(time.Minute), []Alert{alert(time.Minute, time.Hour, "alertname", "Cause", "n", "2")}},
		{begin.Add(10 * time.Minute), []Alert{alert(0, 10*time.Minute, "alertname", "Cause", "team", "office"), alert(time.Minute, 10*time.Minute, "alertname", "Cause", "n", "2")}},
		{begin.Add(20 * time.Minute), []Alert{alert(20*time.Minute, time.Hour, "alertname", "Late")}},
	}
	all, err := Replay(t, configured(t, routing), posts, begin.Add(20*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"09:58:30 all email[0] 1 firing 0 resolved",
		"09:58:30 all webhook[0] 1 firing 0 resolved",
		"09:59:30 all email[0] 2 firing 0 resolved",
		"09:59:30 all webhook[0] 2 firing 0 resolved",
		"10:00:30 office webhook[0] 1 firing 0 resolved",
		"10:08:30 all email[0] 0 firing 2 resolved",
		"10:08:30 all email[0] 1 firing 0 resolved", // the symptom, which is not inhibited any more
		"10:08:30 all webhook[0] 0 firing 2 resolved",
		"10:08:30 all webhook[0] 1 firing 0 resolved",
		"10:08:30 office webhook[0] 0 firing 1 resolved",
	}
	got := texts(all)
	if !slices.Equal(got, want) {
		t.Errorf("it is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if again, err := Replay(t, configured(t, routing), posts, begin.Add(20*time.Minute)); err != nil || !slices.Equal(texts(again), got) {
		t.Errorf("again it is\n%s\n%v, the first time it was\n%s", strings.Join(texts(again), "\n"), err, strings.Join(got, "\n"))
	}
}

func TestReplayRefusesWhatPrometheusNeverSends(t *testing.T) {
	at := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	good := Alert{Labels: model.LabelSet{"alertname": "A"}, StartsAt: at, EndsAt: at.Add(time.Hour)}
	for name, c := range map[string]struct {
		posts []Post
		want  string
	}{
		"the wrong order":         {[]Post{{at, []Alert{good}}, {at.Add(-time.Minute), nil}}, "post 2 of 2 is of 2026-03-04T08:59:00Z, before"},
		"an alert without labels": {[]Post{{at, []Alert{{StartsAt: at, EndsAt: at.Add(time.Hour)}}}}, "alert {} at 2026-03-04T09:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Replay(t, configured(t, routing), c.posts, at.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}

// An alert that is posted at the very moment at which its group is due misses that notification, and is in the next one: always, not by chance.
func TestWhatIsDueAtTheMomentOfAPostComesBeforeIt(t *testing.T) {
	begin := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	var posts []Post
	for i, n := range []model.LabelValue{"1", "2", "3"} {
		at := begin.Add(time.Duration(i) * 30 * time.Second) // the wait of a group; its interval is twice as long
		posts = append(posts, Post{at, []Alert{{Labels: model.LabelSet{"alertname": "Down", "n": n}, StartsAt: at, EndsAt: begin.Add(time.Hour)}}})
	}
	want := []string{
		"09:00:30 all email[0] 1 firing 0 resolved",
		"09:00:30 all webhook[0] 1 firing 0 resolved",
		"09:01:30 all email[0] 3 firing 0 resolved",
		"09:01:30 all webhook[0] 3 firing 0 resolved",
	}
	for range 50 {
		all, err := Replay(t, configured(t, routing), posts, begin.Add(2*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if got := texts(all); !slices.Equal(got, want) {
			t.Fatalf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

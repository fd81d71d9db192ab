package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/recording"
	"github.com/consignwatch/consignwatch/test/stack"
)

// outage is a recording of half an hour, in which a database is down from 14:10 to 14:20 UTC.
func outage(t *testing.T, every time.Duration) string {
	t.Helper()
	begin := time.Date(2026, 11, 28, 14, 0, 0, 0, time.UTC)
	r := &recording.Recording{}
	for _, name := range []string{"consign_mysql_up", "up"} {
		s := promql.Series{Metric: labels.FromStrings(model.MetricNameLabel, name, "job", "system-exporter", "instance", "monitor:9471", "server", "main")}
		for at := time.Duration(0); at < 30*time.Minute; at += every {
			v := 1.0
			if name != "up" && at >= 10*time.Minute && at < 20*time.Minute {
				v = 0
			}
			s.Floats = append(s.Floats, promql.FPoint{T: begin.Add(at).UnixMilli(), F: v})
		}
		r.Series = append(r.Series, s)
	}
	file := filepath.Join(t.TempDir(), "outage"+recording.Extension)
	if err := r.Write(file); err != nil {
		t.Fatal(err)
	}
	return file
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const (
	someRules = `groups:
  - name: database
    rules:
      - {record: 'server:consign_mysql_up:avg1m', expr: 'avg_over_time(consign_mysql_up[1m])'}
      - {alert: DatabaseDown, expr: 'consign_mysql_up == 0', for: 1m, labels: {priority: P0, client: _platform}, annotations: {summary: The database does not answer.}}
`
	// At night, from 0 to 6 in Paris, another receiver is notified.
	someRouting = `route:
  receiver: by-day
  group_wait: 5s
  group_by: [alertname]
  routes:
    - {receiver: by-day, matchers: ['priority="P0"'], mute_time_intervals: [night], continue: true}
    - {receiver: by-night, matchers: ['priority="P0"'], active_time_intervals: [night]}
receivers:
  - {name: by-day, webhook_configs: [{url: 'http://127.0.0.1:1/'}], email_configs: [{to: oncall@example.org, from: a@example.org, smarthost: 'localhost:25'}]}
  - {name: by-night, webhook_configs: [{url: 'http://127.0.0.1:1/'}]}
time_intervals:
  - {name: night, time_intervals: [{times: [{start_time: "00:00", end_time: "06:00"}], location: Europe/Paris}]}
`
)

func TestReplaySaysWhoWouldHaveBeenNotifiedOfWhatAndWhen(t *testing.T) {
	stack.Program(t, "alertmanager-replay")
	file := outage(t, 15*time.Second)
	rules, routing := writeFile(t, "rules.yml", someRules), writeFile(t, "alertmanager.yml", someRouting)
	base := []string{"replay", file, "--rules", rules, "--alertmanager.config", routing, "--time-zone", "Europe/Paris"}
	status, stdout, stderr := runIn(t, base...)
	want := `outage.tar.zst, 2 series from Saturday 2026-11-28 15:00:00 CET to 15:29:45, rules evaluated every 15s

Alerts that fire

15:11:00 - 15:20:00  P0 DatabaseDown _platform server=main

Notifications

15:11:05  FIRING:1 to by-day (email[0], webhook[0])
    P0 DatabaseDown _platform server=main
        The database does not answer.
15:21:05  RESOLVED to by-day (webhook[0])
    resolved  P0 DatabaseDown _platform server=main
`
	if diff := cmp.Diff(want, stdout); status != 0 || stderr != "" || diff != "" {
		t.Errorf("exit status %d, %s, -want +got:\n%s", status, stderr, diff)
	}
	status, stdout, stderr = runIn(t, append(base, "--at", "2026-11-29T03:00:00+01:00")...)
	if status != 0 || stderr != "" || !strings.Contains(stdout, "03:11:05  FIRING:1 to by-night (webhook[0])\n") || strings.Contains(stdout, "to by-day") {
		t.Errorf("exit status %d, %s\n%s", status, stderr, stdout)
	}
}

func TestReplaySaysThatNothingHappens(t *testing.T) {
	rules, routing := writeFile(t, "rules.yml", strings.Replace(someRules, "for: 1m", "for: 1h", 1)), writeFile(t, "alertmanager.yml", someRouting)
	status, stdout, stderr := runIn(t, "replay", outage(t, 15*time.Second), "--rules", rules, "--alertmanager.config", routing, "--time-zone", "UTC")
	if want := "\n\nAlerts that fire\n\nnone\n\nNotifications\n\nnone\n"; status != 0 || stderr != "" || !strings.HasSuffix(stdout, want) {
		t.Errorf("exit status %d, %s\n%s", status, stderr, stdout)
	}
}

func TestReplaySaysWhatIsWrong(t *testing.T) {
	good, rules, routing := outage(t, 15*time.Second), writeFile(t, "rules.yml", someRules), writeFile(t, "alertmanager.yml", someRouting)
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no recording":            {[]string{writeFile(t, "notes.txt", "hello"), "--rules", rules}, "notes.txt is neither a file of consignwatch record nor an OpenMetrics dump"},
		"scraped too seldom":      {[]string{outage(t, time.Minute), "--rules", rules, "--alertmanager.config", routing}, "it was scraped every 1m, and server:consign_mysql_up:avg1m of " + rules},
		"rules that do not parse": {[]string{good, "--rules", writeFile(t, "bad.yml", "groups: [{name: g, rules: [{alert: A, expr: 'up =='}]}]"), "--alertmanager.config", routing}, "bad.yml"},
		"no rules":                {[]string{good, "--rules", "nothing/*.yml"}, "no rule file is nothing/*.yml (--root, --rules)"},
		"no routing":              {[]string{good, "--rules", rules, "--alertmanager.config", "nothing.yml"}, "nothing.yml"},
		"routing that is wrong":   {[]string{good, "--rules", rules, "--alertmanager.config", writeFile(t, "routing.yml", "route: {receiver: nobody}")}, `undefined receiver "nobody" used in route`},
		"no interval":             {[]string{good, "--interval", "0s"}, "--interval: 0s is less than a second"},
		"no time":                 {[]string{good, "--at", "tonight"}, `--at: "tonight" is not a time like`},
		"no time zone":            {[]string{good, "--time-zone", "Paris"}, "--time-zone: unknown time zone Paris"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, stdout, stderr := runIn(t, append([]string{"replay"}, c.args...)...); status != 1 || !strings.Contains(stderr, c.want) || stdout != "" {
				t.Errorf("exit status %d, %q, want %q\n%s", status, stderr, c.want, stdout)
			}
		})
	}
}

func TestRecordKeepsWhatAPrometheusHasScraped(t *testing.T) {
	prometheus, err := servers.StartPrometheus(t.Context(), t.TempDir(), servers.PrometheusConfig{Text: func(own string) (string, error) {
		return fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: prometheus, static_configs: [{targets: [%q]}]}]\n", own), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prometheus.Kill() })
	file := filepath.Join(t.TempDir(), "mine"+recording.Extension)
	args := []string{"record", "--prometheus", prometheus.URL(), "--from", "10m", "-o", file}
	stack.Await(t, "two scrapes", func() string {
		if status, _, stderr := runIn(t, args...); status != 0 {
			return stderr
		}
		r, err := recording.Load(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		if r.Interval() == 0 {
			return "one sample"
		}
		return ""
	})
	if status, stdout, stderr := runIn(t, args...); status != 0 || stderr != "" || !strings.HasPrefix(stdout, file+": ") || !strings.HasSuffix(stdout, ", scraped every 1s\n") {
		t.Errorf("exit status %d, %q, %q", status, stdout, stderr)
	}
	for want, wrong := range map[string][]string{
		`--from: "noon" is neither a time like 2026-11-28T14:05:00Z nor a duration like 2h`: {"--from", "noon", "-o", file},
		"--output: the name mine.txt does not end in .tar.zst":                              {"--from", "2h", "-o", "mine.txt"},
		"before it begins":   {"--from", "1h", "--to", "2h", "-o", file},
		"connection refused": {"--from", "1h", "-o", file, "--prometheus", "http://127.0.0.1:1"},
	} {
		if status, stdout, stderr := runIn(t, append([]string{"record"}, wrong...)...); status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit status %d, %q, %q, want %q", wrong, status, stdout, stderr, want)
		}
	}
}

package replay

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"github.com/consignwatch/consignwatch/pkg/recording"
)

var start = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

// up is a recording of one target: so many samples for each value, one every 15 seconds.
func up(values ...float64) *recording.Recording {
	s := promql.Series{Metric: labels.FromStrings(model.MetricNameLabel, "up", "job", "node", "instance", "db:9100")}
	for i, v := range values {
		s.Floats = append(s.Floats, promql.FPoint{T: start.Add(time.Duration(i) * 15 * time.Second).UnixMilli(), F: v})
	}
	return &recording.Recording{Series: []promql.Series{s}}
}

func repeated(v float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = v
	}
	return values
}

func ruleFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const targetDown = `groups:
  - name: later
    rules:
      - {alert: TargetDown, expr: 'job:up:min == 0', for: 30s, labels: {priority: P2, severity: warning}, annotations: {summary: "{{ $labels.job }} is down."}}
  - name: earlier
    rules:
      - {record: 'job:up:min', expr: min by (job) (up)}
`

func config(file string, samples int) Config {
	return Config{RuleFiles: []string{file}, Interval: 15 * time.Second, From: start, To: start.Add(time.Duration(samples-1) * 15 * time.Second), ExternalURL: "http://prometheus"}
}

// What Prometheus does with an alert: it waits for as long as the rule says, sends it, again each minute, and says when it has resolved. A group that
// stands behind another one in its file reads what that one has recorded in the same moment.
func TestEvaluateSendsWhatPrometheusWould(t *testing.T) {
	values := append(append(repeated(1, 4), repeated(0, 8)...), repeated(1, 4)...)
	posts, err := Evaluate(t.Context(), config(ruleFile(t, targetDown), len(values)), up(values...))
	if err != nil {
		t.Fatal(err)
	}
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	alert := Alert{
		Labels:       map[string]string{"alertname": "TargetDown", "job": "node", "priority": "P2", "severity": "warning"},
		Annotations:  map[string]string{"summary": "node is down."},
		StartsAt:     at(105), // down from 60 on, which the group that comes first sees 15 seconds later
		GeneratorURL: "http://prometheus/graph?g0.expr=job%3Aup%3Amin+%3D%3D+0&g0.tab=1",
	}
	ending := func(end time.Time) []Alert {
		a := alert
		a.EndsAt = end
		return []Alert{a}
	}
	want := []Post{
		{at(105), ending(at(105 + 240))},
		{at(180), ending(at(180 + 240))},
		{at(195), ending(at(195))},
	}
	if diff := cmp.Diff(want, posts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var text bytes.Buffer
	WriteIncidents(&text, Incidents(posts), time.UTC)
	if got, want := text.String(), "10:01:45 - 10:03:15  P2 TargetDown\n"; got != want {
		t.Errorf("incidents %q, want %q", got, want)
	}
}

// An evaluation that begins with what was before it knows the past, and none of its alerts.
func TestEvaluateBeginsWithAHistory(t *testing.T) {
	file := ruleFile(t, `groups: [{name: g, rules: [{record: 'job:up:min', expr: min by (job) (up)}, {alert: WasUp, expr: 'max_over_time(job:up:min[2m]) == 1 and job:up:min == 0'}, {alert: Down, expr: 'job:up:min == 0', for: 1h}]}]`)
	past := up(repeated(1, 8)...)
	c := config(file, 8)
	history, posts, err := Evaluated(t.Context(), c, past, t.TempDir())
	if err != nil || len(posts) > 0 {
		t.Fatalf("%v, %v", posts, err)
	}
	now := up(append(repeated(1, 8), repeated(0, 4)...)...)
	now.Series[0].Floats = now.Series[0].Floats[8:]
	c.From, c.To = c.To.Add(c.Interval), c.To.Add(4*c.Interval)
	for name, with := range map[string]struct {
		history *History
		want    int
	}{"with": {history, 1}, "without": {nil, 0}} {
		c.History = with.history
		posts, err := Evaluate(t.Context(), c, now)
		if err != nil {
			t.Fatal(err)
		}
		if len(Incidents(posts)) != with.want {
			t.Errorf("%s history there are %d incidents, want %d", name, len(Incidents(posts)), with.want)
		}
	}
}

// A recording may hold what the rules of its time have recorded under a name like that of a metric. Those that are played count, also at the very moment of such a sample.
func TestEvaluateRecordsAnewWhatTheRulesRecord(t *testing.T) {
	r := up(repeated(3, 4)...)
	for level, old := range map[string]float64{"warning": 9, "gone": 1} {
		s := promql.Series{Metric: labels.FromStrings(model.MetricNameLabel, "threshold", "level", level)}
		for _, x := range r.Series[0].Floats {
			s.Floats = append(s.Floats, promql.FPoint{T: x.T, F: old})
		}
		r.Series = append(r.Series, s)
	}
	file := ruleFile(t, `groups: [{name: g, rules: [{record: threshold, expr: vector(2), labels: {level: warning}}, {alert: High, expr: 'threshold < on () group_left () up'}]}]`)
	posts, err := Evaluate(t.Context(), config(file, 4), r)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	WriteIncidents(&text, Incidents(posts), time.UTC)
	if got, want := text.String(), "10:00:00 -           High level=warning\n"; got != want {
		t.Errorf("incidents %q, want %q", got, want)
	}
}

func TestEvaluateNamesTheRuleThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ rules, want string }{
		"it does not parse":             {"groups: [{name: g, rules: [{alert: A, expr: 'up =='}]}]", "could not parse expression"},
		"an unknown key":                {"groups: [{name: g, rules: [{alert: A, expr: up, fore: 1m}]}]", "field fore not found"},
		"it cannot be evaluated":        {"groups: [{name: g, rules: [{record: 'a:b:c', expr: 'up * on (job) group_left () (up or up{x=\"\"} * 2 or label_replace(up, \"instance\", \"2\", \"\", \"\"))'}]}]", "group g: a:b:c at 2026-03-04T10:00:00Z"},
		"an interval that does not fit": {"groups: [{name: g, interval: 20s, rules: [{alert: A, expr: up}]}]", "group g is evaluated every 20s, which is no multiple of 15s"},
	} {
		t.Run(name, func(t *testing.T) {
			file := ruleFile(t, c.rules)
			if _, err := Evaluate(t.Context(), config(file, 2), up(1, 1)); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}

func TestSuitsRefusesWhatRulesWouldMisunderstand(t *testing.T) {
	file := ruleFile(t, "groups: [{name: g, rules: [{record: 'job:errors:rate1m', expr: 'sum by (job) (rate(errors_total[1m]))'}, {alert: A, expr: 'max_over_time(job:errors:rate1m[30s]) > 1'}]}]")
	gap := up(repeated(1, 60)...)
	gap.Series[0].Floats = append(gap.Series[0].Floats[:10:10], gap.Series[0].Floats[40:]...)
	slow := up(repeated(1, 10)...)
	for i := range slow.Series[0].Floats {
		slow.Series[0].Floats[i].T = start.Add(time.Duration(i) * time.Minute).UnixMilli()
	}
	for name, c := range map[string]struct {
		recording *recording.Recording
		want      string
	}{
		"it fits":     {up(repeated(1, 10)...), ""},
		"one sample":  {up(1), "no target has two samples"},
		"a gap":       {gap, "nothing was scraped from 2026-03-04T10:02:15Z to 2026-03-04T10:10:00Z (7m45s)"},
		"too seldom":  {slow, "it was scraped every 1m, and job:errors:rate1m of " + file + ", group g, looks at 1m"},
		"not scraped": {&recording.Recording{}, "no target has two samples"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Suits(config(file, 2), c.recording)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}

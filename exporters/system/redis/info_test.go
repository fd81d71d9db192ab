package redis

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInfoOfAnOldServerIsRead uses what a Redis 6.2 prints, which this machine does not have, and unknown fields.
func TestInfoOfAnOldServerIsRead(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/info-6.2.txt")
	if err != nil {
		t.Fatal(err)
	}
	info := parseInfo(string(text))
	if diff := cmp.Diff(map[string]float64{"0": 10, "3": 1}, info.keys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if lag, ok := info.replicationLag(); !ok || lag != 90 {
		t.Errorf("replication lag %v, %v; want 90: the replica that is still being filled does not count", lag, ok)
	}
	commands, err := info.commands()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]commandCount{
		"get":       {calls: 21, failed: 1, seconds: 175e-6},
		"config":    {calls: 2, rejected: 3, seconds: 30e-6},
		"ft.search": {calls: 5, seconds: 500e-6},
	}, commands, cmp.AllowUnexported(commandCount{})); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if _, err := parseInfo("cmdstat_get:usec=1\r\n").commands(); err == nil || !strings.Contains(err.Error(), "cmdstat_get has no number of calls") {
		t.Errorf("a line without calls: %v", err)
	}
}

func TestAReplyToLatencyHistogramThatMakesNoSenseIsRejected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer any
		says   string
	}{
		"a number":            {int64(1), "no list of pairs but int64"},
		"an odd list":         {[]any{"get"}, "no list of pairs"},
		"a name is a number":  {[]any{int64(1), []any{}}, "a name is a int64"},
		"calls are text":      {[]any{"get", []any{"calls", "many"}}, `command "get": calls are many`},
		"negative calls":      {[]any{"get", []any{"calls", int64(-1)}}, `calls are -1`},
		"a histogram is text": {[]any{"get", []any{"histogram_usec", "x"}}, "histogram_usec is no list"},
		"a bound is text":     {[]any{"get", []any{"histogram_usec", []any{"x", int64(1)}}}, "is no bound and count"},
	} {
		if _, err := parseLatency(c.answer); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want an error that says %q", name, err, c.says)
		}
	}
	got, err := parseLatency([]any{"GET", []any{"calls", int64(5), "unknown", "x", "histogram_usec", []any{int64(1), int64(2), int64(4), int64(5)}}})
	want := map[string]commandLatency{"get": {calls: 5, ranges: []latencyRange{{1e-6, 2}, {4e-6, 5}}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(commandLatency{}, latencyRange{})); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/alerting/amclient"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// command runs a subcommand, and returns its exit status and output.
func command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	code := run(args, out, out)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return code, string(text)
}

func TestAnAlertIsAcknowledgedListedAndUnacknowledgedOnTheCommandLine(t *testing.T) {
	folder := t.TempDir()
	config := filepath.Join(folder, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	alertmanager, err := servers.StartAlertmanager(t.Context(), folder, servers.AlertmanagerConfig{ConfigFile: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = alertmanager.Kill() })
	client, err := amclient.New(alertmanager.URL(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"north", "south"} {
		labels := map[string]string{"alertname": "CheckoutFailing", "client": name, "component": "checkout", "subject": "card", "priority": "P0"}
		if err := client.PostAlerts(t.Context(), amclient.PostableAlert{Labels: labels, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	watchdog := map[string]string{"alertname": "Watchdog", "client": "_platform", "component": "alerting", "subject": "heartbeat", "priority": "none"}
	if err := client.PostAlerts(t.Context(), amclient.PostableAlert{Labels: watchdog, StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONSIGNWATCH_ALERTMANAGER", alertmanager.URL())
	for _, step := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"ack", "--list"}, 0, []string{"PRIORITY", "ACKNOWLEDGED BY", "P0", "CheckoutFailing", "north", "south", "nobody"}},
		{[]string{"ack"}, 1, []string{"several alerts are firing: add matchers, or --all:", "CheckoutFailing north checkout card"}},
		{[]string{"ack", "client=north", "--author", "ann", "--comment", "rolling back", "--for", "2h"}, 0, []string{"CheckoutFailing north checkout card P0 acknowledged by ann, at least until"}},
		{[]string{"ack", "CheckoutFailing", "--author", "bob"}, 0, []string{"north checkout card P0 already acknowledged by ann", "south checkout card P0 acknowledged by bob"}},
		{[]string{"ack", "--list", "client=north"}, 0, []string{"ann", "rolling back"}},
		{[]string{"ack", "ShopSlow"}, 1, []string{"no firing alert matches"}},
		{[]string{"ack", "a b"}, 1, []string{`"a b" is not a matcher like client=north`}},
		{[]string{"ack", "CheckoutFailing", "--for", "soon"}, 1, []string{`--for: "soon" is not a duration`}},
		{[]string{"ack", "client=south", "--author", "bob", "--until", "23:59"}, 0, []string{"south checkout card P0 acknowledged by bob, at least until", "23:59:00"}},
		{[]string{"ack", "client=south", "--author", "bob", "--until", "23:59"}, 0, []string{"south checkout card P0 already acknowledged by bob"}},
		{[]string{"ack", "client=south", "--until", "2026-01-01 17:30"}, 1, []string{"--until: 2026-01-01 17:30 is not in the future"}},
		{[]string{"ack", "client=south", "--until", "soon"}, 1, []string{`--until: "soon" is not a time like 17:30 or "2026-12-05 17:30"`}},
		{[]string{"ack", "Watchdog"}, 1, []string{"an alert that always fires cannot be acknowledged", "Watchdog _platform alerting heartbeat none"}},
		{[]string{"unack", "client=north"}, 0, []string{"CheckoutFailing north checkout card P0 unacknowledged"}},
		{[]string{"unack", "client=north"}, 1, []string{"no matching alert is acknowledged"}},
		{[]string{"ack", "x", "--alertmanager", "alertmanager:9093"}, 1, []string{"--alertmanager:", "is not an address like http://alertmanager:9093"}},
		{[]string{"ack", "x", "--alertmanager", "http://127.0.0.1:1"}, 1, []string{"no answer from Alertmanager at http://127.0.0.1:1", "CONSIGNWATCH_ALERTMANAGER"}},
		{[]string{"ack", "x", "--alertmanager", alertmanager.URL() + "/elsewhere"}, 1, []string{"404", "is this Alertmanager?"}},
		{[]string{"ackd", "--config.file", filepath.Join(folder, "none.yml")}, 1, []string{"none.yml"}},
	} {
		code, printed := command(t, step.args...)
		if code != step.code {
			t.Errorf("%v: exit code %d", step.args, code)
		}
		if strings.Contains(strings.Join(step.args, " "), "--list") && strings.Contains(printed, "Watchdog") {
			t.Errorf("%v: lists what nobody can acknowledge:\n%s", step.args, printed)
		}
		for _, want := range step.want {
			if !strings.Contains(printed, want) {
				t.Errorf("%v: %q is missing in:\n%s", step.args, want, printed)
			}
		}
	}
}

func TestUntilIsTheNextTimeOfDayOrADate(t *testing.T) {
	zone, err := time.LoadLocation("America/Chicago")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 31, 22, 15, 30, 0, zone) // the clocks change in the night
	for text, want := range map[string]time.Time{
		"22:16":            time.Date(2026, 10, 31, 22, 16, 0, 0, zone),
		"22:15":            time.Date(2026, 11, 1, 22, 15, 0, 0, zone),
		"06:00":            time.Date(2026, 11, 1, 6, 0, 0, 0, zone),
		"2026-11-03 08:30": time.Date(2026, 11, 3, 8, 30, 0, 0, zone),
	} {
		if got, err := parseUntil(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "2h", "25:00", "2026-10-31 22:15", "2026-11-03"} {
		if got, err := parseUntil(bad, now); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

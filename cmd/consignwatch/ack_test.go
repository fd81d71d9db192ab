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
	t.Setenv("CONSIGNWATCH_ALERTMANAGER", alertmanager.URL())
	for _, step := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"ack", "--list"}, 0, []string{"PRIORITY", "ACKNOWLEDGED BY", "P0", "CheckoutFailing", "north", "south", "nobody"}},
		{[]string{"ack"}, 1, []string{"several alerts are firing: add matchers, or --all:", "CheckoutFailing north checkout card"}},
		{[]string{"ack", "client=north", "--author", "ann", "--comment", "rolling back", "--for", "2h"}, 0, []string{"CheckoutFailing north checkout card acknowledged by ann, at least until"}},
		{[]string{"ack", "CheckoutFailing", "--author", "bob"}, 0, []string{"north checkout card already acknowledged by ann", "south checkout card acknowledged by bob"}},
		{[]string{"ack", "--list", "client=north"}, 0, []string{"ann", "rolling back"}},
		{[]string{"ack", "ShopSlow"}, 1, []string{"no firing alert matches"}},
		{[]string{"ack", "a b"}, 1, []string{`"a b" is not a matcher like client=north`}},
		{[]string{"ack", "CheckoutFailing", "--for", "soon"}, 1, []string{`--for: "soon" is not a duration`}},
		{[]string{"unack", "client=north"}, 0, []string{"CheckoutFailing north checkout card unacknowledged"}},
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
		for _, want := range step.want {
			if !strings.Contains(printed, want) {
				t.Errorf("%v: %q is missing in:\n%s", step.args, want, printed)
			}
		}
	}
}

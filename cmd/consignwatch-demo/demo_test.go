package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
	"github.com/consignwatch/consignwatch/test/stack"
)

func TestTheDemoPagesForAnInjectedFaultAndLeavesNothingBehind(t *testing.T) {
	d := stack.Start(t, "--fault=sold-twice")
	d.Await("All is up")
	state := d.State()
	for _, name := range []string{"mariadb", "redis", "platform-sim", "business-exporter", "system-exporter", "integration-exporter", "node_exporter", "alertmanager", "ackd", "prometheus", "event-exporter", "receiver"} {
		part, ok := state.Part(name)
		if !ok || part.Port == 0 || part.PID == 0 || part.Host != "127.0.0.1" {
			t.Errorf("the state file has %+v for %s", part, name)
		}
	}
	line := d.Await("FIRING", "sold_twice")
	for _, part := range []string{"P1 critical", "violate an integrity check", "1 violation", "/BusinessIntegrityViolation"} {
		if !strings.Contains(line, part) {
			t.Errorf("the notification %q does not say %q", line, part)
		}
	}
	notification := d.Notification(func(p webhookreceiver.Notification) bool {
		return p.Status == webhookreceiver.Firing && p.Alerts[0].Labels["subject"] == "sold_twice"
	})
	if client := notification.Alerts[0].Labels["client"]; client == "" || !strings.Contains(line, "  "+client+"  ") {
		t.Errorf("the notifications file has %+v, the line is %q", notification, line)
	}
	for _, job := range []string{"business-exporter", "system-exporter", "integration-exporter", "node", "alertmanager", "ackd", "prometheus", "event-exporter"} {
		awaitValues(t, state, fmt.Sprintf("up{job=%q}", job), "1")
	}
	// A collector that failed on a busy machine succeeds in its next round.
	awaitValues(t, state, "consignwatch_collector_success == 0")
	// mysql, redis, redis_operations, kafka and probe
	awaitValues(t, state, `count(consignwatch_collector_success{job="system-exporter"})`, "5")
	awaitValues(t, state, "consign_mysql_capability == 0")
	d.Stop(state)
}

// awaitValues waits until an expression has these values.
func awaitValues(t *testing.T, state statefile.State, expression string, want ...string) {
	t.Helper()
	stack.Await(t, expression, func() string {
		if got := stack.Values(t, state, expression); !slices.Equal(got, want) {
			return fmt.Sprintf("it is %v, want %v", got, want)
		}
		return ""
	})
}

func TestAMissingServerIsNamedWithTheCommandThatBringsIt(t *testing.T) {
	alone := filepath.Join(t.TempDir(), "consignwatch-demo")
	program, err := os.ReadFile(stack.Program(t, "consignwatch-demo")) // a copy, because a link would lead to the folder with the other programs
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(alone, program, 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), alone, "--headless")
	command.Dir = t.TempDir()
	command.Env = []string{"PATH=", "TMPDIR=" + t.TempDir()}
	output, err := command.CombinedOutput()
	if err == nil || command.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1", err)
	}
	for _, part := range []string{"prometheus is missing", "make deps", "business-exporter is missing", "make build"} {
		if !strings.Contains(string(output), part) {
			t.Errorf("the message does not say %q:\n%s", part, output)
		}
	}
}

//go:build acceptance

package acceptance

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/test/stack"
)

// command runs consignwatch, and returns its exit status and output.
func command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), stack.Program(t, "consignwatch"), args...)
	printed, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(printed)
}

// TestADrillInTheDemoWalksAllLevels leaves a P0 alert unacknowledged in the whole demo, with a shortened policy: it is notified, reaches its levels in
// order and in time, is acknowledged, and all receivers are notified of the resolution. Then all alerts that no fault fires are drilled together.
func TestADrillInTheDemoWalksAllLevels(t *testing.T) {
	t.Parallel()
	d := stack.Start(t, "--time-scale=20")
	d.Await("All is up")
	state := d.State()
	stack.Await(t, "a healthy platform", func() string {
		if len(stack.Values(t, state, "consign_mysql_up == 1")) == 0 || len(stack.Values(t, state, `consign_alerts_firing{priority="none"} >= 1`)) == 0 {
			return "nothing is known yet"
		}
		return ""
	})
	code, printed := command(t, "drill", "DatabaseDown", "--priority=P0", "--escalate", "--author=ann", "--state-file="+d.StateFile)
	t.Log(printed)
	if code != 0 {
		t.Errorf("exit status %d", code)
	}
	last := 0
	for _, step := range []string{
		`P0  DatabaseDown _platform main, by the fault database-down`, ` \+0\.0s +fault`, ` pending`, ` firing`, ` notified +technical-initial +in time`,
		` escalated +L2 technical-secondary +in time`, ` escalated +L3 management +in time`, ` escalated +L4 emergency +in time`, ` acknowledged +by ann`, ` resolved +in Prometheus`,
		`P0, fault to page: median`,
	} {
		place := regexp.MustCompile(step).FindStringIndex(printed[last:])
		if place == nil {
			t.Fatalf("the report lacks %q, or has it too early", step)
		}
		last += place[1]
	}
	if !regexp.MustCompile(`(?m) metric *$`).MatchString(printed) {
		t.Error("the report does not say when the metric showed it")
	}
	if len(regexp.MustCompile(` resolved +notified `).FindAllString(printed, -1)) < 4 {
		t.Error("not everybody who was notified is notified that it has resolved")
	}
	if acknowledged := stack.Values(t, state, "consign_alert_acknowledged == 1"); len(acknowledged) > 0 {
		t.Errorf("%d alerts are still acknowledged", len(acknowledged))
	}
	if code, printed = command(t, "drill", "--all", "--synthetic", "--state-file="+d.StateFile); code != 0 || strings.Contains(printed, "MISSING") {
		t.Errorf("exit status %d:\n%s", code, printed)
	}
	notified := regexp.MustCompile(`P1  PrometheusConfigBad _platform drill, by a synthetic alert\n.* firing .*\n.* notified +technical-initial +in time.*\n.*\n.* resolved +notified technical-initial\n`)
	if !notified.MatchString(printed) {
		t.Errorf("nobody is notified of PrometheusConfigBad:\n%s", printed)
	}
	d.Stop(state)
}

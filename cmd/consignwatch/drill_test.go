package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestADrillInTheDemoWalksAllLevels lets a P0 alone in the whole demo, with a clock that goes faster: it is told, reaches its levels in order and in
// time, is acknowledged, and everybody who was told hears that it is over. Then all alerts are drilled that no fault fires, together.
func TestADrillInTheDemoWalksAllLevels(t *testing.T) {
	t.Parallel() // it mostly waits
	d := startDemo(t, "--time-scale=20")
	d.await("All is up")
	state := d.state()
	await(t, "a healthy platform", func() string {
		if len(ask(t, state, "consign_mysql_up == 1")) == 0 || len(ask(t, state, `consign_alerts_firing{priority="none"} == 1`)) == 0 {
			return "nothing is known yet"
		}
		return ""
	})
	code, printed := command(t, "drill", "DatabaseDown", "--priority=P0", "--escalate", "--author=ann", "--state-file="+d.stateFile)
	t.Log(printed)
	if code != 0 {
		t.Errorf("exit status %d", code)
	}
	last := 0
	for _, step := range []string{
		`P0  DatabaseDown _platform main, by the fault database-down`, ` \+0\.0s +fault`, ` pending`, ` firing`, ` notified +technical-initial +in time`,
		` escalated +L2 technical-secondary +in time`, ` escalated +L3 management +in time`, ` escalated +L4 emergency +in time`, ` acknowledged +by ann`, ` resolved +in Prometheus`,
		`From fault to page, P0: median`,
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
	if strings.Count(printed, "told to ") < 4 {
		t.Error("not everybody who was told hears that it is over")
	}
	if taken := ask(t, state, "consign_alert_acknowledged == 1"); len(taken) > 0 {
		t.Errorf("%d alerts are still taken", len(taken))
	}
	if code, printed = command(t, "drill", "--all", "--made-up", "--state-file="+d.stateFile); code != 0 || strings.Contains(printed, "MISSING") {
		t.Errorf("exit status %d:\n%s", code, printed)
	}
	told := regexp.MustCompile(`P1  PrometheusConfigBad _platform drill, by an alert that is made up\n.* firing .*\n.* notified +technical-initial +in time.*\n.*\n.* resolved +told to technical-initial\n`)
	if !told.MatchString(printed) {
		t.Errorf("nobody is told of PrometheusConfigBad:\n%s", printed)
	}
	d.stop(state)
}

func TestADrillSaysWhatItNeeds(t *testing.T) {
	none := filepath.Join(t.TempDir(), "state.json")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"drill"}, "name an alert or a fault, or say --all; --list shows what there is"},
		{[]string{"drill", "NoSuchAlert"}, `"NoSuchAlert" is no alert of P0 or P1, and no fault that fires one`},
		{[]string{"drill", "DatabaseDown", "--made-up"}, "--made-up is for --all and --list"},
		{[]string{"drill", "DatabaseDown"}, "say --state-file of a running demo (consignwatch demo --state-file FILE), or --alertmanager URL"},
		{[]string{"drill", "DatabaseDown", "--state-file", none}, "is a demo running with --state-file " + none},
		{[]string{"drill", "DatabaseDown", "--state-file", none, "--alertmanager", "http://a:1"}, "say one of them"},
		{[]string{"drill", "ClientApiFailing", "--alertmanager", "http://127.0.0.1:1"}, "ClientApiFailing is about a client: say whose with --client"},
		{[]string{"drill", "DatabaseDown", "--alertmanager", "http://127.0.0.1:1"}, "no answer from Alertmanager at http://127.0.0.1:1"},
	} {
		if code, printed := command(t, c.args...); code != 1 || !strings.Contains(printed, c.want) {
			t.Errorf("%v: exit status %d, %q is missing in:\n%s", c.args, code, c.want, printed)
		}
	}
	if code, printed := command(t, "drill", "--list", "--made-up"); code != 0 || strings.Contains(printed, "DatabaseDown") || !strings.Contains(printed, "PrometheusConfigBad") {
		t.Errorf("exit status %d:\n%s", code, printed)
	}
	code, printed := command(t, "drill", "--list")
	for _, want := range []string{`P0 +DatabaseDown +fault database-down`, `P1 +PrometheusConfigBad +made up`} {
		if code != 0 || !regexp.MustCompile(want).MatchString(printed) {
			t.Errorf("exit status %d, %q is missing in:\n%s", code, want, printed)
		}
	}
}

func TestACommandThatCtrlCEndsSaysInterrupted(t *testing.T) {
	asked := make(chan struct{}, 10)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then a server sees that the client has gone
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer silent.Close()
	var stderr strings.Builder
	drill := exec.CommandContext(t.Context(), filepath.Join(os.Getenv(binVariable), "consignwatch"), "drill", "DatabaseDown", "--alertmanager="+silent.URL)
	drill.Stderr = &stderr
	if err := drill.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	if err := drill.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := drill.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || stderr.String() != "consignwatch: interrupted\n" {
		t.Errorf("%v: %q", err, stderr.String())
	}
}

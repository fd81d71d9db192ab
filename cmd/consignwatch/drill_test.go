package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/consignwatch/consignwatch/test/stack"
)

func TestADrillSaysWhatItNeeds(t *testing.T) {
	none := filepath.Join(t.TempDir(), "state.json")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"drill"}, "name an alert or a fault, or set --all; --list shows them"},
		{[]string{"drill", "NoSuchAlert"}, `"NoSuchAlert" is neither a P0/P1 alert nor a fault that fires one`},
		{[]string{"drill", "DatabaseDown", "--synthetic"}, "--synthetic needs --all or --list"},
		{[]string{"drill", "DatabaseDown"}, "set --state-file of a running demo (consignwatch-demo --state-file FILE), or --alertmanager URL"},
		{[]string{"drill", "DatabaseDown", "--state-file", none}, "is a demo running with --state-file " + none},
		{[]string{"drill", "DatabaseDown", "--state-file", none, "--alertmanager", "http://a:1"}, "set one of them"},
		{[]string{"drill", "ClientApiFailing", "--alertmanager", "http://127.0.0.1:1"}, "ClientApiFailing is about a client: set --client"},
		{[]string{"drill", "DatabaseDown", "--alertmanager", "http://127.0.0.1:1"}, "no answer from Alertmanager at http://127.0.0.1:1"},
	} {
		if code, printed := command(t, c.args...); code != 1 || !strings.Contains(printed, c.want) {
			t.Errorf("%v: exit status %d, %q is missing in:\n%s", c.args, code, c.want, printed)
		}
	}
	if code, printed := command(t, "drill", "--list", "--synthetic"); code != 0 || strings.Contains(printed, "DatabaseDown") || !strings.Contains(printed, "PrometheusConfigBad") {
		t.Errorf("exit status %d:\n%s", code, printed)
	}
	code, printed := command(t, "drill", "--list")
	for _, want := range []string{`P0 +DatabaseDown +fault database-down`, `P1 +PrometheusConfigBad +synthetic`} {
		if code != 0 || !regexp.MustCompile(want).MatchString(printed) {
			t.Errorf("exit status %d, %q is missing in:\n%s", code, want, printed)
		}
	}
}

func TestACommandThatCtrlCEndsSaysInterrupted(t *testing.T) {
	asked := make(chan struct{}, 10)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client has disconnected
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	defer silent.Close()
	var stderr strings.Builder
	drill := exec.CommandContext(t.Context(), stack.Program(t, "consignwatch"), "drill", "DatabaseDown", "--alertmanager="+silent.URL)
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

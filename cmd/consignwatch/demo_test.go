package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo"
	"github.com/consignwatch/consignwatch/pkg/pages"
	"github.com/consignwatch/consignwatch/pkg/servers"
)

// binVariable names the folder with our own commands, built from the source
// under test.
const binVariable = "CONSIGNWATCH_TEST_BIN"

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	folder, err := os.MkdirTemp("", "consignwatch-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	build := exec.Command("go", "build", "-o", folder, "../...")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build our commands: %v\n%s", err, output)
		return 1
	}
	for _, variable := range []string{binVariable, servers.BinVariable} {
		if err := os.Setenv(variable, folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	// The tests that say that they can run side by side wait for a demo of their own, most of their time.
	flag.Parse()
	if err := flag.Set("test.parallel", "3"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// aDemo is a running `consignwatch demo`.
type aDemo struct {
	t         *testing.T
	command   *exec.Cmd
	lines     *bufio.Scanner // of standard output
	stderr    bytes.Buffer
	temporary string // its temporary folder
	stateFile string
	pagesFile string
}

func startDemo(t *testing.T, flags ...string) *aDemo {
	t.Helper()
	folder := t.TempDir()
	d := &aDemo{
		t:         t,
		temporary: t.TempDir(),
		stateFile: filepath.Join(folder, "state.json"),
		pagesFile: filepath.Join(folder, "pages.jsonl"),
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	t.Cleanup(cancel)
	bin := os.Getenv(binVariable)
	for name, usual := range map[string]string{"--events=": "4", "--items=": "1000"} {
		if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, name) }) {
			flags = append(flags, name+usual)
		}
	}
	d.command = exec.CommandContext(ctx, filepath.Join(bin, "consignwatch"), append([]string{
		"demo", "--headless", "--clients=3", "--noon", "--state-file=" + d.stateFile, "--pages-file=" + d.pagesFile,
	}, flags...)...)
	d.command.Env = append(os.Environ(), "TMPDIR="+d.temporary, servers.BinVariable+"="+bin)
	d.command.Stderr = &d.stderr
	output, err := d.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.command.Start(); err != nil {
		t.Fatal(err)
	}
	d.lines = bufio.NewScanner(io.TeeReader(output, t.Output()))
	return d
}

// await returns the next line that contains all of the texts.
func (d *aDemo) await(texts ...string) string {
	d.t.Helper()
	for d.lines.Scan() {
		if line := d.lines.Text(); containsAll(line, texts) {
			return line
		}
	}
	d.t.Fatalf("the output ends without a line with %q; %v\n%s", texts, d.command.Wait(), d.stderr.String())
	return ""
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func (d *aDemo) state() demo.State {
	d.t.Helper()
	state, err := demo.ReadState(d.stateFile)
	if err != nil {
		d.t.Fatal(err)
	}
	return state
}

// ended waits for the end and checks that nothing is left of the parts. It
// returns the exit status.
func (d *aDemo) ended(state demo.State) int {
	d.t.Helper()
	for d.lines.Scan() {
	}
	_ = d.command.Wait()
	for _, part := range state.Parts {
		if err := syscall.Kill(part.PID, 0); !errors.Is(err, syscall.ESRCH) {
			d.t.Errorf("%s (process %d) is still there: %v", part.Name, part.PID, err)
		}
	}
	left, err := os.ReadDir(d.temporary)
	if err != nil {
		d.t.Error(err)
	}
	if len(left) > 0 {
		d.t.Errorf("left in the temporary folder: %v", left)
	}
	if _, err := os.Stat(d.stateFile); !errors.Is(err, os.ErrNotExist) {
		d.t.Errorf("the state file is left: %v", err)
	}
	return d.command.ProcessState.ExitCode()
}

func TestTheDemoPagesForAnInjectedFaultAndLeavesNothingBehind(t *testing.T) {
	d := startDemo(t, "--fault=sold-twice")
	d.await("All is up")
	state := d.state()
	for _, name := range []string{"mariadb", "redis", "platform-sim", "business-exporter", "system-exporter", "integration-exporter", "node_exporter", "alertmanager", "ackd", "prometheus", "event-exporter", "pages"} {
		part, ok := state.Part(name)
		if !ok || part.Port == 0 || part.PID == 0 || part.Host != "127.0.0.1" {
			t.Errorf("the state file has %+v for %s", part, name)
		}
	}
	line := d.await("FIRING", "sold_twice")
	for _, part := range []string{"P1 critical", "contradict themselves", "1 violation", "/BusinessIntegrityViolation"} {
		if !strings.Contains(line, part) {
			t.Errorf("the page %q does not say %q", line, part)
		}
	}
	page := lastPage(t, d.pagesFile)
	client := page.Alerts[0].Labels["client"]
	if page.Status != pages.Firing || client == "" || !strings.Contains(line, "  "+client+"  ") {
		t.Errorf("the pages file ends with %+v, the line is %q", page, line)
	}
	for _, job := range []string{"business-exporter", "system-exporter", "integration-exporter", "node", "alertmanager", "ackd", "prometheus", "event-exporter"} {
		if up := ask(t, state, fmt.Sprintf("up{job=%q}", job)); len(up) != 1 || up[0] != "1" {
			t.Errorf("job %s: up is %v", job, up)
		}
	}
	if failing := ask(t, state, "consignwatch_collector_success == 0"); len(failing) > 0 {
		t.Errorf("%d collectors fail", len(failing))
	}
	if n := ask(t, state, `count(consignwatch_collector_success{job="system-exporter"})`); len(n) != 1 || n[0] != "5" {
		t.Errorf("the system-exporter has %v collectors with success, want mysql, redis, redis_operations, kafka and probe", n)
	}
	if capable := ask(t, state, "consign_mysql_capability == 0"); len(capable) > 0 {
		t.Errorf("the database lacks %d capabilities", len(capable))
	}
	d.stop(state)
}

// stop asks the demo to end, and checks that it does so well.
func (d *aDemo) stop(state demo.State) {
	d.t.Helper()
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	if code := d.ended(state); code != 0 {
		d.t.Errorf("exit status %d after SIGTERM\n%s", code, d.stderr.String())
	}
}

// sample is one of the results of an expression.
type sample struct {
	Metric map[string]string
	Value  float64
}

// results asks Prometheus for the results of an expression.
func results(t *testing.T, state demo.State, expression string) []sample {
	t.Helper()
	prometheus, _ := state.Part("prometheus")
	response, err := http.Get(prometheus.URL + "/api/v1/query?" + url.Values{"query": {expression}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status string
		Data   struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: status %q: %v", expression, answer.Status, err)
	}
	var samples []sample
	for _, r := range answer.Data.Result {
		value, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		samples = append(samples, sample{r.Metric, value})
	}
	return samples
}

// ask asks Prometheus for the values of an expression.
func ask(t *testing.T, state demo.State, expression string) []string {
	t.Helper()
	var values []string
	for _, s := range results(t, state, expression) {
		values = append(values, strconv.FormatFloat(s.Value, 'g', -1, 64))
	}
	return values
}

// lastPage reads the last line of a pages file.
func lastPage(t *testing.T, file string) pages.Page {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var page pages.Page
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Alerts) == 0 {
		t.Fatalf("a page without alerts: %+v", page)
	}
	return page
}

func TestACrashOfAPartEndsTheDemo(t *testing.T) {
	d := startDemo(t)
	d.await("All is up")
	state := d.state()
	database, _ := state.Part("mariadb")
	if err := syscall.Kill(database.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code := d.ended(state); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	for _, part := range []string{"mariadb crashed", "signal: killed", "ready for connections"} {
		if !strings.Contains(d.stderr.String(), part) {
			t.Errorf("the message does not say %q:\n%s", part, d.stderr.String())
		}
	}
}

func TestAnUnknownFaultEndsTheDemoWithTheNamesThatExist(t *testing.T) {
	d := startDemo(t, "--fault=no-such-fault")
	d.await("All is up")
	if code := d.ended(demo.State{}); code != 1 {
		t.Errorf("exit status %d, want 1", code)
	}
	for _, part := range []string{`"no-such-fault"`, "sold-twice"} {
		if !strings.Contains(d.stderr.String(), part) {
			t.Errorf("the message does not say %q:\n%s", part, d.stderr.String())
		}
	}
}

func TestAMissingServerIsNamedWithTheCommandThatBringsIt(t *testing.T) {
	alone := filepath.Join(t.TempDir(), "consignwatch")
	if err := os.Link(filepath.Join(os.Getenv(binVariable), "consignwatch"), alone); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), alone, "demo", "--headless")
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

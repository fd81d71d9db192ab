// Package stack runs a whole `consignwatch demo` for a test, as a user would, and asks its Prometheus and its platform. It judges nothing: what must hold
// is said by the tests that start it.
package stack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

// longest is for how long a demo of a test may run: what hangs is ended, and the test says so.
const longest = 25 * time.Minute

// patience is for how long something is waited for that comes within seconds on an idle machine.
const patience = 10 * time.Minute

// Stack is a running `consignwatch demo`, a process of its own.
type Stack struct {
	StateFile string
	PagesFile string

	t         *testing.T
	command   *exec.Cmd
	lines     *bufio.Scanner // of standard output
	stderr    bytes.Buffer
	temporary string // its temporary folder
}

// Program returns the path of one of our own commands, which `make build` has built. Asking for it names it as an input of the test: Go's test cache
// forgets the result when the program changes.
func Program(t testing.TB, name string) string {
	t.Helper()
	program, err := servers.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// Start runs a demo from noon on with three clients, and unless flags say otherwise four sale events with a thousand items. It ends with the test at the
// latest.
func Start(t *testing.T, flags ...string) *Stack {
	t.Helper()
	// The demo starts these by itself; Go's test cache has to know.
	for _, name := range []string{"business-exporter", "event-exporter", "integration-exporter", "platform-sim", "system-exporter"} {
		Program(t, name)
	}
	folder := t.TempDir()
	s := &Stack{
		t:         t,
		temporary: t.TempDir(),
		StateFile: filepath.Join(folder, "state.json"),
		PagesFile: filepath.Join(folder, "pages.jsonl"),
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	t.Cleanup(cancel)
	for name, usual := range map[string]string{"--events=": "4", "--items=": "1000"} {
		if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, name) }) {
			flags = append(flags, name+usual)
		}
	}
	s.command = exec.CommandContext(ctx, Program(t, "consignwatch"), append([]string{
		"demo", "--headless", "--clients=3", "--noon", "--state-file=" + s.StateFile, "--pages-file=" + s.PagesFile,
	}, flags...)...)
	s.command.Env = append(os.Environ(), "TMPDIR="+s.temporary)
	s.command.Stderr = &s.stderr
	// A demo that is asked to end takes its servers with it, one that is killed leaves them behind.
	s.command.Cancel = func() error { return s.command.Process.Signal(syscall.SIGTERM) }
	s.command.WaitDelay = time.Minute
	output, err := s.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	s.lines = bufio.NewScanner(io.TeeReader(output, t.Output()))
	return s
}

// Await returns the next line of the demo's output that contains all of the texts.
func (s *Stack) Await(texts ...string) string {
	s.t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(line, text) }) {
			return line
		}
	}
	s.t.Fatalf("the output ends without a line with %q; %v\n%s", texts, s.command.Wait(), s.stderr.String())
	return ""
}

// Stderr is what the demo has written to its standard error, once it has ended.
func (s *Stack) Stderr() string { return s.stderr.String() }

// State reads what runs where.
func (s *Stack) State() demo.State {
	s.t.Helper()
	state, err := demo.ReadState(s.StateFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// Ended waits for the end, checks that nothing is left of the parts, and returns the exit status.
func (s *Stack) Ended(state demo.State) int {
	s.t.Helper()
	for s.lines.Scan() {
	}
	_ = s.command.Wait()
	for _, part := range state.Parts {
		if err := syscall.Kill(part.PID, 0); !errors.Is(err, syscall.ESRCH) {
			s.t.Errorf("%s (process %d) is still there: %v", part.Name, part.PID, err)
		}
	}
	left, err := os.ReadDir(s.temporary)
	if err != nil {
		s.t.Error(err)
	}
	if len(left) > 0 {
		s.t.Errorf("left in the temporary folder: %v", left)
	}
	if _, err := os.Stat(s.StateFile); !errors.Is(err, os.ErrNotExist) {
		s.t.Errorf("the state file is left: %v", err)
	}
	return s.command.ProcessState.ExitCode()
}

// Stop asks the demo to end, and checks that it does so in order.
func (s *Stack) Stop(state demo.State) {
	s.t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if code := s.Ended(state); code != 0 {
		s.t.Errorf("exit status %d after SIGTERM\n%s", code, s.stderr.String())
	}
}

// Page returns the first of the pages that were sent for which is holds.
func (s *Stack) Page(is func(pages.Page) bool) pages.Page {
	s.t.Helper()
	text, err := os.ReadFile(s.PagesFile)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var page pages.Page
		if err := json.Unmarshal([]byte(line), &page); err != nil {
			s.t.Fatalf("%s: %v: %s", s.PagesFile, err, line)
		}
		if len(page.Alerts) == 0 {
			s.t.Fatalf("%s: a page without alerts: %s", s.PagesFile, line)
		}
		if is(page) {
			return page
		}
	}
	s.t.Fatalf("no such page in:\n%s", text)
	return pages.Page{}
}

// Sample is one of the results of an expression.
type Sample struct {
	Metric map[string]string
	Value  float64
}

// Query asks a demo's Prometheus for the results of an expression.
func Query(t *testing.T, state demo.State, expression string) []Sample {
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
	var samples []Sample
	for _, r := range answer.Data.Result {
		value, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		samples = append(samples, Sample{r.Metric, value})
	}
	return samples
}

// Values asks a demo's Prometheus for the values of an expression.
func Values(t *testing.T, state demo.State, expression string) []string {
	t.Helper()
	var values []string
	for _, s := range Query(t, state, expression) {
		values = append(values, strconv.FormatFloat(s.Value, 'g', -1, 64))
	}
	return values
}

// Await waits until nothing is wrong any more.
func Await(t *testing.T, what string, wrong func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(500 * time.Millisecond) {
		message := wrong()
		if message == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", what, message)
		}
	}
}

// SwitchFault switches a fault of the demo's platform: `on`, or `off`, with further parameters of the request behind a question mark. For some, off is
// done only when the server answers again.
func SwitchFault(t *testing.T, state demo.State, fault, how string) {
	t.Helper()
	platform, _ := state.Part("platform-sim")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, platform.URL+"/faults/"+fault+"/"+how, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", fault, how, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusNoContent {
		t.Fatalf("%s %s: %s: %s %v", fault, how, response.Status, body, err)
	}
}

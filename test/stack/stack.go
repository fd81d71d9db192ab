// Package stack runs a whole `consignwatch-demo` for a test, as a user would, and sends requests to its Prometheus and its platform. It checks nothing:
// that is the work of the tests.
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

	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/demo/webhookreceiver"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

// demoTimeout is the maximum duration of a demo in a test. A demo that hangs is ended, and its test fails.
const demoTimeout = 25 * time.Minute

// patience is how long to wait for events that take seconds on an idle machine.
const patience = 10 * time.Minute

// Stack is a process that runs `consignwatch-demo`.
type Stack struct {
	StateFile         string
	NotificationsFile string

	t         *testing.T
	command   *exec.Cmd
	lines     *bufio.Scanner // of standard output
	stderr    bytes.Buffer
	temporary string // its temporary folder
}

// Program returns the path of one of our commands, built by `make build`. It makes the file an input of the test, so that Go's test cache drops the
// result when the program changes.
func Program(t testing.TB, name string) string {
	t.Helper()
	program, err := executable.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// Start runs a demo from noon on with three clients, and unless flags say otherwise four sale events with a thousand items. It ends with the test at the
// latest.
func Start(t *testing.T, flags ...string) *Stack {
	t.Helper()
	// The demo starts these programs: they are inputs of the test for Go's test cache.
	for _, name := range []string{"business-exporter", "consignwatch", "event-exporter", "integration-exporter", "platform-sim", "system-exporter"} {
		Program(t, name)
	}
	folder := t.TempDir()
	s := &Stack{
		t:                 t,
		temporary:         t.TempDir(),
		StateFile:         filepath.Join(folder, "state.json"),
		NotificationsFile: filepath.Join(folder, "notifications.jsonl"),
	}
	ctx, cancel := context.WithTimeout(t.Context(), demoTimeout)
	t.Cleanup(cancel)
	for name, usual := range map[string]string{"--events=": "4", "--items=": "1000"} {
		if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, name) }) {
			flags = append(flags, name+usual)
		}
	}
	s.command = exec.CommandContext(ctx, Program(t, "consignwatch-demo"), append([]string{
		"--headless", "--clients=3", "--noon", "--state-file=" + s.StateFile, "--notifications-file=" + s.NotificationsFile,
	}, flags...)...)
	s.command.Env = append(os.Environ(), "TMPDIR="+s.temporary)
	s.command.Stderr = &s.stderr
	// A demo that receives SIGTERM ends its servers; one that is killed leaves them running.
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

// State reads the state file.
func (s *Stack) State() statefile.State {
	s.t.Helper()
	state, err := statefile.Read(s.StateFile)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// Ended waits for the end of the demo, checks that no process or file is left, and returns the exit status.
func (s *Stack) Ended(state statefile.State) int {
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

// Stop sends SIGTERM to the demo, and checks that it ends with status 0.
func (s *Stack) Stop(state statefile.State) {
	s.t.Helper()
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if code := s.Ended(state); code != 0 {
		s.t.Errorf("exit status %d after SIGTERM\n%s", code, s.stderr.String())
	}
}

// Notification returns the first notification that matches.
func (s *Stack) Notification(match func(webhookreceiver.Notification) bool) webhookreceiver.Notification {
	s.t.Helper()
	text, err := os.ReadFile(s.NotificationsFile)
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			break // incomplete
		}
		var n webhookreceiver.Notification
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			s.t.Fatalf("%s: %v: %s", s.NotificationsFile, err, line)
		}
		if len(n.Alerts) == 0 {
			s.t.Fatalf("%s: a notification without alerts: %s", s.NotificationsFile, line)
		}
		if match(n) {
			return n
		}
	}
	s.t.Fatalf("no such notification in:\n%s", text)
	return webhookreceiver.Notification{}
}

// Sample is a sample of the result of an expression.
type Sample struct {
	Metric map[string]string
	Value  float64
}

// Query returns the result of an expression in a demo's Prometheus.
func Query(t *testing.T, state statefile.State, expression string) []Sample {
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

// Values returns the values of an expression in a demo's Prometheus.
func Values(t *testing.T, state statefile.State, expression string) []string {
	t.Helper()
	var values []string
	for _, s := range Query(t, state, expression) {
		values = append(values, strconv.FormatFloat(s.Value, 'g', -1, 64))
	}
	return values
}

// Await waits until wrong returns an empty message.
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

// SwitchFault switches a fault of the demo's platform. how is on or off, with optional query parameters. Some faults are off only when their server
// responds again.
func SwitchFault(t *testing.T, state statefile.State, fault, how string) {
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

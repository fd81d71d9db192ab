package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/demo/statefile"
	"github.com/consignwatch/consignwatch/pkg/executable"
)

func TestMain(m *testing.M) {
	if os.Getenv(standIn) != "" {
		os.Exit(grafanaStandIn())
	}
	os.Exit(serverstest.Main(m))
}

// journal records the starts and stops of fakes, in order.
type journal struct {
	mu    sync.Mutex
	notes []string
}

func (j *journal) note(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes = append(j.notes, text)
}

// fake is a running part without a process.
type fake struct {
	name    string
	journal *journal
	once    sync.Once
	done    chan struct{}
	err     error
}

func (f *fake) Address() string       { return "127.0.0.1:1" }
func (f *fake) PID() int              { return 1 }
func (f *fake) Done() <-chan struct{} { return f.done }
func (f *fake) Err() error            { return f.err }

func (f *fake) end(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.done)
	})
}

func (f *fake) Stop(context.Context) error {
	f.journal.note("stop " + f.name)
	f.end(servers.ErrStopped)
	return nil
}

func (j *journal) fake(name string) (*fake, part) {
	f := &fake{name: name, journal: j, done: make(chan struct{})}
	return f, part{name: name, start: func(_ context.Context, _ *stack, folder string) (running, error) {
		if _, err := os.Stat(folder); err != nil {
			return nil, err
		}
		j.note("start " + name)
		return f, nil
	}}
}

// background runs a demo of the parts, with its temporary folder in a folder
// of the test. It returns what the demo prints, line by line, and its end.
func background(t *testing.T, ctx context.Context, config Config, parts []part) (lines *bufio.Scanner, ended func() error) {
	t.Helper()
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	read, write := io.Pipe()
	config.Out = write
	end := make(chan error, 1)
	go func() {
		err := run(ctx, config, parts)
		_ = write.Close()
		end <- err
	}()
	return bufio.NewScanner(read), func() error {
		_, _ = io.Copy(io.Discard, read)
		err := <-end
		left, readErr := os.ReadDir(temporary)
		if readErr != nil {
			t.Error(readErr)
		}
		if len(left) > 0 {
			t.Errorf("the demo leaves %v in the temporary folder", left)
		}
		return err
	}
}

// await reads lines until one contains the text.
func await(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("the output ends without %q", text)
}

func TestACrashEndsAllPartsInReverseOrderAndIsReported(t *testing.T) {
	var j journal
	_, first := j.fake("first")
	second, secondPart := j.fake("second")
	_, third := j.fake("third")
	lines, ended := background(t, t.Context(), Config{}, []part{first, secondPart, third})
	await(t, lines, "All is up")
	second.end(errors.New("exit status 2; the last lines of its log:\nout of luck"))

	err := ended()
	var crash *CrashError
	if !errors.As(err, &crash) || crash.Part != "second" || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("Run = %v, want the crash of the second part with its log", err)
	}
	want := []string{"start first", "start second", "start third", "stop third", "stop second", "stop first"}
	if diff := cmp.Diff(want, j.notes); diff != "" {
		t.Errorf("what happened (-want +got):\n%s", diff)
	}
}

func TestACrashWhileALaterPartStartsIsReported(t *testing.T) {
	var j journal
	first, firstPart := j.fake("first")
	slow := part{name: "slow", start: func(ctx context.Context, _ *stack, _ string) (running, error) {
		first.end(errors.New("exit status 1"))
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	_, ended := background(t, t.Context(), Config{}, []part{firstPart, slow})
	var crash *CrashError
	if err := ended(); !errors.As(err, &crash) || crash.Part != "first" {
		t.Errorf("Run = %v, want the crash of the first part", err)
	}
}

func TestAFailedStartEndsWhatIsUp(t *testing.T) {
	var j journal
	_, first := j.fake("first")
	broken := part{name: "broken", start: func(context.Context, *stack, string) (running, error) {
		return nil, errors.New("no luck")
	}}
	_, ended := background(t, t.Context(), Config{}, []part{first, broken})
	if err := ended(); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("Run = %v, want why the part did not start", err)
	}
	if diff := cmp.Diff([]string{"start first", "stop first"}, j.notes); diff != "" {
		t.Errorf("what happened (-want +got):\n%s", diff)
	}
}

func TestTheStateFileIsThereWhileAllIsUp(t *testing.T) {
	var j journal
	_, first := j.fake("first")
	_, second := j.fake("second")
	second.path = "/metrics"
	file := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(file, []byte("of an earlier run"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines, ended := background(t, ctx, Config{StateFile: file}, []part{first, second})
	await(t, lines, "starting second")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a state file before all is up: %v", err)
	}
	await(t, lines, "All is up")
	state, err := statefile.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want := []statefile.Part{
		{Name: "first", Address: "127.0.0.1:1", Host: "127.0.0.1", Port: 1, PID: 1, Folder: filepath.Join(state.Folder, "first")},
		{Name: "second", Address: "127.0.0.1:1", Host: "127.0.0.1", Port: 1, PID: 1, Folder: filepath.Join(state.Folder, "second"), URL: "http://127.0.0.1:1"},
	}
	if diff := cmp.Diff(want, state.Parts); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if state.PID != os.Getpid() || !filepath.IsAbs(state.NotificationsFile) {
		t.Errorf("state %+v, want this process and an absolute notifications file", state)
	}
	cancel()
	if err := ended(); err != nil {
		t.Errorf("Run = %v after it was asked to end", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a state file after the end: %v", err)
	}
}

func TestTheDemoEndsAfterItsDuration(t *testing.T) {
	var j journal
	_, first := j.fake("first")
	_, ended := background(t, t.Context(), Config{Duration: 1}, []part{first})
	if err := ended(); err != nil {
		t.Errorf("Run = %v", err)
	}
}

func TestTheDemoEndsWhenNobodyReadsItsOutput(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var j journal
	_, first := j.fake("first")
	read, write := io.Pipe()
	_ = read.Close()
	if err := run(t.Context(), Config{Out: write}, []part{first}); err != nil {
		t.Errorf("Run = %v", err)
	}
	if diff := cmp.Diff([]string{"start first", "stop first"}, j.notes); diff != "" {
		t.Errorf("what happened (-want +got):\n%s", diff)
	}
}

func TestEverythingThatIsMissingIsNamedBeforeAnythingStarts(t *testing.T) {
	t.Setenv("PATH", "")
	t.Setenv(executable.FolderVariable, "")
	t.Chdir(t.TempDir())
	var j journal
	_, first := j.fake("first")
	_, second := j.fake("second")
	first.executables, second.executables = []string{"no-database"}, []string{"no-queue"}
	_, ended := background(t, t.Context(), Config{}, []part{first, second})
	err := ended()
	if err == nil || !strings.Contains(err.Error(), "no-database is missing") || !strings.Contains(err.Error(), "no-queue is missing") {
		t.Errorf("Run = %v, want both names", err)
	}
	if len(j.notes) > 0 {
		t.Errorf("something was started: %v", j.notes)
	}
}

func TestProgressIsABarOnATerminalAndLinesElsewhere(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		c := &screen{out: &out, terminal: terminal, steps: 4, onWriteError: func(err error) { t.Error(err) }}
		c.partStarting(part{name: "one"})
		c.partStarted(part{name: "one"}, "127.0.0.1:1", 0)
		c.partStarting(part{name: "two"})
		c.clear()
		if got := strings.Contains(out.String(), "\x1b"); got != terminal {
			t.Errorf("terminal %t: output %q", terminal, out.String())
		}
		if bar := "[#####...............] 2/4 starting two" + clearLine; terminal && !strings.HasSuffix(out.String(), bar) {
			t.Errorf("output %q does not end with %q", out.String(), bar)
		}
	}
}

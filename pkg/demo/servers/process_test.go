package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

// starterVariable makes the test binary a program that starts a Redis in the
// folder it names, says its address, and waits to be killed.
const starterVariable = "CONSIGNWATCH_TEST_STARTER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(starterVariable); folder != "" {
		server, err := StartRedis(context.Background(), folder)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(server.Address())
		<-server.Done()
	}
	os.Exit(m.Run())
}

// untilClosed connects to the address and returns a function that waits until
// the other side is gone.
func untilClosed(t *testing.T, address string) func() {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return func() {
		t.Helper()
		if err := connection.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(connection); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%s still listens after a minute", address)
		}
	}
}

// shell starts a shell script, ready when it has printed "ready".
func shell(t *testing.T, script string) *Process {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	process, err := Start(t.Context(), Command{
		Name: "Script", Path: "/bin/sh", Args: []string{"-c", script}, Dir: dir, LogFile: log,
		Ready: func(context.Context) error {
			if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "ready") {
				return errors.New("did not print ready")
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })
	return process
}

func TestAChildDiesWithAStarterThatIsKilled(t *testing.T) {
	starter := exec.Command(os.Args[0])
	starter.Env = append(os.Environ(), starterVariable+"="+t.TempDir())
	output, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	defer starter.Wait()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	wait := untilClosed(t, strings.TrimSpace(line))
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestAChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	var server *Process
	var err error
	var thread int
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		thread = syscall.Gettid()
		server, err = StartRedis(t.Context(), t.TempDir())
	}()
	<-finished
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	if thread != os.Getpid() { // the main thread of a process never ends before it
		for {
			if _, err := os.Stat("/proc/self/task/" + strconv.Itoa(thread)); err != nil {
				break
			}
			runtime.Gosched()
		}
	}
	if err := pongs(server.Address())(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAChildIsOutOfReachOfTheTerminal(t *testing.T) {
	script := shell(t, "echo ready; sleep 600")
	group, err := syscall.Getpgid(script.PID())
	if err != nil {
		t.Fatal(err)
	}
	if group != script.PID() {
		t.Errorf("process group %d, want its own, %d", group, script.PID())
	}
}

func TestStopKillsWhatDoesNotEndInTime(t *testing.T) {
	script := shell(t, "trap '' TERM; echo ready; while :; do sleep 1; done")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := script.Stop(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("Stop = %v, want that it was killed after the deadline", err)
	}
	<-script.Done()
	if err := script.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestStopWakesAHungProcess(t *testing.T) {
	script := shell(t, "echo ready; while :; do sleep 0.1; done")
	if err := script.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := script.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestAProcessDoesNothingMoreOnceItWasStopped(t *testing.T) {
	process := shell(t, "echo ready; while :; do echo busy; done")
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := size(t, process)
	if err := process.Kill(); err != nil { // ends it without letting it run again
		t.Fatal(err)
	}
	if ended := size(t, process); ended != stopped {
		t.Errorf("it wrote %d bytes after it was stopped", ended-stopped)
	}
	if err := AwaitSignal(process.PID(), syscall.SIGSTOP); err != nil {
		t.Errorf("a process that has ended is awaited: %v", err)
	}
}

// size returns how much the process has written.
func size(t *testing.T, process *Process) int64 {
	t.Helper()
	info, err := os.Stat(process.command.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestTheChildrenOfAChildEndWithIt(t *testing.T) {
	redis, err := executable.Find("redis-server")
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]func(*Process) error{
		"killed":          (*Process).Kill,
		"stopped":         func(p *Process) error { return p.Stop(t.Context()) },
		"ended by itself": func(p *Process) error { return p.Signal(syscall.SIGUSR1) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			server, err := OnFreeAddress(t.Context(), func(ctx context.Context, address string) (*Process, error) {
				number, err := port(address)
				if err != nil {
					return nil, err
				}
				script := fmt.Sprintf("trap 'exit 3' USR1; %s --bind 127.0.0.1 --port %s --save '' & wait", redis, number)
				return Start(ctx, Command{
					Name: "Script", Path: "/bin/sh", Args: []string{"-c", script},
					Dir: dir, LogFile: filepath.Join(dir, "log"), Address: address, Ready: pongs(address),
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			wait := untilClosed(t, server.Address())
			if err := end(server); err != nil {
				t.Fatal(err)
			}
			<-server.Done()
			wait()
		})
	}
}

func TestAnUnexpectedEndReportsTheLastLinesOfTheLog(t *testing.T) {
	script := shell(t, "for i in $(seq 1 30); do echo line $i; done; echo ready; sleep 600")
	if err := script.Err(); err != nil {
		t.Errorf("Err while it runs = %v", err)
	}
	if got := script.LogTail(); strings.Count(got, "\n") != tailLines-1 || !strings.HasSuffix(got, "line 30\nready") {
		t.Errorf("LogTail = %q, want the last %d lines", got, tailLines)
	}
	if err := script.Signal(syscall.SIGKILL); err != nil { // not through Kill: unexpected
		t.Fatal(err)
	}
	<-script.Done()
	err := script.Err()
	if err == nil || errors.Is(err, ErrStopped) {
		t.Fatalf("Err = %v, want how it ended", err)
	}
	for _, part := range []string{"sh ended: signal: killed", "line 30\nready"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestAFailedStartReportsWhyAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	_, err := StartPrometheus(t.Context(), dir, PrometheusConfig{
		Text: func(string) (string, error) { return "nonsense: true\n", nil },
	})
	if err == nil {
		t.Fatal("Prometheus started with a bad config")
	}
	for _, part := range []string{"start Prometheus", "exit status", "field nonsense not found"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestAStartThatTakesTooLongIsEnded(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, Command{
		Name: "Script", Path: "/bin/sh", Args: []string{"-c", "sleep 600"}, Dir: dir, LogFile: filepath.Join(dir, "log"),
		Ready: func(context.Context) error { return errors.New("nobody answers") },
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("Start = %v, want the deadline and why it was not ready", err)
	}
}

func TestAPortThatWasTakenIsTriedAgain(t *testing.T) {
	var tried []string
	got, err := OnFreeAddress(t.Context(), func(_ context.Context, address string) (string, error) {
		tried = append(tried, address)
		if len(tried) == 1 {
			return "", errors.New("the log: listen tcp: bind: Address already in use")
		}
		return address, nil
	})
	if err != nil || len(tried) != 2 || got != tried[1] {
		t.Errorf("tried %v, got %q, %v, want the second", tried, got, err)
	}
	calls := 0
	_, err = OnFreeAddress(t.Context(), func(context.Context, string) (string, error) {
		calls++
		return "", errors.New("bad config")
	})
	if err == nil || calls != 1 {
		t.Errorf("another failure: %d calls, %v, want one call and its error", calls, err)
	}
}

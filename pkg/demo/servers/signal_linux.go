package servers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	stopTimeout = time.Minute // from SIGSTOP until every thread stands, on a busy machine
	stopPause   = time.Millisecond
)

// AwaitSignal waits until a SIGSTOP that was sent to a process has reached each
// of its threads, or the process has ended; other signals are not awaited.
// kill(2) returns earlier: a thread stops when it is scheduled the next time,
// and on a busy machine a server goes on answering until then.
func AwaitSignal(pid int, signal os.Signal) error {
	if signal != syscall.SIGSTOP {
		return nil
	}
	for end := time.Now().Add(stopTimeout); ; time.Sleep(stopPause) {
		running, err := runningThread(pid)
		if err != nil || running == "" {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d has not stopped within %s: %s", pid, stopTimeout, running)
		}
	}
}

// runningThread says which thread of the process has neither stopped nor ended;
// nothing when there is none.
func runningThread(pid int) (string, error) {
	threads, err := threadsOf(pid)
	if err != nil {
		return "", err
	}
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join(thread, "stat"))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH): // ended meanwhile
			continue
		case err != nil:
			return "", err
		}
		// "ID (name) state ...": the name may hold anything, also parentheses.
		if i := bytes.LastIndexByte(text, ')'); i < 0 || i+2 >= len(text) || bytes.IndexByte([]byte("TtZXx"), text[i+2]) < 0 {
			return string(bytes.TrimSpace(text)), nil
		}
	}
	// A thread that was still running may have started another one.
	now, err := threadsOf(pid)
	if err != nil || slices.Equal(now, threads) {
		return "", err
	}
	return fmt.Sprintf("%d threads, then %d", len(threads), len(now)), nil
}

// threadsOf returns the folders of the process's threads, none when it has ended.
func threadsOf(pid int) ([]string, error) {
	return filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
}

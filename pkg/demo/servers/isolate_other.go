//go:build !linux

package servers

import (
	"os"
	"os/exec"
)

// Other systems have no parent-death signal; the children end with Stop or
// Kill alone there. The demo and the tests are made for Linux.

func isolate(*exec.Cmd) {}

func terminate(p *os.Process) {
	if p.Signal(os.Interrupt) != nil {
		_ = p.Kill()
	}
}

func killGroup(p *os.Process) { _ = p.Kill() }

func sweep(*os.Process) {}

// AwaitSignal does not wait on these systems.
func AwaitSignal(int, os.Signal) error { return nil }

package servers

import (
	"os"
	"os/exec"
	"syscall"
)

// isolate puts the child into a process group of its own, so that a Ctrl-C at
// the terminal does not reach it, and has the kernel kill it when the thread
// that starts it ends.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// terminate sends SIGTERM, and SIGCONT so that a process that was stopped by
// SIGSTOP receives it. The errors are ignored: the process is awaited anyway.
func terminate(p *os.Process) {
	_ = p.Signal(syscall.SIGTERM)
	_ = p.Signal(syscall.SIGCONT)
}

// killGroup ends the process and all of its group at once.
func killGroup(p *os.Process) {
	// Through the handle first: it refuses once the process has been reaped,
	// when the number may belong to another process.
	if p.Signal(syscall.SIGKILL) == nil {
		_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	}
}

// sweep waits until the process has ended and then kills what is left of its
// group. It does not reap the process, so that its number still stands for the
// group.
func sweep(p *os.Process) {
	const pPid, wExited, wNoWait = 1, 0x4, 0x1000000
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPid, uintptr(p.Pid), 0, wExited|wNoWait, 0, 0)
		if errno == 0 {
			_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
			return
		}
		if errno != syscall.EINTR {
			return
		}
	}
}

package servers

import (
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
)

// tryPort reports why nothing can listen on a port of 127.0.0.1, nil when something can. It binds, and does not listen: a child
// that is started meanwhile has a copy of all that is open until it runs its program, and the copy of a listener would keep the
// port for some milliseconds after it was closed here.
func tryPort(port int) error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	// As Go's listeners do.
	err = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1))
	if err == nil {
		err = os.NewSyscallError("bind "+net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), syscall.Bind(socket, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
	}
	return errors.Join(err, os.NewSyscallError("close", syscall.Close(socket)))
}

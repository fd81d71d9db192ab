//go:build !linux

package servers

import (
	"fmt"
	"net"
)

// tryPort reports why nothing can listen on a port of 127.0.0.1, nil when something can.
func tryPort(port int) error {
	listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	return listener.Close()
}

package database

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// The driver trusts the first packet of a server: what is too short for its indexes makes it panic, with a socket and a
// goroutine left behind that nobody can end. So the greeting is looked at before the driver sees it.

// maxGreeting is longer than the greeting of any server, and than the error that stands in its place.
const maxGreeting = 4 << 10

// dialGreeted dials and waits for a greeting that the driver can read.
func dialGreeted(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	packet, err := readGreeting(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &greeted{Conn: conn, ahead: packet}, nil
}

// readGreeting reads the first packet, with its header.
func readGreeting(ctx context.Context, conn net.Conn) ([]byte, error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	packet, err := readPacket(conn)
	if !stop() || ctx.Err() != nil {
		return nil, fmt.Errorf("wait for the greeting: %w", ctx.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("read the greeting: %w", err)
	}
	return packet, conn.SetReadDeadline(time.Time{})
}

func readPacket(conn io.Reader) ([]byte, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(conn, header); err != nil {
		return nil, err
	}
	length := int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	if length == 0 || length > maxGreeting || header[3] != 0 {
		return nil, notMySQL(fmt.Errorf("a first packet with the header %x", header))
	}
	packet := append(header, make([]byte, length)...)
	if _, err := io.ReadFull(conn, packet[4:]); err != nil {
		return nil, err
	}
	if err := checkGreeting(packet[4:]); err != nil {
		return nil, notMySQL(err)
	}
	return packet, nil
}

func notMySQL(err error) error {
	return exporter.Failure(exporter.ReasonParse, fmt.Errorf("the server's greeting is not MySQL's: %w", err))
}

const (
	greetingVersion = 10   // of the protocol
	greetingError   = 0xff // instead of a greeting: too many connections, a host that is not allowed
	greetingShort   = 15   // after the server's version: connection id, 8 bytes of the scramble, a filler, capabilities
	greetingLong    = 29   // more, when there is more: character set to the end of the scramble
)

// checkGreeting checks what the driver does not.
func checkGreeting(b []byte) error {
	if b[0] == greetingError {
		if len(b) < 9 {
			return errors.New("an error without a text")
		}
		return nil
	}
	if b[0] != greetingVersion {
		return fmt.Errorf("version %d of the protocol", b[0])
	}
	end := bytes.IndexByte(b[1:], 0)
	if end < 0 {
		return errors.New("a version without an end")
	}
	if rest := len(b) - 1 - end - 1; rest < greetingShort || rest > greetingShort && rest < greetingShort+greetingLong {
		return fmt.Errorf("%d bytes after the version", rest)
	}
	return nil
}

// greeted is a connection whose first packet was read already.
type greeted struct {
	net.Conn
	ahead []byte
}

func (g *greeted) Read(b []byte) (int, error) {
	if len(g.ahead) > 0 {
		n := copy(b, g.ahead)
		g.ahead = g.ahead[n:]
		return n, nil
	}
	return g.Conn.Read(b)
}

// SyscallConn lets the driver see whether a connection that was kept has been cut.
func (g *greeted) SyscallConn() (syscall.RawConn, error) {
	if s, ok := g.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.New("the connection has no descriptor")
}

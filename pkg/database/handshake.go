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

// The driver trusts the first packet of a server, the initial handshake: a packet that is too short for its indexes makes it
// panic, and leaks a socket and a goroutine. So the handshake is checked before the driver reads it.

// maxHandshake is longer than the handshake of any server, and than an error packet in its place.
const maxHandshake = 4 << 10

// dialHandshake dials and waits for a handshake that the driver can read.
func dialHandshake(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	packet, err := readHandshake(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &handshakeConn{Conn: conn, buffered: packet}, nil
}

// readHandshake reads the first packet, with its header.
func readHandshake(ctx context.Context, conn net.Conn) ([]byte, error) {
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
	if length == 0 || length > maxHandshake || header[3] != 0 {
		return nil, notMySQL(fmt.Errorf("a first packet with the header %x", header))
	}
	packet := append(header, make([]byte, length)...)
	if _, err := io.ReadFull(conn, packet[4:]); err != nil {
		return nil, err
	}
	if err := checkHandshake(packet[4:]); err != nil {
		return nil, notMySQL(err)
	}
	return packet, nil
}

func notMySQL(err error) error {
	return exporter.Failure(exporter.ReasonParse, fmt.Errorf("the server's greeting is not MySQL's: %w", err))
}

const (
	handshakeVersion = 10   // of the protocol
	handshakeError   = 0xff // instead of a handshake: too many connections, a host that is not allowed
	handshakeShort   = 15   // after the server's version: connection id, 8 bytes of the scramble, a filler, capabilities
	handshakeLong    = 29   // more, when there is more: character set to the end of the scramble
)

// checkHandshake checks what the driver does not.
func checkHandshake(b []byte) error {
	if b[0] == handshakeError {
		if len(b) < 9 {
			return errors.New("an error without a text")
		}
		return nil
	}
	if b[0] != handshakeVersion {
		return fmt.Errorf("version %d of the protocol", b[0])
	}
	end := bytes.IndexByte(b[1:], 0)
	if end < 0 {
		return errors.New("a version without an end")
	}
	if rest := len(b) - 1 - end - 1; rest < handshakeShort || rest > handshakeShort && rest < handshakeShort+handshakeLong {
		return fmt.Errorf("%d bytes after the version", rest)
	}
	return nil
}

// handshakeConn is a connection whose first packet was read already.
type handshakeConn struct {
	net.Conn
	buffered []byte
}

func (c *handshakeConn) Read(b []byte) (int, error) {
	if len(c.buffered) > 0 {
		n := copy(b, c.buffered)
		c.buffered = c.buffered[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// SyscallConn lets the driver check whether an idle connection was closed.
func (c *handshakeConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.New("the connection has no descriptor")
}

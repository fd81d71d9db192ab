// Package resp speaks RESP2, the protocol of Redis and Valkey, on one connection. It exists because a reply contains its own
// length, and the client library that was tried (go-redis) trusts it: the twelve bytes of an array with two thousand million
// elements end the exporter. This reader never allocates more memory than has arrived, and bounds that, too. It neither dials
// nor retries.
package resp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// Conn is a connection to a server. It is used by one goroutine at a time.
type Conn struct {
	conn net.Conn
	in   *bufio.Reader
}

// New speaks on an open connection.
func New(c net.Conn) *Conn { return &Conn{c, bufio.NewReader(c)} }

// Close ends the connection.
func (c *Conn) Close() error { return c.conn.Close() }

// Error is an error reply: a prefix in capitals, and the message.
type Error string

func (e Error) Error() string { return string(e) }

const (
	maxReplyBytes = 8 << 20 // INFO of a server with many commands has some ten thousand
	maxReplyDepth = 8
)

// Do sends a command and reads its reply: a string, an int64, nil, or a []any of these. An error that is an Error is the
// server's reply; after any other one the connection cannot be used.
func (c *Conn) Do(ctx context.Context, args ...string) (any, error) {
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.conn.Write(encodeCommand(args)); err != nil {
		return nil, err
	}
	r := reader{in: c.in, remaining: maxReplyBytes}
	reply, err := r.read(0)
	if err == nil && c.in.Buffered() > 0 {
		return nil, parseError("the server has answered more than it was asked")
	}
	return reply, err
}

// Text is Do for a reply that is a string. ok is false for one that is nil.
func (c *Conn) Text(ctx context.Context, args ...string) (text string, ok bool, err error) {
	reply, err := c.Do(ctx, args...)
	if err != nil || reply == nil {
		return "", false, err
	}
	text, ok = reply.(string)
	if !ok {
		return "", false, parseError("the answer to %s is a %T", args[0], reply)
	}
	return text, true, nil
}

// encodeCommand writes a command as an array of strings.
func encodeCommand(args []string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

// reader reads one reply.
type reader struct {
	in        *bufio.Reader
	remaining int // bytes that the reply may still have
}

func (r *reader) read(depth int) (any, error) {
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, parseError("an empty line is no reply")
	}
	switch kind, rest := line[0], line[1:]; kind {
	case '+':
		return rest, nil
	case '-':
		if depth > 0 {
			return nil, parseError("an error inside of a reply: %.100q", rest)
		}
		return nil, Error(rest)
	case ':':
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			return nil, parseError("%.100q is no number", rest)
		}
		return n, nil
	case '$':
		return r.bulk(rest)
	case '*':
		return r.array(rest, depth)
	}
	return nil, parseError("%.100q is no reply of Redis", line)
}

func (r *reader) line() (string, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", parseError("a line without an end: %.100q", line)
	}
	if err != nil {
		return "", err
	}
	if r.remaining -= len(line); r.remaining < 0 {
		return "", errTooLong
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return "", parseError("%.100q does not end like a line", line)
	}
	return string(line[:len(line)-2]), nil
}

var errTooLong = parseError("the reply is longer than %d bytes", maxReplyBytes)

// length reads the length of a bulk string or array; -1 stands for nil.
func (r *reader) length(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < -1 {
		return 0, parseError("%.100q is no length", text)
	}
	if n > r.remaining {
		return 0, errTooLong // even of elements each takes more than a byte
	}
	return n, nil
}

func (r *reader) bulk(text string) (any, error) {
	n, err := r.length(text)
	if err != nil || n < 0 {
		return nil, err
	}
	r.remaining -= n + 2
	b, err := io.ReadAll(io.LimitReader(r.in, int64(n)+2)) // grows with what arrives
	switch {
	case err != nil:
		return nil, err
	case len(b) < n+2:
		return nil, io.ErrUnexpectedEOF
	case string(b[n:]) != "\r\n":
		return nil, parseError("a string of %d bytes does not end where it should", n)
	}
	return string(b[:n]), nil
}

func (r *reader) array(text string, depth int) (any, error) {
	n, err := r.length(text)
	if err != nil || n < 0 {
		return nil, err
	}
	if depth == maxReplyDepth {
		return nil, parseError("a reply within a reply, %d times", depth)
	}
	list := []any{}
	for range n {
		v, err := r.read(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func parseError(format string, args ...any) error {
	return exporter.Failure(exporter.ReasonParse, fmt.Errorf(format, args...))
}

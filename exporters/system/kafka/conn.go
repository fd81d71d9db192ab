package kafka

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialer opens the connections of one cluster, and can close them all: the client library's requests take no context,
// so the end of a round closes the connections that still wait then.
type dialer struct {
	timeout time.Duration
	// tls is done here and not by the library, so that the lengths of the responses inside of it can be checked. nil: none.
	tls *tls.Config

	mu   sync.Mutex
	ctx  context.Context // of the round
	open map[*checkedConn]struct{}
}

func newDialer(timeout time.Duration, security *tls.Config) *dialer {
	return &dialer{timeout: timeout, tls: security, ctx: context.Background(), open: map[*checkedConn]struct{}{}}
}

// Dial implements the library's interface for proxies.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	d.mu.Lock()
	round := d.ctx
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(round, d.timeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &checkedConn{Conn: raw, raw: raw, dialer: d}
	if d.tls != nil {
		config := d.tls.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("tls: %w", err)
		}
		c.Conn = secure
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := round.Err(); err != nil {
		_ = raw.Close()
		return nil, err
	}
	d.open[c] = struct{}{}
	return c, nil
}

// startRound binds new connections to the context of a round, and closes all of them when it ends before release is called.
func (d *dialer) startRound(ctx context.Context) (release func()) {
	d.mu.Lock()
	d.ctx = ctx
	d.mu.Unlock()
	stop := context.AfterFunc(ctx, d.closeAll)
	return func() { stop() }
}

func (d *dialer) closeAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		_ = c.raw.Close()
	}
	clear(d.open)
}

// maxKafkaResponse is the largest response that is read. The library itself believes any length, up to four gigabytes, and
// allocates the memory before it reads.
const maxKafkaResponse = 100 << 20

// checkedConn is a connection that can be closed from outside, and that has failed for good when a response does not come in
// time, or is not of the Kafka protocol: the library would retry on it.
type checkedConn struct {
	net.Conn
	raw    net.Conn // below TLS
	dialer *dialer
	failed atomic.Pointer[error]

	// The bytes that remain of the current response, and the part of the next one's length that was read.
	remaining  int64
	length     [4]byte
	lengthRead int
}

func (c *checkedConn) Read(p []byte) (int, error) {
	if err := c.failed.Load(); err != nil {
		return 0, *err
	}
	n, err := c.Conn.Read(p)
	if bad := c.checkLengths(p[:n]); bad != nil {
		n, err = 0, bad
	}
	if err != nil {
		c.failed.Store(&err)
	}
	return n, err
}

func (c *checkedConn) Write(p []byte) (int, error) {
	if err := c.failed.Load(); err != nil {
		return 0, *err
	}
	return c.Conn.Write(p)
}

// checkLengths follows the responses, each of which begins with its length, and rejects invalid lengths.
func (c *checkedConn) checkLengths(p []byte) error {
	for len(p) > 0 {
		if c.remaining > 0 {
			n := min(c.remaining, int64(len(p)))
			c.remaining -= n
			p = p[n:]
			continue
		}
		n := copy(c.length[c.lengthRead:], p)
		c.lengthRead += n
		p = p[n:]
		if c.lengthRead < len(c.length) {
			return nil
		}
		c.lengthRead = 0
		size := binary.BigEndian.Uint32(c.length[:])
		if size < 4 || size > maxKafkaResponse {
			return notKafka(c.length)
		}
		c.remaining = int64(size)
	}
	return nil
}

func (c *checkedConn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.open, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// notKafka is the error of a peer that speaks something else. It is a net.Error, so that the library drops the connection.
type notKafka [4]byte

func (e notKafka) Error() string {
	return fmt.Sprintf("the peer does not speak the Kafka protocol: an answer begins with %q", e[:])
}

func (notKafka) Timeout() bool { return false }

func (notKafka) Temporary() bool { return false }

package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/resp"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// lifetime is how long a connection is kept. A name may lead to another server: after ten minutes that is seen.
const lifetime = 10 * time.Minute

// Options are what a connection is made of.
type Options struct {
	Address  string
	Username string // empty: the default user
	Password secret.Value
	TLS      *tls.Config // nil: none
}

// Conn is the persistent connection to a server.
type Conn struct {
	options Options

	lock   chan struct{} // holds one token while the connection is in use
	conn   *resp.Conn    // nil: none
	opened time.Time
}

// NewConn makes a connection. It is opened when it is used.
func NewConn(o Options) *Conn { return &Conn{options: o, lock: make(chan struct{}, 1)} }

// use locks the connection, makes sure that it works, and calls f with it and with the duration of a ping. After an error that
// is not a reply of the server it closes the connection. The error has its reason.
func (c *Conn) use(ctx context.Context, f func(conn *resp.Conn, ping time.Duration) error) error {
	select {
	case c.lock <- struct{}{}:
		defer func() { <-c.lock }()
	case <-ctx.Done():
		return exporter.Failure(exporter.ReasonTimeout, fmt.Errorf("wait for the connection: %w", ctx.Err()))
	}
	ping, err := c.ping(ctx)
	if err != nil {
		return classify(ctx, fmt.Errorf("connect: %w", err))
	}
	if err = f(c.conn, ping); err == nil {
		return nil
	}
	if !errors.As(err, new(resp.Error)) {
		c.disconnect()
	}
	return classify(ctx, err)
}

// ping pings on the connection that is kept, or on a new one. A server that was restarted has cut the one that was kept: that
// is found by the first ping, and is no failure.
func (c *Conn) ping(ctx context.Context) (time.Duration, error) {
	if time.Since(c.opened) > lifetime {
		c.disconnect()
	}
	for kept := c.conn != nil; ; kept = false {
		if c.conn == nil {
			if err := c.open(ctx); err != nil {
				return 0, err
			}
		}
		begin := time.Now()
		pong, _, err := c.conn.Text(ctx, "PING")
		took := time.Since(begin)
		if err == nil && pong != "PONG" {
			err = parseError("the answer to PING is %.100q", pong)
		}
		if err == nil {
			return took, nil
		}
		c.disconnect()
		if !kept || ctx.Err() != nil || errors.As(err, new(resp.Error)) {
			return 0, err
		}
	}
}

// open dials and authenticates.
func (c *Conn) open(ctx context.Context) error {
	dialled, err := c.dial(ctx)
	if err != nil {
		return err
	}
	conn := resp.New(dialled)
	if password := c.options.Password.Reveal(); password != "" {
		auth := []string{"AUTH", password}
		if c.options.Username != "" {
			auth = []string{"AUTH", c.options.Username, password}
		}
		if _, err := conn.Do(ctx, auth...); err != nil {
			conn.Close()
			return fmt.Errorf("AUTH: %w", c.masked(err))
		}
	}
	c.conn, c.opened = conn, time.Now()
	return nil
}

// masked masks the password in what the server replies: one without AUTH repeats its arguments.
func (c *Conn) masked(err error) error {
	var reply resp.Error
	if errors.As(err, &reply) {
		return resp.Error(c.options.Password.Mask(string(reply)))
	}
	return err
}

func (c *Conn) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.options.Address)
	if err != nil || c.options.TLS == nil {
		return conn, err
	}
	config := c.options.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(c.options.Address) // checked with the configuration
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// disconnect closes the connection.
func (c *Conn) disconnect() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// Close ends the connection for good, after all collections have ended.
func (c *Conn) Close() error {
	c.lock <- struct{}{}
	defer func() { <-c.lock }()
	c.disconnect()
	return nil
}

// classify gives an error its reason.
func classify(ctx context.Context, err error) error {
	var said resp.Error
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &said):
		return exporter.Failure(redisReason(string(said)), err)
	case ctx.Err() != nil:
		return exporter.Failure(exporter.ReasonTimeout, errors.Join(err, ctx.Err()))
	case errors.As(err, &record):
		return exporter.Failure(exporter.ReasonParse, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.As(err, new(*tls.CertificateVerificationError)):
		return exporter.Failure(exporter.ReasonConnection, err)
	}
	return err // ReasonOf classifies the rest
}

// redisReason derives why a server rejects a command, by the first word of its reply.
func redisReason(reply string) exporter.Reason {
	switch word, _, _ := strings.Cut(reply, " "); {
	case word == "NOAUTH", word == "WRONGPASS", word == "NOPERM", word == "DENIED",
		strings.HasPrefix(reply, "ERR invalid password"), strings.HasPrefix(reply, "ERR AUTH"), strings.HasPrefix(reply, "ERR Client sent AUTH"):
		return exporter.ReasonAuth
	case word == "LOADING", word == "BUSY", word == "TRYAGAIN", word == "MASTERDOWN":
		return exporter.ReasonThrottled
	case strings.HasPrefix(reply, "ERR max number of clients"):
		return exporter.ReasonConnection
	}
	return exporter.ReasonQuery
}

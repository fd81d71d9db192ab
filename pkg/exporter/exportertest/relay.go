package exportertest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Relay stands between an exporter and a server, and misbehaves when asked to.
type Relay struct {
	listener net.Listener
	server   string
	mode     atomic.Int32
	mu       sync.Mutex
	conns    []net.Conn
}

// Mode is how a relay behaves.
type Mode = int32

// The modes of a relay.
const (
	Forward Mode = iota // hand everything on
	Garbage             // answer a new connection with what no server sends
	Ancient             // greet a new connection like a MySQL server of the last century
	Swallow             // take everything, and never say a word: a connection of which one half is gone
	HangUp              // end each connection at once
)

// NewRelay starts a relay to a server, host:port, until the test ends.
func NewRelay(t testing.TB, server string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return NewRelayOn(t, l, server)
}

// NewRelayOn is a relay behind a listener, for example one of TLS.
func NewRelayOn(t testing.TB, l net.Listener, server string) *Relay {
	t.Helper()
	r := &Relay{listener: l, server: server}
	t.Cleanup(func() { l.Close(); r.Cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.keep(c)
			go r.serve(c)
		}
	}()
	return r
}

// Address is where the relay listens, host:port.
func (r *Relay) Address() string { return r.listener.Addr().String() }

// Set changes the mode. Connections that are open go on, until Cut.
func (r *Relay) Set(mode Mode) { r.mode.Store(mode) }

// Open is how many connections there have been since the last Cut.
func (r *Relay) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// Cut ends all connections.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *Relay) keep(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, c)
}

func (r *Relay) serve(c net.Conn) {
	defer c.Close()
	switch r.mode.Load() {
	case Garbage:
		io.WriteString(c, "\x05\x00\x00\x00hello, this is no server that anybody knows\r\n\r\n")
	case Ancient:
		io.WriteString(c, "\x05\x00\x00\x00\x093.23")
	case Swallow:
		io.Copy(io.Discard, c)
	case Forward:
		s, err := net.Dial("tcp", r.server)
		if err != nil {
			return
		}
		r.keep(s)
		defer s.Close()
		go func() { defer s.Close(); defer c.Close(); r.pass(c, s) }()
		r.pass(s, c)
	}
}

// pass hands on while the mode says so.
func (r *Relay) pass(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if r.mode.Load() == Swallow {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

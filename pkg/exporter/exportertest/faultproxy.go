package exportertest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// FaultProxy is a TCP proxy between an exporter and a server. Its mode injects faults.
type FaultProxy struct {
	listener net.Listener
	server   string
	mode     atomic.Int32
	mu       sync.Mutex
	conns    []net.Conn
}

// Mode is the behavior of a FaultProxy.
type Mode = int32

// The modes of a FaultProxy.
const (
	Forward     Mode = iota // forward everything
	Garbage                 // answer a new connection with what no server sends
	OldProtocol             // greet a new connection as a MySQL server with protocol version 9 does
	Blackhole               // read everything and send nothing: a half-open connection
	HangUp                  // end each connection at once
)

// NewFaultProxy starts a proxy to a server, host:port, until the test ends.
func NewFaultProxy(t testing.TB, server string) *FaultProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return NewFaultProxyOn(t, l, server)
}

// NewFaultProxyOn is NewFaultProxy behind a listener, for example one of TLS.
func NewFaultProxyOn(t testing.TB, l net.Listener, server string) *FaultProxy {
	t.Helper()
	p := &FaultProxy{listener: l, server: server}
	t.Cleanup(func() { l.Close(); p.Cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.track(c)
			go p.serve(c)
		}
	}()
	return p
}

// Address is where the proxy listens, host:port.
func (p *FaultProxy) Address() string { return p.listener.Addr().String() }

// Set changes the mode. Connections that are open go on, until Cut.
func (p *FaultProxy) Set(mode Mode) { p.mode.Store(mode) }

// OpenConnections is the number of connections since the last Cut.
func (p *FaultProxy) OpenConnections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Cut ends all connections.
func (p *FaultProxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *FaultProxy) track(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func (p *FaultProxy) serve(c net.Conn) {
	defer c.Close()
	switch p.mode.Load() {
	case Garbage:
		io.WriteString(c, "\x05\x00\x00\x00hello, this is no server that anybody knows\r\n\r\n")
	case OldProtocol:
		io.WriteString(c, "\x05\x00\x00\x00\x093.23")
	case Blackhole:
		io.Copy(io.Discard, c)
	case Forward:
		s, err := net.Dial("tcp", p.server)
		if err != nil {
			return
		}
		p.track(s)
		defer s.Close()
		go func() { defer s.Close(); defer c.Close(); p.forward(c, s) }()
		p.forward(s, c)
	}
}

// forward copies from one connection to the other, except in mode Blackhole.
func (p *FaultProxy) forward(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if p.mode.Load() == Blackhole {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

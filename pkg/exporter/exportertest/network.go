package exportertest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Network is a network in memory. Who waits for a connection of it is idle to testing/synctest, so that virtual time passes, which it does not while anybody
// reads from a socket. A nil Network is the machine's own.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
	lastPort  int
}

// Listen is net.Listen.
func (n *Network) Listen(network, address string) (net.Listener, error) {
	if n == nil {
		return net.Listen(network, address)
	}
	at, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port == 0 {
		n.lastPort++
		at.Port = n.lastPort
	}
	if n.listeners[at.String()] != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: at, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &memoryListener{network: n, address: at, dialed: make(chan net.Conn), closed: make(chan struct{})}
	if n.listeners == nil {
		n.listeners = map[string]*memoryListener{}
	}
	n.listeners[at.String()] = l
	return l, nil
}

// DialContext is that of a net.Dialer, to an address or to localhost. It calls the hooks of a trace of net/http/httptrace.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if n == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		trace = &httptrace.ClientTrace{}
	}
	if port, ok := strings.CutPrefix(address, "localhost:"); ok {
		if trace.DNSStart != nil {
			trace.DNSStart(httptrace.DNSStartInfo{Host: "localhost"})
		}
		address = "127.0.0.1:" + port
		if trace.DNSDone != nil {
			trace.DNSDone(httptrace.DNSDoneInfo{Addrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}})
		}
	}
	if trace.ConnectStart != nil {
		trace.ConnectStart(network, address)
	}
	c, err := n.dial(ctx, network, address)
	if trace.ConnectDone != nil {
		trace.ConnectDone(network, address, err)
	}
	return c, err
}

func (n *Network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if l == nil {
		return nil, refused
	}
	ours, theirs := net.Pipe()
	select {
	case l.dialed <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
	}
}

// Serve starts a server that ends with the test.
func (n *Network) Serve(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	s := n.Server(t, handler)
	s.Start()
	return s
}

// Server makes a server that the caller starts. It ends with the test.
func (n *Network) Server(t testing.TB, handler http.Handler) *httptest.Server {
	t.Helper()
	l, err := n.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	t.Cleanup(s.Close)
	return s
}

// client makes one for a test, which keeps no connection when the test has ended.
func (n *Network) client(t testing.TB) *http.Client {
	if n == nil {
		return http.DefaultClient
	}
	transport := &http.Transport{DialContext: n.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// memoryListener hands out the far ends of the connections to its address.
type memoryListener struct {
	network *Network
	address *net.TCPAddr
	dialed  chan net.Conn
	closing sync.Once
	closed  chan struct{}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialed:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.address, Err: net.ErrClosed}
	}
}

func (l *memoryListener) Close() error {
	l.closing.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.address.String())
	})
	return nil
}

func (l *memoryListener) Addr() net.Addr { return l.address }

// InVirtualTime runs a test in a bubble of testing/synctest that begins at a day in 2026. All that it waits for has to be in the bubble, on a Network, or an
// answer of a real server, for which time stands still.
func InVirtualTime(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	// The first Notify of a process starts a goroutine for good. An exporter's must not be the first: the bubble would wait for that goroutine.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	signal.Stop(hangup)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)))
		test(t)
	})
}

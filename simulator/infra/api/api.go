// Package api is the simulated platform's HTTP API. It answers the requests of visitors and probes from the platform's tables, through a
// bounded connection pool and a cache in Redis, with a bounded number of request slots. It reports what it measured, and each of its
// parts can be made to fail. Its own queries only read: the platform places the orders.
package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/simulator/infra/authority"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Config configures the API. Address, Pool and Platform have no default.
type Config struct {
	// Address is host:port for HTTPS, or http://host:port for HTTP. Without a host it is 127.0.0.1; port 0 is a free one.
	Address string
	// Certificates is the folder for the authority's certificate (authority.FileName). Empty: the certificate is not written.
	Certificates string
	// Pool is the database. The API limits it to Connections, and closes it.
	Pool *sql.DB
	// Cache is host:port of Redis. Empty: every request asks the database.
	Cache string
	// Platform is the platform that the API serves.
	Platform Platform

	Connections  int              // 10
	Slots        int              // concurrent requests; 64
	TTL          time.Duration    // of cached responses; a minute
	QueryTimeout time.Duration    // 3s
	Limits       Limits           // the usual ones
	Now          func() time.Time // of certificates; time.Now
	Logger       *slog.Logger     // nil: nothing is logged
}

// Limits are the API's time limits. 0 is the default.
type Limits struct {
	Wait    time.Duration // of a request, for a slot, and for a connection; a second
	Request time.Duration // of a request in total; 8s
	Order   time.Duration // of placing an order; 5s
	Cache   time.Duration // of an operation of the cache; 250ms
	Delay   time.Duration // of a request while requests are slow: between one and three times this; a second
}

func (l *Limits) setDefaults() {
	l.Wait = cmp.Or(l.Wait, time.Second)
	l.Request = cmp.Or(l.Request, 8*time.Second)
	l.Order = cmp.Or(l.Order, 5*time.Second)
	l.Cache = cmp.Or(l.Cache, 250*time.Millisecond)
	l.Delay = cmp.Or(l.Delay, time.Second)
}

// Platform is what the API needs of the platform.
type Platform interface {
	// Client returns an active client by its slug or its domain.
	Client(name string) (id uint64, slug string, ok bool)
	// Begin adds a request in flight, with the traceparent that it came with.
	Begin(traceParent string) PlatformRequest
}

// PlatformRequest is a request in flight.
type PlatformRequest interface {
	// Order places an order at a client's sale event. After an error only the order's Duration is set. ErrNothing: nothing is for sale.
	Order(ctx context.Context, client, event uint64) (Order, error)
	// End ends the request with its report; nil: the API crashed and reports nothing.
	End(*Report)
}

// Order is a placed order.
type Order struct {
	ID     uint64 `json:"id"`
	Items  int    `json:"items"`
	Amount int64  `json:"amount_cents"`
	// Duration is the duration of the transaction.
	Duration time.Duration `json:"-"`
}

// ErrNothing is the error of an order when nothing is for sale.
var ErrNothing = errors.New("nothing is for sale there")

// Report is what the API measured of a request.
type Report struct {
	Client      string // slug; "": no client
	TraceParent string // as received
	Events      []stream.Data
	// Failure is the error that the user saw; Kind "" is none.
	Failure Failure
}

// Failure is the error of a request.
type Failure struct{ Category, Kind, Route string }

// Server is the API. Its methods can be called from any goroutine.
type Server struct {
	config    Config
	pool      *sql.DB
	cache     *redis.Client        // nil: no cache
	authority *authority.Authority // nil: HTTP
	handler   http.Handler
	slots     chan struct{}
	address   string
	ca        string // file

	slowRequests atomic.Bool
	slowQueries  atomic.Bool

	mu      sync.Mutex
	serving *serving // nil: the API is down
}

// serving is the time from Up to Down.
type serving struct {
	server *http.Server
	ctx    context.Context // ends with Down
	cancel context.CancelFunc
	served chan struct{}
}

// Start starts the API. It sends nothing to the database or the cache before the first request.
func Start(config Config) (*Server, error) {
	config.Connections = cmp.Or(config.Connections, 10)
	config.Slots = cmp.Or(config.Slots, 64)
	config.TTL = cmp.Or(config.TTL, time.Minute)
	config.QueryTimeout = cmp.Or(config.QueryTimeout, 3*time.Second)
	config.Limits.setDefaults()
	if config.Now == nil {
		config.Now = time.Now
	}
	config.Logger = cmp.Or(config.Logger, slog.New(slog.DiscardHandler))
	s := &Server{config: config, pool: config.Pool, slots: make(chan struct{}, config.Slots)}
	s.pool.SetMaxOpenConns(config.Connections)
	s.pool.SetMaxIdleConns(config.Connections / 2)
	s.handler = s.routes()
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.pool.Close())
	}
	if config.Cache != "" {
		s.cache = openCache(config.Cache, config.Limits.Cache)
	}
	if err := s.Up(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare reads the address and makes the certificates.
func (s *Server) prepare() error {
	address, plain := strings.CutPrefix(s.config.Address, "http://")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("API address %q: %w: host:port, or http://host:port", s.config.Address, err)
	}
	host = cmp.Or(host, "127.0.0.1")
	s.address = net.JoinHostPort(host, port)
	if plain {
		return nil
	}
	s.authority, err = authority.New(s.config.Now, host, "127.0.0.1", "::1", "localhost")
	if err == nil && s.config.Certificates != "" {
		s.ca, err = s.authority.Write(s.config.Certificates)
	}
	if err != nil {
		return fmt.Errorf("API %s: %w", s.address, err)
	}
	return nil
}

// listen listens on an address. In place of port 0 on the loopback interface it takes a port that the system gives to nobody, since the API wants it again after Down.
func listen(ctx context.Context, address string) (net.Listener, error) {
	on := func(ctx context.Context, address string) (net.Listener, error) {
		return new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	if address == "127.0.0.1:0" {
		return servers.OnFreeAddress(ctx, on)
	}
	return on(ctx, address)
}

// Up listens again after Down. It does nothing if the API is up.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving != nil {
		return nil
	}
	listener, err := listen(context.Background(), s.address)
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	s.address = listener.Addr().String() // the same port from now on
	if s.authority != nil {
		listener = tls.NewListener(listener, s.authority.Server())
	}
	ctx, end := context.WithCancel(context.Background())
	l := &serving{ctx: ctx, cancel: end, served: make(chan struct{}), server: &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // handshakes of strangers
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}}
	s.serving = l
	go func() {
		defer close(l.served)
		if err := l.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.config.Logger.Error("platform: API ended", "err", err)
		}
	}()
	return nil
}

// Down stops the API as a crash does: connections are refused, and requests in flight get no response and no report. It does nothing if
// the API is down.
func (s *Server) Down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.serving
	if l == nil {
		return nil
	}
	s.serving = nil
	l.cancel()
	err := l.server.Close()
	<-l.served
	if err != nil {
		return fmt.Errorf("API %s: stop: %w", s.address, err)
	}
	return nil
}

// Close stops the API and closes its pool and cache.
func (s *Server) Close() error {
	err := errors.Join(s.Down(), s.pool.Close())
	if s.cache != nil {
		err = errors.Join(err, s.cache.Close())
	}
	return err
}

// URL returns the URL of the API.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.authority == nil {
		return "http://" + s.address
	}
	return "https://" + s.address
}

// CA returns the file with the authority's certificate; "" when there is none.
func (s *Server) CA() string { return s.ca }

// Authority returns the issuer of the certificates; nil for HTTP.
func (s *Server) Authority() *authority.Authority { return s.authority }

// Pool returns the connection pool, for the fault pool-exhausted.
func (s *Server) Pool() *sql.DB { return s.pool }

// SlowRequests makes each request take one to three times Limits.Delay longer.
func (s *Server) SlowRequests(on bool) { s.slowRequests.Store(on) }

// SlowQueries makes each query slow on the server, in sessions with a lower long_query_time.
func (s *Server) SlowQueries(on bool) { s.slowQueries.Store(on) }

// Gauges returns the utilization of the pool and the slots.
func (s *Server) Gauges() (stream.DBPool, stream.WorkerThreads) {
	stats := s.pool.Stats()
	return stream.DBPool{Pool: "api", InUse: stats.InUse, Idle: stats.Idle, Max: stats.MaxOpenConnections, Waits: int(stats.WaitCount)},
		stream.WorkerThreads{Pool: "api", Busy: len(s.slots), Max: cap(s.slots)}
}

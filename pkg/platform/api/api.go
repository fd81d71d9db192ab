// Package api is the simulated platform's HTTP API: what visitors and probes ask, answered from the platform's own tables through a
// bounded pool of connections and a cache in Redis, with a bounded number of request slots. It reports what it measured, and
// each of its parts can be made to fail. It changes nothing by itself: an order is the platform's business.
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

	"github.com/consignwatch/consignwatch/pkg/platform/authority"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// Config says what the API works with. Address, Pool and Platform have no default.
type Config struct {
	// Address is host:port for HTTPS, or http://host:port for HTTP. Without a host it is 127.0.0.1; port 0 is a free one.
	Address string
	// Certificates is a folder for the file of the certificate authority (authority.FileName). Empty: nowhere.
	Certificates string
	// Pool is the database. The API bounds it to Connections, and closes it in the end.
	Pool *sql.DB
	// Cache is host:port of Redis. Empty: every request asks the database.
	Cache string
	// Platform is what the API is a part of.
	Platform Platform

	Connections  int              // 10
	Slots        int              // requests at a time; 64
	TTL          time.Duration    // of what is cached; a minute
	QueryTimeout time.Duration    // 3s
	Limits       Limits           // the usual ones
	Now          func() time.Time // of certificates; time.Now
	Logger       *slog.Logger     // nothing is logged
}

// Limits are how long the API waits. What is 0 is as usual.
type Limits struct {
	Wait    time.Duration // of a request, for a slot, and for a connection; a second
	Request time.Duration // of one request, all in all; 8s
	Order   time.Duration // of placing an order; 5s
	Cache   time.Duration // of one operation of the cache; 250ms
	Delay   time.Duration // of a request while requests are slow, at least; at most three times that; a second
}

func (l *Limits) setDefaults() {
	l.Wait = cmp.Or(l.Wait, time.Second)
	l.Request = cmp.Or(l.Request, 8*time.Second)
	l.Order = cmp.Or(l.Order, 5*time.Second)
	l.Cache = cmp.Or(l.Cache, 250*time.Millisecond)
	l.Delay = cmp.Or(l.Delay, time.Second)
}

// Platform is what the API needs to know, and whom it tells.
type Platform interface {
	// Client returns an active client by its slug or its domain.
	Client(name string) (id uint64, slug string, ok bool)
	// Begin hears of a request that begins.
	Begin() Visit
}

// Visit is a request, as the platform sees it.
type Visit interface {
	// Order lets somebody buy at a client's sale event. After an error only its Duration counts. Errors: ErrNothing, or
	// why it failed.
	Order(ctx context.Context, client, event uint64) (Order, error)
	// End ends the request, with a report, or with nil when there is nobody left who could report.
	End(*Report)
}

// Order is one that was placed.
type Order struct {
	ID     uint64 `json:"id"`
	Items  int    `json:"items"`
	Amount int64  `json:"amount_cents"`
	// Duration is how long it took to write it down.
	Duration time.Duration `json:"-"`
}

// ErrNothing is the answer to an order where there is nothing to buy.
var ErrNothing = errors.New("nothing is for sale there")

// Report is what a request was and took.
type Report struct {
	Client      string // slug; "": of no client
	TraceParent string // as it was sent
	Told        []stream.Data
	// Failure is the error that the user saw; Kind "" is none.
	Failure Failure
}

// Failure is an error of a request.
type Failure struct{ Category, Kind, Route string }

// Server is the API. Its methods can be called from any goroutine.
type Server struct {
	config    Config
	pool      *sql.DB
	cache     *redis.Client        // nil: none
	authority *authority.Authority // nil: HTTP
	handler   http.Handler
	slots     chan struct{}
	address   string
	ca        string // file

	slowRequests atomic.Bool
	slowQueries  atomic.Bool

	mu   sync.Mutex
	life *life // nil: it is down
}

// life is from a start to a stop.
type life struct {
	server *http.Server
	ctx    context.Context // ends with it
	end    context.CancelFunc
	served chan struct{}
}

// Start listens and answers. It does not ask the database or the cache anything before somebody asks it.
func Start(config Config) (*Server, error) {
	config.Connections = cmp.Or(config.Connections, 10)
	config.Slots = cmp.Or(config.Slots, 64)
	config.TTL = cmp.Or(config.TTL, time.Minute)
	config.QueryTimeout = cmp.Or(config.QueryTimeout, 3*time.Second)
	config.Limits.setDefaults()
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
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

// Up listens again after Down. When it is up already, it stays so.
func (s *Server) Up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != nil {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.address)
	if err != nil {
		return fmt.Errorf("API: %w", err)
	}
	s.address = listener.Addr().String() // the same port from now on
	if s.authority != nil {
		listener = tls.NewListener(listener, s.authority.Server())
	}
	ctx, end := context.WithCancel(context.Background())
	l := &life{ctx: ctx, end: end, served: make(chan struct{}), server: &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // strangers' handshakes
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}}
	s.life = l
	go func() {
		defer close(l.served)
		if err := l.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.config.Logger.Error("platform: API ended", "err", err)
		}
	}()
	return nil
}

// Down ends it as a crash does: connections are refused, and requests that are on their way get no answer and are reported by
// nobody. When it is down already, it stays so.
func (s *Server) Down() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.life
	if l == nil {
		return nil
	}
	s.life = nil
	l.end()
	err := l.server.Close()
	<-l.served
	if err != nil {
		return fmt.Errorf("API %s: stop: %w", s.address, err)
	}
	return nil
}

// Close ends it for good.
func (s *Server) Close() error {
	err := errors.Join(s.Down(), s.pool.Close())
	if s.cache != nil {
		err = errors.Join(err, s.cache.Close())
	}
	return err
}

// URL returns where it listens.
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

// Authority returns who issues the certificates; nil for HTTP.
func (s *Server) Authority() *authority.Authority { return s.authority }

// Pool returns the database's connections, for whoever makes them leak.
func (s *Server) Pool() *sql.DB { return s.pool }

// SlowRequests lets each request take one to three times Limits.Delay more.
func (s *Server) SlowRequests(on bool) { s.slowRequests.Store(on) }

// SlowQueries lets each query take longer on the server than what the server takes for slow in these sessions.
func (s *Server) SlowQueries(on bool) { s.slowQueries.Store(on) }

// Gauges returns how busy pool and slots are now.
func (s *Server) Gauges() (stream.DBPool, stream.WorkerThreads) {
	stats := s.pool.Stats()
	return stream.DBPool{Pool: "api", InUse: stats.InUse, Idle: stats.Idle, Max: stats.MaxOpenConnections, Waits: int(stats.WaitCount)},
		stream.WorkerThreads{Pool: "api", Busy: len(s.slots), Max: cap(s.slots)}
}

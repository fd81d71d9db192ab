package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/infra"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/services"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/violations"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// State is the state of the simulator, in the control interface.
type State struct {
	Filled   bool           `json:"filled"`
	Living   bool           `json:"living"`
	Paused   bool           `json:"paused"`
	Speed    float64        `json:"speed"`
	Time     time.Time      `json:"platform_time"` // time of day of the platform
	Changes  int64          `json:"changes"`       // transactions since the fill
	Failures int64          `json:"failures"`      // of the database, since the fill
	Failing  string         `json:"failing,omitempty"`
	Rows     map[string]int `json:"rows"`
	Events   map[string]int `json:"events"` // by status
	Faults   []string       `json:"faults"` // on
	Clients  []string       `json:"clients"`
	Stream   *stream.State  `json:"stream,omitempty"` // nil: no stream
	Jobs     *jobs.State    `json:"jobs,omitempty"`   // nil: no stream
	infra.State
	ExternalServices *services.State `json:"external_services,omitempty"` // nil: no external services
}

// State returns the state of the simulator.
func (p *Platform) State() State {
	s := State{
		Filled: p.store.Filled.Load(), Living: p.life.Living.Load(), Paused: p.store.Paused.Load(), Speed: p.config.Speed, Time: p.life.TimeOfDay(),
		Failures: p.store.Failures.Load(), Rows: map[string]int{}, Events: map[string]int{}, Faults: []string{}, Clients: []string{}, State: p.infra.State(),
	}
	if message := p.store.Failing.Load(); message != nil {
		s.Failing = *message
	}
	if p.emitter != nil {
		out, background := p.emitter.State()
		s.Stream, s.Jobs = &out, &background
	}
	if p.services != nil {
		s.ExternalServices = p.services.State()
	}
	for _, fault := range p.faults.List() {
		if fault.On {
			s.Faults = append(s.Faults, fault.Name)
		}
	}
	p.store.Memory.RLock()
	defer p.store.Memory.RUnlock()
	s.Changes = p.store.Changes
	for _, t := range world.AllTables() {
		s.Rows[t.Title()] = t.Count(p.store.Books)
	}
	for _, e := range p.store.Books.Events {
		s.Events[e.Status]++
	}
	for _, c := range p.store.Books.Clients {
		if c.Active {
			s.Clients = append(s.Clients, c.Slug)
		}
	}
	return s
}

// Ready reports whether the database is filled and life goes on.
func (p *Platform) Ready() bool { return p.store.Filled.Load() && p.life.Living.Load() }

// Control returns the control interface:
//
//	GET  /-/ready                          200 when the database is filled and the platform lives
//	GET  /state                            sizes, statuses, jobs by queue, faults that are on
//	GET  /expected-samples                 every sample that the business-exporter has to export now
//	GET  /expected-stream-samples          what an exact consumer of the stream has counted (StreamTruth)
//	GET  /faults                           all faults
//	POST /faults/NAME/on|off?client=SLUG   without a client: what the fault's scope says
//	POST /pause, POST /resume              life
//
// It has no authentication: serve it on the loopback interface only (ListenLoopback).
func (p *Platform) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !p.Ready() {
			http.Error(w, "not ready: the database is being filled", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /state", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, p.State()) })
	mux.HandleFunc("GET /expected-samples", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, p.Truth()) })
	mux.HandleFunc("GET /expected-stream-samples", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, p.StreamTruth()) })
	mux.HandleFunc("GET /faults", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, p.faults.List()) })
	mux.HandleFunc("POST /faults/{name}/on", p.switchFault(p.faults.On))
	mux.HandleFunc("POST /faults/{name}/off", p.switchFault(p.faults.Off))
	mux.HandleFunc("POST /pause", func(w http.ResponseWriter, r *http.Request) {
		if err := p.Pause(r.Context()); err != nil {
			refuse(w, http.StatusServiceUnavailable, err, nil)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /resume", func(w http.ResponseWriter, _ *http.Request) {
		p.Resume()
		w.WriteHeader(http.StatusNoContent)
	})
	return sameSite(mux)
}

func (p *Platform) switchFault(do func(ctx context.Context, name, client string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var missing faults.NotConfigured
		err := do(r.Context(), r.PathValue("name"), r.URL.Query().Get("client"))
		switch {
		case err == nil:
			w.WriteHeader(http.StatusNoContent)
		case errors.Is(err, faults.ErrUnknownFault):
			refuse(w, http.StatusNotFound, err, p.faults.Names())
		case errors.Is(err, store.ErrUnknownClient):
			refuse(w, http.StatusNotFound, err, p.State().Clients)
		case errors.As(err, &missing), errors.Is(err, violations.ErrNoSaleEvent), errors.Is(err, faults.ErrScope), errors.Is(err, faults.ErrOnForAll):
			refuse(w, http.StatusConflict, err, nil)
		default:
			refuse(w, http.StatusServiceUnavailable, err, nil)
		}
	}
}

// sameSite rejects cross-origin requests of browsers.
func sameSite(next http.Handler) http.Handler { return http.NewCrossOriginProtection().Handler(next) }

func refuse(w http.ResponseWriter, status int, err error, known []string) {
	answer(w, status, struct {
		Error string   `json:"error"`
		Known []string `json:"known,omitempty"`
	}{err.Error(), known})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(secret.Writer(w)).Encode(body) // the caller may have left
}

// ListenLoopback listens on an address of the loopback interface, and on no other.
func ListenLoopback(ctx context.Context, address string) (net.Listener, error) {
	return listenLoopback(ctx, "control address", address)
}

func listenLoopback(ctx context.Context, what, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", what, address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s %q: it must be on the loopback interface, for example 127.0.0.1:9479", what, address)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", what, address, err)
	}
	return listener, nil
}

// ServeControl serves the control interface until the context ends. Requests that wait for something end with it.
func (p *Platform) ServeControl(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           p.Control(),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(patience) != nil {
			_ = server.Close() // a client that does not read its response
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control interface: %w", err)
	}
	<-stopped
	return nil
}

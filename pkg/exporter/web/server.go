package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
)

// options are the parsed flags of the server.
type options struct {
	config        *string
	check         *bool
	telemetryPath *string
	lifecycle     *bool
	maxRequests   *int
	drainTimeout  time.Duration
	web           *web.FlagConfig
}

// The deadlines of a connection. They hold before authentication, too.
const (
	requestTimeout  = 10 * time.Second // to send a request, its body included
	responseTimeout = time.Minute      // to make a response and write it; of a scrape, when the scraper sends no timeout
	idleTimeout     = 3 * time.Minute  // between two requests: longer than most scrape intervals
)

// handler serves everything that the web config protects: metrics, configuration, reload, landing page.
func (in *instance) handler(o options) (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("GET "+*o.telemetryPath, in.metricsHandler(*o.maxRequests))
	mux.HandleFunc("GET /config", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(in.setup.Load().Text)
	})
	mux.HandleFunc("/-/reload", func(w http.ResponseWriter, r *http.Request) { in.handleReload(w, r, *o.lifecycle) })
	if *o.telemetryPath != "/" {
		landing, err := web.NewLandingPage(web.LandingConfig{
			Name:        string(in.app.Name),
			Description: in.app.Description,
			Version:     version.Info(),
			Profiling:   "false",
			Links: []web.LandingLinks{
				{Address: *o.telemetryPath, Text: "Metrics"},
				{Address: "/config", Text: "Configuration", Description: "as it is in force, without secrets"},
				{Address: "/-/healthy", Text: "Health"},
				{Address: "/-/ready", Text: "Readiness", Description: "every target has been tried at least once"},
			},
		})
		if err != nil {
			return nil, fmt.Errorf("landing page: %w", err)
		}
		mux.Handle("GET /{$}", landing)
	}
	return mux, nil
}

// metricsHandler serves scrapes, so many at a time: 0 means no limit.
func (in *instance) metricsHandler(limit int) http.Handler {
	scrapes := &inFlight{limit: limit}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection := http.NewResponseController(w)
		scrape := scrapes.begin(connection)
		if scrape == nil {
			http.Error(w, fmt.Sprintf("Limit of concurrent requests reached (%d), try again later.", limit), http.StatusServiceUnavailable)
			return
		}
		defer scrapes.end(scrape)
		// After its own timeout the scraper does not accept the response any more. Where there is no connection, in tests,
		// the deadlines fail to be set.
		deadline := time.Now().Add(cmp.Or(ScrapeTimeout(r), responseTimeout))
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		defer cancel()
		connection.SetReadDeadline(deadline) // the server's would end the request's context earlier
		connection.SetWriteDeadline(deadline)
		in.serveMetrics(w, r.WithContext(ctx), func() { scrapes.write(scrape) })
	})
}

// serveMetrics buffers the scrape response and writes it with its length: a scraper has all of it or knows that it has
// not, and a TransactionalGatherer learns which. It calls gathered before it writes.
func (in *instance) serveMetrics(w http.ResponseWriter, r *http.Request, gathered func()) {
	gatherer, done := in.manager.Scrape(r)
	var once sync.Once
	finish := func(delivered bool) { once.Do(func() { done(delivered) }) }
	delivered := false
	defer func() { finish(delivered) }()
	// A write can outlast its deadline: over HTTP/2 it waits for the connection.
	defer context.AfterFunc(r.Context(), func() { finish(false) })()
	if r.Context().Err() != nil { // what waited for the scraper's turn has not gathered everything
		http.Error(w, "The scrape timed out.", http.StatusServiceUnavailable)
		return
	}
	body, _ := in.buffers.Get().(*bytes.Buffer)
	if body == nil {
		body = &bytes.Buffer{}
	}
	defer in.buffers.Put(body)
	body.Reset()
	response := &bufferedResponse{header: w.Header(), status: http.StatusOK, body: body}
	promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		ErrorLog:                            slogErrors{in.log},
		ErrorHandling:                       promhttp.ContinueOnError,
		EnableOpenMetrics:                   true,
		EnableOpenMetricsTextCreatedSamples: true,
	}).ServeHTTP(response, r)
	gathered()
	w.Header().Set("Content-Length", strconv.Itoa(response.body.Len()))
	w.WriteHeader(response.status)
	_, err := w.Write(response.body.Bytes())
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err == nil {
		err = r.Context().Err() // a small response fits into the socket's buffer, whether anybody reads it or not
	}
	if err != nil {
		in.log.Debug("scrape was cut off", "remote", r.RemoteAddr, "err", err)
	}
	delivered = err == nil && response.status == http.StatusOK
}

// ScrapeTimeout is the timeout that a scraper sends, at most responseTimeout, and 0 when it sends none.
func ScrapeTimeout(r *http.Request) time.Duration {
	seconds, err := strconv.ParseFloat(r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(seconds > 0) {
		return 0
	}
	return time.Duration(min(seconds, responseTimeout.Seconds()) * float64(time.Second))
}

// bufferedResponse buffers a response until it is complete.
type bufferedResponse struct {
	header http.Header
	status int
	body   *bytes.Buffer
}

func (h *bufferedResponse) Header() http.Header         { return h.header }
func (h *bufferedResponse) WriteHeader(status int)      { h.status = status }
func (h *bufferedResponse) Write(p []byte) (int, error) { return h.body.Write(p) }

// webServers are the listeners of an exporter, each with a server of its own: the toolkit changes the server's
// handler, so two listeners cannot share one.
type webServers struct {
	listeners []net.Listener
	servers   []*http.Server
	web       *web.FlagConfig
	log       *slog.Logger
}

func listen(o options, in *instance) (*webServers, error) {
	handler, err := in.handler(o)
	if err != nil {
		return nil, err
	}
	ws := &webServers{web: o.web, log: in.log}
	if o.web.WebSystemdSocket != nil && *o.web.WebSystemdSocket {
		if ws.listeners, err = activation.Listeners(); err != nil {
			return nil, fmt.Errorf("systemd sockets: %w", err)
		}
		if len(ws.listeners) == 0 {
			return nil, errors.New("--web.systemd-socket: systemd has passed no socket")
		}
	} else {
		listenOn := in.app.Listen
		if listenOn == nil {
			listenOn = net.Listen
		}
		for _, address := range *o.web.WebListenAddresses {
			l, err := listenOn("tcp", address)
			if err != nil {
				ws.close()
				return nil, fmt.Errorf("--web.listen-address: %w", err)
			}
			ws.listeners = append(ws.listeners, l)
		}
	}
	for range ws.listeners {
		ws.servers = append(ws.servers, &http.Server{
			Handler: authenticated(*o.web.WebConfigFile, handler), ReadTimeout: requestTimeout, WriteTimeout: responseTimeout, IdleTimeout: idleTimeout,
			// Over HTTP/2 a timeout ends a request, and not the connection: that takes a client that reads nothing at all.
			HTTP2: &http.HTTP2Config{WriteByteTimeout: responseTimeout},
		})
	}
	for i, l := range ws.listeners {
		ws.listeners[i] = &unauthenticatedPaths{Listener: l, server: ws.servers[i], handler: in.healthHandler()}
	}
	return ws, nil
}

// serve answers until shutdown. The channel receives the error of a listener that has failed.
func (ws *webServers) serve() <-chan error {
	failed := make(chan error, len(ws.servers))
	for i := range ws.servers {
		go func() {
			if err := web.Serve(ws.listeners[i], ws.servers[i], ws.web, ws.log); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", ws.listeners[i].Addr(), err)
			}
		}()
	}
	return failed
}

// shutdown waits for the requests in flight, and cuts off those that are left when ctx ends. Connections on which nothing
// was ever requested take part of that time.
func (ws *webServers) shutdown(ctx context.Context) {
	for _, s := range ws.servers {
		if err := s.Shutdown(ctx); err != nil {
			ws.log.Warn("stopping: connections are cut off", "err", err)
			s.Close()
		}
	}
}

func (ws *webServers) addresses() []net.Addr {
	var addrs []net.Addr
	for _, l := range ws.listeners {
		addrs = append(addrs, l.Addr())
	}
	return addrs
}

func (ws *webServers) close() {
	for _, l := range ws.listeners {
		l.Close()
	}
}

// slogErrors lets promhttp log.
type slogErrors struct{ log *slog.Logger }

func (l slogErrors) Println(v ...any) {
	l.log.Error("scrape", "err", strings.TrimSpace(fmt.Sprintln(v...)))
}

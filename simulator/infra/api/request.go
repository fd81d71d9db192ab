package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// request is a request that is served.
type request struct {
	*Server
	http    *http.Request
	tracked PlatformRequest
	ctx     context.Context // for the database and the cache; it does not end when the caller leaves
	route   string
	client  uint64
	report  Report

	status int
	body   []byte
}

// serve returns the handler of a route, which reports each request.
func (s *Server) serve(route string, do func(*request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, h *http.Request) {
		trace := h.Header.Get("traceparent")
		visit, ended := s.config.Platform.Begin(trace), false
		end := func(report *Report) {
			if !ended {
				ended = true
				visit.End(report)
			}
		}
		defer end(nil) // in any case: Pause waits for it
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(h.Context()), s.config.Limits.Request)
		defer cancel()
		r := &request{Server: s, http: h, tracked: visit, ctx: ctx, route: route, report: Report{TraceParent: trace}}
		r.run(do)
		if s.crashed(h.Context()) {
			return
		}
		r.record(stream.APIRequest{Route: route, Method: method(h.Method), Status: r.status, Duration: stream.Seconds(time.Since(begun))})
		end(&r.report) // before the response: a caller who has it finds the request counted
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(r.body)))
		w.WriteHeader(r.status)
		_, _ = w.Write(r.body) // the caller may have left
	})
}

// crashed reports whether the server of a request has been stopped, as opposed to a caller who left.
func (s *Server) crashed(ctx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serving == nil || ctx.Value(http.ServerContextKey) != any(s.serving.server)
}

// method returns a method as a label: strangers may send any text.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	default:
		return "other"
	}
}

func (r *request) run(do func(*request)) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-time.After(r.config.Limits.Wait):
		r.fail("queue", errors.New("all request slots are taken"))
		return
	}
	if r.slowRequests.Load() {
		delay := r.config.Limits.Delay
		r.wait(delay + rand.N(2*delay))
	}
	do(r)
}

// wait sleeps, unless the server stops.
func (r *request) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.http.Context().Done():
	}
}

func (r *request) record(d stream.Data) { r.report.Events = append(r.report.Events, d) }

func (r *request) answer(status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil { // a column that cannot be encoded
		r.fail("database", err)
		return
	}
	r.status, r.body = status, append(encoded, '\n')
}

func (r *request) refuse(status int, why string) {
	r.answer(status, struct {
		Error string `json:"error"`
	}{why})
}

// fail responds that the platform is unavailable, and sets the error that the user saw.
func (r *request) fail(kind string, err error) {
	r.report.Failure = Failure{"system", kind, r.route}
	r.refuse(http.StatusServiceUnavailable, err.Error())
}

// tenant finds the client of a request: by the slug in the header X-Client, or else by the client's domain as host.
func (r *request) tenant() bool {
	name := r.http.Header.Get("X-Client")
	if name == "" {
		name = r.http.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
	}
	id, slug, ok := r.config.Platform.Client(name)
	if !ok {
		r.refuse(http.StatusForbidden, "no such client: name one with the header X-Client, or by its domain")
		return false
	}
	r.client, r.report.Client = id, slug
	return true
}

// errInvalid is the error of an invalid request.
var errInvalid = errors.New("invalid request")

// values returns the arguments of a query.
func (r *request) values(args []argument) ([]any, error) {
	var all []any
	for _, a := range args {
		switch a {
		case client:
			all = append(all, r.client)
		case id, event:
			text, what := r.http.PathValue("id"), "the id in the path"
			if a == event {
				text, what = r.http.FormValue("event"), "event"
			}
			number, err := strconv.ParseUint(text, 10, 63)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: a whole number is needed", errInvalid, what)
			}
			all = append(all, number)
		case searchText:
			q := r.http.FormValue("q")
			if len(q) < 2 || len(q) > 40 {
				return nil, fmt.Errorf("%w: q: 2 to 40 letters are needed", errInvalid)
			}
			all = append(all, q)
		}
	}
	return all, nil
}

func (r *request) invalid(err error) {
	r.report.Failure = Failure{"business", "validation", r.route}
	r.refuse(http.StatusUnprocessableEntity, err.Error())
}

// read responds from the cache, or else from the database.
func (r *request) read(route Route) {
	if !r.tenant() {
		return
	}
	values, err := r.values(route.args)
	if err != nil {
		r.invalid(err)
		return
	}
	key := cacheKey(route.Path, values)
	cached, lookup := r.cacheGet(key)
	if lookup == hit {
		r.status, r.body = http.StatusOK, cached
		return
	}
	rows, err := r.query(route, values)
	switch {
	case err != nil:
		if lookup == broken {
			r.cacheFallback(false)
		}
		r.fail("database", err)
		return
	case route.one && len(rows) == 0:
		r.refuse(http.StatusNotFound, "there is no such thing")
	case route.one:
		r.answer(http.StatusOK, rows[0])
	default:
		r.answer(http.StatusOK, rows)
	}
	switch {
	case lookup == broken:
		r.cacheFallback(true)
	case lookup == miss && r.status == http.StatusOK:
		r.cacheSet(key, r.body)
	}
}

// order places an order.
func (r *request) order() {
	if !r.tenant() {
		return
	}
	var wanted struct {
		Event uint64 `json:"event"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.http.Body, 4096)).Decode(&wanted); err != nil || wanted.Event == 0 {
		r.invalid(fmt.Errorf("%w: a JSON object with the number of the event is needed", errInvalid))
		return
	}
	// The query bypasses the cache: cached items may be sold.
	if _, err := r.query(Routes()[0], []any{r.client, wanted.Event}); err != nil {
		r.fail("database", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.config.Limits.Order)
	defer cancel()
	placed, err := r.tracked.Order(ctx, r.client, wanted.Event)
	switch {
	case errors.Is(err, ErrNothing):
		r.report.Failure = Failure{"business", "state_conflict", r.route}
		r.refuse(http.StatusConflict, err.Error())
	case err != nil:
		r.record(stream.DBQuery{Operation: "insert", Table: "sales", Outcome: outcome(err), Duration: stream.Seconds(placed.Duration)})
		r.fail("database", err)
	default:
		r.record(stream.DBQuery{Operation: "insert", Table: "sales", Outcome: outcome(nil), Duration: stream.Seconds(placed.Duration)})
		r.cacheDelete(cacheKey("/api/items", []any{r.client, wanted.Event}), cacheKey("/api/cart", []any{r.client, wanted.Event}))
		r.answer(http.StatusCreated, placed)
	}
}

// health responds whether the database and the cache work.
func (r *request) health() {
	checks := map[string]string{"database": "ok"}
	status, name := http.StatusOK, "ok"
	note := func(what string, err error) {
		if err != nil {
			status, name, checks[what] = http.StatusServiceUnavailable, "failing", err.Error()
		}
	}
	_, err := r.query(Route{Table: "clients", query: "SELECT id FROM clients LIMIT 1"}, nil)
	note("database", err)
	if r.cache != nil {
		checks["cache"] = "ok"
		note("cache", r.pingCache())
	}
	r.answer(status, struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}{name, checks})
}

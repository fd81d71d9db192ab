package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/version"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// service is an API over HTTP that is shared by all clients: it counts, times and classifies what it asks, asks nothing
// while the other side wants to be left alone, and lets no secret out.
type service struct {
	name string // begins the names of its metrics: consign_<name>_requests_total
	http *http.Client
	key  secret.Value
	// classify tells an outcome of catalog.ServiceOutcomes from an answer, and says in a few words what the answer was.
	classify func(status int, body []byte) (outcome, what string)
	log      *slog.Logger
	now      func() time.Time

	mu     sync.Mutex
	resume time.Time       // nothing is asked before
	odd    map[string]bool // answers with the outcome other that were logged
}

// The closed set of outcomes, as catalog.ServiceOutcomes declares it.
const (
	serviceOK              = "ok"
	serviceThrottled       = "throttled"        // too many requests
	serviceAuth            = "auth"             // the key is not known
	serviceForbidden       = "forbidden"        // the key may not ask this
	servicePayment         = "payment_required" // the account is not paid for, or has no such feature
	serviceNotFound        = "not_found"        // there is no such thing, or no such address
	serviceInvalidRequest  = "invalid_request"  // the question is refused
	serviceServerError     = "server_error"
	serviceTimeout         = "timeout"
	serviceConnection      = "connection"       // no connection, or it broke
	serviceInvalidResponse = "invalid_response" // a redirect, too long, or not what was asked for
	serviceOther           = "other"
)

const (
	// maxServiceAnswer bounds the body of an answer, in bytes.
	maxServiceAnswer = 8 << 20
	// maxPause is how long a service is left alone at the most, however long it asks for.
	maxPause = time.Hour
	// maxOdd is how many different answers that we do not know are logged.
	maxOdd = 50
)

// newHTTPClient makes a client with few connections, which goes through the proxy that the environment names and follows no
// redirect: our keys are for the host that they were given for.
func newHTTPClient(dial dialer, security *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dial,
			TLSClientConfig:        security,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        2,
			IdleConnTimeout:        20 * time.Second, // long for a round, shorter than the other side waits: what it closes in between fails a POST
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// httpClient makes a client that lives as long as the configuration.
func (b *builder) httpClient(t *commonconfig.TLSConfig) (*http.Client, error) {
	security, err := clientTLS(t)
	if err != nil {
		return nil, err
	}
	client := newHTTPClient(b.dial, security)
	b.closers = append(b.closers, func() error { client.CloseIdleConnections(); return nil })
	return client, nil
}

func userAgent() string { return "consignwatch-integration-exporter/" + version.Version }

// requestError is a request that did not bring what was asked for.
type requestError struct {
	outcome string
	what    string
}

func (e *requestError) Error() string { return e.outcome + ": " + e.what }

// serviceOutcomeOf is the outcome of the request that failed, or empty.
func serviceOutcomeOf(err error) string {
	if e := (*requestError)(nil); errors.As(err, &e) {
		return e.outcome
	}
	return ""
}

// reasonOf is why a collection fails whose request had this outcome.
func reasonOf(outcome string) exporter.Reason {
	switch outcome {
	case serviceThrottled:
		return exporter.ReasonThrottled
	case serviceAuth, serviceForbidden, servicePayment:
		return exporter.ReasonAuth
	case serviceServerError, serviceConnection:
		return exporter.ReasonConnection
	case serviceTimeout:
		return exporter.ReasonTimeout
	case serviceInvalidResponse:
		return exporter.ReasonParse
	}
	return exporter.ReasonQuery
}

// begin makes the series of operations start at 0.
func (s *service) begin(t *exporter.Tally, operations ...string) {
	for _, operation := range operations {
		t.Begin("consign_"+s.name+"_request_duration_seconds", operation)
		for _, outcome := range catalog.ServiceOutcomes() {
			t.Begin("consign_"+s.name+"_requests_total", operation, outcome)
		}
	}
}

// ask sends a request once and hands the body of an answer that is ok to read, whose error makes the answer an invalid one.
func (s *service) ask(ctx context.Context, t *exporter.Tally, operation string, req *http.Request, read func(body []byte) error) error {
	if wait := s.wait(); wait > 0 {
		return exporter.Failure(exporter.ReasonThrottled, fmt.Errorf("%s: %s: not sent: rate limited by the service for another %s", s.name, operation, wait.Round(time.Second)))
	}
	begin := s.now()
	outcome, what := s.exchange(req.WithContext(ctx), read)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the exporter stops: the request was cut off, not answered
	}
	t.Add("consign_"+s.name+"_requests_total", 1, operation, outcome)
	t.Observe("consign_"+s.name+"_request_duration_seconds", s.now().Sub(begin).Seconds(), operation)
	switch outcome {
	case serviceOK:
		return nil
	case serviceOther:
		s.logOnce(operation, what)
	}
	return exporter.Failure(reasonOf(outcome), fmt.Errorf("%s: %s: %w", s.name, operation, &requestError{outcome, what}))
}

// exchange sends a request and tells what came of it.
func (s *service) exchange(req *http.Request, read func(body []byte) error) (outcome, what string) {
	req.Header.Set("User-Agent", userAgent())
	req.Header.Set("Accept", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return transportOutcome(req.Context(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxServiceAnswer+1))
	switch {
	case err != nil:
		return transportOutcome(req.Context(), err)
	case len(body) > maxServiceAnswer:
		return serviceInvalidResponse, fmt.Sprintf("the answer is longer than %d bytes", maxServiceAnswer)
	}
	// What the other side says stands in logs: it may repeat our key to us.
	outcome, what = s.classify(resp.StatusCode, []byte(s.key.Mask(string(body))))
	if outcome == serviceThrottled || outcome == serviceServerError {
		s.leaveAlone(resp.Header.Get("Retry-After"))
	}
	if outcome != serviceOK {
		return outcome, what
	}
	if err := read(body); err != nil {
		return serviceInvalidResponse, s.key.Mask(err.Error())
	}
	return serviceOK, ""
}

// transportOutcome tells from an error what has happened on the way.
func transportOutcome(ctx context.Context, err error) (outcome, what string) {
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err // without the address
	}
	var network net.Error
	if ctx.Err() != nil || errors.As(err, &network) && network.Timeout() {
		return serviceTimeout, "no answer in time"
	}
	return serviceConnection, err.Error()
}

// wait is how long nothing is to be asked.
func (s *service) wait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resume.Sub(s.now())
}

// leaveAlone heeds the header Retry-After: seconds, or a date. Without one, the interval of the collection is the pause.
func (s *service) leaveAlone(retryAfter string) {
	if retryAfter == "" {
		return
	}
	pause := time.Duration(0)
	if seconds, err := strconv.Atoi(retryAfter); err == nil {
		pause = time.Duration(min(seconds, int(maxPause/time.Second))) * time.Second
	} else if at, err := http.ParseTime(retryAfter); err == nil {
		pause = at.Sub(s.now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resume = s.now().Add(min(pause, maxPause))
}

// logOnce logs an answer that we do not know, the first time that it comes.
func (s *service) logOnce(operation, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := operation + " " + what
	if s.odd[id] || len(s.odd) >= maxOdd {
		return
	}
	if s.odd == nil {
		s.odd = map[string]bool{}
	}
	s.odd[id] = true
	s.log.Warn("unknown response", "service", s.name, "operation", operation, "answer", what)
}

// statusOutcome is what an HTTP status means when nothing else tells more.
func statusOutcome(status int) string {
	switch {
	case status >= 200 && status <= 299:
		return serviceOK
	case status >= 300 && status <= 399:
		return serviceInvalidResponse
	case status >= 500:
		return serviceServerError
	}
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return serviceInvalidRequest
	case http.StatusUnauthorized:
		return serviceAuth
	case http.StatusPaymentRequired:
		return servicePayment
	case http.StatusForbidden:
		return serviceForbidden
	case http.StatusNotFound, http.StatusGone:
		return serviceNotFound
	case http.StatusTooManyRequests:
		return serviceThrottled
	}
	return serviceOther
}

// word makes a name that the other side has chosen fit for a log: letters, digits and a few signs, at most 60.
func word(s string) string {
	b := []byte(s)
	if len(b) > 60 {
		b = b[:60]
	}
	for i, c := range b {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !slices.Contains([]byte("_-.:<>"), c) {
			b[i] = '?'
		}
	}
	return string(b)
}

// readJSON reads an answer into v. The error does not repeat what was read.
func readJSON(v any) func(body []byte) error {
	return func(body []byte) error {
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(v); err != nil {
			return errors.New("the answer is not the JSON that was asked for")
		}
		return nil
	}
}

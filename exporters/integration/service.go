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

// service is an HTTP API that all clients of the platform share: it counts, times and classifies its requests, sends none during
// a backoff, and masks secrets.
type service struct {
	name string // begins the names of its metrics: consign_<name>_requests_total
	http *http.Client
	key  secret.Value
	// classify derives an outcome of catalog.ServiceOutcomes from a response, and describes the response in a few words.
	classify func(status int, body []byte) (outcome, what string)
	log      *slog.Logger
	now      func() time.Time

	mu               sync.Mutex
	blockedUntil     time.Time       // no request is sent before
	unknownResponses map[string]bool // responses with the outcome other that were logged
}

// The closed set of outcomes, as catalog.ServiceOutcomes declares it.
const (
	serviceOK              = "ok"
	serviceThrottled       = "throttled"        // too many requests
	serviceAuth            = "auth"             // the key is not known
	serviceForbidden       = "forbidden"        // the key lacks the permission
	servicePayment         = "payment_required" // the account is not paid for, or has no such feature
	serviceNotFound        = "not_found"        // no such object, or no such endpoint
	serviceInvalidRequest  = "invalid_request"  // the request is rejected
	serviceServerError     = "server_error"
	serviceTimeout         = "timeout"
	serviceConnection      = "connection"       // no connection, or it broke
	serviceInvalidResponse = "invalid_response" // a redirect, too long, or not the expected JSON
	serviceOther           = "other"
)

const (
	// maxServiceResponse bounds the body of a response, in bytes.
	maxServiceResponse = 8 << 20
	// maxServiceBackoff bounds the backoff that a service can request.
	maxServiceBackoff = time.Hour
	// maxUnknownResponses bounds how many different unknown responses are logged.
	maxUnknownResponses = 50
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
			IdleConnTimeout:        20 * time.Second, // long for a round, shorter than the server's: a connection that the server closes first fails a POST
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

// requestError is a failed request, with its outcome.
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

// reasonOf is the reason of a collection whose request had this outcome.
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

// initSeries initializes the series of operations to 0.
func (s *service) initSeries(t *exporter.Recorder, operations ...string) {
	for _, operation := range operations {
		t.Init("consign_"+s.name+"_request_duration_seconds", operation)
		for _, outcome := range catalog.ServiceOutcomes() {
			t.Init("consign_"+s.name+"_requests_total", operation, outcome)
		}
	}
}

// do sends a request once and calls read with the body of a response that is ok; an error of read makes the response invalid.
func (s *service) do(ctx context.Context, t *exporter.Recorder, operation string, req *http.Request, read func(body []byte) error) error {
	if wait := s.backoff(); wait > 0 {
		return exporter.Failure(exporter.ReasonThrottled, fmt.Errorf("%s: %s: not sent: rate limited by the service for another %s", s.name, operation, wait.Round(time.Second)))
	}
	begin := s.now()
	outcome, what := s.roundTrip(req.WithContext(ctx), read)
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

// roundTrip sends a request and returns the outcome.
func (s *service) roundTrip(req *http.Request, read func(body []byte) error) (outcome, what string) {
	req.Header.Set("User-Agent", userAgent())
	req.Header.Set("Accept", "application/json")
	resp, err := s.http.Do(req)
	if err != nil {
		return transportOutcome(req.Context(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxServiceResponse+1))
	switch {
	case err != nil:
		return transportOutcome(req.Context(), err)
	case len(body) > maxServiceResponse:
		return serviceInvalidResponse, fmt.Sprintf("the answer is longer than %d bytes", maxServiceResponse)
	}
	// The response is logged, and it may repeat the key.
	outcome, what = s.classify(resp.StatusCode, []byte(s.key.Mask(string(body))))
	if outcome == serviceThrottled || outcome == serviceServerError {
		s.backOff(resp.Header.Get("Retry-After"))
	}
	if outcome != serviceOK {
		return outcome, what
	}
	if err := read(body); err != nil {
		return serviceInvalidResponse, s.key.Mask(err.Error())
	}
	return serviceOK, ""
}

// transportOutcome derives the outcome from a transport error.
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

// backoff is how long no request is to be sent.
func (s *service) backoff() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blockedUntil.Sub(s.now())
}

// backOff obeys the header Retry-After: seconds, or a date. Without one, the next request is that of the next collection.
func (s *service) backOff(retryAfter string) {
	if retryAfter == "" {
		return
	}
	pause := time.Duration(0)
	if seconds, err := strconv.Atoi(retryAfter); err == nil {
		pause = time.Duration(min(seconds, int(maxServiceBackoff/time.Second))) * time.Second
	} else if at, err := http.ParseTime(retryAfter); err == nil {
		pause = at.Sub(s.now())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blockedUntil = s.now().Add(min(pause, maxServiceBackoff))
}

// logOnce logs an unknown response, the first time that it comes.
func (s *service) logOnce(operation, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := operation + " " + what
	if s.unknownResponses[id] || len(s.unknownResponses) >= maxUnknownResponses {
		return
	}
	if s.unknownResponses == nil {
		s.unknownResponses = map[string]bool{}
	}
	s.unknownResponses[id] = true
	s.log.Warn("unknown response", "service", s.name, "operation", operation, "answer", what)
}

// statusOutcome derives the outcome from the HTTP status alone.
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

// sanitize makes a name from a response safe for a log: letters, digits and a few signs, at most 60.
func sanitize(s string) string {
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

// readJSON decodes a response into v. The error does not repeat the response.
func readJSON(v any) func(body []byte) error {
	return func(body []byte) error {
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(v); err != nil {
			return errors.New("the answer is not the JSON that was asked for")
		}
		return nil
	}
}

// Package httpapi sends requests to the HTTP APIs of external services: it counts, times and classifies them, obeys rate limits,
// and keeps secrets out of logs. It does not know which service it speaks to, and repeats no request.
package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
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

// Service is an HTTP API that all clients of the platform share: it counts, times and classifies its requests, sends none during
// a backoff, and masks secrets.
type Service struct {
	options Options

	mu               sync.Mutex
	blockedUntil     time.Time     // no request is sent before
	clockOffset      time.Duration // the service's clock minus ours, by the last response that says its time
	clockKnown       bool
	unknownResponses map[string]bool // responses with the outcome other that were logged
}

// Options describe a service.
type Options struct {
	// Name is the service's, in messages and in the log.
	Name string
	// Requests and Duration are the names of its metrics.
	Requests, Duration string
	HTTP               *http.Client
	// Key is masked in all that comes from the service.
	Key secret.Value
	// Classify derives an outcome of catalog.ServiceOutcomes from a response, and describes the response in a few words.
	Classify func(status int, body []byte) (outcome, what string)
	Log      *slog.Logger
	// Now is time.Now, unless it is set.
	Now func() time.Time
}

// New makes a service. It sends nothing.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{options: o}
}

// The closed set of outcomes, as catalog.ServiceOutcomes declares it.
const (
	OK              = "ok"
	Throttled       = "throttled"        // too many requests
	Auth            = "auth"             // the key is not known
	Forbidden       = "forbidden"        // the key lacks the permission
	PaymentRequired = "payment_required" // the account is not paid for, or has no such feature
	NotFound        = "not_found"        // no such object, or no such endpoint
	InvalidRequest  = "invalid_request"  // the request is rejected
	ServerError     = "server_error"
	Timeout         = "timeout"
	Connection      = "connection"       // no connection, or it broke
	InvalidResponse = "invalid_response" // a redirect, too long, or not the expected JSON
	Other           = "other"
)

const (
	// maxResponse bounds the body of a response, in bytes.
	maxResponse = 8 << 20
	// maxBackoff bounds the backoff that a service can request.
	maxBackoff = time.Hour
	// maxUnknownResponses bounds how many different unknown responses are logged.
	maxUnknownResponses = 50
)

// maxHeader bounds the header of a response, in bytes.
const maxHeader = 64 << 10

// Dial opens the connections to a service, as the method of a net.Dialer does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// NewClient makes a client with few connections, which goes through the proxy that the environment names and follows no
// redirect: our keys are for the host that they were given for.
func NewClient(dial Dial, t *commonconfig.TLSConfig) (*http.Client, error) {
	var security *tls.Config
	if t != nil {
		var err error
		if security, err = commonconfig.NewTLSConfig(t); err != nil {
			return nil, err
		}
	}
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
	}, nil
}

// UserAgent is what the exporter calls itself.
func UserAgent() string { return "consignwatch-integration-exporter/" + version.Version }

// requestError is a failed request, with its outcome.
type requestError struct {
	outcome string
	what    string
}

func (e *requestError) Error() string { return e.outcome + ": " + e.what }

// Failed makes the error of a request: message says which, what describes the response.
func Failed(message, outcome, what string) error {
	return exporter.Failure(reasonOf(outcome), fmt.Errorf("%s: %w", message, &requestError{outcome, what}))
}

// OutcomeOf is the outcome of the request that failed, or empty.
func OutcomeOf(err error) string {
	if e := (*requestError)(nil); errors.As(err, &e) {
		return e.outcome
	}
	return ""
}

// reasonOf is the reason of a collection whose request had this outcome.
func reasonOf(outcome string) exporter.Reason {
	switch outcome {
	case Throttled:
		return exporter.ReasonThrottled
	case Auth, Forbidden, PaymentRequired:
		return exporter.ReasonAuth
	case ServerError, Connection:
		return exporter.ReasonConnection
	case Timeout:
		return exporter.ReasonTimeout
	case InvalidResponse:
		return exporter.ReasonParse
	}
	return exporter.ReasonQuery
}

// InitSeries initializes the series of operations to 0.
func (s *Service) InitSeries(t *exporter.Recorder, operations ...string) {
	for _, operation := range operations {
		t.Init(s.options.Duration, operation)
		for _, outcome := range catalog.ServiceOutcomes() {
			t.Init(s.options.Requests, operation, outcome)
		}
	}
}

// Do sends a request once and calls read with the body of a response that is ok; an error of read makes the response invalid.
func (s *Service) Do(ctx context.Context, t *exporter.Recorder, operation string, req *http.Request, read func(body []byte) error) error {
	if wait := s.backoff(); wait > 0 {
		return exporter.Failure(exporter.ReasonThrottled, fmt.Errorf("%s: %s: not sent: rate limited by the service for another %s", s.options.Name, operation, wait.Round(time.Second)))
	}
	begin := s.options.Now()
	outcome, what := s.roundTrip(req.WithContext(ctx), read)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the exporter stops: the request was cut off, not answered
	}
	t.Add(s.options.Requests, 1, operation, outcome)
	t.Observe(s.options.Duration, s.options.Now().Sub(begin).Seconds(), operation)
	switch outcome {
	case OK:
		return nil
	case Other:
		s.logOnce(operation, what)
	}
	return Failed(s.options.Name+": "+operation, outcome, what)
}

// roundTrip sends a request and returns the outcome.
func (s *Service) roundTrip(req *http.Request, read func(body []byte) error) (outcome, what string) {
	req.Header.Set("User-Agent", UserAgent())
	req.Header.Set("Accept", "application/json")
	sent := s.options.Now()
	resp, err := s.options.HTTP.Do(req)
	if err != nil {
		return s.transportOutcome(req.Context(), err)
	}
	defer resp.Body.Close()
	s.compareClocks(resp.Header, sent)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return s.transportOutcome(req.Context(), err)
	case len(body) > maxResponse:
		return InvalidResponse, fmt.Sprintf("the answer is longer than %d bytes", maxResponse)
	}
	// The response is logged, and it may repeat the key.
	outcome, what = s.options.Classify(resp.StatusCode, []byte(s.options.Key.Mask(string(body))))
	if outcome == Throttled || outcome == ServerError {
		if pause, ok := RetryAfter(resp.Header, s.options.Now(), maxBackoff); ok { // without one, the next request is that of the next collection
			s.backOff(pause)
		}
	}
	if outcome != OK {
		return outcome, what
	}
	if err := read(body); err != nil {
		return InvalidResponse, s.options.Key.Mask(err.Error())
	}
	return OK, ""
}

// TransportOutcome derives the outcome from a transport error.
func TransportOutcome(ctx context.Context, err error) (outcome, what string) {
	var in *url.Error
	if errors.As(err, &in) {
		err = in.Err // without the address
	}
	var network net.Error
	if ctx.Err() != nil || errors.As(err, &network) && network.Timeout() {
		return Timeout, "no answer in time"
	}
	return Connection, err.Error()
}

// backoff is how long no request is to be sent.
func (s *Service) backoff() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blockedUntil.Sub(s.options.Now())
}

// backOff sends nothing for a while. It never shortens a backoff under way: two requests may be answered in any order.
func (s *Service) backOff(pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until := s.options.Now().Add(pause); until.After(s.blockedUntil) {
		s.blockedUntil = until
	}
}

// RetryAfter is how long the header Retry-After of a response asks to wait, at most longest: seconds, with a fraction or
// without, or a date, which is compared with the Date of the same response, because our clock may differ. A value that cannot be
// read asks for longest: the server wants a pause, and only its length is unknown. ok is false without the header.
func RetryAfter(header http.Header, now time.Time, longest time.Duration) (pause time.Duration, ok bool) {
	value := header.Get("Retry-After")
	if value == "" {
		return 0, false
	}
	if at, err := http.ParseTime(value); err == nil {
		if date, err := http.ParseTime(header.Get("Date")); err == nil {
			now = date
		}
		return min(max(at.Sub(now), 0), longest), true
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(seconds) {
		return longest, true
	}
	return time.Duration(min(max(seconds, 0), longest.Seconds()) * float64(time.Second)), true
}

// compareClocks compares the Date of a response with the middle between its request and now. The Date of a response from a
// cache is that of another request.
func (s *Service) compareClocks(header http.Header, sent time.Time) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil || header.Get("Age") != "" {
		return
	}
	middle := sent.Add(s.options.Now().Sub(sent) / 2)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clockOffset, s.clockKnown = date.Add(dateResolution/2).Sub(middle), true
}

// dateResolution is that of the header Date, which has whole seconds: on average, half of one is missing.
const dateResolution = time.Second

// ClockOffset is the service's clock minus ours, by its last response; ok is false while no response has said its time.
func (s *Service) ClockOffset() (offset time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clockOffset, s.clockKnown
}

// transportOutcome is TransportOutcome without the key: an error may quote what the server has sent.
func (s *Service) transportOutcome(ctx context.Context, err error) (outcome, what string) {
	outcome, what = TransportOutcome(ctx, err)
	return outcome, s.options.Key.Mask(what)
}

// logOnce logs an unknown response, the first time that it comes.
func (s *Service) logOnce(operation, what string) {
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
	s.options.Log.Warn("unknown response", "service", s.options.Name, "operation", operation, "answer", what)
}

// StatusOutcome derives the outcome from the HTTP status alone.
func StatusOutcome(status int) string {
	switch {
	case status >= 200 && status <= 299:
		return OK
	case status >= 300 && status <= 399:
		return InvalidResponse
	case status >= 500:
		return ServerError
	}
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return InvalidRequest
	case http.StatusUnauthorized:
		return Auth
	case http.StatusPaymentRequired:
		return PaymentRequired
	case http.StatusForbidden:
		return Forbidden
	case http.StatusNotFound, http.StatusGone:
		return NotFound
	case http.StatusTooManyRequests:
		return Throttled
	}
	return Other
}

// Sanitize makes a name from a response safe for a log: letters, digits and a few signs, at most 60.
func Sanitize(s string) string {
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

// maxElements bounds the list of a response: short elements take much more memory when they are decoded.
const maxElements = 50_000

// ReadList decodes a response that is a list into v. The error does not repeat the response.
func ReadList[T any](v *[]T) func(body []byte) error {
	return func(body []byte) error {
		decoder := json.NewDecoder(bytes.NewReader(body))
		if start, err := decoder.Token(); err != nil || start != json.Delim('[') {
			return errNotJSON
		}
		var all []T
		for decoder.More() {
			if len(all) == maxElements {
				return fmt.Errorf("the answer is a list of more than %d elements", maxElements)
			}
			var one T
			if decoder.Decode(&one) != nil {
				return errNotJSON
			}
			all = append(all, one)
		}
		if _, err := decoder.Token(); err != nil { // the list has no end
			return errNotJSON
		}
		*v = all
		return nil
	}
}

var errNotJSON = errors.New("the answer is not the JSON that was asked for")

// ReadJSON decodes a response into v. The error does not repeat the response.
func ReadJSON(v any) func(body []byte) error {
	return func(body []byte) error {
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(v); err != nil {
			return errNotJSON
		}
		return nil
	}
}

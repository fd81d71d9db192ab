package shopify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/httpapi"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// The operations on a shop, as the metrics name them.
const (
	operationToken    = "token"
	operationStatus   = "status"
	operationOrders   = "orders"
	operationProducts = "products"
)

// shop is the Admin API of one client's shop. All collectors send their requests through it: one request at a time, within the
// rate limit, and counted.
type shop struct {
	client   string // the client's slug
	apiURL   string
	grantURL string
	version  string // the requested version
	http     *http.Client
	timeout  time.Duration // of one request
	log      *slog.Logger

	tokens  *tokenSource // behind a pointer: a shop that is printed shows an address
	limiter rateLimiter
	slot    chan struct{} // holds a token while a request runs

	recorder   *exporter.Recorder // of this shop
	operations *exporter.Recorder // of all shops

	mu       sync.Mutex
	served   string    // version of the last response
	servedAt time.Time // when the last response came
}

// do sends a query and decodes the response into a result. It waits for the bucket, for other requests and for the rate limit;
// when there is no time for that, it sends nothing.
func (s *shop) do(ctx context.Context, q query, into result) error {
	release, err := s.acquire(ctx, q)
	if err != nil {
		return fmt.Errorf("shopify %s: %s: %w", s.client, q.operation, err)
	}
	defer release()
	if err := s.doWithToken(ctx, q, into); err != nil {
		return fmt.Errorf("shopify %s: %s: %w", s.client, q.operation, err)
	}
	return nil
}

// acquire waits until the query may be sent. No other request is sent until release is called.
func (s *shop) acquire(ctx context.Context, q query) (release func(), err error) {
	for {
		wait, why := s.limiter.delay(q)
		if deadline, ok := ctx.Deadline(); ok && wait > 0 && !time.Now().Add(wait).Before(deadline) {
			return nil, errorf(outcomeThrottled, "not sent: %s", why)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		select {
		case s.slot <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("another request to the shop takes too long: %w", ctx.Err())
		}
		if wait, _ := s.limiter.delay(q); wait <= 0 {
			return func() { <-s.slot }, nil
		}
		<-s.slot
	}
}

// doWithToken sends a query with the current token; when a requested one is rejected, once more with a new one.
func (s *shop) doWithToken(ctx context.Context, q query, into result) error {
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	err = s.post(ctx, q, token, into)
	if outcomeOf(err) != outcomeAuth || !s.tokens.requested() {
		return err
	}
	if token, err = s.requestToken(ctx); err != nil {
		return err
	}
	return s.post(ctx, q, token, into)
}

// post sends a query.
func (s *shop) post(ctx context.Context, q query, token accessToken, into result) error {
	body, err := json.Marshal(struct {
		Query     string `json:"query"`
		Variables any    `json:"variables,omitempty"`
	}{q.text, q.variables})
	if err != nil {
		return exporter.Failure(exporter.ReasonInternal, err)
	}
	return s.send(ctx, q.operation, s.apiURL, "application/json", token.value, string(body), func(r response) error {
		return s.decode(r, into)
	})
}

// decode decodes a response of the GraphQL API.
func (s *shop) decode(r response, into result) error {
	if served := r.header.Get("X-Shopify-API-Version"); served != "" {
		s.mu.Lock()
		s.served, s.servedAt = served, time.Now()
		s.mu.Unlock()
	}
	if r.status != http.StatusOK {
		return s.statusError(r)
	}
	var e envelope
	if err := json.Unmarshal(r.body, &e); err != nil {
		return errorf(outcomeInvalidResponse, "the answer is not understood: %s", s.excerpt(r.body))
	}
	o := outcomeOK
	if len(e.Errors) > 0 {
		o = e.Errors.outcome()
	}
	if !s.limiter.updateBucket(e.Extensions.Cost, o == outcomeThrottled) && o == outcomeThrottled {
		s.limiter.backOff(defaultBackoff)
	}
	if o != outcomeOK {
		return errorf(o, "%s", s.excerpt([]byte(e.Errors.String())))
	}
	if len(e.Extensions.Search) > 0 {
		return errorf(outcomeOther, "a part of the search is not understood, so that it finds too much: %s", s.excerpt(e.Extensions.Search[0]))
	}
	if err := json.Unmarshal(e.Data, into); err != nil {
		return errorf(outcomeInvalidResponse, "the data are not understood: %s", s.excerpt(r.body))
	}
	if err := into.check(); err != nil {
		return errorf(outcomeInvalidResponse, "%w: %s", err, s.excerpt(r.body))
	}
	return nil
}

// statusError makes an error of a response that is not 200.
func (s *shop) statusError(r response) error {
	o := outcomeOfStatus(r.status)
	if o == outcomeThrottled {
		s.limiter.backOff(r.retryAfter())
	}
	if r.status >= 300 && r.status < 400 {
		return errorf(o, "status %d: a redirect, which is not followed: the token is for this host only", r.status)
	}
	text := r.body
	var e struct {
		Errors apiErrors `json:"errors"`
	}
	if json.Unmarshal(r.body, &e) == nil && len(e.Errors) > 0 {
		text = []byte(e.Errors.String())
	}
	return errorf(o, "status %d: %s", r.status, s.excerpt(text))
}

// maxExcerpt bounds the part of a response that is logged.
const maxExcerpt = 300

// excerpt quotes the beginning of a response, without secrets and without control characters.
func (s *shop) excerpt(text []byte) string {
	masked := s.tokens.mask(string(text)) // before it is cut: half a secret would not be found
	if len(masked) > maxExcerpt {
		masked = strings.ToValidUTF8(masked[:maxExcerpt], "") + "…"
	}
	return strconv.Quote(masked)
}

// response is an HTTP response that was read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// retryAfter is the header Retry-After, or the default without it, and at least that.
func (r response) retryAfter() time.Duration {
	if pause, ok := httpapi.RetryAfter(r.header, time.Now(), maxShopBackoff); ok {
		return max(pause, defaultBackoff)
	}
	return defaultBackoff
}

// maxResponse bounds a response: a page of the largest list has a tenth of it.
const maxResponse = 2 << 20

// send sends one request, checks the response, and counts it.
func (s *shop) send(ctx context.Context, operation, url, kind string, token secret.Value, body string, check func(response) error) error {
	var (
		r    response
		took time.Duration
		err  error
	)
	for try := range 2 {
		if err := s.limiter.wait(ctx); err != nil {
			return err
		}
		var kept bool
		begin := time.Now()
		r, kept, err = s.roundTrip(ctx, url, kind, token, body)
		took = time.Since(begin)
		// A persistent connection that the shop has closed meanwhile is no failure of the shop. The requests are read-only, so they
		// can be retried; within the rate limit, which the transport would ignore.
		if try > 0 || err == nil || !kept || outcomeOf(err) != outcomeServerError {
			break
		}
	}
	if err == nil {
		err = check(r)
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the exporter stops: the request was cut off, not answered
	}
	result := string(outcomeOf(err))
	s.recorder.Add("consign_shopify_requests_total", 1, s.client, result)
	s.recorder.Observe("consign_shopify_request_duration_seconds", took.Seconds(), s.client)
	s.operations.Add("consign_shopify_operations_total", 1, operation, result)
	return err
}

// roundTrip sends a request and reads the whole response. kept says whether the connection was reused.
func (s *shop) roundTrip(ctx context.Context, url, kind string, token secret.Value, body string) (_ response, kept bool, _ error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { kept = c.Reused }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return response{}, kept, exporter.Failure(exporter.ReasonInternal, err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", httpapi.UserAgent())
	if value := token.Reveal(); value != "" {
		req.Header.Set("X-Shopify-Access-Token", value)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return response{}, kept, errorf(outcomeOfFailure(err), "%s", s.tokens.mask(err.Error()))
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	n, err := io.Copy(&text, io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return response{}, kept, errorf(outcomeOfFailure(err), "the answer breaks off: %s", s.tokens.mask(err.Error()))
	case n > maxResponse:
		return response{}, kept, errorf(outcomeInvalidResponse, "the answer is longer than %d bytes", maxResponse)
	}
	return response{resp.StatusCode, resp.Header, text.Bytes()}, kept, nil
}

// servedVersion is the version of the shop's last response, and when that came.
func (s *shop) servedVersion() (served string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served, s.servedAt
}

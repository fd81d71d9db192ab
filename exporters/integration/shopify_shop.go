package integration

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

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// What a shop is asked for, as the metrics name it.
const (
	operationToken    = "token"
	operationStatus   = "status"
	operationOrders   = "orders"
	operationProducts = "products"
)

// shop is the Admin API of one client's shop. All that asks it does so through here: one request at a time, no more often than
// allowed, and counted.
type shop struct {
	client   string // the client's slug
	apiURL   string
	grantURL string
	version  string // that is asked for
	http     *http.Client
	timeout  time.Duration // of one request
	log      *slog.Logger

	tokens *tokenSource // behind a pointer: whoever prints a shop prints an address
	pace   pace
	turn   chan struct{} // holds a token while a request runs

	counts     *exporter.Tally // of this shop
	operations *exporter.Tally // of all shops

	mu     sync.Mutex
	served string    // version that answered
	seen   time.Time // when it did
}

// ask puts a question and reads the answer into the given place. It waits for the bucket, for its turn and for the limit of
// requests; when there is no time for that, it does not ask.
func (s *shop) ask(ctx context.Context, q query, into answer) error {
	release, err := s.admitted(ctx, q)
	if err != nil {
		return fmt.Errorf("shopify %s: %s: %w", s.client, q.operation, err)
	}
	defer release()
	if err := s.askNow(ctx, q, into); err != nil {
		return fmt.Errorf("shopify %s: %s: %w", s.client, q.operation, err)
	}
	return nil
}

// admitted waits until the question may be asked. Nobody else asks until release is called.
func (s *shop) admitted(ctx context.Context, q query) (release func(), err error) {
	for {
		wait, why := s.pace.delay(q)
		if deadline, ok := ctx.Deadline(); ok && wait > 0 && !time.Now().Add(wait).Before(deadline) {
			return nil, shopErrorf(shopThrottled, "not sent: %s", why)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, fmt.Errorf("another request to the shop takes too long: %w", ctx.Err())
		}
		if wait, _ := s.pace.delay(q); wait <= 0 {
			return func() { <-s.turn }, nil
		}
		<-s.turn
	}
}

// askNow asks with the token that there is; when a requested one is refused, once more with a new one.
func (s *shop) askNow(ctx context.Context, q query, into answer) error {
	token, err := s.token(ctx)
	if err != nil {
		return err
	}
	err = s.post(ctx, q, token, into)
	if shopOutcome(err) != shopAuth || !s.tokens.requested() {
		return err
	}
	if token, err = s.requestToken(ctx); err != nil {
		return err
	}
	return s.post(ctx, q, token, into)
}

// post sends a query.
func (s *shop) post(ctx context.Context, q query, token accessToken, into answer) error {
	body, err := json.Marshal(struct {
		Query     string `json:"query"`
		Variables any    `json:"variables,omitempty"`
	}{q.text, q.variables})
	if err != nil {
		return exporter.Failure(exporter.ReasonInternal, err)
	}
	return s.send(ctx, q.operation, s.apiURL, "application/json", token.value, string(body), func(r reply) error {
		return s.read(r, into)
	})
}

// read takes an answer of the GraphQL API apart.
func (s *shop) read(r reply, into answer) error {
	if served := r.header.Get("X-Shopify-API-Version"); served != "" {
		s.mu.Lock()
		s.served, s.seen = served, time.Now()
		s.mu.Unlock()
	}
	if r.status != http.StatusOK {
		return s.refused(r)
	}
	var e envelope
	if err := json.Unmarshal(r.body, &e); err != nil {
		return shopErrorf(shopInvalid, "the answer is not understood: %s", s.excerpt(r.body))
	}
	o := shopOK
	if len(e.Errors) > 0 {
		o = e.Errors.worst()
	}
	if !s.pace.learn(e.Extensions.Cost, o == shopThrottled) && o == shopThrottled {
		s.pace.pause(throttledPause)
	}
	if o != shopOK {
		return shopErrorf(o, "%s", s.excerpt([]byte(e.Errors.String())))
	}
	if len(e.Extensions.Search) > 0 {
		return shopErrorf(shopOther, "a part of the search is not understood, so that it finds too much: %s", s.excerpt(e.Extensions.Search[0]))
	}
	if err := json.Unmarshal(e.Data, into); err != nil {
		return shopErrorf(shopInvalid, "the data are not understood: %s", s.excerpt(r.body))
	}
	if err := into.check(); err != nil {
		return shopErrorf(shopInvalid, "%w: %s", err, s.excerpt(r.body))
	}
	return nil
}

// refused makes an error of an answer that is not 200.
func (s *shop) refused(r reply) error {
	o := outcomeOfStatus(r.status)
	if o == shopThrottled {
		s.pace.pause(r.retryAfter())
	}
	if r.status >= 300 && r.status < 400 {
		return shopErrorf(o, "status %d: a redirect, which is not followed: the token is for this host only", r.status)
	}
	text := r.body
	var e struct {
		Errors apiErrors `json:"errors"`
	}
	if json.Unmarshal(r.body, &e) == nil && len(e.Errors) > 0 {
		text = []byte(e.Errors.String())
	}
	return shopErrorf(o, "status %d: %s", r.status, s.excerpt(text))
}

// longestExcerpt bounds what of an answer can come into a log.
const longestExcerpt = 300

// excerpt shows the begin of what came from outside, without secrets and without control characters.
func (s *shop) excerpt(text []byte) string {
	masked := s.tokens.mask(string(text)) // before it is cut: half a secret would not be found
	if len(masked) > longestExcerpt {
		masked = strings.ToValidUTF8(masked[:longestExcerpt], "") + "…"
	}
	return strconv.Quote(masked)
}

// reply is an answer by HTTP.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// retryAfter is how long a shop wants to be left alone. Shopify writes seconds with a fraction.
func (r reply) retryAfter() time.Duration {
	n, err := strconv.ParseFloat(r.header.Get("Retry-After"), 64)
	if err != nil || !(n > 0) {
		return throttledPause
	}
	return seconds(n)
}

// maxShopAnswer bounds an answer: a page of the largest list has a tenth of it.
const maxShopAnswer = 2 << 20

// send makes one request, has its answer judged, and counts it.
func (s *shop) send(ctx context.Context, operation, url, kind string, token secret.Value, body string, judge func(reply) error) error {
	var (
		r    reply
		took time.Duration
		err  error
	)
	for try := range 2 {
		if err := s.pace.begin(ctx); err != nil {
			return err
		}
		var kept bool
		begin := time.Now()
		r, kept, err = s.exchange(ctx, url, kind, token, body)
		took = time.Since(begin)
		// A connection that was kept, and that the shop has closed meanwhile, says nothing of the shop. What we ask changes nothing, so
		// it can be asked again; at the shop's pace, which the transport would not keep.
		if try > 0 || err == nil || !kept || shopOutcome(err) != shopServer {
			break
		}
	}
	if err == nil {
		err = judge(r)
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the exporter stops: the request was cut off, not answered
	}
	result := string(shopOutcome(err))
	s.counts.Add("consign_shopify_requests_total", 1, s.client, result)
	s.counts.Observe("consign_shopify_request_duration_seconds", took.Seconds(), s.client)
	s.operations.Add("consign_shopify_operations_total", 1, operation, result)
	return err
}

// exchange sends a request and reads the whole answer. It says whether the connection had been kept from an earlier one.
func (s *shop) exchange(ctx context.Context, url, kind string, token secret.Value, body string) (_ reply, kept bool, _ error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { kept = c.Reused }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return reply{}, kept, exporter.Failure(exporter.ReasonInternal, err)
	}
	request.Header.Set("Content-Type", kind)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", userAgent())
	if value := token.Reveal(); value != "" {
		request.Header.Set("X-Shopify-Access-Token", value)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return reply{}, kept, shopErrorf(outcomeOfFailure(err), "%s", s.tokens.mask(err.Error()))
	}
	defer response.Body.Close()
	var text bytes.Buffer
	n, err := io.Copy(&text, io.LimitReader(response.Body, maxShopAnswer+1))
	switch {
	case err != nil:
		return reply{}, kept, shopErrorf(outcomeOfFailure(err), "the answer breaks off: %s", s.tokens.mask(err.Error()))
	case n > maxShopAnswer:
		return reply{}, kept, shopErrorf(shopInvalid, "the answer is longer than %d bytes", maxShopAnswer)
	}
	return reply{response.StatusCode, response.Header, text.Bytes()}, kept, nil
}

// answered is the version that the shop answered with last, and when it did.
func (s *shop) answered() (served string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served, s.seen
}

package system

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/common/version"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// prober probes an address as a user would: by name, on a connection of its own, without a proxy, and without retries. A
// failed probe is an outcome, not a failure of the collection.
type prober struct {
	name    string
	method  string
	url     string
	header  []header
	tls     *tls.Config
	status  []int // empty: 200 to 299
	body    *regexp.Regexp
	follow  bool
	limit   int64 // of the body, in bytes
	timeout time.Duration
	maxAge  time.Duration
	now     func() time.Time
	dial    dialer

	// What lives from one collection to the next.
	recorder   *exporter.Recorder
	expiry     time.Time // of the certificate; the zero time when none was seen
	expirySeen time.Time
}

// The closed set of outcomes, as catalog.ProbeOutcomes declares it.
const (
	outcomeOK         = "ok"
	outcomeTimeout    = "timeout"          // no answer, or not all of it, in time
	outcomeDNS        = "dns"              // the name leads nowhere
	outcomeConnection = "connection"       // no connection, or it broke
	outcomeTLS        = "tls"              // no handshake, or a rejected certificate
	outcomeRedirect   = "redirect"         // more than ten redirects, or one that leads out of the web
	outcomeStatus     = "status"           // another status than expected
	outcomeBody       = "body"             // the body is not as expected
	outcomeTooLarge   = "too_large"        // a body over the limit
	outcomeInvalid    = "invalid_response" // not HTTP
)

// initSeries initializes all series to 0.
func (p *prober) initSeries(c *catalog.Catalog) {
	p.recorder = exporter.NewRecorder(c)
	for _, o := range catalog.ProbeOutcomes() {
		p.recorder.Init("consign_probe_requests_total", p.name, o)
	}
	for _, phase := range catalog.ProbePhases() {
		p.recorder.Init("consign_probe_duration_seconds", p.name, phase)
	}
}

// Name is the name of the target.
func (p *prober) Name() string { return p.name }

// Collect probes once.
func (p *prober) Collect(ctx context.Context, sink *exporter.Sink) error {
	probe, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	t := &httpTrace{}
	outcome := p.probe(probe, t)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the exporter stops: the probe was cut off, not answered
	}
	p.recorder.Add("consign_probe_requests_total", 1, p.name, outcome)
	if outcome == outcomeOK {
		for phase, took := range t.phases() {
			p.recorder.Observe("consign_probe_duration_seconds", took.Seconds(), p.name, phase)
		}
	}
	p.recorder.Collect(sink.Status())
	sink.Status().Gauge("consign_probe_up", boolValue(outcome == outcomeOK), p.name)
	if at, ok := t.expiry(); ok {
		p.expiry, p.expirySeen = at, p.now()
	}
	// A certificate does not change because the server is down: its expiry is kept for a while.
	if !p.expiry.IsZero() && p.now().Sub(p.expirySeen) <= p.maxAge {
		sink.Gauge("consign_probe_certificate_expiry_timestamp_seconds", float64(p.expiry.Unix()), p.name)
	}
	return nil
}

var errRedirect = errors.New("the redirect is not followed")

const maxRedirects = 10

// maxHeaderBytes bounds the header of a response.
const maxHeaderBytes = 256 << 10

// probe sends the request, measures its phases, and returns the outcome.
func (p *prober) probe(ctx context.Context, t *httpTrace) string {
	t.start()
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, t.trace()), p.method, p.url, nil)
	if err != nil {
		return outcomeInvalid // the configuration was checked: this does not happen
	}
	for _, h := range p.header {
		h.set(request)
	}
	if request.UserAgent() == "" {
		request.Header.Set("User-Agent", "consignwatch-system-exporter/"+version.Version)
	}
	transport := &http.Transport{
		DialContext:            p.dial,
		TLSClientConfig:        p.tls.Clone(), // a transport changes it
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: p.redirect}
	response, err := client.Do(request)
	if err != nil {
		return t.outcome(ctx, err)
	}
	defer response.Body.Close()
	if !p.expects(response.StatusCode) {
		return outcomeStatus
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, p.limit+1))
	switch {
	case err != nil:
		return t.outcome(ctx, err)
	case int64(len(body)) > p.limit:
		return outcomeTooLarge
	case p.body != nil && !p.body.Match(body):
		return outcomeBody
	}
	t.stop()
	return outcomeOK
}

func (p *prober) expects(status int) bool {
	if len(p.status) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(p.status, status)
}

// redirect decides whether a redirect is followed. Our headers may be secrets: they stay with the host that they are for.
func (p *prober) redirect(next *http.Request, via []*http.Request) error {
	switch {
	case !p.follow:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: it is the %dth", errRedirect, len(via))
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return fmt.Errorf("%w: it leads to another scheme than http and https", errRedirect)
	}
	if from := via[0].URL; next.URL.Host != from.Host || next.URL.Scheme != from.Scheme {
		for _, h := range p.header {
			next.Header.Del(h.name)
		}
		next.Host = ""
	}
	return nil
}

// outcome derives the outcome from an error, and from the phase that the request has reached.
func (t *httpTrace) outcome(ctx context.Context, err error) string {
	var network net.Error
	var record tls.RecordHeaderError
	isNetwork := errors.As(err, &network)
	switch {
	case errors.Is(err, errRedirect):
		return outcomeRedirect
	case ctx.Err() != nil:
		return outcomeTimeout
	case errors.As(err, new(*net.DNSError)):
		return outcomeDNS
	case isNetwork && network.Timeout():
		return outcomeTimeout
	case errors.As(err, &record), t.inHandshake():
		return outcomeTLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.As(err, new(*net.OpError)):
		return outcomeConnection
	}
	return outcomeInvalid
}

// expiryOf is when the first certificate of a chain expires; of several chains that are trusted, the one that lasts longest.
func expiryOf(verified [][]*x509.Certificate, served []*x509.Certificate) (time.Time, bool) {
	last := time.Time{}
	for _, chain := range verified {
		if at := firstExpiry(chain); at.After(last) {
			last = at
		}
	}
	if last.IsZero() {
		last = firstExpiry(served)
	}
	return last, !last.IsZero()
}

func firstExpiry(chain []*x509.Certificate) time.Time {
	first := time.Time{}
	for _, c := range chain {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

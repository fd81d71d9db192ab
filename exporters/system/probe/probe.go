// Package probe sends requests as a user would, and measures the phases of each. It keeps no connection, and repeats no
// request that has failed: that is an outcome.
package probe

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
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/version"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config says what is requested, and which response is right.
type Config struct {
	URL    string `yaml:"url"`
	Method string `yaml:"method,omitempty"`
	// HeadersFile holds lines of the form `Name: value`. It is read again on reload.
	HeadersFile string `yaml:"headers_file,omitempty"`
	// ExpectStatus are the status codes that are right; empty for 200 to 299.
	ExpectStatus []int `yaml:"expect_status,omitempty"`
	// ExpectBody is a regular expression that the body must match somewhere.
	ExpectBody string `yaml:"expect_body,omitempty"`
	// FollowRedirects follows up to 10 redirects; otherwise a redirect is the answer.
	FollowRedirects bool `yaml:"follow_redirects,omitempty"`
	// MaxResponseBytes bounds the body; a longer one is the outcome too_large.
	MaxResponseBytes int64                   `yaml:"max_response_bytes,omitempty"`
	TLS              *commonconfig.TLSConfig `yaml:"tls,omitempty"`
}

// Fill sets the defaults of what is not set.
func (c *Config) Fill() {
	if c.Method == "" {
		c.Method = "GET"
	}
	if c.MaxResponseBytes == 0 {
		c.MaxResponseBytes = 10 << 20
	}
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Check reports the first mistake, in f below the key.
func (c *Config) Check(f *yamlfile.File, key string) error {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		return f.Errorf(key+".url", "is missing")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return f.Errorf(key+".url", "is not an address like https://example.com/health")
	case u.User != nil:
		return f.Errorf(key+".url", "must not hold a password: put a line `Authorization: ...` into headers_file")
	case c.Method != "" && !slices.Contains(methods, c.Method):
		return f.Errorf(key+".method", "%q is not one of %s", c.Method, strings.Join(methods, ", "))
	case c.MaxResponseBytes < 0:
		return f.Errorf(key+".max_response_bytes", "cannot be negative")
	case c.ExpectBody != "" && c.Method == "HEAD":
		return f.Errorf(key+".expect_body", "an answer to HEAD has no body")
	}
	for i, status := range c.ExpectStatus {
		if status < 100 || status > 599 {
			return f.Errorf(fmt.Sprintf("%s.expect_status.%d", key, i), "%d is not a status code", status)
		}
	}
	if _, err := regexp.Compile(c.ExpectBody); err != nil {
		return f.Errorf(key+".expect_body", "is not a regular expression: %w", err)
	}
	return nil
}

// SetDirectory makes paths relative to a folder.
func (c *Config) SetDirectory(dir string) {
	c.HeadersFile = commonconfig.JoinDir(dir, c.HeadersFile)
	c.TLS.SetDirectory(dir)
}

// Dial opens a connection, as the method of a net.Dialer does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Prober probes an address as a user would: by name, on a connection of its own, without a proxy, and without retries. A
// failed probe is an outcome, not a failure of the collection.
type Prober struct {
	options Options
	body    *regexp.Regexp // nil: any
	now     func() time.Time

	// What lives from one collection to the next.
	recorder   *exporter.Recorder
	expiry     time.Time // of the certificate; the zero time when none was seen
	expirySeen time.Time
}

// Options are what a Prober is made of.
type Options struct {
	Name      string // of the target
	Client    string // whose own domain is probed; empty for what all clients share
	Essential bool   // whether the platform, or the client's part of it, is down while the probe fails
	Config    Config // checked
	Header    []Header
	TLS       *tls.Config
	Timeout   time.Duration // of the probe, after which its outcome is a timeout
	MaxAge    time.Duration // of what is known of the certificate
	Dial      Dial
	Catalog   *catalog.Catalog
}

// New makes a Prober, with all series at 0.
func New(o Options) *Prober {
	p := &Prober{options: o, now: time.Now, recorder: exporter.NewRecorder(o.Catalog)}
	if o.Config.ExpectBody != "" {
		p.body = regexp.MustCompile(o.Config.ExpectBody) // was checked
	}
	for _, outcome := range catalog.ProbeOutcomes() {
		p.recorder.Init("consign_probe_requests_total", o.Name, outcome)
	}
	for _, phase := range catalog.ProbePhases() {
		p.recorder.Init("consign_probe_duration_seconds", o.Name, phase)
	}
	return p
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

// Name is the name of the target.
func (p *Prober) Name() string { return p.options.Name }

// Collect probes once.
func (p *Prober) Collect(ctx context.Context, sink *exporter.Sink) error {
	probe, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	t := &httpTrace{}
	outcome := p.probe(probe, t)
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err() // the exporter stops: the probe was cut off, not answered
	}
	p.recorder.Add("consign_probe_requests_total", 1, p.options.Name, outcome)
	if outcome == outcomeOK {
		for phase, took := range t.phases() {
			p.recorder.Observe("consign_probe_duration_seconds", took.Seconds(), p.options.Name, phase)
		}
	}
	p.recorder.Collect(sink.Status())
	sink.Status().Gauge("consign_probe_up", exporter.Bool(outcome == outcomeOK), p.options.Name, p.options.Client, strconv.FormatBool(p.options.Essential))
	if at, ok := t.expiry(); ok {
		p.expiry, p.expirySeen = at, p.now()
	}
	// A certificate does not change because the server is down: its expiry is kept for a while.
	if !p.expiry.IsZero() && p.now().Sub(p.expirySeen) <= p.options.MaxAge {
		sink.Gauge("consign_probe_certificate_expiry_timestamp_seconds", float64(p.expiry.Unix()), p.options.Name)
	}
	return nil
}

var errRedirect = errors.New("the redirect is not followed")

const maxRedirects = 10

// maxHeaderBytes bounds the header of a response.
const maxHeaderBytes = 256 << 10

// probe sends the request, measures its phases, and returns the outcome.
func (p *Prober) probe(ctx context.Context, t *httpTrace) string {
	t.start()
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, t.trace()), p.options.Config.Method, p.options.Config.URL, nil)
	if err != nil {
		return outcomeInvalid // the configuration was checked: this does not happen
	}
	for _, h := range p.options.Header {
		h.set(request)
	}
	if request.UserAgent() == "" {
		request.Header.Set("User-Agent", userAgent())
	}
	transport := &http.Transport{
		DialContext:            p.options.Dial,
		TLSClientConfig:        p.options.TLS.Clone(), // a transport changes it
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
	body, err := io.ReadAll(io.LimitReader(response.Body, p.options.Config.MaxResponseBytes+1))
	switch {
	case err != nil:
		return t.outcome(ctx, err)
	case int64(len(body)) > p.options.Config.MaxResponseBytes:
		return outcomeTooLarge
	case p.body != nil && !p.body.Match(body):
		return outcomeBody
	}
	t.stop()
	return outcomeOK
}

// userAgent is what the exporter calls itself, unless a header says otherwise.
func userAgent() string { return "consignwatch-system-exporter/" + version.Version }

func (p *Prober) expects(status int) bool {
	if len(p.options.Config.ExpectStatus) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(p.options.Config.ExpectStatus, status)
}

// redirect decides whether a redirect is followed. Our headers may be secrets, and so may be the address, which Referer repeats:
// they stay with the host that they are for.
func (p *Prober) redirect(next *http.Request, via []*http.Request) error {
	switch {
	case !p.options.Config.FollowRedirects:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: it is the %dth", errRedirect, len(via))
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return fmt.Errorf("%w: it leads to another scheme than http and https", errRedirect)
	}
	if from := via[0].URL; next.URL.Host != from.Host || next.URL.Scheme != from.Scheme {
		next.Header = http.Header{"User-Agent": {userAgent()}}
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

package system

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/certificates"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// authority is a certificate authority of the test's own.
type authority struct {
	*certificates.Authority
	file string // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a, err := certificates.New("test", time.Now().Add(-48*time.Hour), time.Now().Add(24*365*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &authority{a, file}
}

// serve makes a certificate for 127.0.0.1 that ends at the given time.
func (a *authority) serve(t *testing.T, until time.Time) tls.Certificate {
	t.Helper()
	certificate, err := a.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return *certificate
}

// site is a web server that counts its requests, and those that come on a connection that had one before.
type site struct {
	*httptest.Server
	requests, again atomic.Int64
}

// newSite starts a site on this machine.
func newSite(t *testing.T, handler http.HandlerFunc, cert ...tls.Certificate) *site {
	t.Helper()
	return newSiteOn(t, nil, handler, cert...)
}

func newSiteOn(t *testing.T, network *exportertest.Network, handler http.HandlerFunc, cert ...tls.Certificate) *site {
	t.Helper()
	type uses struct{}
	s := &site{}
	s.Server = network.Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if r.Context().Value(uses{}).(*atomic.Int64).Add(1) > 1 {
			s.again.Add(1)
		}
		handler(w, r)
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, uses{}, &atomic.Int64{})
	}
	s.Config.ErrorLog = discardLogger()
	if len(cert) > 0 {
		s.TLS = &tls.Config{Certificates: cert}
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	return s
}

func probeConfig(entries ...string) string {
	return quick + "probes:\n  - " + strings.Join(entries, "\n  - ") + "\n"
}

func outcomes(s map[string]float64, probe string) map[string]float64 {
	all := map[string]float64{}
	for _, o := range catalog.ProbeOutcomes() {
		if n := s[fmt.Sprintf(`consign_probe_requests_total{outcome=%q,probe=%q}`, o, probe)]; n > 0 {
			all[o] = n
		}
	}
	return all
}

// watch runs an exporter with probes of sites on a network.
func watch(t *testing.T, network *exportertest.Network, entries ...string) *exportertest.Running {
	t.Helper()
	return exportertest.StartOn(t, network, appOn(network.DialContext), exportertest.WriteFile(t, "config.yml", probeConfig(entries...)))
}

// TestAProbeMeasuresItsPhases probes a server that waits for known times.
func TestAProbeMeasuresItsPhases(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		const before, after = 80 * time.Millisecond, 120 * time.Millisecond
		network, ca := &exportertest.Network{}, newAuthority(t)
		until := time.Now().Add(5 * 24 * time.Hour).Truncate(time.Second)
		slow := func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(before)
			fmt.Fprint(w, "first,")
			w.(http.Flusher).Flush()
			time.Sleep(after)
			fmt.Fprint(w, "second")
		}
		plain, secured := newSiteOn(t, network, slow), newSiteOn(t, network, slow, ca.serve(t, until))
		_, port, _ := net.SplitHostPort(plain.Listener.Addr().String())
		r := watch(t, network,
			fmt.Sprintf("{name: plain, essential: true, interval: 1s, timeout: 1s, url: 'http://localhost:%s/', expect_body: 'first,second'}", port),
			fmt.Sprintf("{name: secured, essential: true, interval: 1s, timeout: 1s, url: '%s/', tls: {ca_file: %s}}", secured.URL, ca.file))
		for _, name := range []string{"plain", "secured"} {
			awaitRound(t, r, "probe", name)
		}
		began := map[string]int64{"plain": plain.requests.Load(), "secured": secured.requests.Load()}
		families := r.Families(t) // one scrape response: its samples belong together
		s := r.Series(t)
		for name, own := range map[string][]string{
			"plain":   {"dns", "connect", "first_byte", "transfer", "total"},
			"secured": {"connect", "tls", "first_byte", "transfer", "total"},
		} {
			if s[fmt.Sprintf(`consign_probe_up{essential="true",probe=%q}`, name)] != 1 || len(outcomes(s, name)) != 1 {
				t.Errorf("%s: outcomes %v\n%s", name, outcomes(s, name), r.Log())
			}
			requests := find(families, fmt.Sprintf(`consign_probe_requests_total{outcome="ok",probe=%q}`, name)).GetCounter()
			if requests.GetValue() < 2 || requests.GetCreatedTimestamp() == nil {
				t.Errorf("%s: %v", name, requests)
			}
			// One may be on its way.
			between(t, name+": requests", requests.GetValue(), float64(began[name]-1), float64(began[name]))
			for _, phase := range catalog.ProbePhases() {
				want := 0.0
				if slices.Contains(own, phase) {
					want = requests.GetValue()
				}
				h := find(families, fmt.Sprintf(`consign_probe_duration_seconds{phase=%q,probe=%q}`, phase, name)).GetHistogram()
				if float64(h.GetSampleCount()) != want || h.GetCreatedTimestamp() == nil {
					t.Errorf("%s: phase %s took place %d times, want %v", name, phase, h.GetSampleCount(), want)
				}
			}
			total := find(families, fmt.Sprintf(`consign_probe_duration_seconds{phase="total",probe=%q}`, name)).GetHistogram()
			if fast, ok := upTo(total, 0.1); !ok || fast != 0 {
				t.Errorf("%s: %d probes of 200 ms took less than 100 ms", name, fast)
			}
			within(t, name+": seconds of all probes", total.GetSampleSum(), requests.GetValue()*(before+after).Seconds(), 1e-6)
		}
		if got, want := s[`consign_probe_certificate_expiry_timestamp_seconds{probe="secured"}`], float64(until.Unix()); got != want {
			t.Errorf("the certificate expires at %v, want %v", got, want)
		}
		if _, ok := s[`consign_probe_certificate_expiry_timestamp_seconds{probe="plain"}`]; ok {
			t.Error("plain HTTP has a certificate")
		}
		for _, site := range []*site{plain, secured} {
			if n := site.again.Load(); n > 0 {
				t.Errorf("%d requests came on the connection of another one", n)
			}
		}
	})
}

// lateListener takes a while to accept a connection.
type lateListener struct {
	net.Listener
	by time.Duration
}

func (l lateListener) Accept() (net.Conn, error) {
	time.Sleep(l.by)
	return l.Listener.Accept()
}

// TestThePhasesAddUp probes once.
func TestThePhasesAddUp(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		want := map[string]time.Duration{
			"connect": 10 * time.Millisecond, "tls": 20 * time.Millisecond, "first_byte": 80 * time.Millisecond, "transfer": 120 * time.Millisecond, "total": 230 * time.Millisecond,
		}
		network, ca := &exportertest.Network{}, newAuthority(t)
		until := time.Now().Add(time.Hour)
		server := network.Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(want["first_byte"])
			fmt.Fprint(w, "first,")
			w.(http.Flusher).Flush()
			time.Sleep(want["transfer"])
			fmt.Fprint(w, "second")
		}))
		server.Listener = lateListener{server.Listener, want["connect"]}
		server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.serve(t, until)}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			time.Sleep(want["tls"])
			return nil, nil
		}}
		server.StartTLS()
		r := watch(t, network, fmt.Sprintf("{name: p, url: '%s/', interval: 1h, timeout: 1s, tls: {ca_file: %s}}", server.URL, ca.file))
		series := r.Await(t, "one probe", func(s map[string]float64) bool { return outcomes(s, "p")["ok"] == 1 })
		got := map[string]time.Duration{}
		for _, phase := range catalog.ProbePhases() {
			h := histogram(t, r, fmt.Sprintf(`consign_probe_duration_seconds{phase=%q,probe="p"}`, phase))
			if h.GetSampleCount() > 0 {
				got[phase] = time.Duration(math.Round(h.GetSampleSum() * 1e9))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
		if at := series[`consign_probe_certificate_expiry_timestamp_seconds{probe="p"}`]; at != float64(until.Unix()) {
			t.Errorf("the certificate expires at %v, want %v", at, until.Unix())
		}
	})
}

// TestAProbeWithoutAnAnswerEndsAtItsTimeout probes a server that never responds, and one that responds with a header and no body.
func TestAProbeWithoutAnAnswerEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(w http.ResponseWriter){
		"no answer": func(http.ResponseWriter) {},
		"no body":   func(w http.ResponseWriter) { w.WriteHeader(200); w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			exportertest.InVirtualTime(t, func(t *testing.T) {
				network := &exportertest.Network{}
				site := newSiteOn(t, network, func(w http.ResponseWriter, r *http.Request) { answer(w); <-r.Context().Done() })
				entry := "{name: p, timeout: 200ms, url: '" + site.URL + "/'}"
				began := time.Now()
				if err := collect(t, probeTarget(t, network, entry)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != 200*time.Millisecond {
					t.Errorf("a timeout of 200ms took %s", took)
				}
				r := watch(t, network, entry)
				s := r.Await(t, "a timeout is counted", func(s map[string]float64) bool {
					return outcomes(s, "p")["timeout"] >= 2 && s[`consign_probe_up{essential="true",probe="p"}`] == 0
				})
				if len(outcomes(s, "p")) != 1 || s["consignwatch_collector_success"+collected("probe", "p")] != 1 {
					t.Errorf("outcomes %v: a probe without an answer is a finding, not a failure\n%s", outcomes(s, "p"), r.Log())
				}
				if h := histogram(t, r, `consign_probe_duration_seconds{phase="total",probe="p"}`); h == nil || h.GetSampleCount() != 0 {
					t.Errorf("probes without an answer were measured: %v", h)
				}
			})
		})
	}
}

// probeTarget makes the target of a probe.
func probeTarget(t *testing.T, network *exportertest.Network, entry string) exporter.Target {
	t.Helper()
	setup, err := load(exportertest.WriteFile(t, "config.yml", probeConfig(entry)), network.DialContext, silentLog())
	if err != nil {
		t.Fatal(err)
	}
	return setup.Collectors[0].Targets()[0]
}

// TestEachProbeHasItsOutcome probes endpoints that fail in each way, and one that succeeds.
func TestEachProbeHasItsOutcome(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	site := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			text(200, "all is well")(w, r)
		case "/busy":
			text(503, "later")(w, r)
		case "/big":
			_, _ = w.Write(make([]byte, 5000))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		case "/broken": // promises more than it sends
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "short")
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "ftp://example.com/", http.StatusFound)
		case "/echo":
			fmt.Fprint(w, r.Method, " ", r.Host, " ", r.Header.Get("X-Key"), " ", r.UserAgent())
		}
	})
	fresh := newSite(t, text(200, "ok"), ca.serve(t, time.Now().Add(time.Hour)))
	expired := newSite(t, text(200, "ok"), ca.serve(t, time.Now().Add(-time.Hour)))
	garbage := listen(t, func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n\r\n") })
	hangup := listen(t, func(c net.Conn) {})
	longHeader := listen(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for range 2000 {
			if _, err := io.WriteString(c, "X-Long: "+strings.Repeat("x", 500)+"\r\n"); err != nil {
				return
			}
		}
	})
	closed := closedAddress(t)
	_, port, _ := net.SplitHostPort(site.Listener.Addr().String())
	headers := exportertest.WriteFile(t, "headers", "# for the probe\nx-key: the-secret\nHost: shop.example\n\n")
	probes := map[string]struct{ entry, want string }{
		"right":                   {"url: '%s/ok', expect_body: '^all .* well$'", "ok"},
		"by name":                 {"url: 'http://localhost:" + port + "/ok'", "ok"},
		"any status of 2xx":       {"url: '%s/ok'", "ok"},
		"expected status":         {"url: '%s/busy', expect_status: [429, 503]", "ok"},
		"another status":          {"url: '%s/busy'", "status"},
		"a status not expected":   {"url: '%s/ok', expect_status: [204]", "status"},
		"another body":            {"url: '%s/ok', expect_body: 'closed'", "body"},
		"too large":               {"url: '%s/big', max_response_bytes: 4999", "too_large"},
		"just large enough":       {"url: '%s/big', max_response_bytes: 5000", "ok"},
		"endless":                 {"url: '%s/endless', max_response_bytes: 1000000", "too_large"},
		"cut off":                 {"url: '%s/broken'", "connection"},
		"redirect":                {"url: '%s/moved'", "status"},
		"redirect expected":       {"url: '%s/moved', expect_status: [302]", "ok"},
		"redirect followed":       {"url: '%s/moved', follow_redirects: true, expect_body: well", "ok"},
		"redirects in a circle":   {"url: '%s/round', follow_redirects: true", "redirect"},
		"redirect out of http":    {"url: '%s/away', follow_redirects: true", "redirect"},
		"header, host and agent":  {"url: '%s/echo', headers_file: " + headers + ", expect_body: '^GET shop.example the-secret consignwatch-system-exporter/'", "ok"},
		"another method":          {"url: '%s/echo', method: POST, expect_body: ^POST", "ok"},
		"HEAD":                    {"url: '%s/ok', method: HEAD", "ok"},
		"nobody listens":          {"url: 'http://" + closed + "/'", "connection"},
		"name leads nowhere":      {"url: 'http://nowhere.invalid/'", "dns"},
		"hangs up":                {"url: 'http://" + hangup + "/'", "connection"},
		"not HTTP":                {"url: 'http://" + garbage + "/'", "invalid_response"},
		"endless header":          {"url: 'http://" + longHeader + "/'", "invalid_response"},
		"TLS to plain HTTP":       {"url: 'https://" + site.Listener.Addr().String() + "/'", "tls"},
		"TLS to one who hangs up": {"url: 'https://" + hangup + "/'", "tls"},
		"plain HTTP to TLS":       {"url: 'http://" + fresh.Listener.Addr().String() + "/'", "status"},
		"certificate":             {"url: '" + fresh.URL + "/', tls: {ca_file: " + ca.file + "}", "ok"},
		"unknown authority":       {"url: '" + fresh.URL + "/', tls: {ca_file: " + stranger.file + "}", "tls"},
		"another name":            {"url: '" + fresh.URL + "/', tls: {ca_file: " + ca.file + ", server_name: other.example}", "tls"},
		"expired certificate":     {"url: '" + expired.URL + "/', tls: {ca_file: " + ca.file + "}", "tls"},
		"not verified":            {"url: '" + expired.URL + "/', tls: {insecure_skip_verify: true}", "ok"},
	}
	config := "interval: 1h\ntimeout: 1m\nmax_age: 1h\nprobes:\n"
	names := map[string]string{} // of the probes
	for what, c := range probes {
		names[what] = fmt.Sprintf("p%d", len(names))
		entry := c.entry
		if strings.Contains(entry, "%s") {
			entry = fmt.Sprintf(entry, site.URL)
		}
		config += fmt.Sprintf("  - {name: %s, essential: true, %s}\n", names[what], entry)
	}
	r := start(t, config)
	series := r.Await(t, "each probe has an outcome", func(s map[string]float64) bool {
		for _, name := range names {
			if len(outcomes(s, name)) == 0 {
				return false
			}
		}
		return true
	})
	families := r.Families(t)
	for what, c := range probes {
		t.Run(what, func(t *testing.T) {
			if diff := cmp.Diff(map[string]float64{c.want: 1}, outcomes(series, names[what])); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
			if _, seen := series[fmt.Sprintf(`consign_probe_certificate_expiry_timestamp_seconds{probe=%q}`, names[what])]; strings.Contains(what, "certificate") && !seen {
				t.Error("the certificate was not looked at")
			}
			dns := find(families, fmt.Sprintf(`consign_probe_duration_seconds{phase="dns",probe=%q}`, names[what])).GetHistogram()
			if looked := dns.GetSampleCount() > 0; looked != (what == "by name") {
				t.Errorf("%d look-ups of a name", dns.GetSampleCount())
			}
		})
	}
}

// TestACertificateIsKnownForAWhileAndAlsoWhenItIsRejected lets a certificate expire, and then the server go.
func TestACertificateIsKnownForAWhileAndAlsoWhenItIsRejected(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		const expiry = `consign_probe_certificate_expiry_timestamp_seconds{probe="p"}`
		network, ca := &exportertest.Network{}, newAuthority(t)
		until := time.Now().Add(3 * time.Second).Truncate(time.Second)
		site := newSiteOn(t, network, okHandler, ca.serve(t, until))
		r := watch(t, network, fmt.Sprintf("{name: p, url: '%s/', tls: {ca_file: %s}}", site.URL, ca.file))
		r.Await(t, "it is trusted", func(s map[string]float64) bool {
			return s[`consign_probe_up{essential="true",probe="p"}`] == 1 && s[expiry] == float64(until.Unix())
		})
		r.Await(t, "it expires", func(s map[string]float64) bool {
			return outcomes(s, "p")["tls"] > 0 && s[`consign_probe_up{essential="true",probe="p"}`] == 0
		})
		if s := r.Series(t); s[expiry] != float64(until.Unix()) {
			t.Errorf("the time of an expired certificate is %v, want %v", s[expiry], until.Unix())
		}
		site.Close()
		s := r.Await(t, "the server is gone", func(s map[string]float64) bool { return outcomes(s, "p")["connection"] > 0 })
		if s[expiry] != float64(until.Unix()) {
			t.Error("with the server the certificate has gone at once")
		}
		r.Await(t, "after max_age it is gone too", func(s map[string]float64) bool { _, ok := s[expiry]; return !ok })
	})
}

// TestTheWireToASiteIsTroubled goes through the faults of a site under a running exporter: down with its outcome, scrapes that
// never wait, and up again without help.
func TestTheWireToASiteIsTroubled(t *testing.T) {
	t.Parallel()
	const up, probe = `consign_probe_up{essential="true",probe="p"}`, "p"
	site := newSite(t, okHandler)
	w := exportertest.NewFaultProxy(t, site.Listener.Addr().String())
	r := start(t, probeConfig("{name: p, url: 'http://"+w.Address()+"/'}"))
	for mode, outcome := range map[int32]string{exportertest.Blackhole: "timeout", exportertest.Garbage: "invalid_response", exportertest.HangUp: "connection"} {
		before := r.Await(t, "up before the fault", func(s map[string]float64) bool { return s[up] == 1 })
		w.Set(mode)
		s := r.Await(t, "down, for the reason "+outcome, func(s map[string]float64) bool {
			down, ok := s[up]
			return ok && down == 0 && outcomes(s, probe)[outcome] > outcomes(before, probe)[outcome]
		})
		if s["consignwatch_collector_success"+collected("probe", probe)] != 1 {
			t.Errorf("%s: the exporter has failed, not the site\n%s", outcome, r.Log())
		}
		answers(t, r)
		w.Set(exportertest.Forward)
	}
	r.Await(t, "up again", func(s map[string]float64) bool { return s[up] == 1 })
}

// TestHeadersStayWithTheirHost follows a redirect to another server.
func TestHeadersStayWithTheirHost(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 10)
	other := newSite(t, func(w http.ResponseWriter, r *http.Request) { seen <- r.Header; fmt.Fprint(w, "ok") })
	first := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/again?key=the-secret", http.StatusFound) // an address may hold a secret, and Referer repeats it
			return
		}
		seen <- r.Header
		http.Redirect(w, r, other.URL, http.StatusFound)
	})
	headers := exportertest.WriteFile(t, "headers", "Authorization: Bearer the-secret\nX-Api-Key: the-secret\n")
	r := start(t, probeConfig(fmt.Sprintf("{name: p, url: '%s/', follow_redirects: true, headers_file: %s, timeout: 1m, interval: 1h}", first.URL, headers)))
	r.Await(t, "the redirect is followed", func(s map[string]float64) bool { return outcomes(s, "p")["ok"] == 1 })
	if h := <-seen; h.Get("X-Api-Key") != "the-secret" || h.Get("Authorization") != "Bearer the-secret" {
		t.Errorf("on the same host the headers are %v", h)
	}
	if h := <-seen; fmt.Sprint(h) != strings.ReplaceAll(fmt.Sprint(h), "the-secret", "") {
		t.Errorf("the other host was sent %v", h)
	}
}

func TestHeadersAreReadAndNeverPrinted(t *testing.T) {
	t.Parallel()
	headers := exportertest.WriteFile(t, "headers", "x-api-key: the-secret\n")
	site := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "the-secret" {
			w.WriteHeader(401)
		}
	})
	r := start(t, probeConfig(fmt.Sprintf("{name: p, url: '%s/', headers_file: %s}", site.URL, headers)), "--log.level=debug")
	r.Await(t, "the header is sent", func(s map[string]float64) bool { return outcomes(s, "p")["ok"] > 0 })
	_, page := r.Get(t, "/metrics")
	_, config := r.Get(t, "/config")
	if strings.Contains(page+config+r.Log(), "the-secret") {
		t.Error("the secret was printed")
	}
	if !strings.Contains(config, headers) {
		t.Errorf("the configuration does not say where the headers are:\n%s", config)
	}
	for line, text := range map[string]string{"line 1 is not": "the-secret", "line 2 is not": "A: b\nthe secret: x", "line 3 is not": "A: b\n\nB: the-secret\x01"} {
		config := probeConfig(fmt.Sprintf("{name: p, url: 'http://h/', headers_file: %s}", exportertest.WriteFile(t, "headers", text)))
		_, err := load(exportertest.WriteFile(t, "config.yml", config), nil, silentLog())
		if err == nil || !strings.Contains(err.Error(), line) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want an error that says %q and shows nothing", text, err, line)
		}
	}
}

// Each probe has its own schedule, and all probes with the same one are spread together.
func TestEachProbeHasItsOwnSchedule(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		network := &exportertest.Network{}
		site := newSiteOn(t, network, okHandler)
		r := watch(t, network, "{name: fast, essential: true, interval: 100ms, url: '"+site.URL+"/fast'}", "{name: slow, essential: true, interval: 1h, timeout: 5s, url: '"+site.URL+"/slow'}")
		s := r.Await(t, "the fast one goes on", func(s map[string]float64) bool { return outcomes(s, "fast")["ok"] >= 5 })
		if n := outcomes(s, "slow")["ok"]; n != 1 {
			t.Errorf("the slow one has asked %v times", n)
		}
	})
}

package events_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/exporters/events"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// The web config knows two users, whose password is "let-me-in".
const (
	twoUsers = "basic_auth_users:\n  prometheus: $2b$04$Iwv4T0aBCpPeouSVZO01g.0ZM/IhWOuqUnoVZ31eZgzr4jMMvXFvy\n" +
		"  curl: $2b$04$Iwv4T0aBCpPeouSVZO01g.0ZM/IhWOuqUnoVZ31eZgzr4jMMvXFvy\n"
	asPrometheus      = "Authorization: Basic cHJvbWV0aGV1czpsZXQtbWUtaW4="
	asCurl            = "Authorization: Basic Y3VybDpsZXQtbWUtaW4="
	withWrongPassword = "Authorization: Basic cHJvbWV0aGV1czp3cm9uZw=="
	scrapedByUser     = "scrapers: [{name: main, user: prometheus}, {name: second, user: curl}]\n"
)

// Each scraper delivers as its own user only.
func TestOnlyTheUserOfAScraperDelivers(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	r := follow(t, b.Address(), scrapedByUser, "--web.config.file="+exportertest.WriteFile(t, "web.yml", twoUsers))
	r.headers = []string{asPrometheus}
	r.scrapeFirst(t)
	write(t, b, times(10, request("anna"))...)
	r.awaitCountedBut(t, telemetry, 0)
	for _, tt := range []struct {
		path, header string
		code         int
	}{
		{"/metrics?scraper=main", "X-None: none", 401},
		{"/metrics?scraper=main", withWrongPassword, 401},
		{"/metrics?scraper=main", asCurl, 200},
		{"/metrics?scraper=second", asPrometheus, 200},
		{"/metrics?scraper=", asPrometheus, 200},
	} {
		if code, _ := r.Get(t, tt.path, tt.header); code != tt.code {
			t.Errorf("%s with %s answers %d, want %d", tt.path, tt.header, code, tt.code)
		}
		if got := r.gather(t, "/metrics")[requests("anna")]; got != 0 {
			t.Fatalf("after %s with %s, %v are delivered", tt.path, tt.header, got)
		}
	}
	r.headers = []string{asCurl}
	r.assertSecondIsFirst(t, b)
}

// Without users in the web config nobody checks the password: a user is what a client says.
func TestAUserThatNobodyChecksDeliversNothing(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{
		"no web config":  nil,
		"no users in it": {"--web.config.file=" + exportertest.WriteFile(t, "web.yml", "http_server_config: {http2: false}\n")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, kafka.Config{})
			r := follow(t, b.Address(), scrapedByUser, flags...)
			write(t, b, times(10, request("anna"))...)
			r.awaitCountedBut(t, telemetry, 0)
			for range 3 {
				got := series(t, get(t, r.URL+"/metrics?scraper=main", []string{asPrometheus}))
				if got[requests("anna")] != 0 {
					t.Fatalf("%v are delivered to a user whose password nobody checks", got[requests("anna")])
				}
			}
			if got := committed(t, b, telemetry, 0); got != -1 {
				t.Errorf("offset %d is committed", got)
			}
			if n := strings.Count(r.Log(), "a scrape is not by the scraper's user"); n != 1 {
				t.Errorf("the log says %d times why nothing is delivered, want once a minute\n%s", n, tail(r.Log()))
			}
		})
	}
}

// The name in a certificate that was verified is the user. One that nobody verifies is none.
func TestTheNameInTheClientCertificateIsTheUser(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	certificate, key := ca.issue(t, "event-exporter")
	for _, verify := range []string{"RequireAndVerifyClientCert", "RequireAnyClientCert"} {
		t.Run(verify, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, kafka.Config{})
			write(t, b, times(10, request("anna"))...)
			dir := folder(t, map[string]string{
				"ca.pem": ca.pem, "server.pem": certificate, "server.key": key,
				"web.yml":    "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem, client_auth_type: " + verify + "}\n",
				"config.yml": followConfig(b.Address(), "scrapers: [{name: main, user: prometheus}]\n"),
			})
			r := exportertest.StartFile(t, events.App(), filepath.Join(dir, "config.yml"), "--log.level=debug", "--web.config.file="+filepath.Join(dir, "web.yml"))
			scrape := func(as string) map[string]float64 {
				t.Helper()
				pool := x509.NewCertPool()
				pool.AppendCertsFromPEM([]byte(ca.pem))
				transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{*ca.certificate(t, as)}, MinVersion: tls.VersionTLS12}}
				defer transport.CloseIdleConnections()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(r.URL, "http:", "https:", 1)+"/metrics?scraper=main", nil)
				if err != nil {
					t.Fatal(err)
				}
				setHeaders(req, nil)
				resp, err := (&http.Client{Transport: transport}).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return series(t, string(body))
			}
			await(t, "the requests are counted", func() bool {
				v, known := scrape("somebody")[lag(telemetry, 0)]
				return known && v == 0
			})
			if n := scrape("somebody")[requests("anna")]; n != 0 {
				t.Errorf("%v are delivered to somebody else", n)
			}
			scrape("prometheus") // the first one is empty
			n := scrape("prometheus")[requests("anna")]
			if verify == "RequireAndVerifyClientCert" {
				if n != 10 {
					t.Errorf("%v are delivered to the scraper, want 10", n)
				}
				awaitCommitted(t, b, telemetry, 0, 10)
			} else if n != 0 {
				t.Errorf("%v are delivered to a name that nobody has verified", n)
			}
		})
	}
}

// In the exact mode anybody may ask as the scraper: only what Prometheus shows is delivered.
func TestAStrangerChangesNothingInTheExactMode(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	address := freeAddress(t)
	prometheus := newFakePrometheus()
	prometheus.listen(t, address)
	r := follow(t, b.Address(), exactModeConfig(address)+"scrapers: [{name: main}]\n", "--drain-timeout=2s")
	r.prometheus = prometheus
	stranger := func() map[string]float64 {
		t.Helper()
		return series(t, get(t, r.URL+"/metrics?scraper=main", nil))
	}
	write(t, b, times(10, request("anna"))...)
	r.awaitCountedBut(t, telemetry, 0)
	for range 5 { // the stranger takes the first responses
		for name := range stranger() {
			if strings.HasPrefix(name, "consign_") {
				t.Fatalf("%s is shown before Prometheus has the empty response", name)
			}
		}
	}
	r.scrapeFirst(t)
	for range 5 {
		if n := stranger()[requests("anna")]; n != 10 {
			t.Fatalf("the response has %v requests, want 10", n)
		}
	}
	if got := committed(t, b, telemetry, 0); got != -1 {
		t.Fatalf("offset %d is committed, although only a stranger has it", got)
	}
	if n := r.scrape(t)[requests("anna")]; n != 10 {
		t.Fatalf("Prometheus gets %v requests, want 10", n)
	}
	// While a stranger always comes last, with more than Prometheus has, what Prometheus has is delivered nevertheless.
	write(t, b, times(5, request("anna"))...)
	await(t, "the stranger has more than Prometheus", func() bool { return stranger()[requests("anna")] == 15 })
	await(t, "what Prometheus has is committed", func() bool {
		stranger()
		return committed(t, b, telemetry, 0) == 10
	})
	awaitDelivered(t, r, b, telemetry, 0, 15)
	before := prometheus.queryCount()
	const scrapes = 10
	for range scrapes {
		r.scrape(t)
	}
	if asked := prometheus.queryCount() - before; asked > scrapes {
		t.Errorf("Prometheus was asked %d times in %d scrapes", asked, scrapes)
	}
	write(t, b, times(2, request("anna"))...)
	r.awaitCountedBut(t, telemetry, 0)
	await(t, "a stranger has the rest", func() bool { return stranger()[requests("anna")] == 17 })
	r.prometheus = nil // and Prometheus comes no more
	r.Stop()

	next := follow(t, b.Address(), exactModeConfig(address))
	next.prometheus = prometheus
	next.await(t, map[string]float64{requests("anna"): 2, lag(telemetry, 0): 0})
}

// Connections that ask and never read take nothing away, and keep nobody out.
func TestConnectionsThatNeverReadKeepNobodyOut(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	prometheus := newFakePrometheus()
	prometheus.listen(t, address)
	users := exportertest.WriteFile(t, "web.yml", twoUsers)
	for name, tt := range map[string]struct {
		config     string
		flags      []string
		headers    []string
		stranger   string
		prometheus *fakePrometheus
	}{
		"exact mode": {config: exactModeConfig(address) + "scrapers: [{name: main}]\n", stranger: "X-None: none", prometheus: prometheus},
		"kafka mode": {config: scrapedByUser, flags: []string{"--web.config.file=" + users}, headers: []string{asPrometheus}, stranger: asCurl},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, kafka.Config{})
			write(t, b, append(bigRecords(), times(10, request("anna"))...)...)
			dir := folder(t, map[string]string{"mapping.yml": anyLabelMapping, "config.yml": followConfig(b.Address(), "mapping_file: mapping.yml\n"+tt.config)})
			r := followFile(t, filepath.Join(dir, "config.yml"), tt.flags...)
			r.headers, r.prometheus = tt.headers, tt.prometheus
			r.await(t, map[string]float64{requests("anna"): 10})
			for range 40 {
				stuck(t, r, tt.stranger)
			}
			write(t, b, times(5, request("anna"))...)
			r.await(t, map[string]float64{requests("anna"): 15})
			awaitDelivered(t, r, b, telemetry, 0, 275)
		})
	}
}

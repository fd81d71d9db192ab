package integration

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// echoServer answers each shop in another way, and repeats in all responses the secrets that it was sent.
func echoServer(t *testing.T, network *exportertest.Network) (url string, sent func() []string) {
	var mu sync.Mutex
	var heard []string
	server := network.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		client, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".")
		token := r.Header.Get("X-Shopify-Access-Token")
		mu.Lock()
		heard = append(heard, client+" "+token+" "+string(body))
		mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/access_token") {
			switch client {
			case "grants":
				fmt.Fprint(w, `{"access_token":"marked-granted","scope":"read_orders","expires_in":86399}`)
			case "misspells":
				fmt.Fprint(w, `{"accessToken":"marked-granted"}`)
			default:
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s is wrong"}`, body)
			}
			return
		}
		w.Header().Set("X-Shopify-API-Version", token)
		w.Header().Set("Retry-After", token)
		switch client {
		case "redirects":
			w.Header().Set("Location", "http://elsewhere.example/?token="+token)
			w.WriteHeader(http.StatusFound)
		case "refuses":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"errors":"[API] the token %s is not known"}`, token)
		case "fails":
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, strings.Repeat("x", 295), token)
		case "invents":
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, "a teapot for %s\n%s", token, body)
		case "garbles":
			fmt.Fprintf(w, `{"data": %s`, token)
		case "lacks":
			fmt.Fprintf(w, `{"data":{"shop":{"id":"","token":"%s"}}}`, token)
		case "searches":
			fmt.Fprintf(w, `{"data":{"shop":{"id":"1"}},"extensions":{"search":["%s"]}}`, token)
		default:
			fmt.Fprintf(w, `{"errors":[{"message":"no %s","extensions":{"code":"%s"}}]}`, token, token)
		}
	}))
	return server.URL, func() []string { mu.Lock(); defer mu.Unlock(); return append([]string(nil), heard...) }
}

func TestNoSecretShowsAnywhere(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := &fakeShops{network: &exportertest.Network{}, dir: t.TempDir()}
		url, sent := echoServer(t, m.network)
		m.url = url
		for _, client := range []string{"redirects", "refuses", "fails", "invents", "garbles", "lacks", "searches", "codes"} {
			write(t, m.dir, "token-"+client, "shpat_marked-"+client)
			m.clients = append(m.clients, fmt.Sprintf("{slug: %[1]s, shopify: {domain: %[1]s.myshopify.com, token_file: token-%[1]s}}", client))
		}
		for _, client := range []string{"grants", "misspells", "rejects"} {
			write(t, m.dir, "secret-"+client, "marked-secret-"+client)
			m.clients = append(m.clients, fmt.Sprintf("{slug: %[1]s, shopify: {domain: %[1]s.myshopify.com, client_credentials: {id: app, secret_file: secret-%[1]s}}}", client))
		}
		write(t, m.dir, "dsn", "reader:marked-password@tcp(127.0.0.1:1)/platform")
		config := m.config(every("1s")+"expected_topics: [orders/create]\n") + "platform: {dsn_file: dsn}\n"
		r := m.start(t, config, "--log.level", "debug", "--web.enable-lifecycle")
		r.Await(t, "three rounds of all", func(s map[string]float64) bool {
			for _, client := range []string{"redirects", "refuses", "fails", "invents", "garbles", "lacks", "searches", "codes", "grants", "misspells", "rejects"} {
				n := 0.0
				for _, o := range catalog.ShopifyOutcomes() {
					n += s[counted(client, o)]
				}
				if n < 9 {
					return false
				}
			}
			return true
		})
		// The test looks at the right place: the secrets did travel.
		heard := strings.Join(sent(), "\n")
		for _, want := range []string{"refuses shpat_marked-refuses", "client_secret=marked-secret-rejects", "grants marked-granted"} {
			if !strings.Contains(heard, want) {
				t.Errorf("the shops did not hear %s", want)
			}
		}
		var all strings.Builder
		for _, path := range []string{"/", "/metrics", "/config", "/-/ready", "/-/healthy"} {
			_, body := r.Get(t, path)
			all.WriteString(body)
		}
		_, body := r.Get(t, "/metrics", "Accept: application/openmetrics-text")
		all.WriteString(body)
		// A reload that fails, with each secret where it does not belong.
		for _, broken := range []string{
			config + "unknown: marked-key\n",
			strings.Replace(config, "dsn_file: dsn", "dsn_file: broken-dsn", 1),
			strings.Replace(config, "token_file: token-codes", "token_file: broken-token", 1),
		} {
			write(t, m.dir, "broken-dsn", "reader:marked-password@somewhere(/platform")
			write(t, m.dir, "broken-token", "shpat_marked-broken and more")
			write(t, m.dir, "config.yml", broken)
			status, body := r.Do(t, http.MethodPost, "/-/reload")
			if status != http.StatusInternalServerError {
				t.Errorf("a broken configuration was loaded: %d", status)
			}
			all.WriteString(body)
			var out bytes.Buffer
			App().Run(t.Context(), []string{"--config.check", "--config.file", m.dir + "/config.yml"}, &out, &out, nil)
			all.Write(out.Bytes())
		}
		r.Stop()
		all.WriteString(r.Log())
		for line := range strings.Lines(all.String()) {
			if strings.Contains(line, "marked") && !strings.Contains(line, `unknown key "unknown"`) {
				t.Errorf("a secret shows: %s", line)
			}
		}
		for _, want := range []string{"teapot", "not followed", "is not known", "<secret>"} {
			if !strings.Contains(all.String(), want) {
				t.Errorf("nothing says %q: what was searched is not what was meant", want)
			}
		}
	})
}

// TestATokenDoesNotTravelToAnotherHost follows no redirect, not even to the same place.
func TestATokenDoesNotTravelToAnotherHost(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := &fakeShops{network: &exportertest.Network{}, dir: t.TempDir()}
		elsewhere := m.network.Serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Error("the redirect was followed")
		}))
		m.url = m.network.Serve(t, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect)).URL
		write(t, m.dir, "token-north", "shpat_x")
		m.clients = []string{"{slug: north, shopify: {domain: north.myshopify.com, token_file: token-north}}"}
		r := m.start(t, m.config(quick))
		r.Await(t, "answers", func(s map[string]float64) bool { return s[counted("north", "invalid_response")] > 3 })
	})
}

// TestACertificateThatIsNotTrustedEndsTheConnection talks to a server whose authority is unknown, and then is known.
func TestACertificateThatIsNotTrustedEndsTheConnection(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		server := m.network.Server(t, m.Fake)
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		m.url = server.URL
		r := m.start(t, m.config(quick))
		page := r.Await(t, "a refusal", func(s map[string]float64) bool { return s[counted("north", "server_error")] > 1 })
		if page[of("up", "north")] != 0 || len(m.requestsTo("north")) > 0 {
			t.Errorf("the shop was asked %d times", len(m.requestsTo("north")))
		}
		r.Stop()
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		write(t, m.dir, "ca.pem", string(ca))
		r = m.start(t, m.config(quick+"tls: {ca_file: ca.pem}\n"))
		r.Await(t, "an answer", func(s map[string]float64) bool { return s[of("up", "north")] == 1 })
	})
}

// TestAnAnswerWithoutEndIsNotReadToItsEnd sends more than any answer has.
func TestAnAnswerWithoutEndIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := &fakeShops{network: &exportertest.Network{}, dir: t.TempDir()}
		m.url = m.network.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			block := bytes.Repeat([]byte(" "), 64<<10)
			for range 8 << 20 / len(block) { // four times the limit
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		})).URL
		write(t, m.dir, "token-north", "shpat_x")
		m.clients = []string{"{slug: north, shopify: {domain: north.myshopify.com, token_file: token-north}}"}
		r := m.start(t, m.config(every("2s")))
		r.Await(t, "answers", func(s map[string]float64) bool { return s[counted("north", "invalid_response")] > 1 })
		if !strings.Contains(r.Log(), "longer than") {
			t.Errorf("the log does not say so:\n%s", r.Log())
		}
	})
}

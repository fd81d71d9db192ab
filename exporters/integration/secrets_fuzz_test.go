package integration

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// echo answers every request with all that it was sent, in each place of a response and in several forms.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var sent strings.Builder
		_ = r.Header.Write(&sent)
		sent.Write(body)
		form, _ := url.QueryUnescape(string(body))
		words := strings.Join([]string{sent.String(), form, fmt.Sprintf("%q", sent.String()), base64.StdEncoding.EncodeToString(body), r.URL.String()}, " ")
		for _, name := range []string{"Retry-After", "Location", "Www-Authenticate", "X-Shopify-API-Version"} {
			w.Header().Set(name, strings.NewReplacer("\r", " ", "\n", " ").Replace(words))
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":%[1]q,"errors":[{"message":%[1]q,"code":%[1]q,"extensions":{"code":%[1]q}}],"name":%[1]q,"message":%[1]q,"status":"error"} %[1]s`, words)
	}
}

// FuzzNoSecretShowsAnywhere plants a secret as each credential of the exporter, lets the services repeat it, and reads all that
// the exporter prints and serves.
func FuzzNoSecretShowsAnywhere(f *testing.F) {
	for i, status := range []int{200, 302, 400, 401, 403, 418, 429, 500} {
		f.Add([]string{"shpat_planted-secret", `quo"ted\secret`, "half/other@tcp(x", "percent%25&=+#?", "key with spaces", "<angle>&amp;brackets", "új-jelszó-titok", "sk_live_0123456789"}[i], status)
	}
	f.Fuzz(func(t *testing.T, text string, status int) {
		if len(text) < 8 || strings.ContainsAny(text, "\x00\r\n") || status < 200 || status > 599 {
			t.Skip("no secret, or no status")
		}
		planted := "pl4nted" + text + "pl4nted" // so that nothing else looks like it
		exportertest.InVirtualTime(t, func(t *testing.T) {
			network := &exportertest.Network{}
			dir := t.TempDir()
			services := network.Serve(t, echo(status)).URL
			write(t, dir, "secret", planted+"\n")
			write(t, dir, "dsn", "reader:"+planted+"@tcp(127.0.0.1:1)/platform")
			config := fmt.Sprintf(`clients:
  - {slug: north, shopify: {domain: north.myshopify.com, token_file: secret}}
  - {slug: south, shopify: {domain: south.myshopify.com, client_credentials: {id: app, secret_file: secret}}}
shopify:
  url_template: %[1]s/{domain}/admin/api/{version}/graphql.json
  token_url_template: %[1]s/{domain}/admin/oauth/access_token
  interval: 1s
  requests_per_second: 100
platform: {dsn_file: dsn}
clerk: {url: '%[1]s', secret_key_file: secret, probe_session: sess_probe, issuer: %[2]s, authorized_parties: ['%[3]s'], interval: 1s, timeout: 1s}
mandrill: {url: '%[1]s', key_file: secret, client_subaccounts: true, interval: 1s, slow_interval: 1s, timeout: 1s}
`, services, testIssuer, ourParty)
			var all bytes.Buffer
			path := write(t, dir, "config.yml", config)
			App().Run(t.Context(), []string{"--config.check", "--config.file", path}, &all, &all, nil)
			if strings.Contains(all.String(), "is valid") { // else the secret is one that no header can hold, and the message was read
				for _, format := range []string{"logfmt", "json"} {
					r := exportertest.StartOn(t, network, appOn(network.DialContext), path, "--log.level=debug", "--log.format="+format, "--web.enable-lifecycle")
					r.AwaitReady(t)
					for _, page := range []string{"/", "/metrics", "/config"} {
						_, body := r.Get(t, page)
						all.WriteString(body)
					}
					write(t, dir, "dsn", "reader:"+planted+"/x@tcp(127.0.0.1:1)") // a password with a slash, and no database
					_, body := r.Do(t, http.MethodPost, "/-/reload")
					all.WriteString(body)
					write(t, dir, "dsn", "reader:"+planted+"@tcp(127.0.0.1:1)/platform")
					r.Stop()
					if status >= 400 && !strings.Contains(r.Log(), "<secret>") { // what other responses hold is not logged
						t.Errorf("nothing was masked: what was read is not what was meant:\n%s", r.Log())
					}
					all.WriteString(r.Log())
				}
			}
			for line := range strings.Lines(all.String()) {
				if strings.Contains(line, "pl4nted") {
					t.Errorf("a secret shows: %s", line)
				}
			}
		})
	})
}

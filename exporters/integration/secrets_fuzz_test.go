package integration

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// FuzzNoSecretShowsAnywhere plants a secret as each credential of the exporter, lets the services repeat it, and reads all that
// the exporter prints and serves.
func FuzzNoSecretShowsAnywhere(f *testing.F) {
	for i, status := range []int{200, 302, 400, 401, 403, 418, 429, 500} {
		f.Add(exportertest.Secrets()[i], status)
	}
	f.Fuzz(func(t *testing.T, text string, status int) {
		if status < 200 || status > 599 {
			t.Skip("no status")
		}
		planted := exportertest.Planted(t, text)
		exportertest.InVirtualTime(t, func(t *testing.T) {
			network := &exportertest.Network{}
			dir := t.TempDir()
			services := network.Serve(t, exportertest.EchoHTTP(status)).URL
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
			silent := status < 400 // what other responses hold is not logged
			exportertest.NoSecretShows(t, network, appOn(network.DialContext), write(t, dir, "config.yml", config), filepath.Join(dir, "dsn"), planted, silent)
		})
	})
}

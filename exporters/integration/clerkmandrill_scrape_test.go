package integration

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/golden"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
)

// TestTheScrapeResponseOfClerkAndMandrillIsAsRecorded compares the scrape response of both, healthy, with testdata/clerk_mandrill_scrape_response.txt: every series with
// its help and type, and instead of numbers an N.
func TestTheScrapeResponseOfClerkAndMandrillIsAsRecorded(t *testing.T) {
	t.Parallel()
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	s, m := newClerkSite(t, nil), newMailer(t, nil)
	if _, err := m.Send(mandrill.Message{Subaccount: "kids-north", To: "planted@example.com", From: "sale@mail.example.com"}); err != nil {
		t.Fatal(err)
	}
	r := exportertest.Start(t, App(), fmt.Sprintf(`clients: [{slug: kids-north}, {slug: toy-town}]
clerk: {url: '%s', secret_key_file: %[2]s, probe_session: sess_probe, issuer: '%s', authorized_parties: ['%s'], interval: 2s, token_interval: 2s}
mandrill: {url: '%s/api/1.0', key_file: %[2]s, client_subaccounts: true, interval: 2s, slow_interval: 2s}
`, s.url, exportertest.WriteFile(t, "key", plantedKey), testIssuer, ourParty, m.url))
	r.Await(t, "all that is known", func(series map[string]float64) bool {
		_, users := series[`consign_clerk_active_users{window="30d"}`]
		return users && series[check("wrong_party_rejected")] == 1 && series["consign_clerk_signing_keys"] == 1 && series["consign_mandrill_up"] == 1 &&
			len(only(series, "consign_mandrill_client_messages")) == 16 && len(only(series, "consign_mandrill_reputation")) == 2 &&
			len(only(series, "consign_mandrill_webhook_failing")) == 1 && len(only(series, "consign_mandrill_domain_valid")) == 6
	})
	_, page := r.Get(t, "/metrics")
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	golden.Compare(t, "testdata/clerk_mandrill_scrape_response.txt", withoutNumbers(page))
	assertNoSecrets(t, r)
}

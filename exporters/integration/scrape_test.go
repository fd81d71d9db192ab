package integration

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/golden"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

// A metric that is declared and that nothing reads would be missing from dashboards and alerts, silently.
func TestEveryDeclaredMetricIsInARecordedScrapeResponse(t *testing.T) {
	t.Parallel()
	absent := map[string]string{
		"consign_mandrill_webhook_last_sent_timestamp_seconds": "a webhook that was never sent",
		"consign_clerk_invalid_tokens_presented_total":         "nothing is presented to the platform: TestPresentedTokensAreCounted",
	}
	var text string
	for _, name := range []string{"shopify", "clerk_mandrill"} {
		part, err := os.ReadFile("testdata/" + name + "_scrape_response.txt")
		if err != nil {
			t.Fatal(err)
		}
		text += "\n" + string(part)
	}
	for _, m := range catalog.Shipped().Of(catalog.Integration) {
		is := strings.Contains(text, "\n# TYPE "+m.Name+" ")
		if why, ok := absent[m.Name]; is == ok {
			t.Errorf("%s: in a recorded scrape response: %v; a reason for its absence: %q", m.Name, is, why)
		}
	}
}

// TestTheScrapeResponseOfTheShopsIsAsRecorded compares the scrape response of a shop that is up and one that is down with testdata/shopify_scrape_response.txt:
// every series with its help and type, and instead of numbers an N. What is 0 or 1 by nature stands as it is.
func TestTheScrapeResponseOfTheShopsIsAsRecorded(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.credentials(t, "north", time.Hour)
		m.open(t, "south")
		m.orders(t, "north", 3, time.Hour)
		m.products(t, "north", 3, time.Hour)
		m.turn(t, "south", func(s *shopify.Switches) { s.Status = 503 })
		if err := m.Subscribe(domainOf("north"), shopify.Subscription{Topic: "ORDERS_CREATE", URI: "https://platform.example/hooks"}); err != nil {
			t.Fatal(err)
		}
		l := newPlatformTables(t, dsn, "north", "south")
		r := m.start(t, m.config(quick+"expected_topics: [orders/create, refunds/create]\n")+l.section(t, m))
		r.Await(t, "all that is known", func(s map[string]float64) bool {
			_, ok := s[of("orders_missing", "north")]
			_, expiry := s[of("token_expiry_timestamp_seconds", "north")]
			_, down := s[of("up", "south")]
			return ok && expiry && down && s[of("products_unmatched", "north")] == 3 && s[of("up", "north")] == 1
		})
		compareScrapeResponse(t, r, "testdata/shopify_scrape_response.txt")
	})
}

// TestTheScrapeResponseOfClerkAndMandrillIsAsRecorded compares the scrape response of both, healthy, with testdata/clerk_mandrill_scrape_response.txt: every series with
// its help and type, and instead of numbers an N.
func TestTheScrapeResponseOfClerkAndMandrillIsAsRecorded(t *testing.T) {
	t.Parallel()
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
	compareScrapeResponse(t, r, "testdata/clerk_mandrill_scrape_response.txt")
	assertNoSecrets(t, r)
}

// compareScrapeResponse lints the scrape response, and compares it with a golden file.
func compareScrapeResponse(t *testing.T, r *exportertest.Running, file string) {
	t.Helper()
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	_, response := r.Get(t, "/metrics")
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(response)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	golden.Compare(t, file, withoutNumbers(response))
}

var (
	ours   = regexp.MustCompile(`^(# (HELP|TYPE) )?consign_`)
	byType = regexp.MustCompile(`^consign_\w+_(up|webhook_subscription|info)\{`)
	// The version that answers follows the calendar.
	served = regexp.MustCompile(`served="[^"]*"`)
)

func withoutNumbers(response string) string {
	var b strings.Builder
	for line := range strings.Lines(response) {
		switch {
		case !ours.MatchString(line):
			continue
		case strings.HasPrefix(line, "#"), byType.MatchString(line):
			b.WriteString(served.ReplaceAllString(line, `served="V"`))
		default:
			b.WriteString(line[:strings.LastIndexByte(line, ' ')] + " N\n")
		}
	}
	return b.String()
}

package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
)

// mailer is a fake Mandrill, with a subaccount for each of two clients, a webhook and a domain.
type mailer struct {
	*mandrill.Fake
	network *exportertest.Network
	url     string
	hook    int64
}

func newMailer(t *testing.T, network *exportertest.Network) *mailer {
	t.Helper()
	m := &mailer{network: network, Fake: mandrill.New(mandrill.Config{Key: plantedKey, Username: "planted-user", CreatedAt: time.Now().Add(-1000 * time.Hour)})}
	t.Cleanup(func() { m.Close() })
	m.url = network.Serve(t, m).URL
	for _, id := range []string{"kids-north", "toy-town", "planted-other"} {
		if err := m.AddSubaccount(mandrill.Subaccount{ID: id, CreatedAt: time.Now().Add(-500 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	m.hook = m.AddWebhook(mandrill.Webhook{URL: "https://hooks.example.invalid/planted", AuthKey: "planted-auth-key"}).ID
	m.AddDomain("mail.example.com")
	return m
}

func (m *mailer) start(t *testing.T, version string, interval string) *exportertest.Running {
	t.Helper()
	return exportertest.StartOn(t, m.network, appOn(m.network.DialContext), exportertest.WriteFile(t, "config.yml", fmt.Sprintf(`clients: [{slug: kids-north}, {slug: toy-town}]
mandrill: {url: '%s/api/%s', key_file: %s, client_subaccounts: true, interval: %[4]s, timeout: %[4]s, slow_interval: %[4]s}
`, m.url, version, exportertest.WriteFile(t, "key", plantedKey+"\n"), interval)))
}

func TestEachOutcomeOfMandrillHasItsLabel(t *testing.T) {
	t.Parallel()
	named := func(name string) func(*mandrill.Switches) { return func(s *mandrill.Switches) { s.ErrorName = name } }
	status := func(code int) func(*mandrill.Switches) { return func(s *mandrill.Switches) { s.Status = code } }
	for name, c := range map[string]struct {
		wrong  func(*mandrill.Switches)
		want   string
		reason string
	}{
		"Invalid_Key":          {named("Invalid_Key"), "auth", "auth"},
		"RequestLimitExceeded": {named("RequestLimitExceeded"), "throttled", "throttled"},
		"PaymentRequired":      {named("PaymentRequired"), "payment_required", "auth"},
		"ValidationError":      {named("ValidationError"), "invalid_request", "query"},
		"Unknown_Webhook":      {named("Unknown_Webhook"), "not_found", "query"},
		"GeneralError":         {named("GeneralError"), "server_error", "connection"},
		"ServiceUnavailable":   {named("ServiceUnavailable"), "server_error", "connection"},
		"PoorReputation":       {named("PoorReputation"), "other", "query"},
		"the edge: 403":        {status(403), "forbidden", "auth"},
		"the edge: 429":        {status(429), "throttled", "throttled"},
		"the edge: 502":        {status(502), "server_error", "connection"},
		"cut off":              {func(s *mandrill.Switches) { s.Down = true }, "connection", "connection"},
		"slow":                 {func(s *mandrill.Switches) { s.Slow = 3 * time.Second }, "timeout", "timeout"},
		"not JSON":             {func(s *mandrill.Switches) { s.InvalidResponse = true }, "invalid_response", "parse"},
	} {
		for _, version := range []string{"1.0", "1.4"} {
			t.Run(name+" in "+version, func(t *testing.T) {
				t.Parallel()
				exportertest.InVirtualTime(t, func(t *testing.T) {
					m := newMailer(t, &exportertest.Network{})
					m.Switch(c.wrong)
					r := m.start(t, version, "1500ms")
					asked := []string{"account", "list_subaccounts", "list_webhooks", "list_domains"} // without a list, no subaccount is fetched
					series := r.Await(t, "the outcome of every operation", func(series map[string]float64) bool {
						return !slices.ContainsFunc(asked, func(operation string) bool {
							return series[fmt.Sprintf("consign_mandrill_requests_total{operation=%q,outcome=%q}", operation, c.want)] == 0
						})
					})
					for operation, outcomes := range requestsOf(series, "consign_mandrill_requests_total") {
						if !slices.Equal(outcomes, []string{c.want}) {
							t.Errorf("requests of %s ended as %v", operation, outcomes)
						}
					}
					if up, ok := series["consign_mandrill_up"]; !ok || up != exporter.Bool(c.want == "throttled") {
						t.Errorf("up is %v (told: %v)", up, ok)
					}
					failures := fmt.Sprintf(`consignwatch_collector_failures_total{collector="mandrill",reason=%q}`, c.reason)
					r.Await(t, failures, func(series map[string]float64) bool { return series[failures] >= 4 })
					if n := strings.Count(r.Log(), "unknown response"); c.want == "other" && n != 4 || c.want != "other" && n != 0 {
						t.Errorf("%d unknown answers were logged, want one for each operation:\n%s", n, r.Log())
					}
					assertNoSecrets(t, r)
				})
			})
		}
	}
}

func TestMandrillMetricsEqualItsState(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newMailer(t, &exportertest.Network{})
		for i := range 7 {
			client := []string{"kids-north", "kids-north", "planted-other"}[i%3]
			if _, err := m.Send(mandrill.Message{Subaccount: client, To: "planted@example.com", From: "sale@mail.example.com"}); err != nil {
				t.Fatal(err)
			}
		}
		r := m.start(t, "1.4", "500ms")
		truthful := func(series map[string]float64) string {
			db := m.Books()
			want := map[string]float64{"consign_mandrill_backlog": float64(db.Backlog), "consign_mandrill_up": 1}
			kinds := func(c mandrill.Counts) []int64 {
				return []int64{c.Sent, c.HardBounces, c.SoftBounces, c.Rejects, c.Complaints, c.Unsubs, c.Opens, c.Clicks}
			}
			for i, kind := range catalog.MailKinds() {
				want[fmt.Sprintf("consign_mandrill_messages_total{kind=%q}", kind)] = float64(kinds(db.AllTime)[i])
				for _, client := range []string{"kids-north", "toy-town"} {
					want[fmt.Sprintf("consign_mandrill_client_messages{client=%q,kind=%q}", client, kind)] = float64(kinds(db.Subaccounts[client].Last30Days)[i])
				}
			}
			for _, client := range []string{"kids-north", "toy-town"} {
				want[fmt.Sprintf("consign_mandrill_client_sent_total{client=%q}", client)] = float64(db.Subaccounts[client].AllTime.Sent)
				want[fmt.Sprintf("consign_mandrill_subaccount_paused{client=%q}", client)] = exporter.Bool(db.Subaccounts[client].Paused)
			}
			got := map[string]float64{}
			for name := range want {
				if v, ok := series[name]; ok {
					got[name] = v
				}
			}
			return cmp.Diff(want, got)
		}
		await := func(what string) map[string]float64 {
			diff := ""
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%s (-want +got):\n%s", what, diff)
				}
			})
			return r.Await(t, what, func(series map[string]float64) bool { diff = truthful(series); return diff == "" })
		}
		series := await("the first messages")
		if sent := series[`consign_mandrill_messages_total{kind="sent"}`]; sent != 7 {
			t.Errorf("%v were sent, want 7: the fake has other books", sent)
		}

		m.Switch(func(s *mandrill.Switches) { s.Bouncing, s.Backlog = 1, 300 })
		for i := range 5 {
			if _, err := m.Send(mandrill.Message{Subaccount: "toy-town", To: fmt.Sprintf("planted-%d@example.org", i), From: "sale@mail.example.com"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.PauseSubaccount("kids-north", true); err != nil {
			t.Fatal(err)
		}
		if err := m.BreakDomain("mail.example.com", "dkim", true); err != nil {
			t.Fatal(err)
		}
		if err := m.FailWebhook(m.hook, "planted error"); err != nil {
			t.Fatal(err)
		}
		series = await("bounces and a backlog")
		if series["consign_mandrill_backlog"] != 300 {
			t.Errorf("the backlog is %v, want 300", series["consign_mandrill_backlog"])
		}
		if series[`consign_mandrill_messages_total{kind="hard_bounce"}`]+series[`consign_mandrill_messages_total{kind="soft_bounce"}`] != 5 {
			t.Errorf("bounces: %v", only(series, "consign_mandrill_messages_total"))
		}
		r.Await(t, "a domain and a webhook that are broken", func(series map[string]float64) bool {
			return series[`consign_mandrill_domain_valid{domain="mail.example.com",mechanism="dkim"}`] == 0 &&
				series[`consign_mandrill_domain_valid{domain="mail.example.com",mechanism="spf"}`] == 1 &&
				series[fmt.Sprintf(`consign_mandrill_webhook_failing{webhook="%d"}`, m.hook)] == 1
		})

		m.Switch(func(s *mandrill.Switches) { s.Down = true })
		r.Await(t, "Mandrill is down", func(series map[string]float64) bool { return series["consign_mandrill_up"] == 0 })
		m.Switch(func(s *mandrill.Switches) { s.Down, s.Backlog = false, 0 })
		await("Mandrill is back by itself")
		assertNoSecrets(t, r)
	})
}

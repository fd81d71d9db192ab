package simulator

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/services"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// queryShop queries a client's shop, and measures how long it takes.
func (r *serviceReader) queryShop(client string) (status int, body string, took time.Duration, err error) {
	begun := time.Now()
	status, answer, err := r.query(client, "{ shop { name } }", nil)
	return status, string(answer), time.Since(begun), err
}

// shopSwitches returns the switches of a client's shop. The tests of simulator/services/shopify prove what each of them does.
func (r *serviceReader) shopSwitches(client string) (all shopify.Switches) {
	r.t.Helper()
	if err := r.p.services.Shopify.Switch(r.shops[client].domain, func(s *shopify.Switches) { all = *s }); err != nil {
		r.t.Fatal(err)
	}
	return all
}

func switchOff(t *testing.T, p *Platform, faults ...string) {
	t.Helper()
	for _, fault := range faults {
		if err := p.Faults().Off(t.Context(), fault, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLostOrdersAreMissingExactlyUntilTheyAreImported tries each way in which orders get lost.
func TestLostOrdersAreMissingExactlyUntilTheyAreImported(t *testing.T) {
	t.Parallel()
	r := startTrading(t)
	livePlatform(t, r.p)
	imports := count(r.p, "consign_order_imports_total", "outcome", world.Succeeded)
	for _, fault := range []string{faults.ShopifyOrdersLost, faults.WebhooksLost, faults.WebhookSubscriptionRemoved} {
		grows(t, "orders", imports, 5)
		switchOn(t, r.p, fault)
		lost := func() int {
			sum := 0
			for _, n := range r.p.State().ExternalServices.OrdersMissing {
				sum += n
			}
			return sum
		}
		waitFor(t, fault+": lost orders", func() bool { return lost() > 10 })
		pause(t, r.p)
		r.compareShops()
		if fault == faults.WebhookSubscriptionRemoved {
			for client := range r.shops {
				b, err := r.p.services.Shopify.Books(r.shops[client].domain)
				if err != nil || slices.ContainsFunc(b.Subscriptions, func(s shopify.Subscription) bool { return s.Topic == services.OrdersTopic }) {
					t.Errorf("%s: the subscription is there: %v", client, err)
				}
			}
		}
		compareStream(t, r.p)
		late := streamTruthOf(r.p, "consign_errors_total", "kind", "webhook_miss", "component", "order-import")
		n := lost()
		switchOff(t, r.p, fault)
		r.p.Resume()
		waitFor(t, fault+": late imports", func() bool { return lost() == 0 })
		pause(t, r.p)
		r.compareShops()
		if emitted := streamTruthOf(r.p, "consign_errors_total", "kind", "webhook_miss", "component", "order-import") - late; emitted != n {
			t.Errorf("%s: %d late imports were emitted of %d", fault, emitted, n)
		}
		compareTables(t, r.p.Books(), r.db)
		r.p.Resume()
	}
	grows(t, "orders that come by webhook again", imports, 20)
}

func TestFaultsOfShopsShowAtTheShopAndInTheStream(t *testing.T) {
	t.Parallel()
	r := startTrading(t)
	livePlatform(t, r.p)
	client := r.p.State().Clients[0]
	calls := func(outcome string) func() int {
		return count(r.p, "consign_client_external_requests_total", "client", client, "service", "shopify", "outcome", outcome)
	}
	failedSyncs := count(r.p, "consign_sync_runs_total", "client", client, "kind", "products", "outcome", world.Failed)
	grows(t, "calls", calls("ok"), 2)
	slow := r.p.store.Accelerated(3 * time.Second)
	for _, test := range []struct {
		fault, outcome string
		shows          func(status int, body string, took time.Duration, err error) bool
	}{
		{faults.ShopifyDown, "error", func(_ int, _ string, _ time.Duration, err error) bool { return err != nil }},
		{faults.ShopifyThrottled, "throttled", func(status int, body string, _ time.Duration, _ error) bool {
			return status == 200 && bytes.Contains([]byte(body), []byte("THROTTLED"))
		}},
		{faults.ShopifyTokenExpired, "error", func(status int, _ string, _ time.Duration, _ error) bool { return status == http.StatusUnauthorized }},
		{faults.ShopifySlow, "ok", func(status int, _ string, took time.Duration, _ error) bool {
			return status == 200 && took >= slow
		}},
	} {
		if err := r.p.Faults().On(t.Context(), test.fault, client); err != nil {
			t.Fatal(err)
		}
		if status, body, took, err := r.queryShop(client); !test.shows(status, body, took, err) {
			t.Errorf("%s: %d %s after %v, %v", test.fault, status, body, took, err)
		}
		other := r.p.State().Clients[1]
		if status, body, _, err := r.queryShop(other); err != nil || status != 200 {
			t.Errorf("%s: another shop answers %d %s, %v", test.fault, status, body, err)
		}
		if diff := cmp.Diff(shopify.Switches{}, r.shopSwitches(other)); diff != "" {
			t.Errorf("%s: what is wrong at another shop:\n%s", test.fault, diff)
		}
		grows(t, test.fault+": calls that are "+test.outcome, calls(test.outcome), 3)
		switch test.fault {
		case faults.ShopifySlow:
			waitFor(t, "calls that take long", func() bool { return r.p.services.LastShopCall(1).Duration >= slow })
		default:
			grows(t, test.fault+": failed syncs", failedSyncs, 2)
		}
		if test.fault == faults.ShopifyDown {
			grows(t, "failed checkouts", count(r.p, "consign_processes_total", "client", client, "process", "checkout", "outcome", world.Failed), 3)
		}
		switchOff(t, r.p, test.fault)
		if status, body, _, err := r.queryShop(client); err != nil || status != 200 {
			t.Errorf("after %s: %d %s, %v", test.fault, status, body, err)
		}
		if diff := cmp.Diff(shopify.Switches{}, r.shopSwitches(client)); diff != "" {
			t.Errorf("what is wrong after %s:\n%s", test.fault, diff)
		}
		waitFor(t, "the platform to know of it", func() bool {
			last := r.p.services.LastShopCall(1)
			return last.OK() && last.Duration < slow
		})
	}
	grows(t, "sales", count(r.p, "consign_orders_total", "client", client), 2)
	switchOn(t, r.p, faults.WebhookForged, faults.SyncFailing)
	grows(t, "forged webhooks", count(r.p, "consign_client_webhooks_received_total", "client", client, "provider", "shopify", "outcome", "invalid_signature"), 3)
	grows(t, "failed syncs", failedSyncs, 3)
	switchOff(t, r.p, faults.WebhookForged, faults.SyncFailing)
	pause(t, r.p)
	r.compareShops()
	if n := r.p.State().ExternalServices.OrdersMissing; len(n) > 0 {
		t.Errorf("orders are missing: %v", n)
	}
	compareStream(t, r.p)
}

func TestFaultsOfClerkShowAtClerkAndInTheStream(t *testing.T) {
	t.Parallel()
	r := startTrading(t)
	livePlatform(t, r.p)
	verify := func(token string) string {
		result, _ := r.p.services.Verify(t.Context(), token)
		return result
	}
	mint := func() string {
		token, call := r.p.services.Refresh(t.Context())
		if !call.OK() {
			t.Fatalf("no token: %+v", call)
		}
		return token
	}
	auth := func(operation, outcome string) func() int {
		return count(r.p, "consign_auth_requests_total", "operation", operation, "outcome", outcome)
	}
	tokens := func(result string) func() int { return count(r.p, "consign_token_validations_total", "result", result) }
	grows(t, "sign-ins", auth("sign_in", "ok"), 5)
	grows(t, "valid tokens", tokens("valid"), 5)

	switchOn(t, r.p, faults.ClerkDown)
	if call := r.p.services.AskClerk(t.Context()); !call.Down {
		t.Errorf("clerk answers: %+v", call)
	}
	grows(t, "sign-ins that fail", auth("sign_in", "error"), 5)
	pause(t, r.p)
	before := auth("sign_in", "ok")()
	r.p.Resume()
	grows(t, "more of them", auth("sign_in", "error"), 5)
	if n := auth("sign_in", "ok")() - before; n > 0 {
		t.Errorf("%d sign-ins although clerk is down", n)
	}
	switchOff(t, r.p, faults.ClerkDown)
	grows(t, "sign-ins again", auth("sign_in", "ok"), 5)

	switchOn(t, r.p, faults.ClerkSlow)
	slow := r.p.store.Accelerated(3 * time.Second)
	waitFor(t, "slow calls", func() bool { return r.p.services.LastCall().Duration >= slow })
	switchOff(t, r.p, faults.ClerkSlow)
	waitFor(t, "quick calls", func() bool { return r.p.services.LastCall().Duration < slow })

	token := mint()
	if got := verify(services.Forge(token)); got != services.InvalidSignature {
		t.Errorf("a forged token is %s", got)
	}
	switchOn(t, r.p, faults.ClerkAcceptsForged)
	if got := verify(services.Forge(token)); got != services.Valid {
		t.Errorf("a forged token is %s", got)
	}
	grows(t, "violations", count(r.p, "consign_security_violations_total", "kind", "forged_token"), 2)
	switchOff(t, r.p, faults.ClerkAcceptsForged)
	if got := verify(services.Forge(token)); got != services.InvalidSignature {
		t.Errorf("a forged token is %s afterwards", got)
	}

	token = mint()
	switchOn(t, r.p, faults.SigningKeyRotated)
	waitFor(t, "the old token to be refused", func() bool { return verify(token) == services.InvalidSignature })
	grows(t, "tokens that are refused", tokens("invalid_signature"), 3)
	// The key may be rotated once more between the two.
	waitFor(t, "a token of the new key to be valid", func() bool { return verify(mint()) == services.Valid })
	switchOff(t, r.p, faults.SigningKeyRotated)
	grows(t, "valid tokens again", tokens("valid"), 10)
	pause(t, r.p)
	compareStream(t, r.p)
}

func TestFaultsOfMandrillShowAtMandrillAndInTheStream(t *testing.T) {
	t.Parallel()
	r := startTrading(t)
	livePlatform(t, r.p)
	mails := func(outcome string) func() int { return count(r.p, "consign_emails_total", "outcome", outcome) }
	books := func() mandrill.Books { return r.p.services.Mandrill.Books() }
	grows(t, "emails", mails("sent"), 20)

	switchOn(t, r.p, faults.MandrillDown)
	grows(t, "calls that fail", count(r.p, "consign_external_requests_total", "service", "mandrill", "operation", "messages.send", "outcome", "error"), 20)
	waiting := func() int {
		postponed, queued := r.p.services.Waiting()
		return postponed + queued
	}
	waitFor(t, "emails that wait", func() bool { return waiting() > 5 })
	if n := books().Requests["down"]; n < 20 {
		t.Errorf("mandrill cut %d requests", n)
	}
	switchOff(t, r.p, faults.MandrillDown)
	waitFor(t, "all emails to be sent", func() bool { return waiting() == 0 })
	grows(t, "emails again", mails("sent"), 20)

	switchOn(t, r.p, faults.MandrillBacklog)
	grows(t, "emails that wait", mails("deferred"), 10)
	if n := books().Backlog; n < 60_000+10 {
		t.Errorf("a backlog of %d", n)
	}
	switchOff(t, r.p, faults.MandrillBacklog)
	waitFor(t, "the backlog to end", func() bool { return books().Backlog == 0 })
	waitFor(t, "waiting emails to be emitted", func() bool { return waiting() == 0 })

	switchOn(t, r.p, faults.MailBouncing)
	grows(t, "emails that bounce", mails("hard_bounced"), 20)
	switchOff(t, r.p, faults.MailBouncing)
	if n := books().AllTime.HardBounces; n < 20 {
		t.Errorf("%d bounces", n)
	}

	valid := func() bool {
		_, body, err := r.post(r.at.MandrillURL+"/senders/domains.json", http.Header{}, map[string]string{"key": r.secret(r.at.MandrillKey)})
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(body, []byte(`"valid_signing":true`))
	}
	if !valid() {
		t.Error("the domain is broken")
	}
	switchOn(t, r.p, faults.DomainBroken)
	if valid() {
		t.Error("the domain is not broken")
	}
	grows(t, "emails that bounce", mails("hard_bounced"), 5)
	switchOff(t, r.p, faults.DomainBroken)
	if !valid() {
		t.Error("the domain stays broken")
	}
	pause(t, r.p)
	compareStream(t, r.p)
	compareJobs(t, r.p)
}

func TestWithoutExternalServicesTheirFaultsAreRefused(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{Clients: 2, Events: 2, Items: 50})
	for _, f := range p.services.Faults() {
		var missing faults.NotConfigured
		if err := p.Faults().On(t.Context(), f.Name, ""); !errors.Is(err, faults.ErrNoExternal) || !errors.As(err, &missing) {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if p.State().ExternalServices != nil {
		t.Error("the state has external services")
	}
}

// logLines collects log lines.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// warnings returns a configuration with an API that logs warnings to l.
func (l *logLines) warnings() Config {
	return Config{
		Clients: 5, Events: 10, Items: 1000, Speed: 600, Logger: slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Infra: Infra{API: "http://127.0.0.1:0"},
	}
}

func TestLifeLogsNoError(t *testing.T) {
	t.Parallel()
	logged := &logLines{}
	config := logged.warnings()
	config.Speed, config.Acceleration, config.APILimits = 6000, 10, generousLimits()
	r := startWithExternal(t, config)
	livePlatform(t, r.p)
	imports := count(r.p, "consign_order_imports_total")
	waitFor(t, "life", func() bool {
		return r.p.State().Changes > 500 && imports() > 20 && queueBooks(r.p, jobs.Webhook).Finished > 20 || logged.String() != ""
	})
	pause(t, r.p)
	if text := logged.String(); text != "" {
		t.Errorf("it logs:\n%.2000s", text)
	}
	r.compareShops()
	compareStream(t, r.p)
}

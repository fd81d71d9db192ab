package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

// credentials opens a shop whose token has to be requested.
func (m *fakeShops) credentials(t *testing.T, client string, life time.Duration) {
	t.Helper()
	if err := m.AddShop(shopify.Shop{Domain: domainOf(client), App: shopify.App{
		ClientID: "app-" + client, ClientSecret: "marked-secret-" + client, Scopes: strings.Split(allScopes, ","), TokenLife: life,
	}}); err != nil {
		t.Fatal(err)
	}
	write(t, m.dir, "secret-"+client, "marked-secret-"+client)
	m.clients = append(m.clients, "{slug: "+client+", shopify: {domain: "+domainOf(client)+", client_credentials: {id: app-"+client+", secret_file: secret-"+client+"}}}")
}

// grants are how often a token was requested.
func (m *fakeShops) grants(client string) (n int) {
	for _, r := range m.requestsTo(client) {
		if r.Operation == "access_token" {
			n++
		}
	}
	return n
}

func TestARequestedTokenIsRenewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.credentials(t, "north", 3*time.Second)
		r := m.start(t, m.config(quick))
		exportertest.Eventually(t, "a third token", func() bool { return m.grants("north") >= 3 })
		page := r.Series(t)
		if n := page[counted("north", "auth")]; n != 0 {
			t.Errorf("%v questions were asked with a token that had ended", n)
		}
		left := page[of("token_expiry_timestamp_seconds", "north")] - unixSeconds(time.Now())
		if left < 0 || left > 3.1 {
			t.Errorf("the token expires in %v s, want up to 3", left)
		}
		if n := m.grants("north"); n > 10 {
			t.Errorf("%d tokens were requested", n)
		}
	})
}

func TestARejectedTokenIsRenewedOnce(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.credentials(t, "north", 0)
		r := m.start(t, m.config(quick))
		r.Await(t, "an answer", func(s map[string]float64) bool { return s[of("up", "north")] == 1 })
		if n := m.grants("north"); n != 1 {
			t.Fatalf("%d tokens were requested, want one", n)
		}
		m.turn(t, "north", func(s *shopify.Switches) { s.TokenExpired = true })
		r.Await(t, "a refused token", func(s map[string]float64) bool { return s[counted("north", "auth")] > 0 })
		page := r.Await(t, "an answer with the new one", func(s map[string]float64) bool { return s[counted("north", "ok")] > 10 && s[of("up", "north")] == 1 })
		if n, refused := m.grants("north"), page[counted("north", "auth")]; n != 2 || refused != 1 {
			t.Errorf("%d tokens were requested and %v questions refused, want 2 and 1", n, refused)
		}
	})
}

func TestATokenThatCannotBeRenewedIsUsedToItsEnd(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.credentials(t, "north", 10*time.Second)
		r := m.start(t, m.config(quick))
		r.Await(t, "an answer", func(s map[string]float64) bool { return s[of("up", "north")] == 1 })
		expiry := r.Series(t)[of("token_expiry_timestamp_seconds", "north")]
		s, err := m.Books(domainOf("north"))
		if err != nil || s.Requests["ok"] == 0 {
			t.Fatal(s.Requests, err)
		}
		// From now on, tokens are refused to the app: it has another secret.
		m.rejectSecret.Store(true)
		r.Await(t, "a refused grant", func(s map[string]float64) bool {
			return s[`consign_shopify_operations_total{operation="token",outcome="auth"}`] > 0
		})
		if page := r.Series(t); page[of("up", "north")] != 1 && unixSeconds(time.Now()) < expiry {
			t.Errorf("the shop is down, although the token lasts another %v s", expiry-unixSeconds(time.Now()))
		}
		r.Await(t, "down when the token has ended", func(s map[string]float64) bool { return s[of("up", "north")] == 0 })
		if now := unixSeconds(time.Now()); now < expiry {
			t.Errorf("down %v s before the token ends", expiry-now)
		}
		m.rejectSecret.Store(false)
		r.Await(t, "up again", func(s map[string]float64) bool { return s[of("up", "north")] == 1 })
	})
}

func TestWrongCredentialsAreAnAuthFailure(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.credentials(t, "north", 0)
		write(t, m.dir, "secret-north", "another one")
		r := m.start(t, m.config(quick))
		page := r.Await(t, "a refused grant", func(s map[string]float64) bool { return s[counted("north", "auth")] > 1 })
		if page[of("up", "north")] != 0 || page[counted("north", "ok")] != 0 {
			t.Error("the shop is up")
		}
		if !strings.Contains(r.Log(), "no token for these credentials") {
			t.Errorf("the log does not say so:\n%s", r.Log())
		}
	})
}

func TestTheExpiryOfATokenFromAFileComesFromTheConfiguration(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		m.clients[0] = strings.Replace(m.clients[0], "token_file", "token_expires_at: 2027-03-01T12:00:00Z, token_file", 1)
		r := m.start(t, m.config(quick))
		page := r.Await(t, "answers", func(s map[string]float64) bool {
			return s[counted("north", "ok")] > 0 && s[counted("south", "ok")] > 0
		})
		if got, want := page[of("token_expiry_timestamp_seconds", "north")], unixSeconds(time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)); got != want {
			t.Errorf("it ends at %v, want %v", got, want)
		}
		if _, ok := page[of("token_expiry_timestamp_seconds", "south")]; ok {
			t.Error("there is an end of a token that has none")
		}
	})
}

package simulator

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/simulator/clerk"
	"github.com/consignwatch/consignwatch/simulator/mandrill"
	"github.com/consignwatch/consignwatch/simulator/outside"
	"github.com/consignwatch/consignwatch/simulator/shopify"
)

const (
	slowAnswer = 3 * time.Second // longer than usual, shorter than the platform's timeout
	backlog    = 60_000          // emails
	// Shares of emails that bounce: usually, with a broken domain, and with mail-bouncing.
	usualBounces, domainBounces, manyBounces = 0.005, 0.2, 0.5
)

// Faults returns the faults of the external services. Those of nil Services cannot be switched on.
func (o *Services) Faults() []Fault {
	all := []Fault{
		{Name: ShopifyDown, Scope: clients,
			Description: "The shop does not answer.",
			Changes:     "At Shopify: connections are cut. No new sales and only failed syncs. In the stream: failed calls and checkouts."},
		{Name: ShopifySlow, Scope: clients,
			Description: "The shop is slow.",
			Changes:     "At Shopify: each response takes three seconds more. In the stream: calls that take as long."},
		{Name: ShopifyThrottled, Scope: clients,
			Description: "Another app uses up the shop's rate limit.",
			Changes:     "At Shopify: every query is throttled. Only failed syncs. In the stream: throttled calls."},
		{Name: ShopifyTokenExpired, Scope: clients,
			Description: "The platform's token for the shop has expired.",
			Changes:     "At Shopify: the existing tokens are refused. Only failed syncs. In the stream: failed calls. Off: they are accepted again."},
		{Name: ShopifyOrdersLost, Scope: clients,
			Description: "Webhooks of new orders get lost.",
			Changes:     "At Shopify: orders/create is never sent. New orders are in the shop and not in the database; their items stay active. Off: they are imported late."},
		{Name: WebhooksLost, Scope: clients,
			Description: "Webhooks of all topics get lost.",
			Changes:     "As shopify-orders-lost, for all topics; for all clients, also those of Clerk, and batches of Mandrill fail. Off: orders are imported late, and Mandrill sends what has waited."},
		{Name: WebhookSubscriptionRemoved, Scope: clients,
			Description: "The shop has removed the platform's subscription to new orders.",
			Changes:     "At Shopify: the subscription to orders/create is gone. New orders are in the shop and not in the database. Off: it is there again, and they are imported late."},
		{Name: WebhookForged, Scope: clients,
			Description: "Somebody sends forged webhooks in the name of the shop.",
			Changes:     "In the stream: a webhook with an invalid signature every second."},
		{Name: SyncFailing, Scope: clients, Touches: true,
			Description: "Every sync fails.",
			Changes:     "Only failed sync_runs and no synced_at; some prices change immediately. Off: the next run catches up."},
		{Name: ClerkDown, Scope: everybody,
			Description: "Clerk does not answer.",
			Changes:     "At Clerk: connections are cut. No new sessions and consignors. In the stream: failed calls, sign-ins and sign-ups."},
		{Name: ClerkSlow, Scope: everybody,
			Description: "Clerk is slow.",
			Changes:     "At Clerk: each response takes three seconds more. In the stream: calls and sign-ins that take as long."},
		{Name: ClerkAcceptsForged, Scope: everybody,
			Description: "After a release the platform accepts forged session tokens.",
			Changes:     "The platform's verifier does not check signatures. In the stream: a forged token every second that is accepted, and a security violation."},
		{Name: SigningKeyRotated, Scope: everybody,
			Description: "The signing key of session tokens is rotated again and again, without overlap.",
			Changes:     "At Clerk: another key immediately, and every 20 seconds. In the stream: tokens with invalid signatures, and refreshes. Off: the key stays."},
		{Name: MandrillDown, Scope: everybody,
			Description: "Mandrill does not answer.",
			Changes:     "At Mandrill: connections are cut. In the stream: failed calls and jobs; emails wait, and are sent after off."},
		{Name: MandrillBacklog, Scope: everybody,
			Description: "The hourly quota of emails is used up.",
			Changes:     "At Mandrill: a backlog of 60,000 emails, and every email waits. In the stream: deferred emails. Off: they are sent."},
		{Name: MailBouncing, Scope: everybody,
			Description: "A newsletter goes to old addresses, and half of the emails bounce.",
			Changes:     "At Mandrill, and in the stream: one more email every two seconds, hard bounces."},
		{Name: DomainBroken, Scope: everybody,
			Description: "The DNS records of the sending domain are wrong.",
			Changes:     "At Mandrill: neither SPF nor DKIM of the domain is valid. One of five emails bounces."},
	}
	for i := range all {
		all[i].On = func(context.Context, Where) error {
			if o == nil {
				return ErrNoExternal
			}
			o.applyFaults()
			return nil
		}
		all[i].AfterOff = o.applyFaults
	}
	return all
}

// applyFaults sets the services' switches to the faults that are on.
func (o *Services) applyFaults() {
	o.switchMu.Lock()
	defer o.switchMu.Unlock()
	on := o.faults.isOn
	for client, domain := range o.shopsNow() {
		o.applyShopFaults(client, domain)
	}
	lost := on(WebhooksLost, 0)
	o.Clerk.Switch(func(s *clerk.Switches) {
		s.Down, s.Slow, s.WebhooksLost = on(ClerkDown, 0), o.slow(on(ClerkSlow, 0)), lost
	})
	forged := on(ClerkAcceptsForged, 0)
	o.Verifier.Switch(func(m *clerk.Mistakes) { m.AcceptTampered, m.AcceptUnknownKey = forged, forged })
	full, broken := on(MandrillBacklog, 0), on(DomainBroken, 0)
	o.Mandrill.Switch(func(s *mandrill.Switches) {
		s.Down, s.QuotaUsedUp, s.Backlog, s.Bouncing = on(MandrillDown, 0), full, 0, usualBounces
		if full {
			s.Backlog = backlog
		}
		if broken {
			s.Bouncing = domainBounces
		}
		if on(MailBouncing, 0) {
			s.Bouncing = manyBounces
		}
	})
	problem := ""
	if lost {
		problem = "POST failed: no answer"
	}
	o.logError(o.Mandrill.FailWebhook(o.MailHook, problem))
	for _, mechanism := range []string{"spf", "dkim"} {
		o.logError(o.Mandrill.BreakDomain(outside.SendingDomain, mechanism, broken))
	}
}

// slow returns the additional latency of a service.
func (o *Services) slow(on bool) time.Duration {
	if on {
		return o.Accelerated(slowAnswer)
	}
	return 0
}

// applyShopFaults sets the switches of a shop. The platform stops to record orders after their webhooks get lost, and records them again
// before: in between, an order is recorded whose webhook never comes.
func (o *Services) applyShopFaults(client uint64, domain string) {
	on := func(fault string) bool { return o.faults.isOn(fault, client) }
	var lost []string
	if on(ShopifyOrdersLost) {
		lost = []string{"orders/create"}
	}
	if on(WebhooksLost) {
		lost = []string{shopify.AllTopics}
	}
	removed := on(WebhookSubscriptionRemoved)
	ordersLost := len(lost) > 0 || removed
	o.setOrdersLost(client, ordersLost, false)
	o.logError(o.Shopify.Switch(domain, func(s *shopify.Switches) {
		s.Down, s.Slow, s.Throttled, s.TokenExpired, s.LostTopics = on(ShopifyDown), o.slow(on(ShopifySlow)), on(ShopifyThrottled), on(ShopifyTokenExpired), lost
	}))
	o.mu.Lock()
	was := o.unsubscribed[client]
	o.unsubscribed[client] = removed
	o.mu.Unlock()
	switch {
	case removed && !was:
		o.logError(o.Unsubscribe(domain))
	case !removed && was:
		o.logError(o.Subscribe(domain))
	}
	o.setOrdersLost(client, ordersLost, true)
}

// setOrdersLost sets whether a client's orders get lost, if that is the given value.
func (o *Services) setOrdersLost(client uint64, lost, value bool) {
	if lost != value {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ordersLost[client] = lost
}

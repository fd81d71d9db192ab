package services

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/services/clerk"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

const (
	slowAnswer = 3 * time.Second // longer than usual, shorter than the platform's timeout
	backlog    = 60_000          // emails
	// Shares of emails that bounce: usually, with a broken domain, and with mail-bouncing.
	usualBounces, domainBounces, manyBounces = 0.005, 0.2, 0.5
)

// Faults returns the faults of the external services. Those of nil Services cannot be switched on.
func (o *Services) Faults() []faults.Fault {
	all := []faults.Fault{
		{Name: faults.ShopifyDown, Scope: faults.Clients,
			Description: "The shop does not answer.",
			Changes:     "At Shopify: connections are cut. No new sales and only failed syncs. In the stream: failed calls and checkouts."},
		{Name: faults.ShopifySlow, Scope: faults.Clients,
			Description: "The shop is slow.",
			Changes:     "At Shopify: each response takes three seconds more. In the stream: calls that take as long."},
		{Name: faults.ShopifyThrottled, Scope: faults.Clients,
			Description: "Another app uses up the shop's rate limit.",
			Changes:     "At Shopify: every query is throttled. Only failed syncs. In the stream: throttled calls."},
		{Name: faults.ShopifyTokenExpired, Scope: faults.Clients,
			Description: "The platform's token for the shop has expired.",
			Changes:     "At Shopify: the existing tokens are refused. Only failed syncs. In the stream: failed calls. Off: they are accepted again."},
		{Name: faults.ShopifyOrdersLost, Scope: faults.Clients,
			Description: "Webhooks of new orders get lost.",
			Changes:     "At Shopify: orders/create is never sent. New orders are in the shop and not in the database; their items stay active. Off: they are imported late."},
		{Name: faults.WebhooksLost, Scope: faults.Clients,
			Description: "Webhooks of all topics get lost.",
			Changes:     "As shopify-orders-lost, for all topics; for all clients, also those of Clerk, and batches of Mandrill fail. Off: orders are imported late, and Mandrill sends what has waited."},
		{Name: faults.WebhookSubscriptionRemoved, Scope: faults.Clients,
			Description: "The shop has removed the platform's subscription to new orders.",
			Changes:     "At Shopify: the subscription to orders/create is gone. New orders are in the shop and not in the database. Off: it is there again, and they are imported late."},
		{Name: faults.WebhookForged, Scope: faults.Clients,
			Description: "Somebody sends forged webhooks in the name of the shop.",
			Changes:     "In the stream: a webhook with an invalid signature every second."},
		{Name: faults.SyncFailing, Scope: faults.Clients, Touches: true,
			Description: "Every sync fails.",
			Changes:     "Only failed sync_runs and no synced_at; some prices change immediately. Off: the next run catches up."},
		{Name: faults.ClerkDown, Scope: faults.Everybody,
			Description: "Clerk does not answer.",
			Changes:     "At Clerk: connections are cut. No new sessions and consignors. In the stream: failed calls, sign-ins and sign-ups."},
		{Name: faults.ClerkSlow, Scope: faults.Everybody,
			Description: "Clerk is slow.",
			Changes:     "At Clerk: each response takes three seconds more. In the stream: calls and sign-ins that take as long."},
		{Name: faults.ClerkAcceptsForged, Scope: faults.Everybody,
			Description: "After a release the platform accepts forged session tokens.",
			Changes:     "The platform's verifier does not check signatures. In the stream: a forged token every second that is accepted, and a security violation."},
		{Name: faults.SigningKeyRotated, Scope: faults.Everybody,
			Description: "The signing key of session tokens is rotated again and again, without overlap.",
			Changes:     "At Clerk: another key immediately, and every 20 seconds. In the stream: tokens with invalid signatures, and refreshes. Off: the key stays."},
		{Name: faults.MandrillDown, Scope: faults.Everybody,
			Description: "Mandrill does not answer.",
			Changes:     "At Mandrill: connections are cut. In the stream: failed calls and jobs; emails wait, and are sent after off."},
		{Name: faults.MandrillBacklog, Scope: faults.Everybody,
			Description: "The hourly quota of emails is used up.",
			Changes:     "At Mandrill: a backlog of 60,000 emails, and every email waits. In the stream: deferred emails. Off: they are sent."},
		{Name: faults.MailBouncing, Scope: faults.Everybody,
			Description: "A newsletter goes to old addresses, and half of the emails bounce.",
			Changes:     "At Mandrill, and in the stream: one more email every two seconds, hard bounces."},
		{Name: faults.DomainBroken, Scope: faults.Everybody,
			Description: "The DNS records of the sending domain are wrong.",
			Changes:     "At Mandrill: neither SPF nor DKIM of the domain is valid. One of five emails bounces."},
	}
	for i := range all {
		all[i].On = func(context.Context, faults.Where) error {
			if o == nil {
				return faults.ErrNoExternal
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
	on := o.faults.IsOn
	for client, domain := range o.shopsNow() {
		o.applyShopFaults(client, domain)
	}
	lost := on(faults.WebhooksLost, 0)
	o.Clerk.Switch(func(s *clerk.Switches) {
		s.Down, s.Slow, s.WebhooksLost = on(faults.ClerkDown, 0), o.slow(on(faults.ClerkSlow, 0)), lost
	})
	forged := on(faults.ClerkAcceptsForged, 0)
	o.Verifier.Switch(func(m *clerk.Mistakes) { m.AcceptTampered, m.AcceptUnknownKey = forged, forged })
	full, broken := on(faults.MandrillBacklog, 0), on(faults.DomainBroken, 0)
	o.Mandrill.Switch(func(s *mandrill.Switches) {
		s.Down, s.QuotaUsedUp, s.Backlog, s.Bouncing = on(faults.MandrillDown, 0), full, 0, usualBounces
		if full {
			s.Backlog = backlog
		}
		if broken {
			s.Bouncing = domainBounces
		}
		if on(faults.MailBouncing, 0) {
			s.Bouncing = manyBounces
		}
	})
	problem := ""
	if lost {
		problem = "POST failed: no answer"
	}
	o.logError(o.Mandrill.FailWebhook(o.mailHook, problem))
	for _, mechanism := range []string{"spf", "dkim"} {
		o.logError(o.Mandrill.BreakDomain(sendingDomain, mechanism, broken))
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
	on := func(fault string) bool { return o.faults.IsOn(fault, client) }
	var lost []string
	if on(faults.ShopifyOrdersLost) {
		lost = []string{"orders/create"}
	}
	if on(faults.WebhooksLost) {
		lost = []string{shopify.AllTopics}
	}
	removed := on(faults.WebhookSubscriptionRemoved)
	ordersLost := len(lost) > 0 || removed
	o.setOrdersLost(client, ordersLost, false)
	o.logError(o.Shopify.Switch(domain, func(s *shopify.Switches) {
		s.Down, s.Slow, s.Throttled, s.TokenExpired, s.LostTopics = on(faults.ShopifyDown), o.slow(on(faults.ShopifySlow)), on(faults.ShopifyThrottled), on(faults.ShopifyTokenExpired), lost
	}))
	o.mu.Lock()
	was := o.unsubscribed[client]
	o.unsubscribed[client] = removed
	o.mu.Unlock()
	switch {
	case removed && !was:
		o.logError(o.unsubscribe(domain))
	case !removed && was:
		o.logError(o.subscribe(domain, OrdersTopic))
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

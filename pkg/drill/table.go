package drill

import (
	"slices"
	"strings"
)

// All marks a fault that concerns the whole platform.
const All = -1

// Fault says which alerts, of all priorities, a fault of the simulated platform fires, as "alertname client subject"; @ is the fault's client, and * any
// ending.
type Fault struct {
	Name   string
	Client int // index of the client, or All
	// Fires are those that must fire, in the order of what the fault is for.
	Fires []string
	// May are those that follow from it, and may or may not get over their threshold in time. So may those that are milder, see Milder.
	May []string
	// Outage says that it takes away what everybody needs, and that its alerts explain those of others: a drill begins when no other one runs.
	Outage bool
}

// Of fills the fault's client into an alert of the table.
func (f *Fault) Of(clients []string, alert string) string {
	if f.Client == All {
		return alert
	}
	return strings.ReplaceAll(alert, "@", f.ClientOf(clients))
}

// ClientOf is the fault's client on a platform with these; on one with fewer than the table knows of, faults share clients.
func (f *Fault) ClientOf(clients []string) string { return clients[f.Client%len(clients)] }

// Matches reports whether an alert, "alertname client subject", is the one of a pattern.
func Matches(pattern, alert string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return pattern == alert || open && strings.HasPrefix(alert, prefix)
}

// lateOrders are what orders that got lost may fire when they are imported, the more the more there are.
func lateOrders() []string {
	return []string{"OrderImportsDelayed _platform order_import", "IntegrationErrorsBurst _platform webhook_miss"}
}

// Turns are the faults with the alerts that they fire. Those of one turn can be on at the same time. Faults without alerts are there because they
// must fire none; sync-stalled and others that take a quarter of an hour are left to the rules' own tests.
func Turns() [][]Fault {
	return [][]Fault{
		{
			{Name: "sold-twice", Client: 0, Fires: []string{"BusinessIntegrityViolation @ sold_twice"}},
			{Name: "negative-slots", Client: 1, Fires: []string{"BusinessIntegrityViolation @ negative_remaining"}},
			{Name: "overbooked-slot", Client: 0, Fires: []string{"BusinessIntegrityViolation @ overbooked_slot"}},
			{Name: "cross-tenant-access", Client: 2, Fires: []string{"SecurityViolation @ cross_tenant_access"}},
			{Name: "state-conflicts", Client: 3, Fires: []string{"StateConflicts @ state_conflict"}, May: []string{"SyncConflicts @ *"}},
			{Name: "validation-storm", Client: 4, Fires: []string{"ValidationFailuresBurst @ validation"}},
			{Name: "malformed-events", Client: 0, Fires: []string{"ConsignwatchRecordsUnreadable _platform *"}},
			{Name: "duplicate-events", Client: 1, May: []string{"DuplicateRecords _platform *", "ConsignwatchStreamBehind _platform consign.commerce"}}, // copies come late
			{Name: "stream-burst", Client: 4},
			{Name: "tickets-piling-up", Client: 2, Fires: []string{"SupportTicketsPilingUp @ tickets"}},
			{
				Name: "shopify-orders-lost", Client: All, Fires: []string{"OrdersMissing *"}, // whoever sells something
				May: lateOrders(),
			},
			{Name: "sale-stalled", Client: 2, May: []string{"SalesBelowExpected @ *", "ListingsBelowExpected @ *"}},
			{Name: "crash-loop", Client: All, Fires: []string{"ComponentCrashLooping _platform worker"}},
			{
				Name: "recoveries-failing", Client: All, Fires: []string{"RecoveriesFailing _platform *", "SystemErrorsBurst _platform queue"},
				May: []string{"JobsFailing _platform *", "DeadLettersGrowing _platform *"}, // retries fail, too
			},
			{
				Name: "backup-missing", Client: All, Fires: []string{"BackupFailed _platform mysql", "BackupFailed _platform redis", "BackupFailed _platform images"},
				May: []string{"JobsFailing _platform report"},
			},
		},
		{
			{
				Name: "errors-burst", Client: 0, Fires: []string{"ClientApiFailing @ requests", "SystemErrorsBurst _platform *", "IntegrationErrorsBurst _platform *"},
				May: []string{"ApiFailing _platform requests"},
			},
			{Name: "checkout-failing", Client: 1, Fires: []string{"CheckoutFailing @ checkout"}, May: []string{"ClientApiFailing @ requests", "ExternalServiceFailing _platform shopify", "IntegrationErrorsBurst _platform api"}},
			{Name: "brute-force", Client: 2, Fires: []string{"SignInAttack _platform sign_in"}, May: []string{"InvalidTokensBurst _platform invalid_signature"}},
			{Name: "dead-letters", Client: All, Fires: []string{"DeadLettersGrowing _platform main/image", "JobsFailing _platform image"}},
			{Name: "cache-evicting", Client: All, Fires: []string{"CacheEvicting _platform cache"}},
			{Name: "disk-filling", Client: All, Fires: []string{"DiskAlmostFull _platform *"}},
			{Name: "slow-queries", Client: All, Fires: []string{"DatabaseSlowQueries _platform main"}, May: []string{"DatabaseSlow _platform queries", "ApiSlow _platform requests", "ConnectionPoolExhausted _platform api"}},
			{Name: "deadlocks", Client: All, Fires: []string{"DatabaseDeadlocks _platform main"}, May: []string{"DatabaseLockWaits _platform main"}},
		},
		{
			{Name: "api-slow", Client: All, Fires: []string{"ApiSlow _platform requests"}, May: []string{"ClientApiSlow *", "WorkerThreadsExhausted _platform api"}},
			{Name: "workers-stopped", Client: All, Fires: []string{"QueueWorkersStopped _platform main/platform-workers"}, May: []string{"QueueBacklog _platform *", "JobsFailing _platform *", "MailDelayed _platform *", "SloTrafficStopped *"}},
			{Name: "certificate-expiring", Client: All, Fires: []string{"CertificateExpiring _platform *"}},
			{Name: "shopify-down", Client: 0, Fires: []string{"ShopUnreachable @ shop"}, May: shopTroubles()},
			{Name: "shopify-token-expired", Client: 1, Fires: []string{"ShopAccessRefused @ access"}, May: shopTroubles()},
			{Name: "webhook-subscription-removed", Client: 2, Fires: []string{"WebhookSubscriptionMissing @ *"}, May: append(lateOrders(), "OrdersMissing @ orders")},
			{Name: "shopify-throttled", Client: 3, Fires: []string{"ShopThrottled @ throttle"}, May: shopTroubles()},
			{Name: "domain-broken", Client: All, Fires: []string{"MailDomainInvalid _platform *"}},
			{Name: "webhook-forged", Client: 4, Fires: []string{"WebhookSignaturesInvalid _platform shopify"}},
		},
		{
			{
				Name: "pool-exhausted", Client: All, Fires: []string{"ConnectionPoolExhausted _platform api"},
				May: outage(),
			},
			{
				Name: "jobs-failing", Client: All, Fires: []string{"JobsFailing _platform *"},
				May: []string{"DeadLettersGrowing _platform *", "RecoveriesFailing _platform retry", "SystemErrorsBurst _platform queue", "WebhooksFailing _platform *", "OrderImportsFailing *", "SyncFailing *", "MailDelayed _platform *", "SloTrafficStopped *"},
			},
			{Name: "clerk-accepts-forged", Client: All, Fires: []string{"ForgedTokenAccepted _platform *"}, May: []string{"SecurityViolation _platform forged_token"}},
		},
		{
			{
				Name: "api-down", Client: All, Outage: true, Fires: []string{"PlatformUnreachable _platform storefront"},
				May: outage("ApiTrafficStopped _platform traffic", "ComponentCrashLooping _platform api"),
			},
			{
				Name: "database-read-only", Client: All, Outage: true, Fires: []string{"DatabaseReadOnly _platform main"},
				May: outage(),
			},
			{Name: "cache-down", Client: All, Outage: true, Fires: []string{"CacheDown _platform cache"}, May: []string{"CacheFailing _platform operations", "SystemErrorsBurst _platform cache"}},
			{
				Name: "clerk-down", Client: All, Outage: true, Fires: []string{"ClerkDown _platform clerk"},
				May: []string{"AuthenticationFailing _platform requests", "ExternalServiceFailing _platform clerk", "IntegrationErrorsBurst _platform *", "ClerkSlow _platform clerk", "ExternalServiceSlow _platform clerk"},
			},
			{
				Name: "mandrill-down", Client: All, Outage: true, Fires: []string{"MandrillDown _platform mandrill"},
				May: []string{"ExternalServiceFailing _platform mandrill", "JobsFailing _platform email", "IntegrationErrorsBurst _platform *", "ExternalServiceSlow _platform mandrill", "MailDelayed _platform *", "RecoveriesFailing _platform *", "SloTrafficStopped _platform mail_delivery"},
			},
		},
		{
			{Name: "mandrill-backlog", Client: All, Fires: []string{"MailBacklog _platform backlog"}, May: []string{"MailDelayed _platform *", "SloTrafficStopped _platform mail_delivery", "ExternalServiceFailing _platform mandrill"}},
			{Name: "sync-failing", Client: 1, Fires: []string{"SyncFailing @ *"}, May: []string{"IntegrationErrorsBurst _platform *"}},
			{Name: "webhooks-lost", Client: All, Fires: []string{"OrdersMissing *"}, May: append(lateOrders(), "MailDelayed _platform *", "WebhooksDelayed _platform *", "SloTrafficStopped _platform *", "MailWebhookFailing _platform *")},
			{Name: "shopify-slow", Client: 2, May: slices.Concat(shopTroubles(), []string{"ShopifyDown _platform api"})},
			{Name: "clerk-slow", Client: All, May: []string{"ClerkSlow _platform clerk", "AuthenticationFailing _platform requests", "ExternalServiceSlow _platform clerk", "ExternalServiceFailing _platform clerk", "ClerkDown _platform clerk"}},
			{Name: "mail-bouncing", Client: All, May: []string{"MailBouncing _platform bounces"}},
			{Name: "signing-key-rotated", Client: All, May: []string{"SigningKeysChanged _platform signing_keys", "ValidTokensRefused _platform token", "InvalidTokensBurst _platform invalid_signature", "AuthenticationFailing _platform requests"}},
		},
		{ // the last one: what was told while the broker was away is counted when it is back
			{
				Name: "database-down", Client: All, Outage: true, Fires: []string{"DatabaseDown _platform main", "ClientSaleAffected *"},
				May: outage(),
			},
			{
				Name: "shopify-down", Client: All, Outage: true, Fires: []string{"ShopifyDown _platform api", "ClientSaleAffected *"},
				May: []string{"ShopUnreachable *", "ShopSlow *", "SyncFailing *", "ExternalServiceFailing _platform shopify", "ExternalServiceSlow _platform shopify", "IntegrationErrorsBurst _platform *"},
			},
			{
				Name: "broker-restart", Client: All, Outage: true, Fires: []string{"QueueBrokerDown _platform main"},
				May: []string{"ApiTrafficStopped _platform traffic", "ConsignwatchStreamBehind _platform *", "ConsignwatchStreamStopped _platform *", "QueueBacklog _platform *", "QueueWorkersStopped _platform *", "MailDelayed _platform *", "WebhooksDelayed _platform *", "OrderImportsDelayed _platform *", "SloTrafficStopped *"},
			},
		},
	}
}

// Told are the alerts that any fault may fire: client admins are told of whatever hits all of them.
func Told() []string { return []string{"ClientSaleAffected *"} }

// outage are what may follow for everybody while the API or the database does not do its work, and the given ones.
func outage(more ...string) []string {
	return append(more,
		"PlatformUnreachable _platform storefront", "ApiFailing _platform requests", "ApiSlow _platform requests", "ClientApiFailing *", "ClientApiSlow *",
		"CheckoutFailing *", "SystemErrorsBurst _platform *", "RecoveriesFailing _platform *", "SloTrafficStopped *",
		"DatabaseQueriesFailing _platform failures", "DatabaseSlow _platform queries", "ConnectionPoolExhausted _platform *", "WorkerThreadsExhausted _platform *",
	)
}

// shopTroubles are what may follow for a client whose shop cannot be used.
func shopTroubles() []string {
	return []string{
		"CheckoutFailing @ checkout", "ProcessesFailing @ *", "SyncFailing @ *", "ClientApiFailing @ requests", "ShopSlow @ shop", "ShopUnreachable @ shop", "ShopThrottled @ throttle",
		"JobsFailing _platform sync", "ExternalServiceFailing _platform shopify", "ExternalServiceSlow _platform shopify", "IntegrationErrorsBurst _platform *", "RecoveriesFailing _platform *", "SloTrafficStopped *",
	}
}

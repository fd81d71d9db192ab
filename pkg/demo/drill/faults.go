package drill

import (
	"slices"
	"strings"
)

// AllClients is the Client of a fault of the whole platform.
const AllClients = -1

// Fault lists which alerts, of all priorities, a fault of the simulated platform fires, as patterns "alertname client subject": @ stands for the
// fault's client, and a final * for anything.
type Fault struct {
	Name   string
	Client int // index of the client, or AllClients
	// MustFire are the alerts that must fire. The first is the alert that the fault is made for.
	MustFire []string
	// MayFire are alerts of P0 and P1 that may also fire, if they pass their threshold in time; see Allowed.
	MayFire []string
	// Recording is the recorded incident of the fault, which says what else may fire. Empty: there is none.
	Recording string
	// Outage says that the fault affects the whole platform, and that its alerts inhibit those of other faults: its drill runs when no other one does.
	Outage bool

	lower []string // P2 and P3 alerts that fire in the recording
}

// Pattern replaces @ in a pattern of the table by the fault's client.
func (f *Fault) Pattern(clients []string, alert string) string {
	if f.Client == AllClients {
		return alert
	}
	return strings.ReplaceAll(alert, "@", f.ClientOf(clients))
}

// ClientOf is the fault's client on a platform with these clients. On a platform with fewer clients than the table has, faults share clients.
func (f *Fault) ClientOf(clients []string) string { return clients[f.Client%len(clients)] }

// Matches reports whether an alert, "alertname client subject", matches a pattern.
func Matches(pattern, alert string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return pattern == alert || open && strings.HasPrefix(alert, prefix)
}

// lateOrderAlerts are the alerts that lost orders may fire when they are imported late.
func lateOrderAlerts() []string {
	return []string{"OrderImportsDelayed _platform order_import", "IntegrationErrorsBurst _platform webhook_miss"}
}

// table lists the faults in batches, with what no recording shows: the alerts that a fault is made for, and of a fault with a recording those that may fire beside
// other faults. Faults without alerts are in the table because they must not fire any. Faults whose alerts take a quarter of an hour, such as sync-stalled, are left
// to the rules' own tests.
func table() [][]Fault {
	return [][]Fault{
		{
			{Name: "sold-twice", Client: 0, MustFire: []string{"BusinessIntegrityViolation @ sold_twice"}},
			{Name: "negative-slots", Client: 1, MustFire: []string{"BusinessIntegrityViolation @ negative_remaining"}},
			{Name: "overbooked-slot", Client: 0, MustFire: []string{"BusinessIntegrityViolation @ overbooked_slot"}},
			{Name: "cross-tenant-access", Client: 2, MustFire: []string{"SecurityViolation @ cross_tenant_access"}},
			{Name: "state-conflicts", Client: 3, MustFire: []string{"StateConflicts @ state_conflict"}, MayFire: []string{"SyncConflicts @ *"}},
			{Name: "validation-storm", Client: 4, MustFire: []string{"ValidationFailuresBurst @ validation"}},
			{Name: "malformed-events", Client: 0, MustFire: []string{"ConsignwatchRecordsUnreadable _platform *"}},
			{Name: "duplicate-events", Client: 1, MayFire: []string{"DuplicateRecords _platform *", "ConsignwatchStreamBehind _platform consign.commerce", "QueueBacklog _platform main/consignwatch-events/consign.commerce"}}, // copies come late, with the time of the original
			{Name: "stream-burst", Client: 4},
			{Name: "tickets-piling-up", Client: 2, MustFire: []string{"SupportTicketsPilingUp @ tickets"}},
			{
				Name: "shopify-orders-lost", Recording: "orders-lost", Client: AllClients, MustFire: []string{"OrdersMissing *"}, // of any client with sales
				MayFire: lateOrderAlerts(),
			},
			{Name: "sale-stalled", Client: 2, MayFire: []string{"SalesBelowExpected @ *", "ListingsBelowExpected @ *"}},
			{Name: "crash-loop", Client: AllClients, MustFire: []string{"ComponentCrashLooping _platform worker"}},
			{
				Name: "recoveries-failing", Client: AllClients, MustFire: []string{"RecoveriesFailing _platform *", "SystemErrorsBurst _platform queue"},
				MayFire: []string{"JobsFailing _platform *", "DeadLettersGrowing _platform *"}, // retries fail, too
			},
			{
				Name: "backup-missing", Client: AllClients, MustFire: []string{"BackupFailed _platform mysql", "BackupFailed _platform redis", "BackupFailed _platform images"},
				MayFire: []string{"JobsFailing _platform report"},
			},
		},
		{
			{
				Name: "errors-burst", Client: 0, MustFire: []string{"ClientApiFailing @ requests", "SystemErrorsBurst _platform *", "IntegrationErrorsBurst _platform *"},
				MayFire: []string{"ApiFailing _platform requests"},
			},
			{Name: "checkout-failing", Recording: "checkout-failing", Client: 1, MustFire: []string{"CheckoutFailing @ checkout"}},
			{Name: "brute-force", Client: 2, MustFire: []string{"SignInAttack _platform sign_in"}, MayFire: []string{"InvalidTokensBurst _platform invalid_signature"}},
			{Name: "dead-letters", Client: AllClients, MustFire: []string{"DeadLettersGrowing _platform main/image", "JobsFailing _platform image"}},
			{Name: "cache-evicting", Client: AllClients, MustFire: []string{"CacheEvicting _platform cache"}},
			{Name: "disk-filling", Recording: "disk-filling", Client: AllClients, MustFire: []string{"DiskAlmostFull _platform *"}},
			{Name: "slow-queries", Client: AllClients, MustFire: []string{"DatabaseSlowQueries _platform main"}, MayFire: []string{"DatabaseSlow _platform queries", "ApiSlow _platform requests", "ConnectionPoolExhausted _platform api"}},
			{Name: "deadlocks", Client: AllClients, MustFire: []string{"DatabaseDeadlocks _platform main"}, MayFire: []string{"DatabaseLockWaits _platform main"}},
		},
		{
			{Name: "api-slow", Client: AllClients, MustFire: []string{"ApiSlow _platform requests"}, MayFire: []string{"ClientApiSlow *", "WorkerThreadsExhausted _platform api"}},
			{Name: "workers-stopped", Client: AllClients, MustFire: []string{"QueueWorkersStopped _platform main/platform-workers"}, MayFire: []string{"QueueBacklog _platform *", "JobsFailing _platform *", "MailDelayed _platform *", "SloTrafficStopped *"}},
			{Name: "certificate-expiring", Client: AllClients, MustFire: []string{"CertificateExpiring _platform *"}},
			{Name: "shopify-down", Client: 0, MustFire: []string{"ShopUnreachable @ shop"}, MayFire: shopAlerts()},
			{Name: "shopify-token-expired", Recording: "shop-access-refused", Client: 1, MustFire: []string{"ShopAccessRefused @ access"}, MayFire: shopAlerts()},
			{Name: "webhook-subscription-removed", Client: 2, MustFire: []string{"WebhookSubscriptionMissing @ *"}, MayFire: append(lateOrderAlerts(), "OrdersMissing @ orders")},
			{Name: "shopify-throttled", Client: 3, MustFire: []string{"ShopThrottled @ throttle"}, MayFire: shopAlerts()},
			{Name: "domain-broken", Client: AllClients, MustFire: []string{"MailDomainInvalid _platform *"}},
			{Name: "webhook-forged", Recording: "webhooks-forged", Client: 4, MustFire: []string{"WebhookSignaturesInvalid _platform shopify"}},
		},
		{
			{
				Name: "pool-exhausted", Client: AllClients, MustFire: []string{"ConnectionPoolExhausted _platform api"},
				MayFire: outageAlerts(),
			},
			{
				Name: "jobs-failing", Client: AllClients, MustFire: []string{"JobsFailing _platform *"},
				MayFire: []string{"DeadLettersGrowing _platform *", "RecoveriesFailing _platform retry", "SystemErrorsBurst _platform queue", "WebhooksFailing _platform *", "OrderImportsFailing *", "SyncFailing *", "MailDelayed _platform *", "SloTrafficStopped *"},
			},
			{Name: "clerk-accepts-forged", Client: AllClients, MustFire: []string{"ForgedTokenAccepted _platform *"}, MayFire: []string{"SecurityViolation _platform forged_token"}},
		},
		{
			{
				Name: "api-down", Recording: "platform-unreachable", Client: AllClients, Outage: true, MustFire: []string{"PlatformUnreachable _platform storefront"},
				MayFire: outageAlerts("ComponentCrashLooping _platform api"),
			},
			{
				Name: "database-read-only", Client: AllClients, Outage: true, MustFire: []string{"DatabaseReadOnly _platform main"},
				MayFire: outageAlerts(),
			},
			{Name: "cache-down", Client: AllClients, Outage: true, MustFire: []string{"CacheDown _platform cache"}, MayFire: []string{"CacheFailing _platform operations", "SystemErrorsBurst _platform cache"}},
			{
				Name: "clerk-down", Recording: "clerk-down", Client: AllClients, Outage: true, MustFire: []string{"ClerkDown _platform clerk"},
				MayFire: []string{"IntegrationErrorsBurst _platform *", "ClerkSlow _platform clerk", "ExternalServiceSlow _platform clerk"},
			},
			{
				Name: "mandrill-down", Recording: "mandrill-down", Client: AllClients, Outage: true, MustFire: []string{"MandrillDown _platform mandrill"},
				MayFire: []string{"IntegrationErrorsBurst _platform *", "ExternalServiceSlow _platform mandrill", "RecoveriesFailing _platform *"},
			},
		},
		{
			{Name: "mandrill-backlog", Client: AllClients, MustFire: []string{"MailBacklog _platform backlog"}, MayFire: []string{"MailDelayed _platform *", "SloTrafficStopped _platform mail_delivery", "ExternalServiceFailing _platform mandrill"}},
			{Name: "sync-failing", Client: 1, MustFire: []string{"SyncFailing @ *"}, MayFire: []string{"IntegrationErrorsBurst _platform *"}},
			{Name: "webhooks-lost", Client: AllClients, MustFire: []string{"OrdersMissing *"}, MayFire: append(lateOrderAlerts(), "MailDelayed _platform *", "WebhooksDelayed _platform *", "SloTrafficStopped _platform *", "MailWebhookFailing _platform *")},
			{Name: "shopify-slow", Client: 2, MayFire: slices.Concat(shopAlerts(), []string{"ShopifyDown _platform api"})},
			{Name: "clerk-slow", Client: AllClients, MayFire: []string{"ClerkSlow _platform clerk", "AuthenticationFailing _platform requests", "ExternalServiceSlow _platform clerk", "ExternalServiceFailing _platform clerk", "ClerkDown _platform clerk"}},
			{Name: "mail-bouncing", Client: AllClients, MayFire: []string{"MailBouncing _platform bounces"}},
			{Name: "signing-key-rotated", Client: AllClients, MayFire: []string{"SigningKeysChanged _platform signing_keys", "ValidTokensRefused _platform token", "InvalidTokensBurst _platform invalid_signature", "AuthenticationFailing _platform requests"}},
		},
		{ // the last one: events of the time without a broker are counted when it is back
			{
				Name: "database-down", Recording: "database-down", Client: AllClients, Outage: true, MustFire: []string{"DatabaseDown _platform main", "ClientSaleAffected *"},
				MayFire: outageAlerts(),
			},
			{
				Name: "shopify-down", Recording: "shopify-down", Client: AllClients, Outage: true, MustFire: []string{"ShopifyDown _platform api", "ClientSaleAffected *"},
				MayFire: []string{"ShopSlow *", "ExternalServiceSlow _platform shopify"},
			},
			{
				Name: "broker-restart", Recording: "broker-down", Client: AllClients, Outage: true, MustFire: []string{"QueueBrokerDown _platform main"},
				MayFire: []string{"ApiTrafficStopped _platform traffic", "ConsignwatchStreamStopped _platform *", "QueueBacklog _platform *", "QueueWorkersStopped _platform *", "WebhooksDelayed _platform *", "SloTrafficStopped *"},
			},
		},
	}
}

// AlwaysAllowed are the alerts that any fault may fire: client admins are notified of every outage of the platform.
func AlwaysAllowed() []string { return []string{"ClientSaleAffected *"} }

// outageAlerts are the alerts that may fire for any client while the API or the database does not work, and the given ones.
func outageAlerts(specific ...string) []string {
	return append(specific,
		"PlatformUnreachable _platform storefront", "ApiFailing _platform requests", "ApiSlow _platform requests", "ClientApiFailing *", "ClientApiSlow *",
		"CheckoutFailing *", "SystemErrorsBurst _platform *", "RecoveriesFailing _platform *", "SloTrafficStopped *",
		"DatabaseQueriesFailing _platform failures", "DatabaseSlow _platform queries", "ConnectionPoolExhausted _platform *", "WorkerThreadsExhausted _platform *",
	)
}

// shopAlerts are the alerts that may fire for a client whose shop does not work.
func shopAlerts() []string {
	return []string{
		"CheckoutFailing @ checkout", "ProcessesFailing @ *", "SyncFailing @ *", "ClientApiFailing @ requests", "ShopSlow @ shop", "ShopUnreachable @ shop", "ShopThrottled @ throttle",
		"JobsFailing _platform sync", "ExternalServiceFailing _platform shopify", "ExternalServiceSlow _platform shopify", "IntegrationErrorsBurst _platform *", "RecoveriesFailing _platform *", "SloTrafficStopped *",
	}
}

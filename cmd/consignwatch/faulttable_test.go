package main

import "slices"

// all marks a fault that concerns the whole platform.
const all = -1

// faultTurns are the faults with the alerts of P0 and P1 that they fire. Those of one turn are on at the same time. Faults without
// alerts are there because they must fire none; sync-stalled and others that take a quarter of an hour are left to the rules' own tests.
func faultTurns() [][]faultAlerts {
	return [][]faultAlerts{
		{
			{fault: "sold-twice", client: 0, fires: []string{"BusinessIntegrityViolation @ sold_twice"}},
			{fault: "negative-slots", client: 1, fires: []string{"BusinessIntegrityViolation @ negative_remaining"}},
			{fault: "overbooked-slot", client: 0, fires: []string{"BusinessIntegrityViolation @ overbooked_slot"}},
			{fault: "cross-tenant-access", client: 2, fires: []string{"SecurityViolation @ cross_tenant_access"}},
			{fault: "state-conflicts", client: 3, fires: []string{"StateConflicts @ state_conflict"}, may: []string{"SyncConflicts @ *"}},
			{fault: "validation-storm", client: 4},
			{fault: "malformed-events", client: 0},
			{fault: "duplicate-events", client: 1},
			{fault: "stream-burst", client: 4},
			{fault: "tickets-piling-up", client: 2},
			{fault: "shopify-orders-lost", client: all, fires: []string{"OrdersMissing *"}}, // whoever sells something
			{fault: "sale-stalled", client: 2},
			{fault: "crash-loop", client: all, fires: []string{"ComponentCrashLooping _platform worker"}},
			{
				fault: "recoveries-failing", client: all, fires: []string{"RecoveriesFailing _platform *", "SystemErrorsBurst _platform queue"},
				may: []string{"JobsFailing _platform *", "DeadLettersGrowing _platform *"}, // retries fail, too
			},
			{
				fault: "backup-missing", client: all, fires: []string{"BackupFailed _platform mysql", "BackupFailed _platform redis", "BackupFailed _platform images"},
				may: []string{"JobsFailing _platform report"},
			},
		},
		{
			{
				fault: "errors-burst", client: 0, fires: []string{"ClientApiFailing @ requests", "SystemErrorsBurst _platform *", "IntegrationErrorsBurst _platform *"},
				may: []string{"ApiFailing _platform requests"},
			},
			{fault: "checkout-failing", client: 1, fires: []string{"CheckoutFailing @ checkout"}, may: []string{"ClientApiFailing @ requests", "ExternalServiceFailing _platform shopify", "IntegrationErrorsBurst _platform api"}},
			{fault: "brute-force", client: 2, fires: []string{"SignInAttack _platform sign_in"}, may: []string{"InvalidTokensBurst _platform invalid_signature"}},
			{fault: "dead-letters", client: all, fires: []string{"DeadLettersGrowing _platform main/image", "JobsFailing _platform image"}},
			{fault: "cache-evicting", client: all, fires: []string{"CacheEvicting _platform cache"}},
			{fault: "disk-filling", client: all, fires: []string{"DiskAlmostFull _platform *"}},
			{fault: "slow-queries", client: all, fires: []string{"DatabaseSlowQueries _platform main"}, may: []string{"DatabaseSlow _platform queries", "ApiSlow _platform requests"}},
			{fault: "deadlocks", client: all, fires: []string{"DatabaseDeadlocks _platform main"}, may: []string{"DatabaseLockWaits _platform main"}},
		},
		{
			{fault: "api-slow", client: all, fires: []string{"ApiSlow _platform requests"}, may: []string{"ClientApiSlow *", "WorkerThreadsExhausted _platform api"}},
			{fault: "workers-stopped", client: all, fires: []string{"QueueWorkersStopped _platform main/platform-workers"}, may: []string{"QueueBacklog _platform *", "JobsFailing _platform *", "SloTrafficStopped *"}},
			{fault: "certificate-expiring", client: all},
			{fault: "shopify-down", client: 0, fires: []string{"ShopUnreachable @ shop"}, may: shopTroubles()},
			{fault: "shopify-token-expired", client: 1, fires: []string{"ShopAccessRefused @ access"}, may: shopTroubles()},
			{fault: "webhook-subscription-removed", client: 2, fires: []string{"WebhookSubscriptionMissing @ *"}, may: []string{"OrdersMissing @ orders"}},
			{fault: "shopify-throttled", client: 3, fires: []string{"ShopThrottled @ throttle"}, may: shopTroubles()},
			{fault: "domain-broken", client: all, fires: []string{"MailDomainInvalid _platform *"}},
			{fault: "webhook-forged", client: 4, fires: []string{"WebhookSignaturesInvalid _platform shopify"}},
		},
		{
			{
				fault: "pool-exhausted", client: all, fires: []string{"ConnectionPoolExhausted _platform api"},
				may: outage(),
			},
			{
				fault: "jobs-failing", client: all, fires: []string{"JobsFailing _platform *"},
				may: []string{"DeadLettersGrowing _platform *", "RecoveriesFailing _platform retry", "SystemErrorsBurst _platform queue", "WebhooksFailing _platform *", "OrderImportsFailing *", "SyncFailing *", "MailDelayed _platform *", "SloTrafficStopped *"},
			},
			{fault: "clerk-accepts-forged", client: all, fires: []string{"ForgedTokenAccepted _platform *"}, may: []string{"SecurityViolation _platform forged_token"}},
		},
		{
			{
				fault: "api-down", client: all, fires: []string{"PlatformUnreachable _platform storefront"},
				may: outage("ApiTrafficStopped _platform traffic", "ComponentCrashLooping _platform api"),
			},
			{
				fault: "database-read-only", client: all, fires: []string{"DatabaseReadOnly _platform main"},
				may: outage(),
			},
			{fault: "cache-down", client: all, fires: []string{"CacheDown _platform cache"}, may: []string{"CacheFailing _platform operations", "SystemErrorsBurst _platform cache"}},
			{
				fault: "clerk-down", client: all, fires: []string{"ClerkDown _platform clerk"},
				may: []string{"AuthenticationFailing _platform requests", "ExternalServiceFailing _platform clerk", "IntegrationErrorsBurst _platform *", "ClerkSlow _platform clerk", "ExternalServiceSlow _platform clerk"},
			},
			{
				fault: "mandrill-down", client: all, fires: []string{"MandrillDown _platform mandrill"},
				may: []string{"ExternalServiceFailing _platform mandrill", "JobsFailing _platform email", "IntegrationErrorsBurst _platform *", "ExternalServiceSlow _platform mandrill", "MailDelayed _platform *", "RecoveriesFailing _platform *", "SloTrafficStopped _platform mail_delivery"},
			},
		},
		{
			{fault: "mandrill-backlog", client: all, fires: []string{"MailBacklog _platform backlog"}, may: []string{"MailDelayed _platform *", "SloTrafficStopped _platform mail_delivery", "ExternalServiceFailing _platform mandrill"}},
			{fault: "sync-failing", client: 1, fires: []string{"SyncFailing @ *"}, may: []string{"IntegrationErrorsBurst _platform *"}},
			{fault: "webhooks-lost", client: all, fires: []string{"OrdersMissing *"}, may: []string{"OrderImportsDelayed _platform order_import", "MailDelayed _platform *", "WebhooksDelayed _platform *", "SloTrafficStopped _platform *"}},
			{fault: "shopify-slow", client: 2, may: slices.Concat(shopTroubles(), []string{"ShopifyDown _platform api"})},
			{fault: "clerk-slow", client: all, may: []string{"ClerkSlow _platform clerk", "AuthenticationFailing _platform requests", "ExternalServiceSlow _platform clerk", "ExternalServiceFailing _platform clerk", "ClerkDown _platform clerk"}},
			{fault: "mail-bouncing", client: all, may: []string{"MailBouncing _platform bounces"}},
			{fault: "signing-key-rotated", client: all, may: []string{"ValidTokensRefused _platform token", "InvalidTokensBurst _platform invalid_signature", "AuthenticationFailing _platform requests"}},
		},
		{ // the last one: what was told while the broker was away is counted when it is back
			{
				fault: "database-down", client: all, fires: []string{"DatabaseDown _platform main"},
				may: outage(),
			},
			{
				fault: "shopify-down", client: all, fires: []string{"ShopifyDown _platform api"},
				may: []string{"ShopUnreachable *", "ShopSlow *", "SyncFailing *", "ExternalServiceFailing _platform shopify", "ExternalServiceSlow _platform shopify", "IntegrationErrorsBurst _platform *"},
			},
			{
				fault: "broker-restart", client: all, fires: []string{"QueueBrokerDown _platform main"},
				may: []string{"ApiTrafficStopped _platform traffic", "ConsignwatchStreamBehind _platform *", "ConsignwatchStreamStopped _platform *", "QueueBacklog _platform *", "QueueWorkersStopped _platform *", "MailDelayed _platform *", "WebhooksDelayed _platform *", "OrderImportsDelayed _platform *", "SloTrafficStopped *"},
			},
		},
	}
}

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

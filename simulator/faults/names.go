package faults

// The faults.
const (
	SoldTwice         = "sold-twice"
	NegativeSlots     = "negative-slots"
	SyncStalled       = "sync-stalled"
	DatabaseDown      = "database-down"
	ReturnAfterWindow = "return-after-window"
	OverbookedSlot    = "overbooked-slot"
	PaidEarly         = "paid-early"
	TicketsPilingUp   = "tickets-piling-up"
	BackupMissing     = "backup-missing"
	SaleStalled       = "sale-stalled"
)

// The faults of the event stream.
const (
	MalformedEvents   = "malformed-events"
	DuplicateEvents   = "duplicate-events"
	StreamBurst       = "stream-burst"
	BrokerRestart     = "broker-restart"
	ErrorsBurst       = "errors-burst"
	CrashLoop         = "crash-loop"
	CheckoutFailing   = "checkout-failing"
	ValidationStorm   = "validation-storm"
	StateConflicts    = "state-conflicts"
	RecoveriesFailing = "recoveries-failing"
	CrossTenantAccess = "cross-tenant-access"
	BruteForce        = "brute-force"
)

// The faults of the jobs.
const (
	WorkersStopped = "workers-stopped"
	JobsFailing    = "jobs-failing"
	DeadLetters    = "dead-letters"
)

// The faults of the infrastructure.
const (
	APIDown             = "api-down"
	APISlow             = "api-slow"
	PoolExhausted       = "pool-exhausted"
	SlowQueries         = "slow-queries"
	Deadlocks           = "deadlocks"
	DatabaseReadOnly    = "database-read-only"
	CacheDown           = "cache-down"
	CacheEvicting       = "cache-evicting"
	CertificateExpiring = "certificate-expiring"
	DiskFilling         = "disk-filling"
)

// The faults of the external services.
const (
	ShopifyDown                = "shopify-down"
	ShopifySlow                = "shopify-slow"
	ShopifyThrottled           = "shopify-throttled"
	ShopifyTokenExpired        = "shopify-token-expired"
	ShopifyOrdersLost          = "shopify-orders-lost"
	WebhooksLost               = "webhooks-lost"
	WebhookSubscriptionRemoved = "webhook-subscription-removed"
	WebhookForged              = "webhook-forged"
	SyncFailing                = "sync-failing"
	ClerkDown                  = "clerk-down"
	ClerkSlow                  = "clerk-slow"
	ClerkAcceptsForged         = "clerk-accepts-forged"
	SigningKeyRotated          = "signing-key-rotated"
	MandrillDown               = "mandrill-down"
	MandrillBacklog            = "mandrill-backlog"
	MailBouncing               = "mail-bouncing"
	DomainBroken               = "domain-broken"
)

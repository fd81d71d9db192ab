package catalog

// Integration is the exporter of the services that the platform depends on.
const Integration Exporter = "integration-exporter"

// MaxHookTopics is how many topics a shop may be expected to have webhook subscriptions for, and MaxHookTopicLength how long the
// name of one is: the estimate counts on it, and the configuration is refused beyond.
const (
	MaxHookTopics      = 20
	MaxHookTopicLength = 100
)

// ShopifyOutcomes is the closed set of what can become of a request to Shopify.
func ShopifyOutcomes() []string {
	return []string{"ok", "throttled", "auth", "forbidden", "not_found", "frozen", "locked", "server_error", "timeout", "invalid_response", "other"}
}

// ShopifyOperations is the closed set of the exporter's requests to Shopify.
func ShopifyOperations() []string { return []string{"token", "status", "orders", "products"} }

// hookSubscription is a topic that a shop is expected to have a subscription for.
func hookSubscription() Label {
	return Label{Name: "topic", Pattern: `[a-z][a-z0-9_]*/[a-z][a-z0-9_]*`, MaxLength: MaxHookTopicLength, Limit: 1000, Present: MaxHookTopics, Typical: 5}
}

func apiVersion(name string) Label {
	return Label{Name: name, Pattern: `[0-9]{4}-[0-9]{2}|unstable`, MaxLength: 8, Limit: 20, Present: 1}
}

// shopifyBuckets end where Shopify itself gives up. They are few: they are multiplied by the number of clients.
func shopifyBuckets() []float64 { return []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10} }

// shopifyMetrics are the state of the clients' shops: contract section 4, collector shopify.
func shopifyMetrics() []Metric {
	return section("4", Integration, Max, []Metric{
		{Name: "consign_shopify_up", Type: Gauge, Unit: Bool, Labels: []Label{client()},
			Help: "Whether the shop's Admin API answered the last request for its state (1; a rate limit response counts) or not (0)."},
		{Name: "consign_shopify_request_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{client()}, Buckets: shopifyBuckets(),
			Help: "Duration of requests to the shop's Admin API until the whole response was read, whatever its status. A request that times out counts with the time until then."},
		{Name: "consign_shopify_requests_total", Type: Counter, Unit: Count, Labels: []Label{client(), typical(6, oneOf("outcome", ShopifyOutcomes()...))},
			Help: "Requests of the exporter to the shop's Admin API, by outcome."},
		{Name: "consign_shopify_operations_total", Type: Counter, Unit: Count, Labels: []Label{oneOf("operation", ShopifyOperations()...), oneOf("outcome", ShopifyOutcomes()...)},
			Help: "Requests of the exporter to the Admin API over all shops, by operation and outcome."},
		{Name: "consign_shopify_throttle_points", Type: Gauge, Unit: Count, Labels: []Label{client(), oneOf("kind", "available", "maximum")},
			Help: "Rate limit of the shop's Admin API, in points: those available after the last query, and the maximum."},
		{Name: "consign_shopify_throttle_restore_points_per_second", Type: Gauge, Unit: Count, Labels: []Label{client()},
			Help: "Points of the rate limit that are restored per second."},
		{Name: "consign_shopify_api_version_info", Type: Gauge, Unit: Info, Labels: []Label{client(), apiVersion("requested"), apiVersion("served")},
			Help: "Version of the Admin API that was requested, and the one that was served: they differ when the requested one is no longer supported. Always 1."},
		{Name: "consign_shopify_token_expiry_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{client()},
			Help: "When the exporter's access token expires, in seconds since 1970. Absent for a token that does not expire, or whose expiry is not known."},
		{Name: "consign_shopify_webhook_subscription", Type: Gauge, Unit: Bool, Labels: []Label{client(), hookSubscription()},
			Help: "Whether the shop has a webhook subscription for the expected topic (1) or not (0)."},
		{Name: "consign_shopify_orders_recent", Type: Gauge, Unit: Count, Labels: []Label{client()},
			Help: "Orders in the shop that were created within the window (24 hours unless set), without test orders and cancelled ones."},
		{Name: "consign_shopify_orders_missing", Type: Gauge, Unit: Count, Labels: []Label{client()},
			Help: "Missing orders: recent orders, older than the grace period, that are not among the client's sales in the platform's database."},
		{Name: "consign_shopify_last_order_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{client()},
			Help: "When the newest order of the shop was created, in seconds since 1970. Absent when the shop has none."},
		{Name: "consign_shopify_products", Type: Gauge, Unit: Count, Labels: []Label{client()},
			Help: "Products in the shop, whatever their status."},
		{Name: "consign_shopify_products_unmatched", Type: Gauge, Unit: Count, Labels: []Label{client()},
			Help: "Products in the shop, older than the grace period, without an item of the client in the platform's database."},
	})
}

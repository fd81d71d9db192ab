package catalog

// Events is the exporter of the platform's event stream.
const Events Exporter = "event-exporter"

// Domains of the labels of platform events: the platform contract, section 1. `client` is never crossed with an open
// label there, so whatever a metric by client has beside it is a closed domain, or belongs to the client.
func openSlug(name string, limit, usual int) Label {
	return Label{Name: name, Pattern: slug, MaxLength: slugLength, Limit: limit, Typical: usual}
}

// openName is a name in the platform's code or in another company's API: orders/create, items.list, mail:welcome.
func openName(name string, limit, usual int) Label {
	return Label{Name: name, Pattern: `[A-Za-z0-9][A-Za-z0-9_.:/-]*`, MaxLength: 100, Limit: limit, Typical: usual}
}

func present(n int, l Label) Label { l.Present = n; return l }

func requestRoute() Label {
	return Label{Name: "route", Pattern: `/[A-Za-z0-9_.:{}*/-]*`, MaxLength: 120, Limit: 60, Typical: 20}
}

func requestMethod() Label {
	// A route has one or two methods.
	return Label{Name: "method", Values: []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}, Present: 2, Typical: 1}
}

func statusCode() Label {
	return Label{Name: "code", Pattern: `[1-5][0-9][0-9]`, MaxLength: 3, Limit: 40, Present: 6, Typical: 4}
}

func statementOperation() Label {
	// A table sees a few of them.
	return Label{Name: "operation", Values: []string{"select", "insert", "update", "delete", "transaction", "call", "ddl"}, Present: 3}
}

func queriedTable() Label    { return openSlug("table", 60, 20) }
func resourcePool() Label    { return openSlug("pool", 20, 3) }
func jobQueue() Label        { return openSlug("queue", 10, 5) }
func platformFeature() Label { return openName("feature", 60, 20) }
func mailTemplate() Label    { return openName("template", 60, 15) }
func platformComponent() Label {
	return openName("component", 40, 10)
}

// jobTask is a kind of job: a queue has a few of the platform's.
func jobTask() Label { return present(8, openName("task", 40, 2)) }

// serviceOperation is an operation on a cache or a service: each has some of the platform's.
func serviceOperation() Label { return present(20, openName("operation", 40, 5)) }

func hookTopic() Label { return openName("topic", 40, 5) }

func calledService() Label {
	return typical(3, oneOf("service", "shopify", "clerk", "mandrill", "storage"))
}

func hookProvider() Label { return oneOf("provider", "shopify", "clerk", "mandrill") }

func callOutcome() Label { return typical(2, oneOf("outcome", "ok", "error", "timeout", "throttled")) }

func jobOutcome() Label {
	return typical(2, oneOf("outcome", "succeeded", "failed", "retried", "dead"))
}

func authOutcome() Label { return typical(2, oneOf("outcome", "ok", "denied", "error", "timeout")) }

func succeededOrFailed() Label { return oneOf("outcome", "succeeded", "failed") }

func hookReceived() Label {
	return typical(1, oneOf("outcome", "accepted", "invalid_signature", "invalid_payload", "duplicate"))
}

func mailOutcome() Label {
	return typical(4, oneOf("outcome", "queued", "sent", "delivered", "deferred", "hard_bounced", "soft_bounced", "rejected", "complained"))
}

func errorCategory() Label { return oneOf("category", "system", "integration", "business") }

// errorKind depends on the category, which has four of them.
func errorKind() Label {
	return Label{Name: "kind", Present: 4, Typical: 1, Values: []string{
		"crash", "database", "cache", "queue",
		"api", "webhook_miss", "sync", "timeout",
		"validation", "process_violation", "state_conflict", "data_inconsistency"}}
}

func securityViolation() Label {
	return typical(1, oneOf("kind", "cross_tenant_access", "forged_token", "privilege_escalation", "brute_force", "data_export"))
}

func businessProcess() Label {
	return oneOf("process", "intake", "checkout", "reconciliation", "settlement", "pickup")
}

func processOutcome() Label {
	return typical(1, oneOf("outcome", "started", "succeeded", "failed", "violated"))
}

func recordTopic() Label {
	return Label{Name: "topic", Pattern: `[A-Za-z0-9._-]+`, MaxLength: 249, Limit: 20, Typical: 3}
}

// recordPartition comes from Kafka, not from records: it is never folded, because an offset that is missing would cost
// exactness. The limit is what the estimate assumes.
func recordPartition() Label {
	return Label{Name: "partition", Pattern: `[0-9]+`, MaxLength: 10, Limit: 32, Typical: 4}
}

// topicID tells a topic from one of the same name that was made anew.
func topicID() Label {
	return Label{Name: "topic_id", Pattern: `[0-9A-Za-z_-]+`, MaxLength: 36, Limit: 20, Present: 1, Optional: true}
}

// Buckets by purpose. Rules and panels may use each bound.
func requestBuckets() []float64 {
	return []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10}
}

// clientRequestBuckets are fewer: they are multiplied by the number of clients.
func clientRequestBuckets() []float64 { return []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5} }

func queryBuckets() []float64 {
	return []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5}
}

func cacheBuckets() []float64 {
	return []float64{0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1}
}

func callBuckets() []float64 { return []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30} }

func jobBuckets() []float64 {
	return []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300}
}

// waitBuckets are for waiting times in queues and for delays, from half a second to a day.
func waitBuckets() []float64 {
	return []float64{0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400, 86400}
}

func sessionBuckets() []float64 {
	return []float64{30, 60, 300, 600, 1800, 3600, 7200, 14400, 28800}
}

func syncBuckets() []float64 { return []float64{1, 5, 10, 30, 60, 120, 300, 600, 1800} }

// processBuckets reach from a checkout to a reconciliation that takes days.
func processBuckets() []float64 {
	return []float64{1, 5, 30, 60, 300, 900, 3600, 14400, 86400, 604800}
}

// dropOffBuckets have the length of a slot, 15 minutes, as a bound.
func dropOffBuckets() []float64 { return []float64{60, 120, 300, 600, 900, 1200, 1800, 3600} }

func timeToSellBuckets() []float64 {
	const hour, day = 3600, 86400
	return []float64{hour, 4 * hour, 12 * hour, day, 2 * day, 3 * day, 5 * day, 7 * day, 14 * day}
}

// amountBuckets are in major units, and fit currencies like the dollar.
func amountBuckets() []float64 { return []float64{5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000} }

// eventMetrics are the metrics of the platform's event stream: contract section 1. Each replica counts the partitions that
// it owns, so that replicas add up.
func eventMetrics() []Metric {
	currencies := currency()
	currencies.Present, currencies.Typical = 0, 1
	return section("1", Events, Sum, append([]Metric{
		// Requests.
		{Name: "consign_api_requests_total", Type: Counter, Unit: Count, Labels: []Label{requestRoute(), requestMethod(), statusCode()},
			Help: "Requests to the platform's API by route, method and status code."},
		{Name: "consign_api_request_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{requestRoute()}, Buckets: requestBuckets(),
			Help: "Duration of requests to the platform's API, by route."},
		{Name: "consign_client_api_requests_total", Type: Counter, Unit: Count, Labels: []Label{client(), typical(3, oneOf("code_class", "1xx", "2xx", "3xx", "4xx", "5xx"))},
			Help: "Requests to the platform's API by client and class of status code."},
		{Name: "consign_client_api_request_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{client()}, Buckets: clientRequestBuckets(),
			Help: "Duration of requests to the platform's API, by client."},

		// Database, threads, cache.
		{Name: "consign_db_queries_total", Type: Counter, Unit: Count, Labels: []Label{statementOperation(), queriedTable(), present(2, oneOf("outcome", "ok", "error", "timeout"))},
			Help: "Database queries of the platform by operation, table and outcome."},
		{Name: "consign_db_query_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{statementOperation(), queriedTable()}, Buckets: queryBuckets(),
			Help: "Duration of database queries of the platform, by operation and table."},
		{Name: "consign_db_pool_connections", Type: Gauge, Unit: Count, Labels: []Label{resourcePool(), oneOf("state", "in_use", "idle")},
			Help: "Connections in the platform's database pools, over all processes that reported in the last two minutes."},
		{Name: "consign_db_pool_max_connections", Type: Gauge, Unit: Count, Labels: []Label{resourcePool()},
			Help: "Maximum size of the platform's database pools, over all processes that reported in the last two minutes."},
		{Name: "consign_worker_threads", Type: Gauge, Unit: Count, Labels: []Label{resourcePool(), oneOf("state", "busy", "idle")},
			Help: "Worker threads of the platform, over all processes that reported in the last two minutes."},
		{Name: "consign_worker_max_threads", Type: Gauge, Unit: Count, Labels: []Label{resourcePool()},
			Help: "Maximum number of worker threads of the platform, over all processes that reported in the last two minutes."},
		{Name: "consign_cache_operations_total", Type: Counter, Unit: Count, Labels: []Label{serviceOperation(), oneOf("result", "hit", "miss", "ok", "error")},
			Help: "Cache operations of the platform by operation and result."},
		{Name: "consign_cache_operation_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{serviceOperation()}, Buckets: cacheBuckets(),
			Help: "Duration of cache operations of the platform, by operation."},

		// Calls to other services.
		{Name: "consign_external_requests_total", Type: Counter, Unit: Count, Labels: []Label{calledService(), serviceOperation(), callOutcome()},
			Help: "Calls of the platform to external services, by service, operation and outcome."},
		{Name: "consign_external_request_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{calledService(), serviceOperation()}, Buckets: callBuckets(),
			Help: "Duration of calls of the platform to external services, by service and operation."},
		{Name: "consign_client_external_requests_total", Type: Counter, Unit: Count, Labels: []Label{client(), calledService(), callOutcome()},
			Help: "Calls of the platform to external services on behalf of a client, by service and outcome."},

		// Jobs.
		{Name: "consign_jobs_total", Type: Counter, Unit: Count, Labels: []Label{jobQueue(), jobTask(), jobOutcome()},
			Help: "Attempts of background jobs that ended, by queue, task and outcome."},
		{Name: "consign_job_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{jobQueue(), jobTask()}, Buckets: jobBuckets(),
			Help: "Duration of background jobs, by queue and task."},
		{Name: "consign_job_wait_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{jobQueue()}, Buckets: waitBuckets(),
			Help: "Queue time of background jobs, by queue."},
		{Name: "consign_client_jobs_total", Type: Counter, Unit: Count, Labels: []Label{client(), jobOutcome()},
			Help: "Attempts of background jobs that ended, by client and outcome."},
		{Name: "consign_client_job_seconds_total", Type: Counter, Unit: Seconds, Labels: []Label{client()},
			Help: "Time that background jobs spent on a client."},

		// Errors and recoveries.
		{Name: "consign_errors_total", Type: Counter, Unit: Count, Labels: []Label{errorCategory(), errorKind(), platformComponent()},
			Help: "Errors that the platform raised, by category, kind and component."},
		{Name: "consign_client_errors_total", Type: Counter, Unit: Count, Labels: []Label{client(), errorCategory(), errorKind()},
			Help: "Errors that the platform raised, by client, category and kind."},
		{Name: "consign_user_errors_total", Type: Counter, Unit: Count, Labels: []Label{platformFeature()},
			Help: "Errors that a user saw, by feature."},
		{Name: "consign_recoveries_total", Type: Counter, Unit: Count, Labels: []Label{oneOf("mechanism", "retry", "fallback", "self_heal", "state_restore"), platformComponent(), succeededOrFailed()},
			Help: "Attempts of the platform to recover by itself, by mechanism, component and outcome."},

		// People.
		{Name: "consign_sessions_started_total", Type: Counter, Unit: Count, Labels: []Label{client(), typical(3, role())},
			Help: "Sessions that began, by client and role."},
		{Name: "consign_sessions_ended_total", Type: Counter, Unit: Count, Labels: []Label{client(), typical(3, role())},
			Help: "Sessions that ended, by client and role."},
		{Name: "consign_session_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{role()}, Buckets: sessionBuckets(),
			Help: "Duration of sessions, by role."},
		{Name: "consign_feature_uses_total", Type: Counter, Unit: Count, Labels: []Label{platformFeature(), typical(3, role())},
			Help: "Uses of a feature of the platform, by feature and role."},
		{Name: "consign_client_feature_uses_total", Type: Counter, Unit: Count, Labels: []Label{client()},
			Help: "Uses of features of the platform, by client."},
		{Name: "consign_security_violations_total", Type: Counter, Unit: Count, Labels: []Label{client(), securityViolation()},
			Help: "Security violations that the platform blocked or detected, by client and kind."},

		// The sale.
		{Name: "consign_orders_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent(), oneOf("channel", "online", "pos")},
			Help: "Orders placed, by client, sale event and channel."},
		{Name: "consign_sales_amount_total", Type: Counter, Unit: Money, Labels: []Label{client(), saleEvent(), currency()},
			Help: "Revenue from orders, in major units of the currency, refunds not deducted."},
		{Name: "consign_order_amount", Type: Histogram, Unit: Money, Labels: []Label{currencies}, Buckets: amountBuckets(),
			Help: "Value of an order, in major units of the currency."},
		{Name: "consign_refunds_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Refunds, by client and sale event."},
		{Name: "consign_refund_reasons_total", Type: Counter, Unit: Count, Labels: []Label{openSlug("reason", 20, 5)},
			Help: "Refunds by reason."},
		{Name: "consign_refunds_amount_total", Type: Counter, Unit: Money, Labels: []Label{client(), saleEvent(), currency()},
			Help: "Amount refunded, in major units of the currency."},
		{Name: "consign_items_listed_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Items listed for sale, by client and sale event."},
		{Name: "consign_items_sold_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent(), oneOf("markdown", "true", "false")},
			Help: "Items sold, by client, sale event, and whether at a reduced price."},
		{Name: "consign_items_returned_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Items that a shopper returned, by client and sale event."},
		{Name: "consign_items_transferred_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Unsold items that moved on to another sale event, by client and the sale event that they left."},
		{Name: "consign_category_items_total", Type: Counter, Unit: Count, Labels: []Label{category(), oneOf("change", "listed", "sold", "returned", "transferred")},
			Help: "Items that changed their state, by category, over all clients."},
		{Name: "consign_item_time_to_sell_seconds", Type: Histogram, Unit: Seconds, Buckets: timeToSellBuckets(),
			Help: "How long items were listed before they sold."},
		{Name: "consign_consignors_registered_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent(), oneOf("type", "regular", "super")},
			Help: "Consignors who registered for a sale event, by client, sale event and type."},
		{Name: "consign_volunteer_signups_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent(), shift()},
			Help: "Volunteers who signed up for a shift, by client, sale event and kind of shift."},
		{Name: "consign_volunteer_cancellations_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Volunteers who cancelled a shift, by client and sale event."},
		{Name: "consign_dropoffs_total", Type: Counter, Unit: Count, Labels: []Label{client(), saleEvent(), oneOf("outcome", "scheduled", "completed", "missed")},
			Help: "Drop-offs of items by consignors, by client, sale event and outcome."},
		{Name: "consign_dropoff_duration_seconds", Type: Histogram, Unit: Seconds, Buckets: dropOffBuckets(),
			Help: "Duration of drop-offs."},

		// Integrations.
		{Name: "consign_webhooks_received_total", Type: Counter, Unit: Count, Labels: []Label{hookProvider(), hookTopic(), hookReceived()},
			Help: "Webhooks that arrived, by provider, topic and outcome."},
		{Name: "consign_webhook_delay_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{hookProvider()}, Buckets: waitBuckets(),
			Help: "Delay between an event at the provider and the arrival of its webhook, by provider."},
		{Name: "consign_client_webhooks_received_total", Type: Counter, Unit: Count, Labels: []Label{client(), hookProvider(), hookReceived()},
			Help: "Webhooks that arrived, by client, provider and outcome."},
		{Name: "consign_webhooks_processed_total", Type: Counter, Unit: Count, Labels: []Label{hookProvider(), hookTopic(), jobOutcome()},
			Help: "Webhooks that were processed, by provider, topic and outcome."},
		{Name: "consign_webhook_processing_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{hookProvider()}, Buckets: jobBuckets(),
			Help: "Duration of webhook processing, by provider."},
		{Name: "consign_client_webhooks_processed_total", Type: Counter, Unit: Count, Labels: []Label{client(), jobOutcome()},
			Help: "Webhooks that were processed, by client and outcome."},
		{Name: "consign_order_imports_total", Type: Counter, Unit: Count, Labels: []Label{client(), succeededOrFailed()},
			Help: "Order imports from Shopify, by client and outcome."},
		{Name: "consign_order_import_delay_seconds", Type: Histogram, Unit: Seconds, Buckets: waitBuckets(),
			Help: "Delay between the creation of an order in Shopify and its import."},
		{Name: "consign_sync_runs_total", Type: Counter, Unit: Count, Labels: []Label{client(), syncKind(), succeededOrFailed()},
			Help: "Shopify sync runs that ended, by client, kind and outcome."},
		{Name: "consign_sync_conflicts_total", Type: Counter, Unit: Count, Labels: []Label{client(), syncKind()},
			Help: "Conflicts found by the Shopify sync, by client and kind."},
		{Name: "consign_sync_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{syncKind()}, Buckets: syncBuckets(),
			Help: "Duration of Shopify sync runs, by kind."},
		{Name: "consign_auth_requests_total", Type: Counter, Unit: Count, Labels: []Label{oneOf("operation", "sign_in", "sign_up", "refresh", "sign_out", "verify"), authOutcome()},
			Help: "Authentication requests by operation and outcome."},
		{Name: "consign_auth_request_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{oneOf("operation", "sign_in", "sign_up", "refresh", "sign_out", "verify")}, Buckets: requestBuckets(),
			Help: "Duration of authentication requests, by operation."},
		{Name: "consign_client_auth_requests_total", Type: Counter, Unit: Count, Labels: []Label{client(), authOutcome()},
			Help: "Authentication requests by client and outcome."},
		{Name: "consign_token_validations_total", Type: Counter, Unit: Count, Labels: []Label{oneOf("result", "valid", "expired", "invalid_signature", "wrong_tenant", "malformed")},
			Help: "Checks of session tokens by result."},
		{Name: "consign_emails_total", Type: Counter, Unit: Count, Labels: []Label{mailTemplate(), mailOutcome()},
			Help: "Emails by template and outcome. One email has several outcomes: queued, sent, delivered."},
		{Name: "consign_client_emails_total", Type: Counter, Unit: Count, Labels: []Label{client(), mailOutcome()},
			Help: "Emails by client and outcome. One email has several outcomes: queued, sent, delivered."},
		{Name: "consign_email_delay_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{oneOf("stage", "sent", "delivered")}, Buckets: waitBuckets(),
			Help: "Delay between the queueing of an email and its sending or delivery."},

		// Processes and programs.
		{Name: "consign_processes_total", Type: Counter, Unit: Count, Labels: []Label{client(), businessProcess(), processOutcome()},
			Help: "Business processes that began, ended or broke a rule, by client, process and outcome."},
		{Name: "consign_process_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{businessProcess()}, Buckets: processBuckets(),
			Help: "Duration of business processes, by process."},
		{Name: "consign_app_starts_total", Type: Counter, Unit: Count, Labels: []Label{platformComponent()},
			Help: "Starts of the platform's processes, by component."},
		{Name: "consign_app_crashes_total", Type: Counter, Unit: Count, Labels: []Label{platformComponent()},
			Help: "Crashes of the platform's processes, by component."},
	}, streamMetrics()...))
}

// RecordOutcomes is the closed set of outcomes of a record.
func RecordOutcomes() []string {
	return []string{"counted", "duplicate", "unknown_type", "malformed", "oversized", "undecodable", "not_utf8"}
}

// Reasons why a metric leaves out a value of an event that is counted otherwise.
const (
	CurrencyLimit = "currency_limit" // an amount in a currency beyond the label's limit: amounts of different currencies are never added
	NotATime      = "not_a_time"     // the event's time is not RFC 3339
	InTheFuture   = "in_the_future"  // the event's time is more than a day ahead
	TooLarge      = "too_large"      // the delay since the event's time is above 10^9 seconds
)

// rejectionReasons is the closed set of reasons of consignwatch_values_rejected_total.
func rejectionReasons() []string { return []string{CurrencyLimit, NotATime, InTheFuture, TooLarge} }

// streamMetrics are the event-exporter's metrics about the stream itself.
func streamMetrics() []Metric {
	return []Metric{
		{Name: "consignwatch_records_total", Type: Counter, Unit: Count, Labels: []Label{recordTopic(), oneOf("outcome", RecordOutcomes()...)},
			Help: "Records of the event stream, by topic and outcome."},
		{Name: "consignwatch_offset", Type: Gauge, Unit: Count, Replicas: Max, Labels: []Label{recordTopic(), recordPartition(), topicID()},
			Help: "First offset of the partition that the values of this same scrape do not include. Absent for a partition that another replica owns. topic_id is Kafka's id of the topic, another one after the topic was made anew; brokers that know none leave it out."},
		{Name: "consignwatch_records_lag", Type: Gauge, Unit: Count, Labels: []Label{recordTopic(), recordPartition()},
			Help: "Consumer lag: records of the partition that are not counted yet."},
		{Name: "consignwatch_record_delay_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{recordTopic()}, Buckets: waitBuckets(),
			Help: "Delay between the time of an event and its counting."},
		{Name: "consignwatch_values_rejected_total", Type: Counter, Unit: Count, Labels: []Label{typical(4, metricLabel()), typical(1, oneOf("reason", rejectionReasons()...))},
			Help: "Values that the metric leaves out although their event is counted, by reason: money in a currency beyond the label's limit, or a time of the event from which no delay can be told."},
		{Name: "consignwatch_last_record_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{recordTopic()},
			Help: "Timestamp of the newest record read."},
		{Name: "consignwatch_offsets_committed_total", Type: Counter, Unit: Count, Labels: []Label{recordTopic(), oneOf("outcome", "succeeded", "failed")},
			Help: "Commits of an offset to Kafka, by topic and outcome."},
		{Name: "consignwatch_rebalances_total", Type: Counter, Unit: Count,
			Help: "Rebalances of the consumer group in which this process took part."},
		{Name: "consignwatch_counters_reset_timestamp_seconds", Type: Gauge, Unit: Timestamp,
			Help: "When the counters of the event stream were last set to 0: at the start, after a reload, or when what was delivered could not be known."},
	}
}

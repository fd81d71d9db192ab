package dashboards

// integrations is about the services that the platform cannot do without.
func integrations() []Dashboard {
	return []Dashboard{shopify(), authentication(), email()}
}

func shopify() Dashboard {
	const of = `client=~"$client"`
	return Dashboard{
		File: "Integrations/shopify.json", UID: "consignwatch-shopify", Title: "Integrations / Shopify",
		Asks: "Do the shops answer, and do orders and products pass between them and the platform? If not, whose shop is it, and what does not pass?", Variables: []string{"client"},
		Alerts: `component=~"shopify|sync|webhooks",client=~"$client|_platform"`,
		Rows: []Row{
			{"Is it well?", []Panel{
				stat(4, "Shops that answer", "percentunit", "Share of the chosen clients' shops that answer our questions.", series(`avg(client:consign_shopify_up:max{`+of+`})`, "shops"), decimals(0)),
				stat(4, "Missing orders", "none", "Orders in the shops, older than the grace period, that the platform does not have: money was taken, and nobody knows for what.",
					series(`sum(max by (client) (consign_shopify_orders_missing{`+of+`}))`, "orders"), badAbove(1, 1), decimals(0)),
				stat(4, "Missing subscriptions", "none", "Webhook subscriptions that shops should have and do not have: the platform hears nothing.",
					series(`count(max by (client, topic) (consign_shopify_webhook_subscription{`+of+`}) == 0) or vector(0)`, "subscriptions"), badAbove(1, 1), decimals(0)),
				stat(4, "Response time", "s", "What 95 of 100 of our own requests to all shops stay below.", series(`platform:consign_shopify_request_duration_seconds:p95_rate10m`, "95 of 100"), decimals(1)),
				stat(4, "From order to platform", "s", "How long after its creation in the shop 95 of 100 orders are recorded, all clients together.", series(`platform:consign_order_import_delay_seconds:p95_rate10m`, "95 of 100"), decimals(1)),
				stat(4, "Items that wait", "none", "Items for sale whose last change has not reached the shop.", series(`sum(max by (client, event) (consign_unsynced_items{`+of+`}))`, "items"), decimals(0)),
			}},
			{"Whose shop?", []Panel{
				table(24, "Shops", "Every shop: whether it answers, how fast, how many of our requests it refuses or throttles, orders that are missing, and when our access ends.", by("client"),
					col(`client:consign_shopify_up:max{`+of+`}`, "Answers", "bool_yes_no", 0),
					col(`client:consign_shopify_request_duration_seconds:p95_rate10m{`+of+`}`, "95 of 100 below", "s", 2),
					trouble(`client:consign_shopify_refusals_per_request:ratio_rate3m{`+of+`}`, "Refused", "percentunit", 0),
					trouble(`client:consign_shopify_throttled_per_request:ratio_rate10m{`+of+`}`, "Throttled", "percentunit", 0),
					col(`max by (client) (consign_shopify_orders_recent{`+of+`})`, "Orders, one day", "none", 0),
					trouble(`max by (client) (consign_shopify_orders_missing{`+of+`})`, "Missing orders", "none", 0),
					col(`max by (client) (consign_shopify_products{`+of+`})`, "Products", "none", 0),
					trouble(`max by (client) (consign_shopify_products_unmatched{`+of+`})`, "Unknown products", "none", 0),
					col(`max by (client) (consign_shopify_token_expiry_timestamp_seconds{`+of+`}) - time()`, "Access ends in", "s", 0),
					sorted("Missing orders"), leads("client", "consignwatch-shopify")),
			}},
			{"Does the API answer?", []Panel{
				graph(12, "Response time by shop", "s", "What 95 of 100 of our own requests stay below, the ten slowest shops, and the strictest limits of the chosen clients.",
					series(`topk(10, client:consign_shopify_request_duration_seconds:p95_rate10m{`+of+`})`, "{{client}}"), clientLimits("shop_latency_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(12, "Our requests by outcome", "reqps", "Our own requests to the chosen shops by how they ended.",
					series(`sum by (outcome) (max by (client, outcome) (rate(consign_shopify_requests_total{`+of+`}[$__rate_interval])))`, "{{outcome}}"), stacked, colours("ok", good)),
				graph(8, "Calls of the platform that fail", "percentunit", "Share of the platform's calls to Shopify that failed, by client.",
					series(orZero(`client_service:consign_external_failures_per_request:ratio_rate5m{service="shopify",`+of+`}`, `client_service:consign_external_requests:rate5m{service="shopify",`+of+`}`), "{{client}}"), decimals(1)),
				graph(8, "Throttled", "percentunit", "Share of our requests that the shop asked to be made later, and the strictest limits of the chosen clients.",
					series(`client:consign_shopify_throttled_per_request:ratio_rate10m{`+of+`}`, "{{client}}"), clientLimits("shop_throttled_ratio"), decimals(0), most(1)),
				graph(8, "Points that are left", "percentunit", "Share of the points for queries that is left. At 0 the shop throttles.",
					series(`max by (client) (consign_shopify_throttle_points{`+of+`,kind="available"}) / on (client) max by (client) (consign_shopify_throttle_points{`+of+`,kind="maximum"})`, "{{client}}"), most(1), decimals(0)),
			}},
			{"Do webhooks arrive?", []Panel{
				graph(8, "Webhooks by outcome", perSecond, "Webhooks of Shopify that arrived for the chosen clients, by what became of them.",
					series(`sum by (outcome) (rate(consign_client_webhooks_received_total{provider="shopify",`+of+`}[$__rate_interval]))`, "{{outcome}}"), stacked, colours("accepted", good, "invalid_signature", bad)),
				graph(8, "Delay of webhooks", "s", "How long after their cause 95 of 100 webhooks arrive, all clients together, and the limits.",
					series(`platform_provider:consign_webhook_delay_seconds:p95_rate10m{provider="shopify"}`, "95 of 100"), limits("webhook_delay_seconds"), logarithmic),
				graph(8, "Webhooks that could not be processed", "percentunit", "Share of the webhooks of Shopify whose processing failed, all clients together, and the limits.",
					series(orZero(`platform_provider:consign_webhook_failures_per_webhook:ratio_rate5m{provider="shopify"}`, `sum by (provider) (platform_provider:consign_webhooks_processed:rate5m{provider="shopify"})`), "failed"), limits("webhook_failure_ratio"), decimals(1)),
			}},
			{"Do orders arrive?", []Panel{
				graph(8, "Orders taken over", perSecond, "Orders of the chosen clients that were taken over from their shops.",
					series(`sum by (outcome) (client:consign_order_imports:rate10m{`+of+`})`, "{{outcome}}"), stacked, colours("succeeded", good, "failed", bad)),
				graph(8, "Delay of orders", "s", "How long after its creation in the shop 95 of 100 orders are recorded, all clients together, and the limits.",
					series(`platform:consign_order_import_delay_seconds:p95_rate10m`, "95 of 100"), limits("order_import_delay_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(8, "Missing orders by client", "none", "Orders in the shop, older than the grace period, that the platform does not have.",
					series(`max by (client) (consign_shopify_orders_missing{`+of+`})`, "{{client}}"), decimals(0), stepped),
			}},
			{"Are products in step?", []Panel{
				graph(8, "Time since the last synchronisation", "s", "How long ago the last synchronisation of each kind succeeded, of the chosen client that waits longest, and the strictest limits.",
					series(`time() - min by (kind) (max by (client, kind) (consign_sync_last_success_timestamp_seconds{`+of+`}))`, "{{kind}}"), clientLimits("sync_age_seconds")),
				graph(8, "Synchronisations that fail", "percentunit", "Share of the runs that failed, by client and kind, of those that have any.",
					series(`client_kind:consign_sync_failures_per_run:ratio_rate30m{`+of+`} > 0`, "{{client}} {{kind}}"), decimals(0), most(1)),
				graph(8, "Items that wait for the shop", "none", "Items for sale whose last change has not reached the shop, by client.",
					series(`sum by (client) (max by (client, event) (consign_unsynced_items{`+of+`}))`, "{{client}}"), decimals(0), stacked),
				graph(8, "Conflicts", perSecond, "Conflicts that the synchronisation found, by kind.", series(`sum by (kind) (rate(consign_sync_conflicts_total{`+of+`}[$__rate_interval]))`, "{{kind}}"), stacked),
				graph(8, "Time of a run", "s", "Mean time of a synchronisation by kind, all clients together.",
					series(`sum by (kind) (rate(consign_sync_duration_seconds_sum[$__rate_interval])) / (sum by (kind) (rate(consign_sync_duration_seconds_count[$__rate_interval])) > 0)`, "{{kind}}")),
				graph(8, "Unknown products", "none", "Products in the shop that belong to no item of the platform.", series(`max by (client) (consign_shopify_products_unmatched{`+of+`})`, "{{client}}"), decimals(0), stepped),
				table(24, "Subscriptions and versions", "Which version of the Admin API each shop was asked with, and which one answered: they differ when the one asked for is not supported any more.",
					rows(`max by (client, requested, served) (consign_shopify_api_version_info{`+of+`})`), high(6)),
			}},
		},
	}
}

func authentication() Dashboard {
	const of = `client=~"$client"`
	return Dashboard{
		File: "Integrations/authentication.json", UID: "consignwatch-auth", Title: "Integrations / Authentication",
		Asks: "Can people sign in, and only they? If not, is it Clerk, is it our keys, or is it an attack?", Variables: []string{"client"},
		Alerts: `component=~"auth|security",client=~"$client|_platform"`,
		Rows: []Row{
			{"Is it well?", []Panel{
				tiles(8, "Now", "Whether Clerk answers our questions; time and failures of sign-ins against their limits.",
					series(down(`platform:consign_clerk_up:max`), "Clerk"),
					series(state(`platform:consign_auth_request_duration_seconds:p95_rate5m`, "auth_latency_seconds"), "time"),
					series(state(authFailures(), "auth_failure_ratio"), "failures"), named),
				stat(4, "Forged tokens", "none", "What the last test with forged, expired and foreign tokens said: each must be refused.",
					value(`min(consign_clerk_token_check{check!="valid_accepted"})`, "tokens"), words("accepted!", bad, "refused", good)),
				stat(4, "Valid tokens", "none", "Whether the last test with a valid token was let in.", value(`min(consign_clerk_token_check{check="valid_accepted"})`, "tokens"), words("refused!", bad, "accepted", good)),
				stat(4, "Requests", "reqps", "Requests for authentication: sign-ins, sign-ups, refreshes, verifications.", series(`platform:consign_auth_requests:rate5m`, "requests"), decimals(1)),
				stat(4, "Refused sign-ins", "percentunit", "Share of the sign-ins that were refused: some are always, many are an attack.", series(`platform:consign_sign_in_denials_per_request:ratio_rate5m`, "refused"), decimals(0)),
			}},
			{"Since when?", []Panel{
				graph(12, "Response time", "s", "What 95 of 100 requests stay below, with the limits, the target of the agreement and the goal.",
					series(`platform:consign_auth_request_duration_seconds:p95_rate5m`, "95 of 100"), limits("auth_latency_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(12, "Failed requests", "percentunit", "Share of the requests that ended with an error or in time-out; refusals are none. And the limits.",
					series(authFailures(), "failed"), limits("auth_failure_ratio"), decimals(1)),
				graph(12, "Requests by operation", "reqps", "Requests for authentication by what was asked for.",
					series(`sum by (operation) (rate(consign_auth_requests_total[$__rate_interval]))`, "{{operation}}"), stacked),
				graph(12, "Requests by outcome", "reqps", "Requests of the chosen clients' people by how they ended.",
					series(`sum by (outcome) (rate(consign_client_auth_requests_total{`+of+`}[$__rate_interval]))`, "{{outcome}}"), stacked, colours("ok", good, "denied", warn, "error", bad, "timeout", strange)),
			}},
			{"Sessions", []Panel{
				graph(8, "Active users by role", "none", "Sessions of the chosen clients that were seen within the last five minutes, by role.",
					series(`sum by (role) (client:consign_active_users:max{`+of+`})`, "{{role}}"), stacked, decimals(0), leads("", "consignwatch-usage")),
				graph(8, "Sessions that begin and end", perMinute, "Sessions of the chosen clients, per minute.",
					series(`60 * sum(rate(consign_sessions_started_total{`+of+`}[$__rate_interval]))`, "begin"), series(`60 * sum(rate(consign_sessions_ended_total{`+of+`}[$__rate_interval]))`, "end")),
				graph(8, "Users in Clerk", "none", "Users who were active within each window, and all there are, over all clients.",
					series(`max by (window) (consign_clerk_active_users)`, "active within {{window}}"), series(`max(consign_clerk_users)`, "all"), decimals(0)),
			}},
			{"Tokens", []Panel{
				graph(12, "Checks of session tokens", perSecond, "Checks of the tokens that come with requests, by result.",
					series(`platform:consign_token_validations:rate5m`, "{{result}}"), stacked, colours("valid", good, "expired", neutral, "invalid_signature", bad, "wrong_tenant", strange, "malformed", warn)),
				states(12, "Tests with tokens of our own", "Whether valid tokens are accepted and all others refused: red is a hole, or a lock-out.",
					series(`1 - min by (check) (consign_clerk_token_check)`, "{{check}}"), words("as it must be", good, "wrong", bad)),
			}},
			{"Is it Clerk, our keys, or an attack?", []Panel{
				graph(8, "Clerk answers us in", "s", "What 95 of 100 of our own requests to Clerk stay below.", series(`platform:consign_clerk_request_duration_seconds:p95_rate10m`, "95 of 100")),
				graph(8, "Our requests to Clerk", "reqps", "Our own requests to Clerk by how they ended.",
					series(`sum by (outcome) (max by (operation, outcome) (rate(consign_clerk_requests_total[$__rate_interval])))`, "{{outcome}}"), stacked, colours("ok", good)),
				graph(8, "Signing keys", "none", "Keys with which tokens may be signed: two while they are rotated.", series(`max(consign_clerk_signing_keys)`, "keys"), decimals(0), stepped),
				graph(12, "Violations of security", perMinute, "What the platform stopped or saw, by kind, per minute.",
					series(`60 * sum by (kind) (rate(consign_security_violations_total{client=~"$client|_platform"}[$__rate_interval]))`, "{{kind}}"), stacked),
				graph(12, "Refused sign-ins over time", "percentunit", "Share of the sign-ins that were refused, all clients together.", series(`platform:consign_sign_in_denials_per_request:ratio_rate5m`, "refused"), decimals(0)),
			}},
		},
	}
}

func email() Dashboard {
	const of = `client=~"$client"`
	return Dashboard{
		File: "Integrations/email.json", UID: "consignwatch-email", Title: "Integrations / Email",
		Asks: "Do mails arrive, and in time? If not, do they wait here, at Mandrill, or do they bounce?", Variables: []string{"client"},
		Alerts: `component="mail",client=~"$client|_platform"`,
		Rows: []Row{
			{"Is it well?", []Panel{
				tiles(8, "Now", "Whether Mandrill answers our questions; delay and failures of mails against their limits.",
					series(down(`platform:consign_mandrill_up:max`), "Mandrill"),
					series(state(`max(platform_stage:consign_email_delay_seconds:p95_rate10m)`, "mail_delay_seconds"), "delay"),
					series(state(mailFailures(), "mail_failure_ratio"), "failures"), named),
				stat(4, "Delivered", perMinute, "Mails that arrived, per minute.", series(`60 * sum(platform:consign_emails:rate10m{outcome="delivered"})`, "delivered"), decimals(1)),
				stat(4, "Did not arrive", "percentunit", "Share of the mails that bounced or were refused, within half an hour.", series(mailFailures(), "failed"), decimals(1)),
				stat(4, "Wait at Mandrill", "none", "Mails that wait because the quota is used up.", series(`max(consign_mandrill_backlog)`, "mails"), decimals(0)),
				stat(4, "Reputation", "percentunit", "How good Mandrill finds us: 75 % and more is good. Below, mail goes to spam.", series(`max(consign_mandrill_reputation{client="_platform"})`, "reputation"), decimals(0)),
			}},
			{"Do they arrive?", []Panel{
				graph(12, "Mails by what became of them", perMinute, "Mails per minute by what became of them. One mail is first queued, then sent, then delivered.",
					series(`60 * sum by (outcome) (platform:consign_emails:rate10m)`, "{{outcome}}"), colours("delivered", good, "hard_bounced", bad, "rejected", strange, "soft_bounced", warn)),
				graph(12, "Mails that do not arrive", "percentunit", "Share of the mails that bounced or were refused, and the limits.",
					series(mailFailures(), "failed"), limits("mail_failure_ratio", "goal", "warning", "sla", "critical"), decimals(1)),
				graph(12, "Mails that do not arrive, by client", "percentunit", "Share of each client's mails that bounced or were refused, the ten worst, and the strictest limits of the chosen clients.",
					series("topk(10, "+orZero(`client:consign_email_failures_per_email:ratio_rate30m{`+of+`}`, `sum by (client) (rate(consign_client_emails_total{`+of+`}[$__rate_interval]))`)+")", "{{client}}"), clientLimits("mail_failure_ratio"), decimals(1)),
				table(12, "Templates", "Mails by template within the period: how many were queued, arrived, and did not.",
					col(`sum by (template) (increase(consign_emails_total{outcome="queued"}[$__range]))`, "Queued", "none", 0),
					col(`sum by (template) (increase(consign_emails_total{outcome="delivered"}[$__range]))`, "Delivered", "none", 0),
					trouble(`sum by (template) (increase(consign_emails_total{outcome=~"hard_bounced|soft_bounced|rejected"}[$__range]))`, "Did not arrive", "none", 0), sorted("Queued")),
			}},
			{"Are they late?", []Panel{
				graph(12, "Delay", "s", "How long after they were queued 95 of 100 mails are sent, and delivered, and the limits.",
					series(`platform_stage:consign_email_delay_seconds:p95_rate10m`, "{{stage}}"), limits("mail_delay_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(12, "Waiting to be sent", "none", "Jobs of the queue of mails that no worker has read, and mails that wait at Mandrill.",
					series(`sum(platform_group:consign_queue_lag_messages:max{topic="jobs.email"})`, "here"), series(`max(consign_mandrill_backlog)`, "at Mandrill"), decimals(0)),
				graph(12, "Use of the hourly quota", "percentunit", "What waits at Mandrill as a share of what it delivers in an hour, and the limits.",
					series(`max(consign_mandrill_backlog) / max(consign_mandrill_hourly_quota)`, "waits"), limits("mail_backlog_ratio"), decimals(0)),
				graph(12, "Attempts of the queue of mails", perMinute, "Attempts to send a mail, per minute, by how they ended.",
					series(`60 * sum by (outcome) (platform_queue:consign_jobs:rate5m{queue="email"})`, "{{outcome}}"), stacked, colours("succeeded", good, "retried", warn, "failed", bad, "dead", strange)),
			}},
			{"Why?", []Panel{
				table(8, "Sending domains", "What Mandrill finds of our domains: 0 is a test that fails, and mail that is not trusted.",
					col(`max by (domain, mechanism) (consign_mandrill_domain_valid)`, "Valid", "bool_yes_no", 0)),
				table(8, "Subaccounts", "The last 30 days of each client's subaccount, and whether it is paused.",
					col(`sum by (client) (max by (client, kind) (consign_mandrill_client_messages{kind="sent",`+of+`}))`, "Sent", "none", 0),
					trouble(`sum by (client) (max by (client, kind) (consign_mandrill_client_messages{kind=~"hard_bounce|soft_bounce|reject",`+of+`}))`, "Did not arrive", "none", 0),
					trouble(`sum by (client) (max by (client, kind) (consign_mandrill_client_messages{kind="complaint",`+of+`}))`, "Complaints", "none", 0),
					col(`max by (client) (consign_mandrill_reputation{`+of+`})`, "Reputation", "percentunit", 0),
					trouble(`max by (client) (consign_mandrill_subaccount_paused{`+of+`})`, "Paused", "bool_yes_no", 0), sorted("Sent"), leads("client", "consignwatch-email")),
				table(8, "Webhooks of Mandrill", "When Mandrill last told us what became of mails, and whether it gave up.",
					trouble(`max by (webhook) (consign_mandrill_webhook_failing)`, "Failing", "bool_yes_no", 0),
					col(`time() - max by (webhook) (consign_mandrill_webhook_last_sent_timestamp_seconds)`, "Last", "s", 0)),
				graph(12, "Messages at Mandrill", perMinute, "What Mandrill counts, per minute.",
					series(`60 * sum by (kind) (max by (kind) (rate(consign_mandrill_messages_total[$__rate_interval])))`, "{{kind}}")),
				graph(12, "Addresses that wait for Mandrill", "none", "Consignors of the chosen clients by the state of the synchronisation of their address.",
					series(`sum by (status) (max by (client, status) (consign_email_address_syncs{`+of+`,status!="completed"}))`, "{{status}}"), decimals(0), colours("failed", bad, "pending", warn)),
			}},
		},
	}
}

package dashboards

// integrations are the dashboards about the external services of the platform.
func integrations() []Dashboard {
	return []Dashboard{shopify(), authentication(), email()}
}

func shopify() Dashboard {
	const of = `client=~"$client"`
	return Dashboard{
		File: "Integrations/shopify.json", UID: "consignwatch-shopify", Title: "Integrations / Shopify",
		Question: "Are the shops up, and are orders and products in sync with them? If not, whose shop is it, and what is out of sync?", Variables: []string{"client"},
		Alerts: `component=~"shopify|sync|webhooks",client=~"$client|_platform"`,
		Rows: []Row{
			{"Status", []Panel{
				stat(4, "Shops up", "percentunit", "Share of the selected clients' shops whose probes succeed.", series(`avg(client:consign_shopify_up:max{`+of+`})`, "shops"), decimals(0)),
				stat(4, "Missing orders", "none", "Orders in the shops, older than the grace period, that the platform does not have: paid for, but unknown to the sale.",
					series(`sum(max by (client) (consign_shopify_orders_missing{`+of+`}))`, "orders"), badAbove(1, 1), decimals(0)),
				stat(4, "Missing subscriptions", "none", "Webhook subscriptions that shops should have and do not have: the platform receives no events.",
					series(`count(max by (client, topic) (consign_shopify_webhook_subscription{`+of+`}) == 0) or vector(0)`, "subscriptions"), badAbove(1, 1), decimals(0)),
				stat(4, "p95 probe latency", "s", "p95 latency of the exporter's probes of all shops.", series(`platform:consign_shopify_request_duration_seconds:p95_rate10m`, "p95"), decimals(1)),
				stat(4, "p95 import delay", "s", "p95 delay from an order's creation in the shop to its import, all clients together.", series(`platform:consign_order_import_delay_seconds:p95_rate10m`, "p95"), decimals(1)),
				stat(4, "Unsynced items", "none", "Items for sale whose last change has not reached the shop.", series(`sum(max by (client, event) (consign_unsynced_items{`+of+`}))`, "items"), decimals(0)),
			}},
			{"Whose shop?", []Panel{
				table(24, "Shops", "Every shop: whether it is up, p95 probe latency, refused and throttled probes, missing orders, and when our access token expires.", rowLabels("client"),
					col(`client:consign_shopify_up:max{`+of+`}`, "Up", "bool_yes_no", 0),
					col(`client:consign_shopify_request_duration_seconds:p95_rate10m{`+of+`}`, "p95 latency", "s", 2),
					alertColumn(`client:consign_shopify_refusals_per_request:ratio_rate3m{`+of+`}`, "Refused", "percentunit", 0),
					alertColumn(`client:consign_shopify_throttled_per_request:ratio_rate10m{`+of+`}`, "Throttled", "percentunit", 0),
					col(`max by (client) (consign_shopify_orders_recent{`+of+`})`, "Orders (24h)", "none", 0),
					alertColumn(`max by (client) (consign_shopify_orders_missing{`+of+`})`, "Missing orders", "none", 0),
					col(`max by (client) (consign_shopify_products{`+of+`})`, "Products", "none", 0),
					alertColumn(`max by (client) (consign_shopify_products_unmatched{`+of+`})`, "Unknown products", "none", 0),
					col(`max by (client) (consign_shopify_token_expiry_timestamp_seconds{`+of+`}) - time()`, "Token expires in", "s", 0),
					sorted("Missing orders"), dataLink("client", "consignwatch-shopify")),
			}},
			{"Does the API answer?", []Panel{
				graph(12, "p95 probe latency by shop", "s", "p95 latency of the exporter's probes, the ten slowest shops, with the strictest thresholds of the selected clients.",
					series(`topk(10, client:consign_shopify_request_duration_seconds:p95_rate10m{`+of+`})`, "{{client}}"), clientThresholdLines("shop_latency_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(12, "Probe requests by outcome", "reqps", "The exporter's requests to the selected shops by outcome.",
					series(`sum by (outcome) (max by (client, outcome) (rate(consign_shopify_requests_total{`+of+`}[$__rate_interval])))`, "{{outcome}}"), stacked, colours("ok", good)),
				graph(8, "Failed platform calls", "percentunit", "Share of the platform's calls to Shopify that failed, by client.",
					series(orZero(`client_service:consign_external_failures_per_request:ratio_rate5m{service="shopify",`+of+`}`, `client_service:consign_external_requests:rate5m{service="shopify",`+of+`}`), "{{client}}"), decimals(1)),
				graph(8, "Throttled", "percentunit", "Share of the exporter's requests that the shop throttled, with the strictest thresholds of the selected clients.",
					series(`client:consign_shopify_throttled_per_request:ratio_rate10m{`+of+`}`, "{{client}}"), clientThresholdLines("shop_throttled_ratio"), decimals(0), axisMax(1)),
				graph(8, "Rate limit remaining", "percentunit", "Share of the shop's query points that remains. At 0 the shop throttles.",
					series(`max by (client) (consign_shopify_throttle_points{`+of+`,kind="available"}) / on (client) max by (client) (consign_shopify_throttle_points{`+of+`,kind="maximum"})`, "{{client}}"), axisMax(1), decimals(0)),
			}},
			{"Do webhooks arrive?", []Panel{
				graph(8, "Webhooks by outcome", perSecond, "Webhooks received from Shopify for the selected clients, by outcome.",
					series(`sum by (outcome) (rate(consign_client_webhooks_received_total{provider="shopify",`+of+`}[$__rate_interval]))`, "{{outcome}}"), stacked, colours("accepted", good, "invalid_signature", bad)),
				graph(8, "p95 webhook delay", "s", "p95 delay from the event to the webhook's arrival, all clients together, with thresholds.",
					series(`platform_provider:consign_webhook_delay_seconds:p95_rate10m{provider="shopify"}`, "p95"), thresholdLines("webhook_delay_seconds"), logarithmic),
				graph(8, "Failed webhooks", "percentunit", "Share of the Shopify webhooks whose processing failed, all clients together, with thresholds.",
					series(orZero(`platform_provider:consign_webhook_failures_per_webhook:ratio_rate5m{provider="shopify"}`, `sum by (provider) (platform_provider_outcome:consign_webhooks_processed:rate5m{provider="shopify"})`), "failed"), thresholdLines("webhook_failure_ratio"), decimals(1)),
			}},
			{"Do orders arrive?", []Panel{
				graph(8, "Orders imported", perSecond, "Orders of the selected clients imported from their shops, by outcome.",
					series(`sum by (outcome) (client_outcome:consign_order_imports:rate10m{`+of+`})`, "{{outcome}}"), stacked, colours("succeeded", good, "failed", bad)),
				graph(8, "p95 order import delay", "s", "p95 delay from an order's creation in the shop to its import, all clients together, with goal, SLA and thresholds.",
					series(`platform:consign_order_import_delay_seconds:p95_rate10m`, "p95"), thresholdLines("order_import_delay_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(8, "Missing orders by client", "none", "Orders in the shop, older than the grace period, that the platform does not have.",
					series(`max by (client) (consign_shopify_orders_missing{`+of+`})`, "{{client}}"), decimals(0), stepped),
			}},
			{"Are products in sync?", []Panel{
				graph(8, "Time since last sync", "s", "Time since the last successful sync of each kind, of the selected client that waits longest, with the strictest thresholds.",
					series(`time() - min by (kind) (max by (client, kind) (consign_sync_last_success_timestamp_seconds{`+of+`}))`, "{{kind}}"), clientThresholdLines("sync_age_seconds")),
				graph(8, "Failed syncs", "percentunit", "Share of the sync runs that failed, by client and kind. Only those with failures.",
					series(`client_kind:consign_sync_failures_per_run:ratio_rate30m{`+of+`} > 0`, "{{client}} {{kind}}"), decimals(0), axisMax(1)),
				graph(8, "Unsynced items by client", "none", "Items for sale whose last change has not reached the shop, by client.",
					series(`sum by (client) (max by (client, event) (consign_unsynced_items{`+of+`}))`, "{{client}}"), decimals(0), stacked),
				graph(8, "Sync conflicts", perSecond, "Conflicts found by the sync, by kind.", series(`sum by (kind) (rate(consign_sync_conflicts_total{`+of+`}[$__rate_interval]))`, "{{kind}}"), stacked),
				graph(8, "Mean sync duration", "s", "Mean duration of a sync run by kind, all clients together.",
					series(`sum by (kind) (rate(consign_sync_duration_seconds_sum[$__rate_interval])) / (sum by (kind) (rate(consign_sync_duration_seconds_count[$__rate_interval])) > 0)`, "{{kind}}")),
				graph(8, "Unknown products", "none", "Products in the shop that belong to no item of the platform.", series(`max by (client) (consign_shopify_products_unmatched{`+of+`})`, "{{client}}"), decimals(0), stepped),
				table(24, "API versions", "Admin API version requested from each shop, and the one served: they differ when the requested one is no longer supported.",
					rows(`max by (client, requested, served) (consign_shopify_api_version_info{`+of+`})`), height(6)),
			}},
		},
	}
}

func authentication() Dashboard {
	const of = `client=~"$client"`
	return Dashboard{
		File: "Integrations/authentication.json", UID: "consignwatch-auth", Title: "Integrations / Authentication",
		Question: "Can users sign in, and only they? If not, is it Clerk, is it our keys, or is it an attack?", Variables: []string{"client"},
		Alerts: `component=~"auth|security",client=~"$client|_platform"`,
		Rows: []Row{
			{"Status", []Panel{
				tiles(8, "Now", "Whether the probe of Clerk succeeds; latency and failures of sign-ins against their thresholds.",
					series(down(`platform:consign_clerk_up:max`), "Clerk"),
					series(state(`platform:consign_auth_request_duration_seconds:p95_rate5m`, "auth_latency_seconds"), "latency"),
					series(state(authFailures(), "auth_failure_ratio"), "failures"), showNames),
				stat(4, "Forged tokens", "none", "Result of the last check with forged, expired and foreign tokens: each must be refused.",
					value(`min(consign_clerk_token_check{check!="valid_accepted"})`, "tokens"), valueMappings("ACCEPTED", bad, "refused", good)),
				stat(4, "Valid tokens", "none", "Result of the last check with a valid token: it must be accepted.", value(`min(consign_clerk_token_check{check="valid_accepted"})`, "tokens"), valueMappings("REFUSED", bad, "accepted", good)),
				stat(4, "Requests", "reqps", "Authentication requests: sign-ins, sign-ups, refreshes, verifications.", series(`platform:consign_auth_requests:rate5m`, "requests"), decimals(1)),
				stat(4, "Refused sign-ins", "percentunit", "Share of the sign-ins that were refused: a few are normal, many are an attack.", series(`platform:consign_sign_in_denials_per_request:ratio_rate5m`, "refused"), decimals(0)),
			}},
			{"Since when?", []Panel{
				graph(12, "p95 latency", "s", "p95 latency of authentication requests, with goal, SLA and thresholds.",
					series(`platform:consign_auth_request_duration_seconds:p95_rate5m`, "p95"), thresholdLines("auth_latency_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(12, "Failed requests", "percentunit", "Share of the requests that ended with an error or timeout, with thresholds. Refused sign-ins do not count.",
					series(authFailures(), "failed"), thresholdLines("auth_failure_ratio"), decimals(1)),
				graph(12, "Requests by operation", "reqps", "Authentication requests by operation.",
					series(`sum by (operation) (rate(consign_auth_requests_total[$__rate_interval]))`, "{{operation}}"), stacked),
				graph(12, "Requests by outcome", "reqps", "Authentication requests of the selected clients' users by outcome.",
					series(`sum by (outcome) (rate(consign_client_auth_requests_total{`+of+`}[$__rate_interval]))`, "{{outcome}}"), stacked, colours("ok", good, "denied", warn, "error", bad, "timeout", accent)),
			}},
			{"Sessions", []Panel{
				graph(8, "Active users by role", "none", "Sessions of the selected clients that were active within the last five minutes, by role.",
					series(`sum by (role) (client_role:consign_active_users:max{`+of+`})`, "{{role}}"), stacked, decimals(0), dataLink("", "consignwatch-usage")),
				graph(8, "Sessions started and ended", perMinute, "Sessions of the selected clients, per minute.",
					series(`60 * sum(rate(consign_sessions_started_total{`+of+`}[$__rate_interval]))`, "started"), series(`60 * sum(rate(consign_sessions_ended_total{`+of+`}[$__rate_interval]))`, "ended")),
				graph(8, "Users in Clerk", "none", "Users active within each window, and all users, all clients together.",
					series(`max by (window) (consign_clerk_active_users)`, "active within {{window}}"), series(`max(consign_clerk_users)`, "all"), decimals(0)),
			}},
			{"Tokens", []Panel{
				graph(12, "Session token checks", perSecond, "Checks of the tokens that come with requests, by result.",
					series(`platform_result:consign_token_validations:rate5m`, "{{result}}"), stacked, colours("valid", good, "expired", neutral, "invalid_signature", bad, "wrong_tenant", accent, "malformed", warn)),
				stateTimeline(12, "Synthetic token checks", "Whether valid tokens are accepted and all others refused: red is an authentication bypass, or a lock-out.",
					series(`1 - min by (check) (consign_clerk_token_check)`, "{{check}}"), valueMappings("OK", good, "FAILED", bad)),
			}},
			{"Is it Clerk, our keys, or an attack?", []Panel{
				graph(6, "p95 probe latency", "s", "p95 latency of the exporter's probes of Clerk.", series(`platform:consign_clerk_request_duration_seconds:p95_rate10m`, "p95")),
				graph(6, "Probe requests to Clerk", "reqps", "The exporter's requests to Clerk by outcome.",
					series(`sum by (outcome) (max by (operation, outcome) (rate(consign_clerk_requests_total[$__rate_interval])))`, "{{outcome}}"), stacked, colours("ok", good)),
				graph(6, "Signing keys", "none", "Keys that may sign tokens: two during a rotation.", series(`max(consign_clerk_signing_keys)`, "keys"), decimals(0), stepped),
				graph(6, "Clerk's clock", "s", "Clerk's clock minus the exporter's, to about a second. Far from 0, one of the two is wrong; a platform whose clock is wrong refuses valid tokens or accepts expired ones.",
					series(`max(consign_clerk_clock_offset_seconds)`, "offset"), belowZero),
				graph(12, "Security violations", perMinute, "Violations that the platform blocked or detected, by kind, per minute.",
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
		Question: "Are emails delivered, and in time? If not, are they pending here or at Mandrill, or do they bounce?", Variables: []string{"client"},
		Alerts: `component="mail",client=~"$client|_platform"`,
		Rows: []Row{
			{"Status", []Panel{
				tiles(8, "Now", "Whether the probe of Mandrill succeeds; delay and failures of emails against their thresholds.",
					series(down(`platform:consign_mandrill_up:max`), "Mandrill"),
					series(state(`max(platform_stage:consign_email_delay_seconds:p95_rate10m)`, "mail_delay_seconds"), "delay"),
					series(state(mailFailures(), "mail_failure_ratio"), "failures"), showNames),
				stat(4, "Delivered", perMinute, "Emails delivered per minute.", series(`60 * sum(platform_outcome:consign_emails:rate10m{outcome="delivered"})`, "delivered"), decimals(1)),
				stat(4, "Bounced or rejected", "percentunit", "Share of the emails that bounced or were rejected, within half an hour.", series(mailFailures(), "failed"), decimals(1)),
				stat(4, "Mandrill backlog", "none", "Emails that Mandrill holds back because the quota is used up.", series(`max(consign_mandrill_backlog)`, "emails"), decimals(0)),
				stat(4, "Reputation", "percentunit", "Mandrill's reputation score of the account: 75% and more is good. Below, emails go to spam.", series(`max(consign_mandrill_reputation{client="_platform"})`, "reputation"), decimals(0)),
			}},
			{"Are they delivered?", []Panel{
				graph(12, "Emails by outcome", perMinute, "Emails per minute by outcome. An email is first queued, then sent, then delivered.",
					series(`60 * sum by (outcome) (platform_outcome:consign_emails:rate10m)`, "{{outcome}}"), colours("delivered", good, "hard_bounced", bad, "rejected", accent, "soft_bounced", warn)),
				graph(12, "Bounced or rejected emails", "percentunit", "Share of the emails that bounced or were rejected, with goal, SLA and thresholds.",
					series(mailFailures(), "failed"), thresholdLines("mail_failure_ratio", "goal", "warning", "sla", "critical"), decimals(1)),
				graph(12, "Bounced or rejected emails by client", "percentunit", "Share of each client's emails that bounced or were rejected, the ten worst, with the strictest thresholds of the selected clients.",
					series("topk(10, "+orZero(`client:consign_email_failures_per_email:ratio_rate30m{`+of+`}`, `sum by (client) (rate(consign_client_emails_total{`+of+`}[$__rate_interval]))`)+")", "{{client}}"), clientThresholdLines("mail_failure_ratio"), decimals(1)),
				table(12, "Templates", "Emails by template within the period: queued, delivered, and bounced or rejected.",
					col(`sum by (template) (increase(consign_emails_total{outcome="queued"}[$__range]))`, "Queued", "none", 0),
					col(`sum by (template) (increase(consign_emails_total{outcome="delivered"}[$__range]))`, "Delivered", "none", 0),
					alertColumn(`sum by (template) (increase(consign_emails_total{outcome=~"hard_bounced|soft_bounced|rejected"}[$__range]))`, "Undelivered", "none", 0), sorted("Queued")),
			}},
			{"Are they late?", []Panel{
				graph(12, "p95 delay", "s", "p95 delay from queued to sent and to delivered, with goal, SLA and thresholds.",
					series(`platform_stage:consign_email_delay_seconds:p95_rate10m`, "{{stage}}"), thresholdLines("mail_delay_seconds", "goal", "warning", "sla", "critical"), logarithmic),
				graph(12, "Pending emails", "none", "Consumer lag of the email queue, and the backlog at Mandrill.",
					series(`sum(platform_server_group_topic:consign_queue_lag_messages:max{topic="jobs.email"})`, "email queue"), series(`max(consign_mandrill_backlog)`, "Mandrill backlog"), decimals(0)),
				graph(12, "Backlog against hourly quota", "percentunit", "Mandrill backlog as a share of the hourly quota, with thresholds.",
					series(`max(consign_mandrill_backlog) / max(consign_mandrill_hourly_quota)`, "backlog"), thresholdLines("mail_backlog_ratio"), decimals(0)),
				graph(12, "Email jobs by outcome", perMinute, "Attempts to send an email, per minute, by outcome.",
					series(`60 * sum by (outcome) (platform_queue_outcome:consign_jobs:rate5m{queue="email"})`, "{{outcome}}"), stacked, colours("succeeded", good, "retried", warn, "failed", bad, "dead", accent)),
			}},
			{"Why?", []Panel{
				table(8, "Sending domains", "Mandrill's checks of our domains: where one is not valid, receivers do not trust the emails.",
					col(`max by (domain, mechanism) (consign_mandrill_domain_valid)`, "Valid", "bool_yes_no", 0)),
				table(8, "Subaccounts", "The last 30 days of each client's subaccount, and whether it is paused.",
					col(`sum by (client) (max by (client, kind) (consign_mandrill_client_messages{kind="sent",`+of+`}))`, "Sent", "none", 0),
					alertColumn(`sum by (client) (max by (client, kind) (consign_mandrill_client_messages{kind=~"hard_bounce|soft_bounce|reject",`+of+`}))`, "Undelivered", "none", 0),
					alertColumn(`sum by (client) (max by (client, kind) (consign_mandrill_client_messages{kind="complaint",`+of+`}))`, "Complaints", "none", 0),
					col(`max by (client) (consign_mandrill_reputation{`+of+`})`, "Reputation", "percentunit", 0),
					alertColumn(`max by (client) (consign_mandrill_subaccount_paused{`+of+`})`, "Paused", "bool_yes_no", 0), sorted("Sent"), dataLink("client", "consignwatch-email")),
				table(8, "Mandrill webhooks", "When Mandrill last called each webhook, and whether its calls fail.",
					alertColumn(`max by (webhook) (consign_mandrill_webhook_failing)`, "Failing", "bool_yes_no", 0),
					col(`time() - max by (webhook) (consign_mandrill_webhook_last_sent_timestamp_seconds)`, "Last call", "s", 0)),
				graph(12, "Messages at Mandrill", perMinute, "Messages that Mandrill counts, by kind, per minute.",
					series(`60 * sum by (kind) (max by (kind) (rate(consign_mandrill_messages_total[$__rate_interval])))`, "{{kind}}")),
				graph(12, "Unsynced addresses", "none", "Consignors of the selected clients whose address is not synced with Mandrill, by sync status.",
					series(`sum by (status) (max by (client, status) (consign_email_address_syncs{`+of+`,status!="completed"}))`, "{{status}}"), decimals(0), colours("failed", bad, "pending", warn)),
			}},
		},
	}
}

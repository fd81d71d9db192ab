package dashboards

import (
	"fmt"
	"strings"
)

// reports are the dashboards about a time range in the past, compared with the one before.
func reports() []Dashboard {
	return []Dashboard{dailySystem(), weeklySystem(), saleEvent(), clientReport()}
}

// previousPeriod is the expression for the previous time range. The only range in it must be [$__range].
func previousPeriod(expr string) string {
	return strings.ReplaceAll(expr, "[$__range]", "[$__range] offset $__range")
}

// periodComparison adds three columns: the time range, the previous one, and the change.
func periodComparison(expr, unit string, digits int) option {
	return func(p *Panel) {
		col(expr, "Period", unit, digits)(p)
		col(previousPeriod(expr), "Before", unit, digits)(p)
		col(fmt.Sprintf("(%s) / ((%s) > 0) - 1", expr, previousPeriod(expr)), "Change", "percentunit", 0)(p)
	}
}

// stackedRows is the union of expressions, each with its name in the label `what`.
func stackedRows(pairs ...string) string {
	var all []string
	for i := 0; i+1 < len(pairs); i += 2 {
		all = append(all, fmt.Sprintf(`label_replace(%s, "what", "%s", "", "")`, pairs[i+1], pairs[i]))
	}
	return strings.Join(all, "\n  or ")
}

// firingTime is for how long each alert fired within the time range.
func firingTime(matchers, by string) string {
	return fmt.Sprintf(`60 * sum by (%s) (count_over_time(ALERTS{alertstate="firing",priority=~"P.",%s}[$__range:1m]))`, by, matchers)
}

// p95 is the 95th percentile over the time range; absent without observations.
func p95(histogram, by, matchers string) string {
	return fmt.Sprintf(`(histogram_quantile(0.95, sum by (%s) (increase(%s_bucket%s[$__range]))) >= 0)`, strings.TrimPrefix(by+", le", ", "), histogram, matchers)
}

// p95Latencies are the p95 latencies of all operations.
func p95Latencies() string {
	return stackedRows(
		"API", p95("consign_api_request_duration_seconds", "", ""),
		"database", p95("consign_db_query_duration_seconds", "", ""),
		"cache", p95("consign_cache_operation_duration_seconds", "", ""),
		"authentication", p95("consign_auth_request_duration_seconds", "", ""),
		"external services", p95("consign_external_request_duration_seconds", "", ""),
		"order import", p95("consign_order_import_delay_seconds", "", ""),
	)
}

// latencySLAs are the SLAs of the latencies.
func latencySLAs() string {
	of := func(name string) string { return "max(" + threshold(name, "=", "sla", "_platform") + ")" }
	return stackedRows("API", of("api_latency_seconds"), "database", of("db_latency_seconds"), "cache", of("cache_latency_seconds"), "authentication", of("auth_latency_seconds"),
		"external services", of("external_latency_seconds"), "order import", of("order_import_delay_seconds"))
}

// failureRatios are the failure ratios of all operations.
func failureRatios() string {
	share := func(failed, all string) string {
		return failureShare("", failed, all)
	}
	return stackedRows(
		"API requests", share(`consign_api_requests_total{code=~"5.."}`, `consign_api_requests_total`),
		"database queries", share(`consign_db_queries_total{outcome!="ok"}`, `consign_db_queries_total`),
		"cache operations", share(`consign_cache_operations_total{result="error"}`, `consign_cache_operations_total`),
		"external calls", share(`consign_external_requests_total{outcome!="ok"}`, `consign_external_requests_total`),
		"authentication", share(`consign_auth_requests_total{outcome=~"error|timeout"}`, `consign_auth_requests_total`),
		"jobs", share(`consign_jobs_total{outcome!="succeeded"}`, `consign_jobs_total`),
		"emails", share(`consign_emails_total{outcome=~"hard_bounced|soft_bounced|rejected"}`, `consign_emails_total{outcome="queued"}`),
	)
}

// peakUtilizations are the peak utilizations of all resources.
func peakUtilizations() string {
	peaks := func(metric string) string { return fmt.Sprintf("max(max_over_time(%s[$__range]))", metric) }
	return stackedRows(
		"CPU", peaks("instance:node_cpu_use:ratio_rate5m"), "memory", peaks("instance:node_memory_use:ratio"), "fullest disk", peaks("instance_mountpoint:node_filesystem_use:ratio"),
		"database connections", peaks("platform_server:consign_mysql_connections_use:ratio"), "connection pools", peaks("platform_pool:consign_db_pool_use:ratio"),
		"worker threads", peaks("platform_pool:consign_worker_threads_use:ratio"), "cache memory", peaks("platform_server:consign_redis_memory_use:ratio"), "queues", peaks("platform_server_topic:consign_queue_use:ratio"),
	)
}

// failureShare is the ratio of failed to all, 0 when nothing has ever failed.
func failureShare(by, failed, all string) string {
	sum := func(counter string) string {
		return fmt.Sprintf("%s (increase(%s[$__range]))", strings.TrimSpace("sum "+by), counter)
	}
	return fmt.Sprintf("(%s) / (%s > 0)", orZero(sum(failed), sum(all)), sum(all))
}

// timeBeyondSLA is the share of the time range in which the p95 latency exceeded the SLA.
func timeBeyondSLA() string {
	return stackedRows(
		"all clients", `avg_over_time((platform:consign_api_request_duration_seconds:p95_rate5m > bool on () group_left () `+threshold("api_latency_seconds", "=", "sla", "_platform")+`)[$__range:1m])`) +
		`
  or label_replace(avg_over_time((client:consign_api_request_duration_seconds:p95_rate5m{` + ofClient + `} > bool on (client) group_left () ` + threshold("api_latency_seconds", "=", "sla", "$client") + `)[$__range:1m]), "what", "$1", "client", "(.+)")`
}

func dailySystem() Dashboard {
	return Dashboard{
		File: "Reports/daily-system.json", UID: "consignwatch-report-daily", Title: "Reports / Daily system",
		Question: "How was the platform yesterday, compared with the day before?", Variables: []string{"client"}, From: "now-1d/d", To: "now-1d/d",
		Rows: []Row{
			{"Health", []Panel{
				stat(4, "Availability", "percentunit", "Share of the day in which the essential probes from outside succeeded, of the worst one.", value(`min(avg_over_time(platform_probe_essential:consign_probe_up:max{essential="true"}[$__range]))`, "availability"), decimals(3)),
				stat(4, "Requests", "short", "Requests to the API.", value(`sum(increase(consign_api_requests_total[$__range]))`, "requests"), decimals(1)),
				stat(4, "Failed requests", "percentunit", "Share of the requests that ended with a server error.", value(`(sum(increase(consign_api_requests_total{code=~"5.."}[$__range])) or 0 * sum(increase(consign_api_requests_total[$__range]))) / (sum(increase(consign_api_requests_total[$__range])) > 0)`, "failed"), decimals(3)),
				stat(4, "P0/P1 alerts", "none", "Distinct P0/P1 alerts that fired.", value(`count(count by (alertname, client, component, subject) (count_over_time(ALERTS{alertstate="firing",priority=~"P0|P1",`+ofAll+`}[$__range]))) or vector(0)`, "alerts"), badAbove(1, 5)),
				stat(4, "Orders", "none", "Orders of the selected clients, from the event stream.", value(`sum(increase(consign_orders_total{`+ofClient+`}[$__range]))`, "orders"), decimals(0)),
				stat(4, "Oldest backup", "s", "Age of the last successful backup of the worst target at the end of the day.", value(`max(last_over_time(platform_target:consign_backup_age_seconds:min[$__range]))`, "age"), decimals(0)),
				table(14, "Alerts that fired", "Every alert of the day, and for how long it fired.", col(firingTime(ofAll, "priority, alertname, client, subject"), "For", "s", 0), sortedAscending("priority")),
				graph(10, "Requests over the day", "reqps", "Requests, and those of the day before.", series(`platform:consign_api_requests:rate5m`, "period"), series(`platform:consign_api_requests:rate5m offset $__range`, "before"), colours("period", neutral, "before", defaultText), height(9)),
			}},
			{"Errors", []Panel{
				table(12, "Errors by kind", "Errors that the platform raised, by kind.", periodComparison(`sum by (category, kind) (increase(consign_errors_total[$__range]))`, "none", 0), sorted("Period")),
				table(12, "Failure ratios", "Share of each that failed.", rowLabels("what"), periodComparison(failureRatios(), "percentunit", 2), sorted("Period")),
			}},
			{"Performance", []Panel{
				table(12, "p95 latency", "p95 latency, with the SLA.", rowLabels("what"), periodComparison(p95Latencies(), "s", 1), col(latencySLAs(), "SLA", "s", 1), sorted("Period")),
				graph(12, "p95 API latency over the day", "s", "p95 request latency of the day and of the day before, with the SLA.",
					series(`platform:consign_api_request_duration_seconds:p95_rate5m`, "period"), series(`platform:consign_api_request_duration_seconds:p95_rate5m offset $__range`, "before"), thresholdLines("api_latency_seconds", "sla"), colours("period", neutral, "before", defaultText), logarithmic, height(9)),
				table(24, "Slowest routes", "p95 request latency, the ten slowest routes.", periodComparison(`topk(10, `+p95("consign_api_request_duration_seconds", "route", "")+`)`, "s", 1), sorted("Period")),
			}},
			{"Resources", []Panel{
				table(12, "Peak utilization", "Highest utilization of every resource that can run out.", rowLabels("what"), periodComparison(peakUtilizations(), "percentunit", 0), sorted("Period")),
				graph(12, "Host utilization over the day", "percentunit", "CPU, memory and the fullest disk of the worst host.",
					series(`max(instance:node_cpu_use:ratio_rate5m)`, "CPU"), series(`max(instance:node_memory_use:ratio)`, "memory"), series(`max(instance_mountpoint:node_filesystem_use:ratio)`, "disk"), axisMax(1), decimals(0), height(9)),
			}},
		},
	}
}

func weeklySystem() Dashboard {
	return Dashboard{
		File: "Reports/weekly-system.json", UID: "consignwatch-report-weekly", Title: "Reports / Weekly system",
		Question: "What is the trend: how was last week, what repeats, and what will run out?", Variables: []string{"client"}, From: "now-1w/w", To: "now-1w/w",
		Rows: []Row{
			{"Trend", []Panel{
				table(12, "Volume", "Volume of the platform's work.", rowLabels("what"), periodComparison(stackedRows(
					"requests", `sum(increase(consign_api_requests_total[$__range]))`, "database queries", `sum(increase(consign_db_queries_total[$__range]))`, "jobs", `sum(increase(consign_jobs_total[$__range]))`,
					"emails", `sum(increase(consign_emails_total{outcome="queued"}[$__range]))`, "orders", `sum(increase(consign_orders_total{`+ofClient+`}[$__range]))`, "sessions", `sum(increase(consign_sessions_started_total{`+ofClient+`}[$__range]))`), "short", 1), sorted("Period")),
				graph(12, "Requests over the week", "reqps", "Requests, and those of the week before.", series(`platform:consign_api_requests:rate5m`, "period"), series(`platform:consign_api_requests:rate5m offset $__range`, "before"), colours("period", neutral, "before", defaultText), height(9)),
			}},
			{"Capacity", []Panel{
				table(12, "Peak utilization", "Highest utilization of every resource that can run out.", rowLabels("what"), periodComparison(peakUtilizations(), "percentunit", 0), sorted("Period")),
				table(12, "Disk fill forecast", "How full each file system is, and when it is full if it keeps filling as it did. Empty where it does not fill.",
					col(`max by (instance, mountpoint) (last_over_time(instance_mountpoint:node_filesystem_use:ratio[$__range]))`, "Used", "percentunit", 0),
					col(`max by (instance, mountpoint) (last_over_time(node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"}[$__range])) / (max by (instance, mountpoint) (-deriv(node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660"}[$__range])) > 0)`, "Full in", "s", 0), sorted("Used")),
				table(12, "Storage growth", "Sizes at the end of the week, and a week before.", rowLabels("what"), periodComparison(stackedRows(
					"images of the selected clients", `sum(max by (client) (last_over_time(consign_client_stored_bytes{`+ofClient+`}[$__range])))`,
					"database backup", `max(last_over_time(consign_backup_size_bytes{target="mysql"}[$__range]))`, "image backup", `max(last_over_time(consign_backup_size_bytes{target="images"}[$__range]))`,
					"cache memory", `max(last_over_time(consign_redis_memory_bytes{kind="used"}[$__range]))`), "bytes", 1), sorted("Period")),
				graph(12, "Host utilization over the week", "percentunit", "CPU, memory and the fullest disk of the worst host.",
					series(`max(instance:node_cpu_use:ratio_rate5m)`, "CPU"), series(`max(instance:node_memory_use:ratio)`, "memory"), series(`max(instance_mountpoint:node_filesystem_use:ratio)`, "disk"), axisMax(1), decimals(0), height(9)),
			}},
			{"Patterns", []Panel{
				table(12, "Alerts by name", "How long each alert fired, all clients and subjects together.", periodComparison(firingTime(ofAll, "priority, alertname"), "s", 0), sorted("Period")),
				table(12, "Errors by kind", "Errors that the platform raised, by kind.", periodComparison(`sum by (category, kind) (increase(consign_errors_total[$__range]))`, "none", 0), sorted("Period")),
				graph(12, "When alerts fired", "none", "Firing alerts by priority: what repeats, and at what time of the day.", series(`sum by (priority) (client_priority:ALERTS:count{`+ofAll+`})`, "{{priority}}"), stacked, stepped, decimals(0), colours("P0", bad, "P1", warn, "P2", "yellow", "P3", neutral)),
				graph(12, "When errors were raised", perMinute, "Errors per minute by category.", series(`60 * sum by (category) (platform_kind:consign_errors:rate5m)`, "{{category}}"), stacked),
			}},
			{"Review", []Panel{
				table(12, "p95 latency", "p95 latency, with the SLA.", rowLabels("what"), periodComparison(p95Latencies(), "s", 1), col(latencySLAs(), "SLA", "s", 1), sorted("Period")),
				table(12, "Failure ratios", "Share of each that failed.", rowLabels("what"), periodComparison(failureRatios(), "percentunit", 2), sorted("Period")),
				table(24, "Time above the SLA", "Share of the week in which the API's p95 latency exceeded the SLA, all clients together and by client.", rowLabels("what"), col(timeBeyondSLA(), "Period", "percentunit", 2), col(previousPeriod(timeBeyondSLA()), "Before", "percentunit", 2), sorted("Period"), hideColumns("client"), height(7)),
			}},
		},
	}
}

func saleEvent() Dashboard {
	return Dashboard{
		File: "Reports/sale-event.json", UID: "consignwatch-report-event", Title: "Reports / Sale event",
		Question: "How did the sale events go in the last seven days: what did they bring, who came, what went wrong?", Variables: []string{"client", "event"}, From: "now-7d/d", To: "now-1d/d",
		Rows: []Row{
			{"Sales", []Panel{
				table(24, "Sale events", "Results of each sale event since it began, from the database: at the end of the period, and before it.",
					rows(`max by (client, event, name, status) (last_over_time(consign_event_info{`+ofEvent+`}[$__range]))`),
					col(`max by (client, event) (last_over_time(client_event:consign_event_orders:sum{`+ofEvent+`}[$__range]))`, "Orders", "none", 0),
					col(`max by (client, event) (last_over_time(client_event:consign_event_orders:sum{`+ofEvent+`}[$__range] offset $__range))`, "Orders before", "none", 0),
					col(`sum by (client, event) (last_over_time(client_event_state:consign_items:sum{`+ofEvent+`,state="sold"}[$__range]))`, "Items sold", "none", 0),
					col(`sum by (client, event) (last_over_time(client_event_state:consign_items:sum{`+ofEvent+`,state="sold"}[$__range])) / sum by (client, event) (last_over_time(client_event_state:consign_items:sum{`+ofEvent+`,state=~"active|locked|sold|returned"}[$__range]))`, "Share sold", "percentunit", 0),
					alertColumn(`max by (client, event) (last_over_time(client_event:consign_event_returns:sum{`+ofEvent+`}[$__range]))`, "Returns", "none", 0), sorted("Orders")),
				table(12, "Money", "Sales since each sale event began, net of returns.",
					col(`max by (client, event, currency) (last_over_time(client_event_currency:consign_event_sales:sum{`+ofEvent+`}[$__range]))`, "Sales", "locale", 2),
					col(`max by (client, event, currency) (last_over_time(client_event_currency:consign_event_sales:sum{`+ofEvent+`}[$__range] offset $__range))`, "Before the period", "locale", 2), sorted("Sales")),
				table(12, "Categories", "Sales in each category since the sale events began, net of returns.",
					col(`sum by (category, currency) (max by (client, event, category, currency) (last_over_time(consign_event_sales{`+ofEvent+`}[$__range])))`, "Sales", "locale", 2),
					col(`sum by (category, currency) (max by (client, event, category, currency) (last_over_time(consign_event_sales{`+ofEvent+`}[$__range] offset $__range)))`, "Before the period", "locale", 2), sorted("Sales")),
				graph(24, "Sales over the period", "locale", "Sales since each sale event began, net of returns.", series(`client_event_currency:consign_event_sales:sum{`+ofEvent+`}`, "{{client}} {{event}} {{currency}}"), decimals(0)),
			}},
			{"Engagement", []Panel{
				table(12, "People", "Who took part.", rowLabels("what"), periodComparison(stackedRows(
					"peak shoppers", `sum(max by (client, event) (max_over_time(consign_active_shoppers{`+ofEvent+`}[$__range])))`, "sessions of the selected clients", `sum(increase(consign_sessions_started_total{`+ofClient+`}[$__range]))`,
					"feature uses", `sum(increase(consign_client_feature_uses_total{`+ofClient+`}[$__range]))`, "registered consignors", `sum(increase(consign_consignors_registered_total{`+ofEvent+`}[$__range]))`,
					"volunteer sign-ups", `sum(increase(consign_volunteer_signups_total{`+ofEvent+`}[$__range]))`, "drop-offs", `sum(increase(consign_dropoffs_total{`+ofEvent+`,outcome="completed"}[$__range]))`), "none", 0), sorted("Period")),
				graph(12, "Shoppers over the period", "none", "Active shoppers by sale event.", series(`max by (client, event) (consign_active_shoppers{`+ofEvent+`})`, "{{client}} {{event}}"), stacked, decimals(0), height(9)),
			}},
			{"Processes", []Panel{
				table(12, "Completed processes", "Processes of the selected clients that succeeded.", periodComparison(`sum by (process) (increase(consign_processes_total{`+ofClient+`,outcome="succeeded"}[$__range]))`, "none", 0), sorted("Period")),
				table(12, "p95 process duration", "p95 duration of processes, all clients together.", periodComparison(p95("consign_process_duration_seconds", "process", ""), "s", 1), sorted("Period")),
			}},
			{"Errors", []Panel{
				table(12, "Failed processes", "Share of the processes that failed, by client.", periodComparison(failureShare(`by (client, process)`, `consign_processes_total{`+ofClient+`,outcome="failed"}`, `consign_processes_total{`+ofClient+`,outcome=~"succeeded|failed"}`), "percentunit", 1), sorted("Period")),
				table(12, "Errors", "Errors of the selected clients by kind.", periodComparison(`sum by (category, kind) (increase(consign_client_errors_total{`+ofClient+`}[$__range]))`, "none", 0), sorted("Period")),
				table(12, "Failed requests", "Share of each client's requests that ended with a server error.", periodComparison(failureShare(`by (client)`, `consign_client_api_requests_total{`+ofClient+`,code_class="5xx"}`, `consign_client_api_requests_total{`+ofClient+`}`), "percentunit", 2), sorted("Period")),
				table(12, "Alerts", "Alerts of the selected clients, and for how long they fired.", col(firingTime(ofClient, "priority, alertname, client, subject"), "For", "s", 0), sortedAscending("priority")),
			}},
		},
	}
}

func clientReport() Dashboard {
	return Dashboard{
		File: "Reports/client.json", UID: "consignwatch-report-client", Title: "Reports / Client",
		Question: "How did the platform serve the client in the last seven days, and what did the client use?", Variables: []string{"client"}, From: "now-7d/d", To: "now-1d/d",
		Rows: []Row{
			{"Trend", []Panel{
				stat(4, "Requests", "short", "Requests of the client's users.", value(`sum(increase(consign_client_api_requests_total{`+ofClient+`}[$__range]))`, "requests"), decimals(1)),
				stat(4, "Failed requests", "percentunit", "Share of the client's requests that ended with a server error.", value(`(sum(increase(consign_client_api_requests_total{`+ofClient+`,code_class="5xx"}[$__range])) or 0 * sum(increase(consign_client_api_requests_total{`+ofClient+`}[$__range]))) / (sum(increase(consign_client_api_requests_total{`+ofClient+`}[$__range])) > 0)`, "failed"), decimals(2)),
				stat(4, "p95 latency", "s", "p95 latency of the client's requests.", value(p95("consign_client_api_request_duration_seconds", "", `{`+ofClient+`}`), "p95"), decimals(0)),
				stat(4, "Orders", "none", "Orders that were placed, from the event stream.", value(`sum(increase(consign_orders_total{`+ofClient+`}[$__range]))`, "orders"), decimals(0)),
				stat(4, "Alerts", "none", "Distinct alerts of the client that fired.", value(`count(count by (alertname, client, component, subject) (count_over_time(ALERTS{alertstate="firing",`+ofClient+`}[$__range]))) or vector(0)`, "alerts")),
				stat(4, "Open tickets", "none", "Support tickets that were open at the end.", value(`sum(max by (client, priority, status) (last_over_time(consign_support_tickets{`+ofClient+`,status=~"open|waiting"}[$__range]))) or vector(0)`, "tickets"), decimals(0)),
				graph(12, "p95 latency over the period", "s", "p95 request latency of the period and of the one before, with the strictest SLA of the selected clients.",
					series(`client:consign_api_request_duration_seconds:p95_rate5m{`+ofClient+`}`, "{{client}}"), series(`client:consign_api_request_duration_seconds:p95_rate5m{`+ofClient+`} offset $__range`, "{{client}} before"), clientThresholdLines("api_latency_seconds", "sla"), logarithmic, height(10)),
				graph(12, "Requests over the period", "reqps", "Requests of the client's users, and those of the period before.", series(`client:consign_api_requests:rate5m{`+ofClient+`}`, "{{client}}"), series(`client:consign_api_requests:rate5m{`+ofClient+`} offset $__range`, "{{client}} before")),
				table(12, "p95 latency by client", "p95 request latency.", periodComparison(p95("consign_client_api_request_duration_seconds", "client", `{`+ofClient+`}`), "s", 1), sorted("Period")),
				table(12, "Failed requests by client", "Share of the requests that ended with a server error.", periodComparison(failureShare(`by (client)`, `consign_client_api_requests_total{`+ofClient+`,code_class="5xx"}`, `consign_client_api_requests_total{`+ofClient+`}`), "percentunit", 2), sorted("Period")),
			}},
			{"Resources", []Panel{
				table(12, "Usage", "Requests, background work, emails and calls to external services.", rowLabels("what"), periodComparison(stackedRows(
					"requests", `sum(increase(consign_client_api_requests_total{`+ofClient+`}[$__range]))`, "worker seconds", `sum(increase(consign_client_job_seconds_total{`+ofClient+`}[$__range]))`, "jobs", `sum(increase(consign_client_jobs_total{`+ofClient+`}[$__range]))`,
					"emails", `sum(increase(consign_client_emails_total{`+ofClient+`,outcome="queued"}[$__range]))`, "external calls", `sum(increase(consign_client_external_requests_total{`+ofClient+`}[$__range]))`), "short", 1), sorted("Period")),
				table(12, "Image storage", "Size of the images of all items.", periodComparison(`max by (client) (last_over_time(consign_client_stored_bytes{`+ofClient+`}[$__range]))`, "bytes", 1), sorted("Period")),
			}},
			{"Integrations", []Panel{
				table(12, "Shop availability", "Share of the period in which the shop was up.", rowLabels("client"), periodComparison(`avg_over_time(client:consign_shopify_up:max{`+ofClient+`}[$__range])`, "percentunit", 2), sorted("Period")),
				table(12, "Failed external calls", "Share of the calls on the client's behalf that failed, by service.", periodComparison(failureShare(`by (client, service)`, `consign_client_external_requests_total{`+ofClient+`,outcome!="ok"}`, `consign_client_external_requests_total{`+ofClient+`}`), "percentunit", 1), sorted("Period")),
				table(12, "Failed syncs", "Share of the sync runs that failed, by kind.", periodComparison(failureShare(`by (client, kind)`, `consign_sync_runs_total{`+ofClient+`,outcome="failed"}`, `consign_sync_runs_total{`+ofClient+`}`), "percentunit", 0), sorted("Period")),
				table(12, "Bounced or rejected emails", "Share of the emails that bounced or were rejected.", periodComparison(failureShare(`by (client)`, `consign_client_emails_total{`+ofClient+`,outcome=~"hard_bounced|soft_bounced|rejected"}`, `consign_client_emails_total{`+ofClient+`,outcome="queued"}`), "percentunit", 1), sorted("Period")),
			}},
			{"Support", []Panel{
				table(8, "Tickets", "Support tickets at the end of the period, by priority and status; solved ones of the last seven days.", col(`sum by (priority, status) (max by (client, priority, status) (last_over_time(consign_support_tickets{`+ofClient+`}[$__range])))`, "Tickets", "none", 0), sorted("Tickets")),
				table(16, "Time to first response", "Mean time to the first response, by priority.", periodComparison(`max by (client, priority) (last_over_time(consign_support_first_response_seconds{`+ofClient+`}[$__range]))`, "s", 0), sorted("Period")),
				table(24, "Alerts of the client", "Alerts of the client, and for how long they fired.", col(firingTime(ofClient, "priority, alertname, client, subject"), "For", "s", 0), sortedAscending("priority")),
			}},
		},
	}
}

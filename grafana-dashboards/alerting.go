package dashboards

// alerting is about trouble, and what becomes of it.
func alerting() []Dashboard {
	return []Dashboard{alertsNow(), escalation(), errorsAndRecovery(), slos()}
}

// Of the chosen clients and of the platform as a whole.
const ofAll = `client=~"$client|_platform"`

func alertsNow() Dashboard {
	return Dashboard{
		File: "Alerting/now.json", UID: "consignwatch-alerts", Title: "Alerting / Now",
		Asks: "What fires right now, who has taken it, and can we trust that nothing else does?", Variables: []string{"client"}, Refresh: "30s", Alerts: ofAll,
		Rows: []Row{
			{"Is it well?", []Panel{
				stat(3, "P0", "none", "Alerts of P0 that fire: page at once.", series(`count(ALERTS{alertstate="firing",priority="P0",`+ofAll+`}) or vector(0)`, "P0"), badAbove(1, 1)),
				stat(3, "P1", "none", "Alerts of P1 that fire: page within a minute.", series(`count(ALERTS{alertstate="firing",priority="P1",`+ofAll+`}) or vector(0)`, "P1"), badAbove(1, 1)),
				stat(3, "P2", "none", "Alerts of P2 that fire: for office hours.", series(`count(ALERTS{alertstate="firing",priority="P2",`+ofAll+`}) or vector(0)`, "P2"), badAbove(1, 20)),
				stat(3, "P3", "none", "Alerts of P3 that fire: for the daily report.", series(`count(ALERTS{alertstate="firing",priority="P3",`+ofAll+`}) or vector(0)`, "P3")),
				stat(3, "Not taken", "none", "Alerts of P0 and P1 that fire and that nobody has acknowledged.",
					series(unacknowledged(), "alerts"), badAbove(1, 1)),
				stat(3, "Pending", "none", "Alerts whose condition holds, but not for long enough yet.", series(`count(ALERTS{alertstate="pending",`+ofAll+`}) or vector(0)`, "alerts")),
				stat(3, "Silences", "none", "Silences that are active: what they match pages nobody.", series(`sum(max by (state) (consign_silences{state="active"}))`, "silences")),
				stat(3, "Heartbeat", "none", "Whether the alert that always fires does: if not, nobody hears of anything.", value(`count(ALERTS{alertname="Watchdog",alertstate="firing",client="_platform"}) or vector(0)`, "heartbeat"), words("gone", bad, "beats", good)),
			}},
			{"What fires?", []Panel{
				table(24, "Firing", "Every alert that fires, the most urgent first, with the time for which it has.",
					col(`time() - max by (priority, alertname, client, subject, component, team) (min by (alertname, client, component, subject, source_alertname) (ALERTS_FOR_STATE{`+ofAll+`}) * on (alertname, client, component, subject, source_alertname) group_right () (ALERTS{alertstate="firing",priority=~"P0|P1|P2|P3",`+ofAll+`}))`, "For", "s", 0),
					sortedUp("priority"), leads("client", "consignwatch-overview"), high(10)),
				table(12, "Acknowledged", "Alerts that somebody has taken, and since when.",
					col(`time() - max by (priority, alertname, client, subject) (max without (instance) (consign_alert_acknowledged_timestamp_seconds{`+ofAll+`}) and on (alertname, client, component, subject) max without (instance) (consign_alert_acknowledged{`+ofAll+`}) == 1)`, "Since", "s", 0), sortedUp("priority")),
				table(12, "Clients with alerts", "How many alerts of each priority fire for each client.",
					trouble(alertsOf("P0"), "P0", "none", 0), trouble(alertsOf("P1"), "P1", "none", 0),
					col(alertsOf("P2"), "P2", "none", 0), col(alertsOf("P3"), "P3", "none", 0), sorted("P0"), leads("client", "consignwatch-live-sale")),
			}},
			{"Since when?", []Panel{
				graph(12, "Firing alerts by priority", "none", "How many alerts fired at a time.", series(`sum by (priority) (client_priority:ALERTS:count{`+ofAll+`})`, "{{priority}}"), stacked, decimals(0), stepped,
					colours("P0", bad, "P1", warn, "P2", "yellow", "P3", neutral)),
				table(12, "Longest within the period", "Alerts of P0 to P2 by the time for which they fired.", col(`topk(20, `+fired(ofAll, "priority, alertname, client")+`)`, "For", "s", 0), sorted("For"), leads("client", "consignwatch-overview")),
				states(24, "When each alert fired", "Alerts of P0 and P1 over time, the subjects of one client together.", series(`max by (alertname, client) (ALERTS{alertstate="firing",priority=~"P0|P1",`+ofAll+`})`, "{{alertname}} {{client}}"), words("", good, "fires", bad), high(14)),
			}},
			{"Can we trust it?", []Panel{
				tiles(8, "Monitoring", "Whether every exporter, Prometheus and Alertmanager can be scraped, whether every collection succeeds, and every configuration could be loaded.",
					series(`2 * (1 - min(up))`, "targets"), series(`1 - min(max by (collector, target) (consignwatch_collector_success))`, "collectors"),
					series(`1 - min(min without (instance) (consignwatch_config_last_reload_successful))`, "configurations"), named),
				graph(8, "Notifications", perMinute, "Notifications per minute by way, and those that could not be delivered.",
					series(`60 * sum by (integration) (rate(alertmanager_notifications_total[$__rate_interval])) > 0`, "{{integration}}"), colours("failed", bad), series(`60 * sum(rate(alertmanager_notifications_failed_total[$__rate_interval]))`, "failed")),
				graph(8, "Age of what we know", "s", "How long ago each collector last succeeded, the five oldest: alerts rest on values of this age.",
					series(`topk(5, time() - min by (collector) (max by (collector, target) (consignwatch_collector_last_success_timestamp_seconds)))`, "{{collector}}")),
				graph(8, "Time of an evaluation", "s", "How long the evaluation of each group of rules takes, the five slowest.", series(`topk(5, sum by (rule_group) (label_replace(prometheus_rule_group_last_duration_seconds, "rule_group", "$1: $2", "rule_group", ".*/([^/]+/[^/]+)[.]yml;(.+)")))`, "{{rule_group}}")),
				graph(8, "Delay of the event stream", "s", "What 95 of 100 records of the event stream stay below until they are counted.", series(`histogram_quantile(0.95, sum by (topic, le) (rate(consignwatch_record_delay_seconds_bucket[$__rate_interval])))`, "{{topic}}")),
				graph(8, "Failed collections", perMinute, "Collections that failed, per minute, by reason.", series(`60 * sum by (collector, reason) (max by (job, collector, reason) (rate(consignwatch_collector_failures_total[$__rate_interval]))) > 0`, "{{collector}} {{reason}}"), stacked),
			}},
		},
	}
}

func escalation() Dashboard {
	return Dashboard{
		File: "Alerting/escalation.json", UID: "consignwatch-escalation", Title: "Alerting / Escalation and response times",
		Asks: "Is trouble taken and ended in time, and if not, who has to hear of it?", Variables: []string{"client"}, Alerts: ofAll,
		Rows: []Row{
			{"Is it well?", []Panel{
				stat(4, "Escalated", "none", "Alerts that fire and that nobody took in time: the next ones have been told.", series(`count(ALERTS{alertstate="firing",escalation!="",`+ofAll+`}) or vector(0)`, "alerts"), badAbove(1, 1)),
				stat(4, "Not taken yet", "none", "Alerts of P0 and P1 that fire and that nobody has acknowledged.", series(unacknowledged(), "alerts"), badAbove(1, 1)),
				stat(4, "Time until taken", "s", "Mean time until somebody acknowledged an alert of P0 or P1, within the period.",
					value(`sum(max by (priority) (increase(consign_alert_time_to_acknowledge_seconds_sum{priority=~"P0|P1"}[$__range]))) / (sum(max by (priority) (increase(consign_alert_time_to_acknowledge_seconds_count{priority=~"P0|P1"}[$__range]))) > 0)`, "mean"), decimals(0)),
				stat(4, "Time until resolved", "s", "Mean time for which an alert of P0 or P1 fired, within the period.",
					value(`sum(max by (priority) (increase(consign_alert_time_to_resolve_seconds_sum{priority=~"P0|P1"}[$__range]))) / (sum(max by (priority) (increase(consign_alert_time_to_resolve_seconds_count{priority=~"P0|P1"}[$__range]))) > 0)`, "mean"), decimals(0)),
				stat(4, "Alerts that fire", "none", "What the daemon of acknowledgements sees, all priorities.", series(`sum(max by (priority) (consign_alerts_firing))`, "alerts"), decimals(0)),
				stat(4, "Acknowledgements are read", "s", "How long ago Alertmanager last answered the daemon of acknowledgements. After 15 minutes, acknowledgements stop no escalation.", series(`time() - max(consign_ackd_last_poll_timestamp_seconds)`, "ago"), badAbove(120, 900), decimals(0)),
			}},
			{"Who has to hear of it?", []Panel{
				table(12, "Escalations", "Alerts that have been handed on, and to which level: L2 is the second contact, L3 the management, L4 the emergency contacts.",
					rows(`max by (priority, alertname, source_alertname, client, subject) (ALERTS{alertstate="firing",escalation!="",`+ofAll+`})`), sortedUp("priority"), leads("client", "consignwatch-alerts")),
				table(12, "Not taken", "Alerts of P0 and P1 that fire and that nobody has acknowledged, with the time for which they have.",
					col(`time() - max by (priority, alertname, client, subject) (min by (alertname, client, component, subject) (ALERTS_FOR_STATE{source_alertname="",`+ofAll+`}) * on (alertname, client, component, subject) group_right () (ALERTS{alertstate="firing",priority=~"P0|P1",source_alertname="",`+ofAll+`} unless on (alertname, client, component, subject) max without (instance) (consign_alert_acknowledged{`+ofAll+`}) == 1))`, "For", "s", 0), sortedUp("priority"), leads("client", "consignwatch-alerts")),
				table(24, "Taken", "Alerts that somebody has taken, and since when.",
					col(`time() - max by (priority, alertname, client, component, subject) (max without (instance) (consign_alert_acknowledged_timestamp_seconds{`+ofAll+`}) and on (alertname, client, component, subject) max without (instance) (consign_alert_acknowledged{`+ofAll+`}) == 1)`, "Since", "s", 0), sortedUp("priority"), high(6)),
			}},
			{"In time?", []Panel{
				table(12, "Time until taken, by priority", "Within the period: how many alerts were taken, and after what time half and 95 of 100 of them were.",
					col(`max by (priority) (increase(consign_alert_time_to_acknowledge_seconds_count[$__range]))`, "Taken", "none", 0),
					col(`histogram_quantile(0.5, max by (priority, le) (increase(consign_alert_time_to_acknowledge_seconds_bucket[$__range]))) >= 0`, "Half within", "s", 0),
					col(`histogram_quantile(0.95, max by (priority, le) (increase(consign_alert_time_to_acknowledge_seconds_bucket[$__range]))) >= 0`, "95 of 100 within", "s", 0), sortedUp("priority")),
				table(12, "Time until resolved, by priority", "Within the period: how many alerts ended, and after what time half and 95 of 100 of them had.",
					col(`max by (priority) (increase(consign_alert_time_to_resolve_seconds_count[$__range]))`, "Resolved", "none", 0),
					col(`histogram_quantile(0.5, max by (priority, le) (increase(consign_alert_time_to_resolve_seconds_bucket[$__range]))) >= 0`, "Half within", "s", 0),
					col(`histogram_quantile(0.95, max by (priority, le) (increase(consign_alert_time_to_resolve_seconds_bucket[$__range]))) >= 0`, "95 of 100 within", "s", 0), sortedUp("priority")),
				graph(12, "Alerts and acknowledgements", "none", "Alerts of P0 and P1 that fired at a time, and those of them that somebody had taken.",
					series(`count(ALERTS{alertstate="firing",priority=~"P0|P1",source_alertname="",`+ofAll+`}) or vector(0)`, "fire"), series(`sum(max without (instance) (consign_alert_acknowledged{priority=~"P0|P1",`+ofAll+`})) or vector(0)`, "taken"), stepped, decimals(0), colours("fire", bad, "taken", good)),
				graph(12, "Escalations by level", "none", "Alerts that were handed on, at a time, by level.", series(`count by (alertname) (ALERTS{alertstate="firing",escalation!="",`+ofAll+`})`, "{{alertname}}"), stacked, stepped, decimals(0)),
			}},
			{"Do they hear of it?", []Panel{
				graph(12, "Time of a notification", "s", "What 95 of 100 notifications stay below until they are delivered, by way.", series(`histogram_quantile(0.95, sum by (integration, le) (rate(alertmanager_notification_latency_seconds_bucket[$__rate_interval]))) >= 0`, "{{integration}}")),
				graph(12, "Notifications that could not be delivered", perMinute, "Notifications per minute that could not be delivered, by reason.", series(`60 * sum by (reason) (rate(alertmanager_notifications_failed_total[$__rate_interval]))`, "{{reason}}"), stacked),
			}},
		},
	}
}

// alertsOf counts the alerts of a priority for each client that has alerts of any.
func alertsOf(priority string) string {
	return orZero(`sum by (client) (client_priority:ALERTS:count{`+ofAll+`,priority="`+priority+`"})`, `sum by (client) (client_priority:ALERTS:count{`+ofAll+`})`)
}

// unacknowledged counts what pages somebody and has not been taken.
func unacknowledged() string {
	return `count(ALERTS{alertstate="firing",priority=~"P0|P1",source_alertname="",` + ofAll + `} unless on (alertname, client, component, subject) max without (instance) (consign_alert_acknowledged{` + ofAll + `}) == 1) or vector(0)`
}

func errorsAndRecovery() Dashboard {
	return Dashboard{
		File: "Alerting/errors.json", UID: "consignwatch-errors", Title: "Alerting / Errors and recovery",
		Asks: "What goes wrong on the platform, where, for whom, and does it recover by itself?", Variables: []string{"client"}, Alerts: `component=~"errors|recovery|application|books|state|process",` + ofAll,
		Rows: []Row{
			{"Is it well?", []Panel{
				stat(4, "System errors", perMinute, "Errors of crashes, database, cache and queues, per minute.", series(`60 * sum(platform_kind:consign_errors:rate5m{category="system"}) or vector(0)`, "errors"), decimals(1)),
				stat(4, "Integration errors", perMinute, "Errors of calls, webhooks, synchronisations, and time-outs, per minute.", series(`60 * sum(platform_kind:consign_errors:rate5m{category="integration"}) or vector(0)`, "errors"), decimals(1)),
				stat(4, "Business errors", perMinute, "Errors of validation, processes, states and data, per minute.", series(`60 * sum(platform_kind:consign_errors:rate5m{category="business"}) or vector(0)`, "errors"), decimals(1)),
				stat(4, "Errors that users saw", perMinute, "Errors on the screen of a user, per minute.", series(`60 * sum(platform_feature:consign_user_errors:rate5m) or vector(0)`, "errors"), decimals(1)),
				stat(4, "Recoveries that fail", "percentunit", "Share of the attempts to recover that failed.",
					series(`(sum(platform_mechanism:consign_recoveries:rate5m{outcome="failed"}) or 0 * sum(platform_mechanism:consign_recoveries:rate5m)) / (sum(platform_mechanism:consign_recoveries:rate5m) > 0)`, "failed"), decimals(0)),
				stat(4, "Contradictions in the books", "none", "Rows of the books of the chosen clients that contradict each other.", series(`sum(client:consign_integrity_violations:max{`+ofClient+`})`, "rows"), badAbove(1, 1), decimals(0), leads("", "consignwatch-inventory")),
			}},
			{"What goes wrong?", []Panel{
				graph(8, "System errors by kind", perMinute, "Errors per minute: crashes, database, cache, queues.", series(`60 * sum by (kind) (platform_kind:consign_errors:rate5m{category="system"})`, "{{kind}}"), stacked),
				graph(8, "Integration errors by kind", perMinute, "Errors per minute: calls, webhooks that were missed, synchronisations, time-outs.", series(`60 * sum by (kind) (platform_kind:consign_errors:rate5m{category="integration"})`, "{{kind}}"), stacked),
				graph(8, "Business errors by kind", perMinute, "Errors per minute: validation, processes, states, data.", series(`60 * sum by (kind) (platform_kind:consign_errors:rate5m{category="business"})`, "{{kind}}"), stacked),
				table(24, "Kinds", "Every kind of error within the period, and within the one before.",
					trouble(`sum by (category, kind) (increase(consign_errors_total[$__range]))`, "Errors", "none", 0), col(orZero(`sum by (category, kind) (increase(consign_errors_total[$__range] offset $__range))`, `sum by (category, kind) (increase(consign_errors_total[$__range]))`), "The period before", "none", 0), sorted("Errors")),
			}},
			{"Where?", []Panel{
				graph(12, "Errors by component", perMinute, "Errors per minute by component, the ten with the most.", series(`topk(10, 60 * platform_component:consign_errors:rate5m)`, "{{component}}"), stacked),
				graph(12, "Crashes", "none", "Crashes within ten minutes, by component.", series(`platform_component:consign_app_crashes:increase10m`, "{{component}}"), stepped, decimals(0)),
				graph(12, "Errors that users saw, by feature", perMinute, "Errors on the screen of a user, per minute, by feature.", series(`60 * platform_feature:consign_user_errors:rate5m`, "{{feature}}"), stacked, leads("", "consignwatch-usage")),
				graph(12, "Contradictions by check", "none", "Rows of the books of the chosen clients that contradict each other, by check.", series(`sum by (check) (client:consign_integrity_violations:max{`+ofClient+`})`, "{{check}}"), decimals(0), stepped, leads("", "consignwatch-inventory")),
			}},
			{"For whom?", []Panel{
				graph(12, "Errors by client", perMinute, "Errors per minute by client, the ten with the most.", series(`topk(10, 60 * sum by (client) (client_kind:consign_errors:rate5m{`+ofClient+`}))`, "{{client}}"), stacked),
				graph(12, "Processes that fail or break a rule", perMinute, "Processes of the chosen clients per minute that failed, or that broke a rule.",
					series(`60 * sum by (process, outcome) (client_process:consign_processes:rate5m{`+ofClient+`,outcome=~"failed|violated"})`, "{{process}} {{outcome}}"), stacked),
			}},
			{"Does it recover?", []Panel{
				graph(8, "Attempts to recover", perMinute, "Attempts per minute by mechanism.", series(`60 * sum by (mechanism) (platform_mechanism:consign_recoveries:rate5m)`, "{{mechanism}}"), stacked),
				graph(8, "Attempts that fail", "percentunit", "Share of the attempts that failed, by mechanism.", series(orZero(`platform_mechanism:consign_recovery_failures_per_attempt:ratio_rate5m`, `sum by (mechanism) (platform_mechanism:consign_recoveries:rate5m)`), "{{mechanism}}"), decimals(0), most(1)),
				table(8, "Recoveries", "Attempts within the period by mechanism and component: how many succeeded, and how many failed.",
					col(orZero(`sum by (mechanism, component) (increase(consign_recoveries_total{outcome="succeeded"}[$__range]))`, `sum by (mechanism, component) (increase(consign_recoveries_total[$__range]))`), "Succeeded", "none", 0),
					trouble(orZero(`sum by (mechanism, component) (increase(consign_recoveries_total{outcome="failed"}[$__range]))`, `sum by (mechanism, component) (increase(consign_recoveries_total[$__range]))`), "Failed", "none", 0), sorted("Failed")),
			}},
		},
	}
}

// burn is how many times faster than it may the error budget is used up, over a window.
func burn(window, matchers string) string {
	return `client_slo:consign_slo_errors_per_event:ratio_rate` + window + `{` + matchers + `} / on (slo) group_left () (1 - consign_slo_objective)`
}

func slos() Dashboard {
	const platform = `client="_platform"`
	return Dashboard{
		File: "Alerting/slos.json", UID: "consignwatch-slo", Title: "Alerting / SLOs",
		Asks: "Do we keep what we promised for 30 days, how fast do we use up what may go wrong, and for whom?", Variables: []string{"client"}, From: "now-24h", Alerts: `alertname=~"SloBudget.*",` + ofAll,
		Rows: []Row{
			{"Is it well?", []Panel{
				stat(12, "Budget left", "percentunit", "What is left of the errors that may happen within 30 days, for the platform as a whole. Below 0 the promise is broken. Reckoned at whole hours.",
					series(`client_slo:consign_slo_budget_left:ratio{`+platform+`}`, "{{slo}}"), named, decimals(0), badBelow(0, 0.25), high(5)),
				stat(12, "Burn rate now", "suffix:×", "How many times faster than it may the budget is used up, over the last hour, for the platform as a whole. Above 1 it does not last.",
					series(burn("1h", platform), "{{slo}}"), named, decimals(1), plainly, high(5)),
			}},
			{"Which promise?", []Panel{
				table(24, "Promises", "Every promise: what was promised and what was kept within 30 days, what is left of the budget, and how many times faster than it may it is used up, over the last hour, six hours and three days. Above 1 it does not last.", by("slo"),
					col(`max by (slo) (consign_slo_objective)`, "Promised", "percentunit", 2),
					col(`1 - max by (slo) (client_slo:consign_slo_errors_per_event:ratio_rate30d{`+platform+`})`, "Kept", "percentunit", 2),
					col(`min by (slo) (client_slo:consign_slo_budget_left:ratio{`+platform+`})`, "Budget left", "percentunit", 0),
					col(`max by (slo) (`+burn("1h", platform)+`)`, "Burn, 1 h", "suffix:×", 1), col(`max by (slo) (`+burn("6h", platform)+`)`, "Burn, 6 h", "suffix:×", 1), col(`max by (slo) (`+burn("3d", platform)+`)`, "Burn, 3 d", "suffix:×", 1),
					col(`sum by (slo) (client_slo:consign_slo_events:rate1h{`+platform+`})`, "Events", perSecond, 2)),
			}},
			{"Since when?", []Panel{
				graph(12, "Budget over time", "percentunit", "What is left of the errors that may happen within 30 days, for the platform as a whole.", series(`client_slo:consign_slo_budget_left:ratio{`+platform+`}`, "{{slo}}"), decimals(0), belowZero),
				graph(12, "Burn rate over an hour", "suffix:×", "How many times faster than it may the budget is used up, over the last hour. The lines are where alerts of P3, P2, P1 and P0 look: 1, 3, 6 and 14.4.",
					series(burn("1h", platform), "{{slo}}"), decimals(1), linesAt(step{1, neutral}, step{3, "yellow"}, step{6, warn}, step{14.4, bad})),
				graph(12, "Burn rate over five minutes", "suffix:×", "The same over the last five minutes: whether it still goes on.", series(burn("5m", platform), "{{slo}}"), decimals(1), linesAt(step{1, neutral}, step{3, "yellow"}, step{6, warn}, step{14.4, bad})),
				graph(12, "Events", perSecond, "How many events count for each promise: with few of them a ratio says nothing.", series(`client_slo:consign_slo_events:rate5m{`+platform+`}`, "{{slo}}"), logarithmic),
			}},
			{"For whom?", []Panel{
				table(12, "Promises by client", "The promises to each of the chosen clients, the fastest burn first.",
					col(`max by (client, slo) (`+burn("1h", ofClient)+`)`, "Burn, 1 h", "suffix:×", 1),
					col(`min by (client, slo) (client_slo:consign_slo_budget_left:ratio{`+ofClient+`})`, "Budget left", "percentunit", 0), sorted("Burn, 1 h"), leads("client", "consignwatch-report-client")),
				graph(12, "Burn rate by client", "suffix:×", "How many times faster than it may each client's budget is used up, over the last hour, the ten fastest.",
					series(`topk(10, `+burn("1h", ofClient)+`)`, "{{client}} {{slo}}"), decimals(1), linesAt(step{1, neutral}, step{3, "yellow"}, step{6, warn}, step{14.4, bad})),
			}},
		},
	}
}

package dashboards

// alerting are the dashboards about alerts: which fire, who acknowledged them, whether they are resolved.
func alerting() []Dashboard {
	return []Dashboard{alertsNow(), escalation(), errorsAndRecovery(), slos()}
}

// ofAll matches the selected clients and the platform as a whole.
const ofAll = `client=~"$client|_platform"`

func alertsNow() Dashboard {
	return Dashboard{
		File: "Alerting/now.json", UID: "consignwatch-alerts", Title: "Alerting / Now",
		Question: "What is firing right now, who has acknowledged it, and can we trust that nothing else is?", Variables: []string{"client"}, Refresh: "30s", Alerts: ofAll,
		Rows: []Row{
			{"Status", []Panel{
				stat(3, "P0", "none", "Firing P0 alerts, which page immediately.", series(`count(ALERTS{alertstate="firing",priority="P0",`+ofAll+`}) or vector(0)`, "P0"), badAbove(1, 1)),
				stat(3, "P1", "none", "Firing P1 alerts, which page within a minute.", series(`count(ALERTS{alertstate="firing",priority="P1",`+ofAll+`}) or vector(0)`, "P1"), badAbove(1, 1)),
				stat(3, "P2", "none", "Firing P2 alerts, which are for office hours.", series(`count(ALERTS{alertstate="firing",priority="P2",`+ofAll+`}) or vector(0)`, "P2"), badAbove(1, 20)),
				stat(3, "P3", "none", "Firing P3 alerts, which are for the daily report.", series(`count(ALERTS{alertstate="firing",priority="P3",`+ofAll+`}) or vector(0)`, "P3")),
				stat(3, "Unacknowledged", "none", "Firing P0/P1 alerts that nobody has acknowledged.",
					series(unacknowledged(), "alerts"), badAbove(1, 1)),
				stat(3, "Pending", "none", "Pending alerts: the condition holds, but not for long enough yet.", series(`count(ALERTS{alertstate="pending",`+ofAll+`}) or vector(0)`, "alerts")),
				stat(3, "Silences", "none", "Active silences: alerts that they match notify nobody.", series(`sum(max by (state) (consign_silences{state="active"}))`, "silences")),
				stat(3, "Watchdog", "none", "Whether the always-firing Watchdog alert fires: if not, nobody is notified of anything.", value(`count(ALERTS{alertname="Watchdog",alertstate="firing",client="_platform"}) or vector(0)`, "watchdog"), valueMappings("MISSING", bad, "OK", good)),
			}},
			{"What is firing?", []Panel{
				table(24, "Firing", "Every firing alert, the most urgent first, and for how long it has been firing.",
					col(`time() - max by (priority, alertname, client, subject, component, team) (min by (alertname, client, component, subject, source_alertname) (ALERTS_FOR_STATE{`+ofAll+`}) * on (alertname, client, component, subject, source_alertname) group_right () (ALERTS{alertstate="firing",priority=~"P0|P1|P2|P3",`+ofAll+`}))`, "For", "s", 0),
					sortedAscending("priority"), dataLink("client", "consignwatch-overview"), height(10)),
				table(12, "Acknowledged", "Acknowledged alerts, and since when.",
					col(`time() - max by (priority, alertname, client, subject) (max without (instance) (consign_alert_acknowledged_timestamp_seconds{`+ofAll+`}) and on (alertname, client, component, subject, priority) max without (instance) (consign_alert_acknowledged{`+ofAll+`}) == 1)`, "Since", "s", 0), sortedAscending("priority")),
				table(12, "Clients with alerts", "Firing alerts of each client by priority.",
					alertColumn(alertsOf("P0"), "P0", "none", 0), alertColumn(alertsOf("P1"), "P1", "none", 0),
					col(alertsOf("P2"), "P2", "none", 0), col(alertsOf("P3"), "P3", "none", 0), sorted("P0"), dataLink("client", "consignwatch-live-sale")),
			}},
			{"Since when?", []Panel{
				graph(12, "Firing alerts by priority", "none", "Number of firing alerts by priority.", series(`sum by (priority) (client_priority:ALERTS:count{`+ofAll+`})`, "{{priority}}"), stacked, decimals(0), stepped,
					colours("P0", bad, "P1", warn, "P2", "yellow", "P3", neutral)),
				table(12, "Longest-firing alerts", "Alerts by the time for which they fired within the period.", col(`topk(20, `+firingTime(ofAll, "priority, alertname, client")+`)`, "For", "s", 0), sorted("For"), dataLink("client", "consignwatch-overview")),
				stateTimeline(24, "Alert timeline", "P0/P1 alerts over time, all subjects of a client together.", series(`max by (alertname, client) (ALERTS{alertstate="firing",priority=~"P0|P1",`+ofAll+`})`, "{{alertname}} {{client}}"), valueMappings("", good, "firing", bad), height(14)),
			}},
			{"Can we trust it?", []Panel{
				tiles(8, "Monitoring", "Whether every target is up, every collector succeeds, and every configuration was loaded.",
					series(`2 * (1 - min(up))`, "targets"), series(`1 - min(max by (collector, target) (consignwatch_collector_success))`, "collectors"),
					series(`1 - min(min without (instance) (consignwatch_config_last_reload_successful))`, "configurations"), showNames),
				graph(8, "Notifications", perMinute, "Notifications per minute by integration, and those that failed.",
					series(`60 * sum by (integration) (rate(alertmanager_notifications_total[$__rate_interval])) > 0`, "{{integration}}"), colours("failed", bad), series(`60 * sum(rate(alertmanager_notifications_failed_total[$__rate_interval]))`, "failed")),
				graph(8, "Data freshness", "s", "Time since each collector last succeeded, the five oldest: alerts evaluate data of this age.",
					series(`topk(5, time() - min by (collector) (max by (collector, target) (consignwatch_collector_last_success_timestamp_seconds)))`, "{{collector}}")),
				graph(8, "Rule evaluation duration", "s", "Evaluation duration of each rule group, the five slowest.", series(`topk(5, sum by (rule_group) (label_replace(prometheus_rule_group_last_duration_seconds, "rule_group", "$1: $2", "rule_group", ".*/([^/]+/[^/]+)[.]yml;(.+)")))`, "{{rule_group}}")),
				graph(8, "p95 event stream lag", "s", "p95 time from an event's record in the stream until the event-exporter counts it, by topic.", series(`histogram_quantile(0.95, sum by (topic, le) (rate(consignwatch_record_delay_seconds_bucket[$__rate_interval])))`, "{{topic}}")),
				graph(8, "Failed collections", perMinute, "Failed collections per minute, by reason.", series(`60 * sum by (collector, reason) (max by (job, collector, reason) (rate(consignwatch_collector_failures_total[$__rate_interval]))) > 0`, "{{collector}} {{reason}}"), stacked),
			}},
		},
	}
}

func escalation() Dashboard {
	return Dashboard{
		File: "Alerting/escalation.json", UID: "consignwatch-escalation", Title: "Alerting / Escalation and response times",
		Question: "Are alerts acknowledged and resolved in time, and if not, who has to be notified?", Variables: []string{"client"}, Alerts: ofAll,
		Rows: []Row{
			{"Status", []Panel{
				stat(4, "Escalated", "none", "Firing alerts that nobody acknowledged in time: the next level has been notified.", series(`count(ALERTS{alertstate="firing",escalation!="",`+ofAll+`}) or vector(0)`, "alerts"), badAbove(1, 1)),
				stat(4, "Unacknowledged", "none", "Firing P0/P1 alerts that nobody has acknowledged.", series(unacknowledged(), "alerts"), badAbove(1, 1)),
				stat(4, "Time to acknowledge (MTTA)", "s", "Mean time to acknowledge of P0/P1 alerts within the period.",
					value(`sum(max by (priority) (increase(consign_alert_time_to_acknowledge_seconds_sum{priority=~"P0|P1"}[$__range]))) / (sum(max by (priority) (increase(consign_alert_time_to_acknowledge_seconds_count{priority=~"P0|P1"}[$__range]))) > 0)`, "mean"), decimals(0)),
				stat(4, "Time to resolve (MTTR)", "s", "Mean time to resolve of P0/P1 alerts within the period.",
					value(`sum(max by (priority) (increase(consign_alert_time_to_resolve_seconds_sum{priority=~"P0|P1"}[$__range]))) / (sum(max by (priority) (increase(consign_alert_time_to_resolve_seconds_count{priority=~"P0|P1"}[$__range]))) > 0)`, "mean"), decimals(0)),
				stat(4, "Firing alerts", "none", "Firing alerts that ackd sees, all priorities.", series(`sum(max by (priority) (consign_alerts_firing))`, "alerts"), decimals(0)),
				stat(4, "Last ackd poll", "s", "Time since ackd last polled Alertmanager successfully. After 15 minutes, acknowledgements no longer stop escalations.", series(`time() - max(consign_ackd_last_poll_timestamp_seconds)`, "ago"), badAbove(120, 900), decimals(0)),
			}},
			{"Who has to be notified?", []Panel{
				table(12, "Escalations", "Escalated alerts and their level: L2 is the second contact, L3 the management, L4 the emergency contacts.",
					rows(`max by (priority, alertname, source_alertname, client, subject) (ALERTS{alertstate="firing",escalation!="",`+ofAll+`})`), sortedAscending("priority"), dataLink("client", "consignwatch-alerts")),
				table(12, "Unacknowledged alerts", "Firing P0/P1 alerts that nobody has acknowledged, and for how long they have been firing.",
					col(`time() - max by (priority, alertname, client, subject) (min by (alertname, client, component, subject, priority) (ALERTS_FOR_STATE{source_alertname="",`+ofAll+`}) * on (alertname, client, component, subject, priority) group_right () (ALERTS{alertstate="firing",priority=~"P0|P1",source_alertname="",`+ofAll+`} unless on (alertname, client, component, subject, priority) max without (instance) (consign_alert_acknowledged{`+ofAll+`}) == 1))`, "For", "s", 0), sortedAscending("priority"), dataLink("client", "consignwatch-alerts")),
				table(24, "Acknowledged alerts", "Acknowledged alerts, for how long they have been, and in how long the acknowledgement ends by the policy.",
					col(`time() - max by (priority, alertname, client, component, subject) (max without (instance) (consign_alert_acknowledged_timestamp_seconds{`+ofAll+`}) and on (alertname, client, component, subject, priority) max without (instance) (consign_alert_acknowledged{`+ofAll+`}) == 1)`, "Since", "s", 0),
					col(`max by (priority, alertname, client, component, subject) (max without (instance) (consign_alert_acknowledged_until_timestamp_seconds{`+ofAll+`})) - time()`, "Ends in", "s", 0), sortedAscending("priority"), height(6)),
			}},
			{"In time?", []Panel{
				table(12, "Time to acknowledge by priority", "Alerts acknowledged within the period, and p50 and p95 of the time to acknowledge.",
					col(`max by (priority) (increase(consign_alert_time_to_acknowledge_seconds_count[$__range]))`, "Acknowledged", "none", 0),
					col(`histogram_quantile(0.5, max by (priority, le) (increase(consign_alert_time_to_acknowledge_seconds_bucket[$__range]))) >= 0`, "p50", "s", 0),
					col(`histogram_quantile(0.95, max by (priority, le) (increase(consign_alert_time_to_acknowledge_seconds_bucket[$__range]))) >= 0`, "p95", "s", 0), sortedAscending("priority")),
				table(12, "Time to resolve by priority", "Alerts resolved within the period, and p50 and p95 of the time to resolve.",
					col(`max by (priority) (increase(consign_alert_time_to_resolve_seconds_count[$__range]))`, "Resolved", "none", 0),
					col(`histogram_quantile(0.5, max by (priority, le) (increase(consign_alert_time_to_resolve_seconds_bucket[$__range]))) >= 0`, "p50", "s", 0),
					col(`histogram_quantile(0.95, max by (priority, le) (increase(consign_alert_time_to_resolve_seconds_bucket[$__range]))) >= 0`, "p95", "s", 0), sortedAscending("priority")),
				graph(12, "Alerts and acknowledgements", "none", "Firing P0/P1 alerts, and those of them that were acknowledged.",
					series(`count(ALERTS{alertstate="firing",priority=~"P0|P1",source_alertname="",`+ofAll+`}) or vector(0)`, "firing"), series(`sum(max without (instance) (consign_alert_acknowledged{priority=~"P0|P1",`+ofAll+`})) or vector(0)`, "acknowledged"), stepped, decimals(0), colours("firing", bad, "acknowledged", good)),
				graph(12, "Escalations by level", "none", "Escalated alerts by level.", series(`count by (alertname) (ALERTS{alertstate="firing",escalation!="",`+ofAll+`})`, "{{alertname}}"), stacked, stepped, decimals(0)),
			}},
			{"Are notifications delivered?", []Panel{
				graph(12, "p95 notification latency", "s", "p95 delivery latency of notifications, by integration.", series(`histogram_quantile(0.95, sum by (integration, le) (rate(alertmanager_notification_latency_seconds_bucket[$__rate_interval]))) >= 0`, "{{integration}}")),
				graph(12, "Failed notifications", perMinute, "Failed notifications per minute, by reason.", series(`60 * sum by (reason) (rate(alertmanager_notifications_failed_total[$__rate_interval]))`, "{{reason}}"), stacked),
			}},
		},
	}
}

// alertsOf counts the alerts of a priority for each client with alerts of any priority.
func alertsOf(priority string) string {
	return orZero(`sum by (client) (client_priority:ALERTS:count{`+ofAll+`,priority="`+priority+`"})`, `sum by (client) (client_priority:ALERTS:count{`+ofAll+`})`)
}

// unacknowledged counts the firing P0/P1 alerts that nobody has acknowledged.
func unacknowledged() string {
	return `count(ALERTS{alertstate="firing",priority=~"P0|P1",source_alertname="",` + ofAll + `} unless on (alertname, client, component, subject, priority) max without (instance) (consign_alert_acknowledged{` + ofAll + `}) == 1) or vector(0)`
}

func errorsAndRecovery() Dashboard {
	return Dashboard{
		File: "Alerting/errors.json", UID: "consignwatch-errors", Title: "Alerting / Errors and recovery",
		Question: "What goes wrong on the platform, where, for whom, and does it recover by itself?", Variables: []string{"client"}, Alerts: `component=~"errors|recovery|application|integrity|state|process",` + ofAll,
		Rows: []Row{
			{"Status", []Panel{
				stat(4, "System errors", perMinute, "Crashes and errors of database, cache and queues, per minute.", series(`60 * sum(platform_kind:consign_errors:rate5m{category="system"}) or vector(0)`, "errors"), decimals(1)),
				stat(4, "Integration errors", perMinute, "Errors of calls, webhooks and syncs, and timeouts, per minute.", series(`60 * sum(platform_kind:consign_errors:rate5m{category="integration"}) or vector(0)`, "errors"), decimals(1)),
				stat(4, "Business errors", perMinute, "Errors of validation, processes, states and data, per minute.", series(`60 * sum(platform_kind:consign_errors:rate5m{category="business"}) or vector(0)`, "errors"), decimals(1)),
				stat(4, "User-facing errors", perMinute, "Errors shown to users, per minute.", series(`60 * sum(platform_feature:consign_user_errors:rate5m) or vector(0)`, "errors"), decimals(1)),
				stat(4, "Failed recoveries", "percentunit", "Share of the recovery attempts that failed.",
					series(`(sum(platform_mechanism_outcome:consign_recoveries:rate5m{outcome="failed"}) or 0 * sum(platform_mechanism_outcome:consign_recoveries:rate5m)) / (sum(platform_mechanism_outcome:consign_recoveries:rate5m) > 0)`, "failed"), decimals(0)),
				stat(4, "Integrity violations", "none", "Rows in the database that contradict each other or the rules of a sale, selected clients.", series(`sum(client_check:consign_integrity_violations:max{`+ofClient+`})`, "rows"), badAbove(1, 1), decimals(0), dataLink("", "consignwatch-inventory")),
			}},
			{"What goes wrong?", []Panel{
				graph(8, "System errors by kind", perMinute, "Errors per minute: crashes, database, cache, queues.", series(`60 * sum by (kind) (platform_kind:consign_errors:rate5m{category="system"})`, "{{kind}}"), stacked),
				graph(8, "Integration errors by kind", perMinute, "Errors per minute: calls, missed webhooks, syncs, timeouts.", series(`60 * sum by (kind) (platform_kind:consign_errors:rate5m{category="integration"})`, "{{kind}}"), stacked),
				graph(8, "Business errors by kind", perMinute, "Errors per minute: validation, processes, states, data.", series(`60 * sum by (kind) (platform_kind:consign_errors:rate5m{category="business"})`, "{{kind}}"), stacked),
				table(24, "Errors by kind", "Errors by kind within the period, and within the one before.",
					alertColumn(`sum by (category, kind) (increase(consign_errors_total[$__range]))`, "Errors", "none", 0), col(orZero(`sum by (category, kind) (increase(consign_errors_total[$__range] offset $__range))`, `sum by (category, kind) (increase(consign_errors_total[$__range]))`), "The period before", "none", 0), sorted("Errors")),
			}},
			{"Where?", []Panel{
				graph(12, "Errors by component", perMinute, "Errors per minute, the ten components with the most.", series(`topk(10, 60 * platform_component:consign_errors:rate5m)`, "{{component}}"), stacked),
				graph(12, "Crashes", "none", "Crashes within ten minutes, by component.", series(`platform_component:consign_app_crashes:increase10m`, "{{component}}"), stepped, decimals(0)),
				graph(12, "User-facing errors by feature", perMinute, "Errors shown to users, per minute, by feature.", series(`60 * platform_feature:consign_user_errors:rate5m`, "{{feature}}"), stacked, dataLink("", "consignwatch-usage")),
				graph(12, "Integrity violations by check", "none", "Rows in the database that contradict each other or the rules of a sale, selected clients, by check.", series(`sum by (check) (client_check:consign_integrity_violations:max{`+ofClient+`})`, "{{check}}"), decimals(0), stepped, dataLink("", "consignwatch-inventory")),
			}},
			{"For whom?", []Panel{
				graph(12, "Errors by client", perMinute, "Errors per minute, the ten clients with the most.", series(`topk(10, 60 * sum by (client) (client_kind:consign_errors:rate5m{`+ofClient+`}))`, "{{client}}"), stacked),
				graph(12, "Failed processes and rule violations", perMinute, "Processes of the selected clients per minute that failed or violated a rule.",
					series(`60 * sum by (process, outcome) (client_process_outcome:consign_processes:rate5m{`+ofClient+`,outcome=~"failed|violated"})`, "{{process}} {{outcome}}"), stacked),
			}},
			{"Does it recover?", []Panel{
				graph(8, "Recovery attempts", perMinute, "Recovery attempts per minute by mechanism.", series(`60 * sum by (mechanism) (platform_mechanism_outcome:consign_recoveries:rate5m)`, "{{mechanism}}"), stacked),
				graph(8, "Failed recovery attempts", "percentunit", "Share of the recovery attempts that failed, by mechanism.", series(orZero(`platform_mechanism:consign_recovery_failures_per_attempt:ratio_rate5m`, `sum by (mechanism) (platform_mechanism_outcome:consign_recoveries:rate5m)`), "{{mechanism}}"), decimals(0), axisMax(1)),
				table(8, "Recoveries by mechanism", "Recovery attempts within the period by mechanism and component: succeeded and failed.",
					col(orZero(`sum by (mechanism, component) (increase(consign_recoveries_total{outcome="succeeded"}[$__range]))`, `sum by (mechanism, component) (increase(consign_recoveries_total[$__range]))`), "Succeeded", "none", 0),
					alertColumn(orZero(`sum by (mechanism, component) (increase(consign_recoveries_total{outcome="failed"}[$__range]))`, `sum by (mechanism, component) (increase(consign_recoveries_total[$__range]))`), "Failed", "none", 0), sorted("Failed")),
			}},
		},
	}
}

// burnRate is the burn rate of the error budget over a window.
func burnRate(window, matchers string) string {
	return `client_slo:consign_slo_errors_per_event:ratio_rate` + window + `{` + matchers + `} / on (slo) group_left () (1 - consign_slo_objective)`
}

func slos() Dashboard {
	const platform = `client="_platform"`
	return Dashboard{
		File: "Alerting/slos.json", UID: "consignwatch-slo", Title: "Alerting / SLOs",
		Question: "Do we meet the SLOs over 30 days, how fast do we burn the error budget, and for whom?", Variables: []string{"client"}, From: "now-24h", Alerts: `alertname=~"SloBudget.*",` + ofAll,
		Rows: []Row{
			{"Status", []Panel{
				stat(12, "Error budget left", "percentunit", "Share of the 30-day error budget that is left, for the platform as a whole. Below 0 the SLO is missed. Evaluated at whole hours.",
					series(`client_slo:consign_slo_budget_left:ratio{`+platform+`}`, "{{slo}}"), showNames, decimals(0), badBelow(0, 0.25), height(5)),
				stat(12, "Burn rate", "suffix:×", "Burn rate of the error budget over the last hour, for the platform as a whole. Above 1 the budget does not last 30 days.",
					series(burnRate("1h", platform), "{{slo}}"), showNames, decimals(1), withoutSparkline, height(5)),
			}},
			{"Which SLO?", []Panel{
				table(24, "SLOs", "Every SLO: its objective, the 30-day result, the error budget left, and the burn rate over one hour, six hours and three days. Above 1 the budget does not last 30 days.", rowLabels("slo"),
					col(`max by (slo) (consign_slo_objective)`, "Objective", "percentunit", 2),
					col(`1 - max by (slo) (client_slo:consign_slo_errors_per_event:ratio_rate30d{`+platform+`})`, "Actual (30d)", "percentunit", 2),
					col(`min by (slo) (client_slo:consign_slo_budget_left:ratio{`+platform+`})`, "Error budget left", "percentunit", 0),
					col(`max by (slo) (`+burnRate("1h", platform)+`)`, "Burn rate (1h)", "suffix:×", 1), col(`max by (slo) (`+burnRate("6h", platform)+`)`, "Burn rate (6h)", "suffix:×", 1), col(`max by (slo) (`+burnRate("3d", platform)+`)`, "Burn rate (3d)", "suffix:×", 1),
					col(`sum by (slo) (client_slo:consign_slo_events:rate1h{`+platform+`})`, "Events", perSecond, 2)),
			}},
			{"Since when?", []Panel{
				graph(12, "Error budget over time", "percentunit", "Share of the 30-day error budget that is left, for the platform as a whole.", series(`client_slo:consign_slo_budget_left:ratio{`+platform+`}`, "{{slo}}"), decimals(0), belowZero),
				graph(12, "Burn rate (1h)", "suffix:×", "Burn rate of the error budget over the last hour. The lines are the thresholds of the P3, P2, P1 and P0 alerts: 1, 3, 6 and 14.4.",
					series(burnRate("1h", platform), "{{slo}}"), decimals(1), fixedLines(step{1, neutral}, step{3, "yellow"}, step{6, warn}, step{14.4, bad})),
				graph(12, "Burn rate (5m)", "suffix:×", "Burn rate over the last five minutes: whether the budget is still burning.", series(burnRate("5m", platform), "{{slo}}"), decimals(1), fixedLines(step{1, neutral}, step{3, "yellow"}, step{6, warn}, step{14.4, bad})),
				graph(12, "Events", perSecond, "Events that count towards each SLO: with few of them a ratio says nothing.", series(`client_slo:consign_slo_events:rate5m{`+platform+`}`, "{{slo}}"), logarithmic),
			}},
			{"For whom?", []Panel{
				table(12, "SLOs by client", "SLOs of the selected clients, the fastest burn rate first.",
					col(`max by (client, slo) (`+burnRate("1h", ofClient)+`)`, "Burn rate (1h)", "suffix:×", 1),
					col(`min by (client, slo) (client_slo:consign_slo_budget_left:ratio{`+ofClient+`})`, "Error budget left", "percentunit", 0), sorted("Burn rate (1h)"), dataLink("client", "consignwatch-report-client")),
				graph(12, "Burn rate by client", "suffix:×", "Burn rate of each client's error budget over the last hour, the ten fastest.",
					series(`topk(10, `+burnRate("1h", ofClient)+`)`, "{{client}} {{slo}}"), decimals(1), fixedLines(step{1, neutral}, step{3, "yellow"}, step{6, warn}, step{14.4, bad})),
			}},
		},
	}
}

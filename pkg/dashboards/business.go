package dashboards

// business are the dashboards about inventory, sales and consignors of the clients.
func business() []Dashboard {
	return []Dashboard{liveSale(), inventory(), consignors(), usage()}
}

// Matchers of the selected clients, and of their selected sale events.
const (
	ofClient = `client=~"$client"`
	ofEvent  = `client=~"$client",event=~"$event"`
)

func liveSale() Dashboard {
	return Dashboard{
		File: "Business/live-sale.json", UID: "consignwatch-live-sale", Title: "Business / Live sale",
		Question: "How is the sale going? Do shoppers come, do they buy, and if not, where do they stop?", Variables: []string{"client", "event"}, Refresh: "30s",
		Alerts: ofClient,
		Rows: []Row{
			{"Status", []Panel{
				stat(4, "Shoppers", "none", "Shoppers who were active within the last five minutes.", series(`sum(max by (client, event) (consign_active_shoppers{`+ofEvent+`}))`, "shoppers"), decimals(0)),
				stat(4, "Orders per minute", "none", "Orders placed per minute.", series(`60 * sum(rate(consign_orders_total{`+ofEvent+`}[$__rate_interval]))`, "orders"), decimals(1)),
				stat(4, "Orders so far", "none", "Orders since the sale began, from the database.", series(`sum(client_event:consign_event_orders:sum{`+ofEvent+`})`, "orders"), decimals(0)),
				stat(4, "Sales so far", "locale", "Sales since the sale began, net of returns, from the database. Each currency by itself.",
					series(`sum by (currency) (client_event_currency:consign_event_sales:sum{`+ofEvent+`})`, "{{currency}}"), decimals(2), showNames, withoutSparkline),
				stat(4, "Sold", "percentunit", "Share of the offered items that are sold.",
					series(`sum(client_event_state:consign_items:sum{`+ofEvent+`,state="sold"}) / sum(client_event_state:consign_items:sum{`+ofEvent+`,state=~"active|locked|sold|returned"})`, "sold"), decimals(1), axisMax(1)),
				stat(4, "Failed checkouts", "percentunit", "Share of the selected clients' checkouts that failed.",
					series("max("+processFailures(`process="checkout"`)+")", "failed"), decimals(1)),
			}},
			{"Do shoppers come and buy?", []Panel{
				graph(12, "Shoppers by sale", "none", "Shoppers who were active within the last five minutes.", series(`max by (client, event) (consign_active_shoppers{`+ofEvent+`})`, "{{client}} {{event}}"), stacked, decimals(0)),
				graph(12, "Orders by channel", perMinute, "Orders placed per minute, online and at the checkout counter.", series(`60 * sum by (channel) (rate(consign_orders_total{`+ofEvent+`}[$__rate_interval]))`, "{{channel}}"), stacked),
				graph(12, "Sales", "locale", "Sales since each sale began, net of returns, from the database.",
					series(`client_event_currency:consign_event_sales:sum{`+ofEvent+`}`, "{{client}} {{event}} {{currency}}"), decimals(0)),
				graph(12, "Items sold", perMinute, "Items sold per minute, at full price and at markdown price.",
					series(`60 * sum by (markdown) (rate(consign_items_sold_total{`+ofEvent+`}[$__rate_interval]))`, "markdown: {{markdown}}"), stacked),
			}},
			{"What sells?", []Panel{
				table(16, "Categories", "Every category of the sale: items for sale, sold and returned.",
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="active"}))`, "For sale", "none", 0),
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="sold"}))`, "Sold", "none", 0),
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="sold"})) / sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state=~"active|locked|sold|returned"}))`, "Share sold", "percentunit", 0),
					alertColumn(`sum by (category) (max by (client, event, category) (consign_event_returns{`+ofEvent+`}))`, "Returned", "none", 0), sorted("Sold")),
				bars(8, "Sales by category", "locale", "Sales net of returns, the ten best categories. Each currency by itself.",
					value(`topk(10, sum by (category, currency) (max by (client, event, category, currency) (consign_event_sales{`+ofEvent+`})))`, "{{category}} {{currency}}"), decimals(0), height(9)),
			}},
			{"Sale events", []Panel{
				table(24, "All selected sale events", "Every selected sale event: when it ends, and its results so far.",
					rows(`max by (client, event, name, status) (consign_event_info{`+ofEvent+`})`),
					col(`max by (client, event) (consign_event_end_timestamp_seconds{`+ofEvent+`}) - time()`, "Ends in", "s", 0),
					col(`max by (client, event) (consign_active_shoppers{`+ofEvent+`})`, "Shoppers", "none", 0),
					col(`client_event:consign_event_orders:sum{`+ofEvent+`}`, "Orders", "none", 0),
					col(`sum by (client, event) (client_event_state:consign_items:sum{`+ofEvent+`,state="sold"})`, "Items sold", "none", 0),
					col(`client_event:consign_event_returns:sum{`+ofEvent+`}`, "Returns", "none", 0),
					sorted("Shoppers"), dataLink("client", "consignwatch-live-sale")),
			}},
			{"If not, where do they stop?", []Panel{
				graph(8, "Checkouts", perMinute, "Checkouts of the selected clients per minute, by outcome.",
					series(`60 * sum by (outcome) (client_process_outcome:consign_processes:rate5m{`+ofClient+`,process="checkout"})`, "{{outcome}}"), colours("succeeded", good, "failed", bad, "started", neutral, "violated", accent)),
				graph(8, "Failed checkouts by client", "percentunit", "Share of the checkouts that failed, by client, with the strictest thresholds of the selected clients.",
					series(processFailures(`process="checkout"`), "{{client}}"), clientThresholdLines("checkout_failure_ratio"), decimals(1)),
				graph(8, "p95 latency", "s", "p95 request latency, by client, with the strictest thresholds of the selected clients.",
					series(`client:consign_api_request_duration_seconds:p95_rate5m{`+ofClient+`}`, "{{client}}"), clientThresholdLines("api_latency_seconds"), logarithmic, dataLink("", "consignwatch-api")),
				graph(8, "Failed requests", "percentunit", "Share of the requests that failed, by client, with the strictest thresholds of the selected clients.",
					series(clientFailures(), "{{client}}"), clientThresholdLines("api_error_ratio"), decimals(1), dataLink("", "consignwatch-api")),
				graph(8, "Missing orders", "none", "Orders in the shop that the platform does not have.", series(`max by (client) (consign_shopify_orders_missing{`+ofClient+`})`, "{{client}}"), decimals(0), stepped, dataLink("", "consignwatch-shopify")),
				graph(8, "Returns and refunds", perMinute, "Refunds per minute.", series(`60 * sum by (client, event) (rate(consign_refunds_total{`+ofEvent+`}[$__rate_interval]))`, "{{client}} {{event}}"), stacked),
			}},
		},
	}
}

func inventory() Dashboard {
	return Dashboard{
		File: "Business/inventory.json", UID: "consignwatch-inventory", Title: "Business / Inventory",
		Question: "What is listed, sold, returned and left, and is the data consistent?", Variables: []string{"client", "event"},
		Alerts: `component=~"integrity|sync|state",client=~"$client"`,
		Rows: []Row{
			{"Status", []Panel{
				stat(4, "For sale", "none", "Items that can be bought.", series(`sum(client_event_state:consign_items:sum{`+ofEvent+`,state="active"})`, "items"), decimals(0)),
				stat(4, "Sold", "none", "Items that are sold.", series(`sum(client_event_state:consign_items:sum{`+ofEvent+`,state="sold"})`, "items"), decimals(0)),
				stat(4, "Drafts", "none", "Items that their consignors have not offered yet.", series(`sum(client_event_state:consign_items:sum{`+ofEvent+`,state="draft"}) or vector(0)`, "items"), decimals(0)),
				stat(4, "Return rate", "percentunit", "Returns as a share of what was sold, sold items that came back included.",
					series(`sum(client_event:consign_event_returns:sum{`+ofEvent+`}) / (sum(client_event_state:consign_items:sum{`+ofEvent+`,state="sold"}) + sum(client_event:consign_event_returns:sum{`+ofEvent+`}))`, "returned"), decimals(1)),
				stat(4, "Unsynced items", "none", "Items for sale whose last change has not reached the shop.", series(`sum(max by (client, event) (consign_unsynced_items{`+ofEvent+`}))`, "items"), decimals(0)),
				stat(4, "Integrity violations", "none", "Rows in the database that contradict each other or the rules of a sale.", series(`sum(client_check:consign_integrity_violations:max{`+ofClient+`})`, "rows"), badAbove(1, 1), decimals(0)),
			}},
			{"Stock", []Panel{
				graph(12, "Items by state", "none", "All items of the selected sale events by state.", series(`sum by (state) (client_event_state:consign_items:sum{`+ofEvent+`})`, "{{state}}"), stacked, decimals(0),
					colours("sold", good, "active", neutral, "returned", bad, "draft", defaultText, "locked", warn, "transferred", accent)),
				graph(12, "Value by state", "locale", "Value of the items: the asking price, for sold items the price paid. Each currency by itself.",
					series(`sum by (state, currency) (max by (client, event, state, currency) (consign_items_value{`+ofEvent+`}))`, "{{state}} {{currency}}"), decimals(0)),
				table(24, "Stock by category", "Every category of the selected sale events, by state.",
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="draft"}))`, "Draft", "none", 0),
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="active"}))`, "For sale", "none", 0),
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="locked"}))`, "Locked", "none", 0),
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="sold"}))`, "Sold", "none", 0),
					alertColumn(`sum by (category) (max by (client, event, category) (consign_event_returns{`+ofEvent+`}))`, "Returns", "none", 0),
					col(`sum by (category) (max by (client, event, category, state) (consign_items{`+ofEvent+`,state="transferred"}))`, "Transferred", "none", 0), sorted("For sale")),
			}},
			{"Movement", []Panel{
				graph(12, "Listed, sold, returned, transferred", perMinute, "Items per minute.",
					series(`60 * sum(rate(consign_items_listed_total{`+ofEvent+`}[$__rate_interval]))`, "listed"), series(`60 * sum(rate(consign_items_sold_total{`+ofEvent+`}[$__rate_interval]))`, "sold"),
					series(`60 * sum(rate(consign_items_returned_total{`+ofEvent+`}[$__rate_interval]))`, "returned"), series(`60 * sum(rate(consign_items_transferred_total{`+ofEvent+`}[$__rate_interval]))`, "transferred"),
					colours("listed", neutral, "sold", good, "returned", bad, "transferred", accent)),
				graph(12, "Return rate by sale", "percentunit", "Returns as a share of what was sold, by sale event.",
					series(`client_event:consign_event_returns:sum{`+ofEvent+`} / (sum by (client, event) (client_event_state:consign_items:sum{`+ofEvent+`,state="sold"}) + client_event:consign_event_returns:sum{`+ofEvent+`})`, "{{client}} {{event}}"), decimals(1)),
				graph(12, "Sold by category", perMinute, "Items sold per minute by category, all clients together.", series(`60 * sum by (category) (rate(consign_category_items_total{change="sold"}[$__rate_interval]))`, "{{category}}"), stacked),
				graph(12, "Time to sell", "s", "p50 and p90 time from listed to sold, all clients together.",
					series(`histogram_quantile(0.5, sum by (le) (rate(consign_item_time_to_sell_seconds_bucket[$__rate_interval])))`, "p50"),
					series(`histogram_quantile(0.9, sum by (le) (rate(consign_item_time_to_sell_seconds_bucket[$__rate_interval])))`, "p90")),
			}},
			{"Is the data consistent?", []Panel{
				graph(12, "Integrity violations by check", "none", "Rows in the database that contradict each other or the rules of a sale, by check. Only checks with violations.",
					series(`sum by (client, check) (client_check:consign_integrity_violations:max{`+ofClient+`}) > 0`, "{{client}} {{check}}"), decimals(0), stepped),
				table(12, "Integrity checks", "Every integrity check, and the violations that it found.",
					alertColumn(`sum by (check) (client_check:consign_integrity_violations:max{`+ofClient+`})`, "Rows", "none", 0), sorted("Rows")),
			}},
		},
	}
}

func consignors() Dashboard {
	return Dashboard{
		File: "Business/consignors.json", UID: "consignwatch-consignors", Title: "Business / Consignors",
		Question: "Do consignors register, bring their items, help, and get their money?", Variables: []string{"client", "event"},
		Alerts: `component=~"process|integrity|state",client=~"$client"`,
		Rows: []Row{
			{"Status", []Panel{
				stat(4, "Consignors", "none", "Consignors who are registered for the selected sale events.", series(`sum(max by (client, event, type) (consign_event_consignors{`+ofEvent+`}))`, "consignors"), decimals(0)),
				stat(4, "Unpaid fees", "none", "Registered consignors who have not paid their fee.", series(`sum(max by (client, event) (consign_event_unpaid_fees{`+ofEvent+`}))`, "consignors"), decimals(0)),
				stat(4, "Volunteer spots filled", "percentunit", "Share of the spots in volunteer shifts that are filled.",
					series(`sum(max by (client, event, shift, state) (consign_volunteer_spots{`+ofEvent+`,state="filled"})) / sum(max by (client, event, shift, state) (consign_volunteer_spots{`+ofEvent+`}))`, "filled"), decimals(0), axisMax(1)),
				stat(4, "Drop-off spots filled", "percentunit", "Share of the spots in drop-off slots that are filled.",
					series(`sum(max by (client, event, state) (consign_dropoff_spots{`+ofEvent+`,state="filled"})) / sum(max by (client, event, state) (consign_dropoff_spots{`+ofEvent+`}))`, "filled"), decimals(0), axisMax(1)),
				stat(4, "Missed drop-offs", "percentunit", "Share of the past drop-offs to which nobody came.",
					series(`sum(max by (client, event, status) (consign_dropoff_bookings{`+ofEvent+`,status="no_show"})) / (sum(max by (client, event, status) (consign_dropoff_bookings{`+ofEvent+`,status=~"no_show|completed"})) > 0) or vector(0)`, "missed"), decimals(0)),
				stat(4, "Pending settlements", "none", "Settlements that are not paid out yet.", series(`sum(max by (client, event, status) (consign_settlements{`+ofEvent+`,status="pending"})) or vector(0)`, "settlements"), decimals(0)),
			}},
			{"Registration", []Panel{
				graph(12, "Registrations", perMinute, "Consignors who registered, per minute, by type.", series(`60 * sum by (type) (rate(consign_consignors_registered_total{`+ofEvent+`}[$__rate_interval]))`, "{{type}}"), stacked),
				graph(12, "Registered consignors", "none", "Consignors of each selected sale event.", series(`sum by (client, event) (max by (client, event, type) (consign_event_consignors{`+ofEvent+`}))`, "{{client}} {{event}}"), decimals(0)),
			}},
			{"Items", []Panel{
				graph(12, "Items listed", perMinute, "Items that consignors listed, per minute, by sale event.", series(`60 * sum by (client, event) (rate(consign_items_listed_total{`+ofEvent+`}[$__rate_interval]))`, "{{client}} {{event}}"), stacked),
				graph(12, "Items per consignor", "none", "Mean number of items per registered consignor.",
					series(`sum by (client, event) (client_event_state:consign_items:sum{`+ofEvent+`}) / sum by (client, event) (max by (client, event, type) (consign_event_consignors{`+ofEvent+`}))`, "{{client}} {{event}}"), decimals(1)),
			}},
			{"Volunteers", []Panel{
				graph(8, "Sign-ups and cancellations", perMinute, "Volunteers who signed up for a shift or cancelled it, per minute.",
					series(`60 * sum(rate(consign_volunteer_signups_total{`+ofEvent+`}[$__rate_interval]))`, "sign-ups"), series(`60 * sum(rate(consign_volunteer_cancellations_total{`+ofEvent+`}[$__rate_interval]))`, "cancellations"), colours("sign-ups", good, "cancellations", warn)),
				table(8, "Shifts", "Spots in volunteer shifts, by kind of shift.",
					col(`sum by (shift) (max by (client, event, shift, state) (consign_volunteer_spots{`+ofEvent+`,state="filled"}))`, "Filled", "none", 0),
					col(`sum by (shift) (max by (client, event, shift, state) (consign_volunteer_spots{`+ofEvent+`,state="open"}))`, "Open", "none", 0), sorted("Open")),
				bars(8, "Shift bookings", "none", "Bookings of volunteer shifts by status.", value(`sum by (status) (max by (client, event, status) (consign_volunteer_bookings{`+ofEvent+`}))`, "{{status}}"), decimals(0)),
			}},
			{"Drop-off", []Panel{
				graph(8, "Drop-offs", perMinute, "Drop-offs scheduled, completed and missed, per minute.", series(`60 * sum by (outcome) (rate(consign_dropoffs_total{`+ofEvent+`}[$__rate_interval]))`, "{{outcome}}"), colours("completed", good, "missed", bad, "scheduled", neutral)),
				bars(8, "Drop-off bookings", "none", "Bookings of drop-off slots by status.", value(`sum by (status) (max by (client, event, status) (consign_dropoff_bookings{`+ofEvent+`}))`, "{{status}}"), decimals(0)),
				graph(8, "Drop-off duration", "s", "p50 and p95 duration of drop-offs, all clients together.",
					series(`histogram_quantile(0.5, sum by (le) (rate(consign_dropoff_duration_seconds_bucket[$__rate_interval])))`, "p50"), series(`histogram_quantile(0.95, sum by (le) (rate(consign_dropoff_duration_seconds_bucket[$__rate_interval])))`, "p95")),
			}},
			{"Money", []Panel{
				graph(12, "Settlements", "none", "Settlements with consignors by status.", series(`sum by (status) (max by (client, event, status) (consign_settlements{`+ofEvent+`}))`, "{{status}}"), decimals(0), colours("paid", good, "pending", warn)),
				graph(12, "Settlement amounts", "locale", "Amount of the settlements by status. Each currency by itself.", series(`sum by (status, currency) (max by (client, event, status, currency) (consign_settlements_amount{`+ofEvent+`}))`, "{{status}} {{currency}}"), decimals(0)),
				graph(24, "Failed processes", "percentunit", "Share of the intakes, pick-ups, reconciliations and settlements that failed, the ten worst, with the strictest thresholds of the selected clients.",
					series("topk(10, "+processFailures(`process!="checkout"`)+")", "{{client}} {{process}}"), clientThresholdLines("process_failure_ratio"), decimals(0)),
			}},
		},
	}
}

func usage() Dashboard {
	return Dashboard{
		File: "Business/usage.json", UID: "consignwatch-usage", Title: "Business / System usage",
		Question: "Who uses the platform, what for and for how long, and what goes wrong for them?", Variables: []string{"client"},
		Alerts: `component=~"errors|application",client=~"$client|_platform"`,
		Rows: []Row{
			{"Status", []Panel{
				stat(4, "Active users", "none", "Sessions that were active within the last five minutes.", series(`sum(client_role:consign_active_users:max{`+ofClient+`})`, "users"), decimals(0)),
				stat(4, "Active shoppers", "none", "Shoppers in a sale who were active within the last five minutes.", series(`sum(client:consign_active_shoppers:sum{`+ofClient+`})`, "shoppers"), decimals(0)),
				stat(4, "Sessions started", perMinute, "Sessions started, per minute.", series(`60 * sum(rate(consign_sessions_started_total{`+ofClient+`}[$__rate_interval]))`, "sessions"), decimals(1)),
				stat(4, "Session duration", "s", "Mean duration of the sessions that ended, all clients together.", series(`sum(rate(consign_session_duration_seconds_sum[$__rate_interval])) / sum(rate(consign_session_duration_seconds_count[$__rate_interval]))`, "mean"), decimals(1)),
				stat(4, "Features used", perMinute, "Uses of features, per minute.", series(`60 * sum(rate(consign_client_feature_uses_total{`+ofClient+`}[$__rate_interval]))`, "uses"), decimals(1)),
				stat(4, "User-facing errors", perMinute, "Errors shown to users, per minute, all clients together.", series(`60 * sum(platform_feature:consign_user_errors:rate5m) or vector(0)`, "errors"), decimals(1)),
			}},
			{"Who?", []Panel{
				graph(12, "Active users by role", "none", "Sessions that were active within the last five minutes, by role.", series(`sum by (role) (client_role:consign_active_users:max{`+ofClient+`})`, "{{role}}"), stacked, decimals(0)),
				graph(12, "Active users by client", "none", "Sessions that were active within the last five minutes, the ten clients with the most.", series(`topk(10, sum by (client) (client_role:consign_active_users:max{`+ofClient+`}))`, "{{client}}"), stacked, decimals(0)),
			}},
			{"For how long?", []Panel{
				graph(12, "Sessions started by role", perMinute, "Sessions started, per minute, by role.", series(`60 * sum by (role) (rate(consign_sessions_started_total{`+ofClient+`}[$__rate_interval]))`, "{{role}}"), stacked),
				graph(12, "Session duration by role", "s", "Mean duration of the sessions that ended, by role, all clients together.",
					series(`sum by (role) (rate(consign_session_duration_seconds_sum[$__rate_interval])) / (sum by (role) (rate(consign_session_duration_seconds_count[$__rate_interval])) > 0)`, "{{role}}")),
			}},
			{"What for?", []Panel{
				bars(12, "Features", "none", "Uses of features within the period, the fifteen most used, all clients together.", value(`topk(15, sum by (feature) (increase(consign_feature_uses_total[$__range])))`, "{{feature}}"), decimals(0), height(10)),
				graph(12, "Uses by client", perMinute, "Uses of features per minute, the ten clients with the most.", series(`topk(10, 60 * sum by (client) (rate(consign_client_feature_uses_total{`+ofClient+`}[$__rate_interval])))`, "{{client}}"), stacked),
			}},
			{"What goes wrong for them?", []Panel{
				graph(12, "User-facing errors by feature", perMinute, "Errors shown to users, per minute, by feature, all clients together.", series(`60 * platform_feature:consign_user_errors:rate5m > 0`, "{{feature}}"), stacked, dataLink("", "consignwatch-errors")),
				table(12, "Errors by feature", "Uses and user-facing errors of each feature within the period, all clients together.",
					col(`sum by (feature) (increase(consign_feature_uses_total[$__range]))`, "Uses", "none", 0), alertColumn(`sum by (feature) (increase(consign_user_errors_total[$__range]))`, "Errors", "none", 0), sorted("Errors")),
			}},
		},
	}
}

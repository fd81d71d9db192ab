package catalog

// Domains of the business labels: the platform contract, section 2.
func category() Label {
	return Label{Name: "category", Pattern: slug, MaxLength: slugLength, Limit: 20, Typical: 12}
}

func currency() Label {
	// A sale event trades in one currency. The few sales in another one have room where a sale event lacks categories.
	return Label{Name: "currency", Pattern: `[A-Z]{3}`, MaxLength: 3, Limit: 20, Present: 1}
}

func title(name string) Label {
	return Label{Name: name, Pattern: `[^\x00-\x1f\x7f]+`, MaxLength: 200, Limit: 5000, Present: 1}
}

func oneOf(name string, values ...string) Label { return Label{Name: name, Values: values} }

func one(l Label) Label { l.Present = 1; return l }

func typical(n int, l Label) Label { l.Typical = n; return l }

func itemState() Label {
	return typical(3, oneOf("state", "draft", "active", "locked", "sold", "returned", "transferred"))
}

func eventStatus() Label {
	return one(oneOf("status", "setup", "registration", "active", "markdown", "closed", "returns", "reconciliation", "complete"))
}

func bookingStatus() Label {
	return typical(3, oneOf("status", "scheduled", "cancelled", "completed", "no_show"))
}

func spotState() Label { return oneOf("state", "filled", "open") }

func shift() Label {
	return oneOf("shift", "drop_off_sorting", "item_organization", "shopper_assistance", "general_help")
}

func settlementStatus() Label {
	return typical(2, oneOf("status", "pending", "paid", "cancelled"))
}

func ticketPriority() Label { return oneOf("priority", "urgent", "high", "normal", "low") }

func backupTarget() Label { return oneOf("target", "mysql", "redis", "images") }

func integrityCheck() Label {
	return oneOf("check", "sold_without_sale", "sale_without_item", "negative_remaining", "overbooked_slot", "double_dropoff",
		"too_many_transfers", "price_not_positive", "sold_twice", "return_after_window", "paid_before_reconciliation")
}

// Reasons why a row of the database cannot be used.
const (
	NotANumber    = "not_a_number"    // a text where a number should be
	NotMinorUnits = "not_minor_units" // money that is not an integer below 2^53
	NoLabel       = "no_label"        // a label that is NULL, or is no text
	InvalidID     = "invalid_id"      // an id that is NULL or a floating-point number, or that nobody asked for
	DuplicateRow  = "duplicate"       // two rows with the same labels
)

// RowRejections is the closed set of reasons of consignwatch_row_values_rejected_total.
func RowRejections() []string {
	return []string{NotANumber, NotMinorUnits, NoLabel, InvalidID, DuplicateRow}
}

// businessMetrics are the state of the business, read from the platform's database: contract section 2.
func businessMetrics() []Metric {
	// Bad rows are rare: the budget has no room for one of each kind for each client and collector. What is beyond is dropped, and counted.
	few := func(n int, l Label) Label { l.Present, l.Typical = n, 1; return l }
	return section("2", Business, Max, []Metric{
		{Name: "consign_client_info", Type: Gauge, Unit: Info, Labels: []Label{client(), title("name"), one(Label{Name: "plan", Pattern: slug, MaxLength: slugLength, Limit: 20})},
			Help: "An active client (tenant), with its name and plan. Always 1."},
		{Name: "consign_event_info", Type: Gauge, Unit: Info, Labels: []Label{client(), saleEvent(), title("name"), eventStatus()},
			Help: "A sale event that is neither a draft nor cancelled, until 14 days after its completion. Always 1."},
		{Name: "consign_event_start_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{client(), saleEvent()},
			Help: "When the sale event starts selling, in seconds since 1970."},
		{Name: "consign_event_end_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{client(), saleEvent()},
			Help: "When the sale event stops selling, in seconds since 1970."},
		{Name: "consign_active_shoppers", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Shoppers in the sale event with an open session seen in the last 5 minutes."},
		{Name: "consign_active_users", Type: Gauge, Unit: Count, Labels: []Label{client(), role()},
			Help: "Open sessions seen in the last 5 minutes, by role."},
		{Name: "consign_items", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), category(), itemState()},
			Help: "Items of the sale event by category and state. Combinations without an item have no series."},
		{Name: "consign_items_value", Type: Gauge, Unit: Money, Labels: []Label{client(), saleEvent(), itemState(), currency()},
			Help: "Value of the items of the sale event by state, in major units of the currency: the asked price, for sold items the price paid."},
		{Name: "consign_event_orders", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), oneOf("channel", "online", "pos")},
			Help: "Orders of the sale event since it began, by channel."},
		{Name: "consign_event_expected_orders", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Orders that the sale event should have had in the last hour: the mean of the client's latest complete sale events in the same part of their time, less when fewer consignors take part. While it sells, and absent with fewer than two earlier ones."},
		{Name: "consign_event_expected_listings", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Items that should have been listed for the sale event in the last day: the mean of the client's latest complete sale events in the same part of their time, less when fewer consignors take part. Before it sells, and absent with fewer than two earlier ones."},
		{Name: "consign_event_sales", Type: Gauge, Unit: Money, Labels: []Label{client(), saleEvent(), category(), currency()},
			Help: "Revenue from items of the sale event that were not returned, in major units of the currency."},
		{Name: "consign_event_returns", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), category()},
			Help: "Sales of the sale event that were returned."},
		{Name: "consign_event_consignors", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), oneOf("type", "regular", "super")},
			Help: "Consignors that are registered for the sale event, by type."},
		{Name: "consign_event_unpaid_fees", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Registered consignors of the sale event who have not paid their fee."},
		{Name: "consign_volunteer_spots", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), shift(), spotState()},
			Help: "Spots in the volunteer shifts of the sale event, by kind of shift, filled and open."},
		{Name: "consign_volunteer_bookings", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), bookingStatus()},
			Help: "Bookings of volunteer shifts of the sale event, by status."},
		{Name: "consign_dropoff_spots", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), spotState()},
			Help: "Spots in the drop-off slots of the sale event, filled and open."},
		{Name: "consign_dropoff_bookings", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), bookingStatus()},
			Help: "Bookings of drop-off slots of the sale event, by status."},
		{Name: "consign_unsynced_items", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent()},
			Help: "Items for sale in the sale event whose last change has not reached the shop."},
		{Name: "consign_oldest_unsynced_item_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{client()},
			Help: "When the item that has been waiting longest for its sync to the shop was changed. Absent when none is waiting."},
		{Name: "consign_sync_last_success_timestamp_seconds", Type: Gauge, Unit: Timestamp,
			Labels: []Label{client(), syncKind()},
			Help:   "When the last sync of this kind succeeded."},
		{Name: "consign_email_address_syncs", Type: Gauge, Unit: Count, Labels: []Label{client(), oneOf("status", "pending", "completed", "failed")},
			Help: "Active consignors by the status of the sync of their email address."},
		{Name: "consign_oldest_pending_email_sync_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{client()},
			Help: "When the email sync that has been pending longest was last attempted or, before the first attempt, when its consignor was created. Absent when none is pending."},
		{Name: "consign_settlements", Type: Gauge, Unit: Count, Labels: []Label{client(), saleEvent(), settlementStatus()},
			Help: "Settlements with the consignors of the sale event, by status."},
		{Name: "consign_settlements_amount", Type: Gauge, Unit: Money, Labels: []Label{client(), saleEvent(), settlementStatus(), currency()},
			Help: "Money in the settlements of the sale event, by status, in major units of the currency."},
		{Name: "consign_integrity_violations", Type: Gauge, Unit: Count, Labels: []Label{client(), integrityCheck()},
			Help: "Integrity violations in the client's data, by check: rows that contradict each other or the rules of a sale. 0 when there is none."},
		{Name: "consign_support_tickets", Type: Gauge, Unit: Count, Labels: []Label{client(), typical(3, ticketPriority()), typical(2, oneOf("status", "open", "waiting", "solved"))},
			Help: "Support tickets of the client by priority and status; of the solved ones those of the last 7 days."},
		{Name: "consign_oldest_open_ticket_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{client(), typical(2, ticketPriority())},
			Help: "When the oldest open ticket of the priority was opened. Absent when none is open."},
		{Name: "consign_support_first_response_seconds", Type: Gauge, Unit: Seconds, Labels: []Label{client(), typical(3, ticketPriority())},
			Help: "Mean time from the opening of a ticket to the first response, over the responses of the last 7 days."},
		{Name: "consign_client_stored_bytes", Type: Gauge, Unit: Bytes, Labels: []Label{client()},
			Help: "Size of the images of all items of the client, in all of its sale events."},
		{Name: "consign_backup_last_success_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{backupTarget()},
			Help: "When the last successful backup was finished."},
		{Name: "consign_backup_last_failure_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{backupTarget()},
			Help: "When the last failed backup ended. Absent when none failed."},
		{Name: "consign_backup_size_bytes", Type: Gauge, Unit: Bytes, Labels: []Label{backupTarget()},
			Help: "Size of the last successful backup."},
		{Name: "consign_backup_last_duration_seconds", Type: Gauge, Unit: Seconds, Labels: []Label{backupTarget()},
			Help: "Duration of the last successful backup."},
		{Name: "consign_backups_failed", Type: Gauge, Unit: Count, Labels: []Label{backupTarget()},
			Help: "Backups that failed in the last 7 days."},
		{Name: "consign_replica_lag_seconds", Type: Gauge, Unit: Seconds,
			Help: "Replication lag of the database that the business-exporter reads. Absent when it is not a replica, and while replication is stopped."},
		{Name: "consignwatch_row_values_rejected_total", Type: Counter, Unit: Count, Labels: []Label{few(10, collector()), few(5, client()), few(2, oneOf("reason", RowRejections()...))},
			Help: "Values of rows that cannot be used, by collector, client and reason; counted in each round. The client's series of the metric are left out, those of other clients are not. client is other when the row does not say whose it is."},
	})
}

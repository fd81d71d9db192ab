package catalog

// MandrillOperations is the closed set of the exporter's requests to Mandrill.
func MandrillOperations() []string {
	return []string{"account", "list_subaccounts", "subaccount", "list_webhooks", "list_domains"}
}

// MailKinds is the closed set of what Mandrill counts of messages.
func MailKinds() []string {
	return []string{"sent", "hard_bounce", "soft_bounce", "reject", "complaint", "unsubscribe", "open", "click"}
}

// DomainMechanisms is the closed set of what makes a sending domain trusted.
func DomainMechanisms() []string {
	return []string{"spf", "dkim", "dkim2", "dmarc", "signing", "verified"}
}

// Mailer is the value of the label client for the account itself, of which subaccounts are parts.
const Mailer = "_platform"

// mailer is a client, or the account itself.
func mailer() Label {
	l := client()
	l.Pattern = Mailer + "|" + slug
	return l
}

// mandrillMetrics are contract section 4, collector mandrill.
func mandrillMetrics() []Metric {
	operation, kind := oneOf("operation", MandrillOperations()...), oneOf("kind", MailKinds()...)
	hook := Label{Name: "webhook", Pattern: `[A-Za-z0-9_-]+`, MaxLength: 64, Limit: 50, Typical: 2}
	domain := Label{Name: "domain", Pattern: `[a-z0-9][a-z0-9.-]*`, MaxLength: 253, Limit: 1000, Typical: 20}
	return section("4", Integration, Max, []Metric{
		{Name: "consign_mandrill_up", Type: Gauge, Unit: Bool,
			Help: "Whether Mandrill answered the last request for the state of the account (1; a rate limit response counts) or not (0)."},
		{Name: "consign_mandrill_request_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{operation}, Buckets: serviceBuckets(),
			Help: "Duration of the exporter's own requests to Mandrill until the whole response was read, whatever its status. A request that times out counts with the time until then."},
		{Name: "consign_mandrill_requests_total", Type: Counter, Unit: Count, Labels: []Label{operation, serviceOutcome()},
			Help: "The exporter's own requests to Mandrill by outcome, which follows from the name of the error. None is retried."},
		{Name: "consign_mandrill_reputation", Type: Gauge, Unit: Ratio, Labels: []Label{mailer()},
			Help: "Sender reputation as Mandrill computes it, from 0 to 1; 0.75 and above is good. The client _platform is the whole account; a subaccount that has never sent anything has none."},
		{Name: "consign_mandrill_hourly_quota", Type: Gauge, Unit: Count,
			Help: "Maximum number of messages that Mandrill delivers per hour. Messages beyond it wait in the backlog."},
		{Name: "consign_mandrill_backlog", Type: Gauge, Unit: Count,
			Help: "Messages that wait because the hourly or monthly quota is used up."},
		{Name: "consign_mandrill_messages_total", Type: Counter, Unit: Count, Labels: []Label{kind},
			Help: "Messages of the account since it was opened, by kind of outcome. A message may count under several kinds; opens and clicks count each time."},
		{Name: "consign_mandrill_client_messages", Type: Gauge, Unit: Count, Labels: []Label{client(), kind},
			Help: "Messages of the client's subaccount in the last 30 days, by kind of outcome. Only clients of the inventory, each refreshed every few rounds."},
		{Name: "consign_mandrill_client_sent_total", Type: Counter, Unit: Count, Labels: []Label{client()},
			Help: "Messages that were sent through the client's subaccount since it was opened. Only clients of the inventory."},
		{Name: "consign_mandrill_subaccount_paused", Type: Gauge, Unit: Bool, Labels: []Label{client()},
			Help: "Whether the client's subaccount is paused (1), so that its messages wait, or active (0)."},
		{Name: "consign_mandrill_webhook_last_sent_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{hook},
			Help: "When Mandrill last sent a batch of events to the webhook, in seconds since 1970. Absent before the first."},
		{Name: "consign_mandrill_webhook_failing", Type: Gauge, Unit: Bool, Labels: []Label{hook},
			Help: "Whether Mandrill reports an error of the webhook and has not delivered to it since (1) or not (0)."},
		{Name: "consign_mandrill_domain_valid", Type: Gauge, Unit: Bool, Labels: []Label{domain, oneOf("mechanism", DomainMechanisms()...)},
			Help: "Whether the sending domain passes Mandrill's test (1) or not (0): its DNS records, whether email is signed for it, and whether its owner has confirmed it. Absent when Mandrill does not report it."},
	})
}

package catalog

// Ackd is `consignwatch ackd`, the daemon beside Alertmanager that keeps acknowledgements.
const Ackd Exporter = "ackd"

// Priorities is the closed set of priorities of an alert. The heartbeat, which always fires, has none.
func Priorities() []string { return []string{"P0", "P1", "P2", "P3", "none"} }

// SilenceStates is the closed set of states of a silence, as Alertmanager names them.
func SilenceStates() []string { return []string{"active", "pending", "expired"} }

// The reasons for which a silence hides more than it should.
const (
	SilenceUnrestricted = "unrestricted" // no matcher names a client or a resource
	SilenceManyClients  = "many_clients" // it matches firing alerts of more than three clients
	SilenceLong         = "long"         // it lasts for more than seven days
)

// SilenceReasons is the closed set of these reasons.
func SilenceReasons() []string { return []string{SilenceUnrestricted, SilenceManyClients, SilenceLong} }

// ackdMetrics are contract section 5. Every replica of the daemon sees all alerts, so that none is to be added up.
func ackdMetrics() []Metric {
	priority := oneOf("priority", Priorities()...)
	// The identity of an alert, with its priority. At the most twenty alerts of one client fire at a time.
	alert := []Label{
		{Name: "alertname", Pattern: `[A-Z][A-Za-z0-9]*`, MaxLength: 100, Limit: 300, Present: 20, Typical: 2},
		{Name: "client", Pattern: slug + `|_platform`, MaxLength: slugLength, Limit: DefaultClients},
		one(Label{Name: "component", Pattern: `[a-z][a-z0-9_-]*`, MaxLength: 63, Limit: 100}),
		one(Label{Name: "subject", Pattern: `.+`, MaxLength: 200, Limit: 2000}),
		one(priority),
	}
	// From half a minute to three days.
	waits := []float64{30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 259200}
	return section("5", Ackd, Max, []Metric{
		{Name: "consign_alert_acknowledged", Type: Gauge, Unit: Bool, Labels: alert,
			Help: "Whether the firing alert is acknowledged: 1 while a silence matches it, ours or any other, an explicit 0 otherwise. Absent once it has resolved."},
		{Name: "consign_alert_acknowledged_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: alert,
			Help: "When the alert was acknowledged. Absent while it is unacknowledged."},
		{Name: "consign_alert_acknowledged_until_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: alert,
			Help: "When the acknowledgement of the alert ends if the alert still fires then. Absent while it is unacknowledged, or renewed without a limit."},
		{Name: "consign_alerts_firing", Type: Gauge, Unit: Count, Labels: []Label{priority},
			Help: "Firing alerts, acknowledged or not, without escalations."},
		{Name: "consign_alert_time_to_acknowledge_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{priority}, Buckets: waits,
			Help: "Time from firing to acknowledgement. Alerts that were never acknowledged are not included."},
		{Name: "consign_alert_time_to_resolve_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{priority}, Buckets: waits,
			Help: "Time from firing to resolution, acknowledged or not."},
		{Name: "consign_silences", Type: Gauge, Unit: Count, Labels: []Label{oneOf("state", SilenceStates()...)},
			Help: "Silences in Alertmanager by state, acknowledgements included."},
		{Name: "consign_silences_too_broad", Type: Gauge, Unit: Count, Labels: []Label{oneOf("reason", SilenceReasons()...)},
			Help: "Active silences that hide more than they should: no matcher restricts them to a client or a resource (unrestricted), they match firing alerts of more than three clients (many_clients), or they last for more than seven days (long). Acknowledgements count only for the last."},
		{Name: "consign_ackd_last_poll_timestamp_seconds", Type: Gauge, Unit: Timestamp,
			Help: "When ackd last read alerts and silences from Alertmanager. Older than 15 minutes: acknowledgements no longer stop an escalation."},
	})
}

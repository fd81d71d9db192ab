package catalog

// ServiceOutcomes is the closed set of what can become of a request to Clerk or Mandrill.
func ServiceOutcomes() []string {
	return []string{"ok", "throttled", "auth", "forbidden", "payment_required", "not_found", "invalid_request", "server_error", "timeout", "connection", "invalid_response", "other"}
}

// ClerkOperations is the closed set of the exporter's requests to Clerk.
func ClerkOperations() []string { return []string{"jwks", "count_users", "create_token"} }

// ActiveWindows is the closed set of spans over which active users are counted.
func ActiveWindows() []string { return []string{"1h", "24h", "7d", "30d"} }

// TokenChecks is the closed set of what must hold for the verification of session tokens.
func TokenChecks() []string {
	return []string{"valid_accepted", "expired_rejected", "tampered_rejected", "unknown_key_rejected", "wrong_party_rejected"}
}

// serviceBuckets are for a request to a service elsewhere.
func serviceBuckets() []float64 { return []float64{0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20} }

func serviceOutcome() Label { return typical(3, oneOf("outcome", ServiceOutcomes()...)) }

// clerkMetrics are contract section 4, collector clerk.
func clerkMetrics() []Metric {
	operation := oneOf("operation", ClerkOperations()...)
	return section("4", Integration, Max, []Metric{
		{Name: "consign_clerk_up", Type: Gauge, Unit: Bool,
			Help: "Whether Clerk answered the last request for its signing keys (1; a rate limit response counts) or not (0)."},
		{Name: "consign_clerk_request_duration_seconds", Type: Histogram, Unit: Seconds, Labels: []Label{operation}, Buckets: serviceBuckets(),
			Help: "Duration of the exporter's own requests to Clerk until the whole response was read, whatever its status. A request that times out counts with the time until then."},
		{Name: "consign_clerk_requests_total", Type: Counter, Unit: Count, Labels: []Label{operation, serviceOutcome()},
			Help: "The exporter's own requests to Clerk by outcome. None is retried, and none is sent before Clerk's Retry-After is over."},
		{Name: "consign_clerk_users", Type: Gauge, Unit: Count,
			Help: "Users of the instance, over all clients."},
		{Name: "consign_clerk_active_users", Type: Gauge, Unit: Count, Labels: []Label{oneOf("window", ActiveWindows()...)},
			Help: "Users who were active within the window that ends now, over all clients. The windows overlap."},
		{Name: "consign_clerk_signing_keys", Type: Gauge, Unit: Count,
			Help: "Keys with which session tokens may be signed, of a kind and size that is supported. Two during a rotation with overlap."},
		{Name: "consign_clerk_signing_key_changes_total", Type: Counter, Unit: Count,
			Help: "Changes of the set of signing keys between two requests for it. A rotation with overlap counts twice."},
		{Name: "consign_clerk_clock_offset_seconds", Type: Gauge, Unit: Seconds,
			Help: "Clerk's clock minus the exporter's, by the header Date of the last response that came from no cache, to about a second. Absent while there was none. The token check without verify_url does not depend on it."},
		{Name: "consign_clerk_token_check", Type: Gauge, Unit: Bool, Replicas: Min, Labels: []Label{oneOf("check", TokenChecks()...)},
			Help: "Whether the last synthetic token check passed (1) or failed (0): a valid token must be accepted, all others rejected. 0 of a check that ends in _rejected: somebody can sign in with a forged token. Absent without a verdict."},
		{Name: "consign_clerk_invalid_tokens_presented_total", Type: Counter, Unit: Count, Replicas: Sum, Labels: []Label{oneOf("check", TokenChecks()[1:]...)},
			Help: "Forged, expired and foreign session tokens that the token check presented to the platform, which may count them as security violations. Absent without verify_url, and with verify_exempt: the platform leaves them out."},
		{Name: "consign_clerk_token_check_duration_seconds", Type: Histogram, Unit: Seconds, Buckets: probeBuckets(),
			Help: "Duration of the verification of valid session tokens, network included when the platform verifies. Accepted ones only."},
	})
}

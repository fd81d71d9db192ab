//go:build acceptance

package acceptance

import (
	"slices"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/test/stack"
)

// faultMetric is a fault of a server of the platform, or of an external service, with the expression that shows it: the expression has a result while
// the fault is on, and none before and some time after.
type faultMetric struct{ fault, expression string }

// faultMetrics are the faults by batch. The faults of one batch are on at the same time, because none hides another.
func faultMetrics() [][]faultMetric {
	return [][]faultMetric{
		{
			{"api-slow", `histogram_quantile(0.5, sum by (le) (rate(consign_api_request_duration_seconds_bucket{route!="/healthz"}[30s]))) > 0.5`},
			{"slow-queries", `rate(consign_mysql_slow_queries_total[30s]) > 0`},
			{"deadlocks", `rate(consign_mysql_deadlocks_total[30s]) > 0.1`},
			{"cache-evicting", `rate(consign_redis_evicted_keys_total[30s]) > 1`},
			{"workers-stopped", `consign_queue_group_members{group="platform-workers"} == 0`},
			{"disk-filling", `1 - node_filesystem_avail_bytes{mountpoint="/srv/platform/images"} / node_filesystem_size_bytes > 0.9`},
			{"certificate-expiring", `consign_probe_certificate_expiry_timestamp_seconds - time() < 6 * 86400`},
		},
		{
			{"dead-letters", `consign_queue_dead_letters{queue="image"} > 0 unless consign_queue_dead_letters offset 30s == consign_queue_dead_letters`},
			{"pool-exhausted", `sum(consign_db_pool_connections{pool="api",state="in_use"}) / sum(consign_db_pool_max_connections{pool="api"}) == 1`},
		},
		{
			{"jobs-failing", `sum(rate(consign_jobs_total{outcome="retried"}[30s])) / sum(rate(consign_jobs_total[30s])) > 0.3`},
			{"cache-down", `consign_redis_up == 0`},
		},
		{
			{"api-down", `consign_probe_up == 0`},
			{"database-read-only", `consign_mysql_read_only == 1`},
		},
		{
			{"shopify-down", `consign_shopify_up == 0`},
			{"clerk-down", `consign_clerk_up == 0`},
			{"mandrill-down", `consign_mandrill_up == 0`},
		},
		{
			{"shopify-token-expired", `rate(consign_shopify_requests_total{outcome="auth"}[30s]) > 0`},
			{"clerk-slow", `histogram_quantile(0.5, sum by (le) (rate(consign_clerk_request_duration_seconds_bucket[30s]))) > 0.5`},
			{"mandrill-backlog", `consign_mandrill_backlog > 100`},
			{"domain-broken", `consign_mandrill_domain_valid == 0`},
			{"webhook-forged", `sum(rate(consign_webhooks_received_total{outcome="invalid_signature"}[30s])) > 0.2`},
		},
		{
			{"shopify-throttled", `rate(consign_shopify_requests_total{outcome="throttled"}[30s]) > 0`},
			{"clerk-accepts-forged", `consign_clerk_token_check{check!="valid_accepted"} == 0`},
		},
		{
			{"shopify-orders-lost", `consign_shopify_orders_missing > 0`},
			{"webhook-subscription-removed", `consign_shopify_webhook_subscription == 0`},
			{"mail-bouncing", `sum(increase(consign_emails_total{outcome=~"hard_bounced|soft_bounced"}[30s])) > 0`},
			{"sync-failing", `sum(rate(consign_sync_runs_total{outcome="failed"}[30s])) / sum(rate(consign_sync_runs_total[30s])) > 0.5`},
			{"signing-key-rotated", `increase(consign_clerk_signing_key_changes_total[30s]) > 0`},
		},
		{ // alone: it needs orders, and shops that respond in time
			{"webhooks-lost", `sum(rate(consign_webhooks_received_total[30s])) == 0 and sum(consign_shopify_orders_missing) > 0`},
		},
		{
			{"shopify-slow", `histogram_quantile(0.5, sum by (le) (rate(consign_shopify_request_duration_seconds_bucket[30s]))) > 0.5`},
		},
		{
			{"database-down", `consign_mysql_up == 0`},
			{"broker-restart", `consign_queue_up == 0`},
		},
	}
}

func TestEachFaultOfServersAndServicesIsSeenInPrometheus(t *testing.T) {
	t.Parallel()
	// Sale events of every status, escalations during the test, and enough items for orders all the time.
	d := stack.Start(t, "--events=12", "--items=8000", "--time-scale=20")
	d.Await("All is up")
	state := d.State()
	stack.Await(t, "the first minute", func() string {
		if n := stack.Values(t, state, `count(consign_api_requests_total) and count(consign_queue_dead_letters or consign_queue_group_members) and count(rate(consign_jobs_total[1m]))`); len(n) == 0 {
			return "nothing is counted yet"
		}
		return ""
	})
	for _, batch := range faultMetrics() {
		for _, f := range batch {
			stack.Await(t, f.fault+" before it is on", func() string { return notSeen(stack.Values(t, state, f.expression)) })
		}
		for _, f := range batch {
			stack.SwitchFault(t, state, f.fault, "on")
		}
		for _, f := range batch {
			stack.Await(t, f.fault, func() string {
				if len(stack.Values(t, state, f.expression)) == 0 {
					return "not seen: " + f.expression
				}
				return ""
			})
		}
		for _, f := range slices.Backward(batch) {
			stack.SwitchFault(t, state, f.fault, "off")
		}
		for _, f := range batch {
			stack.Await(t, f.fault+" after it is off", func() string { return notSeen(stack.Values(t, state, f.expression)) })
		}
	}
	t.Run("every panel has data", func(t *testing.T) { everyPanelHasData(t, state) })
	d.Stop(state)
}

func notSeen(values []string) string {
	if len(values) > 0 {
		return "seen: " + strings.Join(values, " ")
	}
	return ""
}

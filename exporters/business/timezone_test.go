package business

import (
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

// TestTimesAreUTCWhateverTheServersZone: a TIMESTAMP is an instant, and NOW() in a pack of one's own means the same as UTC_TIMESTAMP().
func TestTimesAreUTCWhateverTheServersZone(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	execute(t, serverstest.Open(t, server.DSN("")), "SET GLOBAL time_zone = '-05:00'", "CREATE DATABASE shop")
	execute(t, serverstest.Open(t, server.DSN("shop")), "CREATE TABLE hours (opens TIMESTAMP NULL)", "INSERT INTO hours VALUES (FROM_UNIXTIME(1800000000))")
	for name, dsn := range map[string]string{"plain": server.DSN("shop"), "a zone in the data source name": withParameter(t, server.DSN("shop"), "time_zone", "'+09:00'")} {
		r := start(t, dsn, `
clients: {interval: 200ms, timeout: 200ms, sql: "SELECT 1 AS client_id, 'north' AS client"}
sale_events: {interval: 200ms, timeout: 200ms, sql: "SELECT 1 AS event_id, 1 AS client_id, 'spring' AS event, TRUE AS changing, TRUE AS exposed"}
refresh_ended: 24h
declare:
  - {name: shop_opens_timestamp_seconds, type: gauge, unit: timestamp, help: Opening.}
  - {name: shop_clock_difference_seconds, type: gauge, unit: seconds, help: Difference.}
queries:
  - name: hours
    interval: 200ms
    timeout: 200ms
    sql: SELECT opens, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), NOW()) AS ahead FROM hours
    metrics: [{metric: shop_opens_timestamp_seconds, value: opens}, {metric: shop_clock_difference_seconds, value: ahead}]
`)
		s := r.Await(t, name+": the hours", func(s map[string]float64) bool { return s["shop_opens_timestamp_seconds"] != 0 })
		if s["shop_opens_timestamp_seconds"] != 1800000000 || s["shop_clock_difference_seconds"] != 0 {
			t.Errorf("%s: it opens at %.0f and the clock is %v s ahead of UTC, want 1800000000 and 0", name, s["shop_opens_timestamp_seconds"], s["shop_clock_difference_seconds"])
		}
	}
}

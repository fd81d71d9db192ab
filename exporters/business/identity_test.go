package business

import (
	"fmt"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

// neighbourPack reads the plans of shops and the goods of their fairs. The ids have the type of the column.
const neighbourPack = `
clients: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS client_id, slug AS client FROM shops"}
sale_events: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS event_id, shop AS client_id, slug AS event, NOT done AS changing, TRUE AS exposed FROM fairs"}
refresh_ended: 24h
queries:
  - name: shops
    per: client
    interval: 200ms
    timeout: 200ms
    sql: SELECT id AS client_id, CONCAT('Shop of ', slug) AS name, slug AS plan FROM shops
    metrics:
      - metric: consign_client_info
  - name: goods
    per: event
    interval: 200ms
    timeout: 200ms
    sql: SELECT fair AS event_id, COUNT(*) AS n FROM goods WHERE fair IN ({{events}}) GROUP BY fair
    metrics:
      - {metric: consign_unsynced_items, value: n}
`

// TestNeighbouringIDsAreNotMixedUp: what belongs to one client or sale event is never exported under the name of another one whose id
// is nearly the same (in a float64 many of these are).
func TestNeighbouringIDsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, column, anna, berta string }{
		{"2^53", "BIGINT", "9007199254740992", "9007199254740993"},
		{"2^53 as DECIMAL", "DECIMAL(20,0)", "9007199254740992", "9007199254740993"},
		{"2^63", "BIGINT UNSIGNED", "9223372036854775807", "9223372036854775808"},
		{"2^64-1", "BIGINT UNSIGNED", "18446744073709551614", "18446744073709551615"},
		{"digits as text", "VARCHAR(40)", "'9007199254740992'", "'9007199254740993'"},
		{"leading zeros", "VARCHAR(40)", "'007'", "'7'"},
		{"UUIDs", "CHAR(36)", "'0190b3c5-7e2a-7cc0-98b4-2f6f3d6a1e01'", "'0190b3c5-7e2a-7cc0-98b4-2f6f3d6a1e02'"},
		{"UUIDs of 16 bytes", "BINARY(16)", "X'0190B3C57E2A7CC098B42F6F3D6A1E01'", "X'0190B3C57E2A7CC098B42F6F3D6A1E02'"},
		{"quotes", "VARCHAR(40)", `'o''clock'`, `'o"clock) OR (1=1'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dsn := serverstest.MariaDB(t)
			execute(t, serverstest.Open(t, dsn),
				fmt.Sprintf("CREATE TABLE shops (id %s, slug VARCHAR(20))", c.column),
				fmt.Sprintf("CREATE TABLE fairs (id %s, shop %s, slug VARCHAR(20), done BOOL)", c.column, c.column),
				fmt.Sprintf("CREATE TABLE goods (fair %s)", c.column),
				fmt.Sprintf("INSERT INTO shops VALUES (%s, 'anna'), (%s, 'berta')", c.anna, c.berta),
				// Anna's sale event has ended, so that the two are read by two statements.
				fmt.Sprintf("INSERT INTO fairs VALUES (%s, %s, 'spring', TRUE), (%s, %s, 'autumn', FALSE)", c.anna, c.anna, c.berta, c.berta),
				fmt.Sprintf("INSERT INTO goods VALUES (%s), (%s), (%s), (%s), (%s)", c.anna, c.anna, c.berta, c.berta, c.berta))
			r := startPatiently(t, dsn, neighbourPack)
			r.Await(t, "each has its own", func(s map[string]float64) bool {
				return s[`consign_client_info{client="anna",name="Shop of anna",plan="anna"}`] == 1 &&
					s[`consign_client_info{client="berta",name="Shop of berta",plan="berta"}`] == 1 &&
					s[`consign_unsynced_items{client="anna",event="spring"}`] == 2 &&
					s[`consign_unsynced_items{client="berta",event="autumn"}`] == 3 &&
					len(business(s)) == 4
			})
		})
	}
}

package business

import (
	"errors"
	"fmt"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
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

func TestAnIDIsAnIntegerOrAText(t *testing.T) {
	for _, c := range []struct {
		value       any
		decimal     bool
		id, literal string // empty: refused
	}{
		{int64(9007199254740993), false, "9007199254740993", "9007199254740993"},
		{uint64(18446744073709551615), false, "18446744073709551615", "18446744073709551615"},
		{[]byte("18446744073709551615"), true, "18446744073709551615", "18446744073709551615"},
		{[]byte("7.000"), true, "7", "7"},
		{[]byte("7.5"), true, "", ""},
		{[]byte("007"), false, "007", "_utf8mb4 X'303037'"},
		{[]byte("o'clock"), false, "o'clock", "_utf8mb4 X'6F27636C6F636B'"},
		{[]byte{0x01, 0xff}, false, "\x01\xff", "X'01FF'"},
		{[]byte{}, false, "", ""},
		{float64(7), false, "", ""},
		{nil, false, "", ""},
	} {
		r := &row{number: 1, columns: map[string]int{"client_id": 0}, values: []any{c.value}, decimal: []bool{c.decimal}}
		got, err := r.id("client_id")
		literal, _ := r.literal("client_id")
		if string(got) != c.id || literal != c.literal || (err != nil) != (c.id == "") {
			t.Errorf("%T %v: the id %q and the SQL %s (%v), want %q and %s", c.value, c.value, got, literal, err, c.id, c.literal)
		}
		if _, ok := asRowError(err); err != nil && !ok {
			t.Errorf("%v: %v is not about the row", c.value, err)
		}
	}
}

// A pack's query that combines rows must not show a part of a total.
func TestAValueThatCannotBeUsedCostsTheTotalsOfItsClient(t *testing.T) {
	pack, _, _, err := loadPack(exportertest.WriteFile(t, "pack.yml", fairPack), shipped())
	if err != nil {
		t.Fatal(err)
	}
	m := &pack.Queries[0].Metrics[1]
	sum := newTotals()
	for _, v := range []struct {
		client string
		row    rowValue
	}{
		{"north", rowValue{mapping: m, labels: []string{"north"}, value: 1}},
		{"north", rowValue{mapping: m, wrong: &rowError{catalog.NotANumber, errors.New("many")}}},
		{"south", rowValue{mapping: m, labels: []string{"south"}, value: 2}},
	} {
		if err := sum.addOf(v.client, v.row); err != nil {
			t.Fatal(err)
		}
	}
	if !sum.incomplete[clientMetric{m, "north"}] || sum.incomplete[clientMetric{m, "south"}] || len(sum.rejected) != 1 {
		t.Errorf("incomplete are %v and %d values were rejected, want the metric of north and 1", sum.incomplete, len(sum.rejected))
	}
}

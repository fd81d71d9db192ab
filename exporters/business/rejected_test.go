package business

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

// tenantPack reads the stock of three tenants, one of which has bad rows.
const tenantPack = `
clients: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS client_id, slug AS client FROM tenants"}
sale_events: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS event_id, tenant AS client_id, slug AS event, currency, TRUE AS changing, TRUE AS exposed FROM fairs"}
refresh_ended: 24h
queries:
  - name: stock
    per: event
    interval: 200ms
    timeout: 200ms
    sql: SELECT fair AS event_id, 'active' AS state, COUNT(*) AS n, SUM(cents) AS cents, MAX(kind) AS category, MAX(size) AS size FROM stock WHERE fair IN ({{events}}) GROUP BY fair
    metrics:
      - {metric: consign_items, value: n}
      - {metric: consign_items_value, value: cents, minor_units: true}
      - {metric: consign_unsynced_items, value: size, combine: sum, zero: true}
      - {metric: consign_client_stored_bytes, value: size, combine: sum}
  - name: tickets
    per: client
    interval: 200ms
    timeout: 200ms
    sql: SELECT tenant AS client_id, priority, n FROM tickets
    metrics:
      - {metric: consign_support_first_response_seconds, value: n}
`

// TestABadRowCostsItsOwnClientsSeries: what one tenant can write into its rows never hides the numbers of another one.
func TestABadRowCostsItsOwnClientsSeries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, spoil, mend string
		gone              []string // of the tenant north
		counted           string
	}{
		{"another item of 2^53 cents", "INSERT INTO stock VALUES (1, 'toys', 9007199254740992, '0')", "DELETE FROM stock WHERE cents > 1000",
			[]string{"consign_items_value"}, `client="north",collector="stock",reason="not_minor_units"`},
		{"a category that is NULL", "UPDATE stock SET kind = NULL WHERE fair = 1", "UPDATE stock SET kind = 'toys' WHERE fair = 1",
			[]string{"consign_items"}, `client="north",collector="stock",reason="no_label"`},
		{"a text where a number should be", "UPDATE stock SET size = 'many' WHERE fair = 1", "UPDATE stock SET size = '5' WHERE fair = 1",
			[]string{"consign_unsynced_items", "consign_client_stored_bytes"}, `client="north",collector="stock",reason="not_a_number"`},
		{"two rows with the same labels", "INSERT INTO tickets VALUES (1, 'low', 9)", "DELETE FROM tickets WHERE n = 9",
			[]string{"consign_support_first_response_seconds"}, `client="north",collector="tickets",reason="duplicate"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dsn := serverstest.MariaDB(t)
			db := serverstest.Open(t, dsn)
			execute(t, db,
				"CREATE TABLE tenants (id INT, slug VARCHAR(20))", "INSERT INTO tenants VALUES (1, 'north'), (2, 'south')",
				"CREATE TABLE fairs (id INT, tenant INT, slug VARCHAR(20), currency VARCHAR(20))", "INSERT INTO fairs VALUES (1, 1, 'spring', 'EUR'), (2, 2, 'autumn', 'EUR')",
				"CREATE TABLE stock (fair INT, kind VARCHAR(20), cents BIGINT, size VARCHAR(20))", "INSERT INTO stock VALUES (1, 'toys', 100, '5'), (2, 'toys', 200, '6')",
				"CREATE TABLE tickets (tenant INT, priority VARCHAR(20), n INT)", "INSERT INTO tickets VALUES (1, 'low', 1), (2, 'low', 2)")
			r := startPatiently(t, dsn, tenantPack)
			names := []string{"consign_items", "consign_items_value", "consign_unsynced_items", "consign_client_stored_bytes", "consign_support_first_response_seconds"}
			shown := func(s map[string]float64, metric, client string) bool {
				for _, name := range of(s, "client", client) {
					if strings.HasPrefix(name, metric+"{") {
						return true
					}
				}
				return false
			}
			// holds reports whether all metrics of both tenants are shown, but those of north that are gone.
			holds := func(gone ...string) func(map[string]float64) bool {
				return func(s map[string]float64) bool {
					for _, metric := range names {
						missing := false
						for _, g := range gone {
							missing = missing || g == metric
						}
						if shown(s, metric, "north") == missing || !shown(s, metric, "south") {
							return false
						}
					}
					return true
				}
			}
			r.Await(t, "all is shown", holds())
			execute(t, db, c.spoil, "UPDATE stock SET cents = 300, size = '7' WHERE fair = 2", "UPDATE tickets SET n = 3 WHERE tenant = 2")
			r.Await(t, "the numbers of the other tenant go on", func(s map[string]float64) bool {
				return s[`consign_items_value{client="south",currency="EUR",event="autumn",state="active"}`] == 3 &&
					s[`consign_client_stored_bytes{client="south"}`] == 7 && s[`consign_support_first_response_seconds{client="south",priority="low"}`] == 3
			})
			counter := "consignwatch_row_values_rejected_total{" + c.counted + "}"
			r.Await(t, "only the tenant's series are gone, and the rows are counted", func(s map[string]float64) bool {
				return holds(c.gone...)(s) && s[counter] >= 3
			})
			for name, v := range r.Series(t) {
				if strings.HasPrefix(name, "consignwatch_collector_failures_total") && v != 0 {
					t.Errorf("%s = %v: a bad row failed a collection", name, v)
				}
			}
			if n := strings.Count(r.Log(), "a row cannot be used"); n != 1 {
				t.Errorf("the row is logged %d times, want once:\n%s", n, r.Log())
			}
			execute(t, db, c.mend)
			r.Await(t, "all is shown again", holds())
		})
	}
}

// TestABadRowOfTheListsCostsItsOwnClientsSeries: a sale event without a slug is left out, and the totals of its client with it.
func TestABadRowOfTheListsCostsItsOwnClientsSeries(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	db := serverstest.Open(t, dsn)
	fillFairs(t, dsn)
	execute(t, db, "INSERT INTO owners VALUES (2, 'south'), (3, NULL)", "INSERT INTO fairs VALUES (3, 2, 'autumn', FALSE), (4, 2, NULL, FALSE)",
		"INSERT INTO goods VALUES (3, 7), (4, 8)")
	r := startPatiently(t, dsn, fairPack)
	r.Await(t, "the others are shown", func(s map[string]float64) bool {
		_, total := s[`consign_client_stored_bytes{client="south"}`]
		return s[`consign_unsynced_items{client="north",event="summer"}`] == 4 && s[`consign_client_stored_bytes{client="north"}`] == 7000 &&
			s[`consign_unsynced_items{client="south",event="autumn"}`] == 7 && !total &&
			s[`consignwatch_row_values_rejected_total{client="south",collector="goods",reason="no_label"}`] > 0 &&
			s[`consignwatch_row_values_rejected_total{client="other",collector="goods",reason="no_label"}`] > 0
	})
}

// TestABadRowIsLoggedAgainAfterTheLastOneWasCorrected: who is called for the second one finds it in the log, too.
func TestABadRowIsLoggedAgainAfterTheLastOneWasCorrected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		r := newRejections()
		rounds := func(n int, row string) {
			for range n {
				r.add(slog.New(slog.NewTextHandler(&out, nil)), "stock", rejectedRow{"north", rowError{catalog.NotANumber, errors.New(row)}})
				time.Sleep(10 * time.Minute) // the slowest query of the shipped pack
			}
		}
		rounds(10, "row 1")
		time.Sleep(logAgainAfter)
		rounds(10, "row 2")
		if first, second := strings.Count(out.String(), "row 1"), strings.Count(out.String(), "row 2"); first != 1 || second != 1 {
			t.Errorf("the rows are logged %d and %d times, want once each:\n%s", first, second, out.String())
		}
	})
}

package business

import (
	"fmt"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

// floodPack has a query whose number of rows is in a table, and another one.
const floodPack = `
clients: {interval: 1s, timeout: 1s, sql: "SELECT id AS client_id, slug AS client FROM tenants"}
sale_events: {interval: 1s, timeout: 1s, sql: "SELECT 1 AS event_id, 1 AS client_id, 'spring' AS event, 'EUR' AS currency, TRUE AS changing, TRUE AS exposed FROM tenants WHERE FALSE"}
refresh_ended: 24h
queries:
  - name: flood
    per: client
    interval: 2s
    timeout: 2s
    sql: SELECT 1 AS client_id, 1 AS n FROM numbers a JOIN numbers b WHERE 500 * a.i + b.i < (SELECT n FROM wanted)
    metrics:
      - {metric: consign_client_stored_bytes, value: n, combine: sum}
  - name: tickets
    per: client
    interval: 1s
    timeout: 1s
    sql: SELECT id AS client_id, 'low' AS priority, 5 AS n FROM tenants
    metrics:
      - {metric: consign_support_first_response_seconds, value: n}
`

// TestAQueryWithTooManyRowsFailsAndSaysWhatToDo: the others go on, and the query returns when its result is small enough.
func TestAQueryWithTooManyRowsFailsAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	db := serverstest.Open(t, dsn)
	execute(t, db,
		"CREATE TABLE tenants (id INT, slug VARCHAR(20))", "INSERT INTO tenants VALUES (1, 'north')",
		"CREATE TABLE numbers (i INT)", "INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 499) SELECT i FROM n",
		"CREATE TABLE wanted (n INT)", fmt.Sprintf("INSERT INTO wanted VALUES (%d)", maxRows+1))
	r := startPatiently(t, dsn, floodPack)
	stored := `consign_client_stored_bytes{client="north"}`
	s := r.Await(t, "the query fails, the other one does not", func(s map[string]float64) bool {
		return s[`consignwatch_collector_failures_total{collector="flood",reason="query"}`] > 0 && s[`consign_support_first_response_seconds{client="north",priority="low"}`] == 5
	})
	if v, ok := s[stored]; ok {
		t.Errorf("%v of %d rows are shown", v, maxRows+1)
	}
	if want := fmt.Sprintf("the result has more than %d rows: aggregate in SQL", maxRows); !strings.Contains(r.Log(), want) {
		t.Errorf("the log does not say %q:\n%s", want, r.Log())
	}
	execute(t, db, fmt.Sprintf("UPDATE wanted SET n = %d", maxRows))
	r.Await(t, "as many rows as are allowed", func(s map[string]float64) bool { return s[stored] == maxRows })
}

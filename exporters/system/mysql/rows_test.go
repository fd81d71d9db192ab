package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// TestAResultHasALimitOfRows asks a server for as many rows as are allowed, and for one more. The connection can be used afterwards.
func TestAResultHasALimitOfRows(t *testing.T) {
	t.Parallel()
	conn, err := serverstest.Open(t, serverstest.MariaDB(t)).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	query := queryOn(conn)
	const statement = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT a.i FROM n a JOIN n b LIMIT %d"
	if a, err := query(t.Context(), fmt.Sprintf(statement, maxRows)); err != nil || len(a.rows) != maxRows {
		t.Errorf("%d rows, %v", len(a.rows), err)
	}
	_, err = query(t.Context(), fmt.Sprintf(statement, maxRows+1))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the result has more than %d rows", maxRows)) || exporter.ReasonOf(err) != exporter.ReasonParse {
		t.Errorf("one row more: %v", err)
	}
	if a, err := query(t.Context(), "SELECT 1"); err != nil || len(a.rows) != 1 {
		t.Errorf("afterwards: %d rows, %v", len(a.rows), err)
	}
}

package serverstest

import (
	"database/sql"
	"testing"
)

// Plan explains a SELECT: for each access to a table the columns of EXPLAIN,
// empty for NULL. MySQL 9 has another format by default.
func Plan(t testing.TB, db *sql.DB, query string) []map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN FORMAT=TRADITIONAL "+query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan []map[string]string
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		access := map[string]string{}
		for i, name := range names {
			access[name] = values[i].String
		}
		plan = append(plan, access)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

package business

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	deploy "github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

// personal are the columns that the contract marks with a star, and the whole table that holds a secret.
var personal = map[string][]string{
	"client_shopify_access": {"access_token", "shop_domain", "client_id", "token_expires_at", "active"},
	"consignors":            {"email", "name"},
	"items":                 {"title"},
	"sales":                 {"shopper_code"},
}

// reader makes the user of grants.sql, until the test ends, and returns its data source name.
func (h *history) reader(t *testing.T) string {
	t.Helper()
	c, err := mysql.ParseDSN(h.dsn)
	if err != nil {
		t.Fatal(err)
	}
	r := deploy.Reader{Password: `it's a \ password`, Host: "127.0.0.1", Schema: c.DBName}
	execute(t, h.admin, deploy.Grants(r)...)
	execute(t, h.admin, deploy.Grants(r)...) // again, as after an upgrade
	t.Cleanup(func() {
		if _, err := h.admin.ExecContext(context.Background(), "DROP USER "+deploy.User+"@'127.0.0.1'"); err != nil {
			t.Error(err)
		}
	})
	c.User, c.Passwd = deploy.User, r.Password
	return c.FormatDSN()
}

func (h *history) testRights(t *testing.T) {
	dsn := h.reader(t)
	r := startPatiently(t, dsn, quickPack(t), "limits: {clients: 100, events: 100}")
	awaitExpected(t, r, h.platform)
	for name, v := range r.Series(t) {
		if strings.HasPrefix(name, "consignwatch_collector_success") && v != 1 {
			t.Errorf("%s = %v with the shipped rights", name, v)
		}
	}
	db := serverstest.Open(t, dsn)
	refused := func(query string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query); err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("%s: %v, want that it is denied", query, err)
		}
	}
	for table, columns := range personal {
		for _, column := range columns {
			refused("SELECT " + column + " FROM " + table)
			refused("SELECT COUNT(" + column + ") FROM " + table)
			refused("SELECT 1 FROM " + table + " WHERE " + column + " LIKE 'a%'")
		}
		refused("SELECT * FROM " + table)
	}
	refused("SELECT COUNT(*) FROM client_shopify_access")
	refused("DELETE FROM events")
	refused("UPDATE items SET status = 'sold'")
	refused("CREATE TABLE mine (id INT)")
	refused("SELECT * FROM mysql.user")
	h.testConnectionLimit(t, dsn)
}

// testConnectionLimit opens connections until the server has enough of the user.
func (h *history) testConnectionLimit(t *testing.T, dsn string) {
	db := serverstest.Open(t, dsn)
	for n := range 10 {
		conn, err := db.Conn(t.Context())
		if err != nil {
			if n < 1 || !strings.Contains(err.Error(), "max_user_connections") {
				t.Errorf("connection %d: %v", n+1, err)
			}
			return
		}
		defer conn.Close()
	}
	t.Error("the user can open any number of connections")
}

var granted = regexp.MustCompile(`(?s)GRANT SELECT \((.*?)\)\s+ON (\S+)`)

// testRightsAreMinimal takes each right away in turn: at least one query must miss it.
func (h *history) testRightsAreMinimal(t *testing.T) {
	dsn := h.reader(t)
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := serverstest.Open(t, dsn)
	pack := embedded(t)
	texts := []string{pack.Clients.SQL, pack.SaleEvents.SQL}
	for _, q := range pack.Queries {
		texts = append(texts, strings.ReplaceAll(q.SQL, eventsPlaceholder, "1,2"))
	}
	if missing := denied(t, db, texts, ""); missing != "" {
		t.Fatalf("with all rights: %s", missing)
	}
	rights := 0
	for _, statement := range deploy.Grants(deploy.Reader{Host: "127.0.0.1", Schema: c.DBName}) {
		m := granted.FindStringSubmatch(statement)
		if m == nil {
			continue
		}
		_, table, _ := strings.Cut(strings.ReplaceAll(m[2], "`", ""), ".")
		for column := range strings.SplitSeq(m[1], ",") {
			column = strings.TrimSpace(column)
			rights++
			change := func(verb, preposition string) {
				execute(t, h.admin, fmt.Sprintf("%s SELECT (%s) ON %s %s %s@'127.0.0.1'", verb, column, m[2], preposition, deploy.User))
			}
			change("REVOKE", "FROM")
			if denied(t, db, texts, table) == "" {
				t.Errorf("no query misses the right to read %s.%s", table, column)
			}
			change("GRANT", "TO")
		}
	}
	if rights < 50 {
		t.Errorf("only %d rights were found in grants.sql", rights)
	}
}

// denied tries the SELECTs that read a table, and returns the first error.
func denied(t *testing.T, db *sql.DB, texts []string, table string) string {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(text, table) {
			continue
		}
		if _, err := db.ExecContext(t.Context(), "EXPLAIN "+text); err != nil {
			if !strings.Contains(err.Error(), "denied") {
				t.Fatal(err)
			}
			return err.Error()
		}
	}
	return ""
}

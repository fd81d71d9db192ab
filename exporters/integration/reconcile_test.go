package integration

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	deploy "github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/exporters/integration/platformdb"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

const grace = 2 * time.Second

// reconciling is a configuration in which an order has two seconds to arrive.
var reconciling = every("500ms") + "grace_period: 2s\norder_window: 24h\n"

func TestOrdersMissingAreExactlyThoseThatThePlatformLacks(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		m.open(t, "resting")
		l := newPlatformTables(t, dsn, "north", "south", "resting")

		// 600 orders are three pages. The platform lacks one on the first, three in the middle and one at the end.
		north := m.orders(t, "north", 600, time.Minute)
		lost := []int64{north[0], north[251], north[300], north[499], north[599]}
		l.sell(t, "north", slices.DeleteFunc(slices.Clone(north), func(id int64) bool { return slices.Contains(lost, id) })...)
		l.sell(t, "north", north[1], north[1]) // an order has a row for each item
		// None of these counts: older than the window, tests, cancelled.
		m.orders(t, "north", 3, 25*time.Hour)
		m.orders(t, "north", 4, time.Hour, func(o *shopify.Order) { o.Test = true })
		m.orders(t, "north", 5, time.Hour, func(o *shopify.Order) { o.CancelledAt = time.Now() })
		// An order of another client is not this one's.
		south := m.orders(t, "south", 10, time.Minute)
		l.sell(t, "south", south[1:]...)
		l.sell(t, "north", south[0])
		newestOfResting := m.orders(t, "resting", 1, 30*24*time.Hour)

		r := m.start(t, m.config(reconciling)+l.section(t, m))
		awaitMissing := func(what string, want map[string]float64) map[string]float64 {
			t.Helper()
			return r.Await(t, what, func(s map[string]float64) bool {
				for client, n := range want {
					if got, ok := s[of("orders_missing", client)]; !ok || got != n {
						return false
					}
				}
				return true
			})
		}
		page := awaitMissing("the orders that were lost", map[string]float64{"north": 5, "south": 1, "resting": 0})
		for series, want := range map[string]float64{
			of("orders_recent", "north"): 600, of("orders_recent", "south"): 10, of("orders_recent", "resting"): 0,
		} {
			if got, ok := page[series]; !ok || got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
		b, err := m.Books(domainOf("resting"))
		if err != nil || b.Orders[0].ID != newestOfResting[0] {
			t.Fatal(b.Orders, err)
		}
		if got, want := page[of("last_order_timestamp_seconds", "resting")], float64(b.Orders[0].CreatedAt.Unix()); got != want {
			t.Errorf("the last order of a shop that rests is of %v, want %v", got, want)
		}
		if got := unixSeconds(time.Now()) - page[of("last_order_timestamp_seconds", "north")]; got < 59 || got > 120 {
			t.Errorf("the last order of north is %v s old, want about a minute", got)
		}

		l.sell(t, "north", lost[:3]...)
		awaitMissing("three are imported late", map[string]float64{"north": 2, "south": 1})
		l.sell(t, "north", lost[3:]...)
		l.sell(t, "south", south[0])
		awaitMissing("all are", map[string]float64{"north": 0, "south": 0})

		fresh := m.orders(t, "south", 1, 0)[0]
		begin := time.Now()
		awaitMissing("one that is new and does not arrive", map[string]float64{"south": 1})
		if took := time.Since(begin); took < grace-time.Second { // Shopify's times are whole seconds
			t.Errorf("an order was missed after %v, want after the grace period of %v", took, grace)
		}
		if err := m.UpdateOrder(domainOf("south"), fresh, func(o *shopify.Order) { o.CancelledAt = time.Now() }); err != nil {
			t.Fatal(err)
		}
		page = awaitMissing("it is cancelled", map[string]float64{"south": 0})
		if got := page[of("orders_recent", "south")]; got != 10 {
			t.Errorf("%v recent orders with the cancelled one, want 10", got)
		}
	})
}

// TestALostWebhookIsAMissingOrderUntilItIsImported has a platform that learns of orders by webhook alone.
func TestALostWebhookIsAMissingOrderUntilItIsImported(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		l := newPlatformTables(t, dsn, "north")
		hooks := m.network.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var o struct {
				ID int64 `json:"id"`
			}
			if err := json.NewDecoder(r.Body).Decode(&o); err != nil || r.Header.Get("X-Shopify-Topic") != "orders/create" {
				t.Error(err, r.Header)
				return
			}
			if _, err := l.db.ExecContext(r.Context(), fmt.Sprintf("INSERT INTO sales VALUES (%d,1,1,%d,100,'USD','online',NOW(),0,NULL,'x')", o.ID, o.ID)); err != nil {
				t.Error(err)
			}
		}))
		if err := m.Subscribe(domainOf("north"), shopify.Subscription{Topic: "ORDERS_CREATE", URI: hooks.URL}); err != nil {
			t.Fatal(err)
		}
		order := func() int64 {
			t.Helper()
			o, err := m.CreateOrder(domainOf("north"), shopify.Order{})
			if err != nil {
				t.Fatal(err)
			}
			return o.ID
		}
		loses := func(topics ...string) { m.turn(t, "north", func(s *shopify.Switches) { s.LostTopics = topics }) }
		r := m.start(t, m.config(reconciling)+l.section(t, m))
		awaits := func(what string, recent, missing float64) {
			t.Helper()
			r.Await(t, what, func(s map[string]float64) bool {
				n, ok := s[of("orders_missing", "north")]
				return ok && n == missing && s[of("orders_recent", "north")] == recent
			})
		}
		for range 4 {
			order()
		}
		loses("orders/create")
		lost := []int64{order(), order(), order()}
		loses()
		order()
		awaits("three of eight were lost", 8, 3)
		b, err := m.Books(domainOf("north"))
		if err != nil || b.Webhooks["lost"] != 3 || b.Webhooks["delivered"] != 5 {
			t.Fatalf("the fake's books: %v, %v", b.Webhooks, err)
		}
		l.sell(t, "north", lost...)
		awaits("they were imported late", 8, 0)
	})
}

func TestProductsUnmatchedAreThoseThatNoItemBelongsTo(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		l := newPlatformTables(t, dsn, "north", "south")
		north := m.products(t, "north", 520, time.Hour)
		l.list(t, "north", slices.Delete(slices.Clone(north), 248, 252)...) // at the end of a page and the begin of the next
		south := m.products(t, "south", 3, time.Hour)
		l.list(t, "north", south...) // of another client
		r := m.start(t, m.config(reconciling+"\n")+l.section(t, m))
		awaits := func(what string, want map[string]float64) {
			t.Helper()
			r.Await(t, what, func(s map[string]float64) bool {
				for series, n := range want {
					if got, ok := s[series]; !ok || got != n {
						return false
					}
				}
				return true
			})
		}
		awaits("four and three", map[string]float64{
			of("products", "north"): 520, of("products_unmatched", "north"): 4, of("products", "south"): 3, of("products_unmatched", "south"): 3,
		})
		l.list(t, "north", north[248:252]...)
		m.products(t, "north", 1, 0) // too young to be missed
		awaits("they were imported", map[string]float64{of("products", "north"): 521, of("products_unmatched", "north"): 0})
		awaits("one is not", map[string]float64{of("products_unmatched", "north"): 1})
	})
}

// TestThePlatformsDatabaseIsVerifiedByTheAuthorityOfTheConfiguration compares with a database whose certificate is signed by an authority of its own.
func TestThePlatformsDatabaseIsVerifiedByTheAuthorityOfTheConfiguration(t *testing.T) {
	t.Parallel()
	authority, ours := serverstest.NewAuthority(t)
	_, other := serverstest.NewAuthority(t)
	server := serverstest.CertifiedMariaDB(t, authority, net.IPv4(127, 0, 0, 1))
	if _, err := serverstest.Open(t, server.DSN("")).ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	m := newFakeShops(t)
	m.open(t, "north")
	l := newPlatformTables(t, server.DSN("platform"), "north")
	m.orders(t, "north", 2, time.Minute)
	write(t, m.dir, "dsn", l.dsn)
	const failures = `consignwatch_collector_failures_total{collector="shopify_reconciliation",reason="connection"}`
	for ca, verified := range map[string]bool{ours: true, other: false} {
		r := m.start(t, m.config(reconciling)+"platform: {dsn_file: dsn, tls: {ca_file: "+ca+"}}\n")
		s := r.Await(t, "the comparison, or its failure", func(s map[string]float64) bool {
			return s[of("orders_missing", "north")] == 2 || s[failures] > 0
		})
		if (s[failures] == 0) != verified {
			t.Errorf("verified by the authority that signed it: %t, and %v comparisons failed:\n%s", verified, s[failures], r.Log())
		}
		r.Stop()
	}
}

// TestADatabaseThatIsDownCostsNothingButTheComparison stops the platform's database.
func TestADatabaseThatIsDownCostsNothingButTheComparison(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	m := newFakeShops(t)
	m.open(t, "north")
	l := newPlatformTables(t, server.DSN("platform"), "north")
	m.orders(t, "north", 2, time.Minute)
	r := m.start(t, m.config(reconciling)+l.section(t, m))
	r.Await(t, "the orders that are missing", func(s map[string]float64) bool { return s[of("orders_missing", "north")] == 2 })
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "missing orders are not exported, for the reason connection, and all else is", func(s map[string]float64) bool {
		_, ok := s[of("orders_missing", "north")]
		return !ok && s[`consignwatch_collector_failures_total{collector="shopify_reconciliation",reason="connection"}`] > 0 &&
			s[of("up", "north")] == 1 && s[of("orders_recent", "north")] == 2
	})
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "the orders that are missing, again", func(s map[string]float64) bool { return s[of("orders_missing", "north")] == 2 })
}

// TestTheShippedRightsAreEnoughAndNoneTooMany runs the exporter as the user of grants-integration.sql.
func TestTheShippedRightsAreEnoughAndNoneTooMany(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		l := newPlatformTables(t, dsn, "north")
		m.orders(t, "north", 2, time.Minute)
		m.products(t, "north", 3, time.Hour)
		c, err := mysql.ParseDSN(l.dsn)
		if err != nil {
			t.Fatal(err)
		}
		reader := deploy.Reader{Password: `it's a \ password`, Host: "127.0.0.1", Schema: c.DBName}
		for range 2 { // again, as after an upgrade
			for _, statement := range deploy.IntegrationGrants(reader) {
				l.run(t, statement)
			}
		}
		t.Cleanup(func() {
			if _, err := l.db.ExecContext(context.Background(), "DROP USER "+deploy.IntegrationUser+"@'127.0.0.1'"); err != nil {
				t.Error(err)
			}
		})
		c.User, c.Passwd = deploy.IntegrationUser, reader.Password
		section := l.section(t, m)
		write(t, m.dir, "dsn", c.FormatDSN())
		r := m.start(t, m.config(reconciling)+section)
		r.Await(t, "a comparison", func(s map[string]float64) bool {
			return s[of("orders_missing", "north")] == 2 && s[of("products_unmatched", "north")] == 3
		})

		var shipped platformdb.Config
		shipped.Fill()
		db := serverstest.Open(t, c.FormatDSN())
		for _, statement := range []string{
			"SELECT * FROM sales", "SELECT shopper_code FROM sales", "SELECT amount_cents FROM sales", "SELECT title FROM items", "SELECT name FROM clients",
			"SELECT access_token FROM client_shopify_access", "SELECT COUNT(*) FROM client_shopify_access", "SELECT email FROM consignors",
			"DELETE FROM sales", "UPDATE items SET status = 'sold'", "CREATE TABLE mine (id INT)", "SELECT * FROM mysql.user",
		} {
			if _, err := db.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "denied") {
				t.Errorf("%s: %v, want that it is denied", statement, err)
			}
		}
		for _, right := range []string{"id,clients", "slug,clients", "id,events", "client_id,events", "event_id,sales", "shopify_order_id,sales", "event_id,items", "shopify_product_id,items"} {
			column, table, _ := strings.Cut(right, ",")
			change := func(verb, preposition string) {
				l.run(t, fmt.Sprintf("%s SELECT (%s) ON `%s`.%s %s %s@'127.0.0.1'", verb, column, reader.Schema, table, preposition, deploy.IntegrationUser))
			}
			change("REVOKE", "FROM")
			missed := false
			for _, statement := range []string{shipped.OrdersSQL, shipped.ProductsSQL} {
				_, err := db.ExecContext(t.Context(), strings.ReplaceAll(statement, "{ids}", "1"))
				missed = missed || err != nil
			}
			if !missed {
				t.Errorf("no statement misses the right to read %s.%s", table, column)
			}
			change("GRANT", "TO")
		}
	})
}

// TestStatementsOfOnesOwnReplaceOurs compares with tables that are not the contract's.
func TestStatementsOfOnesOwnReplaceOurs(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		l := newPlatformTables(t, dsn, "north")
		l.run(t, "CREATE TABLE imported (tenant VARCHAR(63), order_no BIGINT UNSIGNED)")
		ids := m.orders(t, "north", 3, time.Minute)
		l.run(t, fmt.Sprintf("INSERT INTO imported VALUES ('north', %d), ('north', %d)", ids[0], ids[2]))
		section := strings.Replace(l.section(t, m), "dsn_file: dsn", "dsn_file: dsn, orders_sql: 'SELECT tenant, order_no FROM imported WHERE order_no IN ({ids})'", 1)
		r := m.start(t, m.config(reconciling)+section)
		r.Await(t, "one is missing", func(s map[string]float64) bool { return s[of("orders_missing", "north")] == 1 })
	})
}

// TestTheServerEndsAStatementThatTakesTooLong has a database that is slow, not one that is away.
func TestTheServerEndsAStatementThatTakesTooLong(t *testing.T) {
	t.Parallel()
	l := newPlatformTables(t, serverstest.MariaDB(t), "north")
	db, err := platformdb.Open(&platformdb.Config{
		OrdersSQL: "SELECT slug, {ids} FROM clients WHERE SLEEP(3600) = 0", // only the server's time limit ends it
		Timeout:   yamlfile.Duration(100 * time.Millisecond),
	}, secret.New(l.dsn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.FindOrders(t.Context(), []platformdb.Record{{Client: "north", ID: 1}}, func(platformdb.Record) {})
	limit := serverstest.DialectOf(t, l.db).TimeLimit()
	var ended *mysql.MySQLError
	if exporter.ReasonOf(err) != exporter.ReasonTimeout || !errors.As(err, &ended) || ended.Number != limit.Number {
		t.Errorf("%v (%s), want %s, a timeout", err, exporter.ReasonOf(err), limit.Message)
	}
}

// TestTheStatementsLookNumbersUp explains the statements, in tables with 20,000 rows and the platform's own keys.
func TestTheStatementsLookNumbersUp(t *testing.T) {
	t.Parallel()
	l := newPlatformTables(t, serverstest.MariaDB(t), "north", "south")
	numbers := make([]int64, 5000)
	for range 2 {
		for i := range numbers {
			numbers[i] = int64(l.rows + i + 1)
		}
		for _, client := range []string{"north", "south"} {
			l.sell(t, client, numbers...)
			l.list(t, client, numbers...)
		}
	}
	l.run(t, "ANALYZE TABLE sales, items, events, clients")
	var batch []string
	const batchSize = 500 // of one statement
	for i := range batchSize {
		batch = append(batch, fmt.Sprint(i*7))
	}
	isMySQL := serverstest.DialectOf(t, l.db).MySQL
	conn, err := l.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var shipped platformdb.Config
	shipped.Fill()
	for statement, key := range map[string]string{shipped.OrdersSQL: "sales_shopify_order", shipped.ProductsSQL: "items_shopify_product"} {
		statement = strings.ReplaceAll(statement, "{ids}", strings.Join(batch, ","))
		plan := serverstest.Plan(t, l.db, statement)
		if !slices.ContainsFunc(plan, func(access map[string]string) bool {
			// MySQL may start with the sale events when they are as few as here, and look the numbers up for each.
			perEvent := isMySQL && strings.Contains(access["possible_keys"], key) && strings.HasPrefix(access["Extra"], "Range checked for each record")
			return access["key"] == key || perEvent
		}) {
			t.Errorf("the key %s is not used:\n%v", key, plan)
		}
		if read, most := rowsRead(t, conn, statement), 5*2*batchSize; read > most { // five for each number of each client
			t.Errorf("%d rows are read by the key %s, want at most %d of 20,000:\n%v", read, key, most, plan)
		}
	}
}

// rowsRead runs a SELECT, and returns how many rows the server has read for it.
func rowsRead(t *testing.T, conn *sql.Conn, statement string) int {
	t.Helper()
	for _, s := range []string{"FLUSH STATUS", statement} {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := conn.QueryContext(t.Context(), "SHOW SESSION STATUS LIKE 'Handler_read%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	read := 0
	for rows.Next() {
		var n int
		if err := rows.Scan(new(string), &n); err != nil {
			t.Fatal(err)
		}
		read += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return read
}

package integration

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
	"github.com/consignwatch/consignwatch/simulator/store"
)

// platformTables are the tables of the platform's database, with a sale event for each client.
type platformTables struct {
	db      *sql.DB
	dsn     string
	clients map[string]int // numbers of the clients and of their sale events
	rows    int
}

func newPlatformTables(t testing.TB, dsn string, clients ...string) *platformTables {
	t.Helper()
	l := &platformTables{db: serverstest.Open(t, dsn), dsn: dsn, clients: map[string]int{}}
	if err := store.CreateSchema(t.Context(), l.db); err != nil {
		t.Fatal(err)
	}
	for i, client := range clients {
		l.clients[client] = i + 1
		l.run(t, fmt.Sprintf("INSERT INTO clients VALUES (%d, '%s', 'n', 'd', 'basic', 1, NOW())", i+1, client))
		l.run(t, fmt.Sprintf("INSERT INTO events VALUES (%d, %d, 'spring', 'n', 'active', NOW(), NOW(), NOW(), 9, 'USD', NULL)", i+1, i+1))
	}
	return l
}

func (l *platformTables) run(t testing.TB, statement string) {
	t.Helper()
	if _, err := l.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%.200s: %v", statement, err)
	}
}

// sell inserts orders of a client.
func (l *platformTables) sell(t testing.TB, client string, orders ...int64) {
	t.Helper()
	values := make([]string, len(orders))
	for i, order := range orders {
		l.rows++
		values[i] = fmt.Sprintf("(%d,%d,1,%d,100,'USD','online',NOW(),0,NULL,'x')", l.rows, l.clients[client], order)
	}
	if len(values) > 0 {
		l.run(t, "INSERT INTO sales VALUES "+strings.Join(values, ","))
	}
}

// list inserts items of a client that are in its shop.
func (l *platformTables) list(t testing.TB, client string, products ...int64) {
	t.Helper()
	values := make([]string, len(products))
	for i, product := range products {
		l.rows++
		values[i] = fmt.Sprintf("(%d,%d,1,1,%d,'t',100,'active',1,0,NULL,0,NULL,NULL,NULL,NOW())", l.rows, l.clients[client], product)
	}
	if len(values) > 0 {
		l.run(t, "INSERT INTO items VALUES "+strings.Join(values, ","))
	}
}

// section is the section `platform` of the configuration.
func (l *platformTables) section(t testing.TB, m *fakeShops) string {
	t.Helper()
	write(t, m.dir, "dsn", l.dsn)
	return "platform: {dsn_file: dsn}\n"
}

// orders puts orders into a client's shop, the newest as old as said and each next one older by a minute, and returns their
// numbers.
func (m *fakeShops) orders(t testing.TB, client string, n int, age time.Duration, change ...func(*shopify.Order)) []int64 {
	t.Helper()
	ids := make([]int64, n)
	for i := range ids {
		o := shopify.Order{CreatedAt: time.Now().Add(-age - time.Duration(i)*time.Minute)}
		for _, c := range change {
			c(&o)
		}
		put, err := m.PutOrder(domainOf(client), o)
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = put.ID
	}
	return ids
}

func (m *fakeShops) products(t testing.TB, client string, n int, age time.Duration) []int64 {
	t.Helper()
	ids := make([]int64, n)
	for i := range ids {
		put, err := m.PutProduct(domainOf(client), shopify.Product{CreatedAt: time.Now().Add(-age)})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = put.ID
	}
	return ids
}

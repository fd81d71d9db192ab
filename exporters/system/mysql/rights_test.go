package mysql

import (
	"context"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

// TestARightThatIsGivenLaterIsSeen makes the connection old instead of waiting ten minutes.
func TestARightThatIsGivenLaterIsSeen(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	admin := serverstest.Open(t, dsn)
	if _, err := admin.ExecContext(t.Context(), "CREATE USER late@'127.0.0.1' IDENTIFIED BY 'late'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP USER late@'127.0.0.1'") })
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.User, c.Passwd, c.DBName = "late", "late", ""
	pool := serverstest.Open(t, c.FormatDSN())
	pool.SetMaxOpenConns(1)
	read := func() *state {
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		reading, err := readState(t.Context(), time.Second, bounds(t), queryOn(conn))
		if err != nil {
			t.Fatal(err)
		}
		return reading
	}
	if read().missing["replication_status"] == nil {
		t.Error("the right was not missing")
	}
	serverstest.DialectOf(t, admin).GrantReplicaStatus(t, "late@'127.0.0.1'")
	if read().missing["replication_status"] == nil {
		t.Error("the server gives rights to connections that are there: lifetime has no reason any more")
	}
	pool.SetConnMaxLifetime(time.Nanosecond)
	if err := read().missing["replication_status"]; err != nil {
		t.Errorf("a new connection does not have the right: %v", err)
	}
}

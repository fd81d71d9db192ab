package infra

import (
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

func TestEachRoundIsADeadlock(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t) // the server's status is global
	admin := serverstest.Open(t, server.DSN(""))
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE platform"); err != nil {
		t.Fatal(err)
	}
	db := serverstest.Open(t, server.DSN("platform"))
	for _, statement := range []string{"CREATE TABLE " + deadlockTable + " (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)", "INSERT INTO " + deadlockTable + " VALUES (1, 0), (2, 0)"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	dialect := serverstest.DialectOf(t, db)
	before := dialect.Deadlocks(t)
	for n := range 6 { // none waits until one of the two gives up
		if !deadlockOnce(t.Context(), db) {
			t.Errorf("round %d is no deadlock", n)
		}
	}
	if n := dialect.Deadlocks(t) - before; n != 6 {
		t.Errorf("the server counts %d deadlocks in six rounds", n)
	}
}

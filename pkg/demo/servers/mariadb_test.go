package servers_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
)

func TestMariaDBKeepsCommittedRowsOverAKillAndRestartsOnTheSamePort(t *testing.T) {
	server := serverstest.OwnMariaDB(t)
	db := serverstest.Open(t, server.DSN(""))
	before := time.Now().Truncate(time.Microsecond) // as exact as the column
	for _, query := range []string{
		"CREATE DATABASE shop",
		"CREATE TABLE shop.items (id BIGINT UNSIGNED PRIMARY KEY, listed DATETIME(6) NOT NULL)",
		"INSERT INTO shop.items VALUES (7, UTC_TIMESTAMP(6))",
	} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	inserted := time.Now()
	first, address := server.PID(), server.Address()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Err(); !errors.Is(err, servers.ErrStopped) {
		t.Errorf("Err after Kill = %v, want ErrStopped", err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if server.PID() == first {
		t.Error("the same process after a restart")
	}
	if server.Address() != address {
		t.Errorf("address %s after a restart, was %s", server.Address(), address)
	}
	var id uint64
	var listed time.Time
	if err := db.QueryRowContext(t.Context(), "SELECT id, listed FROM shop.items").Scan(&id, &listed); err != nil {
		t.Fatal(err)
	}
	if id != 7 || listed.Before(before) || listed.After(inserted) {
		t.Errorf("id %d listed at %v, want 7 between %v and %v", id, listed, before, inserted)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := server.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestMariaDBRunsWithTheSettingsThatTheExportersRelyOn(t *testing.T) {
	dir := t.TempDir()
	server, err := servers.StartMariaDB(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	db := serverstest.Open(t, server.DSN(""))
	for variable, want := range map[string]string{
		"tmpdir":               dir, // its own: a server that starts removes the temporary tables of others
		"performance_schema":   "1",
		"time_zone":            "+00:00",
		"character_set_server": "utf8mb4",
		"sql_mode":             "STRICT_TRANS_TABLES",
	} {
		var got string
		if err := db.QueryRowContext(t.Context(), "SELECT @@"+variable).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got, want) {
			t.Errorf("@@%s = %s, want %s", variable, got, want)
		}
	}
}

func TestAHungMariaDBAnswersAgainWhenItIsWoken(t *testing.T) {
	server := serverstest.OwnMariaDB(t)
	db := serverstest.Open(t, server.DSN(""))
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := db.PingContext(short); err == nil {
		t.Error("a stopped server answered")
	}
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := db.PingContext(t.Context()); err != nil {
		t.Errorf("after SIGCONT: %v", err)
	}
}

package serverstest

import (
	"database/sql"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
)

// Dialect is what tests say to a server, and expect of it, where MariaDB (10.11,
// make test) and MySQL (9.7, make test-mysql) differ, so that the tests
// themselves read alike for both.
type Dialect struct {
	// MySQL is for what only one of the two has: its test says so on the other
	// one, and checks that it is lacking there.
	MySQL bool

	db *sql.DB
}

// DialectOf queries a server which of the two it is. What the dialect does, it does
// there, so db belongs to an administrator.
func DialectOf(t testing.TB, db *sql.DB) Dialect {
	t.Helper()
	var version string
	if err := db.QueryRowContext(t.Context(), "SELECT VERSION()").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return Dialect{MySQL: !strings.Contains(version, "MariaDB"), db: db}
}

// OldestVersion is the first version of the kind that the exporters are for
// (docs/install.md).
func (d Dialect) OldestVersion() (major, minor int) {
	if d.MySQL {
		return 8, 0
	}
	return 10, 6
}

// TimeLimit is the error that ends a SELECT at its time limit, with the part of
// its text that names the limit.
func (d Dialect) TimeLimit() mysql.MySQLError {
	if d.MySQL {
		return mysql.MySQLError{Number: 3024, Message: "maximum statement execution time exceeded"} // max_execution_time
	}
	return mysql.MySQLError{Number: 1969, Message: "max_statement_time exceeded"}
}

// ScanReads is what the server counts as read (Handler_read%) when it scans a
// table: a look that finds the end, and on MySQL two that find the beginning.
func (d Dialect) ScanReads(rows int) int {
	if d.MySQL {
		return rows + 3
	}
	return rows + 1
}

// KillUser ends all connections of a user. MySQL has no KILL USER.
func (d Dialect) KillUser(t testing.TB, user string) {
	t.Helper()
	if !d.MySQL {
		d.execute(t, "KILL USER "+user)
		return
	}
	rows, err := d.db.QueryContext(t.Context(), "SELECT id FROM performance_schema.processlist WHERE user = ?", user)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		const noSuchThread = 1094 // it has ended meanwhile
		_, err := d.db.ExecContext(t.Context(), fmt.Sprintf("KILL %d", id))
		if refused, ok := err.(*mysql.MySQLError); err != nil && !(ok && refused.Number == noSuchThread) {
			t.Fatal(err)
		}
	}
}

// Deadlocks is how many the server has counted since its start: a status of
// MariaDB, a counter of InnoDB's on MySQL.
func (d Dialect) Deadlocks(t testing.TB) int {
	t.Helper()
	query := "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'"
	if d.MySQL {
		query = "SELECT NAME, `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'"
	}
	var n int
	if err := d.db.QueryRowContext(t.Context(), query).Scan(new(string), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Follow makes the server a replica of a source, from now on, and reconnects
// each second when the source is away. The empty channel is the default one.
// MySQL renamed the statements in 8.0.22 and 8.4, and hands out the key that a
// password is sent with on request only.
func (d Dialect) Follow(t testing.TB, source *servers.MariaDB, channel string) {
	t.Helper()
	account, err := mysql.ParseDSN(source.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(account.Addr)
	if err != nil {
		t.Fatal(err)
	}
	file, position := d.binaryLog(t, Open(t, source.DSN("")))
	if d.MySQL {
		d.execute(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%s, SOURCE_USER='%s', SOURCE_PASSWORD='%s', SOURCE_LOG_FILE='%s', SOURCE_LOG_POS=%s, "+
			"SOURCE_CONNECT_RETRY=1, GET_SOURCE_PUBLIC_KEY=1 FOR CHANNEL '%s'", host, port, account.User, account.Passwd, file, position, channel))
	} else {
		d.execute(t, fmt.Sprintf("CHANGE MASTER '%s' TO MASTER_HOST='%s', MASTER_PORT=%s, MASTER_USER='%s', MASTER_PASSWORD='%s', MASTER_LOG_FILE='%s', MASTER_LOG_POS=%s, "+
			"MASTER_CONNECT_RETRY=1", channel, host, port, account.User, account.Passwd, file, position))
	}
	d.StartReplica(t, channel)
}

// binaryLog is where a source writes now. MySQL's answer has a column more.
func (d Dialect) binaryLog(t testing.TB, source *sql.DB) (file, position string) {
	t.Helper()
	query, rest := "SHOW MASTER STATUS", []any{new(string), new(string)}
	if d.MySQL {
		query, rest = "SHOW BINARY LOG STATUS", append(rest, new(string))
	}
	if err := source.QueryRowContext(t.Context(), query).Scan(append([]any{&file, &position}, rest...)...); err != nil {
		t.Fatal(err)
	}
	return file, position
}

// StartReplica starts both threads of a channel, or the one that has stopped.
func (d Dialect) StartReplica(t testing.TB, channel string) {
	t.Helper()
	d.replica(t, "START", channel, "")
}

// StopApplying stops the thread of a channel that carries out what was read
// from the source.
func (d Dialect) StopApplying(t testing.TB, channel string) {
	t.Helper()
	d.replica(t, "STOP", channel, "SQL_THREAD")
}

// LoseSource points a channel to a port without a listener. On MySQL it goes
// on applying meanwhile; MariaDB changes the source of a replica that has
// stopped.
func (d Dialect) LoseSource(t testing.TB, channel string) {
	t.Helper()
	if d.MySQL {
		d.replica(t, "STOP", channel, "IO_THREAD")
		d.execute(t, fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_PORT=1 FOR CHANNEL '%s'", channel))
	} else {
		d.replica(t, "STOP", channel, "")
		d.execute(t, fmt.Sprintf("CHANGE MASTER '%s' TO MASTER_PORT=1", channel))
	}
	d.StartReplica(t, channel)
}

func (d Dialect) replica(t testing.TB, verb, channel, thread string) {
	t.Helper()
	if d.MySQL {
		d.execute(t, fmt.Sprintf("%s REPLICA %s FOR CHANNEL '%s'", verb, thread, channel))
	} else {
		d.execute(t, fmt.Sprintf("%s SLAVE '%s' %s", verb, channel, thread))
	}
}

// ReplicaStatus is the statement that returns the state of all channels, and its
// column for the lag. The columns for errors have the same names.
func (d Dialect) ReplicaStatus() (statement, lag string) {
	if d.MySQL {
		return "SHOW REPLICA STATUS", "Seconds_Behind_Source"
	}
	return "SHOW ALL SLAVES STATUS", "Seconds_Behind_Master"
}

// GrantReplicaStatus gives an account the right to ask for the state of
// replication.
func (d Dialect) GrantReplicaStatus(t testing.TB, account string) {
	t.Helper()
	right := "SLAVE MONITOR"
	if d.MySQL {
		right = "REPLICATION CLIENT"
	}
	d.execute(t, "GRANT "+right+" ON *.* TO "+account)
}

func (d Dialect) execute(t testing.TB, statement string) {
	t.Helper()
	if _, err := d.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

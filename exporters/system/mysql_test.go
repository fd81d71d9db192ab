package system

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	deploy "github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// measuringMariaDB starts a server that measures its statements.
func measuringMariaDB(t *testing.T) *servers.MariaDB {
	t.Helper()
	return serverstest.OwnMariaDB(t, "--plugin-load-add=query_response_time", "--query-response-time-stats=ON")
}

// TestMySQLMetricsEqualTheServersStatus does work whose traces are known, and compares each metric with what the server's own
// client program prints before and after a collection.
func TestMySQLMetricsEqualTheServersStatus(t *testing.T) {
	t.Parallel()
	server := measuringMariaDB(t)
	dsn := server.DSN("")
	db := serverstest.Open(t, dsn)
	dialect := serverstest.DialectOf(t, db)
	status := func() map[string]float64 {
		t.Helper()
		s := globalStatus(t, dsn)
		s["deadlocks"] = float64(dialect.Deadlocks(t))
		return s
	}
	r := start(t, patient+mysqlConfig(t, dsn))
	awaitRound(t, r, "mysql", "main")

	execute(t, db, "SET GLOBAL max_connections = 77", "SET GLOBAL read_only = ON",
		"CREATE DATABASE shop", "CREATE TABLE shop.tills (id INT PRIMARY KEY, n INT) ENGINE=InnoDB", "INSERT INTO shop.tills VALUES (1, 0), (2, 0)")
	slow, err := db.Conn(t.Context()) // nothing else is slow, however busy the machine is
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"SET SESSION long_query_time = 0.15", "SELECT SLEEP(0.2)", "SELECT SLEEP(0.2)", "SELECT SLEEP(0.2)", "SET SESSION long_query_time = DEFAULT"} {
		if _, err := slow.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := slow.Close(); err != nil {
		t.Fatal(err)
	}
	deadlock(t, server.DSN("shop"))
	rejectPassword(t, dsn)
	rejectPassword(t, dsn)
	idle := serverstest.Open(t, dsn)
	for range 5 {
		conn, err := idle.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.PingContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	const pings = `consign_mysql_ping_duration_seconds{server="main"}`
	pinged := histogram(t, r, pings).GetSampleCount()
	before := status()
	s := awaitRound(t, r, "mysql", "main")
	after := status()
	// The server counts pings among the administrative commands, of which no other client sends any here. The scrape response is a ping behind, at most.
	within(t, "pings", float64(histogram(t, r, pings).GetSampleCount()-pinged), after["Com_admin_commands"]-before["Com_admin_commands"], 2)
	for name, status := range map[string]string{
		`consign_mysql_queries_total{server="main"}`:                                   "Queries",
		`consign_mysql_slow_queries_total{server="main"}`:                              "Slow_queries",
		`consign_mysql_row_lock_waits_total{server="main"}`:                            "Innodb_row_lock_waits",
		`consign_mysql_deadlocks_total{server="main"}`:                                 "deadlocks",
		`consign_mysql_uptime_seconds{server="main"}`:                                  "Uptime",
		`consign_mysql_max_connections{server="main"}`:                                 "max_connections",
		`consign_mysql_buffer_pool_reads_total{server="main",source="disk"}`:           "Innodb_buffer_pool_reads",
		`consign_mysql_connection_errors_total{error="aborted_connect",server="main"}`: "Aborted_connects",
		`consign_mysql_connection_errors_total{error="aborted_client",server="main"}`:  "Aborted_clients",
		`consign_mysql_connection_errors_total{error="accept",server="main"}`:          "Connection_errors_accept",
		`consign_mysql_connection_errors_total{error="internal",server="main"}`:        "Connection_errors_internal",
		`consign_mysql_connection_errors_total{error="max_connections",server="main"}`: "Connection_errors_max_connections",
		`consign_mysql_connection_errors_total{error="peer_address",server="main"}`:    "Connection_errors_peer_address",
		`consign_mysql_connection_errors_total{error="select",server="main"}`:          "Connection_errors_select",
		`consign_mysql_connection_errors_total{error="tcpwrap",server="main"}`:         "Connection_errors_tcpwrap",
	} {
		v, ok := s[name]
		if !ok {
			t.Errorf("%s is not in the scrape response", name)
		}
		between(t, name, v, min(before[status], after[status]), max(before[status], after[status]))
	}
	for name, want := range map[string]float64{
		`consign_mysql_up{role="primary",server="main"}`:                     1,
		`consign_mysql_max_connections{server="main"}`:                       77,
		`consign_mysql_read_only{server="main"}`:                             1,
		`consign_mysql_slow_queries_total{server="main"}`:                    3,
		`consign_mysql_deadlocks_total{server="main"}`:                       1,
		`consign_mysql_capability{name="statement_histogram",server="main"}`: 1,
		`consign_mysql_capability{name="deadlock_counter",server="main"}`:    1,
		`consign_mysql_capability{name="replication_status",server="main"}`:  1,
	} {
		if s[name] != want {
			t.Errorf("%s = %v, want %v", name, s[name], want)
		}
	}
	if v := s[`consign_mysql_connections{server="main",state="active"}`]; v != 1 {
		t.Errorf("%v connections are active, want the exporter's own", v)
	}
	if v := s[`consign_mysql_connection_errors_total{error="aborted_connect",server="main"}`]; v < 2 {
		t.Errorf("%v connections were aborted, want the two with the wrong password", v)
	}
	// Five idle ones, the pool of the test, the one of the server's start that may still be there; one less for the client program.
	connected := s[`consign_mysql_connections{server="main",state="active"}`] + s[`consign_mysql_connections{server="main",state="idle"}`]
	within(t, "connections, all together", connected, after["Threads_connected"]-1, 1) // without the client program's, which may not be quite gone
	between(t, "idle connections", s[`consign_mysql_connections{server="main",state="idle"}`], 5, after["Threads_connected"])
	within(t, "cached threads", s[`consign_mysql_threads{server="main",state="cached"}`], after["Threads_cached"], 1) // the client program's takes one
	within(t, "running threads", s[`consign_mysql_threads{server="main",state="running"}`], after["Threads_running"], 1)
	within(t, "seconds of row lock waits", s[`consign_mysql_row_lock_wait_seconds_total{server="main"}`], after["Innodb_row_lock_time"]/1000, 0.001)
	between(t, "reads from memory", s[`consign_mysql_buffer_pool_reads_total{server="main",source="memory"}`],
		before["Innodb_buffer_pool_read_requests"]-before["Innodb_buffer_pool_reads"], after["Innodb_buffer_pool_read_requests"]-after["Innodb_buffer_pool_reads"])
	total := 0.0
	for _, state := range []string{"clean", "dirty", "free", "misc"} {
		total += s[fmt.Sprintf(`consign_mysql_buffer_pool_bytes{server="main",state=%q}`, state)]
	}
	held := s[`consign_mysql_buffer_pool_bytes{server="main",state="clean"}`] + s[`consign_mysql_buffer_pool_bytes{server="main",state="dirty"}`]
	// Pages are written and freed in the background, too.
	for what, c := range map[string]struct {
		value  float64
		status string
		unit   float64
	}{
		"pages with data":               {held, "Innodb_buffer_pool_bytes_data", 1},
		"pages with changed data":       {s[`consign_mysql_buffer_pool_bytes{server="main",state="dirty"}`], "Innodb_buffer_pool_bytes_dirty", 1},
		"free bytes of the buffer pool": {s[`consign_mysql_buffer_pool_bytes{server="main",state="free"}`], "Innodb_buffer_pool_pages_free", after["Innodb_page_size"]},
	} {
		between(t, what, c.value, c.unit*min(before[c.status], after[c.status]), c.unit*max(before[c.status], after[c.status]))
	}
	within(t, "the buffer pool, all together", total, after["Innodb_buffer_pool_pages_total"]*after["Innodb_page_size"], 0)
	for name := range s {
		if strings.HasPrefix(name, "consign_mysql_replication") {
			t.Errorf("a server that is no replica has %s", name)
		}
	}

	if h := histogram(t, r, pings); h.GetSampleSum() <= 0 || h.GetCreatedTimestamp() == nil {
		t.Errorf("pings: %v", h)
	}
	created := sample(t, r, `consign_mysql_queries_total{server="main"}`).Counter.GetCreatedTimestamp().AsTime()
	startedIn(t, "start timestamp of the counters", created, func() float64 { return globalStatus(t, dsn)["Uptime"] })
}

// deadlock makes two transactions wait for each other, until the server ends one of them.
func deadlock(t *testing.T, dsn string) {
	t.Helper()
	db := serverstest.Open(t, dsn)
	var tx [2]*sql.Tx
	for i := range tx {
		var err error
		if tx[i], err = db.BeginTx(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		defer tx[i].Rollback()
		if _, err := tx[i].ExecContext(t.Context(), "UPDATE tills SET n = n + 1 WHERE id = ?", i+1); err != nil {
			t.Fatal(err)
		}
	}
	first := make(chan error, 1)
	go func() {
		_, err := tx[0].ExecContext(context.WithoutCancel(t.Context()), "UPDATE tills SET n = n + 1 WHERE id = 2")
		first <- err
	}()
	_, second := tx[1].ExecContext(t.Context(), "UPDATE tills SET n = n + 1 WHERE id = 1")
	if got := fmt.Sprint(second, <-first); !strings.Contains(got, "1213") {
		t.Fatalf("no deadlock: %s", got)
	}
}

func rejectPassword(t *testing.T, dsn string) {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c.Passwd = "wrong"
	if err := serverstest.Open(t, c.FormatDSN()).PingContext(t.Context()); err == nil || !strings.Contains(err.Error(), "1045") {
		t.Fatalf("the wrong password: %v", err)
	}
}

// The histogram of the server called main, and whether it can be had.
const (
	statementTime    = `consign_mysql_statement_duration_seconds{server="main"}`
	statementTimeHad = `consign_mysql_capability{name="statement_histogram",server="main"}`
)

// TestTheHistogramOfMariaDBIsItsOwn compares with the plugin's table, read on another connection.
func TestTheHistogramOfMariaDBIsItsOwn(t *testing.T) {
	t.Parallel()
	if shared := serverstest.Open(t, serverstest.MariaDB(t)); serverstest.DialectOf(t, shared).MySQL {
		lacksTable(t, shared, "information_schema.QUERY_RESPONSE_TIME")
		return
	}
	server := measuringMariaDB(t)
	dsn := server.DSN("")
	db := serverstest.Open(t, dsn)
	r := start(t, patient+mysqlConfig(t, dsn))
	execute(t, db, "SELECT SLEEP(0.2)", "SELECT SLEEP(0.2)", "SELECT SLEEP(1.1)", "SELECT SLEEP(0.02)")

	before := responseTimesOf(t, db)
	awaitRound(t, r, "mysql", "main")
	h := histogram(t, r, statementTime)
	after := responseTimesOf(t, db)
	if h == nil {
		t.Fatal("no histogram")
	}
	var bounds []float64
	for _, b := range h.Bucket {
		bounds = append(bounds, b.GetUpperBound())
		between(t, fmt.Sprintf("statements up to %v s", b.GetUpperBound()), float64(b.GetCumulativeCount()), before.upTo(b.GetUpperBound()), after.upTo(b.GetUpperBound()))
	}
	if want := []float64{0.0001, 0.001, 0.01, 0.1, 1, 10, 100}; !cmp.Equal(bounds, want) {
		t.Errorf("bounds %v, want %v: what is between the server's own bounds is unknown", bounds, want)
	}
	between(t, "all statements", float64(h.GetSampleCount()), before.upTo(1e9), after.upTo(1e9))
	between(t, "their seconds", h.GetSampleSum(), before.sum-0.001, after.sum+0.001)
	one, _ := upTo(h, 1)
	ten, _ := upTo(h, 10)
	tenth, _ := upTo(h, 0.1)
	if ten-one != 1 || one-tenth < 2 {
		t.Errorf("%d statements from 1 to 10 s and %d from 0.1 to 1 s, want 1 and at least 2", ten-one, one-tenth)
	}

	execute(t, db, "SET GLOBAL query_response_time_stats = OFF")
	r.Await(t, "the histogram vanishes", func(s map[string]float64) bool {
		return s[statementTimeHad] == 0 && histogram(t, r, statementTime) == nil
	})
	execute(t, db, "SET GLOBAL query_response_time_stats = ON")
	r.Await(t, "the histogram is there again", func(s map[string]float64) bool {
		return s[statementTimeHad] == 1 && histogram(t, r, statementTime) != nil
	})
	for _, line := range []string{"query_response_time_stats is OFF", "the server has the capability now"} {
		if n := strings.Count(r.Log(), line); n != 1 {
			t.Errorf("the log says %d times %q, want once:\n%s", n, line, r.Log())
		}
	}
}

// lacksTable checks that a test has nothing to do on this server.
func lacksTable(t *testing.T, db *sql.DB, table string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), "SELECT 1 FROM "+table)
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) || refused.Number != 1146 && refused.Number != 1109 { // no such table; no such one in information_schema
		t.Errorf("%s: %v, want that there is none: this test is not for this server alone", table, err)
	}
	t.Logf("nothing to test: the server has no %s", table)
}

// TestTheHistogramOfMySQLIsItsOwn compares with performance_schema, read on another connection.
func TestTheHistogramOfMySQLIsItsOwn(t *testing.T) {
	t.Parallel()
	if shared := serverstest.Open(t, serverstest.MariaDB(t)); !serverstest.DialectOf(t, shared).MySQL {
		lacksTable(t, shared, "performance_schema.events_statements_histogram_global")
		return
	}
	server := serverstest.OwnMariaDB(t, "--log-bin=binlog", "--server-id=1")
	db := serverstest.Open(t, server.DSN(""))
	r := start(t, patient+mysqlConfig(t, server.DSN("")))
	awaitRound(t, r, "mysql", "main")
	first := histogram(t, r, statementTime)
	execute(t, db, "SELECT SLEEP(0.2)", "SELECT SLEEP(0.2)", "SELECT SLEEP(1.1)", "SELECT SLEEP(0.02)")
	h := isPerformanceSchemas(t, r, db)
	if first == nil {
		t.Fatal("no histogram")
	}
	since := func(bound float64) uint64 {
		was, _ := upTo(first, bound)
		is, ok := upTo(h, bound)
		if !ok {
			t.Errorf("the histogram has no bound of %v s", bound)
		}
		return is - was
	}
	if one, ten, tenth := since(1), since(10), since(0.1); ten-one < 1 || one-tenth < 2 {
		t.Errorf("%d statements from 1 to 10 s and %d from 0.1 to 1 s, want at least 1 and 2", ten-one, one-tenth)
	}

	// A replica that has left: its connection is a statement that took as long.
	replica := serverstest.OwnMariaDB(t, "--server-id=2")
	serverstest.DialectOf(t, serverstest.Open(t, replica.DSN(""))).Follow(t, server, "")
	number := func(query string) (n float64) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	exportertest.Eventually(t, "the replica reads", func() bool {
		return number("SELECT COUNT(*) FROM performance_schema.processlist WHERE command LIKE 'Binlog Dump%'") > 0
	})
	execute(t, db, "SELECT SLEEP(1)")
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	const dumps = "SELECT COALESCE(SUM(SUM_TIMER_WAIT), 0) / 1e12 FROM performance_schema.events_statements_summary_global_by_event_name WHERE EVENT_NAME LIKE 'statement/com/Binlog Dump%'"
	exportertest.Eventually(t, "the source has something for a replica that is gone, and sees that it is", func() bool {
		execute(t, db, "CREATE DATABASE IF NOT EXISTS shop")
		return number(dumps) > 0
	})
	if n := number(dumps); n < 1 {
		t.Errorf("binlog dumps took %v s, want the replica's second", n)
	}
	isPerformanceSchemas(t, r, db)

	// What stops the counting is noticed, and what does not stop it is no fault.
	consumer := func(name, enabled string) {
		execute(t, db, "UPDATE performance_schema.setup_consumers SET ENABLED = '"+enabled+"' WHERE NAME = '"+name+"'")
	}
	counts := func(want bool, while string) {
		t.Helper()
		r.Await(t, while, func(s map[string]float64) bool { has, known := s[statementTimeHad]; return known && (has == 1) == want })
		if h := histogram(t, r, statementTime); (h != nil) != want {
			t.Errorf("%s: histogram %v, want one: %t", while, h, want)
		}
	}
	consumer("statements_digest", "NO")
	awaitRound(t, r, "mysql", "main")
	before := histogram(t, r, statementTime).GetSampleCount()
	awaitRound(t, r, "mysql", "main")
	if n := histogram(t, r, statementTime).GetSampleCount(); n <= before {
		t.Errorf("%d statements, then %d: without the consumer statements_digest all are counted as well", before, n)
	}
	consumer("global_instrumentation", "NO")
	counts(false, "without global_instrumentation nothing is counted")
	if !strings.Contains(r.Log(), "global_instrumentation") {
		t.Errorf("the log does not say why there is no histogram:\n%s", r.Log())
	}
	consumer("global_instrumentation", "YES")
	counts(true, "with global_instrumentation statements are counted again")
}

func TestWithoutPerformanceSchemaMySQLHasNoHistogram(t *testing.T) {
	t.Parallel()
	if shared := serverstest.Open(t, serverstest.MariaDB(t)); !serverstest.DialectOf(t, shared).MySQL {
		lacksTable(t, shared, "performance_schema.events_statements_histogram_global")
		return
	}
	r := start(t, patient+mysqlConfig(t, serverstest.OwnMariaDB(t, "--performance-schema=OFF").DSN("")))
	s := awaitRound(t, r, "mysql", "main")
	if h := histogram(t, r, statementTime); s[statementTimeHad] != 0 || h != nil || !strings.Contains(r.Log(), "performance_schema is OFF") {
		t.Errorf("the capability is %v, histogram %v, the log says:\n%s", s[statementTimeHad], h, r.Log())
	}
}

// isPerformanceSchemas compares the histogram of a collection from now on, and returns it.
func isPerformanceSchemas(t *testing.T, r *exportertest.Running, db *sql.DB) *dto.Histogram {
	t.Helper()
	const buckets = "SELECT BUCKET_TIMER_HIGH / 1e12, COUNT_BUCKET, 0 FROM performance_schema.events_statements_histogram_global"
	const sum = "SELECT 0, 0, SUM(SUM_TIMER_WAIT) / 1e12 FROM performance_schema.events_statements_summary_global_by_event_name WHERE EVENT_NAME NOT LIKE 'statement/com/Binlog Dump%'"
	before := statementTimesOf(t, db, buckets, sum)
	awaitRound(t, r, "mysql", "main")
	h := histogram(t, r, statementTime)
	after := statementTimesOf(t, db, buckets, sum)
	if h == nil {
		t.Fatal("no histogram")
	}
	var all []float64
	for _, b := range h.Bucket {
		all = append(all, b.GetUpperBound())
		between(t, fmt.Sprintf("statements up to %v s", b.GetUpperBound()), float64(b.GetCumulativeCount()), before.upTo(b.GetUpperBound()), after.upTo(b.GetUpperBound()))
	}
	if statements, _ := catalog.Shipped().Lookup("consign_mysql_statement_duration_seconds"); !cmp.Equal(all, statements.Buckets) {
		t.Errorf("bounds %v, want %v: MySQL knows them all", all, statements.Buckets)
	}
	between(t, "all statements", float64(h.GetSampleCount()), before.upTo(1e9), after.upTo(1e9))
	between(t, "their seconds", h.GetSampleSum(), before.sum-0.001, after.sum+0.001)
	return h
}

type responseTimeTable struct {
	counts map[float64]float64 // by upper bound
	sum    float64
}

func (r *responseTimeTable) upTo(bound float64) float64 {
	n := 0.0
	for b, count := range r.counts {
		if b <= bound*1.0001 {
			n += count
		}
	}
	return n
}

func responseTimesOf(t *testing.T, db *sql.DB) *responseTimeTable {
	t.Helper()
	return statementTimesOf(t, db, "SELECT CAST(TRIM(`TIME`) AS DOUBLE), `COUNT`, CAST(TRIM(TOTAL) AS DOUBLE) FROM information_schema.QUERY_RESPONSE_TIME WHERE `TIME` <> 'TOO LONG'")
}

// statementTimesOf adds up rows of an upper bound, a count and seconds.
func statementTimesOf(t *testing.T, db *sql.DB, queries ...string) *responseTimeTable {
	t.Helper()
	table := &responseTimeTable{counts: map[float64]float64{}}
	for _, query := range queries {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var bound, count, total float64
			if err := rows.Scan(&bound, &count, &total); err != nil {
				t.Fatal(err)
			}
			table.counts[bound] += count
			table.sum += total
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// TestReplicationMetricsEqualTheReplicasStatus follows a real pair of servers: caught up, held up, stopped, broken by a row that is there already,
// and cut off from its source; after each it replicates again.
func TestReplicationMetricsEqualTheReplicasStatus(t *testing.T) {
	t.Parallel()
	const (
		lag   = `consign_mysql_replication_lag_seconds{channel="north",server="main"}`
		ioRun = `consign_mysql_replication_running{channel="north",server="main",thread="io"}`
		sqlOn = `consign_mysql_replication_running{channel="north",server="main",thread="sql"}`
	)
	source := serverstest.OwnMariaDB(t, "--log-bin=binlog", "--server-id=1")
	replica := serverstest.OwnMariaDB(t, "--server-id=2")
	shop, db := serverstest.Open(t, source.DSN("")), serverstest.Open(t, replica.DSN(""))
	dialect := serverstest.DialectOf(t, db)
	dialect.Follow(t, source, "north")
	r := start(t, patient+mysqlConfig(t, replica.DSN("")))
	state := func(wantIO, wantSQL float64, known bool) func(map[string]float64) bool {
		return func(s map[string]float64) bool {
			_, ok := s[lag]
			return s[ioRun] == wantIO && s[sqlOn] == wantSQL && ok == known
		}
	}
	execute(t, shop, "CREATE DATABASE shop", "CREATE TABLE shop.tills (n INT PRIMARY KEY)", "INSERT INTO shop.tills VALUES (1)")
	exportertest.Eventually(t, "the row is on the replica", func() bool { // before that it has caught up too, with nothing
		var n int
		return db.QueryRowContext(t.Context(), "SELECT n FROM shop.tills").Scan(&n) == nil
	})
	r.Await(t, "the replica has caught up", func(s map[string]float64) bool { return state(1, 1, true)(s) && s[lag] == 0 })

	lock, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLE shop.tills READ"); err != nil {
		t.Fatal(err)
	}
	execute(t, shop, "UPDATE shop.tills SET n = 2")
	s := r.Await(t, "a reader holds the replica up, and the lag grows", func(s map[string]float64) bool { return s[lag] >= 2 })
	statement, column := dialect.ReplicaStatus()
	within(t, "the lag", s[lag], replicaStatus(t, replica, statement, column), 1)
	if _, err := lock.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	caughtUp := func(s map[string]float64) bool { return state(1, 1, true)(s) && s[lag] == 0 }
	r.Await(t, "the replica has caught up again", caughtUp)

	dialect.StopApplying(t, "north")
	r.Await(t, "a lag that is not known is not told", state(1, 0, false))
	dialect.StartReplica(t, "north")
	r.Await(t, "it is known again", state(1, 1, true))

	execute(t, db, "INSERT INTO shop.tills VALUES (7)")
	execute(t, shop, "INSERT INTO shop.tills VALUES (7)")
	r.Await(t, "a row that is there already ends replication", state(1, 0, false))
	if number := replicaStatus(t, replica, statement, "Last_SQL_Errno"); number != 1062 {
		t.Errorf("the replica has stopped for another reason: error %v", number)
	}
	execute(t, db, "DELETE FROM shop.tills WHERE n = 7")
	dialect.StartReplica(t, "north")
	r.Await(t, "the row is out of the way", caughtUp)

	if err := source.Kill(); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "without its source the replica knows no lag", state(0, 1, false))
	if err := source.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "the source is back", caughtUp)

	dialect.LoseSource(t, "north")
	s = awaitRound(t, r, "mysql", "main")
	if v, ok := s[lag]; !state(0, 1, false)(s) { // MySQL says Connecting, Yes, and 0
		t.Errorf("the new source was never reached: io runs: %v, sql: %v, lag %v (%v), want 0, 1 and no lag", s[ioRun], s[sqlOn], v, ok)
	}
}

// TestTheEventSchedulerIsNoConnection switches it on and off, on a server on which nobody but the exporter runs a statement.
func TestTheEventSchedulerIsNoConnection(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	db := serverstest.Open(t, server.DSN(""))
	r := start(t, patient+mysqlConfig(t, server.DSN("")))
	for _, position := range []string{"ON", "OFF"} {
		execute(t, db, "SET GLOBAL event_scheduler = "+position)
		s := awaitRound(t, r, "mysql", "main")
		if v := s[`consign_mysql_connections{server="main",state="active"}`]; v != 1 {
			t.Errorf("event scheduler %s: %v connections are active, want the exporter's own; %v threads run", position, v, s[`consign_mysql_threads{server="main",state="running"}`])
		}
	}
}

// replicaStatus reads a number of a replica's first channel with the server's own client program.
func replicaStatus(t *testing.T, replica *servers.MariaDB, statement, field string) float64 {
	t.Helper()
	for line := range strings.Lines(client(t, replica.DSN(""), statement+`\G`)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+": "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("the replica does not say %s", field)
	return 0
}

// TestTheShippedRightsSufficeAndAreNotMore connects as the user of deploy/mysql/grants-system.sql.
func TestTheShippedRightsSufficeAndAreNotMore(t *testing.T) {
	t.Parallel()
	server := measuringMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	const password = `it's a \ password`
	for range 2 { // again, as after an upgrade
		execute(t, admin, deploy.SystemGrants(password, "127.0.0.1")...)
	}
	execute(t, admin, "CREATE DATABASE shop", "CREATE TABLE shop.consignors (email TEXT)", "CREATE USER bare@'127.0.0.1' IDENTIFIED BY 'bare'")
	as := func(user, password string) string {
		c, err := mysql.ParseDSN(server.DSN(""))
		if err != nil {
			t.Fatal(err)
		}
		c.User, c.Passwd = user, password
		return c.FormatDSN()
	}
	all, without := map[string]float64{"statement_histogram": 1, "deadlock_counter": 1, "replication_status": 1}, map[string]float64{"statement_histogram": 1, "deadlock_counter": 1}
	if serverstest.DialectOf(t, admin).MySQL {
		clear(without) // performance_schema and INNODB_METRICS want rights; MariaDB's plugin and status want none
	}
	for user, want := range map[string]map[string]float64{as(deploy.SystemUser, password): all, as("bare", "bare"): without} {
		r := start(t, patient+mysqlConfig(t, user))
		s := awaitRound(t, r, "mysql", "main")
		for name := range all {
			v := want[name]
			if got := s[fmt.Sprintf(`consign_mysql_capability{name=%q,server="main"}`, name)]; got != v {
				t.Errorf("capability %s = %v, want %v\n%s", name, got, v, r.Log())
			}
		}
		if s["consignwatch_collector_success"+collected("mysql", "main")] != 1 || s[`consign_mysql_queries_total{server="main"}`] == 0 {
			t.Errorf("the rest is not exported:\n%s", r.Log())
		}
	}
	db := serverstest.Open(t, as(deploy.SystemUser, password))
	for _, q := range []string{"SELECT * FROM shop.consignors", "SELECT * FROM mysql.user", "CREATE DATABASE mine", "SET GLOBAL read_only = ON"} {
		if _, err := db.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("%s: %v, want that it is denied", q, err)
		}
	}
}

package system

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// mysqlLifetime is how long a connection is kept. Rights are given to new connections only, and a name may lead to another
// server: after ten minutes both are seen.
const mysqlLifetime = 10 * time.Minute

// mysqlServer is one MySQL or MariaDB server, queried on one persistent connection.
type mysqlServer struct {
	name  string
	pool  *sql.DB
	limit time.Duration // of a statement, on the server
	log   *slog.Logger

	bounds []float64 // of the histogram of statements

	// What lives from one collection to the next.
	pings       *exporter.Recorder
	started     processStart
	memoryReads monotonic         // logical reads from the buffer pool
	missing     map[string]string // missing capabilities, and why, as they were logged
}

func newMySQLServer(name string, pool *sql.DB, timeout time.Duration, c *catalog.Catalog, log *slog.Logger) *mysqlServer {
	m := &mysqlServer{
		name: name, pool: pool, limit: timeout / 2, log: log.With("collector", "mysql", "target", name),
		pings: exporter.NewRecorder(c), missing: map[string]string{},
	}
	m.pings.Init("consign_mysql_ping_duration_seconds", name)
	if statements, ok := c.Lookup("consign_mysql_statement_duration_seconds"); ok {
		m.bounds = statements.Buckets
	}
	return m
}

// Name is the name of the target.
func (m *mysqlServer) Name() string { return m.name }

// Collect queries the state of the server.
func (m *mysqlServer) Collect(ctx context.Context, sink *exporter.Sink) error {
	conn, err := m.connect(ctx)
	sink.Status().Gauge("consign_mysql_up", boolValue(err == nil), m.name)
	m.pings.Collect(sink.Status())
	if err != nil {
		return failed(ctx, "connect", err)
	}
	defer conn.Close()
	now := time.Now()
	r, err := readMySQL(ctx, m.limit, m.bounds, queryOn(conn))
	if err != nil {
		if exporter.ReasonOf(database.Classify(err)) == exporter.ReasonAuth {
			// The server remembers rights for a connection's life: one that is given back counts for a new one.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		return failed(ctx, "read", err)
	}
	m.logCapabilities(r)
	return m.emit(r, now, sink)
}

// connect takes the connection that is kept, or a new one, and pings. A server that was restarted has cut the one that was
// kept: that is found by the first ping, and is no failure.
func (m *mysqlServer) connect(ctx context.Context) (*sql.Conn, error) {
	for again := true; ; again = false {
		conn, err := m.pool.Conn(ctx)
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err = conn.PingContext(ctx); err == nil {
			m.pings.Observe("consign_mysql_ping_duration_seconds", time.Since(begin).Seconds(), m.name)
			return conn, nil
		}
		conn.Close()
		if !again || !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, mysql.ErrInvalidConn) {
			return nil, err
		}
	}
}

// failed adds to an error what failed, and its reason. After the deadline, any error of the driver is a timeout.
func failed(ctx context.Context, what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	if ctx.Err() != nil && !errors.As(err, new(*mysql.MySQLError)) {
		return exporter.Failure(exporter.ReasonTimeout, errors.Join(err, ctx.Err()))
	}
	return database.Classify(err)
}

// queryOn queries on a connection.
func queryOn(conn *sql.Conn) mysqlQuery {
	return func(ctx context.Context, statement string) (mysqlResult, error) {
		rows, err := conn.QueryContext(ctx, statement)
		if err != nil {
			return mysqlResult{}, err
		}
		defer rows.Close()
		var a mysqlResult
		if a.columns, err = rows.Columns(); err != nil {
			return mysqlResult{}, err
		}
		for rows.Next() {
			row := make([]sql.NullString, len(a.columns))
			into := make([]any, len(row))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				return mysqlResult{}, err
			}
			a.rows = append(a.rows, row)
		}
		return a, rows.Err()
	}
}

// logCapabilities logs each capability once when it is missing, and once when it is there again.
func (m *mysqlServer) logCapabilities(r *mysqlReading) {
	for _, name := range catalog.DatabaseCapabilities() {
		why, isMissing := "", r.missing[name] != nil
		if isMissing {
			why = r.missing[name].Error()
		}
		before, known := m.missing[name]
		switch {
		case isMissing && (!known || before != why):
			m.log.Warn("the server lacks a capability, its metrics are absent", "capability", name, "why", why)
			m.missing[name] = why
		case !isMissing && known:
			m.log.Info("the server has the capability now", "capability", name)
			delete(m.missing, name)
		}
	}
}

// emit reports a reading. Counters count since the start of the server.
func (m *mysqlServer) emit(r *mysqlReading, now time.Time, sink *exporter.Sink) error {
	uptime, ok := r.status.number("uptime")
	if !ok {
		return exporter.Failure(exporter.ReasonParse, fmt.Errorf("the status of %s lacks the uptime", r.version))
	}
	since, restarted := m.started.update(now, uptime)
	if restarted {
		m.memoryReads = monotonic{}
	}
	sink.Gauge("consign_mysql_uptime_seconds", uptime, m.name)

	counter := func(metric, key string, scale float64, labels ...string) {
		if n, ok := r.status.number(key); ok {
			sink.Counter(metric, n*scale, since, append([]string{m.name}, labels...)...)
		}
	}
	counter("consign_mysql_queries_total", "queries", 1)
	counter("consign_mysql_slow_queries_total", "slow_queries", 1)
	counter("consign_mysql_row_lock_waits_total", "innodb_row_lock_waits", 1)
	counter("consign_mysql_row_lock_wait_seconds_total", "innodb_row_lock_time", 1e-3)
	for _, e := range catalog.ConnectionErrors() {
		counter("consign_mysql_connection_errors_total", connectionErrorKey(e), 1, e)
	}
	m.emitThreads(r, sink)
	m.emitBufferPool(r, since, sink)
	m.emitReplication(r, sink)

	if n, ok := r.variables.number("max_connections"); ok {
		sink.Gauge("consign_mysql_max_connections", n, m.name)
	}
	if _, ok := r.variables["read_only"]; ok {
		sink.Gauge("consign_mysql_read_only", boolValue(r.variables.on("read_only") || r.variables.on("innodb_read_only")), m.name)
	}
	if r.statements != nil {
		sink.Histogram("consign_mysql_statement_duration_seconds", *r.statements, since, m.name)
	}
	if r.missing["deadlock_counter"] == nil {
		sink.Counter("consign_mysql_deadlocks_total", r.deadlocks, since, m.name)
	}
	for _, c := range catalog.DatabaseCapabilities() {
		sink.Gauge("consign_mysql_capability", boolValue(r.missing[c] == nil), m.name, c)
	}
	return nil
}

func connectionErrorKey(e string) string {
	switch e {
	case "aborted_connect":
		return "aborted_connects"
	case "aborted_client":
		return "aborted_clients"
	}
	return "connection_errors_" + e
}

// emitThreads splits the connections so that they add up. Threads of the server itself may run too, so that more run than
// are connected.
func (m *mysqlServer) emitThreads(r *mysqlReading, sink *exporter.Sink) {
	running, ok := r.status.number("threads_running")
	if ok {
		sink.Gauge("consign_mysql_threads", running, m.name, "running")
	}
	if connected, known := r.status.number("threads_connected"); ok && known {
		active := min(running, connected)
		sink.Gauge("consign_mysql_connections", active, m.name, "active")
		sink.Gauge("consign_mysql_connections", connected-active, m.name, "idle")
	}
	if cached, ok := r.status.number("threads_cached"); ok {
		sink.Gauge("consign_mysql_threads", cached, m.name, "cached")
	}
}

func (m *mysqlServer) emitBufferPool(r *mysqlReading, since time.Time, sink *exporter.Sink) {
	page, known := r.status.number("innodb_page_size")
	pages := map[string]float64{}
	for _, key := range []string{"total", "data", "dirty", "free"} {
		n, ok := r.status.number("innodb_buffer_pool_pages_" + key)
		pages[key], known = n, known && ok
	}
	if known {
		// Pages of compressed tables count more than once among the data: what is left over is never less than nothing.
		for state, n := range map[string]float64{
			"clean": max(pages["data"]-pages["dirty"], 0),
			"dirty": pages["dirty"],
			"free":  pages["free"],
			"misc":  max(pages["total"]-pages["data"]-pages["free"], 0),
		} {
			sink.Gauge("consign_mysql_buffer_pool_bytes", n*page, m.name, state)
		}
	}
	disk, ok := r.status.number("innodb_buffer_pool_reads")
	if requests, known := r.status.number("innodb_buffer_pool_read_requests"); ok && known {
		// The two are not read at one moment. A counter must not fall for that: it would look like a restart.
		sink.Counter("consign_mysql_buffer_pool_reads_total", m.memoryReads.update(max(requests-disk, 0)), since, m.name, "memory")
		sink.Counter("consign_mysql_buffer_pool_reads_total", disk, since, m.name, "disk")
	}
}

func (m *mysqlServer) emitReplication(r *mysqlReading, sink *exporter.Sink) {
	for _, c := range r.channels {
		sink.Gauge("consign_mysql_replication_running", boolValue(c.io), m.name, c.name, "io")
		sink.Gauge("consign_mysql_replication_running", boolValue(c.sql), m.name, c.name, "sql")
		if c.lag != nil {
			sink.Gauge("consign_mysql_replication_lag_seconds", *c.lag, m.name, c.name)
		}
	}
}

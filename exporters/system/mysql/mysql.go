// Package mysql reads the state of MySQL and MariaDB servers, of whatever version and with whatever rights. It changes
// nothing on a server, and reads no table of an application.
package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-sql-driver/mysql"
	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/exporters/system/uptime"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// Config says how to reach a server.
type Config struct {
	// DSNFile holds the data source name, user:password@tcp(host:port)/. It is read again on reload.
	DSNFile string                  `yaml:"dsn_file"`
	TLS     *commonconfig.TLSConfig `yaml:"tls,omitempty"`
}

// Check reports the first mistake, in f below the key.
func (c *Config) Check(f *yamlfile.File, key string) error {
	if c.DSNFile == "" {
		return f.Errorf(key+".dsn_file", "is missing: the path of a file with user:password@tcp(host:port)/")
	}
	return nil
}

// SetDirectory makes paths relative to a folder.
func (c *Config) SetDirectory(dir string) {
	c.DSNFile = commonconfig.JoinDir(dir, c.DSNFile)
	c.TLS.SetDirectory(dir)
}

// lifetime is how long a connection is kept. Rights are given to new connections only, and a name may lead to another
// server: after ten minutes both are seen.
const lifetime = 10 * time.Minute

// Server is one MySQL or MariaDB server, queried on one persistent connection.
type Server struct {
	name  string
	role  string
	pool  *sql.DB
	limit time.Duration // of a statement, on the server
	log   *slog.Logger

	bounds []float64 // of the histogram of statements

	// What lives from one collection to the next.
	pings       *exporter.Recorder
	started     uptime.Start
	memoryReads monotonic         // logical reads from the buffer pool
	statements  uint64            // that the histogram had counted
	missing     map[string]string // missing capabilities, and why, as they were logged
}

// Options are what a server is made of.
type Options struct {
	Name    string // of the target
	Role    string // one of catalog.DatabaseRoles
	DSN     secret.Value
	TLS     *tls.Config
	Timeout time.Duration // of a collection
	Catalog *catalog.Catalog
	Log     *slog.Logger
}

// New makes the collector of a server. It does not connect.
func New(o Options) (*Server, error) {
	pool, err := database.Open(o.DSN, database.Options{
		Program:        "consignwatch-system-exporter",
		MaxConnections: 1,
		MaxLifetime:    lifetime,
		TLS:            o.TLS,
	})
	if err != nil {
		return nil, err
	}
	m := &Server{
		name: o.Name, role: o.Role, pool: pool, limit: o.Timeout / 2, log: o.Log.With("collector", "mysql", "target", o.Name),
		pings: exporter.NewRecorder(o.Catalog), missing: map[string]string{},
	}
	m.pings.Init("consign_mysql_ping_duration_seconds", o.Name)
	if statements, ok := o.Catalog.Lookup("consign_mysql_statement_duration_seconds"); ok {
		m.bounds = statements.Buckets
	}
	return m, nil
}

// Close closes the connection.
func (m *Server) Close() error { return m.pool.Close() }

// Name is the name of the target.
func (m *Server) Name() string { return m.name }

// Collect queries the state of the server.
func (m *Server) Collect(ctx context.Context, sink *exporter.Sink) error {
	conn, err := m.connect(ctx)
	sink.Status().Gauge("consign_mysql_up", exporter.Bool(err == nil), m.name, m.role)
	m.pings.Collect(sink.Status())
	if err != nil {
		return failed(ctx, "connect", err)
	}
	defer conn.Close()
	now := time.Now()
	r, err := readState(ctx, m.limit, m.bounds, queryOn(conn))
	if err != nil {
		if exporter.ReasonOf(database.Classify(err)) == exporter.ReasonAuth {
			// The server remembers rights for a connection's life: one that is given back counts for a new one.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
		return failed(ctx, "read", err)
	}
	m.noticeStandstill(r)
	m.logCapabilities(r)
	return m.emit(r, now, sink)
}

// connect takes the connection that is kept, or a new one, and pings. A server that was restarted has cut the one that was
// kept: that is found by the first ping, and is no failure.
func (m *Server) connect(ctx context.Context) (*sql.Conn, error) {
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

// maxRows bounds the result of a statement: the largest is that of the digests, of which a server keeps 10,000 unless it is told otherwise.
const maxRows = 200_000

// queryOn queries on a connection.
func queryOn(conn *sql.Conn) queryFunc {
	return func(ctx context.Context, statement string) (resultSet, error) {
		rows, err := conn.QueryContext(ctx, statement)
		if err != nil {
			return resultSet{}, err
		}
		defer rows.Close()
		var a resultSet
		if a.columns, err = rows.Columns(); err != nil {
			return resultSet{}, err
		}
		for rows.Next() {
			if len(a.rows) == maxRows {
				return resultSet{}, exporter.Failure(exporter.ReasonParse, fmt.Errorf("the result has more than %d rows", maxRows))
			}
			row := make([]sql.NullString, len(a.columns))
			into := make([]any, len(row))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				return resultSet{}, err
			}
			a.rows = append(a.rows, row)
		}
		return a, rows.Err()
	}
}

// noticeStandstill drops a histogram that has stopped: the exporter's own statements count, so that as many as in the last round mean
// that nothing is measured. MySQL keeps what it had counted when a consumer or instrument is switched off.
func (m *Server) noticeStandstill(r *state) {
	if r.statements == nil {
		return
	}
	stopped := r.statements.Count == m.statements
	m.statements = r.statements.Count
	if stopped {
		r.statements = nil
		r.missing["statement_histogram"] = lacks("no statement was counted since the last round: on MySQL the consumer global_instrumentation or the instruments of statements are off")
	}
}

// logCapabilities logs each capability once when it is missing, and once when it is there again.
func (m *Server) logCapabilities(r *state) {
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
func (m *Server) emit(r *state, now time.Time, sink *exporter.Sink) error {
	seconds, ok := r.status.number("uptime")
	if !ok {
		return exporter.Failure(exporter.ReasonParse, fmt.Errorf("the status of %s lacks the uptime", r.version))
	}
	since, restarted := m.started.Update(now, seconds)
	if restarted {
		m.memoryReads = monotonic{}
	}
	sink.Gauge("consign_mysql_uptime_seconds", seconds, m.name)

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
		sink.Gauge("consign_mysql_read_only", exporter.Bool(r.variables.on("read_only") || r.variables.on("innodb_read_only")), m.name)
	}
	if r.statements != nil {
		sink.Histogram("consign_mysql_statement_duration_seconds", *r.statements, since, m.name)
	}
	if r.missing["deadlock_counter"] == nil {
		sink.Counter("consign_mysql_deadlocks_total", r.deadlocks, since, m.name)
	}
	for _, c := range catalog.DatabaseCapabilities() {
		sink.Gauge("consign_mysql_capability", exporter.Bool(r.missing[c] == nil), m.name, c)
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
// are connected: the event scheduler, which is on by default since MySQL 8.0, always counts as running, and never as connected.
func (m *Server) emitThreads(r *state, sink *exporter.Sink) {
	running, ok := r.status.number("threads_running")
	if ok {
		sink.Gauge("consign_mysql_threads", running, m.name, "running")
	}
	if connected, known := r.status.number("threads_connected"); ok && known {
		active := running
		if r.variables.on("event_scheduler") {
			active--
		}
		active = min(max(active, 0), connected)
		sink.Gauge("consign_mysql_connections", active, m.name, "active")
		sink.Gauge("consign_mysql_connections", connected-active, m.name, "idle")
	}
	if cached, ok := r.status.number("threads_cached"); ok {
		sink.Gauge("consign_mysql_threads", cached, m.name, "cached")
	}
}

func (m *Server) emitBufferPool(r *state, since time.Time, sink *exporter.Sink) {
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

func (m *Server) emitReplication(r *state, sink *exporter.Sink) {
	for _, c := range r.channels {
		sink.Gauge("consign_mysql_replication_running", exporter.Bool(c.io), m.name, c.name, "io")
		sink.Gauge("consign_mysql_replication_running", exporter.Bool(c.sql), m.name, c.name, "sql")
		if c.lag != nil {
			sink.Gauge("consign_mysql_replication_lag_seconds", *c.lag, m.name, c.name)
		}
	}
}

// monotonic is a counter that is computed from others. It never falls.
type monotonic struct{ highest float64 }

func (r *monotonic) update(v float64) float64 {
	r.highest = max(r.highest, v)
	return r.highest
}

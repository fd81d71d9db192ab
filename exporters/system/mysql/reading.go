package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// queryFunc runs a statement on a server. Every statement goes through it, so that recorded results can stand in.
type queryFunc func(ctx context.Context, statement string) (resultSet, error)

// resultSet is a result as text.
type resultSet struct {
	columns []string
	rows    [][]sql.NullString
}

// column finds the first of several names that a column has had, without regard to case: -1 for none.
func (a *resultSet) column(names ...string) int {
	for _, n := range names {
		for i, c := range a.columns {
			if strings.EqualFold(c, n) {
				return i
			}
		}
	}
	return -1
}

// The statements. The server has a column `COUNT`, which is also a function.
const (
	selectVersion = "SELECT VERSION()"
	showStatus    = "SHOW GLOBAL STATUS WHERE Variable_name IN (" + statusNames + ")"
	showVariables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'read_only', 'innodb_read_only', 'performance_schema', 'query_response_time_stats', 'event_scheduler')"

	// events_statements_histogram_global (MySQL 8.0): BUCKET_NUMBER, BUCKET_TIMER_LOW, BUCKET_TIMER_HIGH in picoseconds,
	// COUNT_BUCKET, COUNT_BUCKET_AND_LOWER, BUCKET_QUANTILE. It has no sum: that of the summary by event name stands in,
	// without the dumps of the binary log, each of which is a statement that takes as long as a replica is connected.
	selectStatementHistogram = "SELECT BUCKET_TIMER_HIGH, COUNT_BUCKET_AND_LOWER FROM performance_schema.events_statements_histogram_global ORDER BY BUCKET_NUMBER"
	selectStatementSum       = "SELECT SUM(SUM_TIMER_WAIT) FROM performance_schema.events_statements_summary_global_by_event_name WHERE EVENT_NAME LIKE 'statement/%' AND EVENT_NAME NOT LIKE 'statement/com/Binlog Dump%'"
	// QUERY_RESPONSE_TIME (MariaDB's plugin query_response_time): TIME is the upper bound in seconds, COUNT is for this
	// range alone, TOTAL are its seconds. The last row says TOO LONG.
	selectResponseTimes = "SELECT `TIME`, `COUNT`, `TOTAL` FROM information_schema.QUERY_RESPONSE_TIME"
	// INNODB_METRICS (MySQL; MariaDB has a status instead): COUNT since the counter was enabled.
	selectDeadlocks = "SELECT `COUNT`, STATUS FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'"
)

const statusNames = "'Uptime', 'Queries', 'Slow_queries', 'Threads_connected', 'Threads_running', 'Threads_cached', " +
	"'Aborted_connects', 'Aborted_clients', 'Connection_errors_accept', 'Connection_errors_internal', 'Connection_errors_max_connections', " +
	"'Connection_errors_peer_address', 'Connection_errors_select', 'Connection_errors_tcpwrap', " +
	"'Innodb_row_lock_waits', 'Innodb_row_lock_time', 'Innodb_deadlocks', 'Innodb_page_size', " +
	"'Innodb_buffer_pool_pages_total', 'Innodb_buffer_pool_pages_data', 'Innodb_buffer_pool_pages_dirty', 'Innodb_buffer_pool_pages_free', " +
	"'Innodb_buffer_pool_read_requests', 'Innodb_buffer_pool_reads'"

// state is the state of a server.
type state struct {
	version    database.Version
	status     names
	variables  names
	statements *exporter.HistogramValue // nil when the server does not measure them
	deadlocks  float64
	channels   []channel
	missing    map[string]error // missing capabilities, and why

	bounds []float64 // of statements
}

// channel is a source that the server replicates from.
type channel struct {
	name    string
	io, sql bool
	lag     *float64 // nil: unknown
}

// names are the values of SHOW STATUS or SHOW VARIABLES by lower-case name.
type names map[string]string

// number is a value as a number. Status values may be text: those are no numbers.
func (n names) number(name string) (float64, bool) {
	v, err := strconv.ParseFloat(n[name], 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}

// on reports whether a switch is on. Some have more than two positions: whatever is not off is on.
func (n names) on(name string) bool {
	switch strings.ToUpper(n[name]) {
	case "", "0", "OFF", "NO":
		return false
	}
	return true
}

// readState reads the state of a server, of any flavour. Each statement has a time limit on the
// server; bounds are those of the histogram of statements.
func readState(ctx context.Context, limit time.Duration, bounds []float64, query queryFunc) (*state, error) {
	r := &state{missing: map[string]error{}, bounds: bounds}
	version, err := query(ctx, selectVersion)
	if err != nil {
		return nil, fmt.Errorf("ask for the version: %w", err)
	}
	if len(version.rows) != 1 || len(version.columns) != 1 {
		return nil, exporter.Failure(exporter.ReasonParse, errors.New("ask for the version: the answer is not one value"))
	}
	if r.version, err = database.ParseVersion(version.rows[0][0].String); err != nil {
		return nil, exporter.Failure(exporter.ReasonParse, err)
	}
	if _, err := query(ctx, r.version.LimitStatement(limit)); err != nil {
		return nil, fmt.Errorf("set the time limit on %s: %w", r.version, err)
	}
	if r.status, err = queryNames(ctx, query, showStatus); err != nil {
		return nil, fmt.Errorf("read the status: %w", err)
	}
	if r.variables, err = queryNames(ctx, query, showVariables); err != nil {
		return nil, fmt.Errorf("read the variables: %w", err)
	}
	for _, part := range []struct {
		capability string
		read       func(context.Context, queryFunc) error
	}{
		{"statement_histogram", r.readStatements},
		{"deadlock_counter", r.readDeadlocks},
		{"replication_status", r.readReplication},
	} {
		switch err := part.read(ctx, query); {
		case err == nil:
		case database.Lacks(err), errors.Is(err, errMissing):
			r.missing[part.capability] = err
		default:
			return nil, fmt.Errorf("read %s: %w", part.capability, err)
		}
	}
	return r, nil
}

// errMissing says that the server lacks a feature.
var errMissing = errors.New("the server does not have it")

func lacks(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errMissing}, args...)...)
}

func queryNames(ctx context.Context, query queryFunc, statement string) (names, error) {
	a, err := query(ctx, statement)
	if err != nil {
		return nil, err
	}
	if len(a.columns) < 2 {
		return nil, exporter.Failure(exporter.ReasonParse, fmt.Errorf("the answer has the columns %q, not a name and a value", a.columns))
	}
	n := make(names, len(a.rows))
	for _, row := range a.rows {
		n[strings.ToLower(row[0].String)] = row[1].String
	}
	return n, nil
}

func (r *state) readStatements(ctx context.Context, query queryFunc) error {
	ranges, sum, err := r.statementRanges(ctx, query)
	if err != nil {
		return err
	}
	h := histogramOf(ranges, r.bounds)
	h.Sum = sum
	r.statements = &h
	return nil
}

// statementRanges reads how long statements took: cumulative counts by upper bound in seconds, and the sum of all.
func (r *state) statementRanges(ctx context.Context, query queryFunc) ([]timeRange, float64, error) {
	if r.version.MariaDB {
		switch _, there := r.variables["query_response_time_stats"]; {
		case !there:
			return nil, 0, lacks("the plugin query_response_time is not installed")
		case !r.variables.on("query_response_time_stats"):
			return nil, 0, lacks("query_response_time_stats is OFF")
		}
		a, err := query(ctx, selectResponseTimes)
		if err != nil {
			return nil, 0, err
		}
		return responseTimes(&a)
	}
	if !r.variables.on("performance_schema") {
		return nil, 0, lacks("performance_schema is OFF")
	}
	histogram, err := query(ctx, selectStatementHistogram)
	if err != nil {
		return nil, 0, err
	}
	sum, err := query(ctx, selectStatementSum)
	if err != nil {
		return nil, 0, err
	}
	return statementTimes(&histogram, &sum)
}

// timeRange is one range of a server's histogram.
type timeRange struct {
	high  float64 // upper bound in seconds
	count uint64  // of this range and all below
}

const picosecond = 1e-12

// statementTimes reads the rows of selectStatementHistogram and selectStatementSum.
func statementTimes(histogram, sum *resultSet) ([]timeRange, float64, error) {
	var ranges []timeRange
	for i, row := range histogram.rows {
		high, err := strconv.ParseFloat(row[0].String, 64)
		if err != nil {
			return nil, 0, parseError("row %d: upper bound %q", i+1, row[0].String)
		}
		count, err := strconv.ParseUint(row[1].String, 10, 64)
		if err != nil {
			return nil, 0, parseError("row %d: count %q", i+1, row[1].String)
		}
		ranges = append(ranges, timeRange{high * picosecond, count})
	}
	// The exporter's own statements count: nothing at all means that nothing is measured.
	if len(ranges) == 0 || ranges[len(ranges)-1].count == 0 {
		return nil, 0, lacks("the histogram is empty: the consumer global_instrumentation is off")
	}
	if len(sum.rows) != 1 || !sum.rows[0][0].Valid {
		return nil, 0, lacks("the sum of the statements' times is not there")
	}
	total, err := strconv.ParseFloat(sum.rows[0][0].String, 64)
	if err != nil {
		return nil, 0, parseError("sum %q", sum.rows[0][0].String)
	}
	return ranges, total * picosecond, nil
}

// responseTimes reads the rows of selectResponseTimes.
func responseTimes(a *resultSet) ([]timeRange, float64, error) {
	var ranges []timeRange
	count, sum := uint64(0), 0.0
	for i, row := range a.rows {
		n, err := strconv.ParseUint(strings.TrimSpace(row[1].String), 10, 64)
		if err != nil {
			return nil, 0, parseError("row %d: count %q", i+1, row[1].String)
		}
		count += n
		high, total := math.Inf(1), 0.0
		if bound := strings.TrimSpace(row[0].String); bound != "TOO LONG" {
			if high, err = strconv.ParseFloat(bound, 64); err != nil {
				return nil, 0, parseError("row %d: upper bound %q", i+1, bound)
			}
			if total, err = strconv.ParseFloat(strings.TrimSpace(row[2].String), 64); err != nil {
				return nil, 0, parseError("row %d: total %q", i+1, row[2].String)
			}
		}
		sum += total
		ranges = append(ranges, timeRange{high, count})
	}
	if len(ranges) == 0 {
		return nil, 0, lacks("QUERY_RESPONSE_TIME is empty")
	}
	return ranges, sum, nil
}

// How far a server's bound may lie from one of ours to stand for it: MySQL's ranges grow by 4.7 percent.
const (
	boundBelow = 0.95
	boundAbove = 1.001
)

// histogramOf finds for each bound what the server counts up to it. A bound that none of the server's lies at is unknown.
func histogramOf(ranges []timeRange, bounds []float64) exporter.HistogramValue {
	h := exporter.HistogramValue{Count: ranges[len(ranges)-1].count, Buckets: make([]uint64, len(bounds))}
	next := 0
	for i, b := range bounds {
		for next < len(ranges) && ranges[next].high <= b*boundAbove {
			next++
		}
		h.Buckets[i] = exporter.UnknownBucket
		if next > 0 && ranges[next-1].high >= b*boundBelow {
			h.Buckets[i] = ranges[next-1].count
		}
	}
	return h
}

func (r *state) readDeadlocks(ctx context.Context, query queryFunc) error {
	if r.version.MariaDB {
		n, ok := r.status.number("innodb_deadlocks")
		if !ok {
			return lacks("there is no status Innodb_deadlocks")
		}
		r.deadlocks = n
		return nil
	}
	a, err := query(ctx, selectDeadlocks)
	if err != nil {
		return err
	}
	if len(a.rows) != 1 || a.rows[0][1].String != "enabled" {
		return lacks("INNODB_METRICS does not count lock_deadlocks")
	}
	if r.deadlocks, err = strconv.ParseFloat(a.rows[0][0].String, 64); err != nil {
		return parseError("lock_deadlocks %q", a.rows[0][0].String)
	}
	return nil
}

// replicationStatement is the statement for the replication status: it was renamed twice, and MariaDB returns all sources.
func replicationStatement(v database.Version) string {
	switch {
	case v.MariaDB && v.AtLeast(10, 5, 1):
		return "SHOW ALL REPLICAS STATUS"
	case v.MariaDB:
		return "SHOW ALL SLAVES STATUS"
	case v.AtLeast(8, 0, 22):
		return "SHOW REPLICA STATUS"
	}
	return "SHOW SLAVE STATUS"
}

func (r *state) readReplication(ctx context.Context, query queryFunc) error {
	a, err := query(ctx, replicationStatement(r.version))
	if err != nil {
		return err
	}
	r.channels, err = channelsOf(&a)
	return err
}

// channelsOf reads SHOW REPLICA STATUS in all its spellings: one row for each source, none on a server that is no replica.
func channelsOf(a *resultSet) ([]channel, error) {
	if len(a.rows) == 0 {
		return nil, nil
	}
	io := a.column("Replica_IO_Running", "Slave_IO_Running")
	sql := a.column("Replica_SQL_Running", "Slave_SQL_Running")
	lag := a.column("Seconds_Behind_Source", "Seconds_Behind_Master")
	name := a.column("Channel_Name", "Connection_name")
	if io < 0 || sql < 0 || lag < 0 {
		return nil, parseError("the status of replication has no column for its threads or its lag: %q", a.columns)
	}
	var channels []channel
	for _, row := range a.rows {
		c := channel{name: "default", io: row[io].String == "Yes", sql: row[sql].String == "Yes"}
		if name >= 0 {
			c.name = cmp.Or(row[name].String, c.name)
		}
		// MySQL reports 0 while the replica has not reached its source yet: without both threads the lag is unknown.
		if c.io && c.sql && row[lag].Valid {
			seconds, err := strconv.ParseFloat(row[lag].String, 64)
			if err != nil {
				return nil, parseError("channel %s: lag %q", c.name, row[lag].String)
			}
			c.lag = &seconds
		}
		channels = append(channels, c)
	}
	return channels, nil
}

func parseError(format string, args ...any) error {
	return exporter.Failure(exporter.ReasonParse, fmt.Errorf(format, args...))
}

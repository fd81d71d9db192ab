package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// make test-mysql runs MySQL 9.7; there is no MySQL 5.7 or 8 on the machines of this project. The tests in this file answer
// the collector's statements from tables that are laid out as in MySQL's manual and its source, and from rows that the
// manual prints; there is no server.

// recorded answers questions by their beginning. An error stands for what the server refuses.
type recorded map[string]any

func (r recorded) ask(_ context.Context, statement string) (resultSet, error) {
	for begin, a := range r {
		if strings.HasPrefix(statement, begin) {
			if err, ok := a.(error); ok {
				return resultSet{}, err
			}
			return a.(resultSet), nil
		}
	}
	return resultSet{}, fmt.Errorf("nobody has recorded the answer to %q", statement)
}

// result is an answer of rows in which NULL stands for NULL.
func result(columns string, rows ...string) resultSet {
	a := resultSet{columns: strings.Fields(columns)}
	for _, row := range rows {
		var values []sql.NullString
		for v := range strings.SplitSeq(row, "|") {
			values = append(values, sql.NullString{String: v, Valid: v != "NULL"})
		}
		a.rows = append(a.rows, values)
	}
	return a
}

// mysql84 is a server with the version and its answers.
func mysql84(version string) recorded {
	return recorded{
		"SELECT VERSION()":               result("VERSION()", version),
		"SET SESSION max_execution_time": result(""),
		"SHOW GLOBAL STATUS":             result("Variable_name Value", "Uptime|3600", "Queries|1234", "Threads_connected|5", "Threads_running|2", "Innodb_row_lock_time|1500"),
		"SHOW GLOBAL VARIABLES":          result("Variable_name Value", "max_connections|151", "read_only|OFF", "innodb_read_only|OFF", "performance_schema|ON"),
		"SELECT BUCKET_TIMER_HIGH":       mysqlHistogram(map[int]int{0: 5, 42: 1, 43: 1, 44: 2, 120: 10, 250: 3, 449: 1}),
		"SELECT SUM(SUM_TIMER_WAIT)":     result("SUM(SUM_TIMER_WAIT)", "7000000000000"),
		"SELECT `COUNT`, STATUS":         result("COUNT STATUS", "4|enabled"),
		"SHOW REPLICA STATUS":            result("Channel_Name Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source"),
	}
}

const mysqlBuckets = 450

// mysqlHistogram is the table events_statements_histogram_global with so many statements in the buckets of the given numbers:
// 450 buckets, the first one up to 10 microseconds, each 10^0.02 times as high as the one before, in whole picoseconds; the
// last one takes the rest, and its upper bound is the highest number of the column's type.
func mysqlHistogram(counts map[int]int) resultSet {
	var rows []string
	lower := 0
	for n := range mysqlBuckets {
		lower += counts[n]
		high := strconv.FormatFloat(math.Floor(1e7*math.Pow(10, 0.02*float64(n))+1e-6), 'f', 0, 64)
		if n == mysqlBuckets-1 {
			high = strconv.FormatUint(math.MaxUint64, 10)
		}
		rows = append(rows, fmt.Sprintf("%s|%d", high, lower))
	}
	return result("BUCKET_TIMER_HIGH COUNT_BUCKET_AND_LOWER", rows...)
}

// The manual prints rows 42 to 44 of a histogram: ours must be laid out like that.
func TestTheRecordedTableIsLaidOutLikeTheManuals(t *testing.T) {
	t.Parallel()
	rows := mysqlHistogram(nil).rows
	for n, high := range map[int]string{42: "69183097", 43: "72443596", 44: "75857757"} {
		if got := rows[n][0].String; got != high {
			t.Errorf("bucket %d ends at %s ps, the manual says %s", n, got, high)
		}
	}
}

func readRecorded(t *testing.T, r recorded) *state {
	t.Helper()
	reading, err := readState(t.Context(), time.Second, bounds(t), r.ask)
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

func TestTheHistogramOfMySQL8HasAllBoundsAndASum(t *testing.T) {
	t.Parallel()
	r := readRecorded(t, mysql84("8.4.3"))
	// Up to 100 us: buckets 0 and 42 to 44. Bucket 120 ends a little above 2.5 ms, bucket 250 at 1 s; bucket 449 is the rest.
	want := &exporter.HistogramValue{Count: 23, Sum: 7, Buckets: []uint64{9, 9, 9, 9, 9, 19, 19, 19, 19, 19, 19, 19, 22, 22, 22, 22, 22}}
	if diff := cmp.Diff(want, r.statements); diff != "" {
		t.Errorf("histogram (-want +got):\n%s", diff)
	}
	if len(r.missing) > 0 || r.deadlocks != 4 || len(r.channels) != 0 {
		t.Errorf("lacks %v, deadlocks %v, channels %v", r.missing, r.deadlocks, r.channels)
	}
}

// Each bound of ours takes the last range below it: never more than what was as fast, and at most 4.7 percent of time less.
func TestABoundOfOursNeverCountsWhatIsSlower(t *testing.T) {
	t.Parallel()
	all := bounds(t)
	for n := range mysqlBuckets - 1 {
		ranges, _, err := statementTimes(new(mysqlHistogram(map[int]int{n: 1})), new(result("s", "1")))
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range histogramOf(ranges, all).Buckets {
			b := all[i]
			switch high := ranges[n].high; {
			case high > b*boundAbove && got != 0:
				t.Errorf("a statement of up to %v s counts as not slower than %v s", high, b)
			case high < b*boundBelow && got != 1:
				t.Errorf("a statement of up to %v s counts as slower than %v s", high, b)
			}
		}
	}
}

// A MariaDB whose ranges double has few bounds near ours.
func TestABoundThatTheServerDoesNotHaveIsUnknown(t *testing.T) {
	t.Parallel()
	var rows []string
	for high := 0.000001; high < 1e6; high *= 2 {
		rows = append(rows, fmt.Sprintf("%14.6f|1|%14.6f", high, high/2))
	}
	ranges, _, err := responseTimes(new(result("TIME COUNT TOTAL", append(rows, "TOO LONG|1|TOO LONG")...)))
	if err != nil {
		t.Fatal(err)
	}
	h := histogramOf(ranges, []float64{0.001, 0.0025, 1, 1.048576})
	const unknown = exporter.UnknownBucket
	if want := []uint64{unknown, unknown, unknown, 21}; !cmp.Equal(h.Buckets, want) || h.Count != uint64(len(rows)+1) {
		t.Errorf("counts %v of %d, want %v of %d", h.Buckets, h.Count, want, len(rows)+1)
	}
}

func TestWhatAServerLacksIsAbsentAndNoFailure(t *testing.T) {
	t.Parallel()
	denied := &mysql.MySQLError{Number: 1227, Message: "Access denied; you need (at least one of) the PROCESS privilege(s) for this operation"}
	for name, c := range map[string]struct {
		version string
		change  recorded
		lacks   string
		why     string
	}{
		"performance_schema off":    {"8.0.36", recorded{"SHOW GLOBAL VARIABLES": result("Variable_name Value", "performance_schema|OFF")}, "statement_histogram", "performance_schema is OFF"},
		"nothing was counted":       {"8.0.36", recorded{"SELECT BUCKET_TIMER_HIGH": mysqlHistogram(nil)}, "statement_histogram", "global_instrumentation"},
		"no right to the histogram": {"8.0.36", recorded{"SELECT BUCKET_TIMER_HIGH": &mysql.MySQLError{Number: 1142}}, "statement_histogram", "1142"},
		"no histogram":              {"5.7.44", recorded{"SELECT BUCKET_TIMER_HIGH": &mysql.MySQLError{Number: 1146}, "SHOW SLAVE STATUS": result("")}, "statement_histogram", "1146"},
		"no right to the sum":       {"8.0.36", recorded{"SELECT SUM(SUM_TIMER_WAIT)": &mysql.MySQLError{Number: 1142}}, "statement_histogram", "1142"},
		"no sum":                    {"8.0.36", recorded{"SELECT SUM(SUM_TIMER_WAIT)": result("s", "NULL")}, "statement_histogram", "the sum"},
		"deadlocks are not counted": {"8.0.36", recorded{"SELECT `COUNT`, STATUS": result("COUNT STATUS", "0|disabled")}, "deadlock_counter", "does not count"},
		"no right to the deadlocks": {"8.0.36", recorded{"SELECT `COUNT`, STATUS": denied}, "deadlock_counter", "PROCESS"},
		"no right to replication":   {"8.0.36", recorded{"SHOW REPLICA STATUS": denied}, "replication_status", "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			r := mysql84(c.version)
			for k, v := range c.change {
				r[k] = v
			}
			got := readRecorded(t, r)
			if err := got.missing[c.lacks]; len(got.missing) != 1 || err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("lacks %v, want %s for the reason %q", got.missing, c.lacks, c.why)
			}
		})
	}
}

// An error that does not mean a missing feature, and a result that makes no sense, fail the collection.
func TestAnAnswerThatMakesNoSenseFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change recorded
		reason exporter.Reason
		says   string
	}{
		"the version is none":         {recorded{"SELECT VERSION()": result("v", "yes")}, exporter.ReasonParse, `"yes" is not a version`},
		"the version is two":          {recorded{"SELECT VERSION()": result("v", "8.0.1", "8.0.2")}, exporter.ReasonParse, "not one value"},
		"the status has one column":   {recorded{"SHOW GLOBAL STATUS": result("Value", "1")}, exporter.ReasonParse, "read the status"},
		"a count is no number":        {recorded{"SELECT BUCKET_TIMER_HIGH": result("h c", "10000000|many")}, exporter.ReasonParse, `count "many"`},
		"a bound is no number":        {recorded{"SELECT BUCKET_TIMER_HIGH": result("h c", "high|1")}, exporter.ReasonParse, `upper bound "high"`},
		"the sum is no number":        {recorded{"SELECT SUM(SUM_TIMER_WAIT)": result("s", "much")}, exporter.ReasonParse, `sum "much"`},
		"the deadlocks are no number": {recorded{"SELECT `COUNT`, STATUS": result("COUNT STATUS", "few|enabled")}, exporter.ReasonParse, `lock_deadlocks "few"`},
		"replication without columns": {recorded{"SHOW REPLICA STATUS": result("Channel_Name", "")}, exporter.ReasonParse, "no column for its threads"},
		"the lag is no number":        {recorded{"SHOW REPLICA STATUS": result("Channel_Name Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source", "|Yes|Yes|late")}, exporter.ReasonParse, `channel default: lag "late"`},
		"a statement takes too long":  {recorded{"SELECT BUCKET_TIMER_HIGH": &mysql.MySQLError{Number: 3024}}, exporter.ReasonTimeout, "read statement_histogram"},
	} {
		t.Run(name, func(t *testing.T) {
			r := mysql84("8.4.3")
			for k, v := range c.change {
				r[k] = v
			}
			_, err := readState(t.Context(), time.Second, bounds(t), r.ask)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want one that says %q", err, c.says)
			}
			if got := exporter.ReasonOf(failed(t.Context(), "read", err)); got != c.reason {
				t.Errorf("reason %s, want %s", got, c.reason)
			}
		})
	}
}

// The statement for replication was renamed twice, and so were its columns. A channel that connects has no lag, as the manual
// says; MySQL 9.7 says 0 of one that never has been connected.
func TestReplicationIsQueriedInEachServersSyntax(t *testing.T) {
	t.Parallel()
	lag := 7.0
	for version, c := range map[string]struct {
		ask  string
		rows resultSet
	}{
		"8.0.21":          {"SHOW SLAVE STATUS", result("Slave_IO_Running Slave_SQL_Running Seconds_Behind_Master Channel_Name", "Yes|Yes|7|", "Connecting|Yes|NULL|north")},
		"8.0.22":          {"SHOW REPLICA STATUS", result("Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source Channel_Name", "Yes|Yes|7|", "Connecting|Yes|NULL|north")},
		"8.4.0":           {"SHOW REPLICA STATUS", result("Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source Channel_Name", "Yes|Yes|7|", "Connecting|Yes|NULL|north")},
		"9.7.4":           {"SHOW REPLICA STATUS", result("Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source Channel_Name", "Yes|Yes|7|", "Connecting|Yes|0|north")},
		"10.4.30-MariaDB": {"SHOW ALL SLAVES STATUS", result("Connection_name Slave_IO_Running Slave_SQL_Running Seconds_Behind_Master", "|Yes|Yes|7", "north|Connecting|Yes|NULL")},
		"11.4.2-MariaDB":  {"SHOW ALL REPLICAS STATUS", result("Connection_name Slave_IO_Running Slave_SQL_Running Seconds_Behind_Master", "|Yes|Yes|7", "north|Connecting|Yes|NULL")},
	} {
		r := mysql84(version)
		delete(r, "SHOW REPLICA STATUS")
		r["SET SESSION max_statement_time"] = result("")
		r[c.ask] = c.rows
		got := readRecorded(t, r).channels
		want := []channel{{name: "default", io: true, sql: true, lag: &lag}, {name: "north", sql: true}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(channel{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", version, diff)
		}
	}
}

func TestAComputedCounterNeverFalls(t *testing.T) {
	t.Parallel()
	var r monotonic
	for _, c := range []struct{ in, want float64 }{{5, 5}, {7, 7}, {6, 7}, {8, 8}} {
		if got := r.update(c.in); got != c.want {
			t.Errorf("rising(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}

var errUnexpected = errors.New("odd")

// A time limit that is over is the reason, whatever the driver makes of it; an answer of the server is not.
func TestTheEndOfTimeIsTheReason(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if got := exporter.ReasonOf(failed(over, "read", errUnexpected)); got != exporter.ReasonTimeout {
		t.Errorf("reason %s, want timeout", got)
	}
	if got := exporter.ReasonOf(failed(over, "read", &mysql.MySQLError{Number: 1045})); got != exporter.ReasonAuth {
		t.Errorf("reason %s, want auth", got)
	}
}

func bounds(t *testing.T) []float64 {
	t.Helper()
	m, ok := catalog.Shipped().Lookup("consign_mysql_statement_duration_seconds")
	if !ok {
		t.Fatal("not in the catalog")
	}
	return m.Buckets
}

package business

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// reader queries the platform's database, read-only and within limits that the server itself enforces.
type reader struct {
	pool *sql.DB
	// connections and history hold one token for each connection in use: any, and those that read ended sale events. History
	// always leaves one connection to the live sale events, unless there is only one.
	connections, history chan struct{}
	// meter, when it is not nil, is called with the cost of each statement. Measuring takes two more round trips: the
	// exporter itself does not measure.
	meter func(name string, c cost)
}

// statement is one SELECT of the pack.
type statement struct {
	name    string
	text    string
	onMySQL string        // instead of text, where MySQL and MariaDB differ
	limit   time.Duration // on the server
	history bool          // reads ended sale events: low priority
}

// cost is the cost of a statement.
type cost struct {
	rows int           // returned
	read int64         // by the server: the sum of Handler_read%
	took time.Duration // for the client
}

// maxIdleTime closes idle connections after a temporary load.
const maxIdleTime = 5 * time.Minute

// openReader prepares the pool. It does not connect: the exporter starts while the database is down.
func openReader(dsn secret.Value, security *tls.Config, maxOpen int) (*reader, error) {
	pool, err := database.Open(dsn, database.Options{
		Program: "consignwatch-business-exporter", MaxConnections: maxOpen, MaxIdleTime: maxIdleTime, TLS: security,
	})
	if err != nil {
		return nil, err
	}
	return &reader{pool: pool, connections: make(chan struct{}, maxOpen), history: make(chan struct{}, max(maxOpen-1, 1))}, nil
}

func (d *reader) close() error { return d.pool.Close() }

// clientTimeoutMargin is how much longer than the server's time limit the client waits: the server's error is the better message.
const clientTimeoutMargin = 2 * time.Second

// query runs a statement in a read-only transaction with a time limit on the server, and hands each row to the function.
// The values belong to the row only while the function runs.
func (d *reader) query(ctx context.Context, s statement, row func(r *row) error) error {
	release, err := d.acquire(ctx, s.history)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, s.limit+clientTimeoutMargin)
	defer cancel()
	if err = d.queryConn(ctx, s, row); err == nil {
		return nil
	}
	if ctx.Err() != nil && !errors.As(err, new(*mysql.MySQLError)) {
		return exporter.Failure(exporter.ReasonTimeout, fmt.Errorf("the database did not answer within %s: %w", s.limit, err))
	}
	return database.Classify(err)
}

// errNoConnection says that the context ended before a connection was free.
var errNoConnection = errors.New("no connection was free")

// acquire waits until a connection is free. That takes no time from the statement's own limit.
func (d *reader) acquire(ctx context.Context, history bool) (release func(), err error) {
	var acquired []chan struct{}
	release = func() {
		for _, h := range acquired {
			<-h
		}
	}
	wanted := []chan struct{}{d.connections}
	if history {
		wanted = []chan struct{}{d.history, d.connections}
	}
	for _, w := range wanted {
		select {
		case w <- struct{}{}:
			acquired = append(acquired, w)
		case <-ctx.Done():
			release()
			return nil, exporter.Failure(exporter.ReasonTimeout, fmt.Errorf(
				"%w: other queries kept all %d of max_open_connections busy: %w", errNoConnection, cap(d.connections), ctx.Err()))
		}
	}
	return release, nil
}

func (d *reader) queryConn(ctx context.Context, s statement, each func(r *row) error) (err error) {
	conn, err := d.pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	defer func() {
		if err != nil && exporter.ReasonOf(database.Classify(err)) == exporter.ReasonAuth {
			// Servers remember rights for a connection's life: a right that is given back counts for a new one.
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}()
	var text string
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&text); err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	version, err := database.ParseVersion(text)
	if err != nil {
		return exporter.Failure(exporter.ReasonParse, err)
	}
	if _, err := conn.ExecContext(ctx, version.LimitStatement(s.limit)); err != nil {
		return fmt.Errorf("set the time limit on %s: %w", version, err)
	}
	if s.onMySQL != "" && !version.MariaDB {
		s.text = s.onMySQL
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin a read-only transaction: %w", err)
	}
	defer tx.Rollback() // nothing to commit: it only ends the snapshot
	if d.meter == nil {
		_, err := readAll(ctx, tx, s, each)
		return err
	}
	return d.measure(ctx, tx, s, each)
}

// measure is readAll for the meter.
func (d *reader) measure(ctx context.Context, tx *sql.Tx, s statement, each func(r *row) error) error {
	before, err := handlerReads(ctx, tx)
	if err != nil {
		return err
	}
	begin := time.Now()
	c := cost{}
	if c.rows, err = readAll(ctx, tx, s, each); err != nil {
		return err
	}
	c.took = time.Since(begin)
	after, err := handlerReads(ctx, tx)
	if err != nil {
		return err
	}
	c.read = after - before
	d.meter(s.name, c)
	return nil
}

// handlerReads is the sum of Handler_read%: the rows that the server has read for the connection, from tables and indexes,
// temporary ones included. The SHOW statement itself does not count.
func handlerReads(ctx context.Context, tx *sql.Tx) (int64, error) {
	rows, err := tx.QueryContext(ctx, "SHOW SESSION STATUS LIKE 'Handler_read%'")
	if err != nil {
		return 0, fmt.Errorf("ask how many rows were read: %w", err)
	}
	defer rows.Close()
	sum := int64(0)
	for rows.Next() {
		var name string
		var n int64
		if err := rows.Scan(&name, &n); err != nil {
			return 0, fmt.Errorf("ask how many rows were read: %w", err)
		}
		sum += n
	}
	return sum, rows.Err()
}

// row is one row of a result.
type row struct {
	number  int // from 1
	columns map[string]int
	values  []any
	decimal []bool // which columns are a DECIMAL: the driver hands it over as text
}

// maxRows bounds the result of a statement. A row should become a series: the shipped pack has tens of thousands at most.
const maxRows = 200_000

// readAll runs a statement, hands over its rows, and returns how many there were.
func readAll(ctx context.Context, tx *sql.Tx, s statement, each func(r *row) error) (int, error) {
	rows, err := tx.QueryContext(ctx, s.text)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return 0, err
	}
	r := &row{columns: make(map[string]int, len(names)), values: make([]any, len(names)), decimal: make([]bool, len(names))}
	for i, n := range names {
		if _, twice := r.columns[n]; twice {
			return 0, exporter.Failure(exporter.ReasonQuery, fmt.Errorf("the result has the column %q twice", n))
		}
		r.columns[n], r.decimal[i] = i, types[i].DatabaseTypeName() == "DECIMAL"
	}
	into := make([]any, len(names))
	for i := range into {
		into[i] = &r.values[i]
	}
	for rows.Next() {
		if r.number == maxRows {
			return r.number, exporter.Failure(exporter.ReasonQuery, fmt.Errorf("the result has more than %d rows: aggregate in SQL, with GROUP BY, so that a row becomes a series", maxRows))
		}
		r.number++
		if err := rows.Scan(into...); err != nil {
			return r.number, exporter.Failure(exporter.ReasonParse, fmt.Errorf("row %d: %w", r.number, err))
		}
		if err := each(r); err != nil {
			return r.number, err
		}
	}
	return r.number, rows.Err()
}

func (r *row) column(name string) (any, error) {
	i, ok := r.columns[name]
	if !ok {
		return nil, exporter.Failure(exporter.ReasonQuery, fmt.Errorf("the result has no column %q", name))
	}
	return r.values[i], nil
}

// rejected is the error of a row that cannot be used, for one of catalog.RowRejections.
func (r *row) rejected(reason, column, format string, args ...any) error {
	return exporter.Failure(exporter.ReasonParse, rowError{reason, fmt.Errorf("row %d, column %q: %w", r.number, column, fmt.Errorf(format, args...))})
}

// label is the text of a column. NULL is an error: a label needs a value.
func (r *row) label(column string) (string, error) {
	v, err := r.column(column)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", r.rejected(catalog.NoLabel, column, "a label cannot be NULL")
	case []byte:
		return string(v), nil
	case string:
		return v, nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	}
	return "", r.rejected(catalog.NoLabel, column, "a label is text or an integer, not %T", v)
}

// id identifies a client or a sale event: an integer of any size, or a text such as a UUID. Ids are compared as they are written,
// never as floating-point numbers, in which neighbours above 2^53 are the same.
type id string

// compare orders ids: integers by their value.
func (i id) compare(other id) int {
	return cmp.Or(cmp.Compare(len(i), len(other)), cmp.Compare(i, other))
}

// id is the id of a client or sale event.
func (r *row) id(column string) (id, error) {
	v, err := r.column(column)
	if err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", r.rejected(catalog.InvalidID, column, "an id cannot be NULL")
	case int64:
		return id(strconv.FormatInt(v, 10)), nil
	case uint64:
		return id(strconv.FormatUint(v, 10)), nil
	case []byte:
		if r.decimal[r.columns[column]] {
			return r.decimalID(column, string(v))
		}
		if len(v) == 0 {
			return "", r.rejected(catalog.InvalidID, column, "an id cannot be empty")
		}
		return id(v), nil
	}
	return "", r.rejected(catalog.InvalidID, column, "an id is an integer or text, not %T", v)
}

// decimalID is the id in a DECIMAL, as arithmetic on integers yields it.
func (r *row) decimalID(column, text string) (id, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	if strings.Trim(fraction, "0") != "" {
		return "", r.rejected(catalog.InvalidID, column, "%.40q is not an integer", text)
	}
	return id(whole), nil
}

// literal is the id in a column as SQL that compares with the column: a number in quotes would be compared as a floating-point
// number. Text is in hexadecimal digits, whose meaning does not depend on the sql_mode.
func (r *row) literal(column string) (string, error) {
	i, err := r.id(column)
	if err != nil {
		return "", err
	}
	text, ok := r.values[r.columns[column]].([]byte)
	switch {
	case !ok || r.decimal[r.columns[column]]:
		return string(i), nil
	case utf8.Valid(text):
		return fmt.Sprintf("_utf8mb4 X'%X'", text), nil
	}
	return fmt.Sprintf("X'%X'", text), nil // BINARY(16)
}

// number64 is the number in a column: times become seconds since 1970. ok is false for NULL, which means unknown.
func (r *row) number64(column string) (n float64, ok bool, err error) {
	v, err := r.column(column)
	if err != nil {
		return 0, false, err
	}
	switch v := v.(type) {
	case nil:
		return 0, false, nil
	case int64:
		return float64(v), true, nil
	case uint64:
		return float64(v), true, nil
	case float64:
		return v, true, nil
	case float32:
		return float64(v), true, nil
	case time.Time:
		if v.IsZero() { // what the driver makes of 0000-00-00
			return 0, false, nil
		}
		return float64(v.UnixMicro()) / 1e6, true, nil
	case []byte:
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return 0, false, r.rejected(catalog.NotANumber, column, "%.40q is not a number", v)
		}
		return n, true, nil
	}
	return 0, false, r.rejected(catalog.NotANumber, column, "%T is not a number", v)
}

package api

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// SQL of slow-queries: each query takes longer on the server than long_query_time of the session.
const (
	slowAfter = "SET SESSION long_query_time = 0.1"
	slowAgain = "SET SESSION long_query_time = DEFAULT"
	slowQuery = "SELECT q.* FROM (SELECT SLEEP(0.3) AS slept) AS late STRAIGHT_JOIN (%s) AS q"
)

// outcome returns the outcome of a query, as a label.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "error"
	}
}

// query runs a route's query on a connection of the pool.
func (r *request) query(route Route, values []any) ([]map[string]any, error) {
	conn, err := r.connection()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(r.ctx, r.config.QueryTimeout)
	defer cancel()
	query, slow := route.query, r.slowQueries.Load()
	if slow {
		query = fmt.Sprintf(slowQuery, query)
		if _, err := conn.ExecContext(ctx, slowAfter); err != nil {
			return nil, fmt.Errorf("database: %w", err)
		}
	}
	begun := time.Now()
	rows, err := rowsOf(ctx, conn, query, values)
	r.record(stream.DBQuery{Operation: "select", Table: route.Table, Outcome: outcome(err), Duration: stream.Seconds(time.Since(begun))})
	if err == nil && slow {
		_, err = conn.ExecContext(ctx, slowAgain)
	}
	if err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // the connection is discarded
		return nil, fmt.Errorf("database: %w", err)
	}
	return rows, nil
}

// connection takes a connection from the pool.
func (r *request) connection() (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(r.ctx, r.config.Limits.Wait)
	defer cancel()
	conn, err := r.pool.Conn(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("database: no connection within %s", r.config.Limits.Wait)
	case err != nil:
		return nil, fmt.Errorf("database: %w", err)
	}
	return conn, nil
}

// rowsOf returns the rows of a query, each by its column names.
func rowsOf(ctx context.Context, conn *sql.Conn, query string, values []any) ([]map[string]any, error) {
	rows, err := conn.QueryContext(ctx, query, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	all := []map[string]any{}
	for rows.Next() {
		row := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		named := make(map[string]any, len(columns))
		for i, name := range columns {
			if text, ok := row[i].([]byte); ok {
				row[i] = string(text)
			}
			named[name] = row[i]
		}
		all = append(all, named)
	}
	return all, rows.Err()
}

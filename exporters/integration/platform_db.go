package integration

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/database"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// platformDB is the platform's database, which has the orders and products that shops have sent to it.
type platformDB struct {
	pool             *sql.DB
	limit            time.Duration // of a statement, on the server
	orders, products string        // statements with idsPlaceholder
}

// record is an order or a product of a client.
type record struct {
	client string
	id     resourceID
}

// idsPlaceholder stands for a list of numbers in a statement, which returns the client's slug and the number of each that it
// finds.
const idsPlaceholder = "{ids}"

const defaultOrdersSQL = `SELECT DISTINCT c.slug, s.shopify_order_id
FROM sales s JOIN events e ON e.id = s.event_id JOIN clients c ON c.id = e.client_id
WHERE s.shopify_order_id IN ({ids})`

const defaultProductsSQL = `SELECT DISTINCT c.slug, i.shopify_product_id
FROM items i JOIN events e ON e.id = i.event_id JOIN clients c ON c.id = e.client_id
WHERE i.shopify_product_id IN ({ids})`

const (
	// findBatchSize is the number of records in one statement.
	findBatchSize = 500
	// platformDBConnections bounds the exporter's load on the database.
	platformDBConnections = 2
	platformDBLifetime    = 10 * time.Minute
)

func (b *builder) openPlatformDB() (*platformDB, error) {
	p := b.Platform
	dsn, err := secret.Read(p.DSNFile)
	if err != nil {
		return nil, b.file.Errorf("platform.dsn_file", "%w", err)
	}
	options := database.Options{Program: "consignwatch-integration-exporter", MaxConnections: platformDBConnections, MaxLifetime: platformDBLifetime}
	if p.TLS != nil {
		if options.TLS, err = commonconfig.NewTLSConfig(p.TLS); err != nil {
			return nil, b.file.Errorf("platform.tls", "%w", err)
		}
	}
	pool, err := database.Open(dsn, options)
	if err != nil {
		return nil, b.file.Errorf("platform.dsn_file", "%w", err)
	}
	b.closers = append(b.closers, pool.Close)
	return &platformDB{pool: pool, limit: time.Duration(p.Timeout), orders: p.OrdersSQL, products: p.ProductsSQL}, nil
}

// findRecords looks records up with a statement, and calls found for each that the database has, once.
func (db *platformDB) findRecords(ctx context.Context, statement string, all []record, found func(record)) error {
	if len(all) == 0 {
		return nil
	}
	conn, err := db.connect(ctx)
	if err != nil {
		return db.failed(ctx, "connect", err)
	}
	defer conn.Close()
	for len(all) > 0 {
		n := min(len(all), findBatchSize)
		if err := findBatch(ctx, conn, statement, all[:n], found); err != nil {
			err = db.failed(ctx, "look up", err)
			if exporter.ReasonOf(err) == exporter.ReasonAuth {
				// The server remembers rights for a connection's life: one that is given back counts for a new one.
				_ = conn.Raw(func(any) error { return driver.ErrBadConn })
			}
			return err
		}
		all = all[n:]
	}
	return nil
}

// connect takes a connection and sets the time limit that the server enforces. An idle one may have been closed: then it
// opens another one.
func (db *platformDB) connect(ctx context.Context) (*sql.Conn, error) {
	for again := true; ; again = false {
		conn, err := db.pool.Conn(ctx)
		if err != nil {
			return nil, err
		}
		if err = db.setTimeLimit(ctx, conn); err == nil {
			return conn, nil
		}
		conn.Close()
		if !again || !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, mysql.ErrInvalidConn) {
			return nil, err
		}
	}
}

func (db *platformDB) setTimeLimit(ctx context.Context, conn *sql.Conn) error {
	var text string
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&text); err != nil {
		return err
	}
	version, err := database.ParseVersion(text)
	if err != nil {
		return exporter.Failure(exporter.ReasonCapability, err)
	}
	_, err = conn.ExecContext(ctx, version.LimitStatement(db.limit))
	return err
}

func findBatch(ctx context.Context, conn *sql.Conn, statement string, batch []record, found func(record)) error {
	wanted := make(map[record]bool, len(batch))
	ids := make([]string, len(batch))
	for i, r := range batch {
		wanted[r] = true
		ids[i] = strconv.FormatUint(uint64(r.id), 10)
	}
	rows, err := conn.QueryContext(ctx, strings.ReplaceAll(statement, idsPlaceholder, strings.Join(ids, ",")))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r record
		if err := rows.Scan(&r.client, (*uint64)(&r.id)); err != nil {
			return exporter.Failure(exporter.ReasonParse, err)
		}
		if wanted[r] { // an order of another client is not found
			delete(wanted, r)
			found(r)
		}
	}
	return rows.Err()
}

// failed adds to an error what failed, and its reason. After the deadline, any error of the driver is a timeout.
func (db *platformDB) failed(ctx context.Context, what string, err error) error {
	err = fmt.Errorf("the platform's database: %s: %w", what, err)
	if ctx.Err() != nil && !errors.As(err, new(*mysql.MySQLError)) {
		return exporter.Failure(exporter.ReasonTimeout, errors.Join(err, ctx.Err()))
	}
	return database.Classify(err)
}

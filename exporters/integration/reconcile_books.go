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

// books are the platform's database, which knows the orders and products that shops have told it about.
type books struct {
	pool             *sql.DB
	limit            time.Duration // of a statement, on the server
	orders, products string        // statements with idsPlaceholder
}

// record is an order or a product of a client.
type record struct {
	client string
	id     resourceID
}

// idsPlaceholder stands for a list of numbers in a statement, which brings the client's slug and the number of each that it
// finds.
const idsPlaceholder = "{ids}"

const defaultOrdersSQL = `SELECT DISTINCT c.slug, s.shopify_order_id
FROM sales s JOIN events e ON e.id = s.event_id JOIN clients c ON c.id = e.client_id
WHERE s.shopify_order_id IN ({ids})`

const defaultProductsSQL = `SELECT DISTINCT c.slug, i.shopify_product_id
FROM items i JOIN events e ON e.id = i.event_id JOIN clients c ON c.id = e.client_id
WHERE i.shopify_product_id IN ({ids})`

const (
	// lookBatch is how many numbers one statement asks for.
	lookBatch = 500
	// booksConnections bounds what the exporter can cost the database.
	booksConnections = 2
	booksLifetime    = 10 * time.Minute
)

func (b *builder) openBooks() (*books, error) {
	p := b.Platform
	dsn, err := secret.Read(p.DSNFile)
	if err != nil {
		return nil, b.file.Errorf("platform.dsn_file", "%w", err)
	}
	options := database.Options{Program: "consignwatch-integration-exporter", MaxConnections: booksConnections, MaxLifetime: booksLifetime}
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
	return &books{pool: pool, limit: time.Duration(p.Timeout), orders: p.OrdersSQL, products: p.ProductsSQL}, nil
}

// look hands those of the records that the books have to the function, each once.
func (b *books) look(ctx context.Context, statement string, all []record, have func(record)) error {
	if len(all) == 0 {
		return nil
	}
	conn, err := b.connect(ctx)
	if err != nil {
		return b.failed(ctx, "connect", err)
	}
	defer conn.Close()
	for len(all) > 0 {
		n := min(len(all), lookBatch)
		if err := lookUp(ctx, conn, statement, all[:n], have); err != nil {
			err = b.failed(ctx, "look up", err)
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

// connect takes a connection and gives it the time limit that the server enforces. One that was kept may have been cut: then
// another one is made.
func (b *books) connect(ctx context.Context) (*sql.Conn, error) {
	for again := true; ; again = false {
		conn, err := b.pool.Conn(ctx)
		if err != nil {
			return nil, err
		}
		if err = b.limitTime(ctx, conn); err == nil {
			return conn, nil
		}
		conn.Close()
		if !again || !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, mysql.ErrInvalidConn) {
			return nil, err
		}
	}
}

func (b *books) limitTime(ctx context.Context, conn *sql.Conn) error {
	var text string
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&text); err != nil {
		return err
	}
	version, err := database.ParseVersion(text)
	if err != nil {
		return exporter.Failure(exporter.ReasonCapability, err)
	}
	_, err = conn.ExecContext(ctx, version.LimitStatement(b.limit))
	return err
}

func lookUp(ctx context.Context, conn *sql.Conn, statement string, batch []record, have func(record)) error {
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
		if wanted[r] { // an order that stands in the books of another client is not found
			delete(wanted, r)
			have(r)
		}
	}
	return rows.Err()
}

// failed says what failed and why. When time has run out, whatever the driver says comes from that.
func (b *books) failed(ctx context.Context, what string, err error) error {
	err = fmt.Errorf("the platform's database: %s: %w", what, err)
	if ctx.Err() != nil && !errors.As(err, new(*mysql.MySQLError)) {
		return exporter.Failure(exporter.ReasonTimeout, errors.Join(err, ctx.Err()))
	}
	return database.Classify(err)
}

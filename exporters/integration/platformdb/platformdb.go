// Package platformdb says which orders and products the platform's database has. It knows no shop, and reads nothing but their
// numbers.
package platformdb

import (
	"context"
	"crypto/tls"
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
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// DB is the platform's database, which has the orders and products that shops have sent to it.
type DB struct {
	pool             *sql.DB
	limit            time.Duration // of a statement, on the server
	orders, products string        // statements with idsPlaceholder
}

// Config is the platform's own database, which the shops are compared with.
type Config struct {
	// DSNFile holds the data source name, user:password@tcp(host:port)/database. It is read again on reload.
	DSNFile string                  `yaml:"dsn_file"`
	TLS     *commonconfig.TLSConfig `yaml:"tls,omitempty"`
	// Timeout is the time limit of a statement, on the server.
	Timeout yamlfile.Duration `yaml:"timeout,omitempty"`
	// OrdersSQL and ProductsSQL look orders and products up, in databases whose tables are not those of the contract. Each has
	// {ids} in place of the numbers, and returns the client's slug and the number of those that it finds.
	OrdersSQL   string `yaml:"orders_sql,omitempty"`
	ProductsSQL string `yaml:"products_sql,omitempty"`
}

// Fill sets the defaults of what is not set.
func (p *Config) Fill() {
	if p.Timeout == 0 {
		p.Timeout = yamlfile.Duration(5 * time.Second)
	}
	if p.OrdersSQL == "" {
		p.OrdersSQL = defaultOrdersSQL
	}
	if p.ProductsSQL == "" {
		p.ProductsSQL = defaultProductsSQL
	}
}

// SetDirectory makes paths relative to a folder.
func (p *Config) SetDirectory(dir string) {
	p.DSNFile = commonconfig.JoinDir(dir, p.DSNFile)
	p.TLS.SetDirectory(dir)
}

// Check reports the first mistake. It is called after Fill.
func (p *Config) Check(f *yamlfile.File) error {
	switch {
	case p.DSNFile == "":
		return f.Errorf("platform.dsn_file", "is missing: the path of a file with user:password@tcp(host:port)/database")
	case strings.Count(p.OrdersSQL, idsPlaceholder) != 1:
		return f.Errorf("platform.orders_sql", "must have %s once: the place where the numbers of orders stand", idsPlaceholder)
	case strings.Count(p.ProductsSQL, idsPlaceholder) != 1:
		return f.Errorf("platform.products_sql", "must have %s once: the place where the numbers of products stand", idsPlaceholder)
	}
	return nil
}

// Record is an order or a product of a client.
type Record struct {
	Client string
	ID     uint64
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
	// maxConnections bounds the exporter's load on the database.
	maxConnections = 2
	lifetime       = 10 * time.Minute
)

// Open opens the database of a configuration. It does not connect.
func Open(c *Config, dsn secret.Value, security *tls.Config) (*DB, error) {
	pool, err := database.Open(dsn, database.Options{
		Program: "consignwatch-integration-exporter", MaxConnections: maxConnections, MaxLifetime: lifetime, TLS: security,
	})
	if err != nil {
		return nil, err
	}
	return &DB{pool: pool, limit: time.Duration(c.Timeout), orders: c.OrdersSQL, products: c.ProductsSQL}, nil
}

// Close closes the connections.
func (db *DB) Close() error { return db.pool.Close() }

// FindOrders calls found for each of the orders that the database has, once.
func (db *DB) FindOrders(ctx context.Context, all []Record, found func(Record)) error {
	return db.findRecords(ctx, db.orders, all, found)
}

// FindProducts calls found for each of the products that the database has, once.
func (db *DB) FindProducts(ctx context.Context, all []Record, found func(Record)) error {
	return db.findRecords(ctx, db.products, all, found)
}

func (db *DB) findRecords(ctx context.Context, statement string, all []Record, found func(Record)) error {
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
func (db *DB) connect(ctx context.Context) (*sql.Conn, error) {
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

func (db *DB) setTimeLimit(ctx context.Context, conn *sql.Conn) error {
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

func findBatch(ctx context.Context, conn *sql.Conn, statement string, batch []Record, found func(Record)) error {
	wanted := make(map[Record]bool, len(batch))
	ids := make([]string, len(batch))
	for i, r := range batch {
		wanted[r] = true
		ids[i] = strconv.FormatUint(r.ID, 10)
	}
	rows, err := conn.QueryContext(ctx, strings.ReplaceAll(statement, idsPlaceholder, strings.Join(ids, ",")))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r Record
		if err := rows.Scan(&r.Client, &r.ID); err != nil {
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
func (db *DB) failed(ctx context.Context, what string, err error) error {
	err = fmt.Errorf("the platform's database: %s: %w", what, err)
	if ctx.Err() != nil && !errors.As(err, new(*mysql.MySQLError)) {
		return exporter.Failure(exporter.ReasonTimeout, errors.Join(err, ctx.Err()))
	}
	return database.Classify(err)
}

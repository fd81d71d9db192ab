// Package database is how an exporter reaches a MySQL or MariaDB server: a small pool, errors with their reasons, versions
// that compare as versions, and the time limit that the server itself enforces. It has no statements of the exporters.
package database

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	commonconfig "github.com/prometheus/common/config"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// Options say how to use a server.
type Options struct {
	// Program is the connection attribute program_name.
	Program string
	// MaxConnections bounds the exporter's load on the server; idle connections are kept.
	MaxConnections int
	// MaxLifetime ends a connection, so that new rights and a new address of the server are seen. 0: never.
	MaxLifetime time.Duration
	// MaxIdleTime closes a connection that was idle for so long. 0: never.
	MaxIdleTime time.Duration
	// TLS, when it is not nil, replaces what the data source name says about TLS.
	TLS *tls.Config
}

// TLSConfig makes Options.TLS of a block `tls:` in a configuration file; nil of none.
func TLSConfig(c *commonconfig.TLSConfig) (*tls.Config, error) {
	if c == nil {
		return nil, nil
	}
	return commonconfig.NewTLSConfig(c)
}

// dialTimeout is the timeout of a connect whose data source name has none.
const dialTimeout = 5 * time.Second

// Open prepares a pool. It does not connect: an exporter starts while the server is down.
func Open(dsn secret.Value, o Options) (*sql.DB, error) {
	cfg, err := mysql.ParseDSN(dsn.Reveal())
	if err != nil {
		return nil, errors.New("data source name, like user:password@tcp(host:3306)/database: " + describe(err))
	}
	secret.Register(cfg.Passwd) // so that it is masked in the log without the rest
	// The server converts a TIMESTAMP into the session's zone, and the driver takes what it reads for UTC.
	cfg.ParseTime, cfg.Loc = true, time.UTC
	if cfg.Params == nil {
		cfg.Params = map[string]string{}
	}
	maps.DeleteFunc(cfg.Params, func(name, _ string) bool { return strings.EqualFold(name, "time_zone") })
	cfg.Params["time_zone"] = "'+00:00'"
	if cfg.Timeout <= 0 {
		cfg.Timeout = dialTimeout
	}
	if cfg.DialFunc == nil {
		cfg.DialFunc = dialHandshake
	}
	cfg.Logger = &mysql.NopLogger{} // what goes wrong is returned, and logged once
	if cfg.ConnectionAttributes == "" {
		cfg.ConnectionAttributes = "program_name:" + o.Program
	}
	if o.TLS != nil {
		cfg.TLS = o.TLS.Clone() // the driver adds the server's name
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, errors.New("data source name: " + describe(err))
	}
	pool := sql.OpenDB(recoveringConnector{connector})
	pool.SetMaxOpenConns(o.MaxConnections)
	pool.SetMaxIdleConns(o.MaxConnections)
	pool.SetConnMaxLifetime(o.MaxLifetime)
	pool.SetConnMaxIdleTime(o.MaxIdleTime)
	return pool, nil
}

// describe is an error of the driver about a data source name. What the driver quotes may be a part of the password, when it was
// divided at the wrong place: only a message without any quotation is repeated.
func describe(err error) string {
	if text := err.Error(); strings.HasPrefix(text, "invalid DSN: ") {
		return text
	}
	return "it is not valid; is there a / before the name of the database? A password may hold any sign, if that / is there"
}

// recoveringConnector distinguishes a server that does not speak the protocol from one that is down. The driver may panic on a
// malformed handshake, in a goroutine of the pool: that would end the exporter.
type recoveringConnector struct{ driver.Connector }

func (c recoveringConnector) Connect(ctx context.Context) (conn driver.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			conn, err = nil, exporter.Failure(exporter.ReasonParse, fmt.Errorf("the server's handshake is not MySQL's: %v", p))
		}
	}()
	conn, err = c.Connector.Connect(ctx)
	if err != nil && exporter.ReasonOf(Classify(err)) == exporter.ReasonInternal && ctx.Err() == nil {
		err = exporter.Failure(exporter.ReasonParse, fmt.Errorf("the server's handshake is not understood: %w", err))
	}
	return conn, err
}

// Classify gives an error its reason.
func Classify(err error) error {
	var tlsErr *tls.CertificateVerificationError
	if errors.As(err, &tlsErr) {
		return exporter.Failure(exporter.ReasonConnection, err)
	}
	var my *mysql.MySQLError
	if errors.As(err, &my) {
		return exporter.Failure(reasonOf(my.Number), err)
	}
	switch {
	case errors.Is(err, mysql.ErrMalformPkt), errors.Is(err, mysql.ErrPktSync), errors.Is(err, mysql.ErrOldProtocol), errors.Is(err, mysql.ErrUnknownPlugin):
		return exporter.Failure(exporter.ReasonParse, err)
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return exporter.Failure(exporter.ReasonConnection, err)
	}
	return err
}

// Version is a server's version and flavour.
type Version struct {
	MariaDB             bool
	Major, Minor, Patch int
	text                string
}

var versionNumbers = regexp.MustCompile(`^(\d+)\.(\d+)(?:\.(\d+))?`)

// ParseVersion reads what SELECT VERSION() answers: 8.0.36, 8.4.0-0ubuntu1, 10.11.19-MariaDB-0+deb12u1-log.
func ParseVersion(text string) (Version, error) {
	v := Version{text: text, MariaDB: strings.Contains(strings.ToLower(text), "mariadb")}
	// Some proxies and old replication clients see a version that MariaDB hides behind 5.5.5.
	numbers := versionNumbers.FindStringSubmatch(strings.TrimPrefix(text, "5.5.5-"))
	if numbers == nil {
		return v, fmt.Errorf("%q is not a version of MySQL or MariaDB", text)
	}
	for i, part := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*part, _ = strconv.Atoi(numbers[i+1]) // digits, or no patch level
	}
	return v, nil
}

// AtLeast compares as versions are: 10.11 comes after 10.5.
func (v Version) AtLeast(major, minor, patch int) bool {
	if v.Major != major {
		return v.Major > major
	}
	if v.Minor != minor {
		return v.Minor > minor
	}
	return v.Patch >= patch
}

func (v Version) String() string { return v.text }

// LimitStatement sets the time limit of the following statements of a session as the server wants it: MariaDB in seconds
// and for all, MySQL in milliseconds and for SELECT only.
func (v Version) LimitStatement(limit time.Duration) string {
	if v.MariaDB {
		return "SET SESSION max_statement_time = " + strconv.FormatFloat(limit.Seconds(), 'f', 3, 64)
	}
	return "SET SESSION max_execution_time = " + strconv.FormatInt(limit.Milliseconds(), 10)
}

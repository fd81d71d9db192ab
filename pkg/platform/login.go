package platform

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// login is as whom a pool's next connections come to the server. It can change while the pool is in use.
type login struct {
	first *mysql.Config // as the DSN says
	now   atomic.Pointer[driver.Connector]
}

// open makes a pool. What the simulator writes must not depend on how the server is set up.
func open(dsn string, timeout time.Duration) (*sql.DB, *login, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, nil, fmt.Errorf("platform: DSN: %w", err)
	}
	if config.DBName == "" {
		return nil, nil, errors.New("platform: DSN: it names no database")
	}
	config.ParseTime = true
	config.Loc = time.UTC
	config.Timeout = timeout
	config.Logger = &mysql.NopLogger{}
	if config.Params == nil {
		config.Params = map[string]string{}
	}
	config.Params["sql_mode"] = "'TRADITIONAL'"
	config.Params["time_zone"] = "'+00:00'"
	l := &login{first: config}
	if err := l.as(config.User, config.Passwd); err != nil {
		return nil, nil, err
	}
	return sql.OpenDB(l), l, nil
}

// as lets the next connections come as some user.
func (l *login) as(user, password string) error {
	config := l.first.Clone()
	config.User, config.Passwd = user, password
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return fmt.Errorf("platform: DSN: %w", err)
	}
	l.now.Store(&connector)
	return nil
}

// Connect makes a connection, for the pool.
func (l *login) Connect(ctx context.Context) (driver.Conn, error) {
	return (*l.now.Load()).Connect(ctx)
}

// Driver returns the driver, for the pool.
func (l *login) Driver() driver.Driver { return (*l.now.Load()).Driver() }

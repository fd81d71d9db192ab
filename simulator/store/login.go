package store

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

// login holds the credentials of a pool's next connections. They can change while the pool is in use.
type login struct {
	configured *mysql.Config // of the DSN
	connector  atomic.Pointer[driver.Connector]
}

// OpenPool makes a pool whose session settings do not depend on the server's configuration.
func OpenPool(dsn string, timeout time.Duration) (*sql.DB, *login, error) {
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
	l := &login{configured: config}
	if err := l.setUser(config.User, config.Passwd); err != nil {
		return nil, nil, err
	}
	return sql.OpenDB(l), l, nil
}

// setUser sets the user of the next connections.
func (l *login) setUser(user, password string) error {
	config := l.configured.Clone()
	config.User, config.Passwd = user, password
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return fmt.Errorf("platform: DSN: %w", err)
	}
	l.connector.Store(&connector)
	return nil
}

// Connect implements driver.Connector.
func (l *login) Connect(ctx context.Context) (driver.Conn, error) {
	return (*l.connector.Load()).Connect(ctx)
}

// Driver implements driver.Connector.
func (l *login) Driver() driver.Driver { return (*l.connector.Load()).Driver() }

// WriteAs sets the user of the next connections.
func (s *Store) WriteAs(ctx context.Context, user, password string) error {
	if err := s.LockWrites(ctx); err != nil {
		return err
	}
	defer s.UnlockWrites()
	if err := s.login.setUser(user, password); err != nil {
		return err
	}
	s.db.SetMaxIdleConns(0) // idle connections have the previous user
	s.db.SetMaxIdleConns(keptIdle)
	return nil
}

// Configured returns the configuration that the DSN stands for.
func (s *Store) Configured() *mysql.Config { return s.login.configured }

// keptIdle is the number of idle connections of a pool; database/sql's default.
const keptIdle = 2

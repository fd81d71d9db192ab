package platform

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"
)

const (
	deadlockTable = "platform_sim_deadlocks"
	deadlockEvery = 250 * time.Millisecond

	deadlockFound = 1213 // the server's error number for it
	keptIdle      = 2    // connections of a pool that wait for the next activity, as database/sql has it
)

// refusedByDatabase tells whether the server itself said no, and will say so again.
func refusedByDatabase(err error) bool {
	var refused *mysql.MySQLError
	return errors.As(err, &refused) && !slices.Contains([]uint16{1040, 1053}, refused.Number) // too many connections, shutting down
}

// admin returns a single connection as the DSN says, whose statements come to the server one after the other, even when it does not
// answer for long: there is no time limit after which a statement is on its way that nobody waits for any more.
func (p *Platform) admin() (*sql.DB, error) {
	db, _, err := open(p.config.DSN, p.config.Timeout)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// script is how statements are run: each until it succeeds, until it is refused, or until the context on ends; one that is on its
// way ends early only with alive.
type script struct {
	db        *sql.DB
	on, alive context.Context
	refused   func(error) bool
}

func (s script) run(statements ...string) error {
	for _, statement := range statements {
		err := insist(s.on, s.refused, func() error {
			_, err := s.db.ExecContext(s.alive, statement)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exhaustPool takes every connection of the API's pool and keeps it.
func (p *Platform) exhaustPool(on, _ context.Context, begun func()) error {
	pool := p.api.Pool()
	var leaked []*sql.Conn
	defer func() {
		for _, conn := range leaked {
			_ = conn.Close() // back to the pool
		}
	}()
	for len(leaked) < pool.Stats().MaxOpenConnections {
		conn, err := pool.Conn(on)
		switch {
		case err == nil:
			leaked = append(leaked, conn)
		case !rest(on, shortestRetry): // the database is away: it comes back, or the fault ends
			return nil
		}
	}
	begun()
	<-on.Done()
	return nil
}

// deadlock makes deadlocks.
func (p *Platform) deadlock(on, alive context.Context, begun func()) error {
	db, err := p.admin()
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(2)
	err = script{db, on, alive, refusedByDatabase}.run(
		"CREATE TABLE IF NOT EXISTS "+deadlockTable+" (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL) ENGINE=InnoDB",
		"INSERT IGNORE INTO "+deadlockTable+" VALUES (1, 0), (2, 0)")
	for err == nil && on.Err() == nil {
		round, cancel := context.WithTimeout(on, p.config.Timeout)
		if deadlockOnce(round, db) {
			begun()
		}
		cancel()
		rest(on, deadlockEvery)
	}
	if err := unless(on, err); err != nil {
		return err
	}
	return script{db, alive, alive, never}.run("DROP TABLE IF EXISTS " + deadlockTable)
}

// deadlockOnce lets two transactions each change a row, and then the other's. It tells whether the server found a deadlock.
func deadlockOnce(ctx context.Context, db *sql.DB) bool {
	var both [2]*sql.Tx
	for i := range both {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return false
		}
		defer func() { _ = tx.Rollback() }()
		if _, err := tx.ExecContext(ctx, "UPDATE "+deadlockTable+" SET n = n + 1 WHERE id = ?", i+1); err != nil {
			return false
		}
		both[i] = tx
	}
	errs := make(chan error, len(both))
	for i, tx := range both {
		go func() {
			_, err := tx.ExecContext(ctx, "UPDATE "+deadlockTable+" SET n = n + 1 WHERE id = ?", 2-i)
			if err != nil {
				err = errors.Join(err, tx.Rollback())
			}
			errs <- err
		}()
	}
	var refused *mysql.MySQLError
	return errors.As(errors.Join(<-errs, <-errs), &refused) && refused.Number == deadlockFound
}

// readOnly makes the server read_only. Whoever has the right to switch that also has the right to write all the same, so life writes as
// somebody else meanwhile.
func (p *Platform) readOnly(on, alive context.Context, begun func()) error {
	db, err := p.admin()
	if err != nil {
		return err
	}
	defer db.Close()
	name := fnv.New32a()
	_, _ = name.Write([]byte(p.login.first.DBName))
	user, password := fmt.Sprintf("platform_sim_%08x", name.Sum32()), rand.Text()
	account := "'" + user + "'@'%'"
	var was bool
	err = insist(on, refusedByDatabase, func() error {
		return db.QueryRowContext(alive, "SELECT @@GLOBAL.read_only").Scan(&was)
	})
	if err != nil { // nothing has been changed
		return unless(on, err)
	}
	breaking := script{db, on, alive, refusedByDatabase}
	if err = breaking.run(
		"CREATE USER IF NOT EXISTS "+account+" IDENTIFIED BY '"+password+"'",
		"ALTER USER "+account+" IDENTIFIED BY '"+password+"'",
		"GRANT ALL PRIVILEGES ON `"+p.login.first.DBName+"`.* TO "+account); err == nil {
		err = p.writeAs(on, user, password)
	}
	for err == nil && on.Err() == nil {
		// Again and again: a server that was started anew has forgotten it.
		if err = breaking.run("SET GLOBAL read_only = 1"); err == nil {
			begun()
			rest(on, time.Second)
		}
	}
	mending := script{db, alive, alive, never}
	if err = unless(on, err); err != nil { // who may not break it may not mend it either, and there is little to mend
		mending.refused = refusedByDatabase
	}
	if !was {
		err = errors.Join(err, mending.run("SET GLOBAL read_only = 0"))
	}
	return errors.Join(err, p.writeAs(alive, p.login.first.User, p.login.first.Passwd), mending.run("DROP USER IF EXISTS "+account))
}

// unless returns an error of what was done until a context ended, and nil when its end was the reason.
func unless(ended context.Context, err error) error {
	if ended.Err() != nil {
		return nil
	}
	return err
}

// writeAs lets life write as some user from now on.
func (p *Platform) writeAs(ctx context.Context, user, password string) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.release()
	if err := p.login.as(user, password); err != nil {
		return err
	}
	p.db.SetMaxIdleConns(0) // those that are open belong to the user before
	p.db.SetMaxIdleConns(keptIdle)
	return nil
}

package infra

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

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
)

const (
	deadlockTable = "platform_sim_deadlocks"
	deadlockEvery = 250 * time.Millisecond

	deadlockFound = 1213 // the server's error number for a deadlock (ER_LOCK_DEADLOCK)
)

// refusedByDatabase reports whether the error is the server's answer, and a retry gets the same.
func refusedByDatabase(err error) bool {
	var refused *mysql.MySQLError
	return errors.As(err, &refused) && !slices.Contains([]uint16{1040, 1053}, refused.Number) // too many connections, shutting down
}

// admin returns a pool of one connection with the DSN's user, so that the server gets its statements one after the other. It has no time
// limit: a statement that nobody waits for any more could be carried out after a later one.
func (i *Infra) admin() (*sql.DB, error) {
	db, _, err := store.OpenPool(i.DSN, i.Timeout)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// script runs statements: each until it succeeds, is refused, or the context on ends. A running statement is interrupted by alive only.
type script struct {
	db        *sql.DB
	on, alive context.Context
	refused   func(error) bool
}

func (s script) run(statements ...string) error {
	for _, statement := range statements {
		err := faults.RetryUntil(s.on, s.refused, func() error {
			_, err := s.db.ExecContext(s.alive, statement)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exhaustPool takes all connections of the API's pool and holds them.
func (i *Infra) exhaustPool(on, _ context.Context, active func()) error {
	pool := i.api.Pool()
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
		case !faults.Sleep(on, faults.RetryEvery): // the database is down: it comes back, or the fault ends
			return nil
		}
	}
	active()
	<-on.Done()
	return nil
}

// deadlock causes deadlocks.
func (i *Infra) deadlock(on, alive context.Context, active func()) error {
	db, err := i.admin()
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(2)
	err = script{db, on, alive, refusedByDatabase}.run(
		"CREATE TABLE IF NOT EXISTS "+deadlockTable+" (id INT NOT NULL PRIMARY KEY, n BIGINT NOT NULL) ENGINE=InnoDB",
		"INSERT IGNORE INTO "+deadlockTable+" VALUES (1, 0), (2, 0)")
	for err == nil && on.Err() == nil {
		round, cancel := context.WithTimeout(on, i.Timeout)
		if deadlockOnce(round, db) {
			active()
		}
		cancel()
		faults.Sleep(on, deadlockEvery)
	}
	if err := unlessEnded(on, err); err != nil {
		return err
	}
	return script{db, alive, alive, faults.NeverRefused}.run("DROP TABLE IF EXISTS " + deadlockTable)
}

// deadlockOnce makes two transactions update a row each, and then the other's. It reports whether the server found a deadlock.
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

// readOnly makes the server read_only. The user who may set read_only may write nevertheless, so life writes as another user meanwhile.
func (i *Infra) readOnly(on, alive context.Context, active func()) error {
	db, err := i.admin()
	if err != nil {
		return err
	}
	defer db.Close()
	name := fnv.New32a()
	_, _ = name.Write([]byte(i.Configured().DBName))
	user, password := fmt.Sprintf("platform_sim_%08x", name.Sum32()), rand.Text()
	account := "'" + user + "'@'%'"
	var was bool
	err = faults.RetryUntil(on, refusedByDatabase, func() error {
		return db.QueryRowContext(alive, "SELECT @@GLOBAL.read_only").Scan(&was)
	})
	if err != nil { // nothing was changed
		return unlessEnded(on, err)
	}
	breakScript := script{db, on, alive, refusedByDatabase}
	if err = breakScript.run(
		"CREATE USER IF NOT EXISTS "+account+" IDENTIFIED BY '"+password+"'",
		"ALTER USER "+account+" IDENTIFIED BY '"+password+"'",
		"GRANT ALL PRIVILEGES ON `"+i.Configured().DBName+"`.* TO "+account); err == nil {
		err = i.WriteAs(on, user, password)
	}
	for err == nil && on.Err() == nil {
		// Repeated: a restarted server has lost the setting.
		if err = breakScript.run("SET GLOBAL read_only = 1"); err == nil {
			active()
			faults.Sleep(on, time.Second)
		}
	}
	repairScript := script{db, alive, alive, faults.NeverRefused}
	if err = unlessEnded(on, err); err != nil { // who may not break it may not repair it either, and there is little to repair
		repairScript.refused = refusedByDatabase
	}
	if !was {
		err = errors.Join(err, repairScript.run("SET GLOBAL read_only = 0"))
	}
	return errors.Join(err, i.WriteAs(alive, i.Configured().User, i.Configured().Passwd), repairScript.run("DROP USER IF EXISTS "+account))
}

// unlessEnded returns the error, or nil if the context has ended: then its end is the reason.
func unlessEnded(ended context.Context, err error) error {
	if ended.Err() != nil {
		return nil
	}
	return err
}

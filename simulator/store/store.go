// Package store changes the database and its books in memory together: each change is one transaction, and the books follow when it is known
// to be committed, even if the answer to COMMIT was lost. It does not decide what changes, and it never reads rows back.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/simulator/world"
)

// Config configures a store. All of it is required.
type Config struct {
	world.Clock
	DSN     string        // go-sql-driver/mysql, with the database's name
	Timeout time.Duration // of a transaction
	Logger  *slog.Logger
	// IDsAfter is what the keys of rows begin after (world.FirstIDs).
	IDsAfter uint64
}

// An Observer gets every change that was committed, in order, with the books as they are after it. The store is locked meanwhile.
type Observer interface {
	Changed(*world.Books, *Change)
}

// Store is the database and its books in memory. Its methods can be called from any goroutine.
type Store struct {
	Config

	db        *sql.DB
	login     *login // of db
	observers []Observer

	writeLock chan struct{} // held by whoever runs a transaction
	Paused    atomic.Bool   // life and telemetry do not go on
	Filled    atomic.Bool

	// Written with writeLock and memory held; read with either.
	Memory  sync.RWMutex
	Books   *world.Books
	Index   *world.Index
	Changes int64 // changes recorded

	// Guarded by writeLock.
	IDs            world.IDs
	unknownOutcome *Change // committed or not: nobody knows yet

	Failing  atomic.Pointer[string] // the last error while the database fails
	Failures atomic.Int64
}

// Open makes a store that is empty. It does not connect.
func Open(config Config) (*Store, error) {
	db, login, err := OpenPool(config.DSN, config.Timeout)
	if err != nil {
		return nil, err
	}
	return &Store{
		Config: config, db: db, login: login, writeLock: make(chan struct{}, 1),
		Books: &world.Books{Totals: map[uint64]world.Totals{}}, Index: world.NewIndex(), IDs: world.FirstIDs(config.IDsAfter),
	}, nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.db.Close() }

// Observe adds observers, in the order in which they get each change. It is called before the first change.
func (s *Store) Observe(all ...Observer) { s.observers = append(s.observers, all...) }

// Snapshot returns a copy of the books.
func (s *Store) Snapshot() *world.Books {
	s.Memory.RLock()
	defer s.Memory.RUnlock()
	return s.Books.Clone()
}

// ClientList returns all clients.
func (s *Store) ClientList() []world.Client {
	s.Memory.RLock()
	defer s.Memory.RUnlock()
	return slices.Clone(s.Books.Clients)
}

// ErrUnknownClient says that there is no such client, or that it is not active.
var ErrUnknownClient = errors.New("unknown client")

// ClientID returns the id of an active client.
func (s *Store) ClientID(slug string) (uint64, error) {
	s.Memory.RLock()
	defer s.Memory.RUnlock()
	switch c := s.Books.ClientBySlug(slug); {
	case c == nil:
		return 0, fmt.Errorf("client %q: %w", slug, ErrUnknownClient)
	case !c.Active:
		return 0, fmt.Errorf("client %q is not active: %w", slug, ErrUnknownClient)
	default:
		return c.ID, nil
	}
}

// NewChange begins a change. The caller holds the right to write.
func (s *Store) NewChange(name string) *Change {
	return &Change{name: name, ids: s.IDs, observed: len(s.observers) > 0}
}

// ErrOutcomeUnknown says that COMMIT was sent and the caller's context ended before the answer. The change is carried out all the same as
// soon as the database answers, and no other change runs before that.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// Apply runs a change and records it in the books. The caller holds writeLock.
//
// An error before COMMIT was sent means that nothing has happened. When the answer to COMMIT is missing, the change is kept, and no
// other change runs until resolveUnknown has found out.
func (s *Store) Apply(ctx context.Context, c *Change) error {
	if err := s.ResolveUnknown(ctx); err != nil {
		return err
	}
	c.flush()
	err := s.transact(ctx, c)
	switch {
	case err == nil:
		s.record(c)
	case errors.Is(err, ErrOutcomeUnknown):
		s.unknownOutcome = c
	}
	return err
}

// ResolveUnknown finds out whether a change was committed, by running it again: updates and deletes are idempotent, and a duplicate key
// says that the inserts had been committed. The locks of a transaction that the server has yet to commit make the second run wait.
func (s *Store) ResolveUnknown(ctx context.Context) error {
	c := s.unknownOutcome
	if c == nil {
		return nil
	}
	var refused *mysql.MySQLError
	err := s.transact(ctx, c)
	if err == nil || c.inserts && errors.As(err, &refused) && refused.Number == duplicateKey {
		s.unknownOutcome = nil
		s.record(c)
		return nil
	}
	return fmt.Errorf("platform: find out about an earlier change: %v", err) // %v: the error is not one of the caller's change
}

// ApplyResolved runs a change and waits until its outcome is known, or the context ends.
func (s *Store) ApplyResolved(ctx context.Context, c *Change) error {
	err := s.Apply(ctx, c)
	if !errors.Is(err, ErrOutcomeUnknown) {
		return err
	}
	if err := s.AwaitResolved(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return nil
}

// AwaitResolved waits until the outcome of every change is known.
func (s *Store) AwaitResolved(ctx context.Context) error {
	for {
		err := s.ResolveUnknown(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// duplicateKey is the server's error number for a duplicate key (ER_DUP_ENTRY).
const duplicateKey = 1062

// record is the only place where the books change after Fill. From here the observers get the changes: in order, and only committed ones.
func (s *Store) record(c *Change) {
	s.Memory.Lock()
	defer s.Memory.Unlock()
	for _, effect := range c.effects {
		effect(s.Books, s.Index)
	}
	s.Changes++
	for _, o := range s.observers {
		o.Changed(s.Books, c)
	}
}

// transact runs the statements in one transaction, on a connection that is discarded after any error, so that no transaction stays open.
// It ends after the time limit and not with the context: a transaction that was begun is better finished than abandoned.
func (s *Store) transact(ctx context.Context, c *Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("platform: %s: %w", c.name, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Timeout)
	defer cancel()
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("platform: %s: connect: %w", c.name, err)
	}
	defer conn.Close()
	if err := s.statements(ctx, conn, c); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		return err
	}
	return nil
}

func (s *Store) statements(ctx context.Context, conn *sql.Conn, c *Change) error {
	if _, err := conn.ExecContext(ctx, "START TRANSACTION"); err != nil {
		return fmt.Errorf("platform: %s: begin: %w", c.name, err)
	}
	for _, statement := range c.statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("platform: %s: %.60s: %w", c.name, statement, err)
		}
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		return fmt.Errorf("platform: %s: commit: %w: %w", c.name, ErrOutcomeUnknown, err)
	}
	return nil
}

// LockWrites acquires writeLock: the right to run transactions and to change the books.
func (s *Store) LockWrites(ctx context.Context) error {
	select {
	case s.writeLock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("platform: wait for a running activity: %w", context.Cause(ctx))
	}
}

// LockFilled acquires writeLock for changes by callers, which need a filled platform.
func (s *Store) LockFilled(ctx context.Context) error {
	if !s.Filled.Load() {
		return ErrNotFilled
	}
	return s.LockWrites(ctx)
}

// ErrNotFilled is the error of all operations that need the platform's rows, before Fill.
var ErrNotFilled = errors.New("platform: the database is not filled yet")

// UnlockWrites gives the right to write back.
func (s *Store) UnlockWrites() { <-s.writeLock }

// Fill creates the missing tables and fills them with what generate writes and returns. It refuses tables that hold a client, because they
// may be somebody else's, unless it is told to empty them. Seeded is called with the new books, before anybody else sees them.
func (s *Store) Fill(ctx context.Context, empty bool, generate func(*sql.DB, time.Time, world.IDs) (*world.Books, error), seeded func(*world.Books, time.Time) error) error {
	if err := s.LockWrites(ctx); err != nil {
		return err
	}
	defer s.UnlockWrites()
	if s.Filled.Load() {
		return fmt.Errorf("platform: fill: it is filled already")
	}
	if err := CreateSchema(ctx, s.db); err != nil {
		return err
	}
	if empty {
		if err := emptyTables(ctx, s.db); err != nil {
			return err
		}
	}
	var clients int
	if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM clients").Scan(&clients); err != nil {
		return fmt.Errorf("platform: fill: %w", err)
	}
	if clients > 0 {
		return fmt.Errorf("platform: fill: the database has %d clients already; give it an empty one, or let it be emptied (Config.Fresh, or --fresh)", clients)
	}
	now := s.Now()
	s.IDs = world.FirstIDs(s.IDsAfter)
	books, err := generate(s.db, now, s.IDs)
	if err != nil {
		return err
	}
	s.Memory.Lock()
	defer s.Memory.Unlock()
	s.Books, s.Index = books, world.IndexOf(books, now)
	if err := seeded(books, now); err != nil {
		return err
	}
	s.Filled.Store(true)
	return nil
}

// Do makes a change of the caller's, in one transaction and in the books: a client is renamed, a sale event gets an odd name, a test
// inserts a row. The function must not change the books it is given. New rows take their keys from Change.NewID. Life may choose rows
// that were changed by Do; pause it where that matters.
//
// After an error nothing has happened, unless the error wraps ErrOutcomeUnknown.
func (s *Store) Do(ctx context.Context, name string, fill func(*world.Books, *Change) error) error {
	if err := s.LockFilled(ctx); err != nil {
		return err
	}
	defer s.UnlockWrites()
	c := s.NewChange(name)
	if err := s.ResolveUnknown(ctx); err != nil { // before the books are read: it changes them
		return err
	}
	if err := fill(s.Books, c); err != nil {
		return fmt.Errorf("platform: %s: %w", name, err)
	}
	if c.Empty() {
		return nil
	}
	return s.ApplyResolved(ctx, c)
}

// NoteFailure logs the first error of an outage, and its end.
func (s *Store) NoteFailure(err error) {
	if err == nil {
		if s.Failing.Swap(nil) != nil {
			s.Logger.Info("platform: simulation resumes")
		}
		return
	}
	s.Failures.Add(1)
	message := err.Error()
	if s.Failing.Swap(&message) == nil {
		s.Logger.Warn("platform: simulation waits", "err", err)
	}
}

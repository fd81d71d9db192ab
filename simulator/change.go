package simulator

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Change is what one activity does: inserts, updates and deletes of rows in one transaction, and the same in the books once the
// transaction is known to be committed.
type Change struct {
	name          string
	statements    []string
	tail          extensible // consecutive rows of one table share a statement
	effects       []func(*Books, *index)
	inserts       bool
	ids           *ids
	tracked       bool        // rowChanges is recorded
	rowChanges    []rowChange // filled when the change is recorded
	reportedByAPI bool        // the API reports the request of this change
	importedLate  bool        // its orders were in the shop long before
}

// rowChange is the state of a row before and after a change.
type rowChange struct{ before, after Row } // before nil: inserted; after nil: deleted

func (p *Platform) newChange(name string) *Change {
	return &Change{name: name, ids: &p.ids, tracked: p.emitter != nil || p.disk != nil || p.external != nil}
}

// NewID returns a primary key for a new row of the same kind as the one given.
func (c *Change) NewID(of Row) uint64 { return next(c.ids.counter(of)) }

// Insert adds rows.
func (c *Change) Insert(rows ...Row) {
	for _, r := range rows {
		r.table().insert(c, r)
	}
}

// Update replaces the rows with the same keys. Columns that never change (keys, times of creation, personal columns) keep their values.
func (c *Change) Update(rows ...Row) {
	for _, r := range rows {
		r.table().update(c, r)
	}
}

// Delete deletes rows.
func (c *Change) Delete(rows ...Row) {
	for _, r := range rows {
		r.table().remove(c, r)
	}
}

func (c *Change) empty() bool { return len(c.effects) == 0 }

// extensible is a statement that further rows can be added to.
type extensible interface{ statement() string }

// flush completes the statement in tail.
func (c *Change) flush() {
	if c.tail != nil {
		c.statements = append(c.statements, c.tail.statement())
		c.tail = nil
	}
}

type insertion[T Row] struct{ text []byte }

func (i *insertion[T]) statement() string { return string(i.text) }

func (t *table[T]) insert(c *Change, r Row) {
	row := r.(T)
	if tail, ok := c.tail.(*insertion[T]); ok {
		tail.text = t.tuple(append(tail.text, ','), &row)
	} else {
		c.flush()
		c.tail = &insertion[T]{t.tuple(t.insertHead(nil), &row)}
	}
	c.inserts = true
	c.effects = append(c.effects, t.effect(c, row))
}

func (t *table[T]) update(c *Change, r Row) {
	row := r.(T)
	c.flush()
	c.statements = append(c.statements, t.updateStatement(&row))
	c.effects = append(c.effects, t.effect(c, row))
}

type deletion[T Row] struct {
	table *table[T]
	rows  []T
}

func (d *deletion[T]) statement() string { return d.table.deleteStatement(d.rows) }

func (t *table[T]) remove(c *Change, r Row) {
	row := r.(T)
	if tail, ok := c.tail.(*deletion[T]); ok {
		tail.rows = append(tail.rows, row)
		return
	}
	c.flush()
	gone := &deletion[T]{t, []T{row}}
	c.tail = gone
	c.effects = append(c.effects, func(b *Books, x *index) {
		t.rows(b).remove(gone.rows)
		if c.tracked {
			for _, row := range gone.rows {
				c.rowChanges = append(c.rowChanges, rowChange{before: row})
			}
		}
		if t.index != nil {
			for i := range gone.rows {
				t.index(x, &gone.rows[i], false)
			}
		}
	})
}

// effect returns what an inserted or updated row changes in the books.
func (t *table[T]) effect(c *Change, row T) func(*Books, *index) {
	return func(b *Books, x *index) {
		if c.tracked {
			n := rowChange{after: row}
			if old := t.rows(b).Get(row.RowID()); old != nil {
				n.before = *old
			}
			c.rowChanges = append(c.rowChanges, n)
		}
		t.rows(b).put(row)
		if t.index != nil {
			t.index(x, &row, true)
		}
	}
}

// ErrOutcomeUnknown says that COMMIT was sent and the caller's context ended before the answer. The change is carried out all the same as
// soon as the database answers, and no other change runs before that.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// apply runs a change and records it in the books. The caller holds writeLock.
//
// An error before COMMIT was sent means that nothing has happened. When the answer to COMMIT is missing, the change is kept, and no
// other change runs until resolveUnknown has found out.
func (p *Platform) apply(ctx context.Context, c *Change) error {
	if err := p.resolveUnknown(ctx); err != nil {
		return err
	}
	c.flush()
	err := p.transact(ctx, c)
	switch {
	case err == nil:
		p.recordChange(c)
	case errors.Is(err, ErrOutcomeUnknown):
		p.unknownOutcome = c
	}
	return err
}

// resolveUnknown finds out whether a change was committed, by running it again: updates and deletes are idempotent, and a duplicate key
// says that the inserts had been committed. The locks of a transaction that the server has yet to commit make the second run wait.
func (p *Platform) resolveUnknown(ctx context.Context) error {
	c := p.unknownOutcome
	if c == nil {
		return nil
	}
	var refused *mysql.MySQLError
	err := p.transact(ctx, c)
	if err == nil || c.inserts && errors.As(err, &refused) && refused.Number == duplicateKey {
		p.unknownOutcome = nil
		p.recordChange(c)
		return nil
	}
	return fmt.Errorf("platform: find out about an earlier change: %v", err) // %v: the error is not one of the caller's change
}

// applyResolved runs a change and waits until its outcome is known, or the context ends.
func (p *Platform) applyResolved(ctx context.Context, c *Change) error {
	err := p.apply(ctx, c)
	if !errors.Is(err, ErrOutcomeUnknown) {
		return err
	}
	if err := p.awaitResolved(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return nil
}

func (p *Platform) awaitResolved(ctx context.Context) error {
	for {
		err := p.resolveUnknown(ctx)
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

// recordChange is the only place where the books change after Fill. From here the event stream and the external services get the changes:
// in order, and only committed ones.
func (p *Platform) recordChange(c *Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, effect := range c.effects {
		effect(p.books, p.index)
	}
	p.changes++
	if p.external != nil {
		p.external.applyChange(p.books, c)
	}
	if p.emitter != nil {
		p.emitter.emitChange(p.books, c)
	}
	p.queueImages(c.rowChanges)
}

// transact runs the statements in one transaction, on a connection that is discarded after any error, so that no transaction stays open.
// It ends after the time limit and not with the context: a transaction that was begun is better finished than abandoned.
func (p *Platform) transact(ctx context.Context, c *Change) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("platform: %s: %w", c.name, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.config.Timeout)
	defer cancel()
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("platform: %s: connect: %w", c.name, err)
	}
	defer conn.Close()
	if err := p.statements(ctx, conn, c); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		return err
	}
	return nil
}

func (p *Platform) statements(ctx context.Context, conn *sql.Conn, c *Change) error {
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

// lockWrites acquires writeLock: the right to run transactions and to change the books.
func (p *Platform) lockWrites(ctx context.Context) error {
	select {
	case p.writeLock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("platform: wait for a running activity: %w", context.Cause(ctx))
	}
}

// lockFilled acquires writeLock for changes by callers, which need a filled platform.
func (p *Platform) lockFilled(ctx context.Context) error {
	if !p.filled.Load() {
		return ErrNotFilled
	}
	return p.lockWrites(ctx)
}

// ErrNotFilled is the error of all operations that need the platform's rows, before Fill.
var ErrNotFilled = errors.New("platform: the database is not filled yet")

func (p *Platform) unlockWrites() { <-p.writeLock }

// Do makes a change of the caller's, in one transaction and in the books: a client is renamed, a sale event gets an odd name, a test
// inserts a row. The function must not change the books it is given. New rows take their keys from Change.NewID. Life may choose rows
// that were changed by Do; pause it where that matters.
//
// After an error nothing has happened, unless the error wraps ErrOutcomeUnknown.
func (p *Platform) Do(ctx context.Context, name string, fill func(*Books, *Change) error) error {
	if err := p.lockFilled(ctx); err != nil {
		return err
	}
	defer p.unlockWrites()
	c := p.newChange(name)
	if err := p.resolveUnknown(ctx); err != nil { // before the books are read: it changes them
		return err
	}
	if err := fill(p.books, c); err != nil {
		return fmt.Errorf("platform: %s: %w", name, err)
	}
	if c.empty() {
		return nil
	}
	return p.applyResolved(ctx, c)
}

// now returns the time that is written into rows.
func (p *Platform) now() time.Time { return p.config.Now().UTC().Truncate(time.Microsecond) }

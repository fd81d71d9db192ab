package platform

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Change is what one activity does: rows that come, change and go, in one transaction, and the same in the books once the
// transaction is known to have been committed.
type Change struct {
	name       string
	statements []string
	tail       gatherer // rows of one table that come one after the other make one statement
	effects    []func(*Books, *index)
	inserts    bool
	ids        *ids
	heard      bool   // somebody wants the news
	news       []news // made while it is booked
	measured   bool   // somebody else tells of the request that it came with
	late       bool   // its orders have been in the shop for long
}

// news is a row that came, changed or went.
type news struct{ before, after Row } // before nil: it is new; after nil: it is gone

func (p *Platform) newChange(name string) *Change {
	return &Change{name: name, ids: &p.ids, heard: p.teller != nil || p.disk != nil || p.outside != nil}
}

// NewID returns a primary key for a new row of the same kind as the one given.
func (c *Change) NewID(of Row) uint64 { return next(c.ids.counter(of)) }

// Insert adds rows.
func (c *Change) Insert(rows ...Row) {
	for _, r := range rows {
		r.table().insert(c, r)
	}
}

// Update replaces rows that have the same keys. Columns that never change (keys, times of creation, personal
// columns) stay as they are.
func (c *Change) Update(rows ...Row) {
	for _, r := range rows {
		r.table().update(c, r)
	}
}

// Delete takes rows away.
func (c *Change) Delete(rows ...Row) {
	for _, r := range rows {
		r.table().remove(c, r)
	}
}

func (c *Change) empty() bool { return len(c.effects) == 0 }

// gatherer is a statement that further rows may join.
type gatherer interface{ statement() string }

// flush ends the gathering.
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
		if c.heard {
			for _, row := range gone.rows {
				c.news = append(c.news, news{before: row})
			}
		}
		if t.note != nil {
			for i := range gone.rows {
				t.note(x, &gone.rows[i], false)
			}
		}
	})
}

// effect is what a row that comes or changes does to the books.
func (t *table[T]) effect(c *Change, row T) func(*Books, *index) {
	return func(b *Books, x *index) {
		if c.heard {
			n := news{after: row}
			if old := t.rows(b).Get(row.RowID()); old != nil {
				n.before = *old
			}
			c.news = append(c.news, n)
		}
		t.rows(b).put(row)
		if t.note != nil {
			t.note(x, &row, true)
		}
	}
}

// ErrOutcomeUnknown says that COMMIT was sent and no answer came before the caller's patience ended. The change is
// carried out all the same, as soon as the database answers, and until then nothing else is done.
var ErrOutcomeUnknown = errors.New("outcome unknown")

// apply runs a change and books it. Only who holds the turn calls it.
//
// An error before COMMIT was sent means that nothing happened. When the answer to COMMIT does not come, the
// change is kept, and nothing else is done until settle has found out.
func (p *Platform) apply(ctx context.Context, c *Change) error {
	if err := p.settle(ctx); err != nil {
		return err
	}
	c.flush()
	err := p.transact(ctx, c)
	switch {
	case err == nil:
		p.book(c)
	case errors.Is(err, ErrOutcomeUnknown):
		p.unsettled = c
	}
	return err
}

// settle finds out about a change whose outcome is unknown, by running it again: updates and deletes do the same twice
// as once, and a key that is there already says that the change had arrived. The locks of a transaction that the
// server still has to commit make the second run wait for it.
func (p *Platform) settle(ctx context.Context) error {
	c := p.unsettled
	if c == nil {
		return nil
	}
	var refused *mysql.MySQLError
	err := p.transact(ctx, c)
	if err == nil || c.inserts && errors.As(err, &refused) && refused.Number == duplicateKey {
		p.unsettled = nil
		p.book(c)
		return nil
	}
	return fmt.Errorf("platform: find out about an earlier change: %v", err) // %v: it is not the caller's change
}

// insist runs a change and does not leave before its outcome is known, as long as the context lasts.
func (p *Platform) insist(ctx context.Context, c *Change) error {
	err := p.apply(ctx, c)
	if !errors.Is(err, ErrOutcomeUnknown) {
		return err
	}
	if err := p.awaitSettled(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return nil
}

func (p *Platform) awaitSettled(ctx context.Context) error {
	for {
		err := p.settle(ctx)
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

// duplicateKey is the server's error number for it.
const duplicateKey = 1062

// book is the one place where the books change once the platform lives. The event stream hears of it here, in order, and of
// nothing that did not happen.
func (p *Platform) book(c *Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, effect := range c.effects {
		effect(p.books, p.index)
	}
	p.done++
	if p.outside != nil {
		p.outside.follow(p.books, c)
	}
	if p.teller != nil {
		p.teller.tell(p.books, c)
	}
	p.show(c.news)
}

// transact runs the statements in one transaction on a connection that is thrown away after any error, so that
// nothing is left half done. It does not end with the context's end but after the time limit: a transaction that is
// on its way is better finished than left.
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

// take waits for the turn: the right to transact and to change the books.
func (p *Platform) take(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("platform: wait for a running activity: %w", context.Cause(ctx))
	}
}

// takeFilled is take for changes that come from outside; there must be a platform to change.
func (p *Platform) takeFilled(ctx context.Context) error {
	if !p.filled.Load() {
		return ErrNotFilled
	}
	return p.take(ctx)
}

// ErrNotFilled is the answer to everything that needs the rows of a platform, before Fill.
var ErrNotFilled = errors.New("platform: the database is not filled yet")

func (p *Platform) release() { <-p.turn }

// Do makes a change of the caller's own, in one transaction and in the books: a client that is renamed, a sale event with an odd
// name, a row that a test needs. The function must only read the books. New rows take their keys from Change.NewID.
// Life may go on choosing rows that were changed; pause it where that matters.
//
// After an error nothing has happened, unless it wraps ErrOutcomeUnknown.
func (p *Platform) Do(ctx context.Context, name string, fill func(*Books, *Change) error) error {
	if err := p.takeFilled(ctx); err != nil {
		return err
	}
	defer p.release()
	c := p.newChange(name)
	if err := p.settle(ctx); err != nil { // before reading: it changes the books
		return err
	}
	if err := fill(p.books, c); err != nil {
		return fmt.Errorf("platform: %s: %w", name, err)
	}
	if c.empty() {
		return nil
	}
	return p.insist(ctx, c)
}

// now is the time that rows are written with.
func (p *Platform) now() time.Time { return p.config.Now().UTC().Truncate(time.Microsecond) }

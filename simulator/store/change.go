package store

import "github.com/consignwatch/consignwatch/simulator/world"

// Change is what one activity does: inserts, updates and deletes of rows in one transaction, and the same in the books once the
// transaction is known to be committed.
type Change struct {
	// ReportedByAPI says that the API reports the request of this change.
	ReportedByAPI bool
	// ImportedLate says that its orders were in the shop long before.
	ImportedLate bool
	// Rows is what has changed, for the observers: it is filled when the change is recorded.
	Rows []RowChange

	name       string
	statements []string
	tail       *statement // consecutive inserts or deletes of one table share a statement
	effects    []func(*world.Books, *world.Index)
	inserts    bool
	ids        world.IDs
	observed   bool // somebody reads Rows
}

// RowChange is the state of a row before and after a change.
type RowChange struct{ Before, After world.Row } // Before nil: inserted; After nil: deleted

// NewID returns a primary key for a new row of the same kind as the one given.
func (c *Change) NewID(of world.Row) uint64 { return c.ids.Of(of) }

// Insert adds rows.
func (c *Change) Insert(rows ...world.Row) {
	for _, r := range rows {
		c.tailOf(r, false).add(r)
		c.inserts = true
		c.put(r)
	}
}

// Update replaces the rows with the same keys. Columns that never change (keys, times of creation, personal columns) keep their values.
func (c *Change) Update(rows ...world.Row) {
	for _, r := range rows {
		c.flush()
		c.statements = append(c.statements, r.Table().UpdateStatement(r))
		c.put(r)
	}
}

// Delete deletes rows.
func (c *Change) Delete(rows ...world.Row) {
	for _, r := range rows {
		if t := c.tailOf(r, true); t.add(r) == 1 {
			c.Then(func(b *world.Books, x *world.Index) {
				t.table.Remove(b, x, t.rows)
				if c.observed {
					for _, row := range t.rows {
						c.Rows = append(c.Rows, RowChange{Before: row})
					}
				}
			})
		}
	}
}

// Then adds what follows in the simulator's memory once the change is recorded.
func (c *Change) Then(effect func(*world.Books, *world.Index)) { c.effects = append(c.effects, effect) }

func (c *Change) put(r world.Row) {
	c.Then(func(b *world.Books, x *world.Index) {
		if before := r.Table().Put(b, x, r); c.observed {
			c.Rows = append(c.Rows, RowChange{before, r})
		}
	})
}

// Empty reports whether nothing changes.
func (c *Change) Empty() bool { return len(c.effects) == 0 }

// statement inserts or deletes rows of one table.
type statement struct {
	table   world.Table
	deletes bool
	rows    []world.Row
}

// add adds a row, and returns how many there are.
func (s *statement) add(r world.Row) int {
	s.rows = append(s.rows, r)
	return len(s.rows)
}

// tailOf returns the statement in tail if a row can be added to it, or begins one.
func (c *Change) tailOf(r world.Row, deletes bool) *statement {
	if t := r.Table(); c.tail == nil || c.tail.table != t || c.tail.deletes != deletes {
		c.flush()
		c.tail = &statement{table: t, deletes: deletes}
	}
	return c.tail
}

// flush completes the statement in tail.
func (c *Change) flush() {
	switch t := c.tail; {
	case t == nil:
	case t.deletes:
		c.statements = append(c.statements, t.table.DeleteStatement(t.rows))
	default:
		c.statements = append(c.statements, t.table.InsertStatement(t.rows))
	}
	c.tail = nil
}

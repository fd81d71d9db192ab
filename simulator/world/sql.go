package world

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"time"

	"github.com/huandu/go-sqlbuilder"
)

// value returns what a row holds in a column; nil is NULL.
func (c *column[T]) value(row *T) any {
	if c.derive != nil {
		return c.derive(row)
	}
	field := reflect.ValueOf(row).Elem().Field(c.field)
	at, isTime := field.Interface().(time.Time)
	switch {
	case isTime && at.IsZero(), c.null && field.IsZero():
		return nil
	case isTime:
		return at.UTC()
	default:
		return field.Interface()
	}
}

func (t *table[T]) insert(rows []T) string {
	var names []string
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	b := sqlbuilder.InsertInto(t.Name).Cols(names...)
	for i := range rows {
		var values []any
		for _, c := range t.columns {
			values = append(values, c.value(&rows[i]))
		}
		b.Values(values...)
	}
	return statement(b)
}

func (t *table[T]) InsertStatement(all []Row) string {
	var rows []T
	for _, r := range all {
		rows = append(rows, r.(T))
	}
	return t.insert(rows)
}

func (t *table[T]) InsertStatements(b *Books, n int) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for rows := range slices.Chunk(*t.rows(b), n) {
			if !yield(t.insert(rows), len(rows)) {
				return
			}
		}
	}
}

// UpdateStatement sets all that can change. Run twice, it does the same as once.
func (t *table[T]) UpdateStatement(r Row) string {
	row := r.(T)
	b := sqlbuilder.Update(t.Name)
	for _, c := range t.columns {
		if !c.fixed {
			b.SetMore(b.Assign(c.name, c.value(&row)))
		}
	}
	return statement(b.Where(b.EQ(t.columns[0].name, row.RowID())))
}

func (t *table[T]) DeleteStatement(rows []Row) string {
	var ids []any
	for _, row := range rows {
		ids = append(ids, row.RowID())
	}
	b := sqlbuilder.DeleteFrom(t.Name)
	return statement(b.Where(b.In(t.columns[0].name, ids...)))
}

// statement writes the values into the statement. The connections of the simulator run with a fixed sql_mode, in which a backslash escapes.
func statement(b sqlbuilder.Builder) string {
	text, values := b.BuildWithFlavor(sqlbuilder.MySQL)
	text, err := sqlbuilder.MySQL.Interpolate(text, values)
	if err != nil {
		panic(fmt.Errorf("world: %s: %w", text, err)) // a type of column that SQL does not have
	}
	return text
}

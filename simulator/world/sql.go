package world

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// insertHead returns the statement up to VALUES.
func (t *table[T]) insertHead(buf []byte) []byte {
	buf = append(buf, "INSERT INTO "...)
	buf = append(buf, t.Name...)
	buf = append(buf, " ("...)
	for i, c := range t.columns {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, c.name...)
	}
	return append(buf, ") VALUES "...)
}

// tuple appends the values of a row in parentheses.
func (t *table[T]) tuple(buf []byte, row *T) []byte {
	buf = append(buf, '(')
	for i := range t.columns {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = literal(buf, t.columns[i].value(row))
	}
	return append(buf, ')')
}

func (t *table[T]) InsertStatement(rows []Row) string {
	buf := t.insertHead(nil)
	for i, r := range rows {
		if i > 0 {
			buf = append(buf, ',')
		}
		row := r.(T)
		buf = t.tuple(buf, &row)
	}
	return string(buf)
}

func (t *table[T]) InsertStatements(b *Books, size int) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for rows := *t.rows(b); len(rows) > 0; {
			text := t.tuple(t.insertHead(make([]byte, 0, size+4096)), &rows[0])
			n := 1
			for n < len(rows) && len(text) < size {
				text = t.tuple(append(text, ','), &rows[n])
				n++
			}
			if rows = rows[n:]; !yield(string(text), n) {
				return
			}
		}
	}
}

// UpdateStatement sets all that can change. Run twice, it does the same as once.
func (t *table[T]) UpdateStatement(r Row) string {
	row := r.(T)
	buf := append([]byte("UPDATE "), t.Name...)
	sep := " SET "
	for _, c := range t.columns {
		if c.fixed {
			continue
		}
		buf = append(buf, sep...)
		buf = append(buf, c.name...)
		buf = literal(append(buf, '='), c.value(&row))
		sep = ","
	}
	return string(literal(append(buf, " WHERE "+t.columns[0].name+"="...), row.RowID()))
}

func (t *table[T]) DeleteStatement(rows []Row) string {
	buf := append([]byte("DELETE FROM "), t.Name...)
	sep := " WHERE " + t.columns[0].name + " IN ("
	for _, row := range rows {
		buf = literal(append(buf, sep...), row.RowID())
		sep = ","
	}
	return string(append(buf, ')'))
}

// literal appends a value as SQL writes it. The connections of this package run with a fixed sql_mode, in which a
// backslash escapes.
func literal(buf []byte, value any) []byte {
	switch v := value.(type) {
	case nil:
		return append(buf, "NULL"...)
	case uint64:
		return strconv.AppendUint(buf, v, 10)
	case int64:
		return strconv.AppendInt(buf, v, 10)
	case bool:
		if v {
			return append(buf, '1')
		}
		return append(buf, '0')
	case time.Time:
		if v.IsZero() {
			return append(buf, "NULL"...)
		}
		return append(v.UTC().AppendFormat(append(buf, '\''), "2006-01-02 15:04:05.000000"), '\'')
	case string:
		if strings.ContainsAny(v, `'\`) {
			v = strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(v)
		}
		return append(append(append(buf, '\''), v...), '\'')
	default:
		panic(fmt.Sprintf("platform: no SQL literal for %T", value)) // a mistake in tables.go
	}
}

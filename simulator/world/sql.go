package world

import (
	"iter"
	"reflect"
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
		buf = t.columns[i].literal(buf, row)
	}
	return append(buf, ')')
}

// literal appends the value of a row.
func (c *column[T]) literal(buf []byte, row *T) []byte {
	if c.derive != nil {
		return literal(buf, reflect.ValueOf(c.derive(row)))
	}
	value := reflect.ValueOf(row).Elem().Field(c.field)
	if c.null && value.IsZero() {
		return append(buf, "NULL"...)
	}
	return literal(buf, value)
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
		buf = c.literal(append(buf, '='), &row)
		sep = ","
	}
	return string(strconv.AppendUint(append(buf, " WHERE "+t.columns[0].name+"="...), row.RowID(), 10))
}

func (t *table[T]) DeleteStatement(rows []Row) string {
	buf := append([]byte("DELETE FROM "), t.Name...)
	sep := " WHERE " + t.columns[0].name + " IN ("
	for _, row := range rows {
		buf = strconv.AppendUint(append(buf, sep...), row.RowID(), 10)
		sep = ","
	}
	return string(append(buf, ')'))
}

// literal appends a value as SQL writes it. The connections of this package run with a fixed sql_mode, in which a
// backslash escapes.
func literal(buf []byte, value reflect.Value) []byte {
	switch value.Kind() {
	case reflect.Invalid: // nil
		return append(buf, "NULL"...)
	case reflect.Uint64:
		return strconv.AppendUint(buf, value.Uint(), 10)
	case reflect.Int64:
		return strconv.AppendInt(buf, value.Int(), 10)
	case reflect.Bool:
		if value.Bool() {
			return append(buf, '1')
		}
		return append(buf, '0')
	case reflect.String:
		text := value.String()
		if strings.ContainsAny(text, `'\`) {
			text = strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text)
		}
		return append(append(append(buf, '\''), text...), '\'')
	default:
		at := value.Addr().Interface().(*time.Time) // the only type that is left
		if at.IsZero() {
			return append(buf, "NULL"...)
		}
		return append(at.UTC().AppendFormat(append(buf, '\''), "2006-01-02 15:04:05.000000"), '\'')
	}
}

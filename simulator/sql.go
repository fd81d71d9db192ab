package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// insertHead returns the statement up to VALUES.
func (t *table[T]) insertHead(buf []byte) []byte {
	buf = append(buf, "INSERT INTO "...)
	buf = append(buf, t.name...)
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

// updateStatement sets all that can change. Run twice, it does the same as once.
func (t *table[T]) updateStatement(row *T) string {
	buf := append([]byte("UPDATE "), t.name...)
	sep := " SET "
	for _, c := range t.columns {
		if c.fixed {
			continue
		}
		buf = append(buf, sep...)
		buf = append(buf, c.name...)
		buf = literal(append(buf, '='), c.value(row))
		sep = ","
	}
	return string(t.where(buf, row))
}

func (t *table[T]) deleteStatement(rows []T) string {
	buf := append([]byte("DELETE FROM "), t.name...)
	sep := " WHERE " + t.columns[0].name + " IN ("
	for i := range rows {
		buf = literal(append(buf, sep...), rows[i].RowID())
		sep = ","
	}
	return string(append(buf, ')'))
}

func (t *table[T]) where(buf []byte, row *T) []byte {
	key := t.columns[0]
	buf = append(buf, " WHERE "...)
	buf = append(buf, key.name...)
	return literal(append(buf, '='), key.value(row))
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

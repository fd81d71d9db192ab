// Package mysql holds what a database administrator runs on the platform's database before the business-exporter reads it: the
// indexes and the rights. The files are for people; the demo, the tests and the benchmark run the same ones. It never connects.
package mysql

import (
	_ "embed"
	"strings"
)

//go:embed indexes.sql
var indexes string

//go:embed grants.sql
var grants string

// User is the name of the exporter's user.
const User = "consignwatch_business"

// Indexes returns the statements of indexes.sql. They concern the database that the connection has selected.
func Indexes() []string { return statements(indexes) }

// Reader fills the places of grants.sql.
type Reader struct {
	Password string
	Host     string // where the exporter connects from; % for anywhere
	Schema   string // the platform's database
}

// Grants returns the statements of grants.sql for a reader.
func Grants(r Reader) []string { return r.fill(grants) }

func (r Reader) fill(script string) []string {
	all := statements(script)
	fill := strings.NewReplacer("{{password}}", quote(r.Password), "{{host}}", quote(r.Host), "{{schema}}", "`"+strings.ReplaceAll(r.Schema, "`", "``")+"`")
	for i, s := range all {
		all[i] = fill.Replace(s)
	}
	return all
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) + "'"
}

// statements splits a script at the semicolons that end a line, without the comments.
func statements(script string) []string {
	var all []string
	var current strings.Builder
	for line := range strings.Lines(script) {
		if strings.HasPrefix(line, "--") {
			continue
		}
		current.WriteString(line)
		if strings.HasSuffix(strings.TrimSpace(line), ";") {
			all = append(all, strings.TrimSuffix(strings.TrimSpace(current.String()), ";"))
			current.Reset()
		}
	}
	return all
}

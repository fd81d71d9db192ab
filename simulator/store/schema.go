package store

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"strings"

	"github.com/consignwatch/consignwatch/simulator/world"
)

//go:embed schema.sql
var schema string

// CreateSchema creates the tables that are missing in the database that the connection has selected.
func CreateSchema(ctx context.Context, db *sql.DB) error {
	for _, statement := range splitStatements(schema) {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			first, _, _ := strings.Cut(statement, "\n")
			return fmt.Errorf("platform schema: %s: %w", first, err)
		}
	}
	return nil
}

// emptyTables truncates all tables.
func emptyTables(ctx context.Context, db *sql.DB) error {
	for _, t := range world.AllTables() {
		if _, err := db.ExecContext(ctx, "TRUNCATE TABLE "+t.Title()); err != nil {
			return fmt.Errorf("platform: empty the table %s: %w", t.Title(), err)
		}
	}
	return nil
}

// splitStatements splits a script at the semicolons that end a line, without comments.
func splitStatements(script string) []string {
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

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
	for statement := range strings.SplitSeq(strings.TrimRight(schema, ";\n"), ";\n") {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			_, table, _ := strings.Cut(statement, "CREATE TABLE")
			return fmt.Errorf("platform schema: %.40s: %w", table, err)
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

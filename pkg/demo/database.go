package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"
)

const (
	databaseName = "platform"
	readerName   = "consignwatch"
)

// personalColumns are those that the exporter's user has no right to read.
var personalColumns = map[string][]string{
	"client_shopify_access": {"access_token"},
	"consignors":            {"email", "name"},
	"items":                 {"title"},
	"sales":                 {"shopper_code"},
}

func createDatabase(ctx context.Context, dsn string) error {
	return execAll(ctx, dsn, "CREATE DATABASE "+databaseName)
}

// createReader creates the user of the exporter, which may read every column
// of the platform that is neither personal nor secret, and nothing else. It
// returns its data source name. The tables must exist.
func createReader(ctx context.Context, dsnFile string) (string, error) {
	dsn, err := os.ReadFile(dsnFile)
	if err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	config, err := mysql.ParseDSN(strings.TrimSpace(string(dsn)))
	if err != nil {
		return "", fmt.Errorf("demo: %s: %w", dsnFile, err)
	}
	grants, err := readerGrants(ctx, config.FormatDSN())
	if err != nil {
		return "", err
	}
	password := rand.Text()
	create := fmt.Sprintf("CREATE USER '%s'@'127.0.0.1' IDENTIFIED BY '%s'", readerName, password)
	if err := execAll(ctx, config.FormatDSN(), append([]string{create}, grants...)...); err != nil {
		return "", err
	}
	config.User, config.Passwd = readerName, password
	return config.FormatDSN(), nil
}

// readerGrants returns one statement per table: for the table as a whole, or
// for its columns when some of them are personal.
func readerGrants(ctx context.Context, dsn string) ([]string, error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT table_name, column_name FROM information_schema.columns
		WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position`)
	if err != nil {
		return nil, fmt.Errorf("demo: columns of the platform: %w", err)
	}
	defer rows.Close()
	var tables []string
	columns := map[string][]string{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			return nil, fmt.Errorf("demo: columns of the platform: %w", err)
		}
		if !slices.Contains(tables, table) {
			tables = append(tables, table)
		}
		if !slices.Contains(personalColumns[table], column) {
			columns[table] = append(columns[table], "`"+column+"`")
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("demo: columns of the platform: %w", err)
	}
	var grants []string
	for _, table := range tables {
		what := "SELECT"
		if len(personalColumns[table]) > 0 {
			what += " (" + strings.Join(columns[table], ", ") + ")"
		}
		grants = append(grants, fmt.Sprintf("GRANT %s ON `%s`.`%s` TO '%s'@'127.0.0.1'", what, databaseName, table, readerName))
	}
	return grants, nil
}

func execAll(ctx context.Context, dsn string, statements ...string) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			verb, _, _ := strings.Cut(statement, " '") // what follows may be a password
			return fmt.Errorf("demo: %s: %w", verb, err)
		}
	}
	return nil
}

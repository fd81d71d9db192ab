package demo

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"strings"

	driver "github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/deploy/mysql"
)

const databaseName = "platform"

func createDatabase(ctx context.Context, dsn string) error {
	return execAll(ctx, dsn, "CREATE DATABASE "+databaseName)
}

// createBusinessUser prepares the platform's database for the business-exporter, as
// an administrator would: it creates the indexes and the user of deploy/mysql. It
// returns the user's data source name. The tables must exist.
func createBusinessUser(ctx context.Context, dsnFile string) (string, error) {
	config, err := readDSN(dsnFile)
	if err != nil {
		return "", err
	}
	if err := execAll(ctx, config.FormatDSN(), mysql.Indexes()...); err != nil {
		return "", err
	}
	reader := mysql.Reader{Password: rand.Text(), Host: "127.0.0.1", Schema: databaseName}
	if err := execAll(ctx, config.FormatDSN(), mysql.Grants(reader)...); err != nil {
		return "", err
	}
	config.User, config.Passwd = mysql.User, reader.Password
	return config.FormatDSN(), nil
}

// readDSN reads a data source name from a file.
func readDSN(file string) (*driver.Config, error) {
	dsn, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	config, err := driver.ParseDSN(strings.TrimSpace(string(dsn)))
	if err != nil {
		return nil, fmt.Errorf("demo: %s: %w", file, err)
	}
	return config, nil
}

func execAll(ctx context.Context, dsn string, statements ...string) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			verb, _, _ := strings.Cut(statement, " '") // the rest may contain a password
			return fmt.Errorf("demo: %s: %w", verb, err)
		}
	}
	return nil
}

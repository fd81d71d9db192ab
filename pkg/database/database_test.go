package database

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

func TestVersionsAreComparedAsVersions(t *testing.T) {
	for text, want := range map[string]Version{
		"8.0.36":                        {Major: 8, Minor: 0, Patch: 36},
		"8.4.0-0ubuntu1":                {Major: 8, Minor: 4},
		"9.1-log":                       {Major: 9, Minor: 1},
		"8.0.35-27":                     {Major: 8, Minor: 0, Patch: 35},
		"10.11.19-MariaDB-0+deb12u1":    {MariaDB: true, Major: 10, Minor: 11, Patch: 19},
		"5.5.5-10.6.4-MariaDB-log":      {MariaDB: true, Major: 10, Minor: 6, Patch: 4},
		"11.4.2-MariaDB-ubu2404-log":    {MariaDB: true, Major: 11, Minor: 4, Patch: 2},
		"10.6.12-MariaDB-enterprise-02": {MariaDB: true, Major: 10, Minor: 6, Patch: 12},
	} {
		want.text = text
		if got, err := ParseVersion(text); err != nil || got != want || got.String() != text {
			t.Errorf("ParseVersion(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	if _, err := ParseVersion("unknown"); err == nil {
		t.Error("a text without a number is a version")
	}
	v := Version{Major: 10, Minor: 11, Patch: 2}
	for _, lower := range [][3]int{{10, 11, 2}, {10, 11, 1}, {10, 5, 30}, {8, 4, 9}} {
		if !v.AtLeast(lower[0], lower[1], lower[2]) {
			t.Errorf("10.11.2 comes before %v", lower)
		}
	}
	for _, higher := range [][3]int{{10, 11, 3}, {10, 12, 0}, {11, 0, 0}} {
		if v.AtLeast(higher[0], higher[1], higher[2]) {
			t.Errorf("10.11.2 comes after %v", higher)
		}
	}
}

func TestTheTimeLimitIsWrittenAsTheServerWantsIt(t *testing.T) {
	if got, want := (Version{MariaDB: true}).LimitStatement(1500*time.Millisecond), "SET SESSION max_statement_time = 1.500"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := (Version{}).LimitStatement(1500*time.Millisecond), "SET SESSION max_execution_time = 1500"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestErrorsHaveTheirReasons(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason exporter.Reason
		lacks  bool
	}{
		{&mysql.MySQLError{Number: 1045}, exporter.ReasonAuth, false},
		{&mysql.MySQLError{Number: 1227}, exporter.ReasonAuth, true},
		{&mysql.MySQLError{Number: 3118}, exporter.ReasonAuth, false},
		{&mysql.MySQLError{Number: 3159}, exporter.ReasonAuth, false},
		{&mysql.MySQLError{Number: 3955}, exporter.ReasonAuth, false},
		{&mysql.MySQLError{Number: 4150}, exporter.ReasonAuth, false},
		{&mysql.MySQLError{Number: 4151}, exporter.ReasonAuth, false},
		{&mysql.MySQLError{Number: 3032}, exporter.ReasonConnection, false},
		{&mysql.MySQLError{Number: 1050}, exporter.ReasonQuery, false},
		{&mysql.MySQLError{Number: 1146}, exporter.ReasonQuery, true},
		{&mysql.MySQLError{Number: 1969}, exporter.ReasonTimeout, false},
		{&mysql.MySQLError{Number: 3024}, exporter.ReasonTimeout, false},
		{&mysql.MySQLError{Number: 1226}, exporter.ReasonThrottled, false},
		{&mysql.MySQLError{Number: 1040}, exporter.ReasonConnection, false},
		{mysql.ErrMalformPkt, exporter.ReasonParse, false},
		{driver.ErrBadConn, exporter.ReasonConnection, false},
		{io.ErrUnexpectedEOF, exporter.ReasonConnection, false},
		{errors.New("a defect"), exporter.ReasonInternal, false},
	} {
		err := fmt.Errorf("ask: %w", c.err)
		if got := exporter.ReasonOf(Classify(err)); got != c.reason || Lacks(err) != c.lacks {
			t.Errorf("%v: reason %s, lacks %v; want %s, %v", err, got, Lacks(err), c.reason, c.lacks)
		}
	}
}

func TestAnErrorNeverShowsThePassword(t *testing.T) {
	for _, dsn := range []string{"hush", "root:hush@tcp(localhost:3306", "root:hush@tcp(localhost)/?tls=nowhere", "root:hush@carrier-pigeon/"} {
		pool, err := Open(secret.New(dsn), Options{MaxConnections: 1})
		if err == nil {
			pool.Close()
			t.Errorf("%q was taken", dsn)
		} else if strings.Contains(err.Error(), "hush") {
			t.Errorf("the password was printed: %v", err)
		}
	}
}

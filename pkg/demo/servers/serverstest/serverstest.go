// Package serverstest gives tests the real servers that they need, and fails a
// test when one is not installed, with the command that installs it. It never
// skips.
//
// A test binary that uses a shared server has this TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }
package serverstest

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/certificates"
)

// shared is the server of this test binary. It has to be a variable: tests
// share nothing else, and starting one for each test costs a second.
var shared mariaDB

type mariaDB struct {
	mu     sync.Mutex
	ready  bool // Main runs, and will end the server
	folder string
	server *servers.MariaDB
	count  int // databases made so far
}

// Main runs the tests, ends the shared servers and returns the exit status.
func Main(m *testing.M) int {
	shared.mu.Lock()
	shared.ready = true
	shared.mu.Unlock()
	defer shared.end()
	return m.Run()
}

// MariaDB returns the data source name of a fresh and empty database on the
// server that all tests of the binary share, as its root user. The database is
// dropped when the test ends. A test that stops, kills or hangs the server
// uses OwnMariaDB.
func MariaDB(t testing.TB) string {
	t.Helper()
	server, name, err := shared.next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("mysql", server.DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer admin.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := admin.ExecContext(ctx, "DROP DATABASE "+name); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return server.DSN(name)
}

// OwnMariaDB starts a server for this test alone, with further flags; it is
// killed when the test ends.
func OwnMariaDB(t testing.TB, flags ...string) *servers.MariaDB {
	t.Helper()
	server, err := servers.StartMariaDB(t.Context(), t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	return server
}

// CertifiedMariaDB is OwnMariaDB with a certificate that an authority has issued for these addresses. Without any the
// certificate has a common name only, as those that MySQL makes for itself.
func CertifiedMariaDB(t testing.TB, authority *certificates.Authority, addresses ...net.IP) *servers.MariaDB {
	t.Helper()
	issued, err := authority.Issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: addresses,
	})
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := certificates.PEM(issued)
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	dir := t.TempDir()
	for flag, content := range map[string][]byte{"ssl-ca": authority.PEM(), "ssl-cert": certificate, "ssl-key": key} {
		path := filepath.Join(dir, flag+".pem")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--"+flag+"="+path)
	}
	return OwnMariaDB(t, flags...)
}

// NewAuthority makes a certificate authority, and returns the path of its certificate, too.
func NewAuthority(t testing.TB) (authority *certificates.Authority, file string) {
	t.Helper()
	authority, err := certificates.New("test", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return authority, file
}

// Open opens a data source name and closes it when the test ends.
func Open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = &mysql.NopLogger{} // a killed server is no news in a test
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// next returns the server, started by the first call, and a new database name.
func (m *mariaDB) next(ctx context.Context) (*servers.MariaDB, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ready {
		return nil, "", errors.New("serverstest.MariaDB: this package needs: func TestMain(m *testing.M) { os.Exit(serverstest.Main(m)) }")
	}
	if m.server == nil {
		folder, err := os.MkdirTemp("", "consignwatch-test-")
		if err != nil {
			return nil, "", err
		}
		server, err := servers.StartMariaDB(ctx, folder)
		if err != nil {
			return nil, "", errors.Join(err, os.RemoveAll(folder))
		}
		m.server, m.folder = server, folder
	}
	m.count++
	return m.server, fmt.Sprintf("test_%d", m.count), nil
}

func (m *mariaDB) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil {
		return
	}
	if err := errors.Join(m.server.Kill(), os.RemoveAll(m.folder)); err != nil {
		fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
	}
}

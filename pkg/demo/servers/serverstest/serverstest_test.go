package serverstest

import (
	"os"
	"testing"

	"github.com/go-sql-driver/mysql"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestEachTestHasADatabaseOfItsOwnOnTheSharedServer(t *testing.T) {
	first, second := MariaDB(t), MariaDB(t)
	one, err := mysql.ParseDSN(first)
	if err != nil {
		t.Fatal(err)
	}
	other, err := mysql.ParseDSN(second)
	if err != nil {
		t.Fatal(err)
	}
	if one.Addr != other.Addr {
		t.Errorf("two servers, %s and %s, want one", one.Addr, other.Addr)
	}
	if one.DBName == other.DBName {
		t.Errorf("one database %s, want two", one.DBName)
	}
	if _, err := Open(t, first).ExecContext(t.Context(), "CREATE TABLE t (id INT)"); err != nil {
		t.Fatal(err)
	}
	var tables int
	count := "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"
	if err := Open(t, second).QueryRowContext(t.Context(), count).Scan(&tables); err != nil {
		t.Fatal(err)
	}
	if tables != 0 {
		t.Errorf("%d tables in a fresh database", tables)
	}
}

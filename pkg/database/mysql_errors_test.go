package database

import (
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// TestTheReasonsOfMySQLsOwnErrors has a server reject connections in ways that MariaDB has not.
func TestTheReasonsOfMySQLsOwnErrors(t *testing.T) {
	if shared := serverstest.Open(t, serverstest.MariaDB(t)); !serverstest.DialectOf(t, shared).MySQL {
		for statement, number := range map[string]uint16{
			"SET GLOBAL offline_mode = ON":                   1193,
			"CREATE USER nobody@'%' FAILED_LOGIN_ATTEMPTS 1": 1064,
		} {
			if _, err := shared.ExecContext(t.Context(), statement); !failedWith(err, number) {
				t.Errorf("%s: %v, want error %d: this test is not for MySQL alone", statement, err, number)
			}
		}
		t.Log("nothing to test: the server refuses none of this")
		return
	}
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	execute := func(statement string) {
		t.Helper()
		if _, err := admin.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	execute("CREATE USER guest@'%' IDENTIFIED BY 'guest' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1")
	connect := func(password string) error {
		t.Helper()
		c, err := mysql.ParseDSN(server.DSN(""))
		if err != nil {
			t.Fatal(err)
		}
		c.User, c.Passwd = "guest", password
		pool, err := Open(secret.New(c.FormatDSN()), Options{MaxConnections: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		return pool.PingContext(t.Context())
	}
	if err := connect("guest"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		begin, end func()
		number     uint16
		want       exporter.Reason
	}{
		{func() { execute("SET GLOBAL offline_mode = ON") }, func() { execute("SET GLOBAL offline_mode = OFF") }, 3032, exporter.ReasonConnection},
		{func() { execute("SET GLOBAL require_secure_transport = ON") }, func() { execute("SET GLOBAL require_secure_transport = OFF") }, 3159, exporter.ReasonAuth},
		{func() { _ = connect("wrong") }, func() {}, 3955, exporter.ReasonAuth}, // once, and the account is locked
	} {
		c.begin()
		err := connect("guest")
		c.end()
		if reason := exporter.ReasonOf(Classify(err)); !failedWith(err, c.number) || reason != c.want {
			t.Errorf("%v has the reason %s, want error %d and the reason %s", err, reason, c.number, c.want)
		}
	}
}

func failedWith(err error, number uint16) bool {
	var refused *mysql.MySQLError
	return errors.As(err, &refused) && refused.Number == number
}

// TestAnAccountThatIsLockedOrBlockedHasTheReasonAuth is true on both families, each with error numbers of its own.
func TestAnAccountThatIsLockedOrBlockedHasTheReasonAuth(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	admin := serverstest.Open(t, server.DSN(""))
	locked, blocked := uint16(4151), uint16(4150)
	statements := []string{"CREATE USER locked@'%' IDENTIFIED BY 'guest' ACCOUNT LOCK"}
	if serverstest.DialectOf(t, admin).MySQL {
		locked, blocked = 3118, 3955
		statements = append(statements, "CREATE USER blocked@'%' IDENTIFIED BY 'guest' FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME 1")
	} else {
		statements = append(statements, "CREATE USER blocked@'%' IDENTIFIED BY 'guest'", "SET GLOBAL max_password_errors = 1")
	}
	for _, s := range statements {
		if _, err := admin.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	connect := func(user, password string) error {
		t.Helper()
		c, err := mysql.ParseDSN(server.DSN(""))
		if err != nil {
			t.Fatal(err)
		}
		c.User, c.Passwd = user, password
		pool, err := Open(secret.New(c.FormatDSN()), Options{MaxConnections: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		return pool.PingContext(t.Context())
	}
	if err := connect("blocked", "wrong"); err == nil {
		t.Fatal("a wrong password is taken")
	}
	for user, number := range map[string]uint16{"locked": locked, "blocked": blocked} {
		err := connect(user, "guest")
		if reason := exporter.ReasonOf(Classify(err)); !failedWith(err, number) || reason != exporter.ReasonAuth {
			t.Errorf("%s: %v has the reason %s, want error %d and the reason auth", user, err, reason, number)
		}
	}
}

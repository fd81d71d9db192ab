package servers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

// MariaDB is a throw-away database server.
type MariaDB struct {
	*Process
	password string
}

// mariaDBSettings make a small server that starts fast. A commit reaches the
// operating system before it is answered, so a kill -9 of the server loses
// nothing; only a crash of the machine could, which ends the test or demo, too.
var mariaDBSettings = []string{
	"--bind-address=127.0.0.1",
	"--skip-name-resolve",
	"--skip-log-bin",
	"--default-time-zone=+00:00",
	"--character-set-server=utf8mb4",
	"--performance-schema=ON",
	"--max-connections=100",
	"--max-allowed-packet=16M",
	"--innodb-flush-log-at-trx-commit=2",
	"--innodb-buffer-pool-size=128M",
	"--innodb-log-file-size=64M",
	// Relative to the data folder: the path of a socket is limited to some
	// hundred bytes, and folders of tests are long.
	"--socket=mariadb.sock",
	"--pid-file=mariadb.pid",
}

// StartMariaDB lays a fresh data folder below dir and starts a server on it,
// with root as the only user (over TCP from the loopback interface, with a
// random password; see DSN). Times are UTC, text is utf8mb4, the SQL mode is the server's
// own strict default. Flags are added to the command line, where the last one
// of a name counts: --log-bin and --server-id for replication, say.
func StartMariaDB(ctx context.Context, dir string, flags ...string) (*MariaDB, error) {
	server, err := executable.Find("mariadbd")
	if err != nil {
		return nil, err
	}
	install, err := executable.Find("mariadb-install-db")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("start MariaDB: %w", err)
	}
	data, temporary := filepath.Join(dir, "data"), filepath.Join(dir, "tmp")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, fmt.Errorf("start MariaDB: %w", err)
	}
	if err := installMariaDB(ctx, install, data, temporary); err != nil {
		return nil, err
	}
	password := rand.Text()
	initFile := filepath.Join(dir, "users.sql")
	if err := os.WriteFile(initFile, []byte(mariaDBUsers(password)), 0o600); err != nil {
		return nil, fmt.Errorf("start MariaDB: %w", err)
	}
	return OnFreeAddress(ctx, func(ctx context.Context, address string) (*MariaDB, error) {
		number, err := port(address)
		if err != nil {
			return nil, err
		}
		args := append([]string{"--no-defaults"}, asRoot()...)
		args = append(args, "--datadir="+data, "--tmpdir="+temporary, "--init-file="+initFile, "--port="+number)
		args = append(args, mariaDBSettings...)
		args = append(args, flags...)
		process, err := Start(ctx, Command{
			Name:    "MariaDB",
			Path:    server,
			Args:    args,
			Dir:     dir,
			LogFile: filepath.Join(dir, "mariadb.log"),
			Address: address,
			Ready:   pings(mariaDBConfig(address, password, "").FormatDSN()),
		})
		if err != nil {
			return nil, err
		}
		return &MariaDB{Process: process, password: password}, nil
	})
}

// DSN returns the data source name of a database for go-sql-driver/mysql. The
// empty name stands for none. It holds the password.
func (m *MariaDB) DSN(database string) string {
	return mariaDBConfig(m.Address(), m.password, database).FormatDSN()
}

func mariaDBConfig(address, password, database string) *mysql.Config {
	config := mysql.NewConfig()
	config.User, config.Passwd = "root", password
	config.Net, config.Addr = "tcp", address
	config.DBName = database
	config.ParseTime = true // config.Loc is UTC already
	return config
}

// mariaDBUsers is run at each start; it can be repeated.
func mariaDBUsers(password string) string {
	return fmt.Sprintf(`CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';
ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '%[1]s';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY '%[1]s';
`, password)
}

// installMariaDB lays the system tables. It takes seconds. Its temporary tables need a folder of their own, as those of the
// server do: each MariaDB that starts removes all that it finds in its folder, also those of another one that is at work.
func installMariaDB(ctx context.Context, install, data, temporary string) error {
	args := append([]string{"--no-defaults"}, asRoot()...)
	args = append(args, "--datadir="+data, "--tmpdir="+temporary, "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	if output, err := exec.CommandContext(ctx, install, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("lay MariaDB's data folder %s: %w\n%s", data, err, output)
	}
	return nil
}

// asRoot returns the flag without which the server refuses to run as root.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

func pings(dsn string) func(context.Context) error {
	return func(ctx context.Context) error {
		db, err := sql.Open("mysql", dsn)
		if err != nil {
			return err
		}
		defer db.Close()
		return db.PingContext(ctx)
	}
}

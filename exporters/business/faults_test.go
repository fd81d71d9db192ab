package business

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/exporter/web"
	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil { // most tests wait most of the time, whatever the number of cores
		panic(err)
	}
	os.Exit(serverstest.Main(m))
}

func shipped() *catalog.Catalog { return catalog.Shipped() }

// fastPack reads two small tables five times a second.
const fastPack = `
clients: {interval: 200ms, timeout: 200ms, sql: "SELECT 1 AS client_id, 'north' AS client"}
sale_events: {interval: 200ms, timeout: 200ms, sql: "SELECT 1 AS event_id, 1 AS client_id, 'spring' AS event, TRUE AS changing, TRUE AS exposed"}
refresh_ended: 24h
declare:
  - {name: shop_shelves, type: gauge, unit: count, help: Shelves., labels: [{name: color, values: [red, blue]}]}
  - {name: shop_tills, type: gauge, unit: count, help: Tills.}
queries:
  - name: shelves
    interval: 200ms
    timeout: 200ms
    sql: SELECT color, n FROM shelves
    metrics: [{metric: shop_shelves, value: n}]
  - name: tills
    interval: 200ms
    timeout: 200ms
    sql: SELECT n FROM tills
    metrics: [{metric: shop_tills, value: n}]
`

// start runs the exporter with a pack on a database.
func start(t *testing.T, dsn, pack string, more ...string) *exportertest.Running {
	t.Helper()
	return startWith(t, dsn, pack, "", more...)
}

// startWith is start with a further setting of the section mysql.
func startWith(t *testing.T, dsn, pack, setting string, more ...string) *exportertest.Running {
	t.Helper()
	return startApp(t, App(), dsn, pack, setting, more...)
}

// startPatiently is start for a test in which no query may fail: each has a minute, however often it is asked and however busy the machine is.
func startPatiently(t *testing.T, dsn, pack string, more ...string) *exportertest.Running {
	t.Helper()
	const timeout = yamlfile.Duration(time.Minute)
	return startApp(t, appWith(func(p *Pack) {
		p.Clients.Timeout, p.SaleEvents.Timeout = timeout, timeout
		for i := range p.Queries {
			p.Queries[i].Timeout = timeout
		}
	}), dsn, pack, "", more...)
}

func startApp(t *testing.T, app web.App, dsn, pack, setting string, more ...string) *exportertest.Running {
	t.Helper()
	return exportertest.Start(t, app, fmt.Sprintf("mysql: {dsn_file: %s, %s}\nqueries_file: %s\nmax_age: 1s\n%s",
		exportertest.WriteFile(t, "dsn", dsn), setting, exportertest.WriteFile(t, "pack.yml", pack), strings.Join(more, "\n")))
}

// execute runs statements, in which DATABASE.* stands for the tables of the test's database, and READER for its user.
func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	name := databaseOf(t, db)
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), strings.NewReplacer("DATABASE.*", name+".*", "READER", readerOf(name)).Replace(s)); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func databaseOf(t *testing.T, db *sql.DB) string {
	t.Helper()
	var name string
	if err := db.QueryRowContext(t.Context(), "SELECT COALESCE(DATABASE(), '')").Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

// killReader ends the connections of the test's user: a password and rights are those of a connection's beginning.
func killReader(t *testing.T, admin *sql.DB) {
	t.Helper()
	serverstest.DialectOf(t, admin).KillUser(t, readerOf(databaseOf(t, admin)))
}

// readerOf is the user of newUser: users belong to the server, which tests share.
func readerOf(database string) string { return "reader_" + database }

func fillShelves(t *testing.T, db *sql.DB) {
	t.Helper()
	execute(t, db,
		"CREATE TABLE shelves (color VARCHAR(20), n VARCHAR(20))", "INSERT INTO shelves VALUES ('red', '3'), ('blue', '4')",
		"CREATE TABLE tills (n INT)", "INSERT INTO tills VALUES (2)")
}

func up(s map[string]float64) bool {
	return s[`shop_shelves{color="red"}`] == 3 && s[`shop_shelves{color="blue"}`] == 4 && s["shop_tills"] == 2 && succeeds("shelves")(s) && succeeds("tills")(s)
}

func succeeds(collector string) func(map[string]float64) bool {
	return func(s map[string]float64) bool { return s[succeeded(collector)] == 1 }
}

func succeeded(collector string) string {
	return fmt.Sprintf(`consignwatch_collector_success{collector=%q,target="database"}`, collector)
}

// fails reports whether a collector fails for a reason more often than before.
func fails(before map[string]float64, collector, reason string) func(map[string]float64) bool {
	name := fmt.Sprintf(`consignwatch_collector_failures_total{collector=%q,reason=%q}`, collector, reason)
	return func(s map[string]float64) bool { return s[succeeded(collector)] == 0 && s[name] > before[name] }
}

func absent(s map[string]float64) bool {
	for name := range s {
		if strings.HasPrefix(name, "shop_") {
			return false
		}
	}
	return true
}

// runFault injects a fault into the database and expects: the reason, values that vanish, and recovery without help.
func runFault(t *testing.T, r *exportertest.Running, reason string, begin, end func()) {
	t.Helper()
	before := r.Await(t, "everything is up before the fault", up)
	begin()
	r.Await(t, "failure for the reason "+reason, fails(before, "shelves", reason))
	r.Await(t, "values vanish after max_age", absent)
	end()
	r.Await(t, "everything is up again", up)
}

func TestTheDatabaseDiesAndComesBack(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	execute(t, serverstest.Open(t, server.DSN("")), "CREATE DATABASE shop")
	fillShelves(t, serverstest.Open(t, server.DSN("shop")))
	r := start(t, server.DSN("shop"), fastPack)
	runFault(t, r, "connection",
		func() {
			if err := server.Kill(); err != nil {
				t.Fatal(err)
			}
		},
		func() {
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
}

func TestTheDatabaseHangsAndGoesOn(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	execute(t, serverstest.Open(t, server.DSN("")), "CREATE DATABASE shop")
	fillShelves(t, serverstest.Open(t, server.DSN("shop")))
	r := start(t, server.DSN("shop"), fastPack)
	signal := func(s syscall.Signal) func() {
		return func() {
			if err := server.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	runFault(t, r, "timeout", signal(syscall.SIGSTOP), signal(syscall.SIGCONT))
}

func TestTheExporterStartsWithoutADatabaseAndFindsItLater(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	execute(t, serverstest.Open(t, server.DSN("")), "CREATE DATABASE shop")
	fillShelves(t, serverstest.Open(t, server.DSN("shop")))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	r := start(t, server.DSN("shop"), fastPack)
	r.Await(t, "failure to connect", fails(nil, "shelves", "connection"))
	if s := r.Series(t); !absent(s) {
		t.Errorf("values of a database that never answered: %v", s)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "everything is up", up)
}

func TestThePasswordIsRejected(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	admin := serverstest.Open(t, dsn)
	fillShelves(t, admin)
	user := newUser(t, admin, dsn, "old-password")
	r := start(t, user, fastPack)
	runFault(t, r, "auth",
		func() {
			execute(t, admin, "ALTER USER READER@'%' IDENTIFIED BY 'new-password'")
			killReader(t, admin)
		},
		func() { execute(t, admin, "ALTER USER READER@'%' IDENTIFIED BY 'old-password'") })
	if _, page := r.Get(t, "/metrics"); strings.Contains(page+r.Log(), "old-password") {
		t.Error("the password was printed")
	}
}

// newUser makes a user with the right to read the test's database, and returns its data source name.
func newUser(t *testing.T, admin *sql.DB, dsn, password string) string {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, admin, "CREATE USER READER@'%' IDENTIFIED BY '"+password+"'", "GRANT SELECT ON DATABASE.* TO READER@'%'")
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), "DROP USER "+readerOf(c.DBName)+"@'%'"); err != nil {
			t.Error(err)
		}
	})
	c.User, c.Passwd = readerOf(c.DBName), password
	return c.FormatDSN()
}

// withParameter adds a system variable to a data source name.
func withParameter(t *testing.T, dsn, name, value string) string {
	t.Helper()
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if c.Params == nil {
		c.Params = map[string]string{}
	}
	c.Params[name] = value
	return c.FormatDSN()
}

// TestATroubledQueryLeavesTheOthersAlone spoils what one query reads; the other one goes on.
func TestATroubledQueryLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	limit := serverstest.DialectOf(t, serverstest.Open(t, serverstest.MariaDB(t))).TimeLimit()
	for name, c := range map[string]struct {
		spoil, mend []string
		reason      string
		says        string
	}{
		"table dropped":        {[]string{"RENAME TABLE shelves TO attic"}, []string{"RENAME TABLE attic TO shelves"}, "query", "shelves' doesn't exist"},
		"column dropped":       {[]string{"ALTER TABLE shelves RENAME COLUMN n TO m"}, []string{"ALTER TABLE shelves RENAME COLUMN m TO n"}, "query", "Unknown column 'n'"},
		"text where a number":  {[]string{"UPDATE shelves SET n = 'many' WHERE color = 'blue'"}, []string{"UPDATE shelves SET n = '4' WHERE color = 'blue'"}, "parse", `row 2, column \"n\": \"many\" is not a number`},
		"label is NULL":        {[]string{"INSERT INTO shelves VALUES (NULL, 1)"}, []string{"DELETE FROM shelves WHERE color IS NULL"}, "parse", `row 3, column \"color\": a label cannot be NULL`},
		"label set twice":      {[]string{"INSERT INTO shelves VALUES ('red', 9)"}, []string{"DELETE FROM shelves WHERE n = 9"}, "parse", `two rows have the same labels [color] of shop_shelves`},
		"over its time limit":  {[]string{"RENAME TABLE shelves TO attic", "CREATE VIEW shelves AS SELECT color, n, SLEEP(5) AS nap FROM attic HAVING nap = 0"}, []string{"DROP VIEW shelves", "RENAME TABLE attic TO shelves"}, "timeout", limit.Message},
		"the right is revoked": {[]string{"GRANT SELECT ON tills TO READER@'%'", "REVOKE SELECT ON DATABASE.* FROM READER@'%'"}, []string{"GRANT SELECT ON DATABASE.* TO READER@'%'"}, "auth", "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := serverstest.MariaDB(t)
			db := serverstest.Open(t, dsn)
			fillShelves(t, db)
			r := start(t, newUser(t, db, dsn, "reader"), fastPack)
			before := r.Await(t, "everything is up before", up)
			execute(t, db, c.spoil...)
			if c.reason == "auth" {
				killReader(t, db)
			}
			r.Await(t, "failure for the reason "+c.reason, fails(before, "shelves", c.reason))
			r.Await(t, "values of the troubled query vanish, and the other one goes on", func(s map[string]float64) bool {
				_, red := s[`shop_shelves{color="red"}`]
				_, blue := s[`shop_shelves{color="blue"}`]
				return !red && !blue && s["shop_tills"] == 2 && succeeds("tills")(s)
			})
			if !strings.Contains(r.Log(), c.says) {
				t.Errorf("the log does not say %q:\n%s", c.says, r.Log())
			}
			execute(t, db, c.mend...)
			r.Await(t, "everything is up again", up)
		})
	}
}

func TestANullValueIsUnknownNotZero(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	db := serverstest.Open(t, dsn)
	fillShelves(t, db)
	execute(t, db, "UPDATE shelves SET n = NULL WHERE color = 'blue'")
	r := start(t, dsn, fastPack)
	s := r.Await(t, "the value that is known, from a query that succeeds", func(s map[string]float64) bool {
		return s[`shop_shelves{color="red"}`] == 3 && succeeds("shelves")(s)
	})
	if v, ok := s[`shop_shelves{color="blue"}`]; ok {
		t.Errorf("NULL is exposed as %v", v)
	}
}

func TestTheDatabaseAnswersGarbageOrNothing(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	fillShelves(t, serverstest.Open(t, dsn))
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	p := exportertest.NewFaultProxy(t, c.Addr)
	c.Addr = p.Address()
	set := func(mode exportertest.Mode) func() { return func() { p.Set(mode); p.Cut() } }
	r := start(t, c.FormatDSN(), fastPack)
	for mode, reason := range map[exportertest.Mode]string{exportertest.Garbage: "parse", exportertest.OldProtocol: "parse", exportertest.Blackhole: "timeout"} {
		runFault(t, r, reason, set(mode), set(exportertest.Forward))
	}
}

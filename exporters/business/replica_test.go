package business

import (
	"slices"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

const lagSeries = "consign_replica_lag_seconds"

func hasLag(s map[string]float64) bool { _, ok := s[lagSeries]; return ok }

func TestTheLagOfAReplicaIsReportedAndAnUnknownOneIsNot(t *testing.T) {
	t.Parallel()
	source := serverstest.OwnMariaDB(t, "--log-bin=binlog", "--server-id=1")
	server := serverstest.OwnMariaDB(t, "--server-id=2", "--read-only=OFF")
	replica := serverstest.Open(t, server.DSN(""))
	dialect := serverstest.DialectOf(t, replica)
	dialect.Follow(t, source, "")
	shop := serverstest.Open(t, source.DSN(""))
	execute(t, shop, "CREATE DATABASE shop")
	fillShelves(t, serverstest.Open(t, source.DSN("shop")))

	r := startWith(t, server.DSN("shop"), fastPack, "replica: true")
	r.Await(t, "the rows arrive, and the replica is not behind", func(s map[string]float64) bool {
		v, ok := s[lagSeries]
		return up(s) && ok && v == 0
	})

	// A reader on the replica holds up what arrives.
	lock, err := replica.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(t.Context(), "FLUSH TABLES WITH READ LOCK"); err != nil {
		t.Fatal(err)
	}
	execute(t, shop, "UPDATE shop.tills SET n = 3")
	s := r.Await(t, "the replica is behind", func(s map[string]float64) bool { return s[lagSeries] >= 2 && succeeds("tills")(s) })
	if s["shop_tills"] != 2 {
		t.Errorf("tills = %v: the update has arrived, and the test shows nothing", s["shop_tills"])
	}
	if _, err := lock.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	r.Await(t, "the replica has caught up", func(s map[string]float64) bool { return hasLag(s) && s[lagSeries] == 0 && s["shop_tills"] == 3 })

	dialect.StopApplying(t, "")
	r.Await(t, "an unknown lag is not told, and the business is", func(s map[string]float64) bool {
		return !hasLag(s) && fails(nil, replicaCollectorName, "connection")(s) && s["shop_tills"] == 3 && succeeds("tills")(s)
	})
	if want := "IO thread running: Yes (error 0), SQL thread running: No"; !strings.Contains(r.Log(), want) {
		t.Errorf("the log does not say %q:\n%s", want, r.Log())
	}
	dialect.StartReplica(t, "")
	r.Await(t, "the lag is known again", hasLag)

	// MySQL reports 0 then, MariaDB NULL: the IO thread is checked as well.
	dialect.LoseSource(t, "")
	const failures = `consignwatch_collector_failures_total{collector="replica",reason="connection"}`
	before := r.Series(t)[failures]
	r.Await(t, "the lag behind a source that was never reached is unknown", func(s map[string]float64) bool {
		return s[failures] >= before+2 && !hasLag(s) && succeeds("tills")(s) // the second one was collected from now on
	})
}

func TestADatabaseThatIsNoReplicaHasNoLag(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	fillShelves(t, serverstest.Open(t, dsn))
	r := startWith(t, dsn, fastPack, "replica: true")
	s := r.Await(t, "the replica was asked for", succeeds(replicaCollectorName))
	if hasLag(s) {
		t.Errorf("a lag of %v", s[lagSeries])
	}
}

func TestWithoutTheRightTheLagIsUnknownAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	admin := serverstest.Open(t, dsn)
	fillShelves(t, admin)
	r := startWith(t, newUser(t, admin, dsn, "reads-no-status"), fastPack, "replica: true")
	r.Await(t, "the collector fails, the others do not", func(s map[string]float64) bool {
		return up(s) && s[`consignwatch_collector_failures_total{collector="replica",reason="capability"}`] >= 2 && !hasLag(s)
	})
	if n := strings.Count(r.Log(), "GRANT SLAVE MONITOR"); n != 1 {
		t.Errorf("the missing right is logged %d times, want once:\n%s", n, r.Log())
	}
	serverstest.DialectOf(t, admin).GrantReplicaStatus(t, readerOf(databaseOf(t, admin))+"@'%'")
	r.Await(t, "the right counts for a new connection", succeeds(replicaCollectorName))
}

// TestTheRowsOfMySQLAreRead uses rows with the columns that the manual of MySQL 8.4 lists: there is no server here.
func TestTheRowsOfMySQLAreRead(t *testing.T) {
	t.Parallel()
	columns := []string{"Channel_Name", "Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source", "Last_IO_Errno", "Last_SQL_Errno"}
	at := map[string]int{}
	for i, c := range columns {
		at[c] = i
	}
	for name, c := range map[string]struct {
		values []any
		lag    float64
		says   string
	}{
		"up to date": {values: []any{"", "Yes", "Yes", int64(0), int64(0), int64(0)}},
		"behind":     {values: []any{"", "Yes", "Yes", int64(17), int64(0), int64(0)}, lag: 17},
		"connecting": {values: []any{"east", "Connecting", "Yes", nil, int64(2003), int64(0)}, says: `channel "east", IO thread running: Connecting (error 2003), SQL thread running: Yes (error 0)`},
		"stopped":    {values: []any{"", "Yes", "No", nil, int64(0), int64(1062)}, says: "SQL thread running: No (error 1062)"},
		"odd":        {values: []any{"", "No", "Yes", int64(3), int64(0), int64(0)}, says: "IO thread running: No"},
	} {
		lag, err := lagOf(&row{columns: at, values: slices.Clone(c.values)})
		if c.says == "" && (err != nil || lag != c.lag) {
			t.Errorf("%s: %v, %v, want %v", name, lag, err, c.lag)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || exporter.ReasonOf(err) != exporter.ReasonConnection) {
			t.Errorf("%s: %v, %v, want the reason connection and: %s", name, lag, err, c.says)
		}
	}
}

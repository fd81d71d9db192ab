package business

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

// fairPack reads the goods of fairs, some of which are over.
const fairPack = `
clients: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS client_id, slug AS client FROM owners"}
sale_events: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS event_id, owner AS client_id, slug AS event, NOT done AS changing, TRUE AS exposed FROM fairs"}
refresh_ended: 24h
queries:
  - name: goods
    per: event
    interval: 200ms
    timeout: 200ms
    sql: SELECT fair AS event_id, n, n * 1000 AS bytes FROM goods WHERE fair IN ({{events}})
    metrics:
      - {metric: consign_unsynced_items, value: n}
      - {metric: consign_client_stored_bytes, value: bytes, combine: sum}
`

func fillFairs(t *testing.T, dsn string) {
	t.Helper()
	execute(t, serverstest.Open(t, dsn),
		"CREATE TABLE owners (id INT, slug VARCHAR(20))", "INSERT INTO owners VALUES (1, 'north')",
		"CREATE TABLE fairs (id INT, owner INT, slug VARCHAR(20), done BOOL)", "INSERT INTO fairs VALUES (1, 1, 'spring', TRUE), (2, 1, 'summer', FALSE)",
		"CREATE TABLE goods (fair INT, n INT)", "INSERT INTO goods VALUES (1, 3), (2, 4)")
}

func TestARenamedClientKeepsItsPast(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	fillFairs(t, dsn)
	r := start(t, dsn, fairPack)
	r.Await(t, "both fairs are exported", func(s map[string]float64) bool {
		return s[`consign_unsynced_items{client="north",event="spring"}`] == 3 && s[`consign_client_stored_bytes{client="north"}`] == 7000
	})
	execute(t, serverstest.Open(t, dsn), "UPDATE owners SET slug = 'south'", "UPDATE fairs SET slug = 'lent' WHERE id = 1")
	r.Await(t, "what was read under the old names has the new ones", func(s map[string]float64) bool {
		return s[`consign_unsynced_items{client="south",event="lent"}`] == 3 && s[`consign_client_stored_bytes{client="south"}`] == 7000 && len(of(s, "client", "north")) == 0
	})
}

func TestWhatHasEndedIsReadOnceAndOnceMoreAfterItsRefresh(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	fillFairs(t, dsn)
	pack, _, metrics, err := loadPack(exportertest.WriteFile(t, "pack.yml", fairPack), shipped())
	if err != nil {
		t.Fatal(err)
	}
	db, err := openReader(secret.New(dsn), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.close() })
	rows := 0
	db.meter = func(name string, c cost) {
		if name == "goods" {
			rows += c.rows
		}
	}
	c := collectors(newDirectory(db, pack), pack, 0)[0]
	live, ended := c.targets[0].(liveTarget), c.targets[1].(endedTarget)
	try := func(target exporter.Target, wantRows, wantSeries int, why string) {
		t.Helper()
		rows = 0
		result, err := exporter.DryRun(t.Context(), metrics, sizes, target)
		if err != nil {
			t.Fatal(err)
		}
		series := 0
		for _, n := range result.Series {
			series += n
		}
		if rows != wantRows || series != wantSeries {
			t.Errorf("%s: %d rows read and %d series, want %d and %d", why, rows, series, wantRows, wantSeries)
		}
	}
	try(live, 1, 1, "before the other fair was read, a total of the client would be wrong")
	try(ended, 1, 0, "what has ended is read, and told by the next round")
	try(live, 1, 3, "both fairs and the client's total")
	try(ended, 0, 0, "what has ended was read")
	try(live, 1, 3, "the next round")

	result := live.results["1"]
	if wait := time.Until(result.due); wait < 11*time.Hour || wait > 24*time.Hour {
		t.Errorf("it is read again in %s, want in 12 to 24 hours", wait)
	}
	result.due = time.Now()
	live.results["1"] = result
	try(ended, 1, 0, "its refresh is due")
	try(ended, 0, 0, "and done")

	execute(t, serverstest.Open(t, dsn), "UPDATE fairs SET done = TRUE")
	live.dir.current = nil
	try(ended, 1, 0, "the other one has just ended: a last look")
	try(live, 0, 3, "nothing is live")
}

func TestHistoryNeverTakesTheLastConnection(t *testing.T) {
	t.Parallel()
	db, err := openReader(secret.New("root@tcp(127.0.0.1:1)/shop"), nil, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.close() })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	acquire := func(ctx context.Context, history bool) func() {
		t.Helper()
		release, err := db.acquire(ctx, history)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	refused := func(history bool) {
		t.Helper()
		if _, err := db.acquire(over, history); err == nil || exporter.ReasonOf(err) != exporter.ReasonTimeout || !strings.Contains(err.Error(), "all 2 of max_open_connections") {
			t.Errorf("history %t: %v, want that no connection is free", history, err)
		}
	}
	releaseHistory := acquire(t.Context(), true)
	refused(true)
	releaseLive := acquire(t.Context(), false)
	refused(false)
	releaseHistory()
	acquire(t.Context(), false)
	refused(true) // two live ones

	// Nothing was wrong with the database, so waiting is no failure of the collector, until it takes too long.
	q := &eventQuery{dir: &directory{db: db}, batch: firstBatch}
	_, err = db.acquire(over, true)
	if err := q.wait(err); err != nil {
		t.Errorf("the first wait fails: %v", err)
	}
	q.waitingSince = q.waitingSince.Add(-2 * maxHistoryWait)
	if err := q.wait(err); err == nil || !strings.Contains(err.Error(), "have been waiting to be read since") {
		t.Errorf("after two hours: %v", err)
	}
	releaseLive()
	acquire(t.Context(), true)() // what was rejected holds no connection
}

package business

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/secret"
)

var sizes = catalog.SizesFor(catalog.DefaultClients)

// open is the exporter's own way to the database.
func (h *history) open(t *testing.T) *reader {
	t.Helper()
	db, err := openReader(secret.New(h.dsn), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.close() })
	return db
}

// explained runs the command as its users do.
func explained(t *testing.T, dsn string, more ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err strings.Builder
	args := append([]string{"queries", "--explain", exportertest.WriteFile(t, "dsn", dsn+"\n")}, more...)
	code = App().Run(t.Context(), args, &out, &err, nil)
	return code, out.String(), err.String()
}

// explainedLine finds the line of a query, and its columns after the first two.
func explainedLine(t *testing.T, out, query, reads string) []string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + query + ` +` + reads + ` +(.*)$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no line for %s %s:\n%s", query, reads, out)
	}
	return strings.Fields(m[1])
}

func (h *history) testExplain(t *testing.T) {
	code, out, errors := explained(t, h.dsn)
	if code != 0 || errors != "" {
		t.Fatalf("exit code %d, printed:\n%s%s", code, out, errors)
	}
	pack := embedded(t)
	for _, q := range pack.Queries {
		reads := []string{"all"}
		if q.Per == "event" {
			reads = []string{"live", "ended"}
		}
		for _, r := range reads {
			explainedLine(t, out, q.Name, r)
		}
	}
	_, live := h.liveIDs()
	line := explainedLine(t, out, "items", "live") // events, rows, time, rows read, series
	if line[0] != "4" {
		t.Errorf("the query items reads %s live sale events, want 4", line[0])
	}
	if read, err := strconv.Atoi(line[3]); err != nil || read < live["items"] || read > live["items"]*3/2 {
		t.Errorf("the query items reads %s rows, and there are %d", line[3], live["items"])
	}
	series := 0
	for name := range expectedSeries(h.platform.Books(), time.Now()) {
		if regexp.MustCompile(`^consign_(items|items_value|unsynced_items|oldest_unsynced_item_timestamp_seconds)\{|check="(too_many_transfers|price_not_positive)"`).MatchString(name) {
			series++
		}
	}
	if line[4] != strconv.Itoa(series) {
		t.Errorf("the query items brings %s series, %d are expected", line[4], series)
	}
	if ended := explainedLine(t, out, "stored_bytes", "ended"); ended[0] == "0" {
		t.Error("nothing has ended")
	} else if read, err := strconv.Atoi(ended[3]); err != nil || read < 50_000 {
		t.Errorf("the query stored_bytes reads %s rows of what has ended, want all of the 60000 items but the live ones", ended[3])
	}
}

// explainPack has one query for each way to be right or wrong.
const explainPack = `
clients: {interval: 1m, timeout: 1s, sql: "SELECT 1 AS client_id, 'north' AS client"}
sale_events: {interval: 1m, timeout: 1s, sql: "SELECT 1 AS event_id, 1 AS client_id, 'spring' AS event, TRUE AS changing, TRUE AS exposed"}
refresh_ended: 24h
declare:
  - {name: shop_shelves, type: gauge, unit: count, help: Shelves., labels: [{name: color, values: [red, blue]}]}
  - {name: shop_tills, type: gauge, unit: count, help: Tills.}
queries:
  - {name: good, interval: 1m, timeout: 1s, sql: "SELECT color, n FROM shelves", metrics: [{metric: shop_shelves, value: n}]}
  - {name: odd, interval: 1m, timeout: 1s, sql: "SELECT 'green' AS color, 1 AS n", metrics: [{metric: shop_shelves, value: n}]}
  - {name: no-table, interval: 1m, timeout: 1s, sql: "SELECT n FROM cellar", metrics: [{metric: shop_tills, value: n}]}
  - {name: no-number, interval: 1m, timeout: 1s, sql: "SELECT 'many' AS n", metrics: [{metric: shop_tills, value: n}]}
  - {name: too-slow, interval: 1m, timeout: 100ms, sql: "SELECT COUNT(*) AS n FROM shelves WHERE SLEEP(3) = 0", metrics: [{metric: shop_tills, value: n}]}
`

func TestExplainSaysWhatIsWrongWithEachQuery(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	db := serverstest.Open(t, dsn)
	fillShelves(t, db)
	dialect := serverstest.DialectOf(t, db)
	code, out, errors := explained(t, dsn, "--queries-file", exportertest.WriteFile(t, "pack.yml", explainPack))
	if code != 1 || !strings.Contains(errors, "3 of 5 queries failed") {
		t.Errorf("exit code %d, printed: %s", code, errors)
	}
	for query, want := range map[string]string{
		"good":      fmt.Sprintf(`\s2\s+\S+s\s+%d\s+2$`, dialect.ScanReads(2)), // rows, time, rows read, series
		"odd":       `shop_shelves: 1 values of the label color became other`,
		"no-table":  `query: .*cellar' doesn't exist`,
		"no-number": `parse: row 1, column "n": "many" is not a number`,
		"too-slow":  `timeout: .*` + dialect.TimeLimit().Message,
	} {
		if !regexp.MustCompile(`(?m)^` + query + `\s+all\s.*` + want).MatchString(out) {
			t.Errorf("the line of %s does not match %s:\n%s", query, want, out)
		}
	}
}

func TestExplainSaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	for name, c := range map[string]struct{ dsn, pack, want string }{
		"nobody listens": {"root:secretpassword@tcp(127.0.0.1:1)/shop", explainPack, "list of clients: connect: dial tcp 127.0.0.1:1"},
		"no DSN":         {"secretpassword", explainPack, "data source name, like user:password@tcp(host:3306)/database"},
		"no pack":        {dsn, "queries: []", "the SQL that lists the clients is missing"},
		"bad list":       {dsn, strings.Replace(explainPack, "1 AS client_id", "1 AS id", 1), `list of clients: the result has no column "client_id"`},
	} {
		code, out, errors := explained(t, c.dsn, "--queries-file", exportertest.WriteFile(t, "pack.yml", c.pack))
		if code != 1 || !strings.Contains(errors, c.want) {
			t.Errorf("%s: exit code %d, printed: %s\nwant: %s", name, code, errors, c.want)
		}
		if strings.Contains(out+errors, "secretpassword") {
			t.Errorf("%s: the password was printed: %s%s", name, out, errors)
		}
	}
	var out strings.Builder
	if code := App().Run(t.Context(), []string{"queries", "--explain", "testdata/no-such-file"}, &out, &out, nil); code != 1 || !strings.Contains(out.String(), "testdata/no-such-file") {
		t.Errorf("a file that is not there: exit code %d, printed: %s", code, out.String())
	}
}

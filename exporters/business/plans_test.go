package business

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	deploy "github.com/consignwatch/consignwatch/deploy/mysql"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// access is how the server's plan reads one table of a query.
type access struct {
	alias, how, key, extra string
	rows                   int
}

func (a access) String() string {
	return fmt.Sprintf("%-18s %-14s key %-32s about %6d rows  %s", a.alias, a.how, a.key, a.rows, a.extra)
}

// plan explains a SELECT.
func plan(t *testing.T, db *sql.DB, text string) []access {
	t.Helper()
	var all []access
	for _, row := range serverstest.Plan(t, db, text) {
		n, _ := strconv.Atoi(row["rows"])
		all = append(all, access{row["table"], row["type"], row["key"], row["Extra"], n})
	}
	return all
}

var (
	tableNames = regexp.MustCompile(`(?i)\b(?:FROM|JOIN)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?`)
	onlyIndex  = regexp.MustCompile(`Using index(;| for group-by|$)`)
	smallTable = map[string]string{
		"clients":    "the inventory",
		"events":     "the inventory",
		"categories": "twenty rows",
		"backups":    "a few rows a day",
	}
	// Read row by row through an index that the platform has anyway: at most a few hundred rows for each sale event, or
	// one row for each that is looked up.
	rowByRow = []string{"dropoff_slots", "volunteer_shifts", "PRIMARY"}
)

// aliases maps the names in a plan to the tables that they can stand for.
func aliases(text string) map[string][]string {
	of := map[string][]string{}
	for _, m := range tableNames.FindAllStringSubmatch(text, -1) {
		of[m[1]] = append(of[m[1]], m[1])
		if m[2] != "" {
			of[m[2]] = append(of[m[2]], m[1])
		}
	}
	return of
}

// liveIDs are the sale events that a round reads, and how many rows of each table belong to them or are of late.
func (h *history) liveIDs() (ids string, rows map[string]int) {
	b, now := h.platform.Books(), time.Now()
	list, live := []string{}, map[uint64]bool{}
	for i := range b.Events {
		if e := &b.Events[i]; !slices.Contains([]string{world.Draft, world.Complete, world.Cancelled}, e.Status) {
			list, live[e.ID] = append(list, strconv.FormatUint(e.ID, 10)), true
		}
	}
	recent := func(at time.Time, d time.Duration) bool { return at.After(now.Add(-d)) }
	return strings.Join(list, ","), map[string]int{
		"items":            count(b.Items, func(r *world.Item) bool { return live[r.EventID] }),
		"sales":            count(b.Sales, func(r *world.Sale) bool { return live[r.EventID] }),
		"event_consignors": count(b.EventConsignors, func(r *world.EventConsignor) bool { return live[r.EventID] }),
		"consignors":       len(b.Consignors),
		"sessions":         count(b.Sessions, func(r *world.Session) bool { return r.EndedAt.IsZero() && recent(r.LastSeenAt, time.Hour) }),
		"sync_runs":        2 * 4 * len(b.Clients), // a look-up for each client, kind and outcome
		"support_tickets": count(b.SupportTickets, func(r *world.SupportTicket) bool {
			return r.Status != world.Solved || recent(r.SolvedAt, 8*24*time.Hour) || recent(r.FirstResponseAt, 8*24*time.Hour)
		}),
	}
}

func count[T world.Row](rows world.Rows[T], of func(*T) bool) int {
	n := 0
	for i := range rows {
		if of(&rows[i]) {
			n++
		}
	}
	return n
}

func (h *history) testPlans(t *testing.T) {
	ids, live := h.liveIDs()
	if live["items"] < 1000 || live["items"] > 6000 || live["sales"] < 300 {
		t.Fatalf("the platform does not suit the test: live sale events hold %v rows", live)
	}
	for _, q := range embedded(t).Queries {
		text := strings.ReplaceAll(q.SQL, eventsPlaceholder, ids)
		tables := aliases(text)
		all := plan(t, h.admin, text)
		for _, a := range all {
			if strings.HasPrefix(a.alias, "<") {
				continue // a temporary table
			}
			if tables[a.alias] == nil {
				t.Fatalf("query %s: no table is called %s in its SQL", q.Name, a.alias)
			}
			for _, table := range tables[a.alias] {
				for _, wrong := range a.faults(table, live) {
					t.Errorf("query %s reads %s wrongly: %s\n%s", q.Name, table, wrong, printed(all))
				}
			}
		}
	}
}

// testBadPlans runs what testPlans must find.
func (h *history) testBadPlans(t *testing.T) {
	ids, live := h.liveIDs()
	for text, table := range map[string]string{
		"SELECT event_id, COUNT(*) FROM items GROUP BY event_id": "items", // all of the index
		"SELECT MAX(title) FROM items":                           "items", // all of the table
		"SELECT event_id, MAX(shopify_product_id) FROM items WHERE event_id IN (" + ids + ") GROUP BY event_id": "items", // row by row
		"SELECT COUNT(*) FROM sales WHERE event_id > 4":                                                         "sales", // history
		"SELECT COUNT(*) FROM sessions WHERE role = 'shopper' AND ended_at IS NULL":                             "sessions",
		"SELECT COUNT(*) FROM support_tickets WHERE first_response_at > opened_at":                              "support_tickets",
		"SELECT client_id, MIN(finished_at) FROM sync_runs GROUP BY client_id, outcome":                         "sync_runs",
	} {
		found := false
		all := plan(t, h.admin, text)
		for _, a := range all {
			found = found || len(a.faults(table, live)) > 0
		}
		if !found {
			t.Errorf("nothing is found wrong with %s\n%s", text, printed(all))
		}
	}
}

// faults lists what is wrong with an access to a table.
func (a access) faults(table string, live map[string]int) []string {
	if smallTable[table] != "" {
		return nil
	}
	var wrong []string
	if a.how == "ALL" || a.how == "index" || a.key == "" {
		wrong = append(wrong, "a scan of all rows")
	}
	if !onlyIndex.MatchString(a.extra) && !slices.Contains(rowByRow, table) && !slices.Contains(rowByRow, a.key) {
		wrong = append(wrong, "the index does not hold all columns that are read")
	}
	if most, limited := live[table]; limited && a.rows > most*3/2 {
		wrong = append(wrong, fmt.Sprintf("about %d rows, and %d are live", a.rows, most))
	}
	return wrong
}

func printed(all []access) string {
	var b strings.Builder
	for _, a := range all {
		b.WriteString("  " + a.String() + "\n")
	}
	return b.String()
}

// embedded is the shipped pack.
func embedded(t testing.TB) *Pack {
	t.Helper()
	p, _, _, err := loadPack("", shipped())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// everything makes a pack read all sale events each round, as one does who counts by plain GROUP BY.
func everything(p *Pack) *Pack {
	p.SaleEvents.SQL = "SELECT e.*, TRUE AS changing, TRUE AS exposed FROM (SELECT id AS event_id, client_id, slug AS event, currency FROM events) e"
	return p
}

// round reads each query of a pack once, of the sale events those that change, and returns what each has cost.
func round(ctx context.Context, db *reader, p *Pack) (map[string]cost, error) {
	costs := map[string]cost{}
	db.meter = func(name string, c cost) { costs[name] = add(costs[name], c) }
	defer func() { db.meter = nil }()
	dir := newDirectory(db, p)
	for _, c := range collectors(dir, p, 0) {
		if _, err := exporter.DryRun(ctx, shipped(), sizes, c.targets[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
	}
	return costs, nil
}

func total(costs map[string]cost) cost {
	sum := cost{}
	for _, c := range costs {
		sum = add(sum, c)
	}
	return sum
}

func (h *history) testRowsRead(t *testing.T) {
	db := h.open(t)
	live, err := round(t.Context(), db, embedded(t))
	if err != nil {
		t.Fatal(err)
	}
	all, err := round(t.Context(), db, everything(embedded(t)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range live {
		t.Logf("%-20s %6d of %6d", name, c.read, all[name].read)
	}
	l, a := total(live).read, total(all).read
	t.Logf("%-20s %6d of %6d", "together", l, a)
	if all["items"].read < 50_000 || l*10 >= a {
		t.Errorf("a round reads %d rows; reading everything takes %d, of which the query items %d", l, a, all["items"].read)
	}
}

// TestStatisticsThatAreOld fills a table that InnoDB has counted when it was empty, as a bulk load or a restored dump does. The server is the test's own:
// plans depend on what is in memory.
func TestStatisticsThatAreOld(t *testing.T) {
	t.Parallel()
	server := serverstest.OwnMariaDB(t)
	execute(t, serverstest.Open(t, server.DSN("")), "CREATE DATABASE shop")
	h := &history{dsn: server.DSN("shop"), admin: serverstest.Open(t, server.DSN("shop"))}
	filled(t, simulator.Config{DSN: h.dsn, Clients: 12, Events: 60, LiveEvents: 4, Items: 12_000, Bulk: true, Seed: 5})
	execute(t, h.admin, deploy.Indexes()...)
	for _, table := range tables(t, h.admin) {
		execute(t, h.admin, "ANALYZE TABLE "+table)
	}
	db := h.open(t)
	for query, table := range map[string]string{"consignors": "settlements", "sold_without_sale": "sales"} {
		pack := embedded(t)
		pack.Queries = slices.DeleteFunc(pack.Queries, func(q Query) bool { return q.Name != query })
		read := func() int64 {
			t.Helper()
			costs, err := round(t.Context(), db, pack)
			if err != nil {
				t.Fatal(err)
			}
			return costs[query].read
		}
		kept := "kept_" + table
		execute(t, h.admin, "CREATE TABLE "+kept+" AS SELECT * FROM "+table, "ALTER TABLE "+table+" STATS_AUTO_RECALC=0", "TRUNCATE "+table, "ANALYZE TABLE "+table,
			"INSERT INTO "+table+" SELECT * FROM "+kept)
		old := read()
		execute(t, h.admin, "ANALYZE TABLE "+table)
		current := read()
		t.Logf("the query %s reads %d rows with old statistics, %d with current ones", query, old, current)
		if old > 2*current {
			t.Errorf("the query %s reads %d rows with old statistics, %d with current ones, want at most twice as many", query, old, current)
		}
	}
}

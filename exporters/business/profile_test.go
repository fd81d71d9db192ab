package business

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/secret"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// marketPack reads how many visitors paid in each tenth of a market's time.
const marketPack = `
clients: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS client_id, slug AS client FROM owners"}
sale_events: {interval: 200ms, timeout: 200ms, sql: "SELECT id AS event_id, owner AS client_id, slug AS event, NOT done AS changing, NOT done AS exposed FROM markets"}
refresh_ended: 24h
queries:
  - name: visitors
    per: event
    events: all
    interval: 200ms
    timeout: 200ms
    sql: |
      SELECT m.id AS event_id, m.opens AS begins, m.hours * 3600 AS lasts, m.stalls AS size, v.part, COALESCE(v.n, 0) AS n
      FROM markets m LEFT JOIN visitors v ON v.market = m.id AND m.done WHERE m.id IN ({{events}})
    metrics:
      - {metric: consign_event_expected_orders, value: n, profile: 10, window: 1h}
`

// expectations reads the expected numbers of live markets.
func expectations(t *testing.T, rows ...string) map[string]float64 {
	t.Helper()
	dsn := serverstest.MariaDB(t)
	execute(t, serverstest.Open(t, dsn), append([]string{
		"CREATE TABLE owners (id INT, slug VARCHAR(20))", "INSERT INTO owners VALUES (1, 'north'), (2, 'south')",
		"CREATE TABLE markets (id INT, owner INT, slug VARCHAR(20), done BOOL, opens DATETIME(6), hours INT, stalls INT)",
		"CREATE TABLE visitors (market INT, part INT, n INT)",
	}, rows...)...)
	pack, _, metrics, err := loadPack(exportertest.WriteFile(t, "pack.yml", marketPack), shipped())
	if err != nil {
		t.Fatal(err)
	}
	db, err := openReader(secret.New(dsn), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.close() })
	c := collectors(newDirectory(db, pack), pack, 0)[0]
	first, err := exporter.DryRun(t.Context(), metrics, sizes, c.targets[0])
	if err != nil {
		t.Fatal(err)
	}
	if n := first.Series["consign_event_expected_orders"]; n != 0 {
		t.Errorf("%d expectations before history was read", n)
	}
	if _, err := exporter.DryRun(t.Context(), metrics, sizes, c.targets[1]); err != nil {
		t.Fatal(err)
	}
	sum := newTotals()
	list, err := c.targets[0].(liveTarget).dir.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ps := profiles{mapping: &pack.Queries[0].Metrics[0], byEvent: map[id]*profile{}}
	q := c.targets[0].(liveTarget).eventQuery
	for i := range list.events {
		for _, v := range q.results[list.events[i].id].values {
			ps.add(&list.events[i], v)
		}
	}
	if err := ps.addExpected(marketNow(), map[string]bool{}, sum); err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, v := range sum.list {
		got[v.labels[0]+"/"+v.labels[1]] = v.value
	}
	return got
}

// marketNow is a time at which markets are in the middle.
func marketNow() time.Time { return time.Date(2026, 5, 2, 15, 30, 0, 0, time.UTC) }

func TestAnHourShouldBringWhatItBroughtAtEarlierSales(t *testing.T) {
	t.Parallel()
	// Ten hours each, an hour a part. Now is half past the sixth hour: half of the fifth and half of the sixth part.
	market := func(id, owner int, slug string, done bool, opens string, hours, stalls int) string {
		return fmt.Sprintf("INSERT INTO markets VALUES (%d, %d, '%s', %v, '%s', %d, %d)", id, owner, slug, done, opens, hours, stalls)
	}
	const live = "2026-05-02 10:00:00"
	for name, test := range map[string]struct {
		rows []string
		want map[string]float64
	}{
		"the mean of two": {
			[]string{
				market(1, 1, "a", true, "2025-05-01 10:00:00", 10, 50), market(2, 1, "b", true, "2025-10-01 10:00:00", 10, 50), market(3, 1, "now", false, live, 10, 50),
				"INSERT INTO visitors VALUES (1, 0, 900), (1, 4, 20), (1, 5, 40), (1, 6, 700), (2, 4, 40), (2, 5, 60), (2, 9, 8)",
			}, map[string]float64{"north/now": (30 + 50) / 2.0},
		},
		"one is too few, and another client's do not count": {
			[]string{
				market(1, 1, "a", true, "2025-05-01 10:00:00", 10, 50), market(2, 2, "b", true, "2025-10-01 10:00:00", 10, 50), market(3, 1, "now", false, live, 10, 50),
				"INSERT INTO visitors VALUES (1, 4, 20), (1, 5, 40), (2, 4, 40), (2, 5, 60)",
			}, map[string]float64{},
		},
		"a longer one is stretched, half of the stalls bring half, and twice as many not more": {
			[]string{
				market(1, 1, "a", true, "2025-05-01 10:00:00", 20, 50), market(2, 1, "b", true, "2025-10-01 10:00:00", 10, 100),
				market(3, 1, "now", false, live, 10, 50), market(4, 1, "large", false, live, 10, 400),
				"INSERT INTO visitors VALUES (1, 4, 20), (1, 5, 40), (2, 4, 40), (2, 5, 60)",
			}, map[string]float64{"north/now": (30 + 25) / 2.0, "north/large": (30 + 50) / 2.0},
		},
		"the latest four, none that came later": {
			[]string{
				market(1, 1, "a", true, "2023-05-01 10:00:00", 10, 50), market(2, 1, "b", true, "2024-05-01 10:00:00", 10, 50), market(3, 1, "c", true, "2024-10-01 10:00:00", 10, 50),
				market(4, 1, "d", true, "2025-05-01 10:00:00", 10, 50), market(5, 1, "e", true, "2025-10-01 10:00:00", 10, 50), market(6, 1, "f", true, "2026-06-01 10:00:00", 10, 50),
				market(7, 1, "now", false, live, 10, 50),
				"INSERT INTO visitors VALUES (1, 5, 9000), (2, 5, 10), (3, 5, 20), (4, 5, 30), (5, 5, 40), (6, 5, 9000)",
			}, map[string]float64{"north/now": (5 + 10 + 15 + 20) / 4.0},
		},
		"before an hour has passed, what came since the beginning": {
			[]string{
				market(1, 1, "a", true, "2025-05-01 10:00:00", 10, 50), market(2, 1, "b", true, "2025-10-01 10:00:00", 10, 50), market(3, 1, "now", false, "2026-05-02 15:00:00", 10, 50),
				"INSERT INTO visitors VALUES (1, 0, 20), (2, 0, 40)",
			}, map[string]float64{"north/now": (10 + 20) / 2.0},
		},
		"a date in the far future disturbs nothing": {
			[]string{
				market(1, 1, "a", true, "2025-05-01 10:00:00", 10, 50), market(2, 1, "b", true, "2025-10-01 10:00:00", 10, 50), market(3, 1, "now", false, live, 10, 50),
				"INSERT INTO visitors VALUES (1, 5, 20), (2, 5, 40), (2, 2000000000, 7)",
			}, map[string]float64{"north/now": (10 + 20) / 2.0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := expectations(t, test.rows...)
			if len(got) != len(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			for event, want := range test.want {
				if v, ok := got[event]; !ok || math.Abs(v-want) > 1e-9 {
					t.Errorf("%s should bring %v, got %v (exported: %v)", event, want, v, ok)
				}
			}
		})
	}
}

// What the alert on quiet sales goes by: before the fault, sale events bring what is expected of them; with it nothing more comes, while
// enough is expected, and enough shoppers are there, that this means something.
func TestAStalledSaleStandsOut(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := live(t, simulator.Config{DSN: dsn, Clients: 5, Events: 40, Items: 10_000, Speed: 60, Seed: 1, Noon: true})
	r := startPatiently(t, dsn, quickPack(t))
	b := p.Books()
	now := time.Now()
	recent := map[uint64]map[uint64]bool{}
	for i := range b.Sales {
		if s := &b.Sales[i]; now.Sub(s.SoldAt) < time.Hour {
			if recent[s.EventID] == nil {
				recent[s.EventID] = map[uint64]bool{}
			}
			recent[s.EventID][s.ShopifyOrderID] = true
		}
	}
	name := func(metric string, e *world.Event) string {
		return fmt.Sprintf("%s{client=%q,event=%q}", metric, b.Clients.Get(e.ClientID).Slug, e.Slug)
	}
	judged := func(s map[string]float64) (events []*world.Event) {
		for i := range b.Events {
			e := &b.Events[i]
			quarter := s[name("consign_event_expected_orders", e)] * 900 / min(now.Sub(e.StartAt).Seconds(), 3600)
			if quarter >= 10 && s[name("consign_active_shoppers", e)] >= 5 {
				events = append(events, e)
			}
		}
		return events
	}
	s := r.Await(t, "much is expected, and shoppers are there", func(s map[string]float64) bool { return len(judged(s)) > 0 })
	for _, e := range judged(s) {
		if ratio := float64(len(recent[e.ID])) / s[name("consign_event_expected_orders", e)]; ratio < 0.3 {
			t.Errorf("%s of %s, a healthy platform, has %.2f of the orders that are expected", e.Slug, b.Clients.Get(e.ClientID).Slug, ratio)
		}
	}
	// Always of the same sale events: shoppers come to others and leave these. Sale events that end soon would vanish.
	watched := slices.DeleteFunc(judged(s), func(e *world.Event) bool { return e.EndAt.Sub(now) < 5*time.Minute })
	orders := func(s map[string]float64) (sum float64) {
		for _, e := range watched {
			for _, channel := range []string{"online", "pos"} {
				sum += s[fmt.Sprintf("consign_event_orders{channel=%q,client=%q,event=%q}", channel, b.Clients.Get(e.ClientID).Slug, e.Slug)]
			}
		}
		return sum
	}
	before := orders(s)
	r.Await(t, "somebody buys", func(s map[string]float64) bool { return orders(s) > before })
	if err := p.Faults().On(t.Context(), faults.SaleStalled, ""); err != nil {
		t.Fatal(err)
	}
	pause(t, p) // what was decided on before has happened, or will not
	stalled := float64(0)
	counted := map[[2]uint64]bool{}
	pb := p.Books()
	for i := range pb.Sales {
		for _, e := range watched {
			if sale := &pb.Sales[i]; sale.EventID == e.ID && !counted[[2]uint64{e.ID, sale.ShopifyOrderID}] {
				counted[[2]uint64{e.ID, sale.ShopifyOrderID}] = true
				stalled++
			}
		}
	}
	p.Resume()
	resumed := time.Now()
	s = r.Await(t, "three rounds later much is expected, and shoppers are there", func(s map[string]float64) bool {
		return s[`consignwatch_collector_last_success_timestamp_seconds{collector="orders",target="live"}`] > float64(resumed.Unix())+6 && len(judged(s)) > 0
	})
	if got := orders(s); got != stalled {
		t.Errorf("%v orders while nobody buys, and %v when that began", got, stalled)
	}
}

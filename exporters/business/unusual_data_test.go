package business

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/oracle"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// unusualPlatform is a paused platform that the test changes, and its exporter.
type unusualPlatform struct {
	p       *simulator.Platform
	r       *exportertest.Running
	metrics *catalog.Catalog

	// Clients: three with a sale event that goes on, and one that leaves.
	first, second, third, gone uint64
}

// unusual makes an unusualPlatform of one that stands still, and that the exporter reads.
func unusual(t *testing.T, p *simulator.Platform, r *exportertest.Running) *unusualPlatform {
	t.Helper()
	o := &unusualPlatform{p: p, r: r, metrics: shipped()}
	b := p.Books()
	all := []*uint64{&o.first, &o.second, &o.third}
	shown := map[uint64]int{}
	for i := range b.Events {
		if e := &b.Events[i]; b.Exported(e, time.Now()) {
			shown[e.ClientID]++
		}
	}
	// Those with the fewest sale events have room for more: a client has series of five.
	for _, c := range slices.SortedStableFunc(slices.Values(b.Clients), func(x, y world.Client) int { return cmp.Compare(shown[x.ID], shown[y.ID]) }) {
		_, selling := goingOn(b, c.ID)
		switch {
		case !c.Active:
		case selling && len(all) > 0:
			*all[0], all = c.ID, all[1:]
		case o.gone == 0:
			o.gone = c.ID
		}
	}
	if len(all) > 0 || o.gone == 0 {
		t.Fatal("the platform needs four active clients, three of them with a sale event that goes on")
	}
	return o
}

// client is a client, now.
func (o *unusualPlatform) client(id uint64) world.Client { return *o.p.Books().Clients.Get(id) }

// do changes the platform.
func (o *unusualPlatform) do(t *testing.T, what string, fill func(b *world.Books, c *store.Change)) {
	t.Helper()
	if err := o.p.Do(t.Context(), what, func(b *world.Books, c *store.Change) error { fill(b, c); return nil }); err != nil {
		t.Fatal(err)
	}
}

// await waits until the series equal the platform's data, with invalid label values folded as the contract wants it.
func (o *unusualPlatform) await(t *testing.T) map[string]float64 {
	t.Helper()
	b := o.p.Books()
	awaitExpectedOf(t, o.r, func(at time.Time) map[string]float64 { return o.expected(b, at) })
	return o.r.Series(t)
}

// expected is the series that the exporter can report: values outside a label's domain are `other`; series that cannot be added
// are left out then, and so is money of a currency that does not exist.
func (o *unusualPlatform) expected(b *world.Books, at time.Time) map[string]float64 {
	series := map[string]float64{}
	for _, s := range oracle.Truth(b, at) {
		m, _ := o.metrics.Lookup(s.Name)
		labels, odd := maps.Clone(s.Labels), false
		for i := range m.Labels {
			l := &m.Labels[i]
			if !l.Matches(labels[l.Name]) || l.Within != "" && labels[l.Within] == catalog.Other {
				labels[l.Name], odd = catalog.Other, true
			}
		}
		if odd && !m.Additive() || labels["currency"] == noSuchCurrency {
			continue
		}
		d := &dto.Metric{}
		for k, v := range labels {
			d.Label = append(d.Label, &dto.LabelPair{Name: &k, Value: &v})
		}
		series[exportertest.Name(s.Name, d)] += s.Value
	}
	return series
}

const noSuchCurrency = "XQZ"

// goingOn is a sale event of a client that goes on, with items.
func goingOn(b *world.Books, client uint64) (world.Event, bool) {
	for _, e := range b.Events {
		if e.ClientID == client && (e.Status == world.Active || e.Status == world.Markdown) {
			return e, true
		}
	}
	return world.Event{}, false
}

// saleEventOf is goingOn for a client that must have one.
func saleEventOf(t *testing.T, b *world.Books, client uint64) world.Event {
	t.Helper()
	e, ok := goingOn(b, client)
	if !ok {
		t.Fatalf("client %d has no sale event that goes on", client)
	}
	return e
}

// newEvent is a sale event without anything in it.
func newEvent(c *store.Change, client uint64, slug, name, currency string) world.Event {
	now := time.Now().UTC().Truncate(time.Microsecond)
	e := world.Event{
		ClientID: client, Slug: slug, Name: name, Status: world.Active, Currency: currency, MaxConsignors: 10,
		StartAt: now.Add(-time.Hour), EndAt: now.Add(48 * time.Hour), ReturnWindowEnd: now.Add(96 * time.Hour),
	}
	e.ID = c.NewID(e)
	return e
}

// sell adds a sold item for each amount, in minor units, with its sale, and returns the rows.
func sell(b *world.Books, c *store.Change, e world.Event, category uint64, amounts ...int64) (rows []world.Row) {
	for _, cents := range amounts {
		item := world.Item{EventID: e.ID, EventConsignorID: b.EventConsignors[0].ID, CategoryID: category, PriceCents: cents, SoldPriceCents: cents, Status: world.Sold,
			ListedAt: e.StartAt, SoldAt: e.StartAt, UpdatedAt: e.StartAt, SyncedAt: e.StartAt}
		item.ID = c.NewID(item)
		sale := world.Sale{EventID: e.ID, ItemID: item.ID, ShopifyOrderID: item.ID, AmountCents: cents, Currency: e.Currency, Channel: world.POS, SoldAt: e.StartAt}
		sale.ID = c.NewID(sale)
		rows = append(rows, item, sale)
	}
	c.Insert(rows...)
	return rows
}

// sum adds up the counters whose name begins so.
func sum(series map[string]float64, prefix string) float64 {
	n := 0.0
	for name, v := range series {
		if strings.HasPrefix(name, prefix) {
			n += v
		}
	}
	return n
}

// rejectedCount is the number of values that the exporter has rejected so far.
func rejectedCount(series map[string]float64) float64 {
	return sum(series, "consignwatch_label_values_rejected_total") + sum(series, "consignwatch_series_dropped_total")
}

// rejectedSeries lists them.
func rejectedSeries(series map[string]float64) string {
	var all []string
	for name, v := range series {
		if v != 0 && (strings.HasPrefix(name, "consignwatch_label_values_rejected_total") || strings.HasPrefix(name, "consignwatch_series_dropped_total")) {
			all = append(all, fmt.Sprintf("%s = %v", name, v))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// of lists the series with a label.
func of(series map[string]float64, label, value string) []string {
	var names []string
	for name := range business(series) {
		if strings.Contains(name, fmt.Sprintf("%s=%q", label, value)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestUnusualDataIsReported changes one platform in unusual ways. After each the series equal the platform's data.
func TestUnusualDataIsReported(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := filled(t, simulator.Config{DSN: dsn, Clients: 5, Events: 10, LiveEvents: 7, Items: 900, Seed: 21})
	o := unusual(t, p, startPatiently(t, dsn, quickPack(t)))
	o.await(t)
	o.testAll(t)
}

// testAll changes the platform in all unusual ways.
func (o *unusualPlatform) testAll(t *testing.T) {
	// The order matters: after the unusual slugs there are rejected values.
	for _, c := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"NULL is unknown, not zero", o.testNulls},
		{"names are in any language", o.testNames},
		{"a sale event is empty", o.testEmptyEvent},
		{"timestamps lie in the future", o.testFuture},
		{"a client and a sale event are renamed", o.testRename},
		{"a client is deactivated, comes back and is deleted", o.testClientGoes},
		{"a sale event is over for 14 days", o.testRetire},
		{"a sale event is cancelled", o.testCancel},
		{"currencies have 0, 2 and 3 decimals", o.testCurrencies},
		{"a sale is in another currency than its sale event", o.testForeignSale},
		{"prices are beyond what is exact", o.testHugePrices},
	} {
		t.Run(c.name, c.test)
		if n := rejectedCount(o.r.Series(t)); n != 0 {
			t.Fatalf("after %q: the exporter has refused %v values and series, and nothing was odd about a label:\n%s", c.name, n, rejectedSeries(o.r.Series(t)))
		}
	}
	t.Run("a currency does not exist", o.testNoSuchCurrency)
	t.Run("slugs lie outside the pattern", o.testUnusualSlugs)
	for name, v := range o.r.Series(t) {
		if strings.HasPrefix(name, "consignwatch_collector_failures_total") && v != 0 {
			t.Errorf("%s = %v: odd data failed a collection:\n%s", name, v, o.r.Log())
		}
	}
}

func (o *unusualPlatform) testNulls(t *testing.T) {
	o.do(t, "rows with nothing in them", func(b *world.Books, c *store.Change) {
		e := saleEventOf(t, b, o.first)
		for _, status := range []string{world.Active, world.Locked, world.Sold, world.Draft} {
			item := world.Item{EventID: e.ID, EventConsignorID: b.EventConsignors[0].ID, CategoryID: 1, PriceCents: 500, Status: status, UpdatedAt: e.StartAt}
			item.ID = c.NewID(item)
			c.Insert(item) // never listed, sold without a price, never synced
		}
		sale := world.Sale{EventID: e.ID, ItemID: b.Items[0].ID, ShopifyOrderID: 1, AmountCents: 100, Currency: e.Currency, Channel: world.Online, SoldAt: e.StartAt, IsReturned: true}
		sale.ID = c.NewID(sale)
		session := world.Session{ClientID: o.first, Role: "event_admin", StartedAt: e.StartAt, LastSeenAt: time.Now().UTC().Add(time.Hour)}
		session.ID = c.NewID(session)
		backup := world.Backup{Target: "images", StartedAt: e.StartAt}
		backup.ID = c.NewID(backup)
		ticket := world.SupportTicket{ClientID: o.first, Priority: "low", Status: world.Solved, Category: "other", OpenedAt: e.StartAt}
		ticket.ID = c.NewID(ticket)
		complete := newEvent(c, o.gone, "no-end", "Never completed", "USD")
		complete.Status = world.Complete // and completed_at is NULL
		c.Insert(sale, session, backup, ticket, complete)
	})
	o.await(t)
}

func (o *unusualPlatform) testNames(t *testing.T) {
	names := []string{"Zwergenflohmarkt Köln 👶", "子供服の委託販売", `"quoted" \ back'slashed`, strings.Repeat("ü", 95) + "end"}
	o.do(t, "names", func(b *world.Books, c *store.Change) {
		for i, name := range names {
			client := *b.Clients.Get(o.first)
			if i%2 == 0 {
				client.Name = name
				c.Update(client)
				continue
			}
			e := saleEventOf(t, b, map[int]uint64{1: o.second, 3: o.third}[i])
			e.Name = name
			c.Update(e)
		}
	})
	s := o.await(t)
	for _, name := range names[1:] {
		if len(of(s, "name", name)) != 1 {
			t.Errorf("%q is not in the scrape response", name)
		}
	}
}

func (o *unusualPlatform) testEmptyEvent(t *testing.T) {
	o.do(t, "a sale event without items", func(b *world.Books, c *store.Change) { c.Insert(newEvent(c, o.second, "empty", "Empty", "USD")) })
	s := o.await(t)
	labels := fmt.Sprintf(`{client=%q,event="empty"}`, o.client(o.second).Slug)
	for _, zero := range []string{"consign_active_shoppers", "consign_unsynced_items", "consign_event_unpaid_fees"} {
		if v, ok := s[zero+labels]; !ok || v != 0 {
			t.Errorf("%s%s = %v (exported: %t), want 0", zero, labels, v, ok)
		}
	}
}

func (o *unusualPlatform) testFuture(t *testing.T) {
	ahead := time.Now().UTC().Add(50 * time.Hour).Truncate(time.Microsecond)
	o.do(t, "a clock that jumps ahead", func(b *world.Books, c *store.Change) {
		e := saleEventOf(t, b, o.first)
		item := b.Items[0]
		item.UpdatedAt, item.Status = ahead, world.Active
		session := world.Session{ClientID: e.ClientID, EventID: e.ID, Role: "shopper", StartedAt: ahead, LastSeenAt: ahead}
		session.ID = c.NewID(session)
		run := world.SyncRun{ClientID: o.first, Kind: "orders", Outcome: world.Succeeded, FinishedAt: ahead}
		run.ID = c.NewID(run)
		backup := world.Backup{Target: "redis", Outcome: world.Succeeded, Bytes: 1, StartedAt: ahead, FinishedAt: ahead.Add(-time.Hour)} // and back
		backup.ID = c.NewID(backup)
		ticket := world.SupportTicket{ClientID: o.first, Priority: "urgent", Status: world.Solved, Category: "other", OpenedAt: ahead, FirstResponseAt: ahead.Add(-time.Minute), SolvedAt: ahead}
		ticket.ID = c.NewID(ticket)
		complete := newEvent(c, o.third, "tomorrow", "Completed tomorrow", "USD")
		complete.Status, complete.CompletedAt = world.Complete, ahead
		c.Update(item)
		c.Insert(session, run, backup, ticket, complete)
	})
	o.await(t)
}

func (o *unusualPlatform) testRename(t *testing.T) {
	var old world.Client
	var oldEvent world.Event
	before := o.r.Series(t)
	o.do(t, "new slugs", func(b *world.Books, c *store.Change) {
		old = *b.Clients.Get(o.first)
		oldEvent = saleEventOf(t, b, o.second)
		client, event := old, oldEvent
		client.Slug, event.Slug = "renamed-client", "renamed-event"
		c.Update(client, event)
	})
	s := o.await(t) // what has ended was read before, under the old name
	if n := len(of(s, "client", old.Slug)); n != 0 {
		t.Errorf("%d series of the old name", n)
	}
	if was, is := len(of(before, "client", old.Slug)), len(of(s, "client", "renamed-client")); was != is || was < 50 {
		t.Errorf("%d series of the old name became %d of the new one", was, is)
	}
	if n := len(of(s, "event", "renamed-event")); n < 10 {
		t.Errorf("%d series of the renamed sale event", n)
	}
}

func (o *unusualPlatform) testClientGoes(t *testing.T) {
	gone := o.client(o.gone)
	had := len(of(o.r.Series(t), "client", gone.Slug))
	absent := func(why string) {
		t.Helper()
		if names := of(o.await(t), "client", gone.Slug); len(names) != 0 {
			t.Errorf("%s: %d series are left: %s", why, len(names), names[0])
		}
	}
	active := func(on bool) {
		o.do(t, "active or not", func(b *world.Books, c *store.Change) {
			client := *b.Clients.Get(o.gone)
			client.Active = on
			c.Update(client)
		})
	}
	active(false)
	absent("deactivated")
	active(true)
	if n := len(of(o.await(t), "client", gone.Slug)); n != had || n < 50 {
		t.Errorf("%d series after it came back, had %d", n, had)
	}
	// All that belongs to the client stays behind, as in a platform that deletes carelessly.
	o.do(t, "delete the client", func(b *world.Books, c *store.Change) { c.Delete(*b.Clients.Get(o.gone)) })
	absent("deleted")
}

func (o *unusualPlatform) testRetire(t *testing.T) {
	var event world.Event
	completed := func(ago time.Duration) {
		o.do(t, "complete", func(b *world.Books, c *store.Change) {
			if event.ID == 0 {
				event = saleEventOf(t, b, o.second)
			}
			event.Status, event.CompletedAt = world.Complete, time.Now().UTC().Add(-ago).Truncate(time.Microsecond)
			c.Update(event)
		})
	}
	const retirement = 14 * 24 * time.Hour
	client := o.client(o.second).Slug
	stored := fmt.Sprintf("consign_client_stored_bytes{client=%q}", client)

	completed(retirement - time.Hour)
	s := o.await(t)
	bytes := s[stored]
	if len(of(s, "event", event.Slug)) < 10 {
		t.Errorf("the sale event has no series before its time: %v", of(s, "event", event.Slug))
	}
	completed(retirement - 2*time.Second)
	s = o.r.Await(t, "the series retire", func(s map[string]float64) bool {
		return !slices.ContainsFunc(of(s, "event", event.Slug), func(name string) bool { return strings.Contains(name, fmt.Sprintf("client=%q", client)) })
	})
	if s[stored] != bytes || bytes == 0 {
		t.Errorf("the client's images take %v bytes after the retirement, were %v: they are still there", s[stored], bytes)
	}
	o.await(t)
}

func (o *unusualPlatform) testCancel(t *testing.T) {
	var event world.Event
	o.do(t, "cancelled", func(b *world.Books, c *store.Change) {
		event = saleEventOf(t, b, o.third)
		event.Status = world.Cancelled
		c.Update(event)
	})
	client := o.client(o.third).Slug
	for _, name := range of(o.await(t), "client", client) {
		if strings.Contains(name, fmt.Sprintf("event=%q", event.Slug)) {
			t.Errorf("%s is exported of a cancelled sale event", name)
		}
	}
}

func (o *unusualPlatform) testCurrencies(t *testing.T) {
	o.do(t, "sales all over the world", func(b *world.Books, c *store.Change) {
		for slug, amounts := range map[string][]int64{
			"jpy": {123_456_789, 1},
			"usd": {10, 20},                       // 0.1 + 0.2 is not 0.3 in floating point
			"kwd": {1_234_567},                    // thousandths
			"idr": {50_000_00, 99},                // shown without decimals, counted with them
			"eur": {90_071_992_547_409_91 - 1, 1}, // 2^53 - 1 cents, the most that is exact
		} {
			e := newEvent(c, map[string]uint64{"jpy": o.first, "usd": o.second, "kwd": o.third, "idr": o.third, "eur": o.first}[slug], slug, slug, strings.ToUpper(slug))
			c.Insert(e)
			sell(b, c, e, 1, amounts...)
		}
	})
	s := o.await(t)
	for slug, want := range map[string]float64{"jpy": 123_456_790, "usd": 0.30, "kwd": 1234.567, "idr": 50_000.99, "eur": 90_071_992_547_409.91} {
		for _, metric := range []string{"consign_event_sales", "consign_items_value"} {
			found := 0
			for name, v := range business(s) {
				if strings.HasPrefix(name, metric+"{") && strings.Contains(name, fmt.Sprintf("event=%q", slug)) {
					found++
					if v != want {
						t.Errorf("%s = %v, want exactly %v", name, v, want)
					}
				}
			}
			if found != 1 {
				t.Errorf("%d series of %s for the sale event %s, want 1", found, metric, slug)
			}
		}
	}
}

func (o *unusualPlatform) testForeignSale(t *testing.T) {
	o.do(t, "yen in a Canadian sale event", func(b *world.Books, c *store.Change) {
		e := newEvent(c, o.first, "cad", "Canadian", "CAD")
		c.Insert(e)
		sell(b, c, e, 1, 2500)
		e.Currency = "JPY"
		sell(b, c, e, 1, 1_000_000)
	})
	s := o.await(t)
	client := o.client(o.first).Slug
	sums := map[string]float64{}
	for name, v := range business(s) {
		for _, currency := range []string{"CAD", "JPY"} {
			if strings.HasPrefix(name, "consign_event_sales{") && strings.Contains(name, fmt.Sprintf("client=%q,currency=%q,event=%q", client, currency, "cad")) {
				sums[currency] += v
			}
		}
	}
	if sums["CAD"] != 25 || sums["JPY"] != 1_000_000 {
		t.Errorf("sales are %v, want 25 CAD and 1000000 JPY", sums)
	}
}

// testHugePrices: sums of 2^53 minor units and more cost the client's series of the metric, until they are gone.
func (o *unusualPlatform) testHugePrices(t *testing.T) {
	var rows []world.Row
	o.do(t, "prices", func(b *world.Books, c *store.Change) {
		for client, cents := range map[uint64][]int64{o.second: {1 << 53}, o.third: {math.MaxInt64}} {
			e := newEvent(c, client, "huge", "Huge", "USD")
			c.Insert(e)
			rows = append(rows, e)
			rows = append(rows, sell(b, c, e, 1, cents...)...)
		}
	})
	s := o.await(t)
	for _, metric := range []string{"consign_event_sales", "consign_items_value"} {
		for client, want := range map[uint64]bool{o.first: true, o.second: false, o.third: false} {
			series := slices.DeleteFunc(of(s, "client", o.client(client).Slug), func(name string) bool { return !strings.HasPrefix(name, metric+"{") })
			if (len(series) > 0) != want {
				t.Errorf("client %s has %d series of %s, want any: %t", o.client(client).Slug, len(series), metric, want)
			}
		}
	}
	o.do(t, "prices are mended", func(_ *world.Books, c *store.Change) { c.Delete(rows...) })
	o.await(t)
}

func (o *unusualPlatform) testNoSuchCurrency(t *testing.T) {
	before := o.r.Series(t)
	o.do(t, "a typing error", func(b *world.Books, c *store.Change) {
		e := newEvent(c, o.second, "typo", "Typo", noSuchCurrency)
		c.Insert(e)
		sell(b, c, e, 1, 700)
	})
	s := o.await(t) // every other value stands, this sale event's counts too
	if n := len(of(s, "event", "typo")); n < 5 {
		t.Errorf("the sale event has %d series, want all but those of money", n)
	}
	for _, counter := range []string{`consignwatch_label_values_rejected_total{label="currency",metric="consign_event_sales"}`, `consignwatch_series_dropped_total{metric="consign_event_sales"}`} {
		o.r.Await(t, "the refusal is counted: "+counter, func(s map[string]float64) bool { return s[counter] > before[counter] })
	}
}

func (o *unusualPlatform) testUnusualSlugs(t *testing.T) {
	o.do(t, "slugs of every kind", func(b *world.Books, c *store.Change) {
		category := b.Categories[0]
		category.Slug = "Spiel & Spaß"
		client := *b.Clients.Get(o.second)
		client.Slug = "Nord und Süd"
		c.Update(category, client)
		for i, slug := range []string{"Été 2026", "-dash-first", "ALL CAPS", "söld"} { // each is `other`: their values are added up
			e := newEvent(c, o.first, slug, fmt.Sprintf("Odd %d", i), "USD")
			c.Insert(e)
			sell(b, c, e, 2, 100, 250)
		}
	})
	s := o.await(t)
	for _, label := range []string{"client", "event", "category"} {
		if len(of(s, label, catalog.Other)) == 0 {
			t.Errorf("no series with the label %s=other", label)
		}
		if n := sum(s, fmt.Sprintf("consignwatch_label_values_rejected_total{label=%q", label)); n == 0 {
			t.Errorf("the odd values of the label %s are not counted", label)
		}
	}
	for name := range business(s) {
		if strings.Contains(name, "Süd") || strings.Contains(name, "ALL CAPS") || strings.Contains(name, "Spaß") {
			t.Errorf("%s: an odd slug became a label value", name)
		}
	}
}

// A sale event is cancelled between the reading of the list and that of its values. That is not unusual.
func TestASaleEventThatIsCancelledAfterTheListWasReadIsNotRejected(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := filled(t, simulator.Config{DSN: dsn, Clients: 3, Events: 6, LiveEvents: 4, Items: 200, Seed: 3})
	list, queries, ok := strings.Cut(quickPack(t), "\nqueries:")
	if !ok {
		t.Fatal("the pack has no queries")
	}
	r := startPatiently(t, dsn, strings.ReplaceAll(list, "interval: 2s", "interval: 1h")+"\nqueries:"+queries)
	var info string
	r.Await(t, "a sale event", func(s map[string]float64) bool {
		for name := range s {
			if strings.HasPrefix(name, "consign_event_info{") && strings.Contains(name, `status="active"`) {
				info = name
				return true
			}
		}
		return false
	})
	if err := p.Do(t.Context(), "cancelled", func(b *world.Books, c *store.Change) error {
		for _, e := range b.Events {
			if strings.Contains(info, fmt.Sprintf("{client=%q,event=%q,", b.Clients.Get(e.ClientID).Slug, e.Slug)) {
				e.Status = world.Cancelled
				c.Update(e)
				return nil
			}
		}
		return fmt.Errorf("no sale event has the series %s", info)
	}); err != nil {
		t.Fatal(err)
	}
	s := r.Await(t, "it is gone", func(s map[string]float64) bool { return s[info] == 0 })
	if n := rejectedCount(s); n != 0 {
		t.Errorf("refused %v values and series:\n%s", n, rejectedSeries(s))
	}
}

package simulator

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator/oracle"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// filled returns a filled platform in a database of its own. Its default time limit is one that no busy machine reaches.
func filled(t *testing.T, config Config) (*Platform, *sql.DB) {
	t.Helper()
	if config.DSN == "" {
		config.DSN = serverstest.MariaDB(t)
	}
	if config.Timeout == 0 {
		config.Timeout = patience
	}
	p, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if err := p.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, serverstest.Open(t, config.DSN)
}

// noon is a fixed time.
func noon() time.Time { return time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC) }

func TestFillIsTheSameForTheSameSeed(t *testing.T) {
	t.Parallel()
	config := Config{Clients: 6, Events: 16, Items: 3000, Seed: 7, Speed: 60, Now: noon}
	first, db := filled(t, config)
	second, _ := filled(t, config)
	if diff := cmp.Diff(first.Truth(), second.Truth()); diff != "" {
		t.Errorf("two platforms of one seed differ (-first +second):\n%s", diff)
	}
	config.Seed = 8
	if third, _ := filled(t, config); cmp.Equal(first.Truth(), third.Truth()) {
		t.Error("another seed makes the same platform")
	}
	compareTables(t, first.Books(), db)
	checkHealthy(t, first.Books(), db, noon())
}

func TestAFreshPlatformTakesThePlaceOfAnOlderOne(t *testing.T) {
	t.Parallel()
	config := Config{DSN: serverstest.MariaDB(t), Clients: 6, Events: 8, Items: 500, Seed: 7, Speed: 60, Now: noon}
	_, db := filled(t, config)
	if _, err := db.ExecContext(t.Context(), "CREATE INDEX an_exporters ON clients (active)"); err != nil {
		t.Fatal(err)
	}
	config.Seed, config.Clients, config.Fresh = 8, 4, true
	second, _ := filled(t, config)
	compareTables(t, second.Books(), db)
	var kept int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_name = 'an_exporters'").Scan(&kept); err != nil || kept != 1 {
		t.Errorf("%d indexes of an exporter are left, %v", kept, err)
	}
}

func TestFillIsAsLargeAsAskedFor(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{Clients: 40, Events: 60, Items: 20_000, Seed: 1, Speed: 60, Now: noon})
	b := p.Books()
	if len(b.Clients) != 40 || len(b.Events) != 60 || len(b.Items) != 20_000 {
		t.Errorf("%d clients, %d sale events, %d items", len(b.Clients), len(b.Events), len(b.Items))
	}
	statuses, currencies := map[string]int{}, map[string]int{}
	for _, e := range b.Events {
		statuses[e.Status]++
		currencies[e.Currency]++
	}
	for _, status := range []string{world.Draft, world.Setup, world.Registration, world.Active, world.Markdown, world.Closed, world.Returns, world.Reconciliation, world.Complete, world.Cancelled} {
		if statuses[status] == 0 {
			t.Errorf("no sale event in status %s: %v", status, statuses)
		}
	}
	if len(currencies) != 4 {
		t.Errorf("currencies: %v", currencies)
	}
	seen := map[string]bool{}
	for _, s := range oracle.Truth(b, noon()) {
		seen[s.Name] = true
	}
	for _, name := range metricNames() {
		if !seen[name] {
			t.Errorf("no sample of %s", name)
		}
	}
	for name := range seen {
		if !cmp.Equal([]string{name}, intersect(metricNames(), name)) {
			t.Errorf("%s is not in the contract", name)
		}
	}
}

func intersect(names []string, name string) []string {
	for _, n := range names {
		if n == name {
			return []string{n}
		}
	}
	return nil
}

// metricNames are the metrics of the contract's section 2.
func metricNames() []string {
	return []string{
		"consign_client_info", "consign_event_info", "consign_event_start_timestamp_seconds", "consign_event_end_timestamp_seconds",
		"consign_active_shoppers", "consign_active_users", "consign_items", "consign_items_value",
		"consign_event_orders", "consign_event_sales", "consign_event_returns", "consign_event_consignors", "consign_event_unpaid_fees",
		"consign_volunteer_spots", "consign_dropoff_spots", "consign_dropoff_bookings", "consign_volunteer_bookings",
		"consign_unsynced_items", "consign_oldest_unsynced_item_timestamp_seconds", "consign_sync_last_success_timestamp_seconds",
		"consign_email_address_syncs", "consign_oldest_pending_email_sync_timestamp_seconds",
		"consign_settlements", "consign_settlements_amount", "consign_integrity_violations",
		"consign_support_tickets", "consign_oldest_open_ticket_timestamp_seconds", "consign_support_first_response_seconds",
		"consign_client_stored_bytes",
		"consign_backup_last_success_timestamp_seconds", "consign_backup_last_failure_timestamp_seconds", "consign_backup_size_bytes", "consign_backup_last_duration_seconds", "consign_backups_failed",
	}
}

func TestFillRefusesTablesWithRows(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	filled(t, Config{DSN: dsn})
	p, err := New(Config{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	err = p.Fill(t.Context())
	if want := "platform: fill: the database has 5 clients already; give it an empty one, or let it be emptied (Config.Fresh, or --fresh)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// compareTables compares the books with the database, by counts and sums of every table.
func compareTables(t *testing.T, b *world.Books, db *sql.DB) {
	t.Helper()
	got, want := map[string]int64{}, map[string]int64{}
	ask := func(label, query string) {
		rows, err := db.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		defer rows.Close()
		for rows.Next() {
			var key string
			var value int64
			if err := rows.Scan(&key, &value); err != nil {
				t.Fatalf("%s: %v", query, err)
			}
			got[label+" "+key] += value
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	for _, table := range world.AllTables() {
		ask("rows of", fmt.Sprintf("SELECT '%s', COUNT(*) FROM %[1]s", table.Title()))
		want["rows of "+table.Title()] = int64(table.Count(b))
	}
	micros := func(at time.Time) int64 {
		if at.IsZero() {
			return 0
		}
		return at.UnixMicro() % 1_000_000_007
	}
	const sqlMicros = "COALESCE(CAST(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', %s) %% 1000000007 AS SIGNED), 0)"
	sum := func(label, query string, columns ...any) { ask(label, fmt.Sprintf(query, columns...)) }
	m := func(column string) string { return fmt.Sprintf(sqlMicros, column) }
	yes := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}

	ask("clients", "SELECT CONCAT(slug, '|', name, '|', domain, '|', plan), active FROM clients")
	for _, r := range b.Clients {
		want["clients "+r.Slug+"|"+r.Name+"|"+r.Domain+"|"+r.Plan] += yes(r.Active)
	}
	sum("events", "SELECT CONCAT(client_id, slug, name, status, currency, max_consignors), %s + %s + %s + %s FROM events", m("start_at"), m("end_at"), m("return_window_end"), m("completed_at"))
	for _, r := range b.Events {
		want[fmt.Sprint("events ", r.ClientID, r.Slug+r.Name+r.Status+r.Currency, r.MaxConsignors)] += micros(r.StartAt) + micros(r.EndAt) + micros(r.ReturnWindowEnd) + micros(r.CompletedAt)
	}
	sum("consignors", "SELECT CONCAT(client_id, sync_status), SUM(active + %s + %s) FROM consignors GROUP BY client_id, sync_status", m("created_at"), m("last_sync_attempt"))
	for _, r := range b.Consignors {
		want[fmt.Sprint("consignors ", r.ClientID, r.SyncStatus)] += yes(r.Active) + micros(r.CreatedAt) + micros(r.LastSyncAttempt)
	}
	ask("participants", "SELECT CONCAT(event_id, type), SUM(fee_paid * 1000000007 + is_paid * 1000003 + volunteer_shift_count * 101 + total_earnings_cents) FROM event_consignors GROUP BY event_id, type")
	for _, r := range b.EventConsignors {
		want[fmt.Sprint("participants ", r.EventID, r.Type)] += yes(r.FeePaid)*1000000007 + yes(r.IsPaid)*1000003 + r.VolunteerShiftCount*101 + r.TotalEarningsCents
	}
	sum("items", "SELECT CONCAT_WS('|', event_id, status, category_id, transfer_count), SUM(price_cents + 7 * COALESCE(sold_price_cents, 0) + markdown_eligible + image_bytes + COALESCE(shopify_product_id, 0) + %s + %s + %s + %s) FROM items GROUP BY event_id, status, category_id, transfer_count",
		m("listed_at"), m("sold_at"), m("synced_at"), m("updated_at"))
	for _, r := range b.Items {
		price := int64(0)
		if !r.SoldAt.IsZero() {
			price = r.SoldPriceCents
		}
		want[fmt.Sprintf("items %d|%s|%d|%d", r.EventID, r.Status, r.CategoryID, r.TransferCount)] += r.PriceCents + 7*price + yes(r.MarkdownEligible) + r.ImageBytes + int64(r.ShopifyProductID) +
			micros(r.ListedAt) + micros(r.SoldAt) + micros(r.SyncedAt) + micros(r.UpdatedAt)
	}
	sum("sales", "SELECT CONCAT_WS('|', event_id, currency, channel, is_returned), SUM(amount_cents + item_id + shopify_order_id + %s + %s) FROM sales GROUP BY event_id, currency, channel, is_returned", m("sold_at"), m("returned_at"))
	for _, r := range b.Sales {
		want[fmt.Sprintf("sales %d|%s|%s|%d", r.EventID, r.Currency, r.Channel, yes(r.IsReturned))] += r.AmountCents + int64(r.ItemID) + int64(r.ShopifyOrderID) + micros(r.SoldAt) + micros(r.ReturnedAt)
	}
	ask("slots", "SELECT event_id, SUM(capacity * 1009 + remaining) FROM dropoff_slots GROUP BY event_id")
	for _, r := range b.DropoffSlots {
		want[fmt.Sprint("slots ", r.EventID)] += r.Capacity*1009 + r.Remaining
	}
	sum("drop-offs", "SELECT status, SUM(slot_id + event_consignor_id + %s + %s) FROM dropoff_bookings GROUP BY status", m("arrived_at"), m("completed_at"))
	for _, r := range b.DropoffBookings {
		want["drop-offs "+r.Status] += int64(r.SlotID) + int64(r.EventConsignorID) + micros(r.ArrivedAt) + micros(r.CompletedAt)
	}
	ask("shifts", "SELECT CONCAT(event_id, shift_type), SUM(capacity * 1009 + remaining) FROM volunteer_shifts GROUP BY event_id, shift_type")
	for _, r := range b.VolunteerShifts {
		want[fmt.Sprint("shifts ", r.EventID, r.ShiftType)] += r.Capacity*1009 + r.Remaining
	}
	ask("helpers", "SELECT status, SUM(shift_id + event_consignor_id) FROM volunteer_bookings GROUP BY status")
	for _, r := range b.VolunteerBookings {
		want["helpers "+r.Status] += int64(r.ShiftID) + int64(r.EventConsignorID)
	}
	sum("sessions", "SELECT CONCAT_WS('|', client_id, COALESCE(event_id, 0), role, ended_at IS NULL), SUM(%s + %s + %s) FROM sessions GROUP BY 1", m("started_at"), m("last_seen_at"), m("ended_at"))
	for _, r := range b.Sessions {
		want[fmt.Sprintf("sessions %d|%d|%s|%d", r.ClientID, r.EventID, r.Role, yes(r.EndedAt.IsZero()))] += micros(r.StartedAt) + micros(r.LastSeenAt) + micros(r.EndedAt)
	}
	sum("settlements", "SELECT CONCAT(event_id, status), SUM(amount_cents + event_consignor_id + %s + %s) FROM settlements GROUP BY event_id, status", m("created_at"), m("paid_at"))
	for _, r := range b.Settlements {
		want[fmt.Sprint("settlements ", r.EventID, r.Status)] += r.AmountCents + int64(r.EventConsignorID) + micros(r.CreatedAt) + micros(r.PaidAt)
	}
	sum("sync", "SELECT CONCAT(client_id, kind, outcome), SUM(%s) FROM sync_runs GROUP BY client_id, kind, outcome", m("finished_at"))
	for _, r := range b.SyncRuns {
		want[fmt.Sprint("sync ", r.ClientID, r.Kind+r.Outcome)] += micros(r.FinishedAt)
	}
	sum("backups", "SELECT CONCAT(target, COALESCE(outcome, '')), SUM(COALESCE(bytes, 0) + %s + %s) FROM backups GROUP BY target, outcome", m("started_at"), m("finished_at"))
	for _, r := range b.Backups {
		want["backups "+r.Target+r.Outcome] += r.Bytes + micros(r.StartedAt) + micros(r.FinishedAt)
	}
	sum("tickets", "SELECT CONCAT(client_id, priority, status, category), SUM(%s + %s + %s) FROM support_tickets GROUP BY client_id, priority, status, category", m("opened_at"), m("first_response_at"), m("solved_at"))
	for _, r := range b.SupportTickets {
		want[fmt.Sprint("tickets ", r.ClientID, r.Priority+r.Status+r.Category)] += micros(r.OpenedAt) + micros(r.FirstResponseAt) + micros(r.SolvedAt)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the books and the tables differ (-books +tables):\n%s", diff)
	}
}

// Do changes the books together with the database.
func TestDoKeepsBooksAndTablesTogether(t *testing.T) {
	t.Parallel()
	p, db := filled(t, Config{Clients: 4, Events: 8, Items: 400, Speed: 60})
	err := p.Do(t.Context(), "rename and delete", func(b *world.Books, c *store.Change) error {
		renamed := b.Clients[0]
		renamed.Slug, renamed.Name = "newly-named", `Nuée d'étoiles "\" 🧸`
		c.Update(renamed)
		c.Delete(b.Clients[1])
		e := b.Events[0]
		e.ID, e.Slug, e.Status = c.NewID(world.Event{}), "without-items", world.Active
		c.Insert(e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b := p.Books()
	compareTables(t, b, db)
	if b.ClientBySlug("newly-named") == nil || b.Clients.Get(2) != nil {
		t.Errorf("clients: %+v", b.Clients)
	}
	if truthOf(p, "consign_event_info", "client", "newly-named", "event", "without-items") != 1 {
		t.Error("the new sale event is not there")
	}
	livePlatform(t, p)
	waitFor(t, "life", func() bool { return p.State().Changes > 5 })
	pause(t, p)
	if s := p.State(); s.Failures > 0 {
		t.Errorf("life stumbles: %+v", s)
	}
	compareTables(t, p.Books(), db)
}

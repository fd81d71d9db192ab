package simulator

import (
	"database/sql"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/simulator/oracle"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// integritySQL returns the ten checks as SQL over the whole database, exported or not.
func integritySQL() map[string]string {
	return map[string]string{
		world.SoldWithoutSale:          `SELECT COUNT(*) FROM items i LEFT JOIN sales s ON s.item_id = i.id WHERE i.status = 'sold' AND s.id IS NULL`,
		world.SaleWithoutItem:          `SELECT COUNT(*) FROM sales s LEFT JOIN items i ON i.id = s.item_id WHERE i.id IS NULL`,
		world.NegativeRemaining:        `SELECT (SELECT COUNT(*) FROM dropoff_slots WHERE remaining < 0) + (SELECT COUNT(*) FROM volunteer_shifts WHERE remaining < 0)`,
		world.OverbookedSlot:           `SELECT (SELECT COUNT(*) FROM dropoff_slots s WHERE capacity < (SELECT COUNT(*) FROM dropoff_bookings b WHERE b.slot_id = s.id AND b.status <> 'cancelled')) + (SELECT COUNT(*) FROM volunteer_shifts s WHERE capacity < (SELECT COUNT(*) FROM volunteer_bookings b WHERE b.shift_id = s.id AND b.status <> 'cancelled'))`,
		world.DoubleDropoff:            `SELECT COUNT(*) FROM (SELECT event_consignor_id FROM dropoff_bookings WHERE status = 'scheduled' GROUP BY event_consignor_id HAVING COUNT(*) > 1) d`,
		world.TooManyTransfers:         `SELECT COUNT(*) FROM items WHERE transfer_count > 2`,
		world.PriceNotPositive:         `SELECT COUNT(*) FROM items WHERE status <> 'draft' AND price_cents <= 0`,
		world.SoldTwice:                `SELECT COUNT(*) FROM (SELECT i.id FROM items i JOIN sales s ON s.item_id = i.id WHERE s.is_returned = 0 GROUP BY i.id HAVING COUNT(*) > 1) d`,
		world.ReturnAfterWindow:        `SELECT COUNT(*) FROM sales s JOIN events e ON e.id = s.event_id WHERE s.is_returned = 1 AND s.returned_at > e.return_window_end`,
		world.PaidBeforeReconciliation: `SELECT COUNT(*) FROM event_consignors p JOIN events e ON e.id = p.event_id WHERE e.status IN ('draft', 'setup', 'registration', 'active', 'markdown', 'closed', 'returns', 'cancelled') AND (p.is_paid = 1 OR EXISTS (SELECT 1 FROM settlements s WHERE s.event_consignor_id = p.id AND s.status = 'paid'))`,
	}
}

func countViolations(t *testing.T, db *sql.DB) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	for check, query := range integritySQL() {
		var n int64
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", check, err)
		}
		found[check] = n
	}
	return found
}

// checkHealthy fails for any violation, in the books and in the tables, and for any wrong remaining number.
func checkHealthy(t *testing.T, b *world.Books, db *sql.DB, now time.Time) {
	t.Helper()
	for check, n := range countViolations(t, db) {
		if n != 0 {
			t.Errorf("%s: %d in the tables", check, n)
		}
	}
	for _, s := range oracle.Truth(b, now) {
		if s.Name == "consign_integrity_violations" && s.Value != 0 {
			t.Errorf("%s of %s: %g in the books", s.Labels["check"], s.Labels["client"], s.Value)
		}
	}
	for name, query := range map[string]string{
		"drop-off slots":          `SELECT COUNT(*) FROM dropoff_slots s WHERE remaining <> capacity - (SELECT COUNT(*) FROM dropoff_bookings b WHERE b.slot_id = s.id AND b.status <> 'cancelled')`,
		"volunteer shifts":        `SELECT COUNT(*) FROM volunteer_shifts s WHERE remaining <> capacity - (SELECT COUNT(*) FROM volunteer_bookings b WHERE b.shift_id = s.id AND b.status <> 'cancelled')`,
		"sold items without time": `SELECT COUNT(*) FROM items WHERE status = 'sold' AND (sold_at IS NULL OR sold_price_cents IS NULL)`,
		"sales of items not sold": `SELECT COUNT(*) FROM sales s JOIN items i ON i.id = s.item_id WHERE s.is_returned = 0 AND i.status <> 'sold'`,
		"items of other events":   `SELECT COUNT(*) FROM sales s JOIN items i ON i.id = s.item_id WHERE s.event_id <> i.event_id`,
		"foreign participants":    `SELECT COUNT(*) FROM items i JOIN event_consignors p ON p.id = i.event_consignor_id WHERE i.event_id <> p.event_id`,
		"times of tomorrow":       `SELECT COUNT(*) FROM items WHERE GREATEST(updated_at, COALESCE(sold_at, updated_at), COALESCE(synced_at, updated_at)) > '` + now.Format("2006-01-02 15:04:05.000000") + `'`,
	} {
		var n int
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n != 0 {
			t.Errorf("%s: %d are wrong", name, n)
		}
	}
}

func TestInjectViolationMakesExactlyAsManyViolations(t *testing.T) {
	t.Parallel()
	p, db := filled(t, Config{Clients: 4, Events: 10, Items: 1500, Seed: 3, Speed: 60})
	slug := p.Books().Clients[1].Slug
	total := map[string]int64{}
	for i, check := range world.Checks() {
		if err := p.InjectViolation(t.Context(), check, slug, i+1); err != nil {
			t.Fatal(err)
		}
		total[check] = int64(i + 1)
		// After each one: none may count for another check, too.
		for check, n := range countViolations(t, db) {
			if n != total[check] {
				t.Errorf("%s: %d in the tables, want %d", check, n, total[check])
			}
		}
		for _, s := range p.Truth() {
			if s.Name != "consign_integrity_violations" {
				continue
			}
			want := 0.0
			if s.Labels["client"] == slug {
				want = float64(total[s.Labels["check"]])
			}
			if s.Value != want {
				t.Errorf("%v: %g in the books, want %g", s.Labels, s.Value, want)
			}
		}
	}
	compareTables(t, p.Books(), db)
}

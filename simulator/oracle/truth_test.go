package oracle

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/simulator/world"
)

// A platform of a few rows, and its samples, worked out by hand.
func TestTruth(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const day = 24 * time.Hour
	b := &world.Books{
		Clients:    world.Rows[world.Client]{{ID: 1, Slug: "one", Name: "Öne", Plan: "starter", Active: true}, {ID: 2, Slug: "two", Name: "Two", Plan: "premium", Active: true}, {ID: 3, Slug: "gone", Name: "Gone", Plan: "starter"}},
		Categories: world.Rows[world.Category]{{ID: 1, Slug: "toys", Name: "Toys"}, {ID: 2, Slug: "books", Name: "Books"}},
		Events: world.Rows[world.Event]{
			{ID: 1, ClientID: 1, Slug: "sale", Name: "Sale", Status: world.Active, StartAt: ago(day), EndAt: now.Add(day), ReturnWindowEnd: now.Add(8 * day), Currency: "USD"},
			{ID: 2, ClientID: 2, Slug: "sale", Name: "セール", Status: world.Complete, StartAt: ago(20 * day), EndAt: ago(18 * day), ReturnWindowEnd: ago(15 * day), Currency: "JPY", CompletedAt: ago(14 * day)},
			{ID: 3, ClientID: 2, Slug: "old", Name: "Old", Status: world.Complete, Currency: "JPY", CompletedAt: ago(14*day + time.Microsecond)},
			{ID: 4, ClientID: 1, Slug: "draft", Name: "Draft", Status: world.Draft, Currency: "USD"},
			{ID: 5, ClientID: 1, Slug: "off", Name: "Off", Status: world.Cancelled, Currency: "USD"},
			{ID: 6, ClientID: 3, Slug: "sale", Name: "Sale", Status: world.Active, Currency: "USD"},
		},
		Consignors: world.Rows[world.Consignor]{
			{ID: 1, ClientID: 1, Active: true, SyncStatus: world.Completed},
			{ID: 2, ClientID: 1, Active: true, SyncStatus: world.Pending, CreatedAt: ago(time.Hour)},
			{ID: 3, ClientID: 1, Active: true, SyncStatus: world.Pending, CreatedAt: ago(day), LastSyncAttempt: ago(time.Minute)},
			{ID: 4, ClientID: 1, SyncStatus: world.Failed},
		},
		EventConsignors: world.Rows[world.EventConsignor]{
			{ID: 1, EventID: 1, ConsignorID: 1, Type: world.Regular, FeePaid: true, IsPaid: true}, // too early
			{ID: 2, EventID: 1, ConsignorID: 2, Type: world.Super},
			{ID: 3, EventID: 2, ConsignorID: 3, Type: world.Regular, FeePaid: true, IsPaid: true},
		},
		Items: world.Rows[world.Item]{
			{ID: 1, EventID: 1, EventConsignorID: 1, CategoryID: 1, PriceCents: 1000, Status: world.Sold, SoldPriceCents: 550, ImageBytes: 10, SoldAt: ago(time.Hour)},
			{ID: 2, EventID: 1, EventConsignorID: 1, CategoryID: 1, PriceCents: 199, Status: world.Active, ImageBytes: 20, UpdatedAt: ago(time.Hour)},
			{ID: 3, EventID: 1, EventConsignorID: 2, CategoryID: 1, PriceCents: 1, Status: world.Active, UpdatedAt: ago(2 * time.Hour), SyncedAt: ago(2 * time.Hour)},
			{ID: 4, EventID: 1, EventConsignorID: 2, CategoryID: 2, PriceCents: 0, Status: world.Locked, TransferCount: 3, UpdatedAt: ago(time.Minute), SyncedAt: ago(time.Hour)}, // two violations
			{ID: 5, EventID: 2, EventConsignorID: 3, CategoryID: 2, PriceCents: 700, Status: world.Returned, SoldPriceCents: 350, SoldAt: ago(19 * day)},
			{ID: 6, EventID: 3, CategoryID: 2, PriceCents: 700, Status: world.Sold, ImageBytes: 5}, // no sale; but not exported
			{ID: 7, EventID: 1, EventConsignorID: 2, CategoryID: 2, PriceCents: 300, Status: world.Draft, UpdatedAt: ago(day)},
		},
		Sales: world.Rows[world.Sale]{
			{ID: 1, EventID: 1, ItemID: 1, ShopifyOrderID: 11, AmountCents: 550, Currency: "USD", Channel: world.POS},
			{ID: 2, EventID: 1, ItemID: 1, ShopifyOrderID: 11, AmountCents: 250, Currency: "USD", Channel: world.POS},                                         // sold twice
			{ID: 3, EventID: 1, ItemID: 99, ShopifyOrderID: 12, AmountCents: 5, Currency: "USD", Channel: world.Online},                                       // no item
			{ID: 4, EventID: 2, ItemID: 5, ShopifyOrderID: 13, AmountCents: 350, Currency: "JPY", Channel: world.POS, IsReturned: true, ReturnedAt: ago(day)}, // too late
		},
		DropoffSlots:      world.Rows[world.DropoffSlot]{{ID: 1, EventID: 1, Capacity: 5, Remaining: 3}, {ID: 2, EventID: 1, Capacity: 1, Remaining: -1}},
		DropoffBookings:   world.Rows[world.DropoffBooking]{{ID: 1, SlotID: 1, EventConsignorID: 1, Status: world.Scheduled}, {ID: 2, SlotID: 1, EventConsignorID: 1, Status: world.Scheduled}, {ID: 3, SlotID: 1, EventConsignorID: 2, Status: world.Cancelled}},
		VolunteerShifts:   world.Rows[world.VolunteerShift]{{ID: 1, EventID: 1, ShiftType: "general_help", Capacity: 1, Remaining: 0}},
		VolunteerBookings: world.Rows[world.VolunteerBooking]{{ID: 1, ShiftID: 1, EventConsignorID: 1, Status: world.Completed}, {ID: 2, ShiftID: 1, EventConsignorID: 2, Status: world.Scheduled}},
		Sessions: world.Rows[world.Session]{
			{ID: 1, ClientID: 1, EventID: 1, Role: "shopper", LastSeenAt: ago(5 * time.Minute)},
			{ID: 2, ClientID: 1, EventID: 1, Role: "shopper", LastSeenAt: ago(5*time.Minute + time.Microsecond)},
			{ID: 3, ClientID: 1, EventID: 1, Role: "shopper", LastSeenAt: ago(time.Minute), EndedAt: ago(time.Minute)},
			{ID: 4, ClientID: 2, Role: "client_admin", LastSeenAt: now},
			{ID: 5, ClientID: 3, EventID: 6, Role: "shopper", LastSeenAt: now},
		},
		Settlements: world.Rows[world.Settlement]{
			{ID: 1, EventID: 2, EventConsignorID: 3, AmountCents: 1234, Status: world.Paid},
			{ID: 2, EventID: 1, EventConsignorID: 1, AmountCents: 1234, Status: world.Paid},
		},
		SyncRuns: world.Rows[world.SyncRun]{{ID: 1, ClientID: 1, Kind: "orders", Outcome: world.Succeeded, FinishedAt: ago(2 * time.Minute)}, {ID: 2, ClientID: 1, Kind: "orders", Outcome: world.Succeeded, FinishedAt: ago(time.Minute)}, {ID: 3, ClientID: 1, Kind: "orders", Outcome: world.Failed, FinishedAt: now}},
		Backups: world.Rows[world.Backup]{
			{ID: 1, Target: "mysql", Outcome: world.Succeeded, Bytes: 99, StartedAt: ago(time.Hour), FinishedAt: ago(59 * time.Minute)},
			{ID: 2, Target: "mysql", Outcome: world.Failed, StartedAt: ago(2 * time.Minute), FinishedAt: ago(time.Minute)},
			{ID: 3, Target: "mysql", Outcome: world.Failed, StartedAt: ago(8 * day), FinishedAt: ago(8 * day)},
			{ID: 4, Target: "redis", StartedAt: ago(time.Minute)},
		},
		SupportTickets: world.Rows[world.SupportTicket]{
			{ID: 1, ClientID: 1, Priority: "high", Status: world.Open, OpenedAt: ago(30 * day)},
			{ID: 2, ClientID: 1, Priority: "high", Status: world.Solved, OpenedAt: ago(7*day + time.Hour), FirstResponseAt: ago(7 * day), SolvedAt: ago(day)},
			{ID: 3, ClientID: 1, Priority: "high", Status: world.Waiting, OpenedAt: ago(3 * time.Hour), FirstResponseAt: now},
			{ID: 4, ClientID: 1, Priority: "low", Status: world.Solved, OpenedAt: ago(20 * day), FirstResponseAt: ago(20 * day), SolvedAt: ago(8 * day)},
		},
	}
	want := map[string]float64{
		"client_info client=one name=Öne plan=starter":                          1,
		"client_info client=two name=Two plan=premium":                          1,
		"event_info client=one event=sale name=Sale status=active":              1,
		"event_info client=two event=sale name=セール status=complete":             1,
		"event_start_timestamp_seconds client=one event=sale":                   seconds(ago(day)),
		"event_start_timestamp_seconds client=two event=sale":                   seconds(ago(20 * day)),
		"event_end_timestamp_seconds client=one event=sale":                     seconds(now.Add(day)),
		"event_end_timestamp_seconds client=two event=sale":                     seconds(ago(18 * day)),
		"active_shoppers client=one event=sale":                                 1,
		"active_users client=one role=shopper":                                  1,
		"active_users client=two role=client_admin":                             1,
		"items category=toys client=one event=sale state=sold":                  1,
		"items category=toys client=one event=sale state=active":                2,
		"items category=books client=one event=sale state=locked":               1,
		"items category=books client=one event=sale state=draft":                1,
		"items category=books client=two event=sale state=returned":             1,
		"items_value client=one currency=USD event=sale state=sold":             5.5,
		"items_value client=one currency=USD event=sale state=active":           2,
		"items_value client=one currency=USD event=sale state=locked":           0,
		"items_value client=one currency=USD event=sale state=draft":            3,
		"items_value client=two currency=JPY event=sale state=returned":         700,
		"event_orders channel=pos client=one event=sale":                        1,
		"event_orders channel=online client=one event=sale":                     1,
		"event_orders channel=pos client=two event=sale":                        1,
		"event_sales category=toys client=one currency=USD event=sale":          8,
		"event_sales category=other client=one currency=USD event=sale":         0.05,
		"event_returns category=books client=two event=sale":                    1,
		"event_consignors client=one event=sale type=regular":                   1,
		"event_consignors client=one event=sale type=super":                     1,
		"event_consignors client=two event=sale type=regular":                   1,
		"event_unpaid_fees client=one event=sale":                               1,
		"event_unpaid_fees client=two event=sale":                               0,
		"volunteer_spots client=one event=sale shift=general_help state=filled": 1,
		"volunteer_spots client=one event=sale shift=general_help state=open":   0,
		"volunteer_bookings client=one event=sale status=completed":             1,
		"volunteer_bookings client=one event=sale status=scheduled":             1,
		"dropoff_spots client=one event=sale state=filled":                      4,
		"dropoff_spots client=one event=sale state=open":                        3,
		"dropoff_bookings client=one event=sale status=scheduled":               2,
		"dropoff_bookings client=one event=sale status=cancelled":               1,
		"unsynced_items client=one event=sale":                                  2,
		"unsynced_items client=two event=sale":                                  0,
		"oldest_unsynced_item_timestamp_seconds client=one":                     seconds(ago(time.Hour)),
		"sync_last_success_timestamp_seconds client=one kind=orders":            seconds(ago(time.Minute)),
		"email_address_syncs client=one status=completed":                       1,
		"email_address_syncs client=one status=pending":                         2,
		"oldest_pending_email_sync_timestamp_seconds client=one":                seconds(ago(time.Hour)),
		"settlements client=one event=sale status=paid":                         1,
		"settlements client=two event=sale status=paid":                         1,
		"settlements_amount client=one currency=USD event=sale status=paid":     12.34,
		"settlements_amount client=two currency=JPY event=sale status=paid":     1234,
		"integrity_violations check=sold_twice client=one":                      1,
		"integrity_violations check=sale_without_item client=one":               1,
		"integrity_violations check=too_many_transfers client=one":              1,
		"integrity_violations check=price_not_positive client=one":              1,
		"integrity_violations check=negative_remaining client=one":              1,
		"integrity_violations check=overbooked_slot client=one":                 1,
		"integrity_violations check=double_dropoff client=one":                  1,
		"integrity_violations check=paid_before_reconciliation client=one":      1,
		"integrity_violations check=return_after_window client=two":             1,
		"support_tickets client=one priority=high status=open":                  1,
		"support_tickets client=one priority=high status=solved":                1,
		"support_tickets client=one priority=high status=waiting":               1,
		"oldest_open_ticket_timestamp_seconds client=one priority=high":         seconds(ago(30 * day)),
		"support_first_response_seconds client=one priority=high":               7200,
		"client_stored_bytes client=one":                                        30,
		"client_stored_bytes client=two":                                        5,
		"backup_last_success_timestamp_seconds target=mysql":                    seconds(ago(59 * time.Minute)),
		"backup_last_failure_timestamp_seconds target=mysql":                    seconds(ago(time.Minute)),
		"backup_size_bytes target=mysql":                                        99,
		"backup_last_duration_seconds target=mysql":                             60,
		"backups_failed target=mysql":                                           1,
		"backups_failed target=redis":                                           0,
	}
	for _, client := range []string{"one", "two"} { // zeros that are said
		for _, role := range world.Roles() {
			want["active_users client="+client+" role="+role] += 0
		}
		for _, check := range world.Checks() {
			want["integrity_violations check="+check+" client="+client] += 0
		}
	}
	got := map[string]float64{}
	for _, s := range Truth(b, now) {
		labels := strings.Split(strings.TrimSuffix(s.Key(), "\x00"), "\x00")
		key := strings.TrimPrefix(s.Name, "consign_")
		for i := 0; i+1 < len(labels); i += 2 {
			key += " " + labels[i] + "=" + labels[i+1]
		}
		if _, twice := got[key]; twice {
			t.Errorf("twice: %s", key)
		}
		got[key] = s.Value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("truth (-want +got):\n%s", diff)
	}
}

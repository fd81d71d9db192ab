package world

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// column is a column of a table, with the value of a row.
type column[T Row] struct {
	name  string
	value func(*T) any // uint64, int64, string, bool, time.Time or nil
	fixed bool         // written on insert only: keys and personal columns
}

// table maps a Go type to a database table, to the books and to the index.
type table[T Row] struct {
	Name    string
	rows    func(*Books) *Rows[T]
	index   func(*Index, *T, bool) // updates the index for an inserted or changed row (true) or a deleted one (false)
	columns []column[T]            // the primary key first
}

// Table is a table without its type.
type Table interface {
	Title() string
	Count(*Books) int
	// Put inserts or replaces a row in the books and the index, and returns what was there before, or nil.
	Put(*Books, *Index, Row) (before Row)
	Remove(*Books, *Index, []Row)
	copyRows(from, to *Books)
	indexAll(*Index, *Books)

	InsertStatement([]Row) string
	UpdateStatement(Row) string
	DeleteStatement([]Row) string
	// InsertStatements returns statements of about a size that insert all rows, with their numbers of rows.
	InsertStatements(b *Books, size int) iter.Seq2[string, int]
}

func (t *table[T]) Title() string { return t.Name }

func (t *table[T]) Count(b *Books) int { return len(*t.rows(b)) }

func (t *table[T]) Put(b *Books, x *Index, r Row) (before Row) {
	row := r.(T)
	if old := t.rows(b).Get(row.RowID()); old != nil {
		before = *old
	}
	t.rows(b).Put(row)
	if t.index != nil {
		t.index(x, &row, true)
	}
	return before
}

func (t *table[T]) Remove(b *Books, x *Index, all []Row) {
	t.rows(b).Remove(all)
	if t.index == nil {
		return
	}
	for _, r := range all {
		row := r.(T)
		t.index(x, &row, false)
	}
}

func (t *table[T]) copyRows(from, to *Books) { *t.rows(to) = slices.Clone(*t.rows(from)) }

func (t *table[T]) indexAll(x *Index, b *Books) {
	rows := *t.rows(b)
	for i := range rows {
		if t.index != nil {
			t.index(x, &rows[i], true)
		}
	}
}

// AllTables is every table of the schema, in the order in which they are filled.
func AllTables() []Table {
	return []Table{
		Client{}.Table(), ShopifyAccess{}.Table(), Event{}.Table(), Category{}.Table(), Consignor{}.Table(),
		EventConsignor{}.Table(), Item{}.Table(), Sale{}.Table(), DropoffSlot{}.Table(), DropoffBooking{}.Table(),
		VolunteerShift{}.Table(), VolunteerBooking{}.Table(), Session{}.Table(), Settlement{}.Table(),
		SyncRun{}.Table(), Backup{}.Table(), SupportTicket{}.Table(),
	}
}

// The tables. None of these variables ever changes.
var (
	clientsTable = &table[Client]{Name: "clients", rows: func(b *Books) *Rows[Client] { return &b.Clients },
		columns: []column[Client]{
			{"id", func(r *Client) any { return r.ID }, true},
			{"slug", func(r *Client) any { return r.Slug }, false},
			{"name", func(r *Client) any { return r.Name }, false},
			{"domain", func(r *Client) any { return r.Domain }, false},
			{"plan", func(r *Client) any { return r.Plan }, false},
			{"active", func(r *Client) any { return r.Active }, false},
			{"created_at", func(r *Client) any { return r.CreatedAt }, true},
		}}

	shopifyAccessTable = &table[ShopifyAccess]{Name: "client_shopify_access", rows: func(b *Books) *Rows[ShopifyAccess] { return &b.ShopifyAccess },
		columns: []column[ShopifyAccess]{
			{"client_id", func(r *ShopifyAccess) any { return r.ClientID }, true},
			{"shop_domain", func(r *ShopifyAccess) any { return r.ShopDomain }, false},
			{"access_token", func(r *ShopifyAccess) any { return FakeToken(r.ClientID) }, true},
			{"token_expires_at", func(r *ShopifyAccess) any { return r.TokenExpiresAt }, false},
			{"active", func(r *ShopifyAccess) any { return r.Active }, false},
		}}

	eventsTable = &table[Event]{Name: "events", rows: func(b *Books) *Rows[Event] { return &b.Events }, index: (*Index).event,
		columns: []column[Event]{
			{"id", func(r *Event) any { return r.ID }, true},
			{"client_id", func(r *Event) any { return r.ClientID }, true},
			{"slug", func(r *Event) any { return r.Slug }, false},
			{"name", func(r *Event) any { return r.Name }, false},
			{"status", func(r *Event) any { return r.Status }, false},
			{"start_at", func(r *Event) any { return r.StartAt }, false},
			{"end_at", func(r *Event) any { return r.EndAt }, false},
			{"return_window_end", func(r *Event) any { return r.ReturnWindowEnd }, false},
			{"max_consignors", func(r *Event) any { return r.MaxConsignors }, false},
			{"currency", func(r *Event) any { return r.Currency }, false},
			{"completed_at", func(r *Event) any { return r.CompletedAt }, false},
		}}

	categoriesTable = &table[Category]{Name: "categories", rows: func(b *Books) *Rows[Category] { return &b.Categories },
		columns: []column[Category]{
			{"id", func(r *Category) any { return r.ID }, true},
			{"slug", func(r *Category) any { return r.Slug }, false},
			{"name", func(r *Category) any { return r.Name }, false},
		}}

	consignorsTable = &table[Consignor]{Name: "consignors", rows: func(b *Books) *Rows[Consignor] { return &b.Consignors }, index: (*Index).consignor,
		columns: []column[Consignor]{
			{"id", func(r *Consignor) any { return r.ID }, true},
			{"client_id", func(r *Consignor) any { return r.ClientID }, true},
			{"email", func(r *Consignor) any { return FakeMail(r.ID) }, true},
			{"name", func(r *Consignor) any { return fakeName(r.ID) }, true},
			{"active", func(r *Consignor) any { return r.Active }, false},
			{"created_at", func(r *Consignor) any { return r.CreatedAt }, true},
			{"sync_status", func(r *Consignor) any { return r.SyncStatus }, false},
			{"last_sync_attempt", func(r *Consignor) any { return r.LastSyncAttempt }, false},
		}}

	eventConsignorsTable = &table[EventConsignor]{Name: "event_consignors", rows: func(b *Books) *Rows[EventConsignor] { return &b.EventConsignors }, index: (*Index).eventConsignor,
		columns: []column[EventConsignor]{
			{"id", func(r *EventConsignor) any { return r.ID }, true},
			{"event_id", func(r *EventConsignor) any { return r.EventID }, true},
			{"consignor_id", func(r *EventConsignor) any { return r.ConsignorID }, true},
			{"type", func(r *EventConsignor) any { return r.Type }, false},
			{"fee_paid", func(r *EventConsignor) any { return r.FeePaid }, false},
			{"volunteer_shift_count", func(r *EventConsignor) any { return r.VolunteerShiftCount }, false},
			{"total_earnings_cents", func(r *EventConsignor) any { return r.TotalEarningsCents }, false},
			{"is_paid", func(r *EventConsignor) any { return r.IsPaid }, false},
			{"created_at", func(r *EventConsignor) any { return r.CreatedAt }, true},
		}}

	ItemsTable = &table[Item]{Name: "items", rows: func(b *Books) *Rows[Item] { return &b.Items }, index: (*Index).item,
		columns: []column[Item]{
			{"id", func(r *Item) any { return r.ID }, true},
			{"event_id", func(r *Item) any { return r.EventID }, true},
			{"event_consignor_id", func(r *Item) any { return r.EventConsignorID }, true},
			{"category_id", func(r *Item) any { return r.CategoryID }, false},
			{"shopify_product_id", func(r *Item) any { return orNull(r.ShopifyProductID) }, false},
			{"title", func(r *Item) any { return FakeTitle(r.ID, r.CategoryID) }, true},
			{"price_cents", func(r *Item) any { return r.PriceCents }, false},
			{"status", func(r *Item) any { return r.Status }, false},
			{"markdown_eligible", func(r *Item) any { return r.MarkdownEligible }, false},
			{"transfer_count", func(r *Item) any { return r.TransferCount }, false},
			{"sold_price_cents", func(r *Item) any { return nullUnless(!r.SoldAt.IsZero(), r.SoldPriceCents) }, false},
			{"image_bytes", func(r *Item) any { return r.ImageBytes }, false},
			{"listed_at", func(r *Item) any { return r.ListedAt }, false},
			{"sold_at", func(r *Item) any { return r.SoldAt }, false},
			{"synced_at", func(r *Item) any { return r.SyncedAt }, false},
			{"updated_at", func(r *Item) any { return r.UpdatedAt }, false},
		}}

	SalesTable = &table[Sale]{Name: "sales", rows: func(b *Books) *Rows[Sale] { return &b.Sales }, index: (*Index).sale,
		columns: []column[Sale]{
			{"id", func(r *Sale) any { return r.ID }, true},
			{"event_id", func(r *Sale) any { return r.EventID }, true},
			{"item_id", func(r *Sale) any { return r.ItemID }, true},
			{"shopify_order_id", func(r *Sale) any { return r.ShopifyOrderID }, true},
			{"amount_cents", func(r *Sale) any { return r.AmountCents }, false},
			{"currency", func(r *Sale) any { return r.Currency }, true},
			{"channel", func(r *Sale) any { return r.Channel }, true},
			{"sold_at", func(r *Sale) any { return r.SoldAt }, true},
			{"is_returned", func(r *Sale) any { return r.IsReturned }, false},
			{"returned_at", func(r *Sale) any { return r.ReturnedAt }, false},
			{"shopper_code", func(r *Sale) any { return fakeShopper(r.ShopifyOrderID) }, true},
		}}

	dropoffSlotsTable = &table[DropoffSlot]{Name: "dropoff_slots", rows: func(b *Books) *Rows[DropoffSlot] { return &b.DropoffSlots }, index: (*Index).slot,
		columns: []column[DropoffSlot]{
			{"id", func(r *DropoffSlot) any { return r.ID }, true},
			{"event_id", func(r *DropoffSlot) any { return r.EventID }, true},
			{"start_at", func(r *DropoffSlot) any { return r.StartAt }, false},
			{"capacity", func(r *DropoffSlot) any { return r.Capacity }, false},
			{"remaining", func(r *DropoffSlot) any { return r.Remaining }, false},
		}}

	dropoffBookingsTable = &table[DropoffBooking]{Name: "dropoff_bookings", rows: func(b *Books) *Rows[DropoffBooking] { return &b.DropoffBookings }, index: (*Index).dropoffBooking,
		columns: []column[DropoffBooking]{
			{"id", func(r *DropoffBooking) any { return r.ID }, true},
			{"slot_id", func(r *DropoffBooking) any { return r.SlotID }, true},
			{"event_consignor_id", func(r *DropoffBooking) any { return r.EventConsignorID }, true},
			{"status", func(r *DropoffBooking) any { return r.Status }, false},
			{"arrived_at", func(r *DropoffBooking) any { return r.ArrivedAt }, false},
			{"completed_at", func(r *DropoffBooking) any { return r.CompletedAt }, false},
		}}

	volunteerShiftsTable = &table[VolunteerShift]{Name: "volunteer_shifts", rows: func(b *Books) *Rows[VolunteerShift] { return &b.VolunteerShifts }, index: (*Index).shift,
		columns: []column[VolunteerShift]{
			{"id", func(r *VolunteerShift) any { return r.ID }, true},
			{"event_id", func(r *VolunteerShift) any { return r.EventID }, true},
			{"shift_type", func(r *VolunteerShift) any { return r.ShiftType }, false},
			{"start_at", func(r *VolunteerShift) any { return r.StartAt }, false},
			{"end_at", func(r *VolunteerShift) any { return r.EndAt }, false},
			{"capacity", func(r *VolunteerShift) any { return r.Capacity }, false},
			{"remaining", func(r *VolunteerShift) any { return r.Remaining }, false},
		}}

	volunteerBookingsTable = &table[VolunteerBooking]{Name: "volunteer_bookings", rows: func(b *Books) *Rows[VolunteerBooking] { return &b.VolunteerBookings }, index: (*Index).volunteerBooking,
		columns: []column[VolunteerBooking]{
			{"id", func(r *VolunteerBooking) any { return r.ID }, true},
			{"shift_id", func(r *VolunteerBooking) any { return r.ShiftID }, true},
			{"event_consignor_id", func(r *VolunteerBooking) any { return r.EventConsignorID }, true},
			{"status", func(r *VolunteerBooking) any { return r.Status }, false},
		}}

	sessionsTable = &table[Session]{Name: "sessions", rows: func(b *Books) *Rows[Session] { return &b.Sessions }, index: (*Index).Session,
		columns: []column[Session]{
			{"id", func(r *Session) any { return r.ID }, true},
			{"client_id", func(r *Session) any { return r.ClientID }, true},
			{"event_id", func(r *Session) any { return orNull(r.EventID) }, true},
			{"role", func(r *Session) any { return r.Role }, true},
			{"started_at", func(r *Session) any { return r.StartedAt }, true},
			{"last_seen_at", func(r *Session) any { return r.LastSeenAt }, false},
			{"ended_at", func(r *Session) any { return r.EndedAt }, false},
		}}

	settlementsTable = &table[Settlement]{Name: "settlements", rows: func(b *Books) *Rows[Settlement] { return &b.Settlements }, index: (*Index).settlement,
		columns: []column[Settlement]{
			{"id", func(r *Settlement) any { return r.ID }, true},
			{"event_id", func(r *Settlement) any { return r.EventID }, true},
			{"event_consignor_id", func(r *Settlement) any { return r.EventConsignorID }, true},
			{"amount_cents", func(r *Settlement) any { return r.AmountCents }, false},
			{"status", func(r *Settlement) any { return r.Status }, false},
			{"created_at", func(r *Settlement) any { return r.CreatedAt }, true},
			{"paid_at", func(r *Settlement) any { return r.PaidAt }, false},
		}}

	syncRunsTable = &table[SyncRun]{Name: "sync_runs", rows: func(b *Books) *Rows[SyncRun] { return &b.SyncRuns },
		columns: []column[SyncRun]{
			{"id", func(r *SyncRun) any { return r.ID }, true},
			{"client_id", func(r *SyncRun) any { return r.ClientID }, true},
			{"kind", func(r *SyncRun) any { return r.Kind }, true},
			{"outcome", func(r *SyncRun) any { return r.Outcome }, false},
			{"finished_at", func(r *SyncRun) any { return r.FinishedAt }, false},
		}}

	backupsTable = &table[Backup]{Name: "backups", rows: func(b *Books) *Rows[Backup] { return &b.Backups },
		columns: []column[Backup]{
			{"id", func(r *Backup) any { return r.ID }, true},
			{"target", func(r *Backup) any { return r.Target }, true},
			{"outcome", func(r *Backup) any { return nullUnless(r.Outcome != "", r.Outcome) }, false},
			{"bytes", func(r *Backup) any { return nullUnless(r.Bytes > 0, r.Bytes) }, false},
			{"started_at", func(r *Backup) any { return r.StartedAt }, true},
			{"finished_at", func(r *Backup) any { return r.FinishedAt }, false},
		}}

	supportTicketsTable = &table[SupportTicket]{Name: "support_tickets", rows: func(b *Books) *Rows[SupportTicket] { return &b.SupportTickets }, index: (*Index).ticket,
		columns: []column[SupportTicket]{
			{"id", func(r *SupportTicket) any { return r.ID }, true},
			{"client_id", func(r *SupportTicket) any { return r.ClientID }, true},
			{"priority", func(r *SupportTicket) any { return r.Priority }, false},
			{"status", func(r *SupportTicket) any { return r.Status }, false},
			{"category", func(r *SupportTicket) any { return r.Category }, true},
			{"opened_at", func(r *SupportTicket) any { return r.OpenedAt }, true},
			{"first_response_at", func(r *SupportTicket) any { return r.FirstResponseAt }, false},
			{"solved_at", func(r *SupportTicket) any { return r.SolvedAt }, false},
		}}
)

func (Client) Table() Table           { return clientsTable }
func (ShopifyAccess) Table() Table    { return shopifyAccessTable }
func (Event) Table() Table            { return eventsTable }
func (Category) Table() Table         { return categoriesTable }
func (Consignor) Table() Table        { return consignorsTable }
func (EventConsignor) Table() Table   { return eventConsignorsTable }
func (Item) Table() Table             { return ItemsTable }
func (Sale) Table() Table             { return SalesTable }
func (DropoffSlot) Table() Table      { return dropoffSlotsTable }
func (DropoffBooking) Table() Table   { return dropoffBookingsTable }
func (VolunteerShift) Table() Table   { return volunteerShiftsTable }
func (VolunteerBooking) Table() Table { return volunteerBookingsTable }
func (Session) Table() Table          { return sessionsTable }
func (Settlement) Table() Table       { return settlementsTable }
func (SyncRun) Table() Table          { return syncRunsTable }
func (Backup) Table() Table           { return backupsTable }
func (SupportTicket) Table() Table    { return supportTicketsTable }

func orNull(id uint64) any { return nullUnless(id != 0, id) }

func nullUnless(ok bool, value any) any {
	if ok {
		return value
	}
	return nil
}

// Placeholders for personal data and secrets.

// FakeToken returns the access token of a client's shop.
func FakeToken(id uint64) string { return fmt.Sprintf("shpat_not-a-token-%012x", id*2654435761) }

// FakeMail returns the email address of a consignor.
func FakeMail(id uint64) string { return fmt.Sprintf("consignor-%d@mail.example", id) }

func fakeName(id uint64) string { return fmt.Sprintf("Consignor No. %d", id) }

func fakeShopper(order uint64) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	var code strings.Builder
	for i := range 9 {
		if i == 3 || i == 6 {
			code.WriteByte('-')
		}
		code.WriteByte(letters[order%26])
		order = order/26 + 7*order%101
	}
	return code.String()
}

package world

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
)

// column is a column of a table: a field of its rows, or derived from them.
type column[T Row] struct {
	name   string
	field  int // its index
	derive func(*T) any
	fixed  bool // written on insert only: keys and personal columns
	null   bool // the zero value is NULL
}

// table maps a Go type to a database table, to the books and to the index.
type table[T Row] struct {
	Name    string
	rows    func(*Books) *Rows[T]
	index   func(*Index, *T, bool) // updates the index for an inserted or changed row (true) or a deleted one (false); may be nil
	columns []column[T]            // the primary key first
}

// newTable makes a table. Its columns are the fields with a tag, and those that are derived.
func newTable[T Row](name string, rows func(*Books) *Rows[T], index func(*Index, *T, bool), derived ...column[T]) *table[T] {
	t := &table[T]{Name: name, rows: rows, index: index}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		tag, ok := f.Tag.Lookup("column")
		if !ok {
			continue
		}
		options := strings.Split(tag, ",")
		t.columns = append(t.columns, column[T]{
			name: options[0], field: f.Index[0], fixed: slices.Contains(options, "fixed"), null: slices.Contains(options, "null"),
		})
	}
	t.columns = append(t.columns, derived...)
	return t
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
	// InsertStatements returns statements that insert all rows, so many at the most each, with their numbers of rows.
	InsertStatements(b *Books, n int) iter.Seq2[string, int]
}

func (t *table[T]) Title() string { return t.Name }

func (t *table[T]) Count(b *Books) int { return len(*t.rows(b)) }

func (t *table[T]) Put(b *Books, x *Index, r Row) (before Row) {
	row := r.(T)
	if old := t.rows(b).Get(row.RowID()); old != nil {
		before = *old
	}
	t.rows(b).put(row)
	if t.index != nil {
		t.index(x, &row, true)
	}
	return before
}

func (t *table[T]) Remove(b *Books, x *Index, all []Row) {
	t.rows(b).remove(all)
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
	clientsTable       = newTable("clients", func(b *Books) *Rows[Client] { return &b.Clients }, nil)
	shopifyAccessTable = newTable("client_shopify_access", func(b *Books) *Rows[ShopifyAccess] { return &b.ShopifyAccess }, nil,
		column[ShopifyAccess]{name: "access_token", derive: func(r *ShopifyAccess) any { return FakeToken(r.ClientID) }, fixed: true})
	eventsTable     = newTable("events", func(b *Books) *Rows[Event] { return &b.Events }, (*Index).event)
	categoriesTable = newTable("categories", func(b *Books) *Rows[Category] { return &b.Categories }, nil)
	consignorsTable = newTable("consignors", func(b *Books) *Rows[Consignor] { return &b.Consignors }, (*Index).consignor,
		column[Consignor]{name: "email", derive: func(r *Consignor) any { return FakeMail(r.ID) }, fixed: true},
		column[Consignor]{name: "name", derive: func(r *Consignor) any { return fakeName(r.ID) }, fixed: true})
	eventConsignorsTable = newTable("event_consignors", func(b *Books) *Rows[EventConsignor] { return &b.EventConsignors }, (*Index).eventConsignor)
	ItemsTable           = newTable("items", func(b *Books) *Rows[Item] { return &b.Items }, (*Index).item,
		column[Item]{name: "title", derive: func(r *Item) any { return FakeTitle(r.ID, r.CategoryID) }, fixed: true},
		column[Item]{name: "sold_price_cents", derive: soldPrice})
	SalesTable = newTable("sales", func(b *Books) *Rows[Sale] { return &b.Sales }, (*Index).sale,
		column[Sale]{name: "shopper_code", derive: func(r *Sale) any { return fakeShopper(r.ShopifyOrderID) }, fixed: true})
	dropoffSlotsTable      = newTable("dropoff_slots", func(b *Books) *Rows[DropoffSlot] { return &b.DropoffSlots }, (*Index).slot)
	dropoffBookingsTable   = newTable("dropoff_bookings", func(b *Books) *Rows[DropoffBooking] { return &b.DropoffBookings }, (*Index).dropoffBooking)
	volunteerShiftsTable   = newTable("volunteer_shifts", func(b *Books) *Rows[VolunteerShift] { return &b.VolunteerShifts }, (*Index).shift)
	volunteerBookingsTable = newTable("volunteer_bookings", func(b *Books) *Rows[VolunteerBooking] { return &b.VolunteerBookings }, (*Index).volunteerBooking)
	sessionsTable          = newTable("sessions", func(b *Books) *Rows[Session] { return &b.Sessions }, (*Index).Session)
	settlementsTable       = newTable("settlements", func(b *Books) *Rows[Settlement] { return &b.Settlements }, (*Index).settlement)
	syncRunsTable          = newTable("sync_runs", func(b *Books) *Rows[SyncRun] { return &b.SyncRuns }, nil)
	backupsTable           = newTable("backups", func(b *Books) *Rows[Backup] { return &b.Backups }, nil)
	supportTicketsTable    = newTable("support_tickets", func(b *Books) *Rows[SupportTicket] { return &b.SupportTickets }, (*Index).ticket)
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

// soldPrice is NULL while the item is not sold.
func soldPrice(r *Item) any {
	if r.SoldAt.IsZero() {
		return nil
	}
	return r.SoldPriceCents
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

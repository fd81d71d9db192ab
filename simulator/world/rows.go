package world

import "time"

// Statuses of a sale event, in the order of its life.
const (
	Draft          = "draft"
	Setup          = "setup"
	Registration   = "registration"
	Active         = "active"
	Markdown       = "markdown"
	Closed         = "closed"
	Returns        = "returns"
	Reconciliation = "reconciliation"
	Complete       = "complete"
	Cancelled      = "cancelled" // also of a booking and of a settlement
)

// Statuses of an item; it begins as Draft, then is Active.
const (
	Locked      = "locked"
	Sold        = "sold"
	Returned    = "returned"
	Transferred = "transferred"
)

// Other closed sets of the schema.
const (
	Scheduled = "scheduled" // booking
	Completed = "completed" // booking, email address sync
	NoShow    = "no_show"   // booking

	Pending = "pending" // settlement, email address sync
	Paid    = "paid"    // settlement
	Failed  = "failed"  // email address sync, sync run, backup

	Succeeded = "succeeded" // sync run, backup

	Open    = "open"    // ticket
	Waiting = "waiting" // ticket
	Solved  = "solved"  // ticket

	Regular = "regular" // participation
	Super   = "super"   // participation

	Online = "online" // channel
	POS    = "pos"    // channel
)

// A Row is one row of one table. A zero time is NULL.
//
// Personal and secret columns (email addresses, names of people, titles, shopper codes, tokens) are no fields: they are derived from the
// id when the row is inserted, and not used afterwards.
type Row interface {
	// RowID returns the primary key.
	RowID() uint64
	Table() Table
}

// Client is a tenant: a sale owner with a shop of their own.
type Client struct {
	ID                       uint64
	Slug, Name, Domain, Plan string
	Active                   bool
	CreatedAt                time.Time
}

// ShopifyAccess is how the platform reaches a client's shop.
type ShopifyAccess struct {
	ClientID       uint64
	ShopDomain     string
	TokenExpiresAt time.Time
	Active         bool
}

// Event is one consignment sale of a client.
type Event struct {
	ID, ClientID       uint64
	Slug, Name, Status string
	StartAt, EndAt     time.Time
	ReturnWindowEnd    time.Time
	MaxConsignors      int64
	Currency           string
	CompletedAt        time.Time
}

// Category is a kind of goods; all clients share them.
type Category struct {
	ID         uint64
	Slug, Name string
}

// Consignor is a person who sells at a client's sale events.
type Consignor struct {
	ID, ClientID    uint64
	Active          bool
	CreatedAt       time.Time
	SyncStatus      string
	LastSyncAttempt time.Time
}

// EventConsignor is the participation of a consignor in a sale event.
type EventConsignor struct {
	ID, EventID, ConsignorID uint64
	Type                     string
	FeePaid                  bool
	VolunteerShiftCount      int64
	TotalEarningsCents       int64
	IsPaid                   bool
	CreatedAt                time.Time
}

// Item is a listed good. SoldPriceCents is NULL while SoldAt is.
type Item struct {
	ID, EventID, EventConsignorID, CategoryID uint64
	ShopifyProductID                          uint64 // 0 is NULL: not in the shop yet
	PriceCents                                int64
	Status                                    string
	MarkdownEligible                          bool
	TransferCount                             int64
	SoldPriceCents                            int64
	ImageBytes                                int64
	ListedAt, SoldAt, SyncedAt, UpdatedAt     time.Time
}

// Unsynced reports whether the shop lacks the item or its last change.
func (i *Item) Unsynced() bool {
	return (i.Status == Active || i.Status == Locked) && (i.SyncedAt.IsZero() || i.SyncedAt.Before(i.UpdatedAt))
}

// Sale is one sold line of an order.
type Sale struct {
	ID, EventID, ItemID, ShopifyOrderID uint64
	AmountCents                         int64
	Currency, Channel                   string
	SoldAt                              time.Time
	IsReturned                          bool
	ReturnedAt                          time.Time
}

// DropoffSlot is a quarter of an hour in which consignors bring their items.
type DropoffSlot struct {
	ID, EventID         uint64
	StartAt             time.Time
	Capacity, Remaining int64
}

// DropoffBooking is a participant's place in a drop-off slot.
type DropoffBooking struct {
	ID, SlotID, EventConsignorID uint64
	Status                       string
	ArrivedAt, CompletedAt       time.Time
}

// VolunteerShift is three hours of help.
type VolunteerShift struct {
	ID, EventID         uint64
	ShiftType           string
	StartAt, EndAt      time.Time
	Capacity, Remaining int64
}

// VolunteerBooking is a participant's place in a shift.
type VolunteerBooking struct {
	ID, ShiftID, EventConsignorID uint64
	Status                        string
}

// Session is a visit. EventID 0 is NULL.
type Session struct {
	ID, ClientID, EventID          uint64
	Role                           string
	StartedAt, LastSeenAt, EndedAt time.Time
}

// Settlement is what a participant gets for a sale event.
type Settlement struct {
	ID, EventID, EventConsignorID uint64
	AmountCents                   int64
	Status                        string
	CreatedAt, PaidAt             time.Time
}

// SyncRun is a run of the sync with a client's shop.
type SyncRun struct {
	ID, ClientID  uint64
	Kind, Outcome string
	FinishedAt    time.Time
}

// Backup is one run of a backup. Outcome, Bytes and FinishedAt are NULL while it runs; Bytes also when it failed.
type Backup struct {
	ID                    uint64
	Target, Outcome       string
	Bytes                 int64
	StartedAt, FinishedAt time.Time
}

// SupportTicket is a client's request for support.
type SupportTicket struct {
	ID, ClientID                        uint64
	Priority, Status, Category          string
	OpenedAt, FirstResponseAt, SolvedAt time.Time
}

func (r Client) RowID() uint64           { return r.ID }
func (r ShopifyAccess) RowID() uint64    { return r.ClientID }
func (r Event) RowID() uint64            { return r.ID }
func (r Category) RowID() uint64         { return r.ID }
func (r Consignor) RowID() uint64        { return r.ID }
func (r EventConsignor) RowID() uint64   { return r.ID }
func (r Item) RowID() uint64             { return r.ID }
func (r Sale) RowID() uint64             { return r.ID }
func (r DropoffSlot) RowID() uint64      { return r.ID }
func (r DropoffBooking) RowID() uint64   { return r.ID }
func (r VolunteerShift) RowID() uint64   { return r.ID }
func (r VolunteerBooking) RowID() uint64 { return r.ID }
func (r Session) RowID() uint64          { return r.ID }
func (r Settlement) RowID() uint64       { return r.ID }
func (r SyncRun) RowID() uint64          { return r.ID }
func (r Backup) RowID() uint64           { return r.ID }
func (r SupportTicket) RowID() uint64    { return r.ID }

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
	ID        uint64    `column:"id,fixed"`
	Slug      string    `column:"slug"`
	Name      string    `column:"name"`
	Domain    string    `column:"domain"`
	Plan      string    `column:"plan"`
	Active    bool      `column:"active"`
	CreatedAt time.Time `column:"created_at,fixed"`
}

// ShopifyAccess is how the platform reaches a client's shop.
type ShopifyAccess struct {
	ClientID       uint64    `column:"client_id,fixed"`
	ShopDomain     string    `column:"shop_domain"`
	TokenExpiresAt time.Time `column:"token_expires_at"`
	Active         bool      `column:"active"`
}

// Event is one consignment sale of a client.
type Event struct {
	ID              uint64    `column:"id,fixed"`
	ClientID        uint64    `column:"client_id,fixed"`
	Slug            string    `column:"slug"`
	Name            string    `column:"name"`
	Status          string    `column:"status"`
	StartAt         time.Time `column:"start_at"`
	EndAt           time.Time `column:"end_at"`
	ReturnWindowEnd time.Time `column:"return_window_end"`
	MaxConsignors   int64     `column:"max_consignors"`
	Currency        string    `column:"currency"`
	CompletedAt     time.Time `column:"completed_at"`
}

// Category is a kind of goods; all clients share them.
type Category struct {
	ID   uint64 `column:"id,fixed"`
	Slug string `column:"slug"`
	Name string `column:"name"`
}

// Consignor is a person who sells at a client's sale events.
type Consignor struct {
	ID              uint64    `column:"id,fixed"`
	ClientID        uint64    `column:"client_id,fixed"`
	Active          bool      `column:"active"`
	CreatedAt       time.Time `column:"created_at,fixed"`
	SyncStatus      string    `column:"sync_status"`
	LastSyncAttempt time.Time `column:"last_sync_attempt"`
}

// EventConsignor is the participation of a consignor in a sale event.
type EventConsignor struct {
	ID                  uint64    `column:"id,fixed"`
	EventID             uint64    `column:"event_id,fixed"`
	ConsignorID         uint64    `column:"consignor_id,fixed"`
	Type                string    `column:"type"`
	FeePaid             bool      `column:"fee_paid"`
	VolunteerShiftCount int64     `column:"volunteer_shift_count"`
	TotalEarningsCents  int64     `column:"total_earnings_cents"`
	IsPaid              bool      `column:"is_paid"`
	CreatedAt           time.Time `column:"created_at,fixed"`
}

// Item is a listed good. SoldPriceCents is NULL while SoldAt is.
type Item struct {
	ID               uint64 `column:"id,fixed"`
	EventID          uint64 `column:"event_id,fixed"`
	EventConsignorID uint64 `column:"event_consignor_id,fixed"`
	CategoryID       uint64 `column:"category_id"`
	ShopifyProductID uint64 `column:"shopify_product_id,null"` // 0 is NULL: not in the shop yet
	PriceCents       int64  `column:"price_cents"`
	Status           string `column:"status"`
	MarkdownEligible bool   `column:"markdown_eligible"`
	TransferCount    int64  `column:"transfer_count"`
	SoldPriceCents   int64
	ImageBytes       int64     `column:"image_bytes"`
	ListedAt         time.Time `column:"listed_at"`
	SoldAt           time.Time `column:"sold_at"`
	SyncedAt         time.Time `column:"synced_at"`
	UpdatedAt        time.Time `column:"updated_at"`
}

// Unsynced reports whether the shop lacks the item or its last change.
func (i *Item) Unsynced() bool {
	return (i.Status == Active || i.Status == Locked) && (i.SyncedAt.IsZero() || i.SyncedAt.Before(i.UpdatedAt))
}

// Sale is one sold line of an order.
type Sale struct {
	ID             uint64    `column:"id,fixed"`
	EventID        uint64    `column:"event_id,fixed"`
	ItemID         uint64    `column:"item_id,fixed"`
	ShopifyOrderID uint64    `column:"shopify_order_id,fixed"`
	AmountCents    int64     `column:"amount_cents"`
	Currency       string    `column:"currency,fixed"`
	Channel        string    `column:"channel,fixed"`
	SoldAt         time.Time `column:"sold_at,fixed"`
	IsReturned     bool      `column:"is_returned"`
	ReturnedAt     time.Time `column:"returned_at"`
}

// DropoffSlot is a quarter of an hour in which consignors bring their items.
type DropoffSlot struct {
	ID        uint64    `column:"id,fixed"`
	EventID   uint64    `column:"event_id,fixed"`
	StartAt   time.Time `column:"start_at"`
	Capacity  int64     `column:"capacity"`
	Remaining int64     `column:"remaining"`
}

// DropoffBooking is a participant's place in a drop-off slot.
type DropoffBooking struct {
	ID               uint64    `column:"id,fixed"`
	SlotID           uint64    `column:"slot_id,fixed"`
	EventConsignorID uint64    `column:"event_consignor_id,fixed"`
	Status           string    `column:"status"`
	ArrivedAt        time.Time `column:"arrived_at"`
	CompletedAt      time.Time `column:"completed_at"`
}

// VolunteerShift is three hours of help.
type VolunteerShift struct {
	ID        uint64    `column:"id,fixed"`
	EventID   uint64    `column:"event_id,fixed"`
	ShiftType string    `column:"shift_type"`
	StartAt   time.Time `column:"start_at"`
	EndAt     time.Time `column:"end_at"`
	Capacity  int64     `column:"capacity"`
	Remaining int64     `column:"remaining"`
}

// VolunteerBooking is a participant's place in a shift.
type VolunteerBooking struct {
	ID               uint64 `column:"id,fixed"`
	ShiftID          uint64 `column:"shift_id,fixed"`
	EventConsignorID uint64 `column:"event_consignor_id,fixed"`
	Status           string `column:"status"`
}

// Session is a visit. EventID 0 is NULL.
type Session struct {
	ID         uint64    `column:"id,fixed"`
	ClientID   uint64    `column:"client_id,fixed"`
	EventID    uint64    `column:"event_id,fixed,null"`
	Role       string    `column:"role,fixed"`
	StartedAt  time.Time `column:"started_at,fixed"`
	LastSeenAt time.Time `column:"last_seen_at"`
	EndedAt    time.Time `column:"ended_at"`
}

// Settlement is what a participant gets for a sale event.
type Settlement struct {
	ID               uint64    `column:"id,fixed"`
	EventID          uint64    `column:"event_id,fixed"`
	EventConsignorID uint64    `column:"event_consignor_id,fixed"`
	AmountCents      int64     `column:"amount_cents"`
	Status           string    `column:"status"`
	CreatedAt        time.Time `column:"created_at,fixed"`
	PaidAt           time.Time `column:"paid_at"`
}

// SyncRun is a run of the sync with a client's shop.
type SyncRun struct {
	ID         uint64    `column:"id,fixed"`
	ClientID   uint64    `column:"client_id,fixed"`
	Kind       string    `column:"kind,fixed"`
	Outcome    string    `column:"outcome"`
	FinishedAt time.Time `column:"finished_at"`
}

// Backup is one run of a backup. Outcome, Bytes and FinishedAt are NULL while it runs; Bytes also when it failed.
type Backup struct {
	ID         uint64    `column:"id,fixed"`
	Target     string    `column:"target,fixed"`
	Outcome    string    `column:"outcome,null"`
	Bytes      int64     `column:"bytes,null"`
	StartedAt  time.Time `column:"started_at,fixed"`
	FinishedAt time.Time `column:"finished_at"`
}

// SupportTicket is a client's request for support.
type SupportTicket struct {
	ID              uint64    `column:"id,fixed"`
	ClientID        uint64    `column:"client_id,fixed"`
	Priority        string    `column:"priority"`
	Status          string    `column:"status"`
	Category        string    `column:"category,fixed"`
	OpenedAt        time.Time `column:"opened_at,fixed"`
	FirstResponseAt time.Time `column:"first_response_at"`
	SolvedAt        time.Time `column:"solved_at"`
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

// Package oracle says what the business-exporter has to export, given the books: every sample, and how often the rows violate each
// integrity check. It reads nothing but the books, and shares no code with the exporter.
package oracle

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/simulator/world"
)

// Sample is a sample of the contract's sections 1 and 2.
type Sample struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// Major returns the value as an exporter shows it: money of StreamTruth, which is in minor units, in major ones.
func (s Sample) Major() float64 {
	switch s.Name {
	case "consign_sales_amount_total", "consign_refunds_amount_total", "consign_order_amount_sum":
		return world.Major(int64(s.Value), s.Labels["currency"])
	default:
		return s.Value
	}
}

const recently = 7 * 24 * time.Hour // solved tickets, first responses, failed backups

// Truth returns every sample that the business-exporter has to export at a time, sorted by name and labels.
//
// Nothing at all of a client that is not active. Series with the label event only for sale events that are exported
// (Books.Exported). Money is in major units: an amount in minor units divided by 10 to the exponent of ISO 4217, which is 0 for JPY.
// A window ("within the last ...") includes its beginning. Counts and sums exist only for combinations that exist, but for
//
//   - consign_active_shoppers: also 0 while the sale event is active or markdown;
//   - consign_active_users: all six roles of every client;
//   - consign_event_unpaid_fees and consign_unsynced_items: every exported sale event, 0 included;
//   - consign_integrity_violations: all ten checks of every client;
//   - consign_event_expected_orders and consign_event_expected_listings: 0 included, where the client has a history (see expected);
//   - consign_backups_failed: every target with a backup, 0 included.
//
// Timestamps that do not exist are absent. So are a client's series of a metric in money while one of its amounts is too large to be
// exact (exact): the metric would hide it.
func Truth(b *world.Books, now time.Time) []Sample {
	t := &sampleBuilder{books: b, now: now, clients: map[uint64]string{}, events: map[uint64]*world.Event{}, totals: b.SaleTotals(), inexact: map[[2]string]bool{}}
	for i := range b.Clients {
		if b.Clients[i].Active {
			t.clients[b.Clients[i].ID] = b.Clients[i].Slug
		}
	}
	for i := range b.Events {
		if e := &b.Events[i]; b.Exported(e, now) {
			t.events[e.ID] = e
		}
	}
	t.inventory()
	t.sessions()
	t.stock()
	t.expected()
	t.registration()
	t.dropoffs()
	t.volunteers()
	t.syncs()
	t.mailSyncs()
	t.settlements()
	t.integrity()
	t.support()
	t.storage()
	t.backups()
	samples := slices.DeleteFunc(t.samples, func(s Sample) bool { return t.inexact[[2]string{s.Name, s.Labels["client"]}] })
	slices.SortFunc(samples, Compare)
	return samples
}

// sampleBuilder collects the samples of Truth.
type sampleBuilder struct {
	books   *world.Books
	now     time.Time
	clients map[uint64]string       // slugs of the active ones
	events  map[uint64]*world.Event // the exported ones
	totals  map[uint64]world.Totals
	samples []Sample
	inexact map[[2]string]bool // metric and client
}

// add adds a sample; the labels are names and values in turn.
func (t *sampleBuilder) add(name string, value float64, labels ...string) {
	set := make(map[string]string, len(labels)/2)
	for i := 0; i < len(labels); i += 2 {
		set[labels[i]] = labels[i+1]
	}
	t.samples = append(t.samples, Sample{name, set, value})
}

// addEvent adds a sample of an exported sale event.
func (t *sampleBuilder) addEvent(name string, value float64, e *world.Event, labels ...string) {
	t.add(name, value, append(t.ofEvent(e.ID), labels...)...)
}

// exact bounds amounts in minor units: above it, floating-point numbers are not all integers any more.
const exact = 1 << 53

// addMoney adds an amount in minor units of an exported sale event.
func (t *sampleBuilder) addMoney(name string, minor int64, currency string, e *world.Event, labels ...string) {
	if minor <= -exact || minor >= exact {
		t.inexact[[2]string{name, t.clients[e.ClientID]}] = true
		return
	}
	t.addEvent(name, world.Major(minor, currency), e, append(labels, "currency", currency)...)
}

// ofEvent returns the labels of an exported sale event; nil of others.
func (t *sampleBuilder) ofEvent(id uint64) []string {
	if e := t.events[id]; e != nil {
		return []string{"client", t.clients[e.ClientID], "event", e.Slug}
	}
	return nil
}

func (t *sampleBuilder) ofClient(id uint64) []string { return []string{"client", t.clients[id]} }

// addGroups adds counts of clients or sale events; labels are the names of a and b.
func (t *sampleBuilder) addGroups(name string, counts map[group]int64, of func(uint64) []string, labels ...string) {
	for g, n := range counts {
		if set := of(g.id); set != nil {
			for i, label := range labels {
				set = append(set, label, [2]string{g.a, g.b}[i])
			}
			t.add(name, float64(n), set...)
		}
	}
}

// group is a key of sums: a client or a sale event, and up to two label values.
type group struct {
	id   uint64
	a, b string
}

func (t *sampleBuilder) category(id uint64) string {
	if c := t.books.Categories.Get(id); c != nil {
		return c.Slug
	}
	return world.NoCategory
}

// recent reports whether a time is set and lies within the last d.
func (t *sampleBuilder) recent(at time.Time, d time.Duration) bool {
	return !at.IsZero() && !at.Before(t.now.Add(-d))
}

func (t *sampleBuilder) inventory() {
	for _, c := range t.books.Clients {
		if c.Active {
			t.add("consign_client_info", 1, "client", c.Slug, "name", c.Name, "plan", c.Plan)
		}
	}
	for _, e := range t.events {
		t.addEvent("consign_event_info", 1, e, "name", e.Name, "status", e.Status)
		t.addEvent("consign_event_start_timestamp_seconds", seconds(e.StartAt), e)
		t.addEvent("consign_event_end_timestamp_seconds", seconds(e.EndAt), e)
	}
}

func (t *sampleBuilder) sessions() {
	shoppers := map[uint64]int64{}
	for id, e := range t.events {
		if e.Status == world.Active || e.Status == world.Markdown {
			shoppers[id] = 0
		}
	}
	users := map[group]int64{}
	for id := range t.clients {
		for _, role := range world.Roles() {
			users[group{id: id, a: role}] = 0
		}
	}
	for _, s := range t.books.Sessions {
		if !s.EndedAt.IsZero() || !t.recent(s.LastSeenAt, world.SeenWithin) {
			continue
		}
		if t.clients[s.ClientID] != "" {
			users[group{id: s.ClientID, a: s.Role}]++
		}
		if s.Role == "shopper" && t.events[s.EventID] != nil {
			shoppers[s.EventID]++
		}
	}
	for id, n := range shoppers {
		t.addEvent("consign_active_shoppers", float64(n), t.events[id])
	}
	t.addGroups("consign_active_users", users, t.ofClient, "role")
}

func (t *sampleBuilder) stock() {
	oldest := map[uint64]time.Time{}
	for id, e := range t.events {
		totals := t.totals[id]
		count, value := map[group]int64{}, map[string]int64{}
		for g, sum := range totals.Items {
			count[group{a: t.category(g.CategoryID), b: g.State}] += sum.Count
			value[g.State] += sum.Cents
		}
		for g, n := range count {
			t.addEvent("consign_items", float64(n), e, "category", g.a, "state", g.b)
		}
		for state, cents := range value {
			t.addMoney("consign_items_value", cents, e.Currency, e, "state", state)
		}
		for channel, n := range totals.Orders {
			t.addEvent("consign_event_orders", float64(n), e, "channel", channel)
		}
		sales := map[group]int64{}
		for g, sum := range totals.Sales {
			sales[group{a: t.category(g.CategoryID), b: g.Currency}] += sum.Cents
		}
		for g, cents := range sales {
			t.addMoney("consign_event_sales", cents, g.b, e, "category", g.a)
		}
		returns := map[string]int64{}
		for category, n := range totals.Returns {
			returns[t.category(category)] += n
		}
		for category, n := range returns {
			t.addEvent("consign_event_returns", float64(n), e, "category", category)
		}
		t.addEvent("consign_unsynced_items", float64(totals.Unsynced), e)
		if at := totals.OldestUnsynced; !at.IsZero() {
			earliest(oldest, e.ClientID, at)
		}
	}
	for id, at := range oldest {
		t.add("consign_oldest_unsynced_item_timestamp_seconds", seconds(at), "client", t.clients[id])
	}
}

// expected is what sale events should have brought of late, by up to four earlier ones of their client that are complete, and at
// least two: the mean of what those had in the same share of their time, times the share of their consignors that take part now, if
// that is less than one. Orders of the last hour while it sells, listed items of the last day before.
func (t *sampleBuilder) expected() {
	consignors := map[uint64]float64{}
	for _, p := range t.books.EventConsignors {
		consignors[p.EventID]++
	}
	// came returns what had come until a share of the time, in lengths of the sale from where the parts begin.
	came := func(parts map[int]int64, share float64) float64 {
		sum := 0.0
		for part, n := range parts {
			sum += float64(n) * world.Clamp(share*world.PartsOfSale-float64(part), 0, 1)
		}
		return sum
	}
	addExpected := func(e *world.Event, metric string, partsOf func(world.Totals) map[int]int64, lengthsBefore float64, window time.Duration) {
		var earlier []*world.Event
		for i := range t.books.Events {
			p := &t.books.Events[i]
			if p.ClientID == e.ClientID && p.Status == world.Complete && p.StartAt.Before(e.StartAt) && len(partsOf(t.totals[p.ID])) > 0 {
				earlier = append(earlier, p)
			}
		}
		if len(earlier) < 2 {
			return
		}
		slices.SortFunc(earlier, func(a, b *world.Event) int {
			begins := func(e *world.Event) time.Time {
				return e.StartAt.Add(-time.Duration(lengthsBefore * float64(e.EndAt.Sub(e.StartAt))))
			}
			return begins(b).Compare(begins(a))
		})
		earlier = earlier[:min(len(earlier), 4)]
		length := e.EndAt.Sub(e.StartAt).Seconds()
		passed := t.now.Sub(e.StartAt).Seconds() + lengthsBefore*length
		sum := 0.0
		for _, p := range earlier {
			parts := partsOf(t.totals[p.ID])
			sum += (came(parts, passed/length) - came(parts, max(passed-window.Seconds(), 0)/length)) * min(1, consignors[e.ID]/consignors[p.ID])
		}
		t.addEvent(metric, sum/float64(len(earlier)), e)
	}
	for _, e := range t.events {
		switch e.Status {
		case world.Active, world.Markdown:
			addExpected(e, "consign_event_expected_orders", func(t world.Totals) map[int]int64 { return t.OrderParts }, 0, time.Hour)
		case world.Setup, world.Registration:
			addExpected(e, "consign_event_expected_listings", func(t world.Totals) map[int]int64 { return t.ListedParts }, world.ListedBefore, 24*time.Hour)
		}
	}
}

func (t *sampleBuilder) registration() {
	participants, unpaid := map[group]int64{}, map[uint64]int64{}
	for _, p := range t.books.EventConsignors {
		participants[group{id: p.EventID, a: p.Type}]++
		if !p.FeePaid {
			unpaid[p.EventID]++
		}
	}
	t.addGroups("consign_event_consignors", participants, t.ofEvent, "type")
	for id, e := range t.events {
		t.addEvent("consign_event_unpaid_fees", float64(unpaid[id]), e)
	}
}

func (t *sampleBuilder) dropoffs() {
	eventOf, spots, bookings := map[uint64]uint64{}, map[group]int64{}, map[group]int64{}
	for _, s := range t.books.DropoffSlots {
		eventOf[s.ID] = s.EventID
		spots[group{id: s.EventID, a: "filled"}] += s.Capacity - s.Remaining
		spots[group{id: s.EventID, a: "open"}] += max(s.Remaining, 0)
	}
	for _, b := range t.books.DropoffBookings {
		bookings[group{id: eventOf[b.SlotID], a: b.Status}]++
	}
	t.addGroups("consign_dropoff_spots", spots, t.ofEvent, "state")
	t.addGroups("consign_dropoff_bookings", bookings, t.ofEvent, "status")
}

func (t *sampleBuilder) volunteers() {
	eventOf, spots, bookings := map[uint64]uint64{}, map[group]int64{}, map[group]int64{}
	for _, s := range t.books.VolunteerShifts {
		eventOf[s.ID] = s.EventID
		spots[group{s.EventID, s.ShiftType, "filled"}] += s.Capacity - s.Remaining
		spots[group{s.EventID, s.ShiftType, "open"}] += max(s.Remaining, 0)
	}
	for _, b := range t.books.VolunteerBookings {
		bookings[group{id: eventOf[b.ShiftID], a: b.Status}]++
	}
	t.addGroups("consign_volunteer_spots", spots, t.ofEvent, "shift", "state")
	t.addGroups("consign_volunteer_bookings", bookings, t.ofEvent, "status")
}

func (t *sampleBuilder) syncs() {
	last := map[group]time.Time{}
	for _, r := range t.books.SyncRuns {
		if r.Outcome == world.Succeeded && t.clients[r.ClientID] != "" {
			latest(last, group{id: r.ClientID, a: r.Kind}, r.FinishedAt)
		}
	}
	for g, at := range last {
		t.add("consign_sync_last_success_timestamp_seconds", seconds(at), "client", t.clients[g.id], "kind", g.a)
	}
}

// mailSyncs counts active consignors by their sync status. The oldest pending one is found by its last attempt, or by its creation before
// the first attempt.
func (t *sampleBuilder) mailSyncs() {
	count, oldest := map[group]int64{}, map[uint64]time.Time{}
	for _, c := range t.books.Consignors {
		if !c.Active || t.clients[c.ClientID] == "" {
			continue
		}
		count[group{id: c.ClientID, a: c.SyncStatus}]++
		if c.SyncStatus == world.Pending {
			since := c.LastSyncAttempt
			if since.IsZero() {
				since = c.CreatedAt
			}
			earliest(oldest, c.ClientID, since)
		}
	}
	t.addGroups("consign_email_address_syncs", count, t.ofClient, "status")
	for id, at := range oldest {
		t.add("consign_oldest_pending_email_sync_timestamp_seconds", seconds(at), "client", t.clients[id])
	}
}

func (t *sampleBuilder) settlements() {
	sums := map[group]world.Sum{}
	for _, s := range t.books.Settlements {
		g := group{id: s.EventID, a: s.Status}
		sums[g] = world.Sum{Count: sums[g].Count + 1, Cents: sums[g].Cents + s.AmountCents}
	}
	for g, sum := range sums {
		if e := t.events[g.id]; e != nil {
			t.addEvent("consign_settlements", float64(sum.Count), e, "status", g.a)
			t.addMoney("consign_settlements_amount", sum.Cents, e.Currency, e, "status", g.a)
		}
	}
}

func (t *sampleBuilder) integrity() {
	count := map[group]int64{}
	for id := range t.clients {
		for _, check := range world.Checks() {
			count[group{id: id, a: check}] = 0
		}
	}
	for id, checks := range violations(t.books, t.totals) {
		e := t.events[id]
		if e == nil {
			continue
		}
		for check, n := range checks {
			count[group{id: e.ClientID, a: check}] += n
		}
	}
	t.addGroups("consign_integrity_violations", count, t.ofClient, "check")
}

// support counts open and waiting tickets of any age, and those that were solved within the last seven days. The mean time to
// the first response is over all tickets, whatever their status now, that had it within the last seven days.
func (t *sampleBuilder) support() {
	count, oldest := map[group]int64{}, map[group]time.Time{}
	type mean struct {
		n     int64
		total time.Duration
	}
	response := map[group]mean{}
	for _, k := range t.books.SupportTickets {
		if t.clients[k.ClientID] == "" {
			continue
		}
		priority := group{id: k.ClientID, a: k.Priority}
		if k.Status != world.Solved || t.recent(k.SolvedAt, recently) {
			count[group{k.ClientID, k.Priority, k.Status}]++
		}
		if k.Status == world.Open {
			earliest(oldest, priority, k.OpenedAt)
		}
		if t.recent(k.FirstResponseAt, recently) {
			m := response[priority]
			response[priority] = mean{m.n + 1, m.total + k.FirstResponseAt.Sub(k.OpenedAt)}
		}
	}
	t.addGroups("consign_support_tickets", count, t.ofClient, "priority", "status")
	for g, at := range oldest {
		t.add("consign_oldest_open_ticket_timestamp_seconds", seconds(at), "client", t.clients[g.id], "priority", g.a)
	}
	for g, m := range response {
		t.add("consign_support_first_response_seconds", m.total.Seconds()/float64(m.n), "client", t.clients[g.id], "priority", g.a)
	}
}

// storage sums the images of all items of a client, of exported sale events and others. A client without items has no series.
func (t *sampleBuilder) storage() {
	bytes := map[uint64]int64{}
	for id, totals := range t.totals {
		e := t.books.Events.Get(id)
		if e == nil || t.clients[e.ClientID] == "" || len(totals.Items) == 0 {
			continue
		}
		bytes[e.ClientID] += totals.StoredBytes
	}
	for id, n := range bytes {
		t.add("consign_client_stored_bytes", float64(n), "client", t.clients[id])
	}
}

func (t *sampleBuilder) backups() {
	last, failed, failure := map[string]world.Backup{}, map[string]int64{}, map[string]time.Time{}
	for _, b := range t.books.Backups {
		if _, ok := failed[b.Target]; !ok {
			failed[b.Target] = 0
		}
		if b.Outcome == world.Succeeded && b.FinishedAt.After(last[b.Target].FinishedAt) {
			last[b.Target] = b
		}
		if b.Outcome == world.Failed && t.recent(b.FinishedAt, recently) {
			failed[b.Target]++
		}
		if b.Outcome == world.Failed && b.FinishedAt.After(failure[b.Target]) {
			failure[b.Target] = b.FinishedAt
		}
	}
	for target, b := range last {
		t.add("consign_backup_last_success_timestamp_seconds", seconds(b.FinishedAt), "target", target)
		t.add("consign_backup_size_bytes", float64(b.Bytes), "target", target)
		t.add("consign_backup_last_duration_seconds", b.FinishedAt.Sub(b.StartedAt).Seconds(), "target", target)
	}
	for target, at := range failure {
		t.add("consign_backup_last_failure_timestamp_seconds", seconds(at), "target", target)
	}
	for target, n := range failed {
		t.add("consign_backups_failed", float64(n), "target", target)
	}
}

func earliest[K comparable](m map[K]time.Time, key K, at time.Time) {
	if old, ok := m[key]; !ok || at.Before(old) {
		m[key] = at
	}
}

func latest[K comparable](m map[K]time.Time, key K, at time.Time) {
	if at.After(m[key]) {
		m[key] = at
	}
}

func seconds(at time.Time) float64 { return float64(at.UnixMicro()) / 1e6 }

// Compare orders samples by name and labels.
func Compare(a, b Sample) int {
	if c := cmp.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return cmp.Compare(a.Key(), b.Key())
}

// Key returns the labels in order, as one string.
func (s Sample) Key() string {
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
		key.WriteString(name + "\x00" + s.Labels[name] + "\x00")
	}
	return key.String()
}

package simulator

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/services"
	"github.com/consignwatch/consignwatch/simulator/services/mandrill"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/world"
	"github.com/consignwatch/consignwatch/test/seed"
)

// startWithStream returns a platform that publishes to a broker of its own, with an API and external services.
func startWithStream(t *testing.T, config Config) *Platform {
	t.Helper()
	broker, err := kafka.Start(t.Context(), kafka.Config{Topics: Topics(), TopicConfigs: jobs.TopicConfigs()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	config.Stream = []string{broker.Address()}
	config.BrokerDown = func(down bool) error {
		if down {
			return broker.Stop()
		}
		return broker.Restart(context.Background())
	}
	if config.API == "" {
		config.API, config.APILimits = "http://127.0.0.1:0", generousLimits()
	}
	config.ExternalServices, config.ExternalServicesDir = "127.0.0.1:0", t.TempDir()
	p, _ := filled(t, config)
	return p
}

// lively is the configuration of a platform on which everything happens within seconds.
func lively() Config {
	return Config{Clients: 6, Events: 18, LiveEvents: 14, Items: 1500, Seed: 5, Speed: 60_000, Acceleration: 5, Tick: 20 * time.Millisecond}
}

// allRecords reads all acknowledged records.
func allRecords(t *testing.T, p *Platform) []*kgo.Record {
	t.Helper()
	state := p.State().Stream
	from := map[string]map[int32]kgo.Offset{}
	left := int64(0)
	for topic, partitions := range state.Offsets {
		from[topic] = map[int32]kgo.Offset{}
		for partition, next := range partitions {
			from[topic][partition] = kgo.NewOffset().At(0)
			left += next
		}
	}
	if state.Waiting != 0 || state.Lost != 0 || state.Acknowledged != left {
		t.Errorf("%d records up to the last offsets; the publisher says %+v", left, state)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(state.Brokers...), kgo.ConsumePartitions(from))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []*kgo.Record
	for int64(len(all)) < left {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(all), left, err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// compareStream compares the published totals with a recount of the records.
func compareStream(t *testing.T, p *Platform) []*kgo.Record {
	t.Helper()
	records := allRecords(t, p)
	want := map[string]float64{}
	for _, s := range p.StreamTruth() {
		if s.Value != 0 { // a recount has no series with the value 0
			want[series(s)] = s.Value
		}
	}
	got := recount(records)
	for series, value := range got {
		if value == 0 {
			delete(got, series)
		}
	}
	// Both add up whole numbers: only the last division may differ.
	if diff := cmp.Diff(got, want, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-7 })); diff != "" {
		t.Errorf("series (-recounted +books):\n%s", diff)
	}
	return records
}

// streamTruthOf sums the samples of a metric whose labels contain the given ones.
func streamTruthOf(p *Platform, name string, labels ...string) int {
	if p.emitter == nil {
		return 0
	}
	sum := 0.0
totals:
	for _, s := range p.emitter.Totals() { // cheaper than StreamTruth: it is called often
		if s.Name != name {
			continue
		}
		for i := 0; i < len(labels); i += 2 {
			if s.Labels[labels[i]] != labels[i+1] {
				continue totals
			}
		}
		sum += float64(s.Value) / float64(s.Scale)
	}
	return int(sum)
}

func switchOn(t *testing.T, p *Platform, faults ...string) {
	t.Helper()
	for _, fault := range faults {
		if err := p.Faults().On(t.Context(), fault, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryTypeOfEventIsPublishedAndValid(t *testing.T) {
	t.Parallel()
	config := lively()
	config.APILimits = generousLimits()
	p, _ := startWithInfra(t, config)
	makeEveryChange(t, p)
	failEmails(t, p)
	livePlatform(t, p)
	switchOn(t, p, faults.CrashLoop, faults.BruteForce, faults.CrossTenantAccess, faults.StateConflicts, faults.PaidEarly)
	switchOn(t, p, faults.MandrillBacklog)
	waitFor(t, "emails that are deferred", func() bool { return streamTruthOf(p, "consign_emails_total", "outcome", "deferred") > 0 })
	switchOff(t, p, faults.MandrillBacklog)
	waitFor(t, "enough to be emitted", func() bool { return p.State().Stream.Acknowledged > 5000 })
	for kind, how := range theContract {
		for _, feed := range how.feeds {
			if metric, labels, ok := counterOf(feed); ok {
				waitFor(t, kind+" in "+feed, func() bool { return streamTruthOf(p, metric, labels...) > 0 })
			}
		}
	}
	for _, outcome := range []string{"hard_bounced", "soft_bounced"} {
		waitFor(t, "emails that are "+outcome, func() bool { return streamTruthOf(p, "consign_emails_total", "outcome", outcome) > 0 })
	}
	pause(t, p)
	seen, modes, sources, ids := map[string]int{}, map[bool]int{}, map[string]bool{}, map[string]bool{}
	for _, r := range compareStream(t, p) {
		e, err := parseEvent(r)
		if err == nil {
			err = e.check(r)
		}
		if err != nil {
			t.Errorf("%v: %s", err, r.Value)
			continue
		}
		if ids[e.Source+e.ID] {
			t.Errorf("%s %s comes twice", e.Source, e.ID)
		}
		ids[e.Source+e.ID], sources[e.Source] = true, true
		seen[e.Type]++
		modes[e.binary]++
		if e.Type == "consign.api.request" && e.Client != "" && e.TraceParent == "" {
			t.Errorf("a request without traceparent: %s", r.Value)
		}
	}
	for kind := range theContract {
		if seen[kind] == 0 {
			t.Errorf("no %s in %d events", kind, len(ids))
		}
	}
	if share := float64(modes[true]) / float64(len(ids)); math.Abs(share-1.0/8) > 0.01 {
		t.Errorf("%.3f of the events are in binary mode", share)
	}
	if len(sources) < 5 {
		t.Errorf("sources: %v", sources)
	}
}

// counterOf returns the metric and the fixed labels of a feed that counts events.
func counterOf(feed string) (metric string, labels []string, ok bool) {
	metric, list, _ := strings.Cut(strings.TrimSuffix(feed, "}"), "{")
	for label := range strings.SplitSeq(list, ",") {
		if name, value, fixed := strings.Cut(label, `="`); fixed {
			labels = append(labels, name, strings.TrimSuffix(value, `"`))
		}
	}
	return metric, labels, strings.HasSuffix(feed, "}")
}

// makeEveryChange makes every kind of change to the rows of a sale event.
func makeEveryChange(t *testing.T, p *Platform) {
	t.Helper()
	now := p.store.Now()
	var (
		dropoffs  [2]world.DropoffBooking
		volunteer world.VolunteerBooking
		sale      world.Sale
		sold      world.Item
		moved     world.Item
		session   world.Session
	)
	begin := func(b *world.Books, c *store.Change) error {
		joined := b.EventConsignors[0]
		event := b.Events.Get(joined.EventID)
		slot := world.DropoffSlot{ID: c.NewID(world.DropoffSlot{}), EventID: event.ID, StartAt: now, Capacity: 2}
		shift := world.VolunteerShift{ID: c.NewID(world.VolunteerShift{}), EventID: event.ID, ShiftType: "general_help", StartAt: now, EndAt: now, Capacity: 1}
		c.Insert(slot, shift)
		for i := range dropoffs {
			dropoffs[i] = world.DropoffBooking{ID: c.NewID(world.DropoffBooking{}), SlotID: slot.ID, EventConsignorID: joined.ID, Status: world.Scheduled}
			c.Insert(dropoffs[i])
		}
		volunteer = world.VolunteerBooking{ID: c.NewID(world.VolunteerBooking{}), ShiftID: shift.ID, EventConsignorID: joined.ID, Status: world.Scheduled}
		c.Insert(volunteer)
		sold = world.Item{ID: c.NewID(world.Item{}), EventID: event.ID, EventConsignorID: joined.ID, CategoryID: 1, PriceCents: 500, Status: world.Active, ListedAt: now, UpdatedAt: now}
		moved = sold
		moved.ID = c.NewID(world.Item{})
		session = world.Session{ID: c.NewID(world.Session{}), ClientID: event.ClientID, Role: "consignor", StartedAt: now, LastSeenAt: now}
		c.Insert(sold, moved, session)
		consignor := world.Consignor{ID: c.NewID(world.Consignor{}), ClientID: event.ClientID, Active: true, CreatedAt: now, SyncStatus: world.Completed}
		c.Insert(consignor, world.EventConsignor{ID: c.NewID(world.EventConsignor{}), EventID: event.ID, ConsignorID: consignor.ID, Type: world.Super, CreatedAt: now})
		return nil
	}
	end := func(b *world.Books, c *store.Change) error {
		dropoffs[0].Status, dropoffs[0].ArrivedAt, dropoffs[0].CompletedAt = world.Completed, now, now.Add(time.Minute)
		dropoffs[1].Status = world.NoShow
		volunteer.Status, moved.Status = world.Cancelled, world.Transferred
		sold.Status, sold.SoldAt, sold.SoldPriceCents = world.Sold, now, 250
		sale = world.Sale{ID: c.NewID(world.Sale{}), EventID: sold.EventID, ItemID: sold.ID, ShopifyOrderID: 1, AmountCents: 250, Currency: "USD", Channel: world.Online, SoldAt: now}
		session.EndedAt = now
		c.Update(dropoffs[0], dropoffs[1], volunteer, moved, sold, session)
		c.Insert(sale)
		return nil
	}
	back := func(b *world.Books, c *store.Change) error {
		sold.Status, sale.IsReturned, sale.ReturnedAt = world.Returned, true, now
		c.Update(sold, sale)
		return nil
	}
	for _, do := range []func(*world.Books, *store.Change) error{begin, end, back} {
		if err := p.Do(t.Context(), "one of everything", do); err != nil {
			t.Fatal(err)
		}
	}
}

// failEmails makes an email bounce softly, one bounce hard, and one be rejected because its address has bounced. By itself nothing bounces
// softly, and nothing is rejected: each email of the platform has an address of its own. Life has not begun: the first emails do not bounce
// by themselves.
func failEmails(t *testing.T, p *Platform) {
	t.Helper()
	bounce := func(to, kind string) {
		sent, call := p.services.Send(t.Context(), services.Mail{To: to, Metadata: map[string]string{emit.TemplateArg: "welcome"}})
		if !call.OK() {
			t.Fatalf("send an email: %+v", call)
		}
		if err := p.services.Mandrill.Trigger(sent.ID, kind); err != nil {
			t.Fatal(err)
		}
	}
	bounce("reader@mail.example", mandrill.SoftBounce)
	bounce("to-hard@mail.example", mandrill.HardBounce)
	job := jobs.Job{Queue: jobs.Email, Task: "send", ID: "hard", Attempt: 1, EnqueuedAt: p.store.Now(), Args: map[string]string{emit.TemplateArg: "welcome"}}
	if err := p.services.Deliver(job); err != nil {
		t.Fatal(err)
	}
	p.emitter.EmitAttempt(jobs.Finished{Job: job, Outcome: jobs.Succeeded})
	waitFor(t, "an email to an address that has bounced is rejected", func() bool { return streamTruthOf(p, "consign_emails_total", "outcome", "rejected") == 1 })
}

// The events are those that follow from the rows that changed since Fill, counted row by row. Imports of orders follow from webhooks
// (TestShopsHoldWhatTheBooksHold).
func TestEventsOfTheSaleEqualTheBooks(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, lively())
	before := p.Books()
	stop := livePlatform(t, p)
	waitFor(t, "a lot to happen", func() bool { return p.State().Changes > 400 })
	waitFor(t, "forty series", func() bool { return len(expectedEvents(before, p.Books())) >= 40 })
	switchOn(t, p, faults.SoldTwice, faults.ReturnAfterWindow, faults.OverbookedSlot)
	changes(t, p, 50)
	stop()
	pause(t, p)
	want := expectedEvents(before, p.Books())
	got := map[string]int64{}
	for _, s := range p.StreamTruth() {
		for _, name := range []string{"orders_total", "sales_amount_total", "refunds_total", "refunds_amount_total", "items_sold_total",
			"items_returned_total", "items_transferred_total", "consignors_registered_total", "volunteer_signups_total", "dropoffs_total",
			"sessions_started_total"} {
			if s.Name != "consign_"+name {
				continue
			}
			key := name + " " + s.Labels["client"] + " " + s.Labels["event"] + s.Labels["channel"] + s.Labels["type"] + s.Labels["shift"] + s.Labels["role"]
			if name == "dropoffs_total" {
				key += s.Labels["outcome"]
			}
			got[key] += int64(s.Value)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-books +stream):\n%s", diff)
	}
	compareStream(t, p)
}

// expectedEvents counts the events that follow from the difference between two states of the books.
func expectedEvents(before, after *world.Books) map[string]int64 {
	counts := map[string]int64{}
	add := func(n int64, name string, event uint64, label string) {
		e := after.Events.Get(event)
		counts[name+" "+after.Clients.Get(e.ClientID).Slug+" "+e.Slug+label] += n
	}
	orders, refunds := map[uint64]bool{}, map[uint64]bool{}
	for _, s := range after.Sales {
		old := before.Sales.Get(s.ID)
		if old == nil {
			if !orders[s.ShopifyOrderID] {
				orders[s.ShopifyOrderID] = true
				add(1, "orders_total", s.EventID, s.Channel)
			}
			add(s.AmountCents, "sales_amount_total", s.EventID, "")
		}
		if s.IsReturned && (old == nil || !old.IsReturned) {
			add(1, "refunds_total", s.EventID, "") // life returns one item at a time
			add(s.AmountCents, "refunds_amount_total", s.EventID, "")
			refunds[s.ItemID] = true
		}
	}
	// An item that was sold, returned and sold again has two sales; the two of sold-twice are of one.
	for _, s := range after.Sales {
		item := after.Items.Get(s.ItemID)
		if item == nil {
			continue
		}
		twice := false
		for _, other := range after.Sales {
			twice = twice || other.ItemID == s.ItemID && other.ID < s.ID && !other.IsReturned && !s.IsReturned
		}
		if before.Sales.Get(s.ID) == nil && !twice && !(s.IsReturned && before.Items.Get(item.ID) == nil && item.PriceCents == 1000 && item.ImageBytes == 250_000) {
			add(1, "items_sold_total", s.EventID, "")
		}
		if old := before.Sales.Get(s.ID); s.IsReturned && (old == nil || !old.IsReturned) {
			add(1, "items_returned_total", s.EventID, "")
		}
	}
	for _, i := range after.Items {
		if old := before.Items.Get(i.ID); i.Status == world.Transferred && (old == nil || old.Status != world.Transferred) {
			add(1, "items_transferred_total", i.EventID, "")
		}
	}
	for _, p := range after.EventConsignors {
		if before.EventConsignors.Get(p.ID) == nil {
			add(1, "consignors_registered_total", p.EventID, p.Type)
		}
	}
	for _, b := range after.VolunteerBookings {
		if before.VolunteerBookings.Get(b.ID) == nil {
			shift := after.VolunteerShifts.Get(b.ShiftID)
			add(1, "volunteer_signups_total", shift.EventID, shift.ShiftType)
		}
	}
	for _, b := range after.DropoffBookings {
		event := after.DropoffSlots.Get(b.SlotID).EventID
		old := before.DropoffBookings.Get(b.ID)
		if old == nil {
			add(1, "dropoffs_total", event, "scheduled")
		}
		if b.Status == world.Completed && (old == nil || old.Status != world.Completed) {
			add(1, "dropoffs_total", event, "completed")
		}
		if b.Status == world.NoShow && (old == nil || old.Status != world.NoShow) {
			add(1, "dropoffs_total", event, "missed")
		}
	}
	for _, s := range after.Sessions {
		if before.Sessions.Get(s.ID) == nil {
			counts["sessions_started_total "+after.Clients.Get(s.ClientID).Slug+" "+s.Role]++
		}
	}
	return counts
}

func TestInvalidAndDuplicateRecordsAreCountedExactly(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, lively())
	livePlatform(t, p)
	slug := p.State().Clients[0]
	waitFor(t, "orders", func() bool { return streamTruthOf(p, "consign_orders_total") > 20 })
	if err := p.Faults().On(t.Context(), faults.MalformedEvents, slug); err != nil {
		t.Fatal(err)
	}
	switchOn(t, p, faults.DuplicateEvents)
	waitFor(t, "duplicates", func() bool {
		return streamTruthOf(p, "consignwatch_records_total", "outcome", "duplicate") > 200
	})
	if err := p.Faults().Off(t.Context(), faults.DuplicateEvents, ""); err != nil {
		t.Fatal(err)
	}
	p.emitter.EmitTelemetry(0) // the late ones
	pause(t, p)
	records := compareStream(t, p)
	for topic := range stream.Topics() {
		for _, outcome := range []string{"malformed", "unknown_type", "not_utf8", "oversized"} {
			if streamTruthOf(p, "consignwatch_records_total", "topic", topic, "outcome", outcome) == 0 {
				t.Errorf("nothing in %s is %s", topic, outcome)
			}
		}
		if n := streamTruthOf(p, "consignwatch_records_total", "topic", topic, "outcome", "duplicate"); (n > 0) != (topic == stream.Commerce) {
			t.Errorf("%d duplicates in %s", n, topic)
		}
	}
	near, far := 0, 0
	last := map[string]int64{}
	for _, r := range records {
		e, err := parseEvent(r)
		if err != nil {
			if string(r.Key) != slug {
				t.Errorf("%s has a bad record, too: %v", r.Key, err)
			}
			continue
		}
		if at, again := last[e.ID]; again && r.Offset-at < 3 {
			near++
		} else if again {
			far++
		}
		last[e.ID] = r.Offset
	}
	if near == 0 || far == 0 {
		t.Errorf("%d duplicates follow at once, %d later", near, far)
	}
}

func TestBrokerRestartLosesAndDuplicatesNothing(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, lively())
	r := seed.Rand(t)
	livePlatform(t, p)
	switchOn(t, p, faults.ErrorsBurst)
	for i := range 5 {
		before, more := p.State().Stream.Acknowledged, 1+r.Int64N(500)
		waitFor(t, "records", func() bool { return p.State().Stream.Acknowledged >= before+more })
		if i == 2 {
			switchOn(t, p, faults.StreamBurst)
		}
		switchOn(t, p, faults.BrokerRestart)
		waiting := 1 + r.Int64N(300)
		waitFor(t, "records that wait", func() bool { return p.State().Stream.Waiting >= waiting })
		if i == 4 {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if err := p.Pause(ctx); err == nil {
				t.Error("paused although the broker does not have everything")
			}
			cancel()
		}
		if err := p.Faults().Off(t.Context(), faults.BrokerRestart, ""); err != nil {
			t.Fatal(err)
		}
	}
	pause(t, p)
	if n := len(compareStream(t, p)); n < 20_000 {
		t.Errorf("only %d records", n)
	}
}

func TestFaultsShowInTheStream(t *testing.T) {
	t.Parallel()
	p := startWithStream(t, Config{Clients: 4, Events: 8, Items: 400, Speed: 60, Tick: 20 * time.Millisecond})
	livePlatform(t, p)
	slug := p.State().Clients[1]
	for _, test := range []struct {
		fault, metric string
		labels        string
		n             int
	}{
		{faults.ErrorsBurst, "consign_client_errors_total", "category=system", 5},
		{faults.ErrorsBurst, "consign_client_api_requests_total", "code_class=5xx", 5},
		{faults.CheckoutFailing, "consign_processes_total", "process=checkout outcome=failed", 2},
		{faults.ValidationStorm, "consign_client_errors_total", "kind=validation", 5},
		{faults.StateConflicts, "consign_client_errors_total", "kind=state_conflict", 2},
		{faults.CrossTenantAccess, "consign_security_violations_total", "kind=cross_tenant_access", 1},
		{faults.BruteForce, "consign_security_violations_total", "kind=brute_force", 1},
		{faults.BruteForce, "consign_client_auth_requests_total", "outcome=denied", 5},
		{faults.CrashLoop, "consign_app_crashes_total", "component=worker", 1},
		{faults.RecoveriesFailing, "consign_recoveries_total", "outcome=failed", 2},
		{faults.StreamBurst, "consign_client_api_requests_total", "code_class=2xx", 5_000},
	} {
		labels := strings.FieldsFunc(test.labels, func(r rune) bool { return r == '=' || r == ' ' })
		client := slug
		if test.fault == faults.CrashLoop || test.fault == faults.RecoveriesFailing {
			client = ""
		} else {
			labels = append(labels, "client", slug)
		}
		before := streamTruthOf(p, test.metric, labels...)
		if err := p.Faults().On(t.Context(), test.fault, client); err != nil {
			t.Fatal(err)
		}
		waitFor(t, test.fault+" in "+test.metric, func() bool { return streamTruthOf(p, test.metric, labels...) >= before+test.n })
		if err := p.Faults().Off(t.Context(), test.fault, client); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStreamNeedsAnAPIAndExternalServices(t *testing.T) {
	t.Parallel()
	config := Config{DSN: "user@tcp(127.0.0.1:1)/platform", Stream: []string{"127.0.0.1:1"}}
	config.ExternalServices = "127.0.0.1:0"
	if _, err := New(config); !errors.Is(err, faults.ErrNoAPI) {
		t.Errorf("without an API: %v", err)
	}
	config.API, config.ExternalServices = "http://127.0.0.1:0", ""
	if _, err := New(config); !errors.Is(err, faults.ErrNoExternal) {
		t.Errorf("without external services: %v", err)
	}
}

// The API and the external services are there wherever an event is emitted: no emitting file asks.
func TestNoEventIsMadeUpForWantOfAnAPI(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("emit/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if at := regexp.MustCompile(`(api|external|config\.(API|ExternalServices|Cache)) (==|!=) (nil|"")`).Find(text); at != nil {
			t.Errorf("%s asks whether %s", file, at)
		}
	}
}

func TestStreamFaultsNeedAStream(t *testing.T) {
	t.Parallel()
	p, _ := filled(t, Config{})
	for _, fault := range []string{faults.MalformedEvents, faults.DuplicateEvents, faults.StreamBurst, faults.BrokerRestart, faults.ErrorsBurst, faults.CrashLoop, faults.CheckoutFailing,
		faults.ValidationStorm, faults.StateConflicts, faults.RecoveriesFailing, faults.CrossTenantAccess, faults.BruteForce, faults.WorkersStopped, faults.JobsFailing, faults.DeadLetters} {
		if err := p.Faults().On(t.Context(), fault, ""); !errors.Is(err, faults.ErrNoStream) {
			t.Errorf("%s: %v", fault, err)
		}
	}
	if got := p.StreamTruth(); got == nil || len(got) > 0 {
		t.Errorf("truth of no stream: %v", got)
	}
}

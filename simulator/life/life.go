// Package life decides what happens on the platform, and when: people consign, buy and help, sale events go through their stages, and shops
// are synced. It changes rows through the store; it emits nothing, and calls nobody.
package life

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

const (
	shortestRetry = 200 * time.Millisecond
	longestRetry  = 2 * time.Second
)

// Config configures life.
type Config struct {
	Events, Items int // of the whole platform, at the beginning
	Seed          uint64
	Tick          time.Duration // how often life decides on the next activities
	Flawless      bool          // nothing fails at random
	Nights, Noon  bool          // as in the platform's configuration
}

// Shops are the external services, as far as they decide on what people can do.
type Shops interface {
	// RefusedByClerk reports whether sign-ins and sign-ups fail now, and emits the failed request.
	RefusedByClerk(client uint64, operation, feature string) bool
	// ShopAnswers reports whether the last call to a client's shop succeeded, and ShopDown whether the shop is down, so that nobody can buy.
	ShopAnswers(client uint64) bool
	ShopDown(client uint64) bool
	// FailCheckout emits a checkout that fails because the shop is down.
	FailCheckout(client uint64)
	// LoseOrder reports whether the orders of a client get lost, and creates a lost one in the shop only.
	LoseOrder(client uint64, lines []world.Sale) bool
	// ImportsLate reports whether a client has lost orders that can be imported, and ImportLate imports the oldest of them.
	ImportsLate(client uint64) bool
	ImportLate(c *store.Change, client uint64)
}

// Visitors place orders with requests to the API. The result is false if there is no API: then life places the order.
type Visitors interface {
	Order(client, event uint64) bool
}

// Life is the activities of the platform and its people.
type Life struct {
	*store.Store
	config   Config
	faults   *faults.Switches
	shops    Shops
	visitors Visitors

	Living atomic.Bool   // it runs: visitors place orders by the API
	Wake   chan struct{} // makes Run take a step at once

	// Guarded by the store's locks.
	rng   *rand.Rand
	clock lifeClock
}

// New makes the life of a platform. Without external services, shops is nil.
func New(config Config, s *store.Store, faults *faults.Switches, shops Shops, visitors Visitors) *Life {
	if shops == nil {
		shops = noShops{}
	}
	return &Life{
		Store: s, config: config, faults: faults, shops: shops, visitors: visitors, Wake: make(chan struct{}, 1),
		rng: rand.New(rand.NewPCG(config.Seed, 0x6c696665)),
	}
}

// noShops are the external services of a platform without any: nothing fails, and nothing gets lost.
type noShops struct{}

func (noShops) RefusedByClerk(uint64, string, string) bool { return false }
func (noShops) ShopAnswers(uint64) bool                    { return true }
func (noShops) ShopDown(uint64) bool                       { return false }
func (noShops) FailCheckout(uint64)                        {}
func (noShops) LoseOrder(uint64, []world.Sale) bool        { return false }
func (noShops) ImportsLate(uint64) bool                    { return false }
func (noShops) ImportLate(*store.Change, uint64)           {}

// lifeClock holds the due times that are not in the books.
type lifeClock struct {
	platform    time.Time            // the platform's time of day, which runs at Config.Speed
	heartbeats  map[uint64]time.Time // by client: heartbeats of sessions
	sync        map[uint64]time.Time // by client
	backups     map[string]*backupClock
	housekeeper time.Time
}

type backupClock struct {
	next    time.Time
	running uint64 // id of the run in progress; 0: none
	ends    time.Time
}

func newLifeClock(now time.Time, noon bool) lifeClock {
	day := now
	if noon {
		day = time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 0, 0, now.Location())
	}
	return lifeClock{platform: day, heartbeats: map[uint64]time.Time{}, sync: map[uint64]time.Time{}, backups: map[string]*backupClock{}, housekeeper: now.Add(housekeeping)}
}

// Run simulates life until the context ends, finishes the running activity and returns. While the database fails, Run waits and retries.
func (l *Life) Run(ctx context.Context) {
	ticker := time.NewTicker(l.config.Tick)
	defer ticker.Stop()
	last := time.Now()
	retry := shortestRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-l.Wake:
		}
		now := time.Now()
		elapsed := now.Sub(last)
		last = now
		if l.Paused.Load() {
			continue
		}
		err := l.Step(ctx, elapsed)
		if ctx.Err() != nil {
			return
		}
		if l.NoteFailure(err); err == nil {
			retry = shortestRetry
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(retry):
			retry = min(2*retry, longestRetry)
		}
	}
}

// TimeOfDay returns the platform's time of day.
func (l *Life) TimeOfDay() time.Time {
	l.Memory.RLock()
	defer l.Memory.RUnlock()
	return l.clock.platform
}

// Reset begins the life of a platform that was filled. The caller holds the store's locks.
func (l *Life) Reset(now time.Time) { l.clock = newLifeClock(now, l.config.Noon) }

// activity is a scheduled change. It chooses its rows when it runs.
type activity struct {
	name string
	do   func(*store.Change)
}

// Step runs the activities of a time span in a random order. It returns at the first activity that the database does not accept, and does
// nothing while life is paused. Run calls Step; a test that simulates life without a clock calls Step itself.
func (l *Life) Step(ctx context.Context, elapsed time.Duration) error {
	activities, err := l.decide(ctx, min(elapsed, world.LongestStep))
	if err != nil {
		return err
	}
	for _, a := range activities {
		if ctx.Err() != nil || l.Paused.Load() {
			return nil
		}
		if err := l.perform(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (l *Life) perform(ctx context.Context, a activity) error {
	if err := l.LockWrites(ctx); err != nil {
		return err
	}
	defer l.UnlockWrites()
	if l.Paused.Load() {
		return nil
	}
	if err := l.ResolveUnknown(ctx); err != nil { // before rows are chosen: it changes the books
		return err
	}
	c := l.NewChange(a.name)
	a.do(c)
	if c.Empty() {
		return nil
	}
	return l.Apply(ctx, c)
}

// step collects the activities of one time span.
type step struct {
	*Life
	at         time.Time
	wall       float64 // elapsed seconds
	days       float64 // elapsed platform days
	tempo      float64 // of the time of day; 0: nobody is active
	activities []activity
}

func (l *Life) decide(ctx context.Context, elapsed time.Duration) ([]activity, error) {
	if err := l.LockWrites(ctx); err != nil {
		return nil, err
	}
	defer l.UnlockWrites()
	l.Memory.Lock()
	l.clock.platform = l.clock.platform.Add(time.Duration(float64(elapsed) * l.Speed))
	l.Memory.Unlock()
	s := &step{Life: l, at: l.Now(), wall: elapsed.Seconds(), days: elapsed.Hours() / 24 * l.Speed, tempo: l.config.tempo(l.clock.platform)}
	for i := range l.Books.Clients {
		if c := &l.Books.Clients[i]; c.Active {
			s.clientLife(c)
		}
	}
	for i := range l.Books.Events {
		e := &l.Books.Events[i]
		if c := l.Books.Clients.Get(e.ClientID); c == nil || !c.Active || e.Status == world.Complete || e.Status == world.Cancelled {
			continue
		}
		s.eventLife(e.ID, e.ClientID, e.Status)
		if world.DueStatus(e, s.at, l.Day()) != e.Status {
			s.schedule(fmt.Sprintf("end %s", e.Status), func(c *store.Change) { l.advance(c, e.ID) })
		}
	}
	s.backupLife()
	if !s.at.Before(l.clock.housekeeper) {
		l.clock.housekeeper = s.at.Add(housekeeping)
		s.schedule("housekeeping", l.clean)
	}
	s.activities = slices.DeleteFunc(s.activities, l.impossible)
	l.rng.Shuffle(len(s.activities), func(i, j int) { s.activities[i], s.activities[j] = s.activities[j], s.activities[i] })
	return s.activities, nil
}

// tempo is how busy a time of day is: 0.5 at night, 1.5 in the afternoon. With Nights: 0 from one to six, 3 from seven to ten in the evening.
func (c *Config) tempo(at time.Time) float64 {
	hour := float64(at.Hour()) + float64(at.Minute())/60
	switch {
	case c.Nights && hour >= 1 && hour < 6:
		return 0
	case c.Nights && hour >= 19 && hour < 22:
		return 3
	}
	return 1 + 0.5*math.Cos((hour-15)/12*math.Pi)
}

// impossible reports whether an activity cannot happen now: people do nothing while the API does not serve.
func (l *Life) impossible(j activity) bool {
	if !l.faults.IsOn(faults.APIDown, 0) && !l.faults.IsOn(faults.PoolExhausted, 0) {
		return false
	}
	switch j.name {
	case "list item", "publish item", "change price", "register", "pay fee", "return", "shopper comes", "sign in", "open ticket",
		"change mail address", "book drop-off", "cancel drop-off", "sign up for a shift", "cancel a shift":
		return true
	default:
		return false
	}
}

// schedule adds one activity.
func (s *step) schedule(name string, do func(*store.Change)) {
	s.activities = append(s.activities, activity{name, do})
}

// perDay schedules an activity with a mean rate per platform day.
func (s *step) perDay(name string, rate float64, do func(*store.Change)) {
	for range world.Poisson(s.rng, rate*s.days) {
		s.schedule(name, do)
	}
}

// perSecond schedules an activity with a mean rate per second, for what does not follow the platform's day: people do not click faster
// because days are short.
func (s *step) perSecond(name string, rate float64, do func(*store.Change)) {
	for range world.Poisson(s.rng, rate*s.wall) {
		s.schedule(name, do)
	}
}

// clientLife schedules the activities of a client and its people.
func (s *step) clientLife(client *world.Client) {
	l, id := s.Life, client.ID
	if every := max(l.Scaled(5*time.Minute), l.Accelerated(time.Second)); !s.at.Before(l.clock.sync[id]) {
		if l.clock.sync[id].IsZero() { // spread the clients
			l.clock.sync[id] = s.at.Add(time.Duration(s.rng.Int64N(int64(every))))
		} else {
			l.clock.sync[id] = s.at.Add(every)
			s.schedule("sync", func(c *store.Change) { l.sync(c, id) })
		}
	}
	if !s.at.Before(l.clock.heartbeats[id]) {
		l.clock.heartbeats[id] = s.at.Add(world.HeartbeatEvery)
		s.schedule("heartbeat", func(c *store.Change) { l.heartbeat(c, id) })
	}
	if l.shops.ImportsLate(id) {
		s.schedule("import late orders", func(c *store.Change) { l.shops.ImportLate(c, id) })
	}
	stay := s.visitSeconds()
	for i, role := range world.Roles()[1:] {
		s.perSecond("sign in", [...]float64{3, 1, 1, 1, 0.3}[i]*s.tempo/stay, func(c *store.Change) { l.arrive(c, id, 0, role) })
	}
	s.perSecond("sign out", float64(l.Index.Staff.Len(id))/stay*s.leaveFactor(), func(c *store.Change) { l.leave(c, &l.Index.Staff, id) })

	tickets, answers := 0.5, 1.0
	if l.faults.IsOn(faults.TicketsPilingUp, id) {
		tickets, answers = 30, 0
	}
	s.perDay("open ticket", tickets*s.tempo, func(c *store.Change) { l.openTicket(c, id, world.PickPriority(l.rng.Float64())) })
	s.perDay("answer ticket", answers*12*float64(l.Index.Open.Len(id)), func(c *store.Change) { l.answerTicket(c, id) })
	s.perDay("solve ticket", answers*3*float64(l.Index.Waiting.Len(id)), func(c *store.Change) { l.solveTicket(c, id) })
	s.perDay("change mail address", 0.01*float64(l.Index.Consignors.Len(id)), func(c *store.Change) { l.changeAddress(c, id) })
	if l.Index.Events.Len(id) < 2 {
		s.perDay("plan sale event", 0.3, func(c *store.Change) { l.planEvent(c, id) })
	}
}

// visitSeconds returns the mean length of a visit in seconds.
func (s *step) visitSeconds() float64 {
	return max(s.Scaled(15*time.Minute), s.Accelerated(time.Minute)).Seconds()
}

// leaveFactor is how much sooner than usual people leave: at night all of them go.
func (s *step) leaveFactor() float64 {
	if s.tempo == 0 {
		return 10
	}
	return 1
}

// eventLife schedules the activities of a sale event.
func (s *step) eventLife(id, client uint64, status string) {
	l, x := s.Life, s.Index
	participants := float64(x.Participants.Len(id))
	switch status {
	case world.Registration:
		expected := max(float64(l.config.Items)/float64(l.config.Events)/world.ItemsEach, 5)
		s.perDay("register", 1.3*expected/world.RegistrationBefore*s.tempo, func(c *store.Change) { l.register(c, id) })
		s.perDay("list item", participants*world.ItemsEach/world.RegistrationBefore*s.tempo, func(c *store.Change) { l.listItem(c, id) })
	case world.Active, world.Markdown:
		purchases := 0.18 * float64(x.ForSale.Len(id)) * s.tempo
		switch {
		case l.Buying(client):
			s.perDay("purchase", purchases, func(c *store.Change) { l.buy(c, client, id) })
		case l.shops.ShopDown(client):
			s.perDay("failed purchase", purchases, func(*store.Change) { l.shops.FailCheckout(client) })
		}
		s.perDay("list item", participants*0.5*s.tempo, func(c *store.Change) { l.listItem(c, id) })
		s.perDay("change price", 0.05*float64(x.ForSale.Len(id)), func(c *store.Change) { l.reprice(c, id) })
		s.perSecond("shopper comes", float64(world.ShoppersOf(id))*s.tempo/s.visitSeconds(), func(c *store.Change) { l.arrive(c, client, id, "shopper") })
	case world.Closed, world.Returns:
		if x.ForSale.Len(id) > 0 {
			s.schedule("lock items", func(c *store.Change) { l.lockItems(c, id) })
		}
		s.perDay("transfer", 0.1*float64(x.Locked.Len(id)), func(c *store.Change) { l.transfer(c, id) })
	case world.Reconciliation:
		if x.Unsettled.Len(id) > 0 {
			s.schedule("settle", func(c *store.Change) { l.settleAccounts(c, id) })
		}
		s.perDay("pay", 3*math.Ceil(float64(x.Pending.Len(id))/4), func(c *store.Change) { l.pay(c, id, 4) })
	}
	if status != world.Setup && status != world.Draft {
		s.perSecond("shopper leaves", float64(x.Shoppers.Len(id))/s.visitSeconds()*s.leaveFactor(), func(c *store.Change) { l.leave(c, &x.Shoppers, id) })
		s.perDay("publish item", 3*float64(x.Drafts.Len(id)), func(c *store.Change) { l.publish(c, id) })
		s.perDay("pay fee", 0.5*float64(x.Unpaid.Len(id)), func(c *store.Change) { l.payFee(c, id) })
		s.perDay("return", 0.004*float64(x.Sold.Len(id)), func(c *store.Change) { l.returnItem(c, id) })
		s.dropoffLife(id)
		s.shiftLife(id)
	}
}

func (s *step) dropoffLife(event uint64) {
	l, x := s.Life, s.Index
	s.perDay("book drop-off", 0.5*float64(x.Undropped.Len(event)), func(c *store.Change) { l.bookDropoff(c, event) })
	s.perDay("cancel drop-off", 0.03*float64(x.DueSlots.Len(event)), func(c *store.Change) { l.cancelDropoff(c, event) })
	for _, slot := range x.DueSlots.Some(event, math.MaxInt) {
		if row := l.Books.DropoffSlots.Get(slot); row != nil && row.StartAt.Before(s.at) {
			s.schedule("drop-off", func(c *store.Change) { l.endDropoffs(c, slot) })
		}
	}
}

func (s *step) shiftLife(event uint64) {
	l, x := s.Life, s.Index
	s.perDay("sign up for a shift", 0.1*float64(x.Participants.Len(event)), func(c *store.Change) { l.bookShift(c, event) })
	s.perDay("cancel a shift", 0.03*float64(x.DueShifts.Len(event)), func(c *store.Change) { l.cancelShift(c, event) })
	for _, shift := range x.DueShifts.Some(event, math.MaxInt) {
		if row := l.Books.VolunteerShifts.Get(shift); row != nil && row.EndAt.Before(s.at) {
			s.schedule("shift ends", func(c *store.Change) { l.endShift(c, shift) })
		}
	}
}

func (l *Life) chance(probability float64) bool { return l.rng.Float64() < probability }

// randomFailure reports whether a random failure happens, which Config.Flawless turns off.
func (l *Life) randomFailure(probability float64) bool {
	return !l.config.Flawless && l.chance(probability)
}

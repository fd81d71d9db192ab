package simulator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	heartbeatEvery = 30 * time.Second // how often the last-seen time of an active session is updated
	longestStep    = 2 * time.Second  // a longer gap is not made up for
	maxPerStep     = 25               // activities of one kind in a step, of a sale event or client
	batch          = 100              // rows that an activity changes at most
	shortestRetry  = 200 * time.Millisecond
	longestRetry   = 2 * time.Second
)

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

// Run simulates life until the context ends, finishes the running activity and returns nil. While the database fails, Run waits and
// retries.
func (p *Platform) Run(ctx context.Context) error {
	if !p.filled.Load() {
		return ErrNotFilled
	}
	if p.living.Swap(true) {
		return errors.New("platform: life: it runs already")
	}
	defer p.living.Store(false)
	if p.emitter != nil {
		emitting, stop := context.WithCancel(ctx)
		var done sync.WaitGroup
		done.Go(func() { p.emitter.run(emitting) })
		done.Go(func() { p.emitter.runWorkers(emitting) })
		defer done.Wait()
		defer stop()
	}
	defer p.runInfra(ctx)()
	ticker := time.NewTicker(p.config.Tick)
	defer ticker.Stop()
	last := time.Now()
	retry := shortestRetry
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-p.wake:
		}
		now := time.Now()
		elapsed := now.Sub(last)
		last = now
		if p.paused.Load() {
			continue
		}
		err := p.Step(ctx, elapsed)
		p.logFailing(ctx, err)
		if err == nil {
			retry = shortestRetry
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
			retry = min(2*retry, longestRetry)
		}
	}
}

// logFailing logs the first error of an outage, and its end.
func (p *Platform) logFailing(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		if p.failing.Swap(nil) != nil {
			p.config.Logger.Info("platform: simulation resumes")
		}
	default:
		p.failures.Add(1)
		message := err.Error()
		if p.failing.Swap(&message) == nil {
			p.config.Logger.Warn("platform: simulation waits", "err", err)
		}
	}
}

// activity is a scheduled change. It chooses its rows when it runs.
type activity struct {
	name string
	do   func(*Change)
}

// Step runs the activities of a time span in a random order. It returns at the first activity that the database does not accept, and does
// nothing while life is paused. Run calls Step; a test that simulates life without a clock calls Step itself.
func (p *Platform) Step(ctx context.Context, elapsed time.Duration) error {
	activities, err := p.decide(ctx, min(elapsed, longestStep))
	if err != nil {
		return err
	}
	for _, a := range activities {
		if ctx.Err() != nil || p.paused.Load() {
			return nil
		}
		if err := p.perform(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (p *Platform) perform(ctx context.Context, a activity) error {
	if err := p.lockWrites(ctx); err != nil {
		return err
	}
	defer p.unlockWrites()
	if p.paused.Load() {
		return nil
	}
	if err := p.resolveUnknown(ctx); err != nil { // before rows are chosen: it changes the books
		return err
	}
	c := p.newChange(a.name)
	a.do(c)
	if c.empty() {
		return nil
	}
	return p.apply(ctx, c)
}

// step collects the activities of one time span.
type step struct {
	*Platform
	at         time.Time
	wall       float64 // elapsed seconds
	days       float64 // elapsed platform days
	tempo      float64 // of the time of day; 0: nobody is active
	activities []activity
}

func (p *Platform) decide(ctx context.Context, elapsed time.Duration) ([]activity, error) {
	if err := p.lockWrites(ctx); err != nil {
		return nil, err
	}
	defer p.unlockWrites()
	p.mu.Lock()
	p.clock.platform = p.clock.platform.Add(time.Duration(float64(elapsed) * p.config.Speed))
	p.mu.Unlock()
	s := &step{Platform: p, at: p.now(), wall: elapsed.Seconds(), days: elapsed.Hours() / 24 * p.config.Speed, tempo: p.config.tempo(p.clock.platform)}
	for i := range p.books.Clients {
		if c := &p.books.Clients[i]; c.Active {
			s.clientLife(c)
		}
	}
	for i := range p.books.Events {
		e := &p.books.Events[i]
		if c := p.books.Clients.Get(e.ClientID); c == nil || !c.Active || e.Status == Complete || e.Status == Cancelled {
			continue
		}
		s.eventLife(e.ID, e.ClientID, e.Status)
		if dueStatus(e, s.at, p.day()) != e.Status {
			s.schedule(fmt.Sprintf("end %s", e.Status), func(c *Change) { p.advance(c, e.ID) })
		}
	}
	s.backupLife()
	if !s.at.Before(p.clock.housekeeper) {
		p.clock.housekeeper = s.at.Add(housekeeping)
		s.schedule("housekeeping", p.clean)
	}
	s.activities = slices.DeleteFunc(s.activities, p.impossible)
	p.rng.Shuffle(len(s.activities), func(i, j int) { s.activities[i], s.activities[j] = s.activities[j], s.activities[i] })
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

// schedule adds one activity.
func (s *step) schedule(name string, do func(*Change)) {
	s.activities = append(s.activities, activity{name, do})
}

// perDay schedules an activity with a mean rate per platform day.
func (s *step) perDay(name string, rate float64, do func(*Change)) {
	for range poisson(s.rng, rate*s.days) {
		s.schedule(name, do)
	}
}

// perSecond schedules an activity with a mean rate per second, for what does not follow the platform's day: people do not click faster
// because days are short.
func (s *step) perSecond(name string, rate float64, do func(*Change)) {
	for range poisson(s.rng, rate*s.wall) {
		s.schedule(name, do)
	}
}

// clientLife schedules the activities of a client and its people.
func (s *step) clientLife(client *Client) {
	p, id := s.Platform, client.ID
	if every := max(p.scaled(5*time.Minute), p.accelerated(time.Second)); !s.at.Before(p.clock.sync[id]) {
		if p.clock.sync[id].IsZero() { // spread the clients
			p.clock.sync[id] = s.at.Add(time.Duration(s.rng.Int64N(int64(every))))
		} else {
			p.clock.sync[id] = s.at.Add(every)
			s.schedule("sync", func(c *Change) { p.sync(c, id) })
		}
	}
	if !s.at.Before(p.clock.heartbeats[id]) {
		p.clock.heartbeats[id] = s.at.Add(heartbeatEvery)
		s.schedule("heartbeat", func(c *Change) { p.heartbeat(c, id) })
	}
	if p.external != nil && p.external.missingCount(id) > 0 && !p.losesOrders(id) {
		s.schedule("import late orders", func(c *Change) { p.importLate(c, id) })
	}
	stay := s.visitSeconds()
	for i, role := range Roles()[1:] {
		s.perSecond("sign in", [...]float64{3, 1, 1, 1, 0.3}[i]*s.tempo/stay, func(c *Change) { p.arrive(c, id, 0, role) })
	}
	s.perSecond("sign out", float64(p.index.staff.len(id))/stay*s.leaveFactor(), func(c *Change) { p.leave(c, p.index.staff, id) })

	tickets, answers := 0.5, 1.0
	if p.faults.isOn(TicketsPilingUp, id) {
		tickets, answers = 30, 0
	}
	s.perDay("open ticket", tickets*s.tempo, func(c *Change) { p.openTicket(c, id, pickPriority(p.rng.Float64())) })
	s.perDay("answer ticket", answers*12*float64(p.index.open.len(id)), func(c *Change) { p.answerTicket(c, id) })
	s.perDay("solve ticket", answers*3*float64(p.index.waiting.len(id)), func(c *Change) { p.solveTicket(c, id) })
	s.perDay("change mail address", 0.01*float64(p.index.consignors.len(id)), func(c *Change) { p.changeAddress(c, id) })
	if p.index.events.len(id) < 2 {
		s.perDay("plan sale event", 0.3, func(c *Change) { p.planEvent(c, id) })
	}
}

// visitSeconds returns the mean length of a visit in seconds.
func (s *step) visitSeconds() float64 {
	return max(s.scaled(15*time.Minute), s.accelerated(time.Minute)).Seconds()
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
	p, x := s.Platform, s.index
	participants := float64(x.participants.len(id))
	switch status {
	case Registration:
		expected := max(float64(p.config.Items)/float64(p.config.Events)/itemsEach, 5)
		s.perDay("register", 1.3*expected/registrationBefore*s.tempo, func(c *Change) { p.register(c, id) })
		s.perDay("list item", participants*itemsEach/registrationBefore*s.tempo, func(c *Change) { p.listItem(c, id) })
	case Active, Markdown:
		purchases := 0.18 * float64(x.forSale.len(id)) * s.tempo
		switch {
		case p.buying(client):
			s.perDay("purchase", purchases, func(c *Change) { p.buy(c, client, id) })
		case p.shopDown(client):
			s.perDay("failed purchase", purchases, func(*Change) { p.failCheckout(client) })
		}
		s.perDay("list item", participants*0.5*s.tempo, func(c *Change) { p.listItem(c, id) })
		s.perDay("change price", 0.05*float64(x.forSale.len(id)), func(c *Change) { p.reprice(c, id) })
		s.perSecond("shopper comes", float64(shoppersOf(id))*s.tempo/s.visitSeconds(), func(c *Change) { p.arrive(c, client, id, "shopper") })
	case Closed, Returns:
		if x.forSale.len(id) > 0 {
			s.schedule("lock items", func(c *Change) { p.lockItems(c, id) })
		}
		s.perDay("transfer", 0.1*float64(x.locked.len(id)), func(c *Change) { p.transfer(c, id) })
	case Reconciliation:
		if x.unsettled.len(id) > 0 {
			s.schedule("settle", func(c *Change) { p.settleAccounts(c, id) })
		}
		s.perDay("pay", 3*math.Ceil(float64(x.pending.len(id))/4), func(c *Change) { p.pay(c, id, 4) })
	}
	if status != Setup && status != Draft {
		s.perSecond("shopper leaves", float64(x.shoppers.len(id))/s.visitSeconds()*s.leaveFactor(), func(c *Change) { p.leave(c, x.shoppers, id) })
		s.perDay("publish item", 3*float64(x.drafts.len(id)), func(c *Change) { p.publish(c, id) })
		s.perDay("pay fee", 0.5*float64(x.unpaid.len(id)), func(c *Change) { p.payFee(c, id) })
		s.perDay("return", 0.004*float64(x.sold.len(id)), func(c *Change) { p.returnItem(c, id) })
		s.dropoffLife(id)
		s.shiftLife(id)
	}
}

// itemsEach is the mean number of items of a consignor.
const itemsEach = 30.0

func (s *step) dropoffLife(event uint64) {
	p, x := s.Platform, s.index
	s.perDay("book drop-off", 0.5*float64(x.undropped.len(event)), func(c *Change) { p.bookDropoff(c, event) })
	s.perDay("cancel drop-off", 0.03*float64(x.dueSlots.len(event)), func(c *Change) { p.cancelDropoff(c, event) })
	for _, slot := range x.dueSlots.some(event, math.MaxInt) {
		if row := p.books.DropoffSlots.Get(slot); row != nil && row.StartAt.Before(s.at) {
			s.schedule("drop-off", func(c *Change) { p.endDropoffs(c, slot) })
		}
	}
}

func (s *step) shiftLife(event uint64) {
	p, x := s.Platform, s.index
	s.perDay("sign up for a shift", 0.1*float64(x.participants.len(event)), func(c *Change) { p.bookShift(c, event) })
	s.perDay("cancel a shift", 0.03*float64(x.dueShifts.len(event)), func(c *Change) { p.cancelShift(c, event) })
	for _, shift := range x.dueShifts.some(event, math.MaxInt) {
		if row := p.books.VolunteerShifts.Get(shift); row != nil && row.EndAt.Before(s.at) {
			s.schedule("shift ends", func(c *Change) { p.endShift(c, shift) })
		}
	}
}

// poisson draws the number of occurrences from a Poisson distribution with the given mean, at most maxPerStep.
func poisson(rng *rand.Rand, mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > maxPerStep {
		return maxPerStep
	}
	limit, product, n := math.Exp(-mean), rng.Float64(), 0
	for product > limit && n < maxPerStep {
		product *= rng.Float64()
		n++
	}
	return n
}

func (p *Platform) chance(probability float64) bool { return p.rng.Float64() < probability }

// randomFailure reports whether a random failure happens, which Config.Flawless turns off.
func (p *Platform) randomFailure(probability float64) bool {
	return !p.config.Flawless && p.chance(probability)
}

package platform

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
	heartbeat     = 30 * time.Second // how often a session that goes on is seen
	longestStep   = 2 * time.Second  // life does not make up for more than it missed
	mostAtOnce    = 25               // activities of one kind in one step, of one sale event or client
	batch         = 100              // rows that one activity changes at most
	shortestRetry = 200 * time.Millisecond
	longestRetry  = 2 * time.Second
)

// lifeClock is when things are due that do not stand in the books.
type lifeClock struct {
	platform    time.Time            // the platform's own time of day, which runs with the speed
	beat        map[uint64]time.Time // by client: heartbeats of sessions
	sync        map[uint64]time.Time // by client
	backups     map[string]*backupClock
	housekeeper time.Time
}

type backupClock struct {
	next    time.Time
	running uint64 // id of the run that goes on; 0: none
	ends    time.Time
}

func newLifeClock(now time.Time, noon bool) lifeClock {
	day := now
	if noon {
		day = time.Date(now.Year(), now.Month(), now.Day(), 12, 0, 0, 0, now.Location())
	}
	return lifeClock{platform: day, beat: map[uint64]time.Time{}, sync: map[uint64]time.Time{}, backups: map[string]*backupClock{}, housekeeper: now.Add(housekeeping)}
}

// Run lets the platform live until the context ends; then the running activity is finished, and Run returns nil. While the
// database does not do its work, life waits and tries again.
func (p *Platform) Run(ctx context.Context) error {
	if !p.filled.Load() {
		return ErrNotFilled
	}
	if p.living.Swap(true) {
		return errors.New("platform: life: it runs already")
	}
	defer p.living.Store(false)
	if p.teller != nil {
		talking, stop := context.WithCancel(ctx)
		var done sync.WaitGroup
		done.Go(func() { p.teller.talk(talking) })
		done.Go(func() { p.teller.work(talking) })
		defer done.Wait()
		defer stop()
	}
	defer p.operate(ctx)()
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
		p.report(ctx, err)
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

// report logs when the trouble begins and when it ends.
func (p *Platform) report(ctx context.Context, err error) {
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

// job is an activity that was decided on. What it acts on is chosen when its turn comes.
type job struct {
	name string
	do   func(*Change)
}

// Step does what happens in a stretch of time, in a random order. It returns at the first activity that the
// database does not accept, and does nothing while life is paused. Run calls it; a test that wants life without a clock
// calls it itself.
func (p *Platform) Step(ctx context.Context, elapsed time.Duration) error {
	jobs, err := p.decide(ctx, min(elapsed, longestStep))
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if ctx.Err() != nil || p.paused.Load() {
			return nil
		}
		if err := p.perform(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

func (p *Platform) perform(ctx context.Context, j job) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.release()
	if p.paused.Load() {
		return nil
	}
	if err := p.settle(ctx); err != nil { // before choosing: it changes the books
		return err
	}
	c := p.newChange(j.name)
	j.do(c)
	if c.empty() {
		return nil
	}
	return p.apply(ctx, c)
}

// step is the decision about one step.
type step struct {
	*Platform
	at    time.Time
	wall  float64 // elapsed seconds
	days  float64 // elapsed platform days
	tempo float64 // of the time of day; 0: everybody sleeps
	jobs  []job
}

func (p *Platform) decide(ctx context.Context, elapsed time.Duration) ([]job, error) {
	if err := p.take(ctx); err != nil {
		return nil, err
	}
	defer p.release()
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
			s.once(fmt.Sprintf("end %s", e.Status), func(c *Change) { p.advance(c, e.ID) })
		}
	}
	s.backupLife()
	if !s.at.Before(p.clock.housekeeper) {
		p.clock.housekeeper = s.at.Add(housekeeping)
		s.once("housekeeping", p.clean)
	}
	s.jobs = slices.DeleteFunc(s.jobs, p.cannot)
	p.rng.Shuffle(len(s.jobs), func(i, j int) { s.jobs[i], s.jobs[j] = s.jobs[j], s.jobs[i] })
	return s.jobs, nil
}

// tempo is how busy a time of day is: 0.5 at night, 1.5 in the afternoon. With nights: nothing from one to six, 3 from seven to ten in the evening.
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

// once decides on one activity.
func (s *step) once(name string, do func(*Change)) { s.jobs = append(s.jobs, job{name, do}) }

// daily decides how often something happens that happens so often in a platform day.
func (s *step) daily(name string, rate float64, do func(*Change)) {
	for range poisson(s.rng, rate*s.days) {
		s.once(name, do)
	}
}

// secondly is the same for what does not follow the platform's day: people do not click faster because days are short.
func (s *step) secondly(name string, rate float64, do func(*Change)) {
	for range poisson(s.rng, rate*s.wall) {
		s.once(name, do)
	}
}

// clientLife decides what a client and its people do.
func (s *step) clientLife(client *Client) {
	p, id := s.Platform, client.ID
	if every := max(p.scaled(5*time.Minute), p.hastened(time.Second)); !s.at.Before(p.clock.sync[id]) {
		if p.clock.sync[id].IsZero() { // not all at once
			p.clock.sync[id] = s.at.Add(time.Duration(s.rng.Int64N(int64(every))))
		} else {
			p.clock.sync[id] = s.at.Add(every)
			s.once("sync", func(c *Change) { p.sync(c, id) })
		}
	}
	if !s.at.Before(p.clock.beat[id]) {
		p.clock.beat[id] = s.at.Add(heartbeat)
		s.once("heartbeat", func(c *Change) { p.heartbeat(c, id) })
	}
	if p.outside != nil && p.outside.missing(id) > 0 && !p.loses(id) {
		s.once("import late orders", func(c *Change) { p.importLate(c, id) })
	}
	stay := s.stay()
	for i, role := range Roles()[1:] {
		s.secondly("sign in", [...]float64{3, 1, 1, 1, 0.3}[i]*s.tempo/stay, func(c *Change) { p.arrive(c, id, 0, role) })
	}
	s.secondly("sign out", float64(p.index.staff.len(id))/stay*s.hurry(), func(c *Change) { p.leave(c, p.index.staff, id) })

	tickets, answers := 0.5, 1.0
	if p.faults.isOn(TicketsPilingUp, id) {
		tickets, answers = 30, 0
	}
	s.daily("open ticket", tickets*s.tempo, func(c *Change) { p.openTicket(c, id, pickPriority(p.rng.Float64())) })
	s.daily("answer ticket", answers*12*float64(p.index.open.len(id)), func(c *Change) { p.answerTicket(c, id) })
	s.daily("solve ticket", answers*3*float64(p.index.waiting.len(id)), func(c *Change) { p.solveTicket(c, id) })
	s.daily("change mail address", 0.01*float64(p.index.consignors.len(id)), func(c *Change) { p.changeAddress(c, id) })
	if p.index.events.len(id) < 2 {
		s.daily("plan sale event", 0.3, func(c *Change) { p.planEvent(c, id) })
	}
}

// stay returns how long a visit lasts, in seconds.
func (s *step) stay() float64 {
	return max(s.scaled(15*time.Minute), s.hastened(time.Minute)).Seconds()
}

// hurry is how much sooner people leave than usual: at night they all go to bed.
func (s *step) hurry() float64 {
	if s.tempo == 0 {
		return 10
	}
	return 1
}

// eventLife decides what goes on in a sale event.
func (s *step) eventLife(id, client uint64, status string) {
	p, x := s.Platform, s.index
	participants := float64(x.participants.len(id))
	switch status {
	case Registration:
		expected := max(float64(p.config.Items)/float64(p.config.Events)/itemsEach, 5)
		s.daily("register", 1.3*expected/registrationBefore*s.tempo, func(c *Change) { p.register(c, id) })
		s.daily("list item", participants*itemsEach/registrationBefore*s.tempo, func(c *Change) { p.list(c, id) })
	case Active, Markdown:
		purchases := 0.18 * float64(x.forSale.len(id)) * s.tempo
		switch {
		case p.buying(client):
			s.daily("purchase", purchases, func(c *Change) { p.buy(c, client, id) })
		case p.shopDown(client):
			s.daily("failed purchase", purchases, func(*Change) { p.failCheckout(client) })
		}
		s.daily("list item", participants*0.5*s.tempo, func(c *Change) { p.list(c, id) })
		s.daily("change price", 0.05*float64(x.forSale.len(id)), func(c *Change) { p.reprice(c, id) })
		s.secondly("shopper comes", float64(shoppersOf(id))*s.tempo/s.stay(), func(c *Change) { p.arrive(c, client, id, "shopper") })
	case Closed, Returns:
		if x.forSale.len(id) > 0 {
			s.once("lock items", func(c *Change) { p.lock(c, id) })
		}
		s.daily("transfer", 0.1*float64(x.locked.len(id)), func(c *Change) { p.transfer(c, id) })
	case Reconciliation:
		if x.unsettled.len(id) > 0 {
			s.once("settle", func(c *Change) { p.settleAccounts(c, id) })
		}
		s.daily("pay", 3*math.Ceil(float64(x.pending.len(id))/4), func(c *Change) { p.pay(c, id, 4) })
	}
	if status != Setup && status != Draft {
		s.secondly("shopper leaves", float64(x.shoppers.len(id))/s.stay()*s.hurry(), func(c *Change) { p.leave(c, x.shoppers, id) })
		s.daily("publish item", 3*float64(x.drafts.len(id)), func(c *Change) { p.publish(c, id) })
		s.daily("pay fee", 0.5*float64(x.unpaid.len(id)), func(c *Change) { p.payFee(c, id) })
		s.daily("return", 0.004*float64(x.sold.len(id)), func(c *Change) { p.giveBack(c, id) })
		s.dropoffLife(id)
		s.shiftLife(id)
	}
}

// itemsEach is how many items a consignor brings.
const itemsEach = 30.0

func (s *step) dropoffLife(event uint64) {
	p, x := s.Platform, s.index
	s.daily("book drop-off", 0.5*float64(x.undropped.len(event)), func(c *Change) { p.bookDropoff(c, event) })
	s.daily("cancel drop-off", 0.03*float64(x.dueSlots.len(event)), func(c *Change) { p.cancelDropoff(c, event) })
	for _, slot := range x.dueSlots.some(event, math.MaxInt) {
		if row := p.books.DropoffSlots.Get(slot); row != nil && row.StartAt.Before(s.at) {
			s.once("drop-off", func(c *Change) { p.endDropoffs(c, slot) })
		}
	}
}

func (s *step) shiftLife(event uint64) {
	p, x := s.Platform, s.index
	s.daily("sign up for a shift", 0.1*float64(x.participants.len(event)), func(c *Change) { p.bookShift(c, event) })
	s.daily("cancel a shift", 0.03*float64(x.dueShifts.len(event)), func(c *Change) { p.cancelShift(c, event) })
	for _, shift := range x.dueShifts.some(event, math.MaxInt) {
		if row := p.books.VolunteerShifts.Get(shift); row != nil && row.EndAt.Before(s.at) {
			s.once("shift ends", func(c *Change) { p.endShift(c, shift) })
		}
	}
}

// poisson draws how often something happens that happens so often on average.
func poisson(rng *rand.Rand, mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > mostAtOnce {
		return mostAtOnce
	}
	limit, product, n := math.Exp(-mean), rng.Float64(), 0
	for product > limit && n < mostAtOnce {
		product *= rng.Float64()
		n++
	}
	return n
}

func (p *Platform) chance(probability float64) bool { return p.rng.Float64() < probability }

// mishap decides whether something goes wrong by itself.
func (p *Platform) mishap(probability float64) bool {
	return !p.config.Flawless && p.chance(probability)
}

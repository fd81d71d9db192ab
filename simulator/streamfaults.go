package simulator

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// Faults of the stream. They change no row.

const (
	burstFirst     = 20_000 // events of stream-burst, immediately
	burstNext      = 5_000  // and then every burstEvery
	burstEvery     = 10 * time.Second
	crashEvery     = 4 * time.Second
	malformedEvery = time.Second

	reprocessedImages = 0.5 // jobs a second, for images that exist already, during dead-letters
	bulkMails         = 0.5 // emails a second, to old addresses, during mail-bouncing
)

// emitClientFaults emits the events of the faults that are on for a client.
func (em *eventEmitter) emitClientFaults(x *presence, seconds float64) {
	on := func(fault string) bool { return em.p.faults.isOn(fault, x.id) }
	src := em.sourceFor(x.tenant, "api").withTrace()
	if on(ErrorsBurst) {
		for range em.occurrences(8, seconds) {
			e := oneOf(em, endpointsOf("shopper")...)
			src.request(e, 500)
			src.userError("system", oneOf(em, "queue", "cache", "database"), "api", e.feature)
		}
		for range em.occurrences(2, seconds) {
			src.emit(stream.ErrorRaised{Category: "integration", Kind: oneOf(em, "api", "timeout", "webhook_miss", "sync"), Component: "sync-worker"})
			src.recovery("retry", "sync-worker")
		}
	}
	if on(CheckoutFailing) {
		for range em.occurrences(2, seconds) {
			src.failedCheckout("error", src.jitter(180*time.Millisecond))
		}
	}
	if on(ValidationStorm) {
		for range em.occurrences(5, seconds) {
			src.request(endpoint{"POST", "/api/items", "item-entry", "items", "select"}, 422)
			src.userError("business", "validation", "api", "item-entry")
		}
	}
	if on(StateConflicts) {
		for range em.occurrences(3, seconds) {
			src.request(endpoint{"PUT", "/api/items/{id}", "pricing", "items", "select"}, 409)
			src.userError("business", "state_conflict", "api", "pricing")
			src.recovery("state_restore", "api")
		}
	}
	if on(CrossTenantAccess) {
		for range em.occurrences(1, seconds) {
			src.request(endpoint{"GET", "/api/consignors/{id}", "consignors", "consignors", "select"}, 403)
			src.emit(stream.AuthToken{Result: "wrong_tenant"})
			src.emit(stream.SecurityViolation{Kind: "cross_tenant_access"})
		}
	}
	if on(BruteForce) {
		for range em.occurrences(10, seconds) {
			src.request(endpoint{"POST", "/api/sessions", "sign-in", "sessions", "select"}, 401)
			src.emit(stream.AuthRequest{Operation: "sign_in", Outcome: "denied", Duration: src.jitter(150 * time.Millisecond)})
		}
		for range em.occurrences(1, seconds) {
			src.emit(stream.AuthToken{Result: oneOf(em, "invalid_signature", "malformed")})
			src.emit(stream.SecurityViolation{Kind: "brute_force"})
		}
	}
	if on(MalformedEvents) {
		for range em.occurrences(1/malformedEvery.Seconds(), seconds) {
			em.publishMalformed(x.tenant)
		}
	}
	if on(DuplicateEvents) {
		for range em.occurrences(0.5, seconds) {
			em.republishRecent(x.tenant, 1)
		}
	}
}

// failedCheckout emits a checkout that fails because of the outcome of a call to the shop.
func (src source) failedCheckout(outcome string, took stream.Duration) {
	src.emit(stream.ProcessStarted{Process: "checkout"})
	src.emit(stream.ExternalCall{Service: "shopify", Operation: "checkout.complete", Outcome: outcome, Duration: took})
	src.request(endpoint{"POST", "/api/orders", "checkout", "sales", "insert"}, 502)
	src.userError("integration", "api", "checkout", "checkout")
	src.emit(stream.ProcessFinished{Process: "checkout", Outcome: Failed, Duration: src.jitter(25 * time.Second)})
}

// emitPlatformFaults emits the events of the faults that concern no client, or several.
func (em *eventEmitter) emitPlatformFaults(present []presence, seconds float64) {
	now := em.p.now()
	if em.p.faults.isOn(CrashLoop, 0) && !now.Before(em.nextCrash) {
		em.nextCrash = now.Add(crashEvery)
		em.emitCrash()
	}
	if em.p.faults.isOn(RecoveriesFailing, 0) {
		for range em.occurrences(2, seconds) {
			src := em.platformSource("worker")
			src.emit(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
			src.recovery(oneOf(em, "retry", "self_heal", "fallback", "state_restore"), oneOf(em, "worker", "cache", "sync-worker"))
		}
	}
	if em.p.faults.isOn(DeadLetters, 0) && len(present) > 0 {
		for range em.occurrences(reprocessedImages*em.p.config.Acceleration, seconds) {
			em.sourceFor(oneOf(em, present...).tenant, "worker").enqueue(jobs.Image, "resize")
		}
	}
	if em.p.faults.isOn(MailBouncing, 0) && len(present) > 0 {
		for range em.occurrences(bulkMails*em.p.config.Acceleration, seconds) {
			em.sourceFor(oneOf(em, present...).tenant, "worker").mail("registration-open")
		}
	}
	if !now.Before(em.nextBurst) {
		em.nextBurst = now.Add(burstEvery)
		var all []tenant
		for _, x := range present {
			if em.p.faults.isOn(StreamBurst, x.id) {
				all = append(all, x.tenant)
			}
		}
		em.publishBurst(all, burstNext)
	}
}

func (em *eventEmitter) emitCrash() {
	src := em.platformSource("worker")
	src.emit(stream.AppCrashed{Component: "worker", Version: version, Reason: "out of memory"})
	src.emit(stream.ErrorRaised{Category: "system", Kind: "crash", Component: "worker"})
	src.emit(stream.AppStarted{Component: "worker", Version: version, Reason: "restart"})
	src.recovery("self_heal", "worker")
}

// publishBurst publishes n events, spread over some clients.
func (em *eventEmitter) publishBurst(all []tenant, n int) {
	if len(all) == 0 {
		return
	}
	for published := 0; published < n; published += 2 {
		src := em.sourceFor(all[em.rng.IntN(len(all))], "api").withTrace()
		e := oneOf(em, endpointsOf("shopper")...)
		src.emit(stream.APIRequest{Route: e.route, Method: e.method, Status: 200, Duration: src.jitter(35 * time.Millisecond)})
		src.emit(stream.DBQuery{Operation: e.operation, Table: e.table, Outcome: "ok", Duration: src.jitter(2 * time.Millisecond)})
	}
}

// duplicates are events of the sale that are published again while duplicate-events is on: some immediately, some after hundreds of others.
type duplicates struct {
	recent    map[uint64][]*stream.Event // the last events of a client
	delayed   []delayedDuplicate         // in the order in which they are due
	published int64                      // events
}

type delayedDuplicate struct {
	event *stream.Event
	due   int64 // at this number of published events
}

const (
	recentEvents   = 20
	duplicateDelay = 300 // events in between
)

// rememberForDuplicates remembers an event, and publishes or schedules its duplicate while the fault is on.
func (em *eventEmitter) rememberForDuplicates(who tenant, e *stream.Event) {
	em.duplicates.published++
	if who.id == 0 || !stream.CountsOnce(e.Data) {
		return
	}
	recent := append(em.duplicates.recent[who.id], e)
	em.duplicates.recent[who.id] = recent[max(len(recent)-recentEvents, 0):]
	if !em.p.faults.isOn(DuplicateEvents, who.id) {
		return
	}
	switch {
	case em.chance(0.4):
		em.publisher.PublishDuplicate(e)
	case em.chance(0.5):
		em.duplicates.delayed = append(em.duplicates.delayed, delayedDuplicate{e, em.duplicates.published + duplicateDelay})
	}
}

// publishDelayedDuplicates publishes the duplicates that are due, and all that are left when the fault has ended.
func (em *eventEmitter) publishDelayedDuplicates() {
	c := &em.duplicates
	on := em.p.faults.any(DuplicateEvents)
	for len(c.delayed) > 0 && (!on || c.delayed[0].due <= c.published) {
		em.publisher.PublishDuplicate(c.delayed[0].event)
		c.delayed = c.delayed[1:]
	}
}

// republishRecent publishes n of a client's last events of the sale again.
func (em *eventEmitter) republishRecent(who tenant, n int) {
	recent := em.duplicates.recent[who.id]
	for range min(n, len(recent)) {
		em.publisher.PublishDuplicate(recent[em.rng.IntN(len(recent))])
	}
}

// Actions of fault switches.

// inStream returns an action that emits events immediately, for the clients of the fault.
func (f *Faults) inStream(emit func(*eventEmitter, []tenant)) func(context.Context, []uint64) error {
	return func(_ context.Context, clients []uint64) error {
		em := f.p.emitter
		if em == nil {
			return ErrNoStream
		}
		all := f.p.tenants(clients)
		em.mu.Lock()
		defer em.mu.Unlock()
		emit(em, all)
		return nil
	}
}

func noImmediateEvents(*eventEmitter, []tenant) {} // its events come over time

func malformedAll(em *eventEmitter, all []tenant) {
	for _, who := range all {
		em.publishAllMalformed(who)
	}
}

func republishAll(em *eventEmitter, all []tenant) {
	for _, who := range all {
		em.republishRecent(who, recentEvents)
	}
}

func burstAll(em *eventEmitter, all []tenant) {
	em.nextBurst = em.p.now().Add(burstEvery)
	em.publishBurst(all, burstFirst)
}

func crashAll(em *eventEmitter, _ []tenant) { em.emitCrash() }

func (f *Faults) broker(down bool) func(context.Context, []uint64) error {
	return func(context.Context, []uint64) error {
		switch {
		case f.p.emitter == nil:
			return ErrNoStream
		case f.p.config.BrokerDown == nil:
			return ErrNoBroker
		}
		return f.p.config.BrokerDown(down)
	}
}

func (f *Faults) brokerBack(ctx context.Context, clients []uint64, _ time.Time) error {
	return f.broker(false)(ctx, clients)
}

func (p *Platform) tenants(clients []uint64) []tenant {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var all []tenant
	for _, id := range clients {
		if c := p.books.Clients.Get(id); c != nil {
			all = append(all, tenant{id, c.Slug})
		}
	}
	return all
}

package emit

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/world"
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
func (em *Emitter) emitClientFaults(x *Presence, seconds float64) {
	on := func(fault string) bool { return em.faults.IsOn(fault, x.ID) }
	src := em.SourceFor(x.Tenant, "api").WithTrace()
	if on(faults.ErrorsBurst) {
		for range em.occurrences(8, seconds) {
			e := oneOf(em, EndpointsOf("shopper")...)
			src.request(e, 500)
			src.UserError("system", oneOf(em, "queue", "cache", "database"), "api", e.Feature)
		}
		for range em.occurrences(2, seconds) {
			src.Emit(stream.ErrorRaised{Category: "integration", Kind: oneOf(em, "api", "timeout", "webhook_miss", "sync"), Component: "sync-worker"})
			src.recovery("retry", "sync-worker")
		}
	}
	if on(faults.CheckoutFailing) {
		for range em.occurrences(2, seconds) {
			src.FailedCheckout("error", src.Jitter(180*time.Millisecond))
		}
	}
	if on(faults.ValidationStorm) {
		for range em.occurrences(5, seconds) {
			src.request(Endpoint{"POST", "/api/items", "item-entry", "items", "select"}, 422)
			src.UserError("business", "validation", "api", "item-entry")
		}
	}
	if on(faults.StateConflicts) {
		for range em.occurrences(3, seconds) {
			src.request(Endpoint{"PUT", "/api/items/{id}", "pricing", "items", "select"}, 409)
			src.UserError("business", "state_conflict", "api", "pricing")
			src.recovery("state_restore", "api")
		}
	}
	if on(faults.CrossTenantAccess) {
		for range em.occurrences(1, seconds) {
			src.request(Endpoint{"GET", "/api/consignors/{id}", "consignors", "consignors", "select"}, 403)
			src.Emit(stream.AuthToken{Result: "wrong_tenant"})
			src.Emit(stream.SecurityViolation{Kind: "cross_tenant_access"})
		}
	}
	if on(faults.BruteForce) {
		for range em.occurrences(10, seconds) {
			src.request(Endpoint{"POST", "/api/sessions", "sign-in", "sessions", "select"}, 401)
			src.Emit(stream.AuthRequest{Operation: "sign_in", Outcome: "denied", Duration: src.Jitter(150 * time.Millisecond)})
		}
		for range em.occurrences(1, seconds) {
			src.Emit(stream.AuthToken{Result: oneOf(em, "invalid_signature", "malformed")})
			src.Emit(stream.SecurityViolation{Kind: "brute_force"})
		}
	}
	if on(faults.MalformedEvents) {
		for range em.occurrences(1/malformedEvery.Seconds(), seconds) {
			em.publishMalformed(x.Tenant)
		}
	}
	if on(faults.DuplicateEvents) {
		for range em.occurrences(0.5, seconds) {
			em.republishRecent(x.Tenant, 1)
		}
	}
}

// FailedCheckout emits a checkout that fails because of the outcome of a call to the shop.
func (src Source) FailedCheckout(outcome string, took stream.Duration) {
	src.Emit(stream.ProcessStarted{Process: "checkout"})
	src.Emit(stream.ExternalCall{Service: "shopify", Operation: "checkout.complete", Outcome: outcome, Duration: took})
	src.request(Endpoint{"POST", "/api/orders", "checkout", "sales", "insert"}, 502)
	src.UserError("integration", "api", "checkout", "checkout")
	src.Emit(stream.ProcessFinished{Process: "checkout", Outcome: world.Failed, Duration: src.Jitter(25 * time.Second)})
}

// emitPlatformFaults emits the events of the faults that concern no client, or several.
func (em *Emitter) emitPlatformFaults(present []Presence, seconds float64) {
	now := em.Now()
	if em.faults.IsOn(faults.CrashLoop, 0) && !now.Before(em.nextCrash) {
		em.nextCrash = now.Add(crashEvery)
		em.emitCrash()
	}
	if em.faults.IsOn(faults.RecoveriesFailing, 0) {
		for range em.occurrences(2, seconds) {
			src := em.PlatformSource("worker")
			src.Emit(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
			src.recovery(oneOf(em, "retry", "self_heal", "fallback", "state_restore"), oneOf(em, "worker", "cache", "sync-worker"))
		}
	}
	if em.faults.IsOn(faults.DeadLetters, 0) && len(present) > 0 {
		for range em.occurrences(reprocessedImages*em.Acceleration, seconds) {
			em.SourceFor(oneOf(em, present...).Tenant, "worker").Enqueue(jobs.Image, "resize")
		}
	}
	if em.faults.IsOn(faults.MailBouncing, 0) && len(present) > 0 {
		for range em.occurrences(bulkMails*em.Acceleration, seconds) {
			em.SourceFor(oneOf(em, present...).Tenant, "worker").mail("registration-open")
		}
	}
	if !now.Before(em.nextBurst) {
		em.nextBurst = now.Add(burstEvery)
		var all []Tenant
		for _, x := range present {
			if em.faults.IsOn(faults.StreamBurst, x.ID) {
				all = append(all, x.Tenant)
			}
		}
		em.publishBurst(all, burstNext)
	}
}

func (em *Emitter) emitCrash() {
	src := em.PlatformSource("worker")
	src.Emit(stream.AppCrashed{Component: "worker", Version: Version, Reason: "out of memory"})
	src.Emit(stream.ErrorRaised{Category: "system", Kind: "crash", Component: "worker"})
	src.Emit(stream.AppStarted{Component: "worker", Version: Version, Reason: "restart"})
	src.recovery("self_heal", "worker")
}

// publishBurst publishes n events, spread over some clients.
func (em *Emitter) publishBurst(all []Tenant, n int) {
	if len(all) == 0 {
		return
	}
	for published := 0; published < n; published += 2 {
		src := em.SourceFor(all[em.rng.IntN(len(all))], "api").WithTrace()
		e := oneOf(em, EndpointsOf("shopper")...)
		src.Emit(stream.APIRequest{Route: e.Route, Method: e.Method, Status: 200, Duration: src.Jitter(35 * time.Millisecond)})
		src.Emit(stream.DBQuery{Operation: e.operation, Table: e.Table, Outcome: "ok", Duration: src.Jitter(2 * time.Millisecond)})
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
func (em *Emitter) rememberForDuplicates(who Tenant, e *stream.Event) {
	em.duplicates.published++
	if who.ID == 0 || !stream.CountsOnce(e.Data) {
		return
	}
	recent := append(em.duplicates.recent[who.ID], e)
	em.duplicates.recent[who.ID] = recent[max(len(recent)-recentEvents, 0):]
	if !em.faults.IsOn(faults.DuplicateEvents, who.ID) {
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
func (em *Emitter) publishDelayedDuplicates() {
	c := &em.duplicates
	on := em.faults.Any(faults.DuplicateEvents)
	for len(c.delayed) > 0 && (!on || c.delayed[0].due <= c.published) {
		em.publisher.PublishDuplicate(c.delayed[0].event)
		c.delayed = c.delayed[1:]
	}
}

// republishRecent publishes n of a client's last events of the sale again.
func (em *Emitter) republishRecent(who Tenant, n int) {
	recent := em.duplicates.recent[who.ID]
	for range min(n, len(recent)) {
		em.publisher.PublishDuplicate(recent[em.rng.IntN(len(recent))])
	}
}

// Faults returns the faults of the stream and of the jobs. Those of a nil Emitter cannot be switched on.
func (em *Emitter) Faults() []faults.Fault {
	return []faults.Fault{
		{Name: faults.MalformedEvents, Scope: faults.Clients, On: em.inStream(em.malformedAll),
			Description: "Producers publish records that nobody can read: cut off, not UTF-8, too large, of unknown types, without values, nested too deeply.",
			Changes:     "In the stream: each kind of bad record in each topic immediately, then one a second. GET /expected-stream-samples says how each is counted."},
		{Name: faults.DuplicateEvents, Scope: faults.Clients, On: em.inStream(em.republishAll),
			Description: "Producers publish duplicates of the sale's events.",
			Changes:     "In the stream: the client's last 20 events of consign.commerce again immediately; then many new ones twice, immediately or 300 events later, and one of the last 20 every two seconds."},
		{Name: faults.StreamBurst, Scope: faults.Clients, On: em.inStream(em.burstAll),
			Description: "Far more events than usual.",
			Changes:     "In the stream: 20,000 requests and queries immediately, then 5,000 every 10 seconds."},
		{Name: faults.BrokerRestart, Scope: faults.Everybody, On: em.broker(true), Off: em.broker(false),
			Description: "The Kafka broker stops, and comes back with its data when the fault is switched off.",
			Changes:     "Nothing is lost: what happens meanwhile is published afterwards, as long as no more than 100,000 records wait; then telemetry is left out. No more than 10,000 jobs wait."},
		{Name: faults.ErrorsBurst, Scope: faults.Clients, On: em.inStream(noImmediateEvents),
			Description: "Many requests fail.",
			Changes:     "In the stream: eight requests a second with status 500 and a system error that the user sees, two integration errors a second."},
		{Name: faults.CrashLoop, Scope: faults.Everybody, On: em.inStream(func([]Tenant) { em.emitCrash() }),
			Description: "The worker crashes again and again.",
			Changes:     "In the stream: a crash and a start of the worker immediately, and every four seconds."},
		{Name: faults.CheckoutFailing, Scope: faults.Clients, On: em.inStream(noImmediateEvents),
			Description: "Nobody can pay.",
			Changes:     "No new sales. In the stream: two failed checkouts a second, each with status 502 and an integration error that the user sees."},
		{Name: faults.ValidationStorm, Scope: faults.Clients, On: em.inStream(noImmediateEvents),
			Description: "Many entries fail validation.",
			Changes:     "In the stream: five requests a second with status 422 and a validation error."},
		{Name: faults.StateConflicts, Scope: faults.Clients, On: em.inStream(noImmediateEvents),
			Description: "Platform and shop are inconsistent.",
			Changes:     "In the stream: three requests a second with status 409 and a state conflict, syncs with many conflicts."},
		{Name: faults.RecoveriesFailing, Scope: faults.Everybody, On: em.inStream(noImmediateEvents),
			Description: "The platform's attempts to recover by itself fail.",
			Changes:     "In the stream: every recovery fails, and there are two more a second."},
		{Name: faults.CrossTenantAccess, Scope: faults.Clients, On: em.inStream(noImmediateEvents),
			Description: "Somebody requests data of another client.",
			Changes:     "In the stream: a request a second with status 403, a token of the wrong tenant and a security violation."},
		{Name: faults.BruteForce, Scope: faults.Clients, On: em.inStream(noImmediateEvents),
			Description: "Somebody tries out passwords.",
			Changes:     "In the stream: ten sign-ins a second that are denied, a security violation a second."},

		{Name: faults.WorkersStopped, Scope: faults.Everybody, On: em.stopWorkers, Off: em.startWorkers,
			Description: "The workers of background jobs have stopped.",
			Changes:     "In the queues: the workers finish their current jobs and leave their group, and jobs pile up. Off: they come back and process the backlog."},
		{Name: faults.JobsFailing, Scope: faults.Clients, On: em.inStream(noImmediateEvents),
			Description: "Most background jobs fail.",
			Changes:     "In the queues: seven of ten attempts fail, so that many jobs are retried and a third of them become dead letters."},
		{Name: faults.DeadLetters, Scope: faults.Everybody, On: em.inStream(noImmediateEvents),
			Description: "After a release the workers cannot read the jobs of one queue.",
			Changes:     "In the queues: the release remakes images, a job every two seconds, and every job of the queue image becomes a dead letter at its first attempt."},
	}
}

// inStream returns an action that emits events immediately, for the clients of the fault.
func (em *Emitter) inStream(emit func([]Tenant)) faults.Action {
	return func(_ context.Context, at faults.Where) error {
		if em == nil {
			return faults.ErrNoStream
		}
		all := em.tenants(at.Clients)
		em.mu.Lock()
		defer em.mu.Unlock()
		emit(all)
		return nil
	}
}

func noImmediateEvents([]Tenant) {} // its events come over time

func (em *Emitter) malformedAll(all []Tenant) {
	for _, who := range all {
		em.publishAllMalformed(who)
	}
}

func (em *Emitter) republishAll(all []Tenant) {
	for _, who := range all {
		em.republishRecent(who, recentEvents)
	}
}

func (em *Emitter) burstAll(all []Tenant) {
	em.nextBurst = em.Now().Add(burstEvery)
	em.publishBurst(all, burstFirst)
}

func (em *Emitter) broker(down bool) faults.Action {
	return func(context.Context, faults.Where) error {
		switch {
		case em == nil:
			return faults.ErrNoStream
		case em.config.BrokerDown == nil:
			return faults.ErrNoBroker
		}
		return em.config.BrokerDown(down)
	}
}

func (em *Emitter) tenants(clients []uint64) []Tenant {
	em.Memory.RLock()
	defer em.Memory.RUnlock()
	var all []Tenant
	for _, id := range clients {
		if c := em.Books.Clients.Get(id); c != nil {
			all = append(all, Tenant{id, c.Slug})
		}
	}
	return all
}

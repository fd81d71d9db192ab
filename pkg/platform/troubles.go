package platform

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/jobs"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// What faults say in the stream. None of them touches the database.

const (
	burstFirst = 20_000 // events of stream-burst at once
	burstNext  = 5_000  // and then every
	burstEvery = 10 * time.Second
	crashEvery = 4 * time.Second
	spoilEvery = time.Second

	picturesAnew = 0.5 // jobs a second for pictures that are there already, during dead-letters
	circulars    = 0.5 // mails a second to old addresses, during mail-bouncing
)

// troubles are the faults of a client.
func (t *teller) troubles(x *presence, seconds float64) {
	on := func(fault string) bool { return t.p.faults.isOn(fault, x.id) }
	v := t.by(x.tenant, "api").traced()
	if on(ErrorsBurst) {
		for range t.often(8, seconds) {
			e := oneOf(t, pages("shopper")...)
			v.request(e, 500)
			v.fail("system", oneOf(t, "queue", "cache", "database"), "api", e.feature)
		}
		for range t.often(2, seconds) {
			v.say(stream.ErrorRaised{Category: "integration", Kind: oneOf(t, "api", "timeout", "webhook_miss", "sync"), Component: "sync-worker"})
			v.recover("retry", "sync-worker")
		}
	}
	if on(CheckoutFailing) {
		for range t.often(2, seconds) {
			v.failedCheckout("error", v.about(180*time.Millisecond))
		}
	}
	if on(ValidationStorm) {
		for range t.often(5, seconds) {
			v.request(endpoint{"POST", "/api/items", "item-entry", "items", "select"}, 422)
			v.fail("business", "validation", "api", "item-entry")
		}
	}
	if on(StateConflicts) {
		for range t.often(3, seconds) {
			v.request(endpoint{"PUT", "/api/items/{id}", "pricing", "items", "select"}, 409)
			v.fail("business", "state_conflict", "api", "pricing")
			v.recover("state_restore", "api")
		}
	}
	if on(CrossTenantAccess) {
		for range t.often(1, seconds) {
			v.request(endpoint{"GET", "/api/consignors/{id}", "consignors", "consignors", "select"}, 403)
			v.say(stream.AuthToken{Result: "wrong_tenant"})
			v.say(stream.SecurityViolation{Kind: "cross_tenant_access"})
		}
	}
	if on(BruteForce) {
		for range t.often(10, seconds) {
			v.request(endpoint{"POST", "/api/sessions", "sign-in", "sessions", "select"}, 401)
			v.say(stream.AuthRequest{Operation: "sign_in", Outcome: "denied", Duration: v.about(150 * time.Millisecond)})
		}
		for range t.often(1, seconds) {
			v.say(stream.AuthToken{Result: oneOf(t, "invalid_signature", "malformed")})
			v.say(stream.SecurityViolation{Kind: "brute_force"})
		}
	}
	if on(MalformedEvents) {
		for range t.often(1/spoilEvery.Seconds(), seconds) {
			t.spoil(x.tenant)
		}
	}
	if on(DuplicateEvents) {
		for range t.often(0.5, seconds) {
			t.repeatRecent(x.tenant, 1)
		}
	}
}

// failedCheckout is somebody who cannot pay, because a call to the shop ended so.
func (v voice) failedCheckout(outcome string, took stream.Duration) {
	v.say(stream.ProcessStarted{Process: "checkout"})
	v.say(stream.ExternalCall{Service: "shopify", Operation: "checkout.complete", Outcome: outcome, Duration: took})
	v.request(endpoint{"POST", "/api/orders", "checkout", "sales", "insert"}, 502)
	v.fail("integration", "api", "checkout", "checkout")
	v.say(stream.ProcessFinished{Process: "checkout", Outcome: Failed, Duration: v.about(25 * time.Second)})
}

// platformTroubles are the faults that concern no client, or what clients share.
func (t *teller) platformTroubles(there []presence, seconds float64) {
	now := t.p.now()
	if t.p.faults.isOn(CrashLoop, 0) && !now.Before(t.crash) {
		t.crash = now.Add(crashEvery)
		t.crashOnce()
	}
	if t.p.faults.isOn(RecoveriesFailing, 0) {
		for range t.often(2, seconds) {
			v := t.platform("worker")
			v.say(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
			v.recover(oneOf(t, "retry", "self_heal", "fallback", "state_restore"), oneOf(t, "worker", "cache", "sync-worker"))
		}
	}
	if t.p.faults.isOn(DeadLetters, 0) && len(there) > 0 {
		for range t.often(picturesAnew*t.p.config.Haste, seconds) {
			t.by(oneOf(t, there...).tenant, "worker").enqueue(jobs.Image, "resize")
		}
	}
	if t.p.faults.isOn(MailBouncing, 0) && len(there) > 0 {
		for range t.often(circulars*t.p.config.Haste, seconds) {
			t.by(oneOf(t, there...).tenant, "worker").mail("registration-open")
		}
	}
	if !now.Before(t.burst) {
		t.burst = now.Add(burstEvery)
		var all []tenant
		for _, x := range there {
			if t.p.faults.isOn(StreamBurst, x.id) {
				all = append(all, x.tenant)
			}
		}
		t.flood(all, burstNext)
	}
}

func (t *teller) crashOnce() {
	v := t.platform("worker")
	v.say(stream.AppCrashed{Component: "worker", Version: version, Reason: "out of memory"})
	v.say(stream.ErrorRaised{Category: "system", Kind: "crash", Component: "worker"})
	v.say(stream.AppStarted{Component: "worker", Version: version, Reason: "restart"})
	v.recover("self_heal", "worker")
}

// flood tells n events of some clients at once.
func (t *teller) flood(all []tenant, n int) {
	if len(all) == 0 {
		return
	}
	for said := 0; said < n; said += 2 {
		v := t.by(all[t.rng.IntN(len(all))], "api").traced()
		e := oneOf(t, pages("shopper")...)
		v.say(stream.APIRequest{Route: e.route, Method: e.method, Status: 200, Duration: v.about(35 * time.Millisecond)})
		v.say(stream.DBQuery{Operation: e.operation, Table: e.table, Outcome: "ok", Duration: v.about(2 * time.Millisecond)})
	}
}

// copies are events of the sale that are told again while duplicate-events is on: some at once, some after hundreds of others.
type copies struct {
	recent map[uint64][]*stream.Event // by client: the last ones
	late   []lateCopy                 // in the order in which they are due
	said   int64                      // events so far
}

type lateCopy struct {
	event *stream.Event
	due   int64 // said
}

const (
	recentEvents = 20
	lateBy       = 300 // events in between
)

// copy remembers an event, and tells it again if the fault says so.
func (t *teller) copy(who tenant, e *stream.Event) {
	t.copies.said++
	if who.id == 0 || !stream.CountsOnce(e.Data) {
		return
	}
	recent := append(t.copies.recent[who.id], e)
	t.copies.recent[who.id] = recent[max(len(recent)-recentEvents, 0):]
	if !t.p.faults.isOn(DuplicateEvents, who.id) {
		return
	}
	switch {
	case t.chance(0.4):
		t.out.Repeat(e)
	case t.chance(0.5):
		t.copies.late = append(t.copies.late, lateCopy{e, t.copies.said + lateBy})
	}
}

// releaseCopies tells the late copies whose time has come, and those that are left when the fault has ended.
func (t *teller) releaseCopies() {
	c := &t.copies
	on := t.p.faults.any(DuplicateEvents)
	for len(c.late) > 0 && (!on || c.late[0].due <= c.said) {
		t.out.Repeat(c.late[0].event)
		c.late = c.late[1:]
	}
}

// repeatRecent tells the last events of a client's sale again.
func (t *teller) repeatRecent(who tenant, n int) {
	recent := t.copies.recent[who.id]
	for range min(n, len(recent)) {
		t.out.Repeat(recent[t.rng.IntN(len(recent))])
	}
}

// Actions of the switches.

// inStream returns an action that tells something at once, on behalf of the clients that are concerned.
func (f *Faults) inStream(tell func(*teller, []tenant)) func(context.Context, []uint64) error {
	return func(_ context.Context, clients []uint64) error {
		t := f.p.teller
		if t == nil {
			return ErrNoStream
		}
		all := f.p.tenants(clients)
		t.mu.Lock()
		defer t.mu.Unlock()
		tell(t, all)
		return nil
	}
}

func nothing(*teller, []tenant) {} // at once; it comes with time

func spoilAll(t *teller, all []tenant) {
	for _, who := range all {
		t.spoilEachWay(who)
	}
}

func repeatAll(t *teller, all []tenant) {
	for _, who := range all {
		t.repeatRecent(who, recentEvents)
	}
}

func floodAll(t *teller, all []tenant) {
	t.burst = t.p.now().Add(burstEvery)
	t.flood(all, burstFirst)
}

func crashNow(t *teller, _ []tenant) { t.crashOnce() }

func (f *Faults) broker(down bool) func(context.Context, []uint64) error {
	return func(context.Context, []uint64) error {
		switch {
		case f.p.teller == nil:
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

package platform

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/jobs"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

const (
	gaugesEvery    = 10 * time.Second // pools and threads report so often
	clicks         = 0.3              // requests of a visitor in a second
	telemetryLimit = 100_000          // records that wait for a broker that is away; then only business is told
)

// endpoint is what a request asks for, and what it does to the database.
type endpoint struct{ method, route, feature, table, operation string }

// pages returns what visitors look at, the favourites first.
func pages(role string) []endpoint {
	switch role {
	case "shopper":
		return []endpoint{
			{"GET", "/api/items", "catalog", "items", "select"},
			{"GET", "/api/items/{id}", "catalog", "items", "select"},
			{"GET", "/api/search", "search", "items", "select"},
			{"GET", "/api/cart", "cart", "sales", "select"},
			{"GET", "/api/categories", "catalog", "categories", "select"},
			{"GET", "/api/events/{id}", "sale-page", "events", "select"},
		}
	case "consignor", "volunteer":
		return []endpoint{
			{"GET", "/api/consignors/{id}/items", "item-entry", "items", "select"},
			{"GET", "/api/consignors/{id}/earnings", "earnings", "settlements", "select"},
			{"GET", "/api/events/{id}/dropoffs", "drop-off", "dropoff_slots", "select"},
			{"GET", "/api/events/{id}/volunteers", "volunteering", "volunteer_shifts", "select"},
			{"GET", "/api/items/{id}/label", "labels", "items", "select"},
		}
	default:
		return []endpoint{
			{"GET", "/api/events/{id}", "sale-page", "events", "select"},
			{"GET", "/api/reports/sales", "reports", "sales", "select"},
			{"GET", "/api/consignors/{id}", "consignors", "consignors", "select"},
			{"GET", "/api/settlements", "settlement", "settlements", "select"},
			{"GET", "/api/sync", "shop-sync", "sync_runs", "select"},
			{"GET", "/api/tickets", "support", "support_tickets", "select"},
		}
	}
}

// visit is a request of somebody who uses a feature.
func (v voice) visit(e endpoint, status int, role string) {
	v = v.traced()
	v.request(e, status)
	v.say(stream.FeatureUsed{Feature: e.feature, Role: role})
}

// request is a request with the look into the cache and the query that it takes.
func (v voice) request(e endpoint, status int) {
	if status != 401 && v.chance(0.5) {
		v.say(stream.AuthToken{Result: "valid"})
	}
	cached := false
	if e.operation == "select" {
		result := "miss"
		if cached = v.chance(0.8); cached {
			result = "hit"
		}
		v.say(stream.CacheOperation{Operation: "get", Result: result, Duration: v.about(400 * time.Microsecond)})
	}
	if !cached && status != 401 && status != 403 {
		outcome, took := "ok", v.about(2*time.Millisecond)
		if status == 503 {
			outcome, took = oneOf(v.teller, "error", "timeout"), v.about(time.Second)
		}
		v.say(stream.DBQuery{Operation: e.operation, Table: e.table, Outcome: outcome, Duration: took})
		if e.operation != "select" {
			v.say(stream.CacheOperation{Operation: "delete", Result: "ok", Duration: v.about(400 * time.Microsecond)})
		}
	}
	took := v.about(35 * time.Millisecond)
	if status == 503 {
		took = v.about(1500 * time.Millisecond)
	}
	v.say(stream.APIRequest{Route: e.route, Method: e.method, Status: status, Duration: took})
}

// webhook is one that arrives, and is processed by a job.
func (v voice) webhook(provider, topic string) {
	outcome := "accepted"
	switch {
	case v.mishap(0.01):
		outcome = "duplicate"
	case v.mishap(0.002):
		outcome = oneOf(v.teller, "invalid_signature", "invalid_payload")
	}
	v.say(stream.WebhookReceived{Provider: provider, Topic: topic, Outcome: outcome, Delay: v.about(800 * time.Millisecond)})
	if outcome != "accepted" {
		return
	}
	v.enqueue(jobs.Webhook, provider, topicArg, topic)
}

// call is a call to another service.
func (v voice) call(service, operation, outcome string) {
	took := v.about(180 * time.Millisecond)
	if outcome == "timeout" {
		took = v.about(10 * time.Second)
	}
	v.say(stream.ExternalCall{Service: service, Operation: operation, Outcome: outcome, Duration: took})
}

// recover is an attempt to recover from a trouble; most succeed.
func (v voice) recover(mechanism, component string) {
	ok := !v.p.faults.isOn(RecoveriesFailing, 0) && !v.mishap(0.05)
	v.say(stream.RecoveryAttempted{Mechanism: mechanism, Component: component, Outcome: outcomeOf(ok)})
}

// mail is a mail on its way: queued now, sent by a job, the rest in its time.
func (v voice) mail(template string) {
	v.say(stream.EmailQueued{Template: template})
	v.enqueue(jobs.Email, "send", templateArg, template)
}

// accepted is a mail that was sent, so long after it was queued. What goes wrong, goes wrong with the same share of mails from
// the beginning.
func (v voice) accepted(template string, sent stream.Duration) {
	v.mails++
	number := v.mails % 200
	if number == 10 {
		v.say(stream.EmailRejected{Template: template})
		return
	}
	v.say(stream.EmailSent{Template: template, Delay: sent})
	v.deliver(template, sent, number)
}

func (v voice) deliver(template string, sent stream.Duration, number int) {
	more := v.about(3 * time.Second)
	switch number {
	case 20, 90, 150:
		kind := "soft"
		if number == 20 {
			kind = "hard"
		}
		v.after(more, func() {
			v.say(stream.EmailBounced{Template: template, Bounce: kind})
			v.webhook("mandrill", "bounce")
		})
		return
	case 30, 80, 130, 180:
		v.after(more, func() { v.say(stream.EmailDeferred{Template: template}) })
		more += v.about(20 * time.Second)
	}
	v.after(more, func() {
		v.say(stream.EmailDelivered{Template: template, Delay: sent + more})
		if number == 5 {
			v.say(stream.EmailComplained{Template: template})
			v.webhook("mandrill", "spam")
		}
	})
}

// presence is who is there of a client.
type presence struct {
	tenant
	visitors []visitors
	picking  int // sale events whose unsold items are picked up
}

type visitors struct {
	role string
	n    int
}

// presences looks at who is there.
func (p *Platform) presences() []presence {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var all []presence
	for i := range p.books.Clients {
		c := &p.books.Clients[i]
		if !c.Active {
			continue
		}
		x := presence{tenant: tenant{c.ID, c.Slug}}
		roles := map[string]int{}
		for _, event := range p.index.events.some(c.ID, batch) {
			roles["shopper"] += p.index.shoppers.len(event)
			if e := p.books.Events.Get(event); e != nil && (e.Status == Closed || e.Status == Returns) {
				x.picking++
			}
		}
		for _, id := range p.index.staff.some(c.ID, batch) {
			if s := p.books.Sessions.Get(id); s != nil {
				roles[s.Role]++
			}
		}
		for _, role := range Roles() {
			if roles[role] > 0 {
				x.visitors = append(x.visitors, visitors{role, roles[role]})
			}
		}
		all = append(all, x)
	}
	return all
}

// talk lets the platform talk of itself until the context ends, beside its life: it goes on while the database does not answer.
func (t *teller) talk(ctx context.Context) {
	ticker := time.NewTicker(t.p.config.Tick)
	defer ticker.Stop()
	t.start()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		t.step(min(now.Sub(last), longestStep))
		last = now
	}
}

// programs are what the platform consists of.
func programs() []string {
	return []string{"api", "worker", "sync-worker", "webhook-receiver", "pos-gateway"}
}

const version = "2026.9.1"

func (t *teller) start() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, program := range programs() {
		t.platform(program).say(stream.AppStarted{Component: program, Version: version, Reason: "deploy"})
	}
}

// step tells what the platform says of itself in a stretch of time. It says nothing while life is paused.
func (t *teller) step(elapsed time.Duration) {
	there := t.p.presences()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.p.paused.Load() {
		return
	}
	t.tellKept()
	t.due()
	t.resend()
	t.report()
	if t.out.Waiting() < telemetryLimit {
		seconds := elapsed.Seconds()
		for i := range there {
			t.visits(&there[i], seconds)
			t.troubles(&there[i], seconds)
		}
		t.chores(seconds)
		t.platformTroubles(there, seconds)
	}
	t.releaseCopies()
}

// often draws how often something happens that happens so often in a second.
func (t *teller) often(rate, seconds float64) int {
	n := int(rate * seconds)
	if t.chance(rate*seconds - float64(n)) {
		n++
	}
	return n
}

// report says how busy pools and threads are.
func (t *teller) report() {
	now := t.p.now()
	if now.Before(t.gauges) {
		return
	}
	t.gauges = now.Add(gaugesEvery)
	t.busy = clamp(t.busy+0.1*t.rng.NormFloat64(), 0.05, 0.6)
	busy := t.busy
	if t.p.failing.Load() != nil {
		busy = 1 // everybody waits for the database
	}
	for _, program := range []string{"api", "worker"} {
		if program == "api" && t.p.api != nil {
			t.reportAPI()
			continue
		}
		for n := range instancesOf(program) {
			v := voice{t, tenant{}, sourceOf(program, n), ""}
			size := map[string]int{"api": 40, "worker": 10}[program]
			used := int(busy * float64(size))
			v.say(stream.DBPool{Pool: program, InUse: used, Idle: (size - used) / 2, Max: size, Waits: max(used-size+1, 0) * 10})
			v.say(stream.WorkerThreads{Pool: program, Busy: int(busy * 64), Max: 64})
		}
	}
}

// pageViews makes up the requests of those who are there.
func (t *teller) pageViews(x *presence, seconds float64) {
	down := t.p.failing.Load() != nil
	for _, visitors := range x.visitors {
		for range t.often(float64(visitors.n)*clicks, seconds) {
			v := t.by(x.tenant, "api").traced()
			e := oneOf(t, pages(visitors.role)...)
			status := 200
			switch {
			case down && t.chance(0.7):
				status = 503
			case t.mishap(0.001):
				status = 500
			case t.mishap(0.02):
				status = oneOf(t, 404, 422, 401, 409)
			}
			v.request(e, status)
			switch {
			case status == 503:
				v.fail("system", "database", "api", e.feature)
				v.recover("retry", "api")
			case status == 500:
				v.fail("system", oneOf(t, "cache", "queue"), "api", e.feature)
				v.recover("fallback", "api")
			case status == 401:
				v.say(stream.AuthToken{Result: "expired"})
				v.say(stream.AuthRequest{Operation: "refresh", Outcome: "ok", Duration: v.about(80 * time.Millisecond)})
			case status == 422:
				v.fail("business", "validation", "api", e.feature)
			case t.chance(0.3):
				v.say(stream.FeatureUsed{Feature: e.feature, Role: visitors.role})
			}
		}
	}
}

// visits are what those do who are there. Where there is an API, they ask it for their pages (visitors).
func (t *teller) visits(x *presence, seconds float64) {
	if t.p.api == nil {
		t.pageViews(x, seconds)
	}
	for range t.often(0.02*float64(x.picking), seconds) {
		v := t.by(x.tenant, "pos-gateway")
		v.say(stream.ProcessStarted{Process: "pickup"})
		v.say(stream.ProcessFinished{Process: "pickup", Outcome: outcomeOf(!t.mishap(0.01)), Duration: v.about(3 * time.Minute)})
	}
	if t.p.faults.isOn(SyncStalled, x.id) {
		for range t.often(0.2, seconds) {
			v := t.by(x.tenant, "sync-worker")
			v.call("shopify", "products", "timeout")
			v.say(stream.ErrorRaised{Category: "integration", Kind: "timeout", Component: "sync-worker"})
		}
	}
}

// fail is an error that a user saw.
func (v voice) fail(category, kind, component, feature string) {
	v.say(stream.ErrorRaised{Category: category, Kind: kind, Component: component, UserVisible: true, Feature: feature})
}

// chores are what the platform does by itself.
func (t *teller) chores(seconds float64) {
	for range t.often(0.5, seconds) {
		if t.p.api != nil {
			break // the load balancer really asks
		}
		t.platform("api").request(endpoint{"GET", "/healthz", "", "clients", "select"}, 200)
	}
	for range t.often(0.05, seconds) {
		t.platform("worker").enqueue(jobs.Report, "usage")
	}
	for range t.often(0.02, seconds) {
		if t.p.config.Cache != "" {
			break // its operations are real
		}
		v := t.platform("worker")
		v.say(stream.CacheOperation{Operation: "set", Result: "error", Duration: v.about(time.Millisecond)})
		v.recover("fallback", "cache")
	}
}

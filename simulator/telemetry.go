package simulator

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/world"
)

const (
	gaugesEvery    = 10 * time.Second // how often pools and threads are reported
	telemetryLimit = 100_000          // records that wait for the broker; above it only events of the sale are emitted
)

// endpoint is a request's method and route, the feature it serves, and its database operation.
type endpoint struct{ method, route, feature, table, operation string }

// endpointsOf returns the endpoints that visitors of a role use, the most popular first.
func endpointsOf(role string) []endpoint {
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

// visit emits the request of somebody who uses a feature.
func (src source) visit(e endpoint, status int, role string) {
	src = src.withTrace()
	src.request(e, status)
	src.emit(stream.FeatureUsed{Feature: e.feature, Role: role})
}

// request emits a request with its cache lookup and its query.
func (src source) request(e endpoint, status int) {
	if status != 401 && src.chance(0.5) {
		src.emit(stream.AuthToken{Result: "valid"})
	}
	cached := false
	if e.operation == "select" {
		result := "miss"
		if cached = src.chance(0.8); cached {
			result = "hit"
		}
		src.emit(stream.CacheOperation{Operation: "get", Result: result, Duration: src.jitter(400 * time.Microsecond)})
	}
	if !cached && status != 401 && status != 403 {
		outcome, took := "ok", src.jitter(2*time.Millisecond)
		if status == 503 {
			outcome, took = oneOf(src.Emitter, "error", "timeout"), src.jitter(time.Second)
		}
		src.emit(stream.DBQuery{Operation: e.operation, Table: e.table, Outcome: outcome, Duration: took})
		if e.operation != "select" {
			src.emit(stream.CacheOperation{Operation: "delete", Result: "ok", Duration: src.jitter(400 * time.Microsecond)})
		}
	}
	took := src.jitter(35 * time.Millisecond)
	if status == 503 {
		took = src.jitter(1500 * time.Millisecond)
	}
	src.emit(stream.APIRequest{Route: e.route, Method: e.method, Status: status, Duration: took})
}

// recovery emits an attempt to recover from an error; most succeed.
func (src source) recovery(mechanism, component string) {
	ok := !src.faults.IsOn(faults.RecoveriesFailing, 0) && !src.randomFailure(0.05)
	src.emit(stream.RecoveryAttempted{Mechanism: mechanism, Component: component, Outcome: outcomeOf(ok)})
}

// mail emits a queued email. A job sends it, and later events follow.
func (src source) mail(template string) {
	src.emit(stream.EmailQueued{Template: template})
	src.enqueue(jobs.Email, "send", templateArg, template)
}

// presence is the active visitors of a client.
type presence struct {
	tenant
	visitors []visitors
	picking  int // sale events at which unsold items are picked up
}

type visitors struct {
	role string
	n    int
}

// presences returns the active visitors of each client.
func presences(s *store.Store) []presence {
	s.Memory.RLock()
	defer s.Memory.RUnlock()
	var all []presence
	for i := range s.Books.Clients {
		c := &s.Books.Clients[i]
		if !c.Active {
			continue
		}
		x := presence{tenant: tenant{c.ID, c.Slug}}
		roles := map[string]int{}
		for _, event := range s.Index.Events.Some(c.ID, world.Batch) {
			roles["shopper"] += s.Index.Shoppers.Len(event)
			if e := s.Books.Events.Get(event); e != nil && (e.Status == world.Closed || e.Status == world.Returns) {
				x.picking++
			}
		}
		for _, id := range s.Index.Staff.Some(c.ID, world.Batch) {
			if session := s.Books.Sessions.Get(id); session != nil {
				roles[session.Role]++
			}
		}
		for _, role := range world.Roles() {
			if roles[role] > 0 {
				x.visitors = append(x.visitors, visitors{role, roles[role]})
			}
		}
		all = append(all, x)
	}
	return all
}

// Run emits telemetry until the context ends, independently of life: it goes on while the database does not answer.
func (em *Emitter) Run(ctx context.Context) {
	ticker := time.NewTicker(em.config.Tick)
	defer ticker.Stop()
	em.emitStart()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		em.emitTelemetry(min(now.Sub(last), world.LongestStep))
		last = now
	}
}

// components returns the services of the platform.
func components() []string {
	return []string{"api", "worker", "sync-worker", "webhook-receiver", "pos-gateway"}
}

const version = "2026.9.1"

func (em *Emitter) emitStart() {
	em.mu.Lock()
	defer em.mu.Unlock()
	for _, component := range components() {
		em.platformSource(component).emit(stream.AppStarted{Component: component, Version: version, Reason: "deploy"})
	}
}

// emitTelemetry emits the telemetry of a time span; none while life is paused.
func (em *Emitter) emitTelemetry(elapsed time.Duration) {
	present := presences(em.Store)
	em.mu.Lock()
	defer em.mu.Unlock()
	if em.Paused.Load() {
		return
	}
	em.emitDeferred()
	em.external.Resend(em)
	em.emitGauges()
	if em.publisher.Waiting() < telemetryLimit {
		seconds := elapsed.Seconds()
		for i := range present {
			em.emitVisits(&present[i], seconds)
			em.emitClientFaults(&present[i], seconds)
		}
		em.enqueueReports(seconds)
		em.emitPlatformFaults(present, seconds)
	}
	em.publishDelayedDuplicates()
}

// occurrences draws the number of occurrences in a time span, given a rate per second.
func (em *Emitter) occurrences(rate, seconds float64) int {
	n := int(rate * seconds)
	if em.chance(rate*seconds - float64(n)) {
		n++
	}
	return n
}

// emitGauges emits the utilization of connection pools and worker threads: measured of the API, drawn of the worker.
func (em *Emitter) emitGauges() {
	now := em.Now()
	if now.Before(em.nextGauges) {
		return
	}
	em.nextGauges = now.Add(gaugesEvery)
	em.utilization = world.Clamp(em.utilization+0.1*em.rng.NormFloat64(), 0.05, 0.6)
	busy := em.utilization
	if em.Failing.Load() != nil {
		busy = 1 // all of them wait for the database
	}
	pool, threads := em.api.Gauges()
	api := em.sourceOf(tenant{}, "api", 0)
	api.emit(pool)
	api.emit(threads)
	for n := range instances("worker") {
		src := em.sourceOf(tenant{}, "worker", n)
		const size = 10
		used := int(busy * size)
		src.emit(stream.DBPool{Pool: "worker", InUse: used, Idle: (size - used) / 2, Max: size, Waits: max(used-size+1, 0) * 10})
		src.emit(stream.WorkerThreads{Pool: "worker", Busy: int(busy * 64), Max: 64})
	}
}

// emitVisits emits what visitors do beside their requests (trafficGenerator).
func (em *Emitter) emitVisits(x *presence, seconds float64) {
	for range em.occurrences(0.02*float64(x.picking), seconds) {
		src := em.sourceFor(x.tenant, "pos-gateway")
		src.emit(stream.ProcessStarted{Process: "pickup"})
		src.emit(stream.ProcessFinished{Process: "pickup", Outcome: outcomeOf(!em.randomFailure(0.01)), Duration: src.jitter(3 * time.Minute)})
	}
	if em.faults.IsOn(faults.SyncStalled, x.id) {
		for range em.occurrences(0.2, seconds) {
			src := em.sourceFor(x.tenant, "sync-worker")
			src.syntheticCall("shopify", "products", "timeout")
			src.emit(stream.ErrorRaised{Category: "integration", Kind: "timeout", Component: "sync-worker"})
		}
	}
}

// userError emits an error that a user saw.
func (src source) userError(category, kind, component, feature string) {
	src.emit(stream.ErrorRaised{Category: category, Kind: kind, Component: component, UserVisible: true, Feature: feature})
}

// enqueueReports enqueues reports on usage.
func (em *Emitter) enqueueReports(seconds float64) {
	for range em.occurrences(0.05, seconds) {
		em.platformSource("worker").enqueue(jobs.Report, "usage")
	}
}

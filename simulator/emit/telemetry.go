package emit

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

// Endpoint is a request's method and route, the feature it serves, and its database operation.
type Endpoint struct{ Method, Route, Feature, Table, operation string }

// EndpointsOf returns the endpoints that visitors of a role use, the most popular first.
func EndpointsOf(role string) []Endpoint {
	switch role {
	case "shopper":
		return []Endpoint{
			{"GET", "/api/items", "catalog", "items", "select"},
			{"GET", "/api/items/{id}", "catalog", "items", "select"},
			{"GET", "/api/search", "search", "items", "select"},
			{"GET", "/api/cart", "cart", "sales", "select"},
			{"GET", "/api/categories", "catalog", "categories", "select"},
			{"GET", "/api/events/{id}", "sale-page", "events", "select"},
		}
	case "consignor", "volunteer":
		return []Endpoint{
			{"GET", "/api/consignors/{id}/items", "item-entry", "items", "select"},
			{"GET", "/api/consignors/{id}/earnings", "earnings", "settlements", "select"},
			{"GET", "/api/events/{id}/dropoffs", "drop-off", "dropoff_slots", "select"},
			{"GET", "/api/events/{id}/volunteers", "volunteering", "volunteer_shifts", "select"},
			{"GET", "/api/items/{id}/label", "labels", "items", "select"},
		}
	default:
		return []Endpoint{
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
func (src Source) visit(e Endpoint, status int, role string) {
	src = src.WithTrace()
	src.request(e, status)
	src.Emit(stream.FeatureUsed{Feature: e.Feature, Role: role})
}

// request emits a request with its cache lookup and its query.
func (src Source) request(e Endpoint, status int) {
	if status != 401 && src.chance(0.5) {
		src.Emit(stream.AuthToken{Result: "valid"})
	}
	cached := false
	if e.operation == "select" {
		result := "miss"
		if cached = src.chance(0.8); cached {
			result = "hit"
		}
		src.Emit(stream.CacheOperation{Operation: "get", Result: result, Duration: src.Jitter(400 * time.Microsecond)})
	}
	if !cached && status != 401 && status != 403 {
		src.Emit(stream.DBQuery{Operation: e.operation, Table: e.Table, Outcome: "ok", Duration: src.Jitter(2 * time.Millisecond)})
		if e.operation != "select" {
			src.Emit(stream.CacheOperation{Operation: "delete", Result: "ok", Duration: src.Jitter(400 * time.Microsecond)})
		}
	}
	src.Emit(stream.APIRequest{Route: e.Route, Method: e.Method, Status: status, Duration: src.Jitter(35 * time.Millisecond)})
}

// recovery emits an attempt to recover from an error; most succeed.
func (src Source) recovery(mechanism, component string) {
	ok := !src.faults.IsOn(faults.RecoveriesFailing, 0) && !src.randomFailure(0.05)
	src.Emit(stream.RecoveryAttempted{Mechanism: mechanism, Component: component, Outcome: OutcomeOf(ok)})
}

// mail emits a queued email. A job sends it, and later events follow.
func (src Source) mail(template string) {
	src.Emit(stream.EmailQueued{Template: template})
	src.Enqueue(jobs.Email, "send", TemplateArg, template)
}

// Presence is the active visitors of a client.
type Presence struct {
	Tenant
	Visitors []Visitors
	picking  int // sale events at which unsold items are picked up
}

// Visitors are the visitors of a client in a role.
type Visitors struct {
	Role string
	N    int
}

// Presences returns the active visitors of each client.
func Presences(s *store.Store) []Presence {
	s.Memory.RLock()
	defer s.Memory.RUnlock()
	var all []Presence
	for i := range s.Books.Clients {
		c := &s.Books.Clients[i]
		if !c.Active {
			continue
		}
		x := Presence{Tenant: Tenant{c.ID, c.Slug}}
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
				x.Visitors = append(x.Visitors, Visitors{role, roles[role]})
			}
		}
		all = append(all, x)
	}
	return all
}

// Run emits telemetry until the context ends, independently of life: it goes on while the database does not answer.
func (em *Emitter) Run(ctx context.Context) {
	em.emitStart()
	for last := time.Now(); faults.Sleep(ctx, em.config.Tick); {
		now := time.Now()
		em.EmitTelemetry(min(now.Sub(last), world.LongestStep))
		last = now
	}
}

// components returns the services of the platform.
func components() []string {
	return []string{"api", "worker", "sync-worker", "webhook-receiver", "pos-gateway"}
}

// Version is the release of the platform that runs.
const Version = "2026.9.1"

func (em *Emitter) emitStart() {
	em.mu.Lock()
	defer em.mu.Unlock()
	for _, component := range components() {
		em.PlatformSource(component).Emit(stream.AppStarted{Component: component, Version: Version, Reason: "deploy"})
	}
}

// EmitTelemetry emits the telemetry of a time span; none while life is paused.
func (em *Emitter) EmitTelemetry(elapsed time.Duration) {
	present := Presences(em.Store)
	em.mu.Lock()
	defer em.mu.Unlock()
	if em.Paused.Load() {
		return
	}
	em.emitDeferred()
	em.external.Resend(em)
	if now := em.Now(); !now.Before(em.nextGauges) {
		em.nextGauges = now.Add(gaugesEvery)
		em.emitGauges()
	}
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

// EmitGauges emits the utilization of connection pools and worker threads: measured of the API, drawn of the worker.
func (em *Emitter) EmitGauges() {
	em.mu.Lock()
	defer em.mu.Unlock()
	em.emitGauges()
}

func (em *Emitter) emitGauges() {
	em.utilization = world.Clamp(em.utilization+0.1*em.rng.NormFloat64(), 0.05, 0.6)
	busy := em.utilization
	if em.Failing.Load() != nil {
		busy = 1 // all of them wait for the database
	}
	pool, threads := em.api.Gauges()
	api := em.SourceOf(Tenant{}, "api", 0)
	api.Emit(pool)
	api.Emit(threads)
	for n := range instances("worker") {
		src := em.SourceOf(Tenant{}, "worker", n)
		const size = 10
		used := int(busy * size)
		src.Emit(stream.DBPool{Pool: "worker", InUse: used, Idle: (size - used) / 2, Max: size, Waits: max(used-size+1, 0) * 10})
		src.Emit(stream.WorkerThreads{Pool: "worker", Busy: int(busy * 64), Max: 64})
	}
}

// emitVisits emits what visitors do beside their requests (trafficGenerator).
func (em *Emitter) emitVisits(x *Presence, seconds float64) {
	for range em.occurrences(0.02*float64(x.picking), seconds) {
		src := em.SourceFor(x.Tenant, "pos-gateway")
		src.Emit(stream.ProcessStarted{Process: "pickup"})
		src.Emit(stream.ProcessFinished{Process: "pickup", Outcome: OutcomeOf(!em.randomFailure(0.01)), Duration: src.Jitter(3 * time.Minute)})
	}
	if em.faults.IsOn(faults.SyncStalled, x.ID) {
		for range em.occurrences(0.2, seconds) {
			src := em.SourceFor(x.Tenant, "sync-worker")
			src.SyntheticCall("shopify", "products", "timeout")
			src.Emit(stream.ErrorRaised{Category: "integration", Kind: "timeout", Component: "sync-worker"})
		}
	}
}

// UserError emits an error that a user saw.
func (src Source) UserError(category, kind, component, feature string) {
	src.Emit(stream.ErrorRaised{Category: category, Kind: kind, Component: component, UserVisible: true, Feature: feature})
}

// enqueueReports enqueues reports on usage.
func (em *Emitter) enqueueReports(seconds float64) {
	for range em.occurrences(0.05, seconds) {
		em.PlatformSource("worker").Enqueue(jobs.Report, "usage")
	}
}

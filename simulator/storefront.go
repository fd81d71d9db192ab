package simulator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/simulator/api"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// storefront implements api.Platform: it finds clients and places orders.
type storefront struct{ *Platform }

var errPaused = errors.New("life is paused: nothing changes now")

// Client returns an active client by its slug or its domain.
func (p storefront) Client(name string) (id uint64, slug string, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for i := range p.books.Clients {
		if c := &p.books.Clients[i]; c.Active && (c.Slug == name || c.Domain == name) {
			return c.ID, c.Slug, true
		}
	}
	return 0, "", false
}

// Begin adds a request in flight.
func (p storefront) Begin() api.PlatformRequest { return (*apiRequest)(p.beginRequest()) }

// apiRequest implements api.PlatformRequest.
type apiRequest inflightRequest

// End ends the request, and emits the events of the API's report.
func (r *apiRequest) End(report *api.Report) {
	if report == nil {
		(*inflightRequest)(r).end(nil)
		return
	}
	(*inflightRequest)(r).end(func(em *eventEmitter) { em.emitAPIRequest(report) })
}

// Order places an order, in one transaction and in the books, as life does.
func (r *apiRequest) Order(ctx context.Context, client, event uint64) (api.Order, error) {
	begun := time.Now()
	order, err := r.order(ctx, client, event)
	order.Duration = time.Since(begun)
	return order, err
}

func (r *apiRequest) order(ctx context.Context, client, event uint64) (api.Order, error) {
	p := r.p
	if err := p.lockFilled(ctx); err != nil {
		return api.Order{}, err
	}
	defer p.unlockWrites()
	if r.whilePaused {
		return api.Order{}, errPaused
	}
	if err := p.resolveUnknown(ctx); err != nil { // before items are chosen: it changes the books
		return api.Order{}, err
	}
	if e := p.books.Events.Get(event); e == nil || e.ClientID != client || !p.buying(client) {
		return api.Order{}, api.ErrNothing
	}
	c := p.newChange("order")
	c.reportedByAPI = true
	sales := p.purchase(c, event)
	if len(sales) == 0 {
		return api.Order{}, api.ErrNothing
	}
	order := api.Order{ID: sales[0].ShopifyOrderID, Items: len(sales)}
	for _, sale := range sales {
		order.Amount += sale.AmountCents
	}
	if c.empty() { // the order is in the shop only: its webhook gets lost
		return order, nil
	}
	return order, p.apply(ctx, c)
}

// buying reports whether shoppers of a client can buy.
func (p *Platform) buying(client uint64) bool {
	return !p.faults.isOn(SaleStalled, client) && !p.faults.isOn(CheckoutFailing, client) && !p.shopDown(client)
}

// emitAPIRequest emits the events of a request that the API has reported.
func (em *eventEmitter) emitAPIRequest(report *api.Report) {
	src := source{em, tenant{slug: report.Client}, sourceURI("api", 0), traceOf(report.TraceParent)}
	if src.trace == "" {
		src = src.withTrace()
	}
	for _, d := range report.Events {
		src.emit(d)
	}
	if f := report.Failure; f.Kind != "" {
		src.userError(f.Category, f.Kind, "api", featureOf(f.Route))
	}
}

// traceOf returns the trace id of a W3C traceparent; "" if it has none.
func traceOf(parent string) string {
	parts := strings.Split(parent, "-")
	if len(parts) != 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" {
		return ""
	}
	return parts[1]
}

// featureOf returns the feature of a route.
func featureOf(route string) string {
	if route == api.OrderRoute {
		return "checkout"
	}
	for _, role := range Roles() {
		all := endpointsOf(role)
		if i := slices.IndexFunc(all, func(e endpoint) bool { return e.route == route }); i >= 0 {
			return all[i].feature
		}
	}
	return "other"
}

// emitAPIGauges emits the utilization of the API's connection pool and request slots.
func (em *eventEmitter) emitAPIGauges() {
	src := source{em, tenant{}, sourceURI("api", 0), ""}
	pool, threads := em.p.api.Gauges()
	for _, d := range []stream.Data{pool, threads} {
		src.emit(d)
	}
}

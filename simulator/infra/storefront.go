package infra

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/infra/api"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// storefront implements api.Platform: it finds clients and places orders.
type storefront struct{ *Infra }

var errPaused = errors.New("life is paused: nothing changes now")

// Client returns an active client by its slug or its domain.
func (p storefront) Client(name string) (id uint64, slug string, ok bool) {
	p.Memory.RLock()
	defer p.Memory.RUnlock()
	for i := range p.Books.Clients {
		if c := &p.Books.Clients[i]; c.Active && (c.Slug == name || c.Domain == name) {
			return c.ID, c.Slug, true
		}
	}
	return 0, "", false
}

// Begin adds a request in flight.
func (p storefront) Begin(traceParent string) api.PlatformRequest {
	return &apiRequest{p.Infra, p.inflight.Begin(traceOf(traceParent))}
}

// apiRequest implements api.PlatformRequest.
type apiRequest struct {
	*Infra
	*emit.Request
}

// End ends the request, and emits the events of the API's report.
func (r *apiRequest) End(report *api.Report) {
	if report == nil {
		r.Request.End(nil)
		return
	}
	r.Request.End(func(em *emit.Emitter) { emitAPIRequest(em, report) })
}

// Order places an order, in one transaction and in the books, as life does.
func (r *apiRequest) Order(ctx context.Context, client, event uint64) (api.Order, error) {
	begun := time.Now()
	order, err := r.order(ctx, client, event)
	order.Duration = time.Since(begun)
	return order, err
}

func (r *apiRequest) order(ctx context.Context, client, event uint64) (api.Order, error) {
	if err := r.LockFilled(ctx); err != nil {
		return api.Order{}, err
	}
	defer r.UnlockWrites()
	if r.WhilePaused {
		return api.Order{}, errPaused
	}
	if err := r.ResolveUnknown(ctx); err != nil { // before items are chosen: it changes the books
		return api.Order{}, err
	}
	if e := r.Books.Events.Get(event); e == nil || e.ClientID != client || !r.orders.Buying(client) {
		return api.Order{}, api.ErrNothing
	}
	c := r.NewChange("order")
	c.ReportedByAPI = true
	sales := r.orders.Purchase(c, event)
	if len(sales) == 0 {
		return api.Order{}, api.ErrNothing
	}
	order := api.Order{ID: sales[0].ShopifyOrderID, Items: len(sales), Amount: world.AmountOf(sales)}
	if c.Empty() { // the order is in the shop only: its webhook gets lost
		return order, nil
	}
	return order, r.Apply(ctx, c)
}

// emitAPIRequest emits the events of a request that the API has reported.
func emitAPIRequest(em *emit.Emitter, report *api.Report) {
	src := em.SourceOf(emit.Tenant{Slug: report.Client}, "api", 0).InTrace(traceOf(report.TraceParent))
	if src.Trace == "" {
		src = src.WithTrace()
	}
	for _, d := range report.Events {
		src.Emit(d)
	}
	if f := report.Failure; f.Kind != "" {
		src.UserError(f.Category, f.Kind, "api", featureOf(f.Route))
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
	for _, role := range world.Roles() {
		all := emit.EndpointsOf(role)
		if i := slices.IndexFunc(all, func(e emit.Endpoint) bool { return e.Route == route }); i >= 0 {
			return all[i].Feature
		}
	}
	return "other"
}

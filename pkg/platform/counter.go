package platform

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/api"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// counter is what the API sees of the platform, as people at a counter do.
type counter struct{ *Platform }

var errPaused = errors.New("life is paused: nothing changes now")

// Client finds an active client by its slug or its domain.
func (p counter) Client(name string) (id uint64, slug string, ok bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for i := range p.books.Clients {
		if c := &p.books.Clients[i]; c.Active && (c.Slug == name || c.Domain == name) {
			return c.ID, c.Slug, true
		}
	}
	return 0, "", false
}

// Begin begins a request.
func (p counter) Begin() api.Visit { return (*visit)(p.takeOff()) }

// visit is a request to the API.
type visit flight

// End tells what the API measured.
func (r *visit) End(report *api.Report) {
	if report == nil {
		(*flight)(r).land(nil)
		return
	}
	(*flight)(r).land(func(t *teller) { t.measured(report) })
}

// Order lets somebody buy, in one transaction and in the books, as life does.
func (r *visit) Order(ctx context.Context, client, event uint64) (api.Order, error) {
	begun := time.Now()
	order, err := r.order(ctx, client, event)
	order.Duration = time.Since(begun)
	return order, err
}

func (r *visit) order(ctx context.Context, client, event uint64) (api.Order, error) {
	p := r.p
	if err := p.takeFilled(ctx); err != nil {
		return api.Order{}, err
	}
	defer p.release()
	if r.late {
		return api.Order{}, errPaused
	}
	if err := p.settle(ctx); err != nil { // before choosing: it changes the books
		return api.Order{}, err
	}
	if e := p.books.Events.Get(event); e == nil || e.ClientID != client || !p.buying(client) {
		return api.Order{}, api.ErrNothing
	}
	c := p.newChange("order")
	c.measured = true
	sales := p.purchase(c, event)
	if len(sales) == 0 {
		return api.Order{}, api.ErrNothing
	}
	order := api.Order{ID: sales[0].ShopifyOrderID, Items: len(sales)}
	for _, sale := range sales {
		order.Amount += sale.AmountCents
	}
	if c.empty() { // the shop has it, and the platform does not hear of it
		return order, nil
	}
	return order, p.apply(ctx, c)
}

// buying tells whether anybody buys at a client's.
func (p *Platform) buying(client uint64) bool {
	return !p.faults.isOn(SaleStalled, client) && !p.faults.isOn(CheckoutFailing, client) && !p.shopDown(client)
}

// measured tells what the API measured of a request.
func (t *teller) measured(report *api.Report) {
	v := voice{t, tenant{slug: report.Client}, sourceOf("api", 0), traceOf(report.TraceParent)}
	if v.trace == "" {
		v = v.traced()
	}
	for _, d := range report.Told {
		v.say(d)
	}
	if f := report.Failure; f.Kind != "" {
		v.fail(f.Category, f.Kind, "api", featureOf(f.Route))
	}
}

// traceOf returns the trace of a W3C traceparent; "" when it is none.
func traceOf(parent string) string {
	parts := strings.Split(parent, "-")
	if len(parts) != 4 || len(parts[1]) != 32 || strings.Trim(parts[1], "0123456789abcdef") != "" {
		return ""
	}
	return parts[1]
}

// featureOf returns the feature that a route is for.
func featureOf(route string) string {
	if route == api.OrderRoute {
		return "checkout"
	}
	for _, role := range Roles() {
		all := pages(role)
		if i := slices.IndexFunc(all, func(e endpoint) bool { return e.route == route }); i >= 0 {
			return all[i].feature
		}
	}
	return "other"
}

// reportAPI says how busy the API's pool and its slots are.
func (t *teller) reportAPI() {
	v := voice{t, tenant{}, sourceOf("api", 0), ""}
	pool, threads := t.p.api.Gauges()
	for _, d := range []stream.Data{pool, threads} {
		v.say(d)
	}
}

package integration

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// shopOrders reads the recent orders of a shop into a window. The first time, and again after a while, it reads all of them; in
// between only those that are new or have changed. What it has read stays when a round ends before the list does.
type shopOrders struct {
	shop     *shop
	window   *orderWindow
	pageTime time.Duration // that a page may take

	reading *orderReading // that has not ended
	newest  time.Time     // creation of the newest order that the shop shows, whatever its age
	tooMany time.Time     // nothing is asked until then: the window has more orders than we hold
}

// orderReading is a list that is read page by page.
type orderReading struct {
	begun  time.Time
	whole  bool // the window as a whole, not what has changed
	filter string
	after  string
	seen   int // orders that pages have shown, the same one each time
	orders map[resourceID]orderSeen
}

// orderSeen is what a list says of an order.
type orderSeen struct {
	created time.Time
	counts  bool // it is neither a test nor cancelled
}

// Name is the client's slug.
func (t *shopOrders) Name() string { return t.shop.client }

// The newest order is asked for on its own: the window of a shop that rests is empty.
const ordersQuery = `query consignwatchOrders($first: Int!, $after: String, $query: String!) {
  newest: orders(first: 1, sortKey: CREATED_AT, reverse: true, query: "status:any") { nodes { createdAt test } }
  orders(first: $first, after: $after, sortKey: UPDATED_AT, query: $query) {
    nodes { legacyResourceId createdAt cancelledAt test }
    pageInfo { hasNextPage endCursor }
  }
}`

type orderNode struct {
	ID          resourceID `json:"legacyResourceId"`
	CreatedAt   time.Time  `json:"createdAt"`
	CancelledAt *time.Time `json:"cancelledAt"`
	Test        bool       `json:"test"`
}

type orderList struct {
	Nodes    []orderNode `json:"nodes"`
	PageInfo page        `json:"pageInfo"`
}

type ordersAnswer struct {
	Newest *orderList `json:"newest"`
	Orders *orderList `json:"orders"`
}

func (a *ordersAnswer) check() error {
	if a.Newest == nil || a.Orders == nil {
		return errLacks
	}
	for _, node := range a.Orders.Nodes {
		if node.ID == 0 || node.CreatedAt.IsZero() {
			return errLacks
		}
	}
	return nil
}

const (
	// orderOverlap is how far back changes are asked for again: what is new may take a while until a search finds it, and
	// clocks differ.
	orderOverlap = 5 * time.Minute
	// firstPage is the first page of what has changed: most often there is little.
	firstPage = 50
)

// Collect reads what is new.
func (t *shopOrders) Collect(ctx context.Context, sink *exporter.Sink) error {
	if err := t.read(ctx); err != nil {
		return err
	}
	recent, newest := t.window.recent(time.Now())
	sink.Gauge("consign_shopify_orders_recent", float64(recent), t.shop.client)
	if t.newest.After(newest) {
		newest = t.newest
	}
	if !newest.IsZero() {
		sink.Gauge("consign_shopify_last_order_timestamp_seconds", unix(newest), t.shop.client)
	}
	return nil
}

func (t *shopOrders) read(ctx context.Context) error {
	if now := time.Now(); now.Before(t.tooMany) {
		return t.errTooMany()
	}
	if t.reading == nil {
		t.reading = t.begin(time.Now())
	}
	for {
		if deadline, ok := ctx.Deadline(); ok && t.reading.after != "" && time.Until(deadline) < t.pageTime {
			return exporter.Failure(exporter.ReasonThrottled, fmt.Errorf("shopify %s: orders: %d were read, the others follow in the next round", t.shop.client, len(t.reading.orders)))
		}
		done, err := t.readPage(ctx)
		switch {
		case beginsAnew(err):
			t.reading = nil
			return err
		case err != nil:
			return err
		case len(t.reading.orders) > t.window.limit || t.reading.seen > 2*t.window.limit+pageSize:
			t.reading, t.tooMany = nil, time.Now().Add(t.window.reread)
			t.window.forget()
			return t.errTooMany()
		case done:
			begun := t.reading.begun
			if err := t.end(); err != nil {
				return err
			}
			if time.Since(begun) <= orderOverlap {
				return nil
			}
			t.reading = t.begin(time.Now()) // it took so long that there may be more by now
		}
	}
}

func (t *shopOrders) end() error {
	r := t.reading
	t.reading = nil
	if !t.window.take(r) {
		t.tooMany = time.Now().Add(t.window.reread)
		return t.errTooMany()
	}
	return nil
}

func (t *shopOrders) errTooMany() error {
	return exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: orders: there are more than %d within %s (max_orders), so they are not reported", t.shop.client, t.window.limit, t.window.length))
}

// begin decides what to read.
func (t *shopOrders) begin(now time.Time) *orderReading {
	since, whole := t.window.since(now)
	filter := []string{"status:any", "created_at:>=" + searchTime(now.Add(-t.window.length))}
	if !whole {
		filter = append(filter, "updated_at:>="+searchTime(since.Add(-orderOverlap)))
	}
	switch own := t.window.filter; {
	case strings.Contains(own, " OR "):
		filter = append(filter, "("+own+")")
	case own != "":
		filter = append(filter, own)
	}
	return &orderReading{begun: now, whole: whole, filter: strings.Join(filter, " AND "), orders: map[resourceID]orderSeen{}}
}

// searchTime is a time as Shopify's search wants it.
func searchTime(at time.Time) string { return "'" + at.UTC().Format("2006-01-02T15:04:05Z") + "'" }

func (t *shopOrders) readPage(ctx context.Context) (done bool, err error) {
	r := t.reading
	first := pageSize
	if !r.whole && r.after == "" {
		first = firstPage
	}
	var a ordersAnswer
	err = t.shop.ask(ctx, query{
		operation: operationOrders, text: ordersQuery, points: points(1) + points(first), canWait: true,
		variables: map[string]any{"first": first, "after": cursor(r.after), "query": r.filter},
	}, &a)
	if err != nil {
		return false, err
	}
	for _, node := range a.Newest.Nodes {
		if !node.Test {
			t.newest = node.CreatedAt
		}
	}
	for _, node := range a.Orders.Nodes {
		r.orders[node.ID] = orderSeen{created: node.CreatedAt, counts: node.CancelledAt == nil && !node.Test}
	}
	r.seen += len(a.Orders.Nodes)
	next := a.Orders.PageInfo
	if err := next.goesOn(r.after, len(a.Orders.Nodes)); err != nil {
		return false, fmt.Errorf("shopify %s: orders: %w", t.shop.client, err)
	}
	r.after = next.EndCursor
	return !next.HasNextPage, nil
}

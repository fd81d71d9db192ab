package shopify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// ordersTarget reads the recent orders of a shop into a window. The first time, and again after a while, it reads all of them; in
// between only those that are new or have changed. What it has read stays when a round ends before the list does.
type ordersTarget struct {
	shop     *shop
	window   *orderWindow
	pageTime time.Duration // timeout of a page

	reading      *orderReading // nil: none is in progress
	newest       time.Time     // creation time of the newest order in the shop, of any age
	tooManyUntil time.Time     // nothing is fetched until then: the window has more orders than the limit
}

// orderReading is a list that is read page by page.
type orderReading struct {
	started time.Time
	full    bool // the whole window, not only the changes
	filter  string
	after   string
	seen    int // orders on all pages so far, repeated ones included
	orders  map[resourceID]listedOrder
}

// listedOrder is an order in the list.
type listedOrder struct {
	created time.Time
	counts  bool // it is neither a test nor cancelled
}

// Name is the client's slug.
func (t *ordersTarget) Name() string { return t.shop.client }

// The newest order is queried separately: the window of an idle shop is empty.
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
	PageInfo pageInfo    `json:"pageInfo"`
}

type ordersResult struct {
	Newest *orderList `json:"newest"`
	Orders *orderList `json:"orders"`
}

func (a *ordersResult) check() error {
	if a.Newest == nil || a.Orders == nil {
		return errIncomplete
	}
	for _, node := range a.Orders.Nodes {
		if node.ID == 0 || node.CreatedAt.IsZero() {
			return errIncomplete
		}
	}
	return nil
}

const (
	// orderOverlap is how far changes are fetched again: a search may find a new order only after a while, and clocks
	// differ.
	orderOverlap = 5 * time.Minute
	// firstPage is the size of the first page of changes: usually there are few.
	firstPage = 50
)

// Collect reads new and changed orders.
func (t *ordersTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
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

func (t *ordersTarget) read(ctx context.Context) error {
	if now := time.Now(); now.Before(t.tooManyUntil) {
		return t.errTooMany()
	}
	if t.reading == nil {
		t.reading = t.startReading(time.Now())
	}
	for {
		if deadline, ok := ctx.Deadline(); ok && t.reading.after != "" && time.Until(deadline) < t.pageTime {
			return exporter.Failure(exporter.ReasonThrottled, fmt.Errorf("shopify %s: orders: %d were read, the others follow in the next round", t.shop.client, len(t.reading.orders)))
		}
		done, err := t.readPage(ctx)
		switch {
		case mustRestart(err):
			t.reading = nil
			return err
		case err != nil:
			return err
		case len(t.reading.orders) > t.window.limit || t.reading.seen > 2*t.window.limit+pageSize:
			t.reading, t.tooManyUntil = nil, time.Now().Add(t.window.reread)
			t.window.clear()
			return t.errTooMany()
		case done:
			started := t.reading.started
			if err := t.finishReading(); err != nil {
				return err
			}
			if time.Since(started) <= orderOverlap {
				return nil
			}
			t.reading = t.startReading(time.Now()) // the reading took so long that there may be further changes
		}
	}
}

func (t *ordersTarget) finishReading() error {
	r := t.reading
	t.reading = nil
	if !t.window.apply(r) {
		t.tooManyUntil = time.Now().Add(t.window.reread)
		return t.errTooMany()
	}
	return nil
}

func (t *ordersTarget) errTooMany() error {
	return exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: orders: there are more than %d within %s (max_orders), so they are not reported", t.shop.client, t.window.limit, t.window.length))
}

// startReading decides what to read.
func (t *ordersTarget) startReading(now time.Time) *orderReading {
	since, full := t.window.changedSince(now)
	filter := []string{"status:any", "created_at:>=" + searchTime(now.Add(-t.window.length))}
	if !full {
		filter = append(filter, "updated_at:>="+searchTime(since.Add(-orderOverlap)))
	}
	switch own := t.window.filter; {
	case strings.Contains(own, " OR "):
		filter = append(filter, "("+own+")")
	case own != "":
		filter = append(filter, own)
	}
	return &orderReading{started: now, full: full, filter: strings.Join(filter, " AND "), orders: map[resourceID]listedOrder{}}
}

// searchTime is a time as Shopify's search wants it.
func searchTime(at time.Time) string { return "'" + at.UTC().Format("2006-01-02T15:04:05Z") + "'" }

func (t *ordersTarget) readPage(ctx context.Context) (done bool, err error) {
	r := t.reading
	first := pageSize
	if !r.full && r.after == "" {
		first = firstPage
	}
	var a ordersResult
	err = t.shop.do(ctx, query{
		operation: operationOrders, text: ordersQuery, points: points(1) + points(first), lowPriority: true,
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
		r.orders[node.ID] = listedOrder{created: node.CreatedAt, counts: node.CancelledAt == nil && !node.Test}
	}
	r.seen += len(a.Orders.Nodes)
	next := a.Orders.PageInfo
	if err := next.checkNext(r.after, len(a.Orders.Nodes)); err != nil {
		return false, fmt.Errorf("shopify %s: orders: %w", t.shop.client, err)
	}
	r.after = next.EndCursor
	return !next.HasNextPage, nil
}

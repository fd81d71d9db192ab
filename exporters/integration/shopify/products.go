package shopify

import (
	"context"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/platformdb"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// productsTarget compares the products of a shop with the platform's items, page by page, so that the list is not kept in memory.
// Without a database it only counts them. It does so once an interval, and reports the last result in between.
type productsTarget struct {
	shop     *shop
	db       *platformdb.DB // nil: products are only counted
	interval time.Duration
	grace    time.Duration
	limit    int

	current      *productCount // nil: no count is in progress
	last         *productCount
	tooManyUntil time.Time // nothing is fetched until then: the shop has more products than the limit
}

// productCount is a count of a shop's products.
type productCount struct {
	started   time.Time
	after     string
	products  int
	unmatched int
}

// Name is the client's slug.
func (t *productsTarget) Name() string { return t.shop.client }

const productsQuery = `query consignwatchProducts($first: Int!, $after: String) {
  products(first: $first, after: $after, sortKey: ID) {
    nodes { legacyResourceId createdAt }
    pageInfo { hasNextPage endCursor }
  }
}`

type productsResult struct {
	Products *struct {
		Nodes []struct {
			ID        resourceID `json:"legacyResourceId"`
			CreatedAt time.Time  `json:"createdAt"`
		} `json:"nodes"`
		PageInfo pageInfo `json:"pageInfo"`
	} `json:"products"`
}

func (a *productsResult) check() error {
	if a.Products == nil {
		return errIncomplete
	}
	for _, node := range a.Products.Nodes {
		if node.ID == 0 || node.CreatedAt.IsZero() {
			return errIncomplete
		}
	}
	return nil
}

const productCountQuery = `query consignwatchProductCount { productsCount(limit: null) { count precision } }`

type productCountResult struct {
	Count *struct {
		Count     *int   `json:"count"`
		Precision string `json:"precision"`
	} `json:"productsCount"`
}

func (a *productCountResult) check() error {
	if a.Count == nil || a.Count.Count == nil {
		return errIncomplete
	}
	return nil
}

// exactUpTo is the largest number that Shopify counts exactly: one more means that there are more.
const exactUpTo = 25_000

// Collect counts once an interval, and reports the last count.
func (t *productsTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	if time.Now().Before(t.tooManyUntil) {
		return t.errTooMany()
	}
	if t.last == nil || time.Since(t.last.started) >= t.interval {
		count := t.count
		if t.db != nil {
			count = t.compare
		}
		if err := count(ctx); err != nil {
			return err
		}
	}
	sink.Gauge("consign_shopify_products", float64(t.last.products), t.shop.client)
	if t.db != nil {
		sink.Gauge("consign_shopify_products_unmatched", float64(t.last.unmatched), t.shop.client)
	}
	return nil
}

// count fetches the number from Shopify.
func (t *productsTarget) count(ctx context.Context) error {
	started := time.Now()
	var a productCountResult
	if err := t.shop.do(ctx, query{operation: operationProducts, text: productCountQuery, points: 10, lowPriority: true}, &a); err != nil {
		return err
	}
	n := *a.Count.Count
	if a.Count.Precision != "EXACT" || n > exactUpTo {
		return exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: products: there are more than Shopify counts, at least %d", t.shop.client, n))
	}
	t.last = &productCount{started: started, products: n}
	return nil
}

// compare reads the list of products, and looks each page up in the platform's database.
func (t *productsTarget) compare(ctx context.Context) error {
	if t.current == nil {
		t.current = &productCount{started: time.Now()}
	}
	for {
		if deadline, ok := ctx.Deadline(); ok && t.current.after != "" && time.Until(deadline) < t.shop.timeout {
			return exporter.Failure(exporter.ReasonThrottled, fmt.Errorf("shopify %s: products: %d were read, the others follow in the next round", t.shop.client, t.current.products))
		}
		done, err := t.comparePage(ctx)
		switch {
		case mustRestart(err):
			t.current = nil
			return err
		case err != nil:
			return err
		case t.current.products > t.limit:
			t.current, t.tooManyUntil = nil, time.Now().Add(t.interval)
			return t.errTooMany()
		case done:
			t.last, t.current = t.current, nil
			return nil
		}
	}
}

func (t *productsTarget) errTooMany() error {
	return exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: products: there are more than %d (max_products), so they are not reported", t.shop.client, t.limit))
}

func (t *productsTarget) comparePage(ctx context.Context) (done bool, err error) {
	c := t.current
	var a productsResult
	err = t.shop.do(ctx, query{
		operation: operationProducts, text: productsQuery, points: points(pageSize), lowPriority: true, extraReserve: points(pageSize),
		variables: map[string]any{"first": pageSize, "after": cursor(c.after)},
	}, &a)
	if err != nil {
		return false, err
	}
	next := a.Products.PageInfo
	if err := next.checkNext(c.after, len(a.Products.Nodes)); err != nil {
		return false, fmt.Errorf("shopify %s: products: %w", t.shop.client, err)
	}
	var due []platformdb.Record
	for _, node := range a.Products.Nodes {
		if !node.CreatedAt.After(c.started.Add(-t.grace)) {
			due = append(due, platformdb.Record{Client: t.shop.client, ID: uint64(node.ID)})
		}
	}
	unmatched := len(due)
	if err := t.db.FindProducts(ctx, due, func(platformdb.Record) { unmatched-- }); err != nil {
		return false, fmt.Errorf("shopify %s: products: %w", t.shop.client, err)
	}
	c.products += len(a.Products.Nodes)
	c.unmatched += unmatched
	c.after = next.EndCursor
	return !next.HasNextPage, nil
}

package integration

import (
	"context"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// shopProducts compares the products of a shop with the platform's items, page by page, so that nothing of it has to be held.
// Without a database it only counts them. It does so from time to time, and tells the last result in between.
type shopProducts struct {
	shop  *shop
	books *books // nil: products are only counted
	every time.Duration
	grace time.Duration
	limit int

	counting *productCount // that has not ended
	last     *productCount
	tooMany  time.Time // nothing is asked until then: the shop has more products than we read
}

// productCount is what is known of a shop's products.
type productCount struct {
	begun     time.Time
	after     string
	products  int
	unmatched int
}

// Name is the client's slug.
func (t *shopProducts) Name() string { return t.shop.client }

const productsQuery = `query consignwatchProducts($first: Int!, $after: String) {
  products(first: $first, after: $after, sortKey: ID) {
    nodes { legacyResourceId createdAt }
    pageInfo { hasNextPage endCursor }
  }
}`

type productsAnswer struct {
	Products *struct {
		Nodes []struct {
			ID        resourceID `json:"legacyResourceId"`
			CreatedAt time.Time  `json:"createdAt"`
		} `json:"nodes"`
		PageInfo page `json:"pageInfo"`
	} `json:"products"`
}

func (a *productsAnswer) check() error {
	if a.Products == nil {
		return errLacks
	}
	for _, node := range a.Products.Nodes {
		if node.ID == 0 || node.CreatedAt.IsZero() {
			return errLacks
		}
	}
	return nil
}

const productCountQuery = `query consignwatchProductCount { productsCount(limit: null) { count precision } }`

type productCountAnswer struct {
	Count *struct {
		Count     *int   `json:"count"`
		Precision string `json:"precision"`
	} `json:"productsCount"`
}

func (a *productCountAnswer) check() error {
	if a.Count == nil || a.Count.Count == nil {
		return errLacks
	}
	return nil
}

// exactUpTo is as far as Shopify counts, whatever it is asked: one more means that there are more.
const exactUpTo = 25_000

// Collect counts when it is time, and tells what was counted last.
func (t *shopProducts) Collect(ctx context.Context, sink *exporter.Sink) error {
	if time.Now().Before(t.tooMany) {
		return t.errTooMany()
	}
	if t.last == nil || time.Since(t.last.begun) >= t.every {
		count := t.count
		if t.books != nil {
			count = t.compare
		}
		if err := count(ctx); err != nil {
			return err
		}
	}
	sink.Gauge("consign_shopify_products", float64(t.last.products), t.shop.client)
	if t.books != nil {
		sink.Gauge("consign_shopify_products_unmatched", float64(t.last.unmatched), t.shop.client)
	}
	return nil
}

// count asks Shopify for the number.
func (t *shopProducts) count(ctx context.Context) error {
	begun := time.Now()
	var a productCountAnswer
	if err := t.shop.ask(ctx, query{operation: operationProducts, text: productCountQuery, points: 10, canWait: true}, &a); err != nil {
		return err
	}
	n := *a.Count.Count
	if a.Count.Precision != "EXACT" || n > exactUpTo {
		return exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: products: there are more than Shopify counts, at least %d", t.shop.client, n))
	}
	t.last = &productCount{begun: begun, products: n}
	return nil
}

// compare reads the list of products, and looks each page up in the books.
func (t *shopProducts) compare(ctx context.Context) error {
	if t.counting == nil {
		t.counting = &productCount{begun: time.Now()}
	}
	for {
		if deadline, ok := ctx.Deadline(); ok && t.counting.after != "" && time.Until(deadline) < t.shop.timeout {
			return exporter.Failure(exporter.ReasonThrottled, fmt.Errorf("shopify %s: products: %d were read, the others follow in the next round", t.shop.client, t.counting.products))
		}
		done, err := t.comparePage(ctx)
		switch {
		case beginsAnew(err):
			t.counting = nil
			return err
		case err != nil:
			return err
		case t.counting.products > t.limit:
			t.counting, t.tooMany = nil, time.Now().Add(t.every)
			return t.errTooMany()
		case done:
			t.last, t.counting = t.counting, nil
			return nil
		}
	}
}

func (t *shopProducts) errTooMany() error {
	return exporter.Failure(exporter.ReasonCapability, fmt.Errorf("shopify %s: products: there are more than %d (max_products), so they are not reported", t.shop.client, t.limit))
}

func (t *shopProducts) comparePage(ctx context.Context) (done bool, err error) {
	c := t.counting
	var a productsAnswer
	err = t.shop.ask(ctx, query{
		operation: operationProducts, text: productsQuery, points: points(pageSize), canWait: true, leaves: points(pageSize),
		variables: map[string]any{"first": pageSize, "after": cursor(c.after)},
	}, &a)
	if err != nil {
		return false, err
	}
	next := a.Products.PageInfo
	if err := next.goesOn(c.after, len(a.Products.Nodes)); err != nil {
		return false, fmt.Errorf("shopify %s: products: %w", t.shop.client, err)
	}
	var due []record
	for _, node := range a.Products.Nodes {
		if !node.CreatedAt.After(c.begun.Add(-t.grace)) {
			due = append(due, record{t.shop.client, node.ID})
		}
	}
	unmatched := len(due)
	if err := t.books.look(ctx, t.books.products, due, func(record) { unmatched-- }); err != nil {
		return false, fmt.Errorf("shopify %s: products: %w", t.shop.client, err)
	}
	c.products += len(a.Products.Nodes)
	c.unmatched += unmatched
	c.after = next.EndCursor
	return !next.HasNextPage, nil
}

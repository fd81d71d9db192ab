package shopify

import (
	"context"
	"time"

	"github.com/consignwatch/consignwatch/exporters/integration/platformdb"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// reconciliation compares the recent orders of all shops with the platform's database: one query covers many clients, and only
// orders that were not found before.
type reconciliation struct {
	db        *platformdb.DB
	windows   []*orderWindow
	maxAge    time.Duration // of the window of a shop
	inventory []string
}

// Name is the name of the target.
func (*reconciliation) Name() string { return "platform" }

// Collect looks up, in the platform's database, the orders that it should have.
func (r *reconciliation) Collect(ctx context.Context, sink *exporter.Sink) error {
	now := time.Now()
	missing := map[string]int{}
	window := map[string]*orderWindow{}
	var all []platformdb.Record
	for _, w := range r.windows {
		ids, known := w.due(now, r.maxAge)
		if !known {
			continue
		}
		missing[w.client], window[w.client] = len(ids), w
		for _, id := range ids {
			all = append(all, platformdb.Record{Client: w.client, ID: uint64(id)})
		}
	}
	err := r.db.FindOrders(ctx, all, func(found platformdb.Record) {
		missing[found.Client]--
		window[found.Client].markFound(resourceID(found.ID))
	})
	if err != nil {
		return err
	}
	sink.Inventory("client", r.inventory)
	for client, n := range missing {
		sink.Gauge("consign_shopify_orders_missing", float64(n), client)
	}
	return nil
}

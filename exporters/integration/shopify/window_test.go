package shopify

import (
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

func TestADeletedOrderIsMissingNoLongerThanUntilTheWindowIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newOrderWindow("north", &Config{
		OrderWindow: yamlfile.Duration(24 * time.Hour), GracePeriod: yamlfile.Duration(15 * time.Minute), RereadInterval: yamlfile.Duration(30 * time.Minute), MaxOrders: 10,
	})
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	seen := func(ids ...resourceID) map[resourceID]listedOrder {
		all := map[resourceID]listedOrder{}
		for _, id := range ids {
			all[id] = listedOrder{created: now.Add(-time.Hour), counts: true}
		}
		return all
	}
	if _, whole := w.changedSince(now); !whole {
		t.Error("an empty window is not read as a whole")
	}
	w.apply(&orderReading{started: now, full: true, orders: seen(1, 2)})
	w.markFound(1)
	if ids, known := w.due(now, time.Minute); !known || len(ids) != 1 || ids[0] != 2 {
		t.Errorf("due are %v, known: %v", ids, known)
	}
	if _, known := w.due(now.Add(2*time.Minute), time.Minute); known {
		t.Error("a window that was not read for two minutes is known")
	}
	if _, whole := w.changedSince(now.Add(rereadMissing - time.Second)); whole {
		t.Error("the window is read again already")
	}
	if _, whole := w.changedSince(now.Add(rereadMissing)); !whole {
		t.Error("with an order missing, the window is not read again after five minutes")
	}
	w.apply(&orderReading{started: now.Add(rereadMissing), full: true, orders: seen(1)})
	if ids, _ := w.due(now.Add(rereadMissing), time.Minute); len(ids) != 1 || ids[0] != 1 {
		t.Errorf("after the reading the order that is there is compared again, the deleted one is not: %v", ids)
	}
	w.markFound(1)
	if _, whole := w.changedSince(now.Add(rereadMissing + 29*time.Minute)); whole {
		t.Error("without a missing order, the window is read again after less than half an hour")
	}
	if n, _ := w.recent(now.Add(25 * time.Hour)); n != 0 {
		t.Errorf("%d orders are there a day later", n)
	}
}

package events_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// TestADuplicateCountsOnceAcrossACrashAndAcrossARebalance tells the same orders again and again, on the same partition:
// to the process that counted them, to the one that starts after its kill -9, and to another replica that has taken the
// partition over. Some orders were delivered when the process died, some only counted.
func TestADuplicateCountsOnceAcrossACrashAndAcrossARebalance(t *testing.T) {
	t.Parallel()
	c := newCluster(t, time.Second)
	a := c.start(t, "a", "prometheus")
	told := 0
	tell := func(n int) { // the orders 0 to n-1, with the same ids
		t.Helper()
		var records []record
		for i := range n {
			records = append(records, order(fmt.Sprint("order-", i), "anna"))
		}
		offsets := write(t, c.broker, records...)
		c.books.end[commerce+"/0"] = offsets[n-1] + 1
		told += n
	}
	tell(10)
	c.awaitCounted(t)
	tell(15)
	c.awaitCounted(t)
	tell(20) // five of them are in no scrape yet, and perhaps not even counted
	kill(t, a)
	restart(t, a)
	tell(20)
	c.awaitCounted(t)

	c.start(t, "b", "prometheus")
	c.awaitOffset(t, "b") // until it has a partition
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	tell(25) // to b, which has all partitions now
	c.awaitCounted(t)
	got := c.counted(t)
	if n := got[`consign_orders_total{channel="pos",client="anna",event="spring"}`]; n != 25 {
		t.Errorf("%v orders are counted, want 25, told %d times", n, told)
	}
	if n := got[`consign_sales_amount_total{client="anna",currency="USD",event="spring"}`]; n != 25*1250 {
		t.Errorf("they are worth %v cents, want %d", n, 25*1250)
	}
	for outcome, want := range map[string]float64{"counted": 25, "duplicate": float64(told - 25)} {
		if n := got[fmt.Sprintf(`consignwatch_records_total{outcome=%q,topic=%q}`, outcome, commerce)]; n != want {
			t.Errorf("%v records are %s, want %v", n, outcome, want)
		}
	}
}

// awaitOffset waits until Prometheus has an offset of an exporter.
func (c *cluster) awaitOffset(t *testing.T, name string) {
	t.Helper()
	query := fmt.Sprintf(`count(consignwatch_offset{instance=%q})`, c.exporters[name].Address())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		v, _, _, err := c.api.Query(ctx, query, time.Time{})
		if err == nil && len(v.(model.Vector)) > 0 {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s has no partition within a minute: %v\n%s", name, err, c.exporters[name].LogTail())
		}
	}
}

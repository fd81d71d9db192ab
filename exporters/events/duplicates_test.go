package events_test

import (
	"fmt"
	"testing"
	"time"
)

// TestADuplicateCountsOnceAcrossACrashAndAcrossARebalance publishes the same orders repeatedly, on the same partition:
// to the process that counted them, to the one that starts after its kill -9, and to another replica that has taken the
// partition over. Some orders were delivered when the process died, some only counted.
func TestADuplicateCountsOnceAcrossACrashAndAcrossARebalance(t *testing.T) {
	t.Parallel()
	c := newCluster(t, time.Second)
	a, scrapes := c.startBehindProxies(t, "a", "prometheus")
	published := 0
	publish := func(n int) { // the orders 0 to n-1, with the same ids
		t.Helper()
		var records []record
		for i := range n {
			records = append(records, order(fmt.Sprint("order-", i), "anna"))
		}
		offsets := write(t, c.broker, records...)
		c.expected.end[commerce+"/0"] = offsets[n-1] + 1
		published += n
	}
	publish(10)
	c.awaitCounted(t)
	publish(15)
	c.awaitCounted(t)
	scrapes.reject(true)
	old := newest(t, a)
	publish(20) // five of them are counted, and in no scrape
	await(t, "the orders are counted", func() bool { return newest(t, a)[commerce] > old[commerce] })
	kill(t, a)
	scrapes.reject(false)
	restart(t, a)
	publish(20)
	c.awaitCounted(t)

	c.start(t, "b", "prometheus")
	c.awaitMembers(t, "a", "b")
	stopProcess(t, a)
	c.awaitMembers(t, "b")
	publish(25)
	c.awaitCounted(t)
	got := c.counted(t)
	if n := got[`consign_orders_total{channel="pos",client="anna",event="spring"}`]; n != 25 {
		t.Errorf("%v orders are counted, want 25, told %d times", n, published)
	}
	if n := got[`consign_sales_amount_total{client="anna",currency="USD",event="spring"}`]; n != 25*1250 {
		t.Errorf("they are worth %v cents, want %d", n, 25*1250)
	}
	for outcome, want := range map[string]float64{"counted": 25, "duplicate": float64(published - 25)} {
		if n := got[fmt.Sprintf(`consignwatch_records_total{outcome=%q,topic=%q}`, outcome, commerce)]; n != want {
			t.Errorf("%v records are %s, want %v", n, outcome, want)
		}
	}
}

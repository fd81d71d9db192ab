package events_test

import (
	"fmt"
	"testing"
	"time"
)

// TestADuplicateCountsOnceAcrossACrashAndAcrossARebalance tells the same orders again and again, on the same partition:
// to the process that counted them, to the one that starts after its kill -9, and to another replica that has taken the
// partition over. Some orders were delivered when the process died, some only counted.
func TestADuplicateCountsOnceAcrossACrashAndAcrossARebalance(t *testing.T) {
	t.Parallel()
	c := newCluster(t, time.Second)
	a, scrapes := c.startBehindProxies(t, "a", "prometheus")
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
	scrapes.refuse(true)
	old := newest(t, a)
	tell(20) // five of them are counted, and in no scrape
	await(t, "the orders are counted", func() bool { return newest(t, a)[commerce] > old[commerce] })
	kill(t, a)
	scrapes.refuse(false)
	restart(t, a)
	tell(20)
	c.awaitCounted(t)

	c.start(t, "b", "prometheus")
	c.awaitMembers(t, "a", "b")
	stopProcess(t, a)
	c.awaitMembers(t, "b")
	tell(25)
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

package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

// TestAShopThatHangsOrThrottlesAffectsOnlyItself watches sixty shops, of which some hang, some throttle and some are down. It is not parallel: it counts the
// goroutines and the memory of the process.
func TestAShopThatHangsOrThrottlesAffectsOnlyItself(t *testing.T) {
	exportertest.InVirtualTime(t, func(t *testing.T) {
		const rate = 3
		m := newFakeShops(t)
		var ill, well []string
		for i := range 60 {
			client := fmt.Sprintf("client-%02d", i)
			m.open(t, client)
			m.orders(t, client, 3, time.Hour)
			if i%5 == 0 {
				ill = append(ill, client)
			} else {
				well = append(well, client)
			}
		}
		for i, client := range ill {
			m.turn(t, client, []func(*shopify.Switches){
				func(s *shopify.Switches) { s.Slow = 3 * time.Second },
				func(s *shopify.Switches) { s.Status = 429 },
				func(s *shopify.Switches) { s.Throttled = true },
				func(s *shopify.Switches) { s.Down = true },
			}[i%4])
		}
		r := m.start(t, m.config(fmt.Sprintf("interval: 2s\nrequests_per_second: %d\nproducts_interval: 2s\nexpected_topics: [orders/create]\n", rate)))
		rounds := func(n float64) {
			t.Helper()
			for range 10 * int(n) {
				time.Sleep(2 * time.Second)
				s := r.Series(t)
				if !slices.ContainsFunc(well, func(client string) bool { return s[counted(client, "ok")] < 3*n }) {
					return
				}
			}
			t.Fatalf("the shops that are well were not asked in %v rounds", n)
		}
		rounds(2) // the first one makes connections
		goroutines, heap := runtime.NumGoroutine(), heapInUse()
		rounds(8)
		if now := runtime.NumGoroutine(); now > goroutines+goroutines/4 {
			t.Errorf("%d goroutines became %d", goroutines, now)
		}
		if now := heapInUse(); now > heap+heap/2+4<<20 {
			t.Errorf("%d bytes of memory became %d", heap, now)
		}
		page := r.Series(t)
		for _, client := range well {
			for _, collector := range []string{"shopify", "shopify_orders", "shopify_products"} {
				labels := fmt.Sprintf(`{collector=%q,target=%q}`, collector, client)
				if page["consignwatch_collector_success"+labels] != 1 || unixSeconds(time.Now())-page["consignwatch_collector_last_success_timestamp_seconds"+labels] > 5 {
					t.Errorf("%s: %s is not collected every two seconds", client, collector)
				}
			}
		}
		for _, client := range slices.Concat(ill, well) {
			asked := m.requestsTo(client)
			for i := range asked {
				// Of the requests that begin within two seconds of this one.
				n := 1
				for n < len(asked)-i && asked[i+n].At.Sub(asked[i].At) < 2*time.Second {
					n++
				}
				if n > 2*rate+1 {
					t.Errorf("%s was asked %d times within two seconds, with %d requests a second", client, n, rate)
					break
				}
			}
		}
		// Who throttles is left alone as long as it says: two seconds, with 429.
		for i, client := range ill {
			if i%4 != 1 {
				continue
			}
			asked := m.requestsTo(client)
			for j := 1; j < len(asked); j++ {
				if gap := asked[j].At.Sub(asked[j-1].At); gap < 2*time.Second {
					t.Errorf("%s was asked again after %v", client, gap)
				}
			}
			if len(asked) < 3 {
				t.Errorf("%s was asked only %d times", client, len(asked))
			}
		}
	})
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestConnectionsStayOpenFromOneRoundToTheNext(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		var made atomic.Int64
		server := m.network.Server(t, m.Fake)
		server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				made.Add(1)
			}
		}
		server.Start()
		m.url = server.URL
		r := m.start(t, m.config(every("1s")))
		r.Await(t, "some rounds", func(s map[string]float64) bool {
			return s[counted("north", "ok")] >= 15 && s[counted("south", "ok")] >= 15
		})
		timeouts := r.Series(t)[counted("north", "timeout")] + r.Series(t)[counted("south", "timeout")]
		if n := float64(made.Load()); n > 2+timeouts {
			t.Errorf("%v connections were made for two shops, with %v timeouts", n, timeouts)
		}
	})
}

// TestAConnectionThatTheShopHasClosedMeanwhileIsNoFailure has a server that ends each connection when it is used again.
func TestAConnectionThatTheShopHasClosedMeanwhileIsNoFailure(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		type uses struct{}
		var ended atomic.Int64
		server := m.network.Server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Context().Value(uses{}).(*atomic.Int64).Add(1) > 1 {
				ended.Add(1)
				panic(http.ErrAbortHandler)
			}
			m.ServeHTTP(w, r)
		}))
		server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, uses{}, &atomic.Int64{})
		}
		server.Start()
		m.url = server.URL
		r := m.start(t, m.config(every("1s")))
		page := r.Await(t, "some rounds", func(s map[string]float64) bool { return s[counted("north", "ok")] >= 12 })
		if n := page[counted("north", "server_error")]; n > 0 || ended.Load() < 5 {
			t.Errorf("%d connections were closed, and %v requests failed", ended.Load(), n)
		}
	})
}

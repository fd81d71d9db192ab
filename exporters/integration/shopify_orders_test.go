package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

// pages counts the requests for orders of a client.
func (m *fakeShops) pages(client string) (n int) {
	for _, r := range m.requestsTo(client) {
		if r.Operation == "consignwatchOrders" && r.Outcome == "ok" {
			n++
		}
	}
	return n
}

func TestAfterTheFirstReadingOnlyWhatIsNewIsRead(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		ids := m.orders(t, "north", 700, time.Hour)
		r := m.start(t, m.config(quick))
		recent := of("orders_recent", "north")
		r.Await(t, "the window", func(s map[string]float64) bool { return s[recent] == 700 })
		if n := m.pages("north"); n < 3 {
			t.Errorf("700 orders were read with %d pages", n)
		}
		before := len(m.requestsTo("north"))
		m.orders(t, "north", 1, 0)
		if err := m.UpdateOrder(domainOf("north"), ids[600], func(o *shopify.Order) { o.CancelledAt = time.Now() }); err != nil {
			t.Fatal(err)
		}
		r.Await(t, "one more, and one cancelled", func(s map[string]float64) bool { return s[recent] == 700 })
		exportertest.Eventually(t, "a few rounds", func() bool { return len(m.requestsTo("north")) > before+10 })
		for _, request := range m.requestsTo("north")[before:] {
			if request.Operation == "consignwatchOrders" && request.Cost > 20 {
				t.Errorf("a round without much news has cost %d points", request.Cost)
			}
		}
	})
}

func TestMoreOrdersThanTheLimitAreNotReported(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		m.orders(t, "north", 301, time.Hour)
		m.orders(t, "south", 300, time.Hour)
		l := newPlatformTables(t, dsn, "north", "south")
		r := m.start(t, m.config(every("2s")+"max_orders: 300\n")+l.section(t, m))
		page := r.Await(t, "what is known of both", func(s map[string]float64) bool {
			return s[of("orders_missing", "south")] == 300 && s[`consignwatch_collector_failures_total{collector="shopify_orders",reason="capability"}`] > 1
		})
		for _, name := range []string{"orders_recent", "orders_missing", "last_order_timestamp_seconds"} {
			if v, ok := page[of(name, "north")]; ok {
				t.Errorf("%s of a window with too many orders is %v", name, v)
			}
		}
		asked := m.pages("north")
		if asked > 4 {
			t.Errorf("%d pages were read of a window that is too large", asked)
		}
	})
}

func TestMoreProductsThanTheLimitAreNotReported(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.products(t, "north", 301, time.Hour)
		l := newPlatformTables(t, dsn, "north")
		r := m.start(t, m.config(quick+"max_products: 300\n")+l.section(t, m))
		page := r.Await(t, "a failure", func(s map[string]float64) bool {
			return s[`consignwatch_collector_failures_total{collector="shopify_products",reason="capability"}`] > 1
		})
		if v, ok := page[of("products", "north")]; ok {
			t.Errorf("there are %v products", v)
		}
	})
}

// TestWithoutADatabaseProductsAreCounted also holds a count that Shopify has capped to be no count.
func TestWithoutADatabaseProductsAreCounted(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		m.products(t, "north", 12, time.Hour)
		m.products(t, "south", 25_001, time.Hour)
		r := m.start(t, m.config(quick))
		page := r.Await(t, "the products of one", func(s map[string]float64) bool {
			return s[of("products", "north")] == 12 && s[`consignwatch_collector_failures_total{collector="shopify_products",reason="capability"}`] > 0
		})
		for _, series := range []string{of("products", "south"), of("products_unmatched", "north"), of("orders_missing", "north")} {
			if v, ok := page[series]; ok {
				t.Errorf("%s is %v, and cannot be known", series, v)
			}
		}
	})
}

// TestABusyShopIsReadInAsManyRoundsAsItsBucketAllows has three pages of orders and a bucket for less than one at a time.
func TestABusyShopIsReadInAsManyRoundsAsItsBucketAllows(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north", func(s *shopify.Shop) { s.Plan = shopify.Plan{Bucket: 520, Restore: 200} })
		m.orders(t, "north", 600, time.Minute)
		r := m.start(t, m.config(quick))
		page := r.Await(t, "all of them", func(s map[string]float64) bool { return s[of("orders_recent", "north")] == 600 })
		if n := page[counted("north", "throttled")]; n != 0 {
			t.Errorf("the shop had to refuse %v questions", n)
		}
		if n := page[`consignwatch_collector_failures_total{collector="shopify_orders",reason="throttled"}`]; n == 0 {
			t.Error("no round has ended without all of them")
		}
		if page[of("up", "north")] != 1 || page[`consignwatch_collector_success{collector="shopify",target="north"}`] != 1 {
			t.Error("the state of the shop was not told meanwhile")
		}
		if n := m.pages("north"); n < 3 || n > 12 {
			t.Errorf("%d pages were read for 600 orders", n)
		}
	})
}

// TestASearchThatShopifyDoesNotUnderstandIsAFailure has a filter with a field that there is not: the search finds too much.
func TestASearchThatShopifyDoesNotUnderstandIsAFailure(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.orders(t, "north", 3, time.Hour)
		r := m.start(t, m.config(quick+"order_filter: colour:blue\n"))
		page := r.Await(t, "a failure", func(s map[string]float64) bool {
			return s[`consign_shopify_operations_total{operation="orders",outcome="other"}`] > 1
		})
		if v, ok := page[of("orders_recent", "north")]; ok {
			t.Errorf("%v orders are exported", v)
		}
		if !strings.Contains(r.Log(), "not understood") || !strings.Contains(r.Log(), "colour") {
			t.Errorf("the log does not name the filter:\n%s", r.Log())
		}
	})
}

func TestAFilterNarrowsTheOrdersDown(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.orders(t, "north", 3, time.Hour)
		m.orders(t, "north", 2, time.Hour, func(o *shopify.Order) { o.FinancialStatus = "PENDING" })
		r := m.start(t, m.config(quick+"order_filter: financial_status:paid\n"))
		r.Await(t, "those that are paid", func(s map[string]float64) bool { return s[of("orders_recent", "north")] == 3 })
	})
}

// TestAScopeThatIsMissingCostsItsCollectorOnly takes read_orders away.
func TestAScopeThatIsMissingCostsItsCollectorOnly(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.products(t, "north", 2, time.Hour)
		m.turn(t, "north", func(s *shopify.Switches) { s.MissingScopes = []string{"read_orders"} })
		r := m.start(t, m.config(quick))
		page := r.Await(t, "what is known", func(s map[string]float64) bool {
			return s[of("products", "north")] == 2 && s[`consign_shopify_operations_total{operation="orders",outcome="forbidden"}`] > 0 && s[of("up", "north")] == 1
		})
		for collector, want := range map[string]float64{"shopify": 1, "shopify_products": 1, "shopify_orders": 0} {
			if got := page[`consignwatch_collector_success{collector="`+collector+`",target="north"}`]; got != want {
				t.Errorf("the success of %s is %v, want %v", collector, got, want)
			}
		}
		if !strings.Contains(r.Log(), "read_orders") {
			t.Errorf("the log does not name the scope:\n%s", r.Log())
		}
	})
}

func TestSubscriptionsAreComparedWithTheExpectedTopics(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.open(t, "south")
		m.clients[1] = strings.Replace(m.clients[1], "token_file", "expected_topics: [app/uninstalled], token_file", 1)
		subscribe := func(client, topic string) {
			t.Helper()
			if err := m.Subscribe(domainOf(client), shopify.Subscription{Topic: topic, URI: "https://platform.example/hooks"}); err != nil {
				t.Fatal(err)
			}
		}
		for range 60 { // more than a page
			subscribe("north", "PRODUCTS_UPDATE")
		}
		subscribe("north", "ORDERS_CREATE")
		subscribe("north", "INVENTORY_LEVELS_UPDATE")
		r := m.start(t, m.config(quick+"expected_topics: [orders/create, inventory_levels/update, refunds/create]\n"))
		has := func(client, topic string) string {
			return `consign_shopify_webhook_subscription{client="` + client + `",topic="` + topic + `"}`
		}
		awaits := func(what string, want map[string]float64) map[string]float64 {
			t.Helper()
			return r.Await(t, what, func(s map[string]float64) bool {
				for series, v := range want {
					if got, ok := s[series]; !ok || got != v {
						return false
					}
				}
				return true
			})
		}
		page := awaits("two of three, and none", map[string]float64{
			has("north", "orders/create"): 1, has("north", "inventory_levels/update"): 1, has("north", "refunds/create"): 0, has("south", "app/uninstalled"): 0,
		})
		for _, series := range []string{has("north", "products/update"), has("north", "app/uninstalled"), has("south", "orders/create")} {
			if _, ok := page[series]; ok {
				t.Errorf("%s is not expected, and told", series)
			}
		}
		if err := m.Unsubscribe(domainOf("north"), "ORDERS_CREATE"); err != nil {
			t.Fatal(err)
		}
		subscribe("south", "APP_UNINSTALLED")
		awaits("one was removed, one was made", map[string]float64{has("north", "orders/create"): 0, has("south", "app/uninstalled"): 1})
	})
}

func TestTheVersionThatAnsweredIsReported(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		r := m.start(t, m.config(quick+"api_version: 2024-01\n"))
		var served string
		r.Await(t, "a version", func(s map[string]float64) bool {
			for series := range s {
				if rest, ok := strings.CutPrefix(series, `consign_shopify_api_version_info{client="north",requested="2024-01",served="`); ok {
					served = strings.TrimSuffix(rest, `"}`)
				}
			}
			return served != ""
		})
		if served <= "2024-01" {
			t.Errorf("the version %s answered a question for one that is not supported any more", served)
		}
	})
}

// TestALateAnswerIsNoValueOfOld takes a shop down: its values stay for max_age and then vanish, up is 0 at once.
func TestALateAnswerIsNoValueOfOld(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		m := newFakeShops(t)
		m.open(t, "north")
		m.orders(t, "north", 2, time.Hour)
		r := m.start(t, m.config(quick+"expected_topics: [orders/create]\n"))
		r.Await(t, "all is known", func(s map[string]float64) bool {
			return s[of("up", "north")] == 1 && s[of("orders_recent", "north")] == 2 && s[of("throttle_restore_points_per_second", "north")] == 1000
		})
		m.turn(t, "north", func(s *shopify.Switches) { s.Status = 503 })
		page := r.Await(t, "down", func(s map[string]float64) bool { v, ok := s[of("up", "north")]; return ok && v == 0 })
		if _, ok := page[of("orders_recent", "north")]; !ok {
			t.Error("the orders went at once")
		}
		r.Await(t, "nothing of old", func(s map[string]float64) bool {
			for series := range s {
				for _, name := range []string{"orders_recent", "last_order", "webhook_subscription", "throttle_", "api_version", "products"} {
					if strings.HasPrefix(series, "consign_shopify_"+name) {
						return false
					}
				}
			}
			return true
		})
		m.turn(t, "north", func(s *shopify.Switches) { s.Status = 0 })
		r.Await(t, "up again", func(s map[string]float64) bool {
			return s[of("up", "north")] == 1 && s[of("orders_recent", "north")] == 2
		})
	})
}

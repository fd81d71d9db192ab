package integration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

// TestEachOutcomeOfAShopComesOutUnderItsLabel has a shop for each way in which Shopify answers, all watched by one exporter.
func TestEachOutcomeOfAShopComesOutUnderItsLabel(t *testing.T) {
	t.Parallel()
	exportertest.InVirtualTime(t, func(t *testing.T) {
		type switches = func(*shopify.Switches)
		status := func(code int) switches { return func(s *shopify.Switches) { s.Status = code } }
		code := func(code string) switches { return func(s *shopify.Switches) { s.ErrorCode = code } }
		cases := []struct {
			client string
			wrong  switches
			want   string
			up     float64
			reason string
		}{
			{"well", func(*shopify.Switches) {}, "ok", 1, ""},
			{"throttled", func(s *shopify.Switches) { s.Throttled = true }, "throttled", 1, "throttled"},
			{"throttled-429", status(http.StatusTooManyRequests), "throttled", 1, "throttled"},
			{"token-expired", func(s *shopify.Switches) { s.TokenExpired = true }, "auth", 0, "auth"},
			{"unauthorized", status(http.StatusUnauthorized), "auth", 0, "auth"},
			{"forbidden", status(http.StatusForbidden), "forbidden", 0, "auth"},
			{"rejected", status(430), "forbidden", 0, "auth"},
			{"denied", code("ACCESS_DENIED"), "forbidden", 0, "auth"},
			{"nowhere", status(http.StatusNotFound), "not_found", 0, "query"},
			{"frozen", status(http.StatusPaymentRequired), "frozen", 0, "auth"},
			{"inactive", code("SHOP_INACTIVE"), "frozen", 0, "auth"},
			{"locked", status(http.StatusLocked), "locked", 0, "auth"},
			{"broken-500", status(500), "server_error", 0, "connection"},
			{"broken-502", status(502), "server_error", 0, "connection"},
			{"broken-503", status(503), "server_error", 0, "connection"},
			{"broken-530", status(530), "server_error", 0, "connection"},
			{"broken-540", status(540), "server_error", 0, "connection"},
			{"broken-inside", code("INTERNAL_SERVER_ERROR"), "server_error", 0, "connection"},
			{"cut-off", func(s *shopify.Switches) { s.Down = true }, "server_error", 0, "connection"},
			{"gateway", status(504), "timeout", 0, "timeout"},
			{"slow", func(s *shopify.Switches) { s.Slow = 4 * time.Second }, "timeout", 0, "timeout"},
			{"garbled", func(s *shopify.Switches) { s.InvalidResponse = true }, "invalid_response", 0, "parse"},
			{"moved", status(http.StatusMovedPermanently), "invalid_response", 0, "parse"},
			{"bad-request", status(http.StatusBadRequest), "other", 0, "query"},
			{"teapot", status(http.StatusTeapot), "other", 0, "query"},
			{"new-code", code("SOMETHING_NEW"), "other", 0, "query"},
		}
		m := newFakeShops(t)
		for _, c := range cases {
			m.open(t, c.client)
			m.turn(t, c.client, c.wrong)
		}
		r := m.start(t, m.config(every("4s")), "--log.format", "json")
		page := r.Await(t, "three answers of each shop", func(s map[string]float64) bool {
			for _, c := range cases {
				if s[counted(c.client, c.want)] < 3 {
					return false
				}
			}
			return true
		})
		seen := map[string]bool{}
		for _, c := range cases {
			seen[c.want] = true
			if got := page[of("up", c.client)]; got != c.up {
				t.Errorf("%s: up is %v, want %v", c.client, got, c.up)
			}
			for _, other := range catalog.ShopifyOutcomes() {
				if n, ok := page[counted(c.client, other)]; !ok || other != c.want && n != 0 {
					t.Errorf("%s: %v requests with the outcome %s (there: %v), want all with %s", c.client, n, other, ok, c.want)
				}
			}
			success := page[`consignwatch_collector_success{collector="shopify",target="`+c.client+`"}`]
			if success != exporter.Bool(c.reason == "") {
				t.Errorf("%s: success %v", c.client, success)
			}
			lines := 0
			for line := range strings.Lines(r.Log()) {
				if strings.Contains(line, `"collector":"shopify","target":"`+c.client+`"`) && strings.Contains(line, "collection failed") {
					lines++
					if !strings.Contains(line, `"reason":"`+c.reason+`"`) {
						t.Errorf("%s: want the reason %s: %s", c.client, c.reason, line)
					}
					if len(line) > 1000 {
						t.Errorf("%s: the line has %d bytes", c.client, len(line))
					}
				}
			}
			if want := int(1 - exporter.Bool(c.reason == "")); lines != want {
				t.Errorf("%s: %d lines in the log about the outage, want %d", c.client, lines, want)
			}
		}
		for _, o := range catalog.ShopifyOutcomes() {
			if !seen[o] {
				t.Errorf("no case has the outcome %s", o)
			}
			if page[`consign_shopify_operations_total{operation="status",outcome="`+o+`"}`] == 0 {
				t.Errorf("no operation with the outcome %s", o)
			}
		}
	})
}

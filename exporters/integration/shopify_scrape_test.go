package integration

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/golden"
	"github.com/consignwatch/consignwatch/simulator/services/shopify"
)

// TestTheScrapeResponseOfTheShopsIsAsRecorded compares the scrape response of a shop that is up and one that is down with testdata/shopify-page.txt:
// every series with its help and type, and instead of numbers an N. What is 0 or 1 by nature stands as it is.
func TestTheScrapeResponseOfTheShopsIsAsRecorded(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	exportertest.InVirtualTime(t, func(t *testing.T) {
		promtool, err := executable.Find("promtool")
		if err != nil {
			t.Fatal(err)
		}
		m := newFakeShops(t)
		m.credentials(t, "north", time.Hour)
		m.open(t, "south")
		m.orders(t, "north", 3, time.Hour)
		m.products(t, "north", 3, time.Hour)
		m.turn(t, "south", func(s *shopify.Switches) { s.Status = 503 })
		if err := m.Subscribe(domainOf("north"), shopify.Subscription{Topic: "ORDERS_CREATE", URI: "https://platform.example/hooks"}); err != nil {
			t.Fatal(err)
		}
		l := newPlatformTables(t, dsn, "north", "south")
		r := m.start(t, m.config(quick+"expected_topics: [orders/create, refunds/create]\n")+l.section(t, m))
		r.Await(t, "all that is known", func(s map[string]float64) bool {
			_, ok := s[of("orders_missing", "north")]
			_, expiry := s[of("token_expiry_timestamp_seconds", "north")]
			_, down := s[of("up", "south")]
			return ok && expiry && down && s[of("products_unmatched", "north")] == 3 && s[of("up", "north")] == 1
		})
		_, page := r.Get(t, "/metrics")

		cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		cmd.Stdin = strings.NewReader(page)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}

		golden.Compare(t, "testdata/shopify-page.txt", withoutNumbers(page))
	})
}

var (
	ours   = regexp.MustCompile(`^(# (HELP|TYPE) )?consign_`)
	byType = regexp.MustCompile(`^consign_\w+_(up|webhook_subscription|info)\{`)
	// The version that answers follows the calendar.
	served = regexp.MustCompile(`served="[^"]*"`)
)

func withoutNumbers(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		switch {
		case !ours.MatchString(line):
			continue
		case strings.HasPrefix(line, "#"), byType.MatchString(line):
			b.WriteString(served.ReplaceAllString(line, `served="V"`))
		default:
			b.WriteString(line[:strings.LastIndexByte(line, ' ')] + " N\n")
		}
	}
	return b.String()
}

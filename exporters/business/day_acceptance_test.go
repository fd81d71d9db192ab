//go:build acceptance || mysql

package business

import (
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/world"
	"github.com/consignwatch/consignwatch/test/seed"
)

// TestADayOfLifeIsExportedAsItWas compares every series with the platform's books, which never came from the database, after each quarter of
// a day, with ids above 2^60 and sales in two currencies; then with violations of every check, and with all the unusual data there is.
func TestADayOfLifeIsExportedAsItWas(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	random := seed.Rand(t)
	const speed = 1000 // a day takes 86 s
	config := simulator.Config{
		DSN: dsn, Clients: 12, Events: 24, LiveEvents: 18, Items: 12_000, Speed: speed,
		Seed: random.Uint64(), IDsAfter: 1<<60 + random.Uint64N(1<<63),
	}
	t.Logf("the platform has the seed %d, and ids after %d", config.Seed, config.IDsAfter)
	p := live(t, config)
	r := startPatiently(t, dsn, quickPack(t))
	for range 4 {
		select {
		case <-time.After(6 * time.Hour / speed):
		case <-t.Context().Done():
		}
		pause(t, p)
		awaitExpected(t, r, p)
		p.Resume()
	}
	pause(t, p)
	sums := map[string]bool{}
	for _, s := range p.Truth() {
		if s.Name == "consign_event_sales" {
			sums[s.Labels["currency"]] = true
		}
	}
	if len(sums) < 2 {
		t.Errorf("there are sales in %v, want at least two currencies", sums)
	}
	o := unusual(t, p, r)
	for i, check := range world.Checks() {
		if err := p.InjectViolation(t.Context(), check, o.client(o.first).Slug, i+1); err != nil {
			t.Fatalf("inject a violation of %s: %v", check, err)
		}
	}
	awaitExpected(t, r, p)
	t.Logf("%d series are compared", len(p.Truth()))
	o.testAll(t)
}

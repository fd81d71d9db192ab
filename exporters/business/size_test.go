package business

import (
	"slices"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// TestTwoHundredClientsHaveNoMoreSeriesThanEstimated fills a platform to the brim: as many exposed sale events as clients, and
// limits that admit exactly these.
func TestTwoHundredClientsHaveNoMoreSeriesThanEstimated(t *testing.T) {
	t.Parallel()
	const clients = 200
	dsn := serverstest.MariaDB(t)
	p := filled(t, simulator.Config{DSN: dsn, Clients: clients, Events: 260, LiveEvents: 196, Items: 13_000, Seed: 8})
	// All visitors leave, so that no series depends on the clock while the scrape responses are compared.
	if err := p.Do(t.Context(), "everybody leaves", func(b *world.Books, c *store.Change) error {
		for _, s := range b.Sessions {
			s.EndedAt = s.LastSeenAt
			c.Update(s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := startPatiently(t, dsn, quickPack(t), "limits: {clients: 200, events: 200}")
	awaitExpected(t, r, p)

	sizes, budget, typical, total := catalog.SizesFor(clients), 0, 0, 0
	s := r.Series(t)
	for _, m := range shipped().Of(catalog.Business) {
		n := len(named(s, m.Name))
		t.Logf("%-52s %6d series; estimated at most %6d, typically %6d", m.Name, n, m.Series(sizes), m.TypicalSeries(sizes))
		if n > m.Series(sizes) {
			t.Errorf("%s has %d series, estimated are at most %d", m.Name, n, m.Series(sizes))
		}
		total, budget, typical = total+n, budget+m.Series(sizes), typical+m.TypicalSeries(sizes)
	}
	t.Logf("%-52s %6d series; estimated at most %6d, typically %6d", "together, at the brim", total, budget, typical)
	if events := len(named(s, "consign_event_info")); events != clients {
		t.Errorf("%d sale events are exposed, want %d: the platform does not suit the test", events, clients)
	}
	if total > 50_000 || budget > 50_000 {
		t.Errorf("%d series, estimated at most %d: the contract allows 50000", total, budget)
	}
	if n := rejectedCount(s); n != 0 {
		t.Errorf("%v values and series were refused within the limits", n)
	}
}

// named lists the series of a metric.
func named(series map[string]float64, metric string) []string {
	var names []string
	for name := range series {
		if name == metric || strings.HasPrefix(name, metric+"{") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

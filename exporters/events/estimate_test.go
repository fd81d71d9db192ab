package events_test

import (
	"fmt"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// TestTheSeriesOf200ClientsStayWithinTheEstimate lets 200 clients with a sale event each publish every type of event, and
// counts the series of the whole exposition, those of the exporter itself among them.
func TestTheSeriesOf200ClientsStayWithinTheEstimate(t *testing.T) {
	t.Parallel()
	const clients, budget = 200, 50_000
	var names []string
	var records []record
	for i := range clients {
		client := fmt.Sprintf("client-%d", i)
		names = append(names, client)
		published := map[string]bool{}
		for _, e := range eventtest.Contract {
			if published[e.Type] { // the same in another currency, say
				continue
			}
			published[e.Type] = true
			records = append(records, record{topic: telemetry, partition: int32(i % 2), value: structured(fmt.Sprint(len(records)), e.Type, client, e.Data)})
		}
	}
	b := startBroker(t, kafka.Config{})
	write(t, b, records...)
	r := follow(t, b.Address(), fmt.Sprintf("limits: {clients: %d, events: %d}\nclients: [%s]\n", clients, clients, strings.Join(names, ", ")))
	r.await(t, map[string]float64{fmt.Sprintf(`consignwatch_records_total{outcome="counted",topic=%q}`, telemetry): float64(len(records))})
	total, smallest := 0, budget
	for _, mf := range r.Families(t) {
		series := seriesIn(mf)
		total += series
		m, ok := catalog.Shipped().Lookup(mf.GetName())
		if !ok {
			if !strings.HasPrefix(mf.GetName(), "go_") && !strings.HasPrefix(mf.GetName(), "process_") {
				t.Errorf("%s is not in the catalog", mf.GetName())
			}
			continue
		}
		if most := m.Series(catalog.SizesFor(clients)); series > most {
			t.Errorf("%s has %d series, the estimate is at most %d", m.Name, series, most)
		}
		if m.LabelIndex("client") >= 0 {
			smallest = min(smallest, len(mf.Metric))
		}
	}
	t.Logf("%d series", total)
	if total > budget {
		t.Errorf("%d series, want at most %d", total, budget)
	}
	if smallest < clients {
		t.Errorf("a metric by client has %d label sets, want at least one of each of %d clients", smallest, clients)
	}
}

// seriesIn counts the series of a family as Prometheus does.
func seriesIn(mf *dto.MetricFamily) int {
	n := 0
	for _, m := range mf.Metric {
		n++
		if m.Histogram != nil {
			n += len(m.Histogram.Bucket) + 1 // the buckets with +Inf, sum, and count
		}
	}
	return n
}

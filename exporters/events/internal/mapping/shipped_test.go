package mapping

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/exporters/events/internal/eventtest"
	"github.com/consignwatch/consignwatch/exporters/events/internal/interner"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

func shipped(t *testing.T) *Mapping {
	t.Helper()
	text, err := os.ReadFile("../../mapping.yml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse("mapping.yml", text, catalog.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheTableHasEveryType(t *testing.T) {
	tested := map[string]bool{}
	for _, tt := range eventtest.Contract {
		tested[tt.Type] = true
	}
	mapped := map[string]bool{}
	for _, e := range shipped(t).events {
		mapped[e.name] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(mapped)), slices.Sorted(maps.Keys(tested))); diff != "" {
		t.Errorf("types of the mapping and of the table, -mapping +table:\n%s", diff)
	}
}

func TestTheShippedMappingFeedsEveryMetricOfTheContract(t *testing.T) {
	m := shipped(t)
	fed := map[string]bool{}
	for _, e := range m.events {
		for _, f := range e.rules {
			fed[f.metric.Name] = true
		}
	}
	for _, decl := range catalog.Shipped().Of(catalog.Events) {
		if !fed[decl.Name] && !strings.HasPrefix(decl.Name, "consignwatch_") {
			t.Errorf("nothing feeds %s", decl.Name)
		}
	}
}

func TestEventsOfCommerceCountOnce(t *testing.T) {
	once := map[string]bool{}
	for _, e := range shipped(t).events {
		once[e.name] = e.dedupe
	}
	for typ, dedupe := range once {
		want := false
		for _, prefix := range []string{"consign.order.", "consign.item.", "consign.consignor.", "consign.volunteer.", "consign.dropoff."} {
			want = want || strings.HasPrefix(typ, prefix) && typ != "consign.order.imported"
		}
		if dedupe != want {
			t.Errorf("%s: dedupe %v, want %v", typ, dedupe, want)
		}
	}
}

func TestLabelsThatShareASourceShareTheirPlaces(t *testing.T) {
	p, err := Compile(shipped(t), catalog.SizesFor(10))
	if err != nil {
		t.Fatal(err)
	}
	internerOf := func(metric, label string) *interner.Label {
		m := p.byName[metric]
		return m.Interners[m.Decl.LabelIndex(label)]
	}
	if internerOf("consign_api_requests_total", "route") != internerOf("consign_api_request_duration_seconds", "route") {
		t.Error("the route of a request is admitted in one metric and perhaps not in the other")
	}
	if internerOf("consign_cache_operation_duration_seconds", "operation") == internerOf("consign_external_request_duration_seconds", "operation") {
		t.Error("operations of services take the places of those of the cache")
	}
	if internerOf("consign_orders_total", "client") != internerOf("consign_client_jobs_total", "client") ||
		internerOf("consign_orders_total", "event") != internerOf("consign_dropoffs_total", "event") {
		t.Error("clients and their sale events are not the same everywhere")
	}
}

// The limits themselves keep the budget, whatever comes.
func TestTheLimitsAddUpToLessThanTheBudget(t *testing.T) {
	for _, tt := range []struct{ clients, budget int }{{200, 50_000}, {1000, 250_000}} {
		p, err := Compile(shipped(t), catalog.SizesFor(tt.clients))
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, m := range p.Metrics {
			combinations := 1
			for _, d := range m.Interners {
				values := d.Limit()
				if d.Declaration().Within != "" {
					values *= tt.clients
				}
				combinations = min(combinations*(values+1), 1<<40)
			}
			lines := 1
			if m.Decl.Type == catalog.Histogram {
				lines = len(m.Decl.Buckets) + 3
			}
			folded := 1 // what is beyond limit and reserve: one series, of each currency
			if m.CurrencyLabel >= 0 {
				folded = m.Interners[m.CurrencyLabel].Limit()
			}
			total += lines * min(combinations, m.Limit+m.Reserve+folded)
		}
		t.Logf("%d clients: %d series", tt.clients, total)
		if total > tt.budget {
			t.Errorf("%d clients: a stream can make %d series, want at most %d", tt.clients, total, tt.budget)
		}
	}
}

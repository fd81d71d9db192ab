package exporter

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// rejectingGatherer gathers nothing, and has rejected something.
type rejectingGatherer struct {
	gather           func()
	dropped, renamed uint64
}

func (*rejectingGatherer) Start()                {}
func (*rejectingGatherer) Drain(context.Context) {}

func (g *rejectingGatherer) Gather(*http.Request) ([]*dto.MetricFamily, func(delivered bool)) {
	if g.gather != nil {
		g.gather()
	}
	return nil, func(bool) {}
}

func (g *rejectingGatherer) Rejected(f func(metric, label string, n uint64)) {
	f("shop_items", "", g.dropped)
	f("shop_items", "client", g.renamed)
}

func TestCountersOfRejectionsNeverFallOverAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gathering, release := make(chan struct{}), make(chan struct{})
		setup := func(g TransactionalGatherer) *Setup {
			return &Setup{Catalog: testCatalog(t), Sizes: catalog.Sizes{Clients: 3, Events: 3}, Gatherer: g}
		}
		in, err := NewManager(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		in.Apply(setup(&rejectingGatherer{gather: func() { close(gathering); <-release }, dropped: 5, renamed: 7}))
		scraped := make(chan struct{})
		go func() {
			defer close(scraped)
			in.Scrape(nil)
		}()
		<-gathering
		end(t, in)
		in.Apply(setup(&rejectingGatherer{dropped: 2, renamed: 3})) // the reload of a scrape that is under way
		defer end(t, in)
		in.Scrape(nil)
		close(release)
		<-scraped
		for range 2 {
			in.Scrape(nil)
			wantValue(t, in, 5+2, "consignwatch_series_dropped_total", "shop_items")
			wantValue(t, in, 7+3, rejected, "client", "shop_items")
		}
	})
}

func TestADryRunAddsUpWhatBothSinksGet(t *testing.T) {
	got, err := DryRun(t.Context(), testCatalog(t), catalog.Sizes{Clients: 3, Events: 3}, fakeTarget{"shop", func(_ context.Context, sink *Sink) error {
		sink.Gauge("shop_items", 1, "north", "red")
		sink.Gauge("shop_items", 1, "south", "red")
		sink.Status().Gauge("shop_items", 1, "north", "blue")
		return nil
	}})
	if err != nil || got.Series["shop_items"] != 3 {
		t.Errorf("series: %v %v, want 3 of shop_items", got.Series, err)
	}
}

// BenchmarkGather gathers a page of 100 families, one series each, of 50 targets each.
func BenchmarkGather(b *testing.B) {
	self, err := newSelfMetrics(catalog.Shipped())
	if err != nil {
		b.Fatal(err)
	}
	e := newExposition(self, slog.New(slog.DiscardHandler), time.Now)
	var metrics []*catalog.Metric
	for i := range 100 {
		metrics = append(metrics, &catalog.Metric{Name: fmt.Sprintf("shop_%d_items", i), Type: catalog.Gauge, Help: "Items.", Labels: []catalog.Label{{Name: "client"}}})
	}
	for t := range 50 {
		var families []family
		for _, m := range metrics {
			v := sample{metric: m, labels: []string{fmt.Sprintf("client-%d", t)}}
			families = append(families, family{metric: m, samples: []*dto.Metric{v.encode()}})
		}
		e.publish(snapshotKey{"stock", fmt.Sprint(t)}, snapshot{families: families, expires: time.Now().Add(time.Hour)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

func scrapeOptions(maxRequests int) options {
	path, off := "/metrics", false
	return options{telemetryPath: &path, lifecycle: &off, maxRequests: &maxRequests}
}

// Over HTTP/2 a write waits for the connection, whatever the deadline of the request.
func TestAScrapeIsUndeliveredInTimeThoughItsWriteDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delivered := make(chan bool, 2)
		app := App{Name: "test-exporter", Load: func(string, *slog.Logger) (*exporter.Setup, error) {
			return &exporter.Setup{Catalog: catalog.Shipped(), Sizes: catalog.SizesFor(1), Gatherer: emptyGatherer{delivered}}, nil
		}}
		in, err := app.newInstance("", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer in.stop(t.Context())
		h, err := in.handler(scrapeOptions(1))
		if err != nil {
			t.Fatal(err)
		}
		release, answered := make(chan struct{}), make(chan struct{})
		begin := time.Now()
		go func() {
			defer close(answered)
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
			r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "5")
			h.ServeHTTP(blockedResponse{discardResponse{http.Header{}}, release}, r)
		}()
		time.AfterFunc(time.Hour, func() { close(release) })
		if got, took := <-delivered, time.Since(begin); got || took != 5*time.Second {
			t.Errorf("delivered: %v after %s, want false after 5s", got, took)
		}
		<-answered
		if len(delivered) > 0 {
			t.Error("done was called twice")
		}
	})
}

// emptyGatherer gathers nothing, and says which responses were delivered.
type emptyGatherer struct{ delivered chan<- bool }

func (emptyGatherer) Start()                               {}
func (emptyGatherer) Drain(context.Context)                {}
func (emptyGatherer) Rejected(func(_, _ string, _ uint64)) {}

func (g emptyGatherer) Gather(*http.Request) ([]*dto.MetricFamily, func(delivered bool)) {
	return nil, func(delivered bool) { g.delivered <- delivered }
}

// blockedResponse is a connection that takes nothing before it is released.
type blockedResponse struct {
	discardResponse
	released <-chan struct{}
}

func (b blockedResponse) Write(p []byte) (int, error) {
	<-b.released
	return len(p), nil
}

// benchmarkSeries is the number of series in the scrape response of BenchmarkScrape.
const benchmarkSeries = 10_000

// BenchmarkScrape compares a scrape response of 10,000 gauges with three labels, served by the kit and by client_golang's vectors.
func BenchmarkScrape(b *testing.B) {
	kit, vectors := kitHandler(b), vectorHandler()
	for _, format := range []struct {
		name   string
		accept expfmt.FormatType
	}{{"text", expfmt.TypeTextPlain}, {"openmetrics", expfmt.TypeOpenMetrics}, {"protobuf", expfmt.TypeProtoDelim}} {
		for _, h := range []struct {
			name    string
			handler http.Handler
		}{{"kit", kit}, {"vectors", vectors}} {
			b.Run(format.name+"/"+h.name, func(b *testing.B) {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
				r.Header.Set("Accept", string(expfmt.NewFormat(format.accept)))
				b.ReportAllocs()
				for b.Loop() {
					w := discardResponse{http.Header{}}
					h.handler.ServeHTTP(w, r)
				}
			})
		}
	}
}

func kitHandler(b *testing.B) http.Handler {
	c, err := catalog.Shipped().With(catalog.Metric{Name: "shop_items", Type: catalog.Gauge, Unit: catalog.Count, Help: "Items.", Labels: []catalog.Label{
		{Name: "client", Pattern: `[a-z0-9-]+`, MaxLength: 20, Limit: 1000},
		{Name: "category", Pattern: `[a-z0-9-]+`, MaxLength: 20, Limit: 100},
		{Name: "state", Values: []string{"draft", "sold"}},
	}})
	if err != nil {
		b.Fatal(err)
	}
	app := App{Name: "bench", Load: func(string, *slog.Logger) (*exporter.Setup, error) {
		return &exporter.Setup{Catalog: c, Sizes: catalog.SizesFor(1000), Collectors: []exporter.Collector{
			exporter.NewCollector("stock", exporter.Schedule{Interval: time.Hour, Timeout: time.Minute}, manyItems{}),
		}}, nil
	}}
	in, err := app.newInstance("", slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.stop(context.Background()) })
	h, err := in.handler(scrapeOptions(0))
	if err != nil {
		b.Fatal(err)
	}
	for !in.manager.Ready() {
		time.Sleep(time.Millisecond)
	}
	gatherer, done := in.manager.Scrape(nil)
	families, err := gatherer.Gather()
	done(false)
	if err != nil || !slices.ContainsFunc(families, func(mf *dto.MetricFamily) bool {
		return mf.GetName() == "shop_items" && len(mf.Metric) == benchmarkSeries
	}) {
		b.Fatal("the response does not have its series", err)
	}
	return h
}

// manyItems is a target with as many series as the benchmark compares.
type manyItems struct{}

func (manyItems) Name() string { return "shop" }

func (manyItems) Collect(_ context.Context, sink *exporter.Sink) error {
	for i := range benchmarkSeries {
		sink.Gauge("shop_items", float64(i), labelsOf(i)...)
	}
	return nil
}

func vectorHandler() http.Handler {
	registry := prometheus.NewRegistry()
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "shop_items", Help: "Items."}, []string{"client", "category", "state"})
	registry.MustRegister(v)
	for i := range benchmarkSeries {
		v.WithLabelValues(labelsOf(i)...).Set(float64(i))
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true})
}

func labelsOf(i int) []string {
	return []string{fmt.Sprintf("client-%d", i/20), fmt.Sprintf("category-%d", i/2%10), []string{"draft", "sold"}[i%2]}
}

// discardResponse is a client that reads everything at once.
type discardResponse struct{ header http.Header }

func (d discardResponse) Header() http.Header         { return d.header }
func (d discardResponse) Write(p []byte) (int, error) { return len(p), nil }
func (d discardResponse) WriteHeader(int)             {}

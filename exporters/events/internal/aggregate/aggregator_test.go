package aggregate

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/exporters/events/internal/mapping"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// start is when the tests' processes start; tests pass time by hand.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func shippedText(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../mapping.yml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func shippedMapping(t testing.TB) *mapping.Mapping {
	t.Helper()
	return parsed(t, shippedText(t))
}

func parsed(t testing.TB, text string) *mapping.Mapping {
	t.Helper()
	m, err := mapping.Parse("mapping.yml", []byte(text), catalog.Shipped())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newAggregator makes an Aggregator of the shipped mapping that has had its first scrape, which is empty.
func newAggregator(t testing.TB, o Options) *Aggregator {
	t.Helper()
	if o.Start.IsZero() {
		o.Start = start
	}
	return newAggregatorOf(t, shippedMapping(t), o)
}

func newAggregatorOf(t testing.TB, m *mapping.Mapping, o Options) *Aggregator {
	t.Helper()
	l, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	if first := scrape(t, l, o.Start); len(first) != 0 {
		t.Fatalf("the first scrape response shows %v", first)
	}
	return l
}

// flatten writes families as lines: a counter or gauge as one, a histogram as its count and sum, and each bucket that is
// not empty.
func flatten(families []*dto.MetricFamily) map[string]float64 {
	lines := map[string]float64{}
	for _, mf := range families {
		for _, m := range mf.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			set := func(suffix string, v float64, more ...string) {
				all := strings.Join(append(append([]string{}, labels...), more...), ",")
				lines[mf.GetName()+suffix+"{"+all+"}"] = v
			}
			switch {
			case m.Counter != nil:
				set("", m.Counter.GetValue())
			case m.Gauge != nil:
				set("", m.Gauge.GetValue())
			case m.Histogram != nil:
				set("_count", float64(m.Histogram.GetSampleCount()))
				set("_sum", m.Histogram.GetSampleSum())
				for _, b := range m.Histogram.Bucket {
					set("_bucket", float64(b.GetCumulativeCount()), fmt.Sprintf("le=%q", fmt.Sprint(b.GetUpperBound())))
				}
			}
		}
	}
	return lines
}

// scrape is a scrape that is delivered.
func scrape(t testing.TB, l *Aggregator, now time.Time) []*dto.MetricFamily {
	t.Helper()
	sc, err := l.StartScrape(now, 0)
	if err != nil {
		t.Fatal(err)
	}
	sc.Delivered()
	l.EndFirstScrape()
	return sc.Families
}

// changes are the lines that are not 0, without those about the stream and those of buckets.
func changes(families []*dto.MetricFamily) map[string]float64 {
	lines := flatten(families)
	for k, v := range lines {
		if v == 0 || strings.HasPrefix(k, "consignwatch_") || strings.Contains(k, "_bucket{") {
			delete(lines, k)
		}
	}
	return lines
}

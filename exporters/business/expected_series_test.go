package business

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/oracle"
	"github.com/consignwatch/consignwatch/simulator/world"
	"github.com/consignwatch/consignwatch/test/seed"
)

// quickPack is the embedded pack, read every second or two.
func quickPack(t *testing.T) string {
	t.Helper()
	pack := regexp.MustCompile(`(?m)^(\s+)interval: .*$`).ReplaceAllString(string(embeddedPack), "${1}interval: 2s")
	pack = regexp.MustCompile(`(?m)^(\s+)timeout: .*$`).ReplaceAllString(pack, "${1}timeout: 2s")
	return strings.Replace(pack, "refresh_ended: 24h", "refresh_ended: 4s", 1)
}

// filled makes a platform that stands still; it ends with the test. Its statements may take as long as a busy machine makes them.
func filled(t *testing.T, config simulator.Config) *simulator.Platform {
	t.Helper()
	config.Timeout = 5 * time.Minute
	p, err := simulator.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Fill(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// live makes a platform with life in it; it ends with the test.
func live(t *testing.T, config simulator.Config) *simulator.Platform {
	t.Helper()
	p := filled(t, config)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	return p
}

func pause(t *testing.T, p *simulator.Platform) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Pause(ctx); err != nil {
		t.Fatal(err)
	}
}

// expectedSeries is the platform's data at a time, by series.
func expectedSeries(b *world.Books, at time.Time) map[string]float64 {
	series := map[string]float64{}
	for _, s := range oracle.Truth(b, at) {
		m := &dto.Metric{}
		for k, v := range s.Labels {
			m.Label = append(m.Label, &dto.LabelPair{Name: &k, Value: &v})
		}
		series[exportertest.Name(s.Name, m)] = s.Value
	}
	return series
}

// business picks the series about the business.
func business(series map[string]float64) map[string]float64 {
	b := map[string]float64{}
	for name, v := range series {
		if strings.HasPrefix(name, "consign_") {
			b[name] = v
		}
	}
	return b
}

// differences compares a scrape response with the platform's data before and after the scrape: what depends on the clock may have changed
// in between, but is one or the other.
func differences(got, before, after map[string]float64) []string {
	var list []string
	for name := range maps.Keys(got) {
		b, expectedBefore := before[name]
		a, expectedLater := after[name]
		if !expectedBefore && !expectedLater {
			list = append(list, fmt.Sprintf("%s = %v, not expected", name, got[name]))
		} else if v := got[name]; moving(name) && expectedBefore && expectedLater {
			if v < min(a, b)-1e-6 || v > max(a, b)+1e-6 {
				list = append(list, fmt.Sprintf("%s = %v, expected between %v and %v", name, v, b, a))
			}
		} else if (!expectedBefore || !near(v, b)) && (!expectedLater || !near(v, a)) {
			list = append(list, fmt.Sprintf("%s = %v, expected %v", name, v, b))
		}
	}
	for name, v := range before {
		_, later := after[name]
		if _, ok := got[name]; !ok && later {
			list = append(list, fmt.Sprintf("%s is not exported, expected %v", name, v))
		}
	}
	slices.Sort(list)
	return list
}

// moving reports whether a series changes with the clock all the time: it lies between the value before and the value after.
func moving(name string) bool { return strings.HasPrefix(name, "consign_event_expected_") }

// near is equality up to the rounding of a mean.
func near(a, b float64) bool { return a == b || math.Abs(a-b) <= 1e-9*math.Abs(b) }

// awaitExpected waits until the series of a paused platform equal its data.
func awaitExpected(t *testing.T, r *exportertest.Running, p *simulator.Platform) {
	t.Helper()
	b := p.Books()
	awaitExpectedOf(t, r, func(at time.Time) map[string]float64 { return expectedSeries(b, at) })
}

// awaitExpectedOf is awaitExpected for data that are read in another way.
func awaitExpectedOf(t *testing.T, r *exportertest.Running, books func(at time.Time) map[string]float64) {
	t.Helper()
	var last []string
	deadline := time.Now().Add(3 * time.Minute)
	for {
		begin := time.Now()
		// What was collected before the clock moved on is not older than two rounds.
		before, got, after := books(time.Now().Add(-5*time.Second)), business(r.Series(t)), books(time.Now())
		if len(after) < 100 {
			t.Fatalf("only %d series are expected", len(after))
		}
		if last = differences(got, before, after); len(last) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
		r.AwaitReady(t)
		select {
		case <-time.After(max(200*time.Millisecond, 2*time.Since(begin))): // a busy machine has other things to do
		case <-t.Context().Done():
		}
	}
	t.Fatalf("%d differences between the scrape response and the expected series, the first:\n%s\n%s", len(last), strings.Join(last[:min(len(last), 40)], "\n"), r.Log())
}

func TestEveryValueEqualsTheDatabaseOfALivePlatform(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := live(t, simulator.Config{DSN: dsn, Clients: 6, Events: 20, Items: 3000, Speed: 2000, Seed: 7})
	r := startPatiently(t, dsn, quickPack(t), "limits: {clients: 100, events: 100}")
	random := seed.Rand(t)
	for range 3 {
		// Let the platform live for a random while, so that it is stopped in the middle of whatever it does.
		select {
		case <-time.After(time.Duration(random.Int64N(int64(3 * time.Second)))):
		case <-t.Context().Done():
		}
		pause(t, p)
		awaitExpected(t, r, p)
		p.Resume()
	}
	for name, v := range r.Series(t) {
		if (strings.HasPrefix(name, "consignwatch_collector_failures_total") || strings.HasPrefix(name, "consignwatch_series_dropped") || strings.HasPrefix(name, "consignwatch_label_values_rejected")) && v != 0 {
			t.Errorf("%s = %v, want 0 on a healthy platform\n%s", name, v, r.Log())
		}
	}
}

func TestTheExpectedSeriesCoverEveryMetricOfTheCatalogAndNoOther(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := live(t, simulator.Config{DSN: dsn, Clients: 6, Events: 60, Items: 6000, Speed: 2000, Seed: 7})
	pause(t, p)
	known := map[string]bool{}
	for _, s := range p.Truth() {
		known[s.Name] = true
	}
	for _, m := range catalog.Shipped().Of(catalog.Business) {
		if m.Name == lagSeries || m.Name == "consignwatch_row_values_rejected_total" {
			continue // about the database and its rows, not about the business
		}
		if !known[m.Name] {
			t.Errorf("nothing is expected of %s: it is exported without being compared", m.Name)
		}
		delete(known, m.Name)
	}
	for name := range known {
		t.Errorf("%s is expected, which is not declared", name)
	}
}

func TestEachIntegrityCheckFindsExactlyWhatWasInjected(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := live(t, simulator.Config{DSN: dsn, Clients: 3, Events: 12, Items: 1200, Speed: 500, Seed: 3})
	pause(t, p)
	r := startPatiently(t, dsn, quickPack(t))
	awaitExpected(t, r, p)
	client := p.Books().Clients[0].Slug
	violations := func(check string) string {
		return fmt.Sprintf("consign_integrity_violations{check=%q,client=%q}", check, client)
	}
	for i, check := range world.Checks() {
		if v, ok := r.Series(t)[violations(check)]; !ok || v != 0 {
			t.Errorf("%s = %v (exported: %v) on a healthy platform, want 0", check, v, ok)
		}
		if err := p.InjectViolation(t.Context(), check, client, i+1); err != nil {
			t.Fatalf("inject a violation of %s: %v", check, err)
		}
	}
	awaitExpected(t, r, p)
	s := r.Series(t)
	for i, check := range world.Checks() {
		if s[violations(check)] != float64(i+1) {
			t.Errorf("%s = %v, want the %d that were injected", check, s[violations(check)], i+1)
		}
	}
}

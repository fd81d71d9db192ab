//go:build acceptance

package business

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/recording"
	"github.com/consignwatch/consignwatch/pkg/replay"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/faults"
)

// slower is for how many seconds of the rules a second of this test stands: an hour passes in a minute.
const slower = 60

// minute lets an hour of what the exporter compares a sale with pass in a minute, too.
var minute = strings.NewReplacer("window: 1h", "window: 1m", "window: 1d", "window: 24m", "interval: 2s", "interval: 1s", "timeout: 2s", "timeout: 1s")

// scraped starts a Prometheus that scrapes an exporter four times a second.
func scraped(t *testing.T, r *exportertest.Running) *servers.Process {
	t.Helper()
	process, err := servers.StartPrometheus(t.Context(), t.TempDir(), servers.PrometheusConfig{Text: func(string) (string, error) {
		return fmt.Sprintf("scrape_configs: [{job_name: business-exporter, scrape_interval: 250ms, scrape_timeout: 250ms, static_configs: [{targets: [%s]}]}]\n", strings.TrimPrefix(r.URL, "http://")), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })
	return process
}

// urgent says when the shipped rules on what a sale brings page about it, by what was scraped since a time; in the time of this test. An alert that fires on has no end.
func urgent(t *testing.T, prometheus *servers.Process, since time.Time) (alerts []replay.Incident) {
	t.Helper()
	r, err := recording.Fetch(t.Context(), http.DefaultClient, prometheus.URL(), since, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r = r.Stretch(slower)
	first, last, _ := r.Bounds()
	c := replay.Config{Interval: 15 * time.Second, From: first, To: last}
	for _, name := range []string{"recording/business.yml", "recording/inventory.yml", "recording/thresholds.yml", "alerts/sales.yml"} {
		c.RuleFiles = append(c.RuleFiles, filepath.Join("../../rules", name))
	}
	posts, err := replay.Evaluate(t.Context(), c, r)
	if err != nil {
		t.Fatal(err)
	}
	lived := func(at time.Time) time.Time { return first.Add(at.Sub(first) / slower) }
	for _, i := range replay.Incidents(posts) {
		if i.Labels["alertname"] != "SalesBelowExpected" || i.Labels["priority"] != "P1" {
			continue
		}
		i.From = lived(i.From)
		if !i.To.IsZero() {
			i.To = lived(i.To)
		}
		alerts = append(alerts, i)
	}
	return alerts
}

func TestAStalledSaleFiresItsAlertAndAHealthyOneDoesNot(t *testing.T) {
	dsn := serverstest.MariaDB(t)
	p := live(t, simulator.Config{DSN: dsn, Clients: 5, Events: 60, LiveEvents: 12, Items: 18_000, Speed: 3600, Seed: 1}) // a sale of three days lasts 72 seconds
	prometheus := scraped(t, start(t, dsn, minute.Replace(quickPack(t))))
	begin := time.Now()
	pause := func(d time.Duration) {
		t.Helper()
		select {
		case <-time.After(d):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	wait := func(what string, limit time.Duration, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(limit); !done(); pause(time.Second) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within %s", what, limit)
			}
		}
	}
	pause(45 * time.Second) // three windows of a quarter of an hour, in which people buy
	if alerts := urgent(t, prometheus, begin); len(alerts) > 0 {
		t.Fatalf("people buy, and %v", alerts)
	}
	if err := p.Faults().On(t.Context(), faults.SaleStalled, ""); err != nil {
		t.Fatal(err)
	}
	stalled := time.Now()
	wait("the alert fires", time.Minute, func() bool { return len(urgent(t, prometheus, begin)) > 0 })
	if err := p.Faults().Off(t.Context(), faults.SaleStalled, ""); err != nil {
		t.Fatal(err)
	}
	wait("people buy again, or the sale is over, and the alert ends", 90*time.Second, func() bool {
		return !slices.ContainsFunc(urgent(t, prometheus, begin), func(i replay.Incident) bool { return i.To.IsZero() })
	})
	for _, i := range urgent(t, prometheus, begin) {
		if i.From.Before(stalled) {
			t.Errorf("%v fires %s before the sale stalls", i.Labels, stalled.Sub(i.From))
		}
	}
}

//go:build acceptance

package business

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
	"github.com/consignwatch/consignwatch/pkg/platform"
	"github.com/consignwatch/consignwatch/pkg/servers"
	"github.com/consignwatch/consignwatch/pkg/servers/serverstest"
	"github.com/consignwatch/consignwatch/rules"
)

// minute lets an hour of the rules on quiet sales, and of what they are compared with, pass in a minute.
var minute = strings.NewReplacer(
	"window: 1h", "window: 1m", "window: 1d", "window: 24m",
	"[1h]", "[1m]", "offset 1h", "offset 1m", "offset 15m", "offset 15s", "> 900, 3600", "> 15, 60", "(900 /", "(15 /",
	"for: 5m", "for: 5s", "for: 30m", "for: 30s", "interval: 30s", "interval: 1s",
)

// watchSales starts a Prometheus with the shipped rules on what a sale brings, sixty times quicker than they are.
func watchSales(t *testing.T, r *exportertest.Running) prometheus {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"recording/business.yml", "recording/inventory.yml", "recording/thresholds.yml", "alerts/sales.yml"} {
		text, err := fs.ReadFile(rules.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "rules-"+filepath.Base(name)), []byte(minute.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	process, err := servers.StartPrometheus(t.Context(), folder, servers.PrometheusConfig{Text: func(string) (string, error) {
		return fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [\"rules-*.yml\"]\n"+
			"scrape_configs: [{job_name: business-exporter, static_configs: [{targets: [%s]}]}]\n", strings.TrimPrefix(r.URL, "http://")), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Kill() })
	return prometheus{process.URL()}
}

func TestAStalledSaleFiresItsAlertAndAHealthyOneDoesNot(t *testing.T) {
	t.Parallel()
	dsn := serverstest.MariaDB(t)
	p := live(t, platform.Config{DSN: dsn, Clients: 5, Events: 60, LiveEvents: 12, Items: 18_000, Speed: 3600, Seed: 1}) // a sale of three days lasts 72 seconds
	pack := minute.Replace(quickPack(t))
	r := start(t, dsn, strings.NewReplacer("interval: 2s", "interval: 1s", "timeout: 2s", "timeout: 1s").Replace(pack))
	prom := watchSales(t, r)
	urgent := `ALERTS{alertname="SalesBelowExpected",alertstate="firing",priority="P1"}`
	wait := func(what string, limit time.Duration, done func(now time.Time) bool) {
		t.Helper()
		for deadline := time.Now().Add(limit); !done(time.Now()); time.Sleep(500 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: not within %s", what, limit)
			}
		}
	}
	judged := `client:consign_event_orders_per_expected:ratio_increase15m and on (client, event) client_event:consign_active_shoppers:max >= 5`
	wait("a busy sale is judged", time.Minute, func(now time.Time) bool { return len(prom.query(t, judged, now)) > 0 })
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(time.Second) {
		if firing := prom.query(t, urgent, time.Now()); len(firing) > 0 {
			t.Fatalf("people buy, and %v", firing)
		}
	}
	if err := p.Faults().On(t.Context(), platform.SaleStalled, ""); err != nil {
		t.Fatal(err)
	}
	wait("the alert fires", 45*time.Second, func(now time.Time) bool { return len(prom.query(t, urgent, now)) > 0 })
	if err := p.Faults().Off(t.Context(), platform.SaleStalled, ""); err != nil {
		t.Fatal(err)
	}
	wait("people buy again, or the sale is over, and the alert ends", time.Minute, func(now time.Time) bool { return len(prom.query(t, urgent, now)) == 0 })
}

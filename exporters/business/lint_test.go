package business

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/serverstest"
	"github.com/consignwatch/consignwatch/pkg/executable"
	"github.com/consignwatch/consignwatch/simulator"
)

// TestTheMetricsKeepTheConventions checks the scrape response of a living platform with promtool.
func TestTheMetricsKeepTheConventions(t *testing.T) {
	t.Parallel()
	promtool, err := executable.Find("promtool")
	if err != nil {
		t.Fatal(err)
	}
	dsn := serverstest.MariaDB(t)
	p := live(t, simulator.Config{DSN: dsn, Clients: 3, Events: 6, Items: 600, Speed: 500, Seed: 11})
	pause(t, p)
	r := startPatiently(t, dsn, quickPack(t))
	awaitExpected(t, r, p)
	_, page := r.Get(t, "/metrics")
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

package events_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/exporters/events"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// extended is the shipped mapping with one more metric, fed by requests.
func extended(metric string) string {
	declare := "declare:\n  - {name: " + metric + ", type: counter, unit: count, help: Requests.}\n"
	return declare + strings.Replace(string(events.DefaultMapping()), "  - type: consign.api.request\n    feeds:\n",
		"  - type: consign.api.request\n    feeds:\n      - {metric: "+metric+"}\n", 1)
}

// TestIncreasesStayExactOverReloads changes the mapping of a process while records come, with SIGHUP: to others that are
// valid, and to one that is not, which leaves the one before in force.
func TestIncreasesStayExactOverReloads(t *testing.T) {
	t.Parallel()
	c := newCluster(t, time.Second)
	stop := c.produce(t)
	a := c.start(t, "a", "prometheus")
	config := filepath.Join(c.dir, "a.yml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	put(t, config, string(text)+"mapping_file: mapping.yml\n")
	reload := func(mapping string, want float64) {
		t.Helper()
		put(t, filepath.Join(c.dir, "mapping.yml"), mapping)
		before := acknowledgedSeries(t, a)["consignwatch_config_last_reload_timestamp_seconds"]
		if err := a.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await(t, "the reload", func() bool {
			page := acknowledgedSeries(t, a)
			return page["consignwatch_config_last_reload_successful"] == want && (want == 0 || page["consignwatch_config_last_reload_timestamp_seconds"] > before)
		})
	}
	for i := range 3 {
		awaitDelivery(t, a)
		reload(extended(fmt.Sprintf("own_%d_total", i)), 1)
	}
	awaitDelivery(t, a)
	reload("events: none\n", 0)
	if tail := a.LogTail(); !strings.Contains(tail, "reload failed, the old configuration stays in force") || !strings.Contains(tail, "mapping.yml:1") {
		t.Errorf("the log does not say what is wrong with the mapping:\n%s", tail)
	}
	awaitDelivery(t, a)
	end(t, c, stop)
	if got := c.metric(t, "own_2_total"); got == 0 {
		t.Error("the metric of the last valid mapping has counted nothing")
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// acknowledgedSeries is the exposition of a process for readers that are no scraper.
func acknowledgedSeries(t *testing.T, p *servers.Process) map[string]float64 {
	t.Helper()
	return series(t, get(t, p.URL()+"/metrics", nil))
}

// metric is the sum of a metric's last values in Prometheus.
func (c *cluster) metric(t *testing.T, name string) float64 {
	t.Helper()
	v, _, _, err := c.api.Query(t.Context(), "sum(last_over_time("+name+"[1h]))", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, s := range v.(model.Vector) {
		sum += float64(s.Value)
	}
	return sum
}

// TestAReloadWaitsForWhatPrometheusDoesNotHave reloads while the last scrape has not been ingested. The counters of the
// new configuration must not claim to have begun before the last scrape of the old one.
func TestAReloadWaitsForWhatPrometheusDoesNotHave(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	address := freeAddress(t)
	prometheus := newFakePrometheus()
	prometheus.listen(t, address)
	r := follow(t, b.Address(), exactModeConfig(address), "--web.enable-lifecycle")
	r.prometheus = prometheus
	write(t, b, times(10, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 10})
	write(t, b, times(10, request("anna"))...)
	r.prometheus = nil // this one is answered, and Prometheus does not get it
	r.await(t, map[string]float64{requests("anna"): 20})
	asked := prometheus.queryCount()
	reloaded := make(chan int, 1)
	go func() {
		resp, err := http.Post(r.URL+"/-/reload", "", nil)
		if err != nil {
			reloaded <- 0
			return
		}
		resp.Body.Close()
		reloaded <- resp.StatusCode
	}()
	await(t, "the exporter asks again after an answer that does not suffice", func() bool { return prometheus.queryCount() >= asked+2 })
	select {
	case <-reloaded:
		t.Fatal("the reload did not wait")
	default:
	}
	r.prometheus = prometheus
	last := time.Now()
	if got := r.scrape(t)[requests("anna")]; got != 20 {
		t.Errorf("the last scrape of the old configuration shows %v, want 20", got)
	}
	if code := <-reloaded; code != http.StatusOK {
		t.Fatalf("the reload answers %d\n%s", code, tail(r.Log()))
	}
	write(t, b, times(50, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 50})
	for _, mf := range r.Families(t) {
		for _, m := range mf.Metric {
			for _, created := range []interface{ AsTime() time.Time }{m.GetCounter().GetCreatedTimestamp(), m.GetHistogram().GetCreatedTimestamp()} {
				if at := created.AsTime(); strings.HasPrefix(mf.GetName(), "consign_") && at.Unix() != 0 && at.Before(last) {
					t.Fatalf("%s counts since %v, and the old configuration was scraped at %v", mf.GetName(), at, last)
				}
			}
		}
	}
}

// TestABadConfigurationIsRejectedByHTTP leaves the old one in force.
func TestABadConfigurationIsRejectedByHTTP(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	dir := folder(t, map[string]string{"mapping.yml": extended("own_total"), "config.yml": followConfig(b.Address(), "mapping_file: mapping.yml\n")})
	r := followFile(t, filepath.Join(dir, "config.yml"), "--web.enable-lifecycle")
	write(t, b, times(10, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 10, "own_total": 10})
	put(t, filepath.Join(dir, "mapping.yml"), strings.Replace(extended("own_total"), "own_total}", "owm_total}", 1))
	code, text := r.Do(t, http.MethodPost, "/-/reload")
	if code != http.StatusInternalServerError || !strings.Contains(text, "mapping.yml") || !strings.Contains(text, "owm_total is not declared") {
		t.Errorf("%d: %s", code, text)
	}
	write(t, b, times(5, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 15, "own_total": 15, "consignwatch_config_last_reload_successful": 0})
	put(t, filepath.Join(dir, "mapping.yml"), extended("new_total"))
	if code, text := r.Do(t, http.MethodPost, "/-/reload"); code != http.StatusOK {
		t.Errorf("%d: %s", code, text)
	}
	write(t, b, times(2, request("anna"))...)
	// What was delivered and committed is not counted again; the counters are reset.
	got := r.await(t, map[string]float64{requests("anna"): 2, "new_total": 2, "consignwatch_config_last_reload_successful": 1})
	if _, there := got["own_total"]; there {
		t.Error("a metric of the old mapping is still shown")
	}
}

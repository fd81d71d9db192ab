package events_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// countedExactly runs an exporter in the exact mode until ten requests of anna on the first partition of a topic, and ten of
// bert on the second one, are ingested.
func countedExactly(t *testing.T) (b *kafka.Broker, prometheus *fakePrometheus, config string) {
	t.Helper()
	b = startBroker(t, kafka.Config{})
	address := freeAddress(t)
	prometheus = newFakePrometheus()
	prometheus.listen(t, address)
	config = exactModeConfig(address)
	second := request("bert")
	second.partition = 1
	write(t, b, append(times(10, request("anna")), times(10, second)...)...)
	r := follow(t, b.Address(), config)
	r.prometheus = prometheus
	r.await(t, map[string]float64{requests("anna"): 10, requests("bert"): 10})
	awaitDelivered(t, r, b, telemetry, 0, 10)
	awaitDelivered(t, r, b, telemetry, 1, 10)
	r.Stop()
	write(t, b, request("anna"), second)
	return b, prometheus, config
}

// set changes what a fake Prometheus answers.
func (p *fakePrometheus) set(warning string, offsets map[[3]string]float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warning, p.offsets = warning, map[[3]string]float64{}
	maps.Copy(p.offsets, offsets)
}

func (p *fakePrometheus) stored() map[[3]string]float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.offsets)
}

// without is a copy of offsets without those that a condition names.
func without(offsets map[[3]string]float64, drop func(topic, partition string) bool) map[[3]string]float64 {
	kept := maps.Clone(offsets)
	maps.DeleteFunc(kept, func(key [3]string, _ float64) bool { return drop(key[0], key[1]) })
	return kept
}

// assertNothingCounted scrapes some times.
func (r *inProcess) assertNothingCounted(t *testing.T, clients ...string) {
	t.Helper()
	for range 5 {
		got := r.scrape(t)
		for _, client := range clients {
			if n := got[requests(client)]; n != 0 {
				t.Fatalf("%v requests of %s are counted from an answer that is incomplete", n, client)
			}
		}
	}
}

// A partial response comes with a warning, and lacks offsets.
func TestAnAnswerWithWarningsIsNotBelieved(t *testing.T) {
	t.Parallel()
	b, prometheus, config := countedExactly(t)
	all := prometheus.stored()
	prometheus.set("store gateway 2: timeout", nil)
	r := follow(t, b.Address(), config)
	r.prometheus = prometheus
	r.awaitLog(t, "the answer may be incomplete: store gateway 2: timeout")
	r.awaitThat(t, "the collector fails", isDown("connection"))
	r.assertNothingCounted(t, "anna", "bert")
	prometheus.set("", all)
	r.await(t, map[string]float64{requests("anna"): 1, requests("bert"): 1, success: 1})
}

// Matchers that select nothing look like a Prometheus that is new. The group has committed what Prometheus had once.
func TestMatchersThatSelectNothingAreAnError(t *testing.T) {
	t.Parallel()
	for what, drop := range map[string]func(topic, partition string) bool{
		"nothing":                  func(string, string) bool { return true },
		"only other topics":        func(topic, _ string) bool { return topic == telemetry },
		"only the other partition": func(topic, partition string) bool { return topic == telemetry && partition == "0" },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b, prometheus, config := countedExactly(t)
			all := prometheus.stored()
			prometheus.set("", without(all, drop))
			r := follow(t, b.Address(), config)
			r.prometheus = prometheus
			r.awaitLog(t, "Prometheus has no consignwatch_offset{} of the last")
			r.awaitThat(t, "the collector fails", isDown("connection"))
			for _, word := range []string{"but the group consignwatch-events has committed offsets", "Check prometheus.matchers and prometheus.lookback", telemetry + "/0"} {
				if !strings.Contains(r.Log(), word) {
					t.Errorf("the log does not say %s:\n%s", word, tail(r.Log()))
				}
			}
			if what == "only the other partition" {
				r.await(t, map[string]float64{requests("bert"): 1}) // the others are counted
			}
			r.assertNothingCounted(t, "anna")
			prometheus.set("", all)
			r.await(t, map[string]float64{requests("anna"): 1, requests("bert"): 1, success: 1})
		})
	}
}

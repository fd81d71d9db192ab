package events_test

import (
	"fmt"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// With initial: newest a group that begins does not count what is there. What comes later is counted from its first record:
// partitions that are added and topics that appear, while the exporter runs, and while it is away.
func TestWhatIsAddedIsCountedFromItsFirstRecord(t *testing.T) {
	t.Parallel()
	const later = "consign.later"
	b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: 1, commerce: 1}})
	config := exportertest.WriteFile(t, "config.yml", fmt.Sprintf("kafka: {brokers: [%q], initial: newest, topics: [%s, %s, %s, %s]}\n%s",
		b.Address(), telemetry, commerce, integration, later, anonymousScraper))
	at := func(topic string, partition int32, r record) record {
		r.topic, r.partition = topic, partition
		return r
	}
	addPartitions := func(topic string, count int32) {
		t.Helper()
		if err := newAdmin(t, b).CreatePartitions(topic, count, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	write(t, b, times(10, request("anna"))...)
	r := followFile(t, config)
	r.awaitThat(t, "the topics that are there are counted, and the others are missing", func(got map[string]float64) bool {
		_, begun := got[lag(telemetry, 0)]
		return begun && isDown("query")(got)
	})
	write(t, b, times(5, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 5})
	awaitCommitted(t, b, telemetry, 0, 15)

	addPartitions(telemetry, 3) // it is known to the exporter some seconds later
	write(t, b, times(7, at(telemetry, 2, request("bert")))...)
	createTopic(t, b, integration, 1)
	write(t, b, times(3, at(integration, 0, request("carl")))...)
	r.await(t, map[string]float64{requests("anna"): 5, requests("bert"): 7, requests("carl"): 3})
	awaitCommitted(t, b, telemetry, 2, 7)
	awaitCommitted(t, b, integration, 0, 3)
	r.Stop()

	addPartitions(telemetry, 4)
	write(t, b, times(4, at(telemetry, 3, request("dora")))...)
	createTopic(t, b, later, 1)
	write(t, b, times(6, at(later, 0, request("emil")))...)
	next := followFile(t, config)
	got := next.await(t, map[string]float64{requests("dora"): 4, requests("emil"): 6, success: 1})
	for _, client := range []string{"anna", "bert", "carl"} {
		if n := got[requests(client)]; n != 0 {
			t.Errorf("%v requests of %s are counted again", n, client)
		}
	}
}

// The same in the exact mode, where Prometheus knows what was counted.
func TestAPartitionThatIsAddedIsCountedFromItsFirstRecordInTheExactMode(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: 1, commerce: 1, integration: 1}})
	address := freeAddress(t)
	prometheus := newFakePrometheus()
	prometheus.listen(t, address)
	config := exportertest.WriteFile(t, "config.yml", fmt.Sprintf("kafka: {brokers: [%q], initial: newest}\n%s%s", b.Address(), exactModeConfig(address), anonymousScraper))
	write(t, b, times(10, request("anna"))...)
	r := followFile(t, config)
	r.prometheus = prometheus
	r.await(t, map[string]float64{success: 1, lag(telemetry, 0): 0})
	write(t, b, times(5, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 5})
	awaitDelivered(t, r, b, telemetry, 0, 15)
	r.Stop()

	if err := newAdmin(t, b).CreatePartitions(telemetry, 2, nil, false); err != nil {
		t.Fatal(err)
	}
	added := request("bert")
	added.partition = 1
	write(t, b, times(7, added)...)
	next := followFile(t, config)
	next.prometheus = prometheus
	got := next.await(t, map[string]float64{requests("bert"): 7, success: 1})
	if n := got[requests("anna")]; n != 0 {
		t.Errorf("%v requests are counted again", n)
	}
}

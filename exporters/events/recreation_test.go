package events_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// onPartition is a record on a partition.
func onPartition(p int32, r record) record {
	r.partition = p
	return r
}

// recreate deletes a topic and creates it again, with some number of partitions.
func recreate(t *testing.T, b broker, topic string, partitions int32) {
	t.Helper()
	if err := newAdmin(t, b).DeleteTopic(topic); err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, topic, partitions)
}

// recreations are topics that were made anew: with how many records in each partition, of which the old topic had 20 in each of
// two.
var recreations = []struct {
	name       string
	partitions int32
	records    int
}{
	{"shorter", 2, 5},
	{"as long", 2, 20},
	{"longer", 2, 50},
	{"more partitions", 4, 30},
	{"fewer partitions", 1, 30},
}

// eachMode runs a test in both modes, each with one of the start offsets of unknown topics: every second case has the other one.
func eachMode(t *testing.T, number int, test func(t *testing.T, exact bool, initial string)) {
	t.Helper()
	for i, exact := range []bool{false, true} {
		initial := []string{"oldest", "newest"}[(number+i)%2]
		t.Run(fmt.Sprintf("exact=%v, initial %s", exact, initial), func(t *testing.T) {
			t.Parallel()
			test(t, exact, initial)
		})
	}
}

// countTwentyEach waits until an exporter has counted twenty records in each of the two partitions of a topic.
func countTwentyEach(t *testing.T, b broker, r *inProcess) {
	t.Helper()
	r.await(t, map[string]float64{success: 1})
	for p := range int32(2) {
		write(t, b, times(20, onPartition(p, request("anna")))...)
	}
	r.await(t, map[string]float64{requests("anna"): 40})
}

// assertNextGoesOn replaces an exporter by the next one, which counts what comes then, and nothing of before.
func assertNextGoesOn(t *testing.T, b broker, r *inProcess, start func() *inProcess) {
	t.Helper()
	r.shortenInterval()
	r.Stop()
	next := start()
	write(t, b, request("carl"))
	if got := next.await(t, map[string]float64{requests("carl"): 1, success: 1}); got[requests("anna")] != 0 {
		t.Errorf("after a restart %v are counted again", got[requests("anna")])
	}
}

// TestATopicThatIsRecreatedWhileItIsCounted counts all of both topics, each record once.
func TestATopicThatIsRecreatedWhileItIsCounted(t *testing.T) {
	t.Parallel()
	for number, tt := range recreations {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, number, func(t *testing.T, exact bool, initial string) {
				b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: 2, commerce: 1, integration: 1}})
				start := resumingFrom(t, b, exact, "initial: "+initial)
				r := start()
				countTwentyEach(t, b, r)
				awaitDelivered(t, r, b, telemetry, 1, 20)

				recreate(t, b, telemetry, tt.partitions)
				for p := range tt.partitions {
					write(t, b, times(tt.records, onPartition(p, request("anna")))...)
				}
				want := 40 + float64(int(tt.partitions)*tt.records)
				r.await(t, map[string]float64{requests("anna"): want, success: 1})
				for p := range tt.partitions {
					awaitDelivered(t, r, b, telemetry, p, int64(tt.records))
					write(t, b, onPartition(p, request("bert")))
				}
				got := r.await(t, map[string]float64{requests("bert"): float64(tt.partitions), success: 1})
				if got[requests("anna")] != want {
					t.Errorf("%v are counted, want %v", got[requests("anna")], want)
				}
				assertNextGoesOn(t, b, r, start)
			})
		})
	}
}

// TestATopicThatIsRecreatedWhileNobodyCounts counts all of the new topic: neither the offset of the old one is believed, nor is
// the topic an unknown one, which initial is about.
func TestATopicThatIsRecreatedWhileNobodyCounts(t *testing.T) {
	t.Parallel()
	for number, tt := range recreations {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, number, func(t *testing.T, exact bool, initial string) {
				b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: 2, commerce: 1, integration: 1}})
				start := resumingFrom(t, b, exact, "initial: "+initial)
				r := start()
				countTwentyEach(t, b, r)
				for p := range int32(2) {
					awaitDelivered(t, r, b, telemetry, p, 20)
				}
				r.shortenInterval()
				r.Stop()

				recreate(t, b, telemetry, tt.partitions)
				for p := range tt.partitions {
					write(t, b, times(tt.records, onPartition(p, request("anna")))...)
				}
				r = start()
				want := float64(int(tt.partitions) * tt.records)
				r.await(t, map[string]float64{requests("anna"): want, success: 1})
				// Brokers forget what a group has committed for a topic that is deleted; Prometheus does not.
				if exact && !strings.Contains(r.Log(), "the topic was deleted and created again") {
					t.Errorf("the log does not say that the topic was created again:\n%s", tail(r.Log()))
				}
				for p := range tt.partitions {
					awaitDelivered(t, r, b, telemetry, p, int64(tt.records))
				}
				assertNextGoesOn(t, b, r, start)
			})
		})
	}
}

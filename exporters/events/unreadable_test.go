package events_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What cannot be read holds up nothing else, and is said: in the log by topic, or by topic and partition, and as a failure of
// the collector, with its reason.
var unreadable = []struct {
	name, reason string
	faults       []kfake.Fault
	series       string // of the records that do not come
	record       record
	log          string
}{
	{
		name: "a partition without a leader", reason: "connection",
		faults: []kfake.Fault{
			{Keys: []kmsg.Key{kmsg.Metadata}, Topic: telemetry, Partitions: []int32{1}, Err: kerr.LeaderNotAvailable, Count: -1},
			{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: telemetry, Partitions: []int32{1}, Err: kerr.NotLeaderForPartition, Count: -1},
		},
		series: requests("anna"), record: onPartition(1, request("anna")), log: telemetry + "/1: LEADER_NOT_AVAILABLE",
	},
	{
		name: "a topic that may not be described", reason: "auth",
		faults: []kfake.Fault{
			{Keys: []kmsg.Key{kmsg.Metadata, kmsg.Fetch, kmsg.ListOffsets}, Topic: commerce, Err: kerr.TopicAuthorizationFailed, Count: -1},
		},
		series: orders("anna"), record: order("1", "anna"), log: commerce + ": TOPIC_AUTHORIZATION_FAILED",
	},
	{
		name: "a topic that may not be read", reason: "auth",
		faults: []kfake.Fault{
			{Keys: []kmsg.Key{kmsg.Fetch}, Topic: commerce, Err: kerr.TopicAuthorizationFailed, Count: -1},
		},
		series: orders("anna"), record: order("1", "anna"), log: commerce + "/0: TOPIC_AUTHORIZATION_FAILED",
	},
}

// saysSo waits until an exporter says what it does not count.
func (r *inProcess) saysSo(t *testing.T, reason, log string) {
	t.Helper()
	r.awaitThat(t, log, isDown(reason))
	r.awaitLog(t, log)
}

// TestWhatCannotBeReadFromTheStart begins without it, and takes it up when it can be read.
func TestWhatCannotBeReadFromTheStart(t *testing.T) {
	t.Parallel()
	for _, tt := range unreadable {
		for _, exact := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, exact=%v", tt.name, exact), func(t *testing.T) {
				t.Parallel()
				b := startFakeCluster(t, 2)
				write(t, b, request("bert"), tt.record)
				faults := b.Fault(tt.faults...)
				r := resumingFrom(t, b, exact)()
				r.await(t, map[string]float64{requests("bert"): 1})
				r.saysSo(t, tt.reason, tt.log)
				if got := r.scrape(t)[tt.series]; got != 0 {
					t.Errorf("%s is %v, of records that cannot be read", tt.series, got)
				}
				faults.Remove()
				r.await(t, map[string]float64{requests("bert"): 1, tt.series: 1, success: 1})
			})
		}
	}
}

// TestWhatCannotBeReadAnyMore takes it away while it is counted, and through rebalances.
func TestWhatCannotBeReadAnyMore(t *testing.T) {
	t.Parallel()
	for _, tt := range unreadable {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := startFakeCluster(t, 2)
			start := resumingFrom(t, b, false, "session_timeout: 2s")
			first := start()
			write(t, b, request("bert"))
			first.await(t, map[string]float64{requests("bert"): 1, success: 1})
			faults := b.Fault(tt.faults...)
			first.saysSo(t, tt.reason, tt.log)
			write(t, b, request("bert"))
			first.await(t, map[string]float64{requests("bert"): 2})

			// A second replica comes, and goes.
			second := start()
			if _, err := b.WaitGroupStable(t.Context(), "consignwatch-events", 2); err != nil {
				t.Fatal(err)
			}
			write(t, b, request("bert"))
			awaitSum(t, requests("bert"), 3, first, second)
			await(t, "one of the two says what it does not count", func() bool {
				return isDown(tt.reason)(first.scrape(t)) && strings.Contains(first.Log(), tt.log) ||
					isDown(tt.reason)(second.scrape(t)) && strings.Contains(second.Log(), tt.log)
			})
			second.shortenInterval()
			second.Stop()
			write(t, b, onPartition(0, request("carl")))
			first.await(t, map[string]float64{requests("carl"): 1})
			first.saysSo(t, tt.reason, tt.log)

			faults.Remove()
			write(t, b, tt.record)
			first.await(t, map[string]float64{tt.series: 1, success: 1})
		})
	}
}

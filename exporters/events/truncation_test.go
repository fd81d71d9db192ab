package events_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// A log loses its last records when a replica that lacks them becomes the leader, or when a broker is restored from a copy.

// lostFive is what the log of the exporter says of a partition that was counted up to 105 and now ends at 100.
const lostFive = `the partition ends before what was counted: it has lost its last records" lost=5 topic=` + telemetry + ` partition=0 start=100`

// TestALogThatLostItsTailWhileNobodyCounted ends before the offset up to which it was counted. That offset is of the same
// topic: what is left was counted, and is not counted again.
func TestALogThatLostItsTailWhileNobodyCounted(t *testing.T) {
	t.Parallel()
	for _, exact := range []bool{false, true} {
		t.Run(fmt.Sprintf("exact=%v", exact), func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, kafka.Config{})
			start := resumingFrom(t, b, exact)
			write(t, b, times(100, request("anna"))...)
			r := start()
			id := topicID(t, r.await(t, map[string]float64{requests("anna"): 100}), telemetry)
			awaitDelivered(t, r, b, telemetry, 0, 100)
			r.shortenInterval()
			r.Stop()

			// Five more were counted, and are gone.
			commit(t, b, kadm.Offset{Topic: telemetry, Partition: 0, At: 105, LeaderEpoch: -1, Metadata: id})
			if exact {
				r.prometheus.put(telemetry, 0, id, 105)
			}
			r = start()
			r.awaitLog(t, lostFive)
			r.await(t, map[string]float64{success: 1})
			write(t, b, times(3, request("anna"))...)
			r.await(t, map[string]float64{requests("anna"): 3, lag(telemetry, 0): 0, success: 1})
			awaitDelivered(t, r, b, telemetry, 0, 103)
			r.shortenInterval()
			r.Stop()

			r = start()
			r.await(t, map[string]float64{success: 1})
			write(t, b, request("bert"))
			if got := r.await(t, map[string]float64{requests("bert"): 1}); got[requests("anna")] != 0 {
				t.Errorf("after a restart %v are counted again", got[requests("anna")])
			}
		})
	}
}

// TestABrokerThatIsRestoredWhileItIsCounted comes back with an older copy of its data.
func TestABrokerThatIsRestoredWhileItIsCounted(t *testing.T) {
	t.Parallel()
	for _, exact := range []bool{false, true} {
		t.Run(fmt.Sprintf("exact=%v", exact), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			b := startBroker(t, kafka.Config{Dir: dir})
			r := resumingFrom(t, b, exact)()
			write(t, b, times(100, request("anna"))...)
			r.await(t, map[string]float64{requests("anna"): 100})
			awaitDelivered(t, r, b, telemetry, 0, 100)
			backup := filepath.Join(t.TempDir(), "backup")
			whileStopped(t, b, func() error { return os.CopyFS(backup, os.DirFS(dir)) })
			write(t, b, times(5, request("anna"))...)
			r.await(t, map[string]float64{requests("anna"): 105})
			awaitDelivered(t, r, b, telemetry, 0, 105)
			whileStopped(t, b, func() error {
				if err := os.RemoveAll(dir); err != nil {
					return err
				}
				return os.CopyFS(dir, os.DirFS(backup))
			})
			// What is written before the exporter has seen the shorter log could not be told from what was counted.
			r.awaitLog(t, lostFive)
			write(t, b, times(3, request("bert"))...)
			got := r.await(t, map[string]float64{requests("bert"): 3, lag(telemetry, 0): 0, success: 1})
			// In the exact mode the process may start anew: the broker has forgotten the members, too, hence somebody else may have counted.
			if anna := got[requests("anna")]; anna != 105 && !(exact && anna == 0) {
				t.Errorf("%v of anna, want the 105 from before, or none", anna)
			}
			awaitDelivered(t, r, b, telemetry, 0, 103)
		})
	}
}

func whileStopped(t *testing.T, b *kafka.Broker, f func() error) {
	t.Helper()
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := f(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestALogThatLosesItsTailWhileItIsCounted is found out in two ways: the broker has no such offset any more, or it has, and
// its log parted from what was counted five records before. What stands there now is counted, and nothing before it.
func TestALogThatLosesItsTailWhileItIsCounted(t *testing.T) {
	t.Parallel()
	for name, loseTail := range map[string]func(*testing.T, fakeCluster) (mend func()){
		"shorter":     endAt100,
		"grown again": partAt100,
	} {
		for _, exact := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, exact=%v", name, exact), func(t *testing.T) {
				t.Parallel()
				b := startFakeCluster(t, 1, kfake.NumBrokers(2))
				r := resumingFrom(t, b, exact)()
				write(t, b, times(105, request("anna"))...)
				r.await(t, map[string]float64{requests("anna"): 105})
				awaitDelivered(t, r, b, telemetry, 0, 105)
				mend := loseTail(t, b)
				r.awaitLog(t, lostFive)
				mend()
				// The five that the broker has there are others.
				r.await(t, map[string]float64{requests("anna"): 110, lag(telemetry, 0): 0, success: 1})
				write(t, b, request("anna"))
				r.await(t, map[string]float64{requests("anna"): 111, lag(telemetry, 0): 0, success: 1})
			})
		}
	}
}

// endAt100 makes the cluster say that a partition ends at 100.
func endAt100(_ *testing.T, b fakeCluster) (mend func()) {
	var mended atomic.Bool
	b.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if mended.Load() {
			return nil, nil, false
		}
		b.KeepControl()
		r := request.(*kmsg.ListOffsetsRequest)
		response := r.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range r.Topics {
			answer := kmsg.NewListOffsetsResponseTopic()
			answer.Topic = topic.Topic
			for _, partition := range topic.Partitions {
				p := kmsg.NewListOffsetsResponseTopicPartition()
				p.Partition, p.Offset = partition.Partition, 0
				if topic.Topic == telemetry && partition.Timestamp == -1 {
					p.Offset = 100
				}
				answer.Partitions = append(answer.Partitions, p)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	fault := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: telemetry, Err: kerr.OffsetOutOfRange, Count: -1})
	return func() {
		mended.Store(true)
		fault.Remove()
	}
}

// partAt100 gives a partition another leader, which says that it has the records of the leader before up to 100.
func partAt100(t *testing.T, b fakeCluster) (mend func()) {
	b.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		r := request.(*kmsg.OffsetForLeaderEpochRequest)
		response := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, topic := range r.Topics {
			answer := kmsg.NewOffsetForLeaderEpochResponseTopic()
			answer.Topic = topic.Topic
			for _, partition := range topic.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = partition.Partition, partition.LeaderEpoch, 100
				answer.Partitions = append(answer.Partitions, p)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	if err := b.MoveTopicPartition(telemetry, 0, 1-b.LeaderFor(telemetry, 0)); err != nil {
		t.Fatal(err)
	}
	return func() {}
}

// topicID is the id of a topic in the offsets of an exposition.
func topicID(t *testing.T, got map[string]float64, topic string) string {
	t.Helper()
	for name := range got {
		if id, ok := strings.CutPrefix(name, fmt.Sprintf(`consignwatch_offset{partition="0",topic=%q,topic_id="`, topic)); ok {
			return strings.TrimSuffix(id, `"}`)
		}
	}
	t.Fatalf("no offset of %s/0 has the id of its topic", topic)
	return ""
}

// commit commits an offset of the group, which has no members.
func commit(t *testing.T, b broker, o kadm.Offset) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offsets := kadm.Offsets{}
	offsets.Add(o)
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "consignwatch-events", offsets); err != nil {
		t.Fatal(err)
	}
}

package kafka

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

// TestQueueMetricsEqualKafkasState fills topics and moves groups, and compares each value with what kcat, or a request of
// another client library, is reported.
func TestQueueMetricsEqualKafkasState(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{Capacity: map[string]int64{"jobs.email": 500}}, kfake.NumBrokers(3),
		kfake.SeedTopics(3, "jobs.email", "jobs.image"), kfake.SeedTopics(1, "jobs.dead", "__private"))
	for partition := range int32(3) {
		for range 4 + partition {
			r.produce(t, "jobs.email", partition, 300*time.Second, 200*time.Second, 100*time.Second)
		}
	}
	r.produce(t, "jobs.image", 1, time.Minute)
	r.write(t, dead("email"), dead("email"), dead("image"))
	if err := r.cluster.DeleteRecords("jobs.email", 2, 5); err != nil {
		t.Fatal(err)
	}
	workers := r.member(t, "platform-workers", "jobs.email")
	r.member(t, "platform-workers", "jobs.email")
	commitFrom(t, workers, "jobs.email", 3, 15, 6)
	r.commit(t, "reports", "jobs.image", 0, 1, 0)
	r.commit(t, "reports", "jobs.email", -1, 2)

	series := r.round(t)
	now := r.now()
	admin := &kafkaAdmin{t: t, cluster: r}
	got, want := map[string]float64{}, map[string]float64{}
	for name, value := range series {
		if value != 0 || !strings.HasPrefix(name, "group_state") {
			got[name] = value
		}
	}
	for _, topic := range []string{"jobs.email", "jobs.image", "jobs.dead"} {
		in := fmt.Sprintf("{topic=%q}", topic)
		oldest, newest := admin.kcatOffsets(topic, -2), admin.kcatOffsets(topic, -1)
		want["messages"+in] = sum(newest) - sum(oldest)
		want["produced_total"+in] = 0 // counted from now on
		want["under_replicated_partitions"+in], want["offline_partitions"+in] = admin.troubled(topic)
		want["under_min_isr_partitions"+in] = 0 // this cluster's replicas are always in sync
		want["oldest_message_timestamp_seconds"+in] = admin.oldestTimestamp(topic)
		for _, group := range []string{"platform-workers", "reports"} {
			committed := admin.committed(group, topic)
			if len(committed) == 0 {
				continue
			}
			in := fmt.Sprintf("{group=%q,topic=%q}", group, topic)
			lag, seconds := 0.0, 0.0
			for partition, offset := range committed {
				lag += newest[partition] - float64(offset)
				if newest[partition] > float64(offset) {
					seconds = max(seconds, now.Sub(admin.timestamp(topic, partition, offset)).Seconds())
				}
			}
			want["consumed_total"+in], want["lag_messages"+in] = 0, lag
			want["lag_seconds"+in] = seconds
			if lag > 0 {
				want["time_to_loss_seconds"+in] = admin.retention(topic).Seconds() - seconds
			}
		}
	}
	for _, group := range []string{"platform-workers", "reports"} {
		state, members := admin.describe(group)
		want[fmt.Sprintf("group_members{group=%q}", group)] = float64(members)
		want[fmt.Sprintf("group_state{group=%q,state=%q}", group, groupState(state))] = 1
	}
	for queue, n := range admin.deadLetters("jobs.dead") {
		want[fmt.Sprintf("dead_letters{queue=%q}", queue)] = n
	}
	want[`capacity_messages{topic="jobs.email"}`] = 500

	for _, name := range slices.Sorted(maps.Keys(want)) {
		value, ok := got[name]
		tolerance := 0.0
		if strings.HasPrefix(name, "lag_seconds") || strings.HasPrefix(name, "time_to_loss") {
			tolerance = 2 // it grows while the round is on
		}
		if !ok || value < want[name]-tolerance || value > want[name]+tolerance {
			t.Errorf("%s = %v (exported: %v), Kafka says %v", name, value, ok, want[name])
		}
		delete(got, name)
	}
	for name, value := range got {
		if !strings.HasPrefix(name, "group_condition") {
			t.Errorf("%s = %v is exported, and Kafka says nothing of it", name, value)
		}
	}
	if r.log.Len() > 0 {
		t.Errorf("the log says:\n%s", r.log)
	}
}

func sum[K comparable, V int64 | float64](values map[K]V) (n float64) {
	for _, v := range values {
		n += float64(v)
	}
	return n
}

func dead(queue string) *kgo.Record {
	return &kgo.Record{Topic: "jobs.dead", Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: "attempt", Value: []byte("3")}, {Key: "queue", Value: []byte(queue)}}}
}

// kafkaAdmin reads the cluster by other ways than the collector: with kcat, and requests of its own.
type kafkaAdmin struct {
	t       *testing.T
	cluster *testCluster
}

// kcat runs the program kcat, and returns what it prints.
func (a *kafkaAdmin) kcat(args ...string) string {
	a.t.Helper()
	path, err := executable.Find("kcat")
	if err != nil {
		a.t.Fatal(err)
	}
	out, err := exec.CommandContext(a.t.Context(), path, args...).CombinedOutput()
	if err != nil {
		a.t.Fatalf("kcat: %v\n%s", err, out)
	}
	return string(out)
}

// kcatOffsets reads the newest (-1) or oldest (-2) offsets with kcat.
func (a *kafkaAdmin) kcatOffsets(topic string, at int) map[int32]float64 {
	a.t.Helper()
	args := []string{"-b", strings.Join(a.cluster.cluster.ListenAddrs(), ","), "-Q"}
	for i := range a.cluster.cluster.PartitionInfos(topic) {
		args = append(args, "-t", fmt.Sprintf("%s:%d:%d", topic, i, at))
	}
	offsets := map[int32]float64{}
	for line := range strings.Lines(a.kcat(args...)) {
		var partition int32
		var offset float64
		if _, err := fmt.Sscanf(strings.TrimSpace(line), topic+" [%d] offset %f", &partition, &offset); err == nil {
			offsets[partition] = offset
		}
	}
	if len(offsets) != len(a.cluster.cluster.PartitionInfos(topic)) {
		a.t.Fatalf("kcat said %v of %s", offsets, topic)
	}
	return offsets
}

// timestamp reads the record at an offset with kcat.
func (a *kafkaAdmin) timestamp(topic string, partition int32, offset int64) time.Time {
	a.t.Helper()
	out := a.kcat("-b", a.cluster.cluster.ListenAddrs()[0], "-C", "-t", topic, "-p", strconv.Itoa(int(partition)), "-o", strconv.FormatInt(offset, 10), "-c", "1", "-e", "-q", "-f", `%T\n`)
	millis, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		a.t.Fatalf("kcat said %q", out)
	}
	return time.UnixMilli(millis)
}

// troubled counts the partitions that have a replica out of sync, and those that have no leader, as kcat lists them.
func (a *kafkaAdmin) troubled(topic string) (behind, headless float64) {
	a.t.Helper()
	var list struct {
		Topics []struct {
			Partitions []struct {
				Leader         int
				Replicas, ISRs []struct{ ID int }
			}
		}
	}
	out := a.kcat("-b", a.cluster.cluster.ListenAddrs()[0], "-L", "-J", "-t", topic)
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Topics) != 1 || len(list.Topics[0].Partitions) == 0 {
		a.t.Fatalf("kcat said %q: %v", out, err)
	}
	for _, p := range list.Topics[0].Partitions {
		if len(p.ISRs) < len(p.Replicas) {
			behind++
		}
		if p.Leader < 0 {
			headless++
		}
	}
	return behind, headless
}

// deadLetters reads all messages with kcat, and counts them by their header queue.
func (a *kafkaAdmin) deadLetters(topic string) map[string]float64 {
	a.t.Helper()
	out := a.kcat("-b", a.cluster.cluster.ListenAddrs()[0], "-C", "-t", topic, "-e", "-q", "-f", `%h\n`)
	counts := map[string]float64{}
	for line := range strings.Lines(out) {
		_, queue, _ := strings.Cut(strings.TrimSpace(line), "queue=")
		counts[queue]++
	}
	return counts
}

func (a *kafkaAdmin) oldestTimestamp(topic string) float64 {
	oldest := 0.0
	for partition, offset := range a.kcatOffsets(topic, -2) {
		if a.cluster.cluster.PartitionInfo(topic, partition).HighWatermark > int64(offset) {
			at := float64(a.timestamp(topic, partition, int64(offset)).UnixMilli()) / 1000
			if oldest == 0 || at < oldest {
				oldest = at
			}
		}
	}
	return oldest
}

func (a *kafkaAdmin) committed(group, topic string) map[int32]int64 {
	a.t.Helper()
	request := kmsg.NewPtrOffsetFetchRequest()
	in := kmsg.NewOffsetFetchRequestGroup()
	in.Group = group
	in.Topics = nil
	request.Groups = append(request.Groups, in)
	response, err := request.RequestWith(a.t.Context(), a.cluster.client)
	if err != nil {
		a.t.Fatal(err)
	}
	offsets := map[int32]int64{}
	for _, t := range response.Groups[0].Topics {
		for _, p := range t.Partitions {
			if t.Topic == topic && p.Offset >= 0 {
				offsets[p.Partition] = p.Offset
			}
		}
	}
	return offsets
}

func (a *kafkaAdmin) describe(group string) (state string, members int) {
	a.t.Helper()
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{group}
	response, err := request.RequestWith(a.t.Context(), a.cluster.client)
	if err == nil {
		err = kerr.ErrorForCode(response.Groups[0].ErrorCode)
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return response.Groups[0].State, len(response.Groups[0].Members)
}

func (a *kafkaAdmin) retention(topic string) time.Duration {
	a.t.Helper()
	request := kmsg.NewPtrDescribeConfigsRequest()
	in := kmsg.NewDescribeConfigsRequestResource()
	in.ResourceType, in.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	request.Resources = append(request.Resources, in)
	response, err := request.RequestWith(a.t.Context(), a.cluster.client)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, c := range response.Resources[0].Configs {
		if c.Name == "retention.ms" {
			millis, err := strconv.ParseInt(*c.Value, 10, 64)
			if err != nil {
				a.t.Fatal(err)
			}
			return time.Duration(millis) * time.Millisecond
		}
	}
	a.t.Fatalf("no retention of %s", topic)
	return 0
}

package kafka

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

func TestADeletedTopicDoesNotComeBackAndItsSuccessorIsANewTopic(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]*kversion.Versions{"with topic ids": nil, "without": kversion.V2_7_0()} {
		t.Run(name, func(t *testing.T) {
			options := []kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(2, "jobs.email", "jobs.image"), kfake.AllowAutoTopicCreation()}
			if version != nil {
				options = append(options, kfake.MaxVersions(version))
			}
			r := newTestCluster(t, Config{}, options...)
			r.produce(t, "jobs.email", 0, 5*time.Hour, 4*time.Hour, 3*time.Hour)
			r.produce(t, "jobs.image", 1, time.Hour)
			r.commit(t, "workers", "jobs.email", 2, 0)
			r.commit(t, "workers", "jobs.image", 0, 0)
			near(t, r.rounds(t, 3, nil), lagSeconds, 3*time.Hour+2*testSchedule.Interval)

			if err := r.cluster.DeleteTopic("jobs.email"); err != nil {
				t.Fatal(err)
			}
			series := r.rounds(t, 4, nil)
			for name := range series {
				if strings.Contains(name, "jobs.email") {
					t.Errorf("%s is still told", name)
				}
			}
			near(t, series, `lag_seconds{group="workers",topic="jobs.image"}`, time.Hour+6*testSchedule.Interval)
			if r.cluster.TopicInfo("jobs.email") != nil {
				t.Fatal("the topic has come back")
			}

			// Between two rounds it comes, goes, and another one comes.
			again := func() {
				t.Helper()
				if err := r.cluster.CreateTopic("jobs.email", 1, nil); err != nil {
					t.Fatal(err)
				}
			}
			again()
			r.client.PurgeTopicsFromClient("jobs.email")
			r.produce(t, "jobs.email", 0, 9*time.Hour, 8*time.Hour)
			r.commit(t, "workers", "jobs.email", 1)
			near(t, r.round(t), lagSeconds, 8*time.Hour)
			if err := r.cluster.DeleteTopic("jobs.email"); err != nil {
				t.Fatal(err)
			}
			again()
			r.client.PurgeTopicsFromClient("jobs.email")
			r.produce(t, "jobs.email", 0, 7*time.Minute)
			r.commit(t, "workers", "jobs.email", 0)
			series = r.round(t)
			near(t, series, lagSeconds, 7*time.Minute)
			expect(t, series, map[string]float64{lagCount: 1, `messages{topic="jobs.email"}`: 1})
			if got := conditionOf(series, "workers"); got != "" {
				t.Errorf("the offsets of another topic make the group %s", got)
			}
		})
	}
}

func TestOnlySelectedTopicsAndGroupsAreReported(t *testing.T) {
	t.Parallel()
	filter := func(names ...string) NameFilter { return NameFilter{names: names} }
	r := newTestCluster(t, Config{Topics: filter("jobs.email", "jobs.none", "__private"), Groups: filter("workers")},
		kfake.SeedTopics(1, "jobs.email", "jobs.image", "jobs.dead", "__private"))
	for _, topic := range []string{"jobs.email", "jobs.image", "__private"} {
		r.produce(t, topic, 0, 0)
		r.commit(t, "workers", topic, 0)
		r.commit(t, "others", topic, 0)
	}
	r.write(t, dead("email"))
	series := r.round(t)
	expect(t, series, map[string]float64{
		lagCount: 1, `lag_messages{group="workers",topic="__private"}`: 1, `lag_messages{group="workers",topic="jobs.image"}`: absent,
		`lag_messages{group="others",topic="jobs.email"}`: absent, `group_members{group="others"}`: absent,
		`messages{topic="jobs.email"}`: 1, `messages{topic="jobs.image"}`: absent, `messages{topic="jobs.none"}`: absent,
		`messages{topic="jobs.dead"}`: absent, `offline_partitions{topic="jobs.dead"}`: absent, `dead_letters{queue="email"}`: 1,
	})
}

// TestReplicasThatAreBehindAndPartitionsWithoutLeader answers metadata that this cluster, where all replicas are always in sync,
// never gives: CRAFTED from its own, after the protocol's description.
func TestReplicasThatAreBehindAndPartitionsWithoutLeader(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.NumBrokers(3), kfake.SeedTopics(4, "jobs.image"))
	if err := r.cluster.CreateTopic("jobs.email", 4, map[string]string{"min.insync.replicas": "2"}); err != nil {
		t.Fatal(err)
	}
	for partition := range int32(4) {
		r.produce(t, "jobs.email", partition, time.Hour)
		r.produce(t, "jobs.image", partition, time.Hour)
	}
	r.commit(t, "workers", "jobs.email", 0, 0, 0, 0)
	r.commit(t, "workers", "jobs.image", 0, 0, 0, 0)
	expect(t, r.round(t), map[string]float64{`under_replicated_partitions{topic="jobs.email"}`: 0, `under_min_isr_partitions{topic="jobs.email"}`: 0, `offline_partitions{topic="jobs.email"}`: 0})

	want, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), r.client)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Topics {
		for p := range want.Topics[i].Partitions {
			if partition := &want.Topics[i].Partitions[p]; *want.Topics[i].Topic == "jobs.email" {
				switch partition.Partition {
				case 0: // a follower fell behind: as many as min.insync.replicas are left
					partition.ISR = partition.ISR[:2]
				case 1: // both followers
					partition.ISR = partition.ISR[:1]
				case 2: // all replicas are gone
					partition.ISR, partition.OfflineReplicas = nil, partition.Replicas
					partition.Leader, partition.ErrorCode = -1, 5
				}
			}
		}
	}
	r.cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		crafted := *want
		crafted.SetVersion(request.GetVersion())
		return &crafted, nil, true
	})
	series := r.round(t)
	expect(t, series, map[string]float64{
		`under_replicated_partitions{topic="jobs.email"}`: 3, `offline_partitions{topic="jobs.email"}`: 1,
		`under_min_isr_partitions{topic="jobs.email"}`: 2, `under_min_isr_partitions{topic="jobs.image"}`: 0,
		`under_replicated_partitions{topic="jobs.image"}`: 0, `offline_partitions{topic="jobs.image"}`: 0,
		// A value that is not known now is reported as it was last.
		`messages{topic="jobs.email"}`: 4, `produced_total{topic="jobs.email"}`: 0, lagCount: 4,
		`consumed_total{group="workers",topic="jobs.email"}`: 0, `messages{topic="jobs.image"}`: 4,
	})
	near(t, series, lagSeconds, time.Hour)

	r.ahead += testSchedule.MaxAge + time.Second
	series = r.round(t)
	expect(t, series, map[string]float64{
		`messages{topic="jobs.email"}`: absent, `produced_total{topic="jobs.email"}`: absent, lagCount: absent, lagSeconds: absent,
		`oldest_message_timestamp_seconds{topic="jobs.email"}`: absent, `consumed_total{group="workers",topic="jobs.email"}`: 0,
		`offline_partitions{topic="jobs.email"}`: 1, `messages{topic="jobs.image"}`: 4, `lag_messages{group="workers",topic="jobs.image"}`: 4,
	})
}

// TestOlderBrokersGetRequestVersionsThatTheyKnow limits what the brokers know to versions of Kafka.
func TestOlderBrokersGetRequestVersionsThatTheyKnow(t *testing.T) {
	t.Parallel()
	for _, v := range []*kversion.Versions{kversion.V2_1_0(), kversion.V2_4_0(), kversion.V2_6_0(), kversion.V2_8_0(), kversion.V3_0_0(), kversion.V3_6_0(), kversion.V3_8_0(), kversion.V4_0_0()} {
		t.Run(v.VersionGuess(), func(t *testing.T) {
			r := newTestCluster(t, Config{}, kfake.NumBrokers(2), kfake.SeedTopics(2, "jobs.email"), kfake.SeedTopics(1, "jobs.dead"), kfake.MaxVersions(v))
			r.produce(t, "jobs.email", 0, time.Hour, time.Minute)
			r.write(t, dead("email"))
			r.commit(t, "others", "jobs.email", 2, 0)
			client := r.member(t, "workers", "jobs.email", kgo.MaxVersions(v))
			commitFrom(t, client, "jobs.email", 1, 0)
			series := r.round(t)
			near(t, series, lagSeconds, time.Minute)
			near(t, series, timeToLoss, 7*24*time.Hour-time.Minute)
			expect(t, series, map[string]float64{
				lagCount: 1, `lag_messages{group="others",topic="jobs.email"}`: 0, `group_members{group="workers"}`: 1,
				`dead_letters{queue="email"}`: 1, `messages{topic="jobs.email"}`: 2, `under_replicated_partitions{topic="jobs.email"}`: 0,
			})
			state := 1.0
			if n, _ := v.LookupMaxKeyVersion(int16(kmsg.ListGroups)); n < 4 {
				state = absent // the list of groups says nothing of states before Kafka 2.6
			}
			expect(t, series, map[string]float64{`group_state{group="workers",state="stable"}`: state})
			if r.log.Len() > 0 {
				t.Errorf("the log says:\n%s", r.log)
			}
		})
	}
}

// The configured version bounds the request versions, whatever the brokers know.
func TestAConfiguredVersionIsTheNewestThatIsUsed(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{Version: "2.1.0"}, kfake.SeedTopics(1, "jobs.email"))
	spoken := map[string]int16{}
	r.cluster.Control(func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		spoken[kmsg.NameForKey(request.Key())] = request.GetVersion()
		return nil, nil, false
	})
	r.produce(t, "jobs.email", 0, time.Minute)
	r.commit(t, "workers", "jobs.email", 0)
	clear(spoken)
	near(t, r.round(t), lagSeconds, time.Minute)
	want := map[string]int16{"ApiVersions": 3, "Metadata": 7, "ListGroups": 2, "OffsetFetch": 5, "ListOffsets": 4, "Fetch": 10, "DescribeGroups": 2, "DescribeConfigs": 1}
	if diff := cmp.Diff(want, spoken); diff != "" {
		t.Errorf("versions that were spoken (-want +got):\n%s", diff)
	}
}

// TestABrokerThatIsRestarted restarts it, and moves it away and back.
func TestABrokerThatIsRestarted(t *testing.T) {
	t.Parallel()
	b, err := kafka.Start(t.Context(), kafka.Config{Topics: map[string]int32{"jobs.email": 1}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	client := kafkaClient(t, []string{b.Address()}, kgo.MaxVersions(kversion.V3_8_0()))
	now := beginning()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "jobs.email", Timestamp: now.Add(-time.Hour)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := commitAs(t.Context(), client, "workers", "jobs.email", 0); err != nil {
		t.Fatal(err)
	}
	config := Config{Brokers: []string{b.Address()}}
	config.Fill()
	target := newTestTarget(t, config, testSchedule, quiet())
	target.now = func() time.Time { return now }
	round := func() (map[string]float64, error) { return target.roundOf(t.Context()) }
	well := func(when string) {
		t.Helper()
		series, err := round()
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		near(t, series, lagSeconds, time.Hour)
	}
	well("at first")
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	well("restarted between two rounds")
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := round(); exporter.ReasonOf(err) != exporter.ReasonConnection {
			t.Fatalf("while it is down: %v", err)
		}
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	well("up again")
}

// TestOneBrokerOfThreeFails in each way that a broker can: the values of the others are reported in time; its own stay for a
// while, and are then missing.
func TestOneBrokerOfThreeFails(t *testing.T) {
	t.Parallel()
	for name, mood := range map[string]int32{"hung": hung, "babbling": babbling, "broken": broken} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wires := &wires{}
			topics := []string{"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8"}
			r := newTestCluster(t, Config{}, kfake.NumBrokers(3), kfake.SeedTopics(1, topics...), kfake.ListenFn(wires.listen))
			for i := range topics {
				if err := r.cluster.MoveTopicPartition(topics[i], 0, int32(i%3)); err != nil {
					t.Fatal(err)
				}
				r.produce(t, topics[i], 0, time.Hour)
			}
			for i := range 9 {
				for _, topic := range topics {
					r.commit(t, fmt.Sprintf("g%d", i), topic, 0)
				}
			}
			before := r.round(t)
			ofBroker := func(id int32) (topic, group int) {
				for i := range 9 {
					if r.cluster.LeaderFor(topics[i], 0) == id {
						topic++
					}
					if r.cluster.CoordinatorFor(fmt.Sprintf("g%d", i)) == id {
						group++
					}
				}
				return topic, group
			}
			lost, lostGroups := ofBroker(1)
			if lost == 0 || lost == 9 {
				t.Fatalf("broker 1 leads %d topics", lost)
			}
			wires.set(1, mood)
			during := r.round(t)
			// A round waits for the answers of a broker that hangs until one of them is overdue, a third of the round's time, and asks it nothing more.
			if n := wires.all[1].withheld.Load(); mood == hung && n != 1 || mood != hung && n != 0 {
				t.Errorf("the round has waited for %d answers", n)
			}
			if waits := r.target.cluster.config.Net; max(waits.DialTimeout, waits.ReadTimeout, waits.WriteTimeout) > testSchedule.Timeout/3 {
				t.Errorf("one answer is waited for longer than a third of the round: %+v", waits)
			}
			if len(during) != len(before) {
				t.Errorf("%d series, before %d", len(during), len(before))
			}
			if !strings.Contains(r.log.String(), "broker 1 at "+r.cluster.ListenAddrs()[1]) {
				t.Errorf("the log does not name the broker:\n%s", r.log)
			}
			r.ahead += testSchedule.MaxAge + time.Second
			later := r.round(t)
			messages, members := 0, 0
			for name := range later {
				if strings.HasPrefix(name, "messages{") {
					messages++
				}
				if strings.HasPrefix(name, "group_members{") {
					members++
				}
			}
			if messages != 9-lost || members != 9-lostGroups {
				t.Errorf("of 9 topics %d are exported, and of 9 groups %d; the broker had %d and %d", messages, members, lost, lostGroups)
			}
			if n := strings.Count(r.log.String(), "\n"); n > 2 {
				t.Errorf("the log repeats itself:\n%s", r.log)
			}
			wires.set(1, healthy)
			after := r.round(t)
			if len(after) != len(before) {
				t.Errorf("%d series after, before %d", len(after), len(before))
			}
			if !strings.Contains(r.log.String(), "the whole cluster answers again") {
				t.Errorf("the log does not say that the cluster is whole again:\n%s", r.log)
			}
		})
	}
}

func TestEveryFailureOfAClusterHasItsReason(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	wires := &wires{}
	r := newTestCluster(t, Config{}, kfake.SeedTopics(1, "jobs.email"), kfake.ListenFn(wires.listen))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	round := func(config Config) error {
		config.Fill()
		target := newTestTarget(t, config, exporter.Schedule{Interval: timeout, Timeout: timeout}, quiet())
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		end, _ := ctx.Deadline()
		err := target.collect(ctx)
		// The connections of a round are cut a tenth of its time before it has to end.
		cut, bounded := target.cluster.dialer.ctx.Deadline()
		if spare := end.Sub(cut); !bounded || spare < timeout/10*9/10 || spare > timeout/10 {
			t.Errorf("the connections are cut %v before the end of the round (%v), want about %v", spare, bounded, timeout/10)
		}
		return err
	}
	there := r.cluster.ListenAddrs()
	for name, tt := range map[string]struct {
		config Config
		mood   int32
		want   exporter.Reason
	}{
		"nobody listens":         {Config{Brokers: []string{"127.0.0.1:1"}}, healthy, exporter.ReasonConnection},
		"no such name":           {Config{Brokers: []string{"no-such-host.invalid:9092"}}, healthy, exporter.ReasonConnection},
		"it accepts and is hung": {Config{Brokers: []string{listener.Addr().String()}}, healthy, exporter.ReasonTimeout},
		"it is hung":             {Config{Brokers: there}, hung, exporter.ReasonTimeout},
		"it babbles":             {Config{Brokers: there}, babbling, exporter.ReasonParse},
		"it breaks off":          {Config{Brokers: there}, broken, exporter.ReasonConnection},
		"all of several hang":    {Config{Brokers: []string{listener.Addr().String(), there[0], listener.Addr().String()}}, hung, exporter.ReasonTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			wires.set(0, tt.mood)
			if err := round(tt.config); exporter.ReasonOf(err) != tt.want {
				t.Errorf("reason %q, want %q: %v", exporter.ReasonOf(err), tt.want, err)
			}
		})
	}
	wires.set(0, healthy)
	if err := round(Config{Brokers: []string{"127.0.0.1:1", there[0]}}); err != nil {
		t.Errorf("the second address is not tried: %v", err)
	}
	if err := round(Config{Brokers: []string{listener.Addr().String(), there[0]}}); err != nil {
		t.Errorf("after a hung one the second address is not tried: %v", err)
	}
}

// An advertised address that cannot be reached is the most common mistake with Kafka: the way in works, and nothing else.
func TestAnAdvertisedAddressThatCannotBeReachedIsNamed(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	want, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), r.client)
	if err != nil {
		t.Fatal(err)
	}
	want.Brokers[0].Port = 1
	r.cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		crafted := *want
		crafted.SetVersion(request.GetVersion())
		return &crafted, nil, true
	})
	for range 3 {
		_, err = r.target.roundOf(t.Context())
		if exporter.ReasonOf(err) != exporter.ReasonConnection || !strings.Contains(fmt.Sprint(err), "broker 0 at 127.0.0.1:1: ") {
			t.Fatalf("reason %q: %v", exporter.ReasonOf(err), err)
		}
	}
}

// What DescribeGroups says of a group that it does not know the protocol of is not believed. CRAFTED: the answers of a Kafka 3.7
// with the consumer protocol switched on, which lists no types.
func TestAGroupIsNeverCalledDeadBecauseDescribeGroupsSaysSo(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.SeedTopics(1, "jobs.email"), kfake.MaxVersions(kversion.V3_7_0()))
	r.commit(t, "workers", "jobs.email", 0)
	r.cluster.ControlKey(int16(kmsg.ListGroups), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.ListGroupsResponse)
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState = "workers", "consumer", "Stable"
		response.Groups = append(response.Groups, g)
		return response, nil, true
	})
	r.cluster.ControlKey(int16(kmsg.DescribeGroups), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.State = "workers", "Dead"
		response.Groups = append(response.Groups, g)
		return response, nil, true
	})
	expect(t, r.round(t), map[string]float64{
		`group_state{group="workers",state="stable"}`: 1, `group_state{group="workers",state="dead"}`: 0,
		`group_members{group="workers"}`: absent, lagCount: 0,
	})
}

// A group whose coordinator has just started answers with errors for a while: it is neither gone nor without lag.
func TestAGroupWhoseCoordinatorIsLoadingKeepsItsValues(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.produce(t, "jobs.email", 0, time.Hour)
	r.commit(t, "workers", "jobs.email", 0)
	r.commit(t, "others", "jobs.email", 0)
	before := r.round(t)
	for name, fault := range map[string]kfake.Fault{
		"offsets of one group": {Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "workers", Count: -1},
		"the list of groups":   {Keys: []kmsg.Key{kmsg.ListGroups}, Count: -1},
	} {
		t.Run(name, func(t *testing.T) {
			handle := r.cluster.Fault(fault)
			defer handle.Remove()
			series := r.round(t)
			if handle.Hits() == 0 {
				t.Fatal("the fault was not met")
			}
			if len(series) != len(before) {
				t.Errorf("%d series, before %d", len(series), len(before))
			}
			near(t, series, lagSeconds, time.Hour)
		})
	}
}

func TestConnectionsAreKeptAndGarbageIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		chunks []string
		bad    bool
	}{
		"two answers":         {[]string{"\x00\x00\x00\x05abcde\x00\x00\x00\x04abcd"}, false},
		"in pieces":           {[]string{"\x00", "\x00\x00", "\x05", "ab", "cde\x00\x00", "\x00\x04abc", "d"}, false},
		"too short":           {[]string{"\x00\x00\x00\x03abc"}, true},
		"no length":           {[]string{"\x00\x00\x00\x00"}, true},
		"a web server":        {[]string{"HTTP/1.1 400 Bad Request"}, true},
		"TLS":                 {[]string{"\x15\x03\x03\x00\x02\x02\x28"}, true},
		"a negative length":   {[]string{"\xff\xff\xff\xff"}, true},
		"garbage after a bit": {[]string{"\x00\x00\x00\x04ab", "cdSSH-2.0"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			c := &checkedConn{Conn: client, raw: client, dialer: newDialer(time.Second, nil)}
			defer c.Close()
			go func() {
				for _, chunk := range tt.chunks {
					_, _ = server.Write([]byte(chunk))
				}
				_ = server.Close()
			}()
			var err error
			n := 0
			for err == nil {
				var got int
				got, err = c.Read(make([]byte, 3))
				n += got
			}
			if _, bad := err.(notKafka); bad != tt.bad {
				t.Errorf("after %d bytes: %v", n, err)
			}
		})
	}
	if got := exporter.ReasonOf(failure(fmt.Errorf("x: %w", notKafka{'H', 'T', 'T', 'P'}))); got != exporter.ReasonParse {
		t.Errorf("reason %q", got)
	}
	if got := exporter.ReasonOf(failure(sarama.ErrGroupAuthorizationFailed)); got != exporter.ReasonAuth {
		t.Errorf("reason %q", got)
	}
}

package kafka

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	lagSeconds = `lag_seconds{group="workers",topic="jobs.email"}`
	lagCount   = `lag_messages{group="workers",topic="jobs.email"}`
	timeToLoss = `time_to_loss_seconds{group="workers",topic="jobs.email"}`
)

// near fails when a value is not there, or another one but for the rounding of a timestamp.
func near(t testing.TB, series map[string]float64, name string, want time.Duration) {
	t.Helper()
	value, ok := series[name]
	if d := value - want.Seconds(); !ok || math.Abs(d) > 1e-3 {
		t.Errorf("%s = %v (exported: %v), want %v", name, value, ok, want.Seconds())
	}
}

func newQueueCluster(t testing.TB, options ...kfake.Opt) *testCluster {
	t.Helper()
	return newTestCluster(t, Config{}, append([]kfake.Opt{kfake.SeedTopics(2, "jobs.email")}, options...)...)
}

func TestLagInSecondsOfAGroupThatHasReadAllIsZeroHoweverLongTheTopicIsIdle(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.commit(t, "workers", "jobs.email", 0, 0)
	expect(t, r.round(t), map[string]float64{lagSeconds: 0, lagCount: 0, timeToLoss: absent}) // nothing was ever written
	r.produce(t, "jobs.email", 0, time.Hour, time.Minute)
	r.commit(t, "workers", "jobs.email", 2, 0)
	expect(t, r.round(t), map[string]float64{lagSeconds: 0, lagCount: 0, timeToLoss: absent})
	r.ahead += 30 * time.Hour
	expect(t, r.round(t), map[string]float64{lagSeconds: 0, lagCount: 0, timeToLoss: absent})
}

func TestLagInSecondsOfASteadyLagIsSteady(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	for i := range int64(12) { // a record in each round; the group is always two records behind
		r.produce(t, "jobs.email", 0, 0)
		r.commit(t, "workers", "jobs.email", max(0, i-2))
		series := r.round(t)
		near(t, series, lagSeconds, time.Duration(min(i, 2))*testSchedule.Interval)
		r.ahead += testSchedule.Interval
	}
}

func TestLagInSecondsOfAGroupThatHasStoppedGrowsWithTheClockAndCostsNothing(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.produce(t, "jobs.email", 0, 90*time.Second, 60*time.Second)
	r.produce(t, "jobs.email", 1, 30*time.Second)
	r.commit(t, "workers", "jobs.email", 1, 0)
	near(t, r.round(t), lagSeconds, time.Minute)
	count := r.countRequests()
	for i := range 50 {
		r.ahead += time.Minute
		r.produce(t, "jobs.email", 0, 0) // what comes after does not count
		count.take()
		series := r.round(t)
		near(t, series, lagSeconds, time.Duration(i+2)*time.Minute)
		near(t, series, timeToLoss, 7*24*time.Hour-time.Duration(i+2)*time.Minute)
		if got := count.take()[0]["Fetch"]; got != 0 {
			t.Fatalf("%d records were read", got)
		}
	}
}

func TestLagInSecondsOfABurstIsTheAgeOfTheRecordThatIsNext(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	ago := make([]time.Duration, 5000)
	for i := range ago {
		ago[i] = 10*time.Minute - time.Duration(i)*time.Millisecond*100 // from ten minutes to 100 seconds ago
	}
	r.produce(t, "jobs.email", 1, ago...)
	for _, at := range []int64{0, 1, 2500, 2501, 4999, 5000, 7} {
		r.commit(t, "workers", "jobs.email", 0, at)
		series := r.round(t)
		if at == 5000 {
			expect(t, series, map[string]float64{lagSeconds: 0})
			continue
		}
		near(t, series, lagSeconds, ago[at])
		expect(t, series, map[string]float64{lagCount: float64(5000 - at)})
	}
}

// The number is the age of a record, not of a place in a line between two points: it falls while a group catches up, in one
// round, however long it stood still before (seglo/kafka-lag-exporter 121, 175, 353).
func TestLagInSecondsFallsAtOnceWhenAGroupCatchesUp(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.produce(t, "jobs.email", 0, 5*time.Hour, 4*time.Hour, time.Minute, time.Second)
	for at, want := range []time.Duration{5 * time.Hour, 4 * time.Hour, time.Minute, time.Second} {
		r.commit(t, "workers", "jobs.email", int64(at))
		near(t, r.round(t), lagSeconds, want)
	}
	r.commit(t, "workers", "jobs.email", 4)
	expect(t, r.round(t), map[string]float64{lagSeconds: 0})
}

func TestLagInSecondsIsThatOfTheSlowestPartition(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.produce(t, "jobs.email", 0, time.Minute)
	r.produce(t, "jobs.email", 1, time.Hour, 10*time.Second)
	r.commit(t, "workers", "jobs.email", 0, 1)
	near(t, r.round(t), lagSeconds, time.Minute)
	r.commit(t, "workers", "jobs.email", 0, 0)
	near(t, r.round(t), lagSeconds, time.Hour)
	r.commit(t, "others", "jobs.email", 1, 1)
	series := r.round(t)
	near(t, series, lagSeconds, time.Hour)
	near(t, series, `lag_seconds{group="others",topic="jobs.email"}`, 10*time.Second)
}

func TestLagInSecondsIsUnknownWhenTheNextRecordHasExpired(t *testing.T) {
	t.Parallel()
	t.Run("deleted", func(t *testing.T) {
		r := newQueueCluster(t)
		r.produce(t, "jobs.email", 0, time.Hour, time.Minute, time.Second)
		r.commit(t, "workers", "jobs.email", 0, 0)
		near(t, r.round(t), lagSeconds, time.Hour)
		if err := r.cluster.DeleteRecords("jobs.email", 0, 2); err != nil {
			t.Fatal(err)
		}
		expect(t, r.round(t), map[string]float64{lagSeconds: absent, lagCount: 3, timeToLoss: 0})
		r.commit(t, "workers", "jobs.email", 2, 0) // it goes on with what is there
		series := r.round(t)
		near(t, series, lagSeconds, time.Second)
		near(t, series, timeToLoss, 7*24*time.Hour-time.Second)
	})
	t.Run("retention", func(t *testing.T) {
		r := newTestCluster(t, Config{})
		if err := r.cluster.CreateTopic("jobs.email", 1, map[string]string{"retention.ms": "3600000", "segment.bytes": "60"}); err != nil {
			t.Fatal(err)
		}
		for _, ago := range []time.Duration{90 * time.Minute, 50 * time.Minute, time.Minute, 0} {
			r.produce(t, "jobs.email", 0, ago)
		}
		r.commit(t, "workers", "jobs.email", 1)
		near(t, r.round(t), timeToLoss, 10*time.Minute)
		r.commit(t, "workers", "jobs.email", 0)
		series := r.round(t)
		expect(t, series, map[string]float64{timeToLoss: 0, lagCount: 4}) // over its time, and still there
		near(t, series, lagSeconds, 90*time.Minute)
		r.cluster.ApplyRetention()
		expect(t, r.round(t), map[string]float64{timeToLoss: 0, lagCount: 4, lagSeconds: absent, `messages{topic="jobs.email"}`: 3})
	})
}

func TestLagInSecondsFollowsAnOffsetThatWasReset(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	r.produce(t, "jobs.email", 0, 3*time.Hour, 2*time.Hour, time.Hour)
	r.commit(t, "workers", "jobs.email", 3)
	expect(t, r.round(t), map[string]float64{lagSeconds: 0})
	r.commit(t, "workers", "jobs.email", 0)
	series := r.round(t)
	near(t, series, lagSeconds, 3*time.Hour)
	expect(t, series, map[string]float64{lagCount: 3})
	r.commit(t, "workers", "jobs.email", 2)
	near(t, r.round(t), lagSeconds, time.Hour)
	r.commit(t, "workers", "jobs.email", 9) // beyond the end, as after a log that was cut
	expect(t, r.round(t), map[string]float64{lagSeconds: 0, lagCount: 0})
}

func TestTimeToLossIsAbsentWithoutARetention(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{})
	for topic, config := range map[string]map[string]string{
		"kept.for.ever": {"retention.ms": "-1"},
		"compacted":     {"cleanup.policy": "compact"},
		"both":          {"cleanup.policy": "compact,delete", "retention.ms": "7200000"},
	} {
		if err := r.cluster.CreateTopic(topic, 1, config); err != nil {
			t.Fatal(err)
		}
		r.write(t, &kgo.Record{Topic: topic, Key: []byte("a"), Value: []byte("x"), Timestamp: r.now().Add(-time.Hour)})
		r.commit(t, "workers", topic, 0)
	}
	series := r.round(t)
	expect(t, series, map[string]float64{
		`time_to_loss_seconds{group="workers",topic="kept.for.ever"}`: absent,
		`time_to_loss_seconds{group="workers",topic="compacted"}`:     absent,
	})
	near(t, series, `time_to_loss_seconds{group="workers",topic="both"}`, time.Hour)
	near(t, series, `lag_seconds{group="workers",topic="kept.for.ever"}`, time.Hour)
}

// A group that reads transactions stands behind the last record, but before the mark that ends the transaction: there is nothing
// left to read, however long the topic is idle.
func TestLagInSecondsDoesNotCountTheMarksOfTransactions(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	client := kafkaClient(t, r.cluster.ListenAddrs(), kgo.TransactionalID("orders"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	transaction := func(end kgo.TransactionEndTry) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "jobs.email", Value: []byte("x"), Timestamp: r.now()}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	transaction(kgo.TryCommit)
	r.commit(t, "workers", "jobs.email", 1)
	expect(t, r.round(t), map[string]float64{lagCount: 0, lagSeconds: 0, timeToLoss: absent})
	r.ahead += 5 * time.Hour
	count := r.countRequests()
	expect(t, r.round(t), map[string]float64{lagSeconds: 0})
	if n := count.take()[0]["Fetch"]; n != 0 {
		t.Errorf("%d fetches for what is known", n)
	}
	r.ahead = 0
	transaction(kgo.TryCommit)
	r.ahead += time.Hour
	near(t, r.round(t), lagSeconds, time.Hour)
}

// Batches that are larger than the size for each partition arrive when their partition is fetched alone.
func TestLagInSecondsOfLargeAndOfCompressedBatches(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.SeedTopics(8, "jobs.email"), kfake.SeedTopics(4, "jobs.image"))
	large := make([]byte, 300<<10)
	for i := range large {
		large[i] = byte(i * i >> 3)
	}
	for partition := range int32(8) {
		for range 3 {
			r.write(t, &kgo.Record{Topic: "jobs.email", Partition: partition, Value: large, Timestamp: r.now().Add(-time.Hour)})
		}
	}
	r.commit(t, "workers", "jobs.email", 0, 1, 2, 0, 1, 2, 0, 1)
	for i, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		client := kafkaClient(t, r.cluster.ListenAddrs(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
		var batch []*kgo.Record
		for n := range 50 {
			batch = append(batch, &kgo.Record{Topic: "jobs.image", Partition: int32(i), Value: large[:100], Timestamp: r.now().Add(-time.Duration(100-n) * time.Minute)})
		}
		if err := client.ProduceSync(t.Context(), batch...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		offsets := []int64{-1, -1, -1, -1}
		offsets[i] = 40
		group := fmt.Sprintf("images-%d", i)
		r.commit(t, group, "jobs.image", offsets...)
		near(t, r.round(t), fmt.Sprintf(`lag_seconds{group=%q,topic="jobs.image"}`, group), time.Hour)
	}
	near(t, r.round(t), lagSeconds, time.Hour)
}

func TestLookUpsStayWithinTheBudgetAndTakeTurns(t *testing.T) {
	t.Parallel()
	budget := 10
	r := newTestCluster(t, Config{LookupsPerRound: &budget}, kfake.NumBrokers(2), kfake.SeedTopics(4, "jobs.email", "jobs.image", "jobs.report", "jobs.sync", "jobs.webhook"))
	topics := []string{"jobs.email", "jobs.image", "jobs.report", "jobs.sync", "jobs.webhook"}
	for _, topic := range topics {
		for partition := range int32(4) {
			for hours := range 20 {
				r.produce(t, topic, partition, time.Duration(20-hours)*time.Hour)
			}
		}
	}
	read := 0
	r.cluster.ControlKey(int16(kmsg.Fetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		for _, topic := range request.(*kmsg.FetchRequest).Topics {
			read += len(topic.Partitions)
		}
		return nil, nil, false
	})
	groups := []string{"a", "b", "c"}
	known := func(series map[string]float64) (n int) {
		for _, group := range groups {
			for _, topic := range topics {
				if _, ok := series[fmt.Sprintf("lag_seconds{group=%q,topic=%q}", group, topic)]; ok {
					n++
				}
			}
		}
		return n
	}
	// Two groups stand at the same records, which are looked up once: 40 records in all.
	commit := func(a, c int64) {
		t.Helper()
		for _, topic := range topics {
			r.commit(t, "a", topic, a, a, a, a)
			r.commit(t, "b", topic, a, a, a, a)
			r.commit(t, "c", topic, c, c, c, c)
		}
	}
	commit(0, 1)
	var observations, reads []int
	for range 6 {
		read = 0
		observations = append(observations, known(r.round(t)))
		reads = append(reads, read)
	}
	if diff := cmp.Diff([]int{10, 10, 10, 10, 0, 0}, reads); diff != "" {
		t.Errorf("records that were read in each round (-want +got):\n%s", diff)
	}
	if observations[3] != 15 {
		t.Errorf("groups and topics with a known lag, by round: %v", observations)
	}

	// When all offsets move all the time, each partition is looked up in turn, and keeps its value until then.
	looked := map[*groupPartition]uint64{}
	for i := range 8 {
		commit(int64(i+2), int64(i+10))
		series := r.round(t)
		if n := known(series); n != 15 {
			t.Errorf("round %d: %d of 15 are exported", i, n)
		}
		if i == 3 {
			for _, g := range r.target.groups {
				for _, gt := range g.topics {
					for p := range gt.partitions {
						looked[&gt.partitions[p]] = gt.partitions[p].lookedUpAt
					}
				}
			}
		}
	}
	for p, before := range looked {
		if p.lookedUpAt == before {
			t.Error("a partition was not looked at in four rounds, in which there was budget for all")
		}
	}
}

// With no budget at all, the newest offsets of the last rounds bracket when a record came: within an interval.
func TestArrivalsBracketTheLagWithoutAnyLookUp(t *testing.T) {
	t.Parallel()
	none := 0
	r := newTestCluster(t, Config{LookupsPerRound: &none}, kfake.SeedTopics(1, "jobs.email"))
	r.commit(t, "workers", "jobs.email", 0)
	count := r.countRequests()
	for i := range int64(25) {
		series := r.rounds(t, 1, func(int) {
			r.produce(t, "jobs.email", 0, testSchedule.Interval*3/4, testSchedule.Interval/4)
			r.commit(t, "workers", "jobs.email", max(0, 2*i-8)) // four rounds behind
		})
		if i < 6 {
			continue
		}
		want := 4*testSchedule.Interval + testSchedule.Interval*3/4
		if got := series[lagSeconds]; got < (want-testSchedule.Interval).Seconds() || got > (want+testSchedule.Interval).Seconds() {
			t.Errorf("round %d: %v seconds, want %v, give or take an interval", i, got, want)
		}
	}
	if n := count.take()[0]["Fetch"]; n != 0 {
		t.Errorf("%d fetches", n)
	}
	r.commit(t, "workers", "jobs.email", 1) // of before the oldest round that is remembered
	r.ahead += 2 * time.Minute
	expect(t, r.round(t), map[string]float64{lagSeconds: absent, lagCount: 49})
}

func TestBracketsAreBetweenTwoKnownPoints(t *testing.T) {
	t.Parallel()
	target := &Target{round: 20}
	for round := uint64(5); round <= 20; round++ {
		target.times[round%arrivalRounds] = time.UnixMilli(int64(round) * 10_000)
	}
	p := &queuePartition{newest: unknown}
	for round := uint64(5); round <= 20; round++ {
		p.newest = int64(100 * round)
		if round == 12 || round == 13 {
			p.newest = unknown // the leader did not answer
		}
		p.recordArrival(round)
	}
	looked := recordTime{offset: 200, found: foundTime, millis: 7_000}
	for _, tt := range []struct {
		offset int64
		before recordTime
		millis int64
		ok     bool
	}{
		{1999, recordTime{}, 199_950, true}, // in the last interval
		{1900, recordTime{}, 190_050, true}, // the first of it
		{1899, recordTime{}, 189_950, true}, // the last of the one before
		{1250, recordTime{}, 125_050, true}, // over the gap from round 11 to 14
		{499, recordTime{}, 0, false},       // older than what is remembered
		{350, looked, 7_000 + 21_571, true}, // between a record that was looked up and the oldest round
		{150, looked, 0, false},             // before both
		{2000, recordTime{}, 0, false},      // not there yet
		{350, recordTime{offset: 200, found: foundExpired}, 0, false},
	} {
		millis, ok := p.bracket(tt.offset, tt.before, target)
		if d := millis - tt.millis; ok != tt.ok || d < -1 || d > 1 {
			t.Errorf("offset %d: %d, %v; want %d, %v", tt.offset, millis, ok, tt.millis, tt.ok)
		}
	}
	if _, ok := (&queuePartition{}).bracket(5, looked, target); ok {
		t.Error("a bracket of nothing")
	}
}

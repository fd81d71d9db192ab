package kafka

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// beginTransaction writes records in a transaction, each in a batch of its own, and returns how to end it.
func (r *testCluster) beginTransaction(t testing.TB, id string, records ...*kgo.Record) (end func(kgo.TransactionEndTry)) {
	t.Helper()
	client := kafkaClient(t, r.cluster.ListenAddrs(), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxVersions(kversion.V3_8_0()))
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, record := range records {
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return func(how kgo.TransactionEndTry) {
		t.Helper()
		if err := client.EndTransaction(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *testCluster) job() *kgo.Record {
	return &kgo.Record{Topic: "jobs.email", Value: []byte("x"), Timestamp: r.now()}
}

// TestAGroupThatHasReadAllOfATransactionalTopicIsHealthy has a group that stands where a consumer with
// isolation.level=read_committed does: behind the last record that it got.
func TestAGroupThatHasReadAllOfATransactionalTopicIsHealthy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		follow func(t *testing.T, r *testCluster) // what follows the record that the group has read
		lag    float64
	}{
		"a marker": {func(*testing.T, *testCluster) {}, 0},
		"an aborted transaction": {func(t *testing.T, r *testCluster) {
			r.beginTransaction(t, "b", r.job(), r.job(), r.job())(kgo.TryAbort)
		}, 0},
		"two aborted ones of a producer":      {func(t *testing.T, r *testCluster) { r.abort(t); r.abort(t) }, 0},
		"an open transaction":                 {func(t *testing.T, r *testCluster) { r.beginTransaction(t, "b", r.job(), r.job()) }, 2},
		"an aborted, and an open transaction": {func(t *testing.T, r *testCluster) { r.abort(t); r.beginTransaction(t, "c", r.job()) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newQueueCluster(t)
			r.beginTransaction(t, "a", r.job())(kgo.TryCommit) // the record 0, the marker 1
			member := r.member(t, "workers", "jobs.email")
			commitFrom(t, member, "jobs.email", 1, 0)
			c.follow(t, r)
			series := r.rounds(t, 2*conditionWindow, nil)
			expect(t, series, map[string]float64{lagCount: c.lag, lagSeconds: 0, timeToLoss: absent})
			if got := conditionOf(series, "workers"); got != "ok" {
				t.Errorf("condition %q", got)
			}
		})
	}
}

func (r *testCluster) abort(t testing.TB) {
	t.Helper()
	r.beginTransaction(t, "b", r.job(), r.job())(kgo.TryAbort)
}

// TestWhatFollowsAnAbortedTransactionIsBehind has a producer abort, and commit.
func TestWhatFollowsAnAbortedTransactionIsBehind(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	member := r.member(t, "workers", "jobs.email")
	commitFrom(t, member, "jobs.email", 0, 0)
	r.abort(t) // records 0 and 1, marker 2
	r.ahead += time.Hour
	end := r.beginTransaction(t, "b", r.job()) // record 3, marker 4
	expect(t, r.round(t), map[string]float64{lagSeconds: 0, lagCount: 1})
	end(kgo.TryCommit)
	r.ahead += time.Minute
	series := r.rounds(t, conditionWindow, nil)
	near(t, series, lagSeconds, time.Minute+(conditionWindow-1)*testSchedule.Interval)
	series = r.rounds(t, conditionWindow, nil)
	if got := conditionOf(series, "workers"); got != "stalled" {
		t.Errorf("condition %q of a group that does not read a record", got)
	}
}

// TestALongAbortedTransactionIsPassedOverInOneRound has one that is longer than what a look-up reads.
func TestALongAbortedTransactionIsPassedOverInOneRound(t *testing.T) {
	t.Parallel()
	r := newQueueCluster(t)
	var records []*kgo.Record
	for i := range 8 {
		record := r.job()
		record.Value = make([]byte, 200<<10)
		if _, err := rand.NewChaCha8([32]byte{byte(i)}).Read(record.Value); err != nil { // which cannot be compressed
			t.Fatal(err)
		}
		records = append(records, record)
	}
	r.beginTransaction(t, "a", records...)(kgo.TryAbort)
	r.commit(t, "workers", "jobs.email", 0, 0)
	expect(t, r.round(t), map[string]float64{lagCount: 0, lagSeconds: 0})
	count := r.countRequests()
	expect(t, r.round(t), map[string]float64{lagCount: 0, lagSeconds: 0})
	if n := count.take()[0]["Fetch"]; n != 0 {
		t.Errorf("%d fetches for what is known", n)
	}
}

func TestDeadLettersOfAbortedTransactionsDoNotCount(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.SeedTopics(1, "jobs.dead"))
	r.beginTransaction(t, "a", dead("email"), dead("email"))(kgo.TryAbort)
	r.beginTransaction(t, "b", dead("image"))(kgo.TryCommit)
	wantDeadLetters(t, r.round(t), map[string]int{"image": 1})

	end := r.beginTransaction(t, "c", dead("report"))
	r.write(t, dead("image")) // behind what is open
	wantDeadLetters(t, r.round(t), map[string]int{"image": 1})
	r.restart(t, r.target.config)
	wantDeadLetters(t, r.round(t), map[string]int{"image": 1}) // also of a new exporter
	end(kgo.TryCommit)
	wantDeadLetters(t, r.round(t), map[string]int{"image": 2, "report": 1})

	if err := r.cluster.DeleteRecords("jobs.dead", 0, 4); err != nil { // reads the rest of the block again
		t.Fatal(err)
	}
	wantDeadLetters(t, r.rounds(t, 2, nil), map[string]int{"image": 1, "report": 1})
}

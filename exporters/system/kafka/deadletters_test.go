package kafka

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// deadLettersOf is the reported numbers of dead letters, by queue.
func deadLettersOf(series map[string]float64) map[string]int {
	by := map[string]int{}
	for name, value := range series {
		if queue, ok := strings.CutPrefix(name, `dead_letters{queue="`); ok {
			by[strings.TrimSuffix(queue, `"}`)] = int(value)
		}
	}
	return by
}

func wantDeadLetters(t testing.TB, series map[string]float64, want map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, deadLettersOf(series)); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

func TestDeadLettersAreCountedByTheQueueThatTheyCameFrom(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{DeadLetters: DeadLetters{Topic: "graveyard", Header: "from"}}, kfake.SeedTopics(2, "graveyard", "jobs.email"))
	from := func(partition int32, values ...string) *kgo.Record {
		letter := &kgo.Record{Topic: "graveyard", Partition: partition, Headers: []kgo.RecordHeader{{Key: "queue", Value: []byte("wrong")}}}
		for _, v := range values {
			letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: "from", Value: []byte(v)})
		}
		return letter
	}
	wantDeadLetters(t, r.round(t), map[string]int{})
	r.write(t, from(0, "email"), from(1, "image"), from(0, "email", "second does not count"))
	wantDeadLetters(t, r.round(t), map[string]int{"email": 2, "image": 1})
	r.write(t, from(0), from(1, ""), from(1, "\xff\xfe"), from(1, strings.Repeat("x", 250)))
	wantDeadLetters(t, r.round(t), map[string]int{"email": 2, "image": 1, "other": 4})

	// What is known is not read again.
	count := r.countRequests()
	wantDeadLetters(t, r.round(t), map[string]int{"email": 2, "image": 1, "other": 4})
	if n := count.take()[0]["Fetch"]; n != 0 {
		t.Errorf("%d fetches with nothing new", n)
	}

	// Worked off: letters that are gone do not count, and a queue that has none left is reported as 0.
	if err := r.cluster.DeleteRecords("graveyard", 0, 2); err != nil {
		t.Fatal(err)
	}
	wantDeadLetters(t, r.round(t), map[string]int{"email": 0, "image": 1, "other": 4})

	// A new exporter reads what is there.
	r.restart(t, r.target.config)
	wantDeadLetters(t, r.round(t), map[string]int{"image": 1, "other": 4})

	if err := r.cluster.DeleteTopic("graveyard"); err != nil {
		t.Fatal(err)
	}
	wantDeadLetters(t, r.round(t), map[string]int{})
	if err := r.cluster.CreateTopic("graveyard", 1, nil); err != nil {
		t.Fatal(err)
	}
	r.client.PurgeTopicsFromClient("graveyard")
	r.write(t, from(0, "sync"))
	wantDeadLetters(t, r.round(t), map[string]int{"sync": 1})
}

func TestDeadLettersAreNotReportedBeforeAllOfThemWereRead(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.SeedTopics(1, "jobs.dead"))
	body := make([]byte, 900_000)
	if _, err := rand.NewChaCha8([32]byte{}).Read(body); err != nil { // which cannot be compressed
		t.Fatal(err)
	}
	n := 0
	for range 3 * deadLetterFetches * deadLetterBytes / len(body) {
		letter := dead("image")
		letter.Value = body
		r.write(t, letter)
		n++
	}
	count := r.countRequests()
	rounds := 0
	for ; ; rounds++ {
		series := r.round(t)
		if fetches := count.take()[0]["Fetch"]; fetches > deadLetterFetches {
			t.Errorf("%d fetches in a round", fetches)
		}
		if by := deadLettersOf(series); len(by) > 0 {
			wantDeadLetters(t, series, map[string]int{"image": n})
			break
		}
		if rounds > 20 {
			t.Fatal("never told")
		}
	}
	if rounds < 2 {
		t.Errorf("told after %d rounds: the test proves nothing", rounds)
	}
}

// TestDeadLettersAreAlwaysThoseThatAreThere writes and drains at random, and compares with the letters that are left after each round.
func TestDeadLettersAreAlwaysThoseThatAreThere(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.NumBrokers(2), kfake.SeedTopics(2, "jobs.dead"))
	random := rand.New(rand.NewPCG(1, 2))
	queues := []string{"email", "image", "report"}
	books := [2][]string{} // by partition and offset
	oldest := [2]int{}
	for round := range 40 {
		var letters []*kgo.Record
		for range random.IntN(400) {
			letter := dead(queues[random.IntN(len(queues))])
			letter.Partition = int32(random.IntN(2))
			books[letter.Partition] = append(books[letter.Partition], string(letter.Headers[1].Value))
			letters = append(letters, letter)
		}
		if len(letters) > 0 {
			r.write(t, letters...)
		}
		if partition := random.IntN(2); random.IntN(3) == 0 {
			oldest[partition] += random.IntN(len(books[partition]) - oldest[partition] + 1)
			if err := r.cluster.DeleteRecords("jobs.dead", int32(partition), int64(oldest[partition])); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(10) == 0 {
			r.restart(t, Config{})
		}
		want := map[string]int{}
		for partition := range books {
			for _, queue := range books[partition][oldest[partition]:] {
				want[queue]++
			}
		}
		series := r.round(t)
		got := deadLettersOf(series)
		for queue, n := range got {
			if n == 0 {
				delete(got, queue)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
	}
	if n := len(r.target.dead.partitions[0].blocks); n > len(books[0])/deadLetterBlock+2 {
		t.Errorf("%d blocks for %d letters", n, len(books[0]))
	}
}

func TestDeadLettersOfTooManyQueuesAreFolded(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.SeedTopics(1, "jobs.dead"))
	var letters []*kgo.Record
	for i := range 3 * maxDeadLetterQueues {
		letters = append(letters, dead(fmt.Sprintf("shopper-%03d", i)), dead("email"))
	}
	r.write(t, letters...)
	by := deadLettersOf(r.round(t))
	total := 0
	for _, n := range by {
		total += n
	}
	if len(by) > maxDeadLetterQueues+1 || total != len(letters) || by["other"] < maxDeadLetterQueues {
		t.Errorf("%d queues, %d letters of %d, %d in other", len(by), total, len(letters), by["other"])
	}
}

func TestDeadLettersThatMayNotBeReadAreUnknown(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{}, kfake.SeedTopics(1, "jobs.dead"))
	r.write(t, dead("email"))
	handle := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "jobs.dead", Count: -1})
	series := r.round(t)
	wantDeadLetters(t, series, map[string]int{})
	expect(t, series, map[string]float64{`messages{topic="jobs.dead"}`: 1})
	if !strings.Contains(r.log.String(), "dead letters: partition 0 of jobs.dead") {
		t.Errorf("the log says:\n%s", r.log)
	}
	handle.Remove()
	wantDeadLetters(t, r.round(t), map[string]int{"email": 1})
}

func TestABatchThatGrowsTooLargeFailsNothingElse(t *testing.T) {
	t.Parallel()
	r := newTestCluster(t, Config{DeadLetters: DeadLetters{Topic: "graveyard", Header: "from"}}, kfake.SeedTopics(1, "graveyard", "jobs.email"))
	compressing := kafkaClient(t, r.cluster.ListenAddrs(), kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.ProducerBatchMaxBytes(2*maxBatchBytes), kgo.BrokerMaxWriteBytes(4*maxBatchBytes), kgo.MaxVersions(kversion.V3_8_0()))
	if err := compressing.ProduceSync(t.Context(), &kgo.Record{Topic: "graveyard", Value: make([]byte, maxBatchBytes+1)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.produce(t, "jobs.email", 0, 0)
	series := r.round(t)
	wantDeadLetters(t, series, map[string]int{}) // unknown
	if n := series[`messages{topic="jobs.email"}`]; n != 1 {
		t.Errorf("another topic has %v messages, want 1", n)
	}
}

package events_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// transaction writes records in a transaction, which is open until its end.
type transaction struct{ client *kgo.Client }

func begin(t *testing.T, b broker, id string, records ...record) transaction {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(id))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	tx := transaction{client}
	tx.write(t, records...)
	return tx
}

func (tx transaction) write(t *testing.T, records ...record) {
	t.Helper()
	for _, r := range records {
		if err := tx.client.ProduceSync(t.Context(), &kgo.Record{Topic: r.topic, Partition: r.partition, Value: []byte(r.value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func (tx transaction) end(t *testing.T, how kgo.TransactionEndTry) {
	t.Helper()
	if err := tx.client.EndTransaction(t.Context(), how); err != nil {
		t.Fatal(err)
	}
}

func lag(topic string, partition int32) string {
	return fmt.Sprintf(`consignwatch_records_lag{partition="%d",topic=%q}`, partition, topic)
}

func recordsOf(topic, outcome string) string {
	return fmt.Sprintf(`consignwatch_records_total{outcome=%q,topic=%q}`, outcome, topic)
}

// TestOnlyCommittedTransactionsCount has records of transactions that were committed, aborted, and are open, in a partition
// that ends with a marker. Read to its end, nothing is behind; the offset that is delivered lies behind the markers.
func TestOnlyCommittedTransactionsCount(t *testing.T) {
	t.Parallel()
	for _, exact := range []bool{false, true} {
		t.Run(fmt.Sprintf("exact=%v", exact), func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, kafka.Config{})
			start := resumingFrom(t, b, exact)
			begin(t, b, "aborted", times(5, request("anna"))...).end(t, kgo.TryAbort) // 0 to 4, marker 5
			r := start()
			r.awaitThat(t, "the partition is read", func(got map[string]float64) bool {
				return got[success] == 1 && (got[requests("anna")] > 0 || offsets(got)[telemetry+"/0"] >= 5)
			})
			r.await(t, map[string]float64{lag(telemetry, 0): 0, success: 1})
			if got := r.scrape(t)[requests("anna")]; got != 0 {
				t.Errorf("%v records of an aborted transaction are counted", got)
			}
			awaitDelivered(t, r, b, telemetry, 0, 6)

			begin(t, b, "committed", times(10, request("anna"))...).end(t, kgo.TryCommit) // 6 to 15, marker 16
			r.await(t, map[string]float64{requests("anna"): 10, lag(telemetry, 0): 0})
			awaitDelivered(t, r, b, telemetry, 0, 17)

			open := begin(t, b, "open", times(3, request("anna"))...) // 17 to 19
			write(t, b, times(2, request("bert"))...)                 // 20 and 21, behind what is open
			r.await(t, map[string]float64{requests("anna"): 10, lag(telemetry, 0): 0, success: 1})
			r.shortenInterval()
			r.Stop()

			r = start()
			r.await(t, map[string]float64{lag(telemetry, 0): 0, success: 1})
			if got := r.scrape(t); got[requests("anna")] != 0 || got[requests("bert")] != 0 {
				t.Errorf("before the open transaction ends %v and %v are counted", got[requests("anna")], got[requests("bert")])
			}
			open.end(t, kgo.TryCommit) // marker 22
			got := r.await(t, map[string]float64{requests("anna"): 3, requests("bert"): 2, lag(telemetry, 0): 0})
			if n := got[recordsOf(telemetry, "counted")]; n != 5 {
				t.Errorf("%v records are counted, want 5: markers are none", n)
			}
			awaitDelivered(t, r, b, telemetry, 0, 23)
		})
	}
}

// TestDuplicatesOfTransactions has an order that was aborted and is placed again, and one that is placed a second time, before
// and after a restart, for which the partition is read again.
func TestDuplicatesOfTransactions(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	begin(t, b, "1", order("a", "anna"), order("b", "anna")).end(t, kgo.TryCommit)
	begin(t, b, "2", order("c", "anna"), order("d", "anna")).end(t, kgo.TryAbort)
	begin(t, b, "3", order("c", "anna"), order("a", "anna")).end(t, kgo.TryCommit)
	begin(t, b, "4", order("e", "anna")).end(t, kgo.TryAbort)
	r := follow(t, b.Address(), "")
	got := r.await(t, map[string]float64{orders("anna"): 3, lag(commerce, 0): 0})
	if n := got[recordsOf(commerce, "duplicate")]; n != 1 {
		t.Errorf("%v records are duplicates, want 1", n)
	}
	awaitCommitted(t, b, commerce, 0, 11) // 7 records and 4 markers
	r.shortenInterval()
	r.Stop()

	r = follow(t, b.Address(), "")
	begin(t, b, "5", order("a", "anna"), order("c", "anna"), order("d", "anna"), order("e", "anna")).end(t, kgo.TryCommit)
	got = r.await(t, map[string]float64{orders("anna"): 2, lag(commerce, 0): 0})
	if n := got[recordsOf(commerce, "duplicate")]; n != 2 {
		t.Errorf("after a restart %v records are duplicates, want 2", n)
	}
	awaitCommitted(t, b, commerce, 0, 16)
}

// resumingFrom returns how to start an exporter in one of the two modes, again and again, with further keys of kafka. In the
// exact mode all share a Prometheus.
func resumingFrom(t *testing.T, b broker, exact bool, keys ...string) func() *inProcess {
	t.Helper()
	config := fmt.Sprintf("kafka: {%s}\n", strings.Join(append(keys, fmt.Sprintf("brokers: [%q]", b.Address())), ", ")) + anonymousScraper
	var prometheus *fakePrometheus
	if exact {
		address := freeAddress(t)
		prometheus = newFakePrometheus()
		prometheus.listen(t, address)
		config += exactModeConfig(address)
	}
	path := exportertest.WriteFile(t, "config.yml", config)
	return func() *inProcess {
		r := followFile(t, path)
		r.prometheus = prometheus
		return r
	}
}

// awaitDelivered waits until an offset is committed. In the exact mode it takes scrapes.
func awaitDelivered(t *testing.T, r *inProcess, b broker, topic string, partition int32, want int64) {
	t.Helper()
	await(t, fmt.Sprintf("offset %d of %s/%d is committed", want, topic, partition), func() bool {
		r.scrape(t)
		return committed(t, b, topic, partition) == want
	})
}

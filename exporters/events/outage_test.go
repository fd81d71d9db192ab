package events_test

import (
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

// Whether the exporter is a member of the group, and why not.
const success = `consignwatch_collector_success{collector="stream",target="kafka"}`

func failures(reason string) string {
	return fmt.Sprintf(`consignwatch_collector_failures_total{collector="stream",reason=%q}`, reason)
}

func isDown(reason string) func(map[string]float64) bool {
	return func(got map[string]float64) bool {
		v, ok := got[success]
		return ok && v == 0 && got[failures(reason)] > 0
	}
}

// TestTheExporterStartsWithoutABrokerAndCatchesUp starts it while nothing listens on the broker's address.
func TestTheExporterStartsWithoutABrokerAndCatchesUp(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	r := follow(t, address, "")
	r.AwaitReady(t)
	r.scrapeFirst(t)
	got := r.awaitThat(t, "no broker", isDown("connection"))
	if v, ok := got[`consign_token_validations_total{result="valid"}`]; !ok || v != 0 {
		t.Errorf("a known series is %v, %v without a broker, want 0", v, ok)
	}
	b := startBroker(t, kafka.Config{Address: address})
	write(t, b, times(100, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 100, success: 1})
}

// TestTheExporterOutlivesItsBroker stops the broker while records are being counted, and starts it again.
func TestTheExporterOutlivesItsBroker(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	r := follow(t, b.Address(), "")
	write(t, b, times(100, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 100})
	awaitCommitted(t, b, telemetry, 0, 100)
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	got := r.awaitThat(t, "the broker has vanished", isDown("connection"))
	if got[requests("anna")] != 100 {
		t.Errorf("without the broker %v are shown, want what was counted", got[requests("anna")])
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, b, times(50, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 150, success: 1})
	awaitCommitted(t, b, telemetry, 0, 150)
}

// TestNothingIsCountedUntilTheStartOffsetIsKnown starts the exact mode while Prometheus does not answer.
func TestNothingIsCountedUntilTheStartOffsetIsKnown(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	write(t, b, times(100, request("anna"))...)
	address := freeAddress(t)
	r := follow(t, b.Address(), exactModeConfig(address))
	const why = "the start offset is not known yet, nothing is counted until it is"
	r.awaitLog(t, why)
	r.awaitThat(t, "no Prometheus", isDown("connection"))
	for range 5 {
		got := r.scrape(t)
		if n := got[requests("anna")]; n != 0 {
			t.Fatalf("%v requests are counted while Prometheus does not answer", n)
		}
		for name := range got {
			if strings.HasPrefix(name, "consignwatch_offset{") {
				t.Fatalf("%s is shown while it is not known", name)
			}
		}
	}
	if !strings.Contains(r.Log(), address) {
		t.Errorf("the log does not say which Prometheus:\n%s", tail(r.Log()))
	}
	r.prometheus = newFakePrometheus()
	r.prometheus.offsets[[3]string{telemetry, "0", ""}] = 40 // Prometheus has some of them from before
	r.prometheus.listen(t, address)
	r.await(t, map[string]float64{requests("anna"): 60, success: 1})
	r.shortenInterval()
	r.Stop() // while Prometheus is there
}

// exactModeConfig are the lines of a configuration of the exact mode.
func exactModeConfig(prometheus string) string {
	return fmt.Sprintf("resume_from: prometheus\nprometheus: {url: \"http://%s\", settle: 100ms}\n", prometheus)
}

// TestAStopWithoutPrometheusDoesNotWaitForIt ends an exporter that has counted nothing, because Prometheus was never
// there. It must not ask again, which it would do each second, and must not wait for anything to arrive there.
func TestAStopWithoutPrometheusDoesNotWaitForIt(t *testing.T) {
	t.Parallel()
	for what, address := range map[string]string{"refuses connections": freeAddress(t), "says nothing": silentListener(t).Addr().String()} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			const asked, partitions = "the start offset is not known yet", 6 // of the broker
			r := follow(t, startBroker(t, kafka.Config{}).Address(), exactModeConfig(address))
			// A question without an answer is told for each partition.
			await(t, "the end of a question", func() bool { return strings.Count(r.Log(), asked) >= partitions })
			before := strings.Count(r.Log(), asked)
			if code := r.Stop(); code != 0 {
				t.Errorf("exit code %d\n%s", code, tail(r.Log()))
			}
			if after := strings.Count(r.Log(), asked); after > before+partitions { // one question may have been on its way
				t.Errorf("what Prometheus did not answer after the stop was told %d times\n%s", after-before, tail(r.Log()))
			}
			for _, wait := range []string{"waiting for a last scrape", "partitions are held", "counters reset"} {
				if strings.Contains(r.Log(), wait) {
					t.Errorf("the log says: %s\n%s", wait, tail(r.Log()))
				}
			}
		})
	}
}

// TestAStopWaitsForPrometheusToHaveTheLastResponse has a Prometheus that is down when the exporter is asked to stop: it may have
// the last response, and the exporter waits for the answer until its own time is over. The brokers have nothing to do with it.
func TestAStopWaitsForPrometheusToHaveTheLastResponse(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{})
	prometheus := newUnreliablePrometheus(false)
	prometheus.comeUp()
	server := httptest.NewServer(prometheus)
	t.Cleanup(server.Close)
	r := follow(t, b.Address(), fmt.Sprintf("resume_from: prometheus\nprometheus: {url: %q, settle: 100ms}\n", server.URL), "--drain-timeout=8s")
	r.prometheus = prometheus.fakePrometheus
	write(t, b, times(10, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 10})
	prometheus.goDown()
	r.shortenInterval()
	if code := r.Stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(r.Log()))
	}
	for line, want := range map[string]bool{
		"partitions are held until Prometheus confirms the last scrape response": true,
		"Prometheus did not ingest the last scrape response, counters reset":     true,
		"the brokers do not answer": false,
	} {
		if got := strings.Contains(r.Log(), line); got != want {
			t.Errorf("the log says %q: %v, want %v\n%s", line, got, want, tail(r.Log()))
		}
	}
}

// silentListener accepts connections, and never sends anything.
func silentListener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestAStopDoesNotWaitForBrokersThatSayNothing ends an exporter whose broker has fallen silent.
func TestAStopDoesNotWaitForBrokersThatSayNothing(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, telemetry, commerce, integration))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	r := follow(t, cluster.ListenAddrs()[0], "")
	r.awaitThat(t, "it is a member", func(got map[string]float64) bool { return got[success] == 1 })
	silent := make(chan struct{})
	cluster.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		<-silent
		return nil, nil, false
	})
	if code := r.Stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail(r.Log()))
	}
	close(silent)
	if n := strings.Count(r.Log(), "the brokers do not answer, leaving the group without notice"); n != 1 {
		t.Errorf("the log says %d times that the brokers were not waited for, want once\n%s", n, tail(r.Log()))
	}
}

// TestATopicThatIsMissingDoesNotStopTheOthers names a topic that comes later.
func TestATopicThatIsMissingDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: 1}})
	write(t, b, times(10, request("anna"))...)
	r := follow(t, b.Address(), "")
	r.await(t, map[string]float64{requests("anna"): 10})
	r.awaitThat(t, "topics are missing", isDown("query"))
	r.awaitLog(t, commerce+": UNKNOWN_TOPIC_OR_PARTITION")
	r.awaitLog(t, integration+": UNKNOWN_TOPIC_OR_PARTITION")
	createTopic(t, b, commerce, 1)
	createTopic(t, b, integration, 1)
	write(t, b, order("1", "anna"))
	r.await(t, map[string]float64{orders("anna"): 1, requests("anna"): 10, success: 1})
}

func createTopic(t *testing.T, b broker, topic string, partitions int32) {
	t.Helper()
	admin := newAdmin(t, b)
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false); err != nil {
		t.Fatal(err)
	}
}

func newAdmin(t *testing.T, b broker) sarama.ClusterAdmin {
	t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{b.Address()}, sarama.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin.Close(); err != nil && !errors.Is(err, sarama.ErrClosedClient) {
			t.Error(err)
		}
	})
	return admin
}

// TestARecreatedTopicIsCountedFromItsBeginning deletes a topic while it is counted: the offset that was counted
// lies beyond the end of the new one.
func TestARecreatedTopicIsCountedFromItsBeginning(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: 1, commerce: 1, integration: 1}})
	write(t, b, times(100, request("anna"))...)
	write(t, b, order("1", "anna"))
	r := follow(t, b.Address(), "")
	r.await(t, map[string]float64{requests("anna"): 100, orders("anna"): 1})
	awaitCommitted(t, b, telemetry, 0, 100)
	if err := newAdmin(t, b).DeleteTopic(telemetry); err != nil {
		t.Fatal(err)
	}
	createTopic(t, b, telemetry, 1)
	write(t, b, times(30, request("anna"))...)
	write(t, b, order("2", "anna"))
	r.await(t, map[string]float64{requests("anna"): 130, orders("anna"): 2})
	awaitCommitted(t, b, telemetry, 0, 30)
	write(t, b, times(5, request("anna"))...)
	r.await(t, map[string]float64{requests("anna"): 135, orders("anna"): 2})
	r.Stop()

	// The next process begins where this one has ended.
	next := follow(t, b.Address(), "")
	write(t, b, request("bert"))
	next.await(t, map[string]float64{requests("bert"): 1, requests("anna"): 0})
}

// TestATopicThatIsRecreatedWhileTheExporterIsAway has a committed offset beyond the end of the new topic.
func TestATopicThatIsRecreatedWhileTheExporterIsAway(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kafka.Config{Topics: map[string]int32{telemetry: 1, commerce: 1, integration: 1}})
	write(t, b, times(30, request("anna"))...)
	address := freeAddress(t)
	prometheus := newFakePrometheus()
	prometheus.offsets[[3]string{telemetry, "0", "another topic"}] = 100
	prometheus.listen(t, address)
	r := follow(t, b.Address(), exactModeConfig(address))
	r.prometheus = prometheus
	r.await(t, map[string]float64{requests("anna"): 30})
	if !strings.Contains(r.Log(), "the topic was deleted and created again") {
		t.Errorf("the log does not say so:\n%s", tail(r.Log()))
	}
	await(t, "the offset of the new topic is committed", func() bool {
		r.scrape(t)
		return committed(t, b, telemetry, 0) == 30
	})
	r.Stop()

	// Prometheus has the old offset for days to come: the next process does not count the new topic again.
	next := follow(t, b.Address(), exactModeConfig(address))
	next.prometheus = prometheus
	write(t, b, request("bert"))
	next.await(t, map[string]float64{requests("bert"): 1, requests("anna"): 0})
}

package events_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/exporters/events"
	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/pkg/exporter/exportertest"
)

// Tests that need no kill -9 run the exporter inside the test, and are its scraper.

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := servers.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// startBroker starts a broker with the usual topics, of two partitions each.
func startBroker(t *testing.T, c kafka.Config) *kafka.Broker {
	t.Helper()
	if c.Topics == nil {
		c.Topics = map[string]int32{telemetry: 2, commerce: 2, integration: 2}
	}
	c.MinSessionTimeout = time.Second
	b, err := kafka.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

const (
	telemetry   = "consign.telemetry"
	commerce    = "consign.commerce"
	integration = "consign.integration"
)

// broker is where records are written: a kafka.Broker, or a fakeCluster.
type broker interface{ Address() string }

// record is one to be written.
type record struct {
	topic     string
	partition int32
	value     string
	headers   map[string]string
	key       string
}

// write writes records, and waits until the broker has them. It returns their offsets.
func write(t *testing.T, b broker, records ...record) []int64 {
	t.Helper()
	return writeWith(t, nil, b, records...)
}

// writeWith is write, with further options of the client, like a compression.
func writeWith(t *testing.T, options []kgo.Opt, b broker, records ...record) []int64 {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.Address()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(kafka.MaxRecordBytes),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	produced := make([]*kgo.Record, len(records))
	for i, r := range records {
		produced[i] = &kgo.Record{Topic: r.topic, Partition: r.partition, Value: []byte(r.value)}
		if r.key != "" {
			produced[i].Key = []byte(r.key)
		}
		for k, v := range r.headers {
			produced[i].Headers = append(produced[i].Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
		}
	}
	if err := client.ProduceSync(t.Context(), produced...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	offsets := make([]int64, len(records))
	for i, r := range produced {
		offsets[i] = r.Offset
	}
	return offsets
}

// structured is an event in structured mode.
func structured(id, typ, client, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/test","type":%q,"time":%q,"clientid":%q,"data":%s}`,
		id, typ, time.Now().UTC().Format(time.RFC3339Nano), client, data)
}

// request is an event that counts in consign_client_api_requests_total{client,code_class="2xx"}.
func request(client string) record {
	return record{topic: telemetry, value: structured("r", "consign.api.request", client, `{"route":"/items","method":"GET","status":200,"duration_seconds":0.25}`)}
}

func requests(client string) string {
	return fmt.Sprintf(`consign_client_api_requests_total{client=%q,code_class="2xx"}`, client)
}

// order is an event that counts once.
func order(id, client string) record {
	return record{topic: commerce, value: structured(id, "consign.order.placed", client, `{"event":"spring","channel":"pos","items":1,"amount_cents":1250,"currency":"USD"}`)}
}

func orders(client string) string {
	return fmt.Sprintf(`consign_orders_total{channel="pos",client=%q,event="spring"}`, client)
}

func times(n int, r record) []record {
	records := make([]record, n)
	for i := range records {
		records[i] = r
	}
	return records
}

// inProcess is an exporter in the test's process.
type inProcess struct {
	*exportertest.Running
	headers    []string        // of every scrape
	prometheus *fakePrometheus // ingests what was scraped; may be nil
}

// follow starts an exporter that follows a broker, with further lines of configuration.
func follow(t *testing.T, brokerAddress, more string, flags ...string) *inProcess {
	t.Helper()
	return followFile(t, exportertest.WriteFile(t, "config.yml", followConfig(brokerAddress, more)), flags...)
}

// anonymousScraper is who scrapes where a test is not about that.
const anonymousScraper = "scrapers: [{name: main, anonymous: true}]\n"

func followConfig(brokerAddress, more string) string {
	if !strings.Contains(more, "scrapers:") {
		more += anonymousScraper
	}
	return fmt.Sprintf("kafka: {brokers: [%q]}\n%s", brokerAddress, more)
}

func followFile(t *testing.T, path string, flags ...string) *inProcess {
	t.Helper()
	r := &inProcess{Running: exportertest.StartFile(t, events.App(), path, append([]string{"--log.level=debug"}, flags...)...)}
	t.Cleanup(r.shortenInterval)
	return r
}

// shortenInterval scrapes twice in a short time, so that the exporter does not wait long for a last scrape.
func (r *inProcess) shortenInterval() {
	for range 2 {
		req, err := http.NewRequest(http.MethodGet, r.URL+"/metrics?scraper=main", nil)
		if err != nil {
			return
		}
		setHeaders(req, r.headers)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			r.prometheus.ingest(string(body))
		}
	}
}

func setHeaders(req *http.Request, headers []string) {
	req.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	req.Header.Set("Accept-Encoding", "identity") // compression under the race detector takes longer than all else
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
}

// scrape is a scrape that counts as delivered.
func (r *inProcess) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	return r.gather(t, "/metrics?scraper=main")
}

// scrapeFirst is the first scrape of a process, which shows nothing of what was counted.
func (r *inProcess) scrapeFirst(t *testing.T) {
	t.Helper()
	for series := range r.scrape(t) {
		if strings.HasPrefix(series, "consign_") {
			t.Fatalf("the first scrape response shows %s", series)
		}
	}
}

// gather scrapes, and returns the exposition as a map from series to value; of a histogram it has the count and the sum.
func (r *inProcess) gather(t *testing.T, path string) map[string]float64 {
	t.Helper()
	body := get(t, r.URL+path, r.headers)
	if strings.Contains(path, "scraper=main") {
		r.prometheus.ingest(body)
	}
	return series(t, body)
}

// get scrapes in protobuf.
func get(t *testing.T, url string, headers []string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	setHeaders(req, headers)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", url, resp.Status, err)
	}
	return string(body)
}

func series(t *testing.T, body string) map[string]float64 {
	t.Helper()
	families, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, mf := range families {
		for _, m := range mf.Metric {
			switch {
			case m.Histogram != nil:
				values[exportertest.Name(mf.GetName()+"_count", m)] = float64(m.Histogram.GetSampleCount())
				values[exportertest.Name(mf.GetName()+"_sum", m)] = m.Histogram.GetSampleSum()
			case m.Counter != nil:
				values[exportertest.Name(mf.GetName(), m)] = m.Counter.GetValue()
			default:
				values[exportertest.Name(mf.GetName(), m)] = m.Gauge.GetValue()
			}
		}
	}
	return values
}

// decode reads an exposition in protobuf.
func decode(body string) ([]*dto.MetricFamily, error) {
	var families []*dto.MetricFamily
	dec := expfmt.NewDecoder(strings.NewReader(body), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		mf := &dto.MetricFamily{}
		if err := dec.Decode(mf); errors.Is(err, io.EOF) {
			return families, nil
		} else if err != nil {
			return nil, err
		}
		families = append(families, mf)
	}
}

// await scrapes until the values of all series are there, at most a minute.
func (r *inProcess) await(t *testing.T, want map[string]float64) map[string]float64 {
	t.Helper()
	return r.awaitThat(t, fmt.Sprint(want), func(got map[string]float64) bool {
		for name, v := range want {
			if got[name] != v {
				return false
			}
		}
		return true
	})
}

func (r *inProcess) awaitThat(t *testing.T, what string, done func(map[string]float64) bool) map[string]float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got := r.scrape(t)
		if done(got) {
			return got
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			var own []string
			for name, v := range got {
				if v != 0 && (strings.HasPrefix(name, "consign_") || strings.HasPrefix(name, "consignwatch_")) {
					own = append(own, fmt.Sprintln(name, v))
				}
			}
			t.Fatalf("not within a minute: %s\n%s\n%s", what, tail(r.Log()), strings.Join(own, ""))
		}
	}
}

// awaitLog waits until the log holds a text.
func (r *inProcess) awaitLog(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !strings.Contains(r.Log(), text) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the log does not say within a minute: %s\n%s", text, tail(r.Log()))
		}
	}
}

// tail is the end of a log.
func tail(log string) string { return log[max(0, len(log)-4000):] }

// committed is the offset that the group has committed for a partition, -1 when there is none.
func committed(t *testing.T, b broker, topic string, partition int32) int64 {
	t.Helper()
	admin, err := sarama.NewClusterAdmin([]string{b.Address()}, sarama.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	offsets, err := admin.ListConsumerGroupOffsets("consignwatch-events", map[string][]int32{topic: {partition}})
	if err != nil {
		t.Fatal(err)
	}
	return offsets.GetBlock(topic, partition).Offset
}

// awaitCommitted waits until an offset is committed.
func awaitCommitted(t *testing.T, b broker, topic string, partition int32, want int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got := committed(t, b, topic, partition)
		if got == want {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s/%d: offset %d is committed, want %d", topic, partition, got, want)
		}
	}
}

package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/consignwatch/consignwatch/pkg/platform"
	"github.com/consignwatch/consignwatch/pkg/servers"
	"github.com/consignwatch/consignwatch/pkg/servers/kafka"
)

// cluster is a broker, a Prometheus that scrapes, and exporters as processes that can be killed.
type cluster struct {
	broker     *kafka.Broker
	prometheus *servers.Process
	api        prometheusv1.API
	dir        string
	session    string // timeout of the members
	books      *books

	exporters map[string]*servers.Process // by name
	proxies   map[string]*scrapeProxy     // by name; scrapes of these exporters go through them
}

// newCluster starts broker and Prometheus. The exporters are targets of the job event-exporter, by file.
func newCluster(t *testing.T, scrapeInterval time.Duration) *cluster {
	t.Helper()
	broker, err := kafka.Start(t.Context(), kafka.Config{Topics: platform.Topics(), MinSessionTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	c := &cluster{broker: broker, dir: t.TempDir(), session: "3s", exporters: map[string]*servers.Process{}, proxies: map[string]*scrapeProxy{}, books: newBooks()}
	c.writeTargets(t)
	c.prometheus, err = servers.StartPrometheus(t.Context(), t.TempDir(), servers.PrometheusConfig{Text: func(string) (string, error) {
		return fmt.Sprintf(`
global: {scrape_interval: %s, scrape_timeout: %s}
scrape_configs:
  - job_name: event-exporter
    params: {scraper: [main]}
    scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0]
    file_sd_configs: [{files: [%s/targets.json], refresh_interval: 200ms}]
`, model.Duration(scrapeInterval), model.Duration(scrapeInterval), c.dir), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.prometheus.Kill() })
	client, err := api.NewClient(api.Config{Address: c.prometheus.URL()})
	if err != nil {
		t.Fatal(err)
	}
	c.api = prometheusv1.NewAPI(client)
	return c
}

func (c *cluster) writeTargets(t *testing.T) {
	t.Helper()
	type group struct {
		Targets []string `json:"targets"`
	}
	g := group{Targets: []string{}}
	for _, name := range slices.Sorted(maps.Keys(c.exporters)) {
		address := c.exporters[name].Address()
		if p := c.proxies[name]; p != nil {
			address = p.server.Listener.Addr().String()
		}
		g.Targets = append(g.Targets, address)
	}
	text, err := json.Marshal([]group{g})
	if err != nil {
		t.Fatal(err)
	}
	// Written beside and renamed, so that Prometheus never reads half of it.
	if err := os.WriteFile(filepath.Join(c.dir, "targets.new"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(c.dir, "targets.new"), filepath.Join(c.dir, "targets.json")); err != nil {
		t.Fatal(err)
	}
}

// start runs an exporter under a name, which is also its instance id.
func (c *cluster) start(t *testing.T, name, resume string) *servers.Process {
	t.Helper()
	return c.startAs(t, name, resume, false)
}

// startBehindProxy is start, with a proxy that Prometheus scrapes the exporter through.
func (c *cluster) startBehindProxy(t *testing.T, name, resume string) (*servers.Process, *scrapeProxy) {
	t.Helper()
	return c.startAs(t, name, resume, true), c.proxies[name]
}

func (c *cluster) startAs(t *testing.T, name, resume string, behindProxy bool) *servers.Process {
	t.Helper()
	config := filepath.Join(c.dir, name+".yml")
	text := fmt.Sprintf(`
kafka: {brokers: [%q], group: events, instance_id: %s, session_timeout: %s}
resume_from: %s
prometheus: {url: %q, settle: 500ms, matchers: {job: event-exporter}}
`, c.broker.Address(), name, c.session, resume, c.prometheus.URL())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := servers.StartHTTP(t.Context(), c.dir, servers.HTTPServer{
		Name: "event-exporter " + name, Executable: "event-exporter", Ready: "/-/healthy",
		Args: func(address string) []string {
			return []string{"--config.file=" + config, "--web.listen-address=" + address, "--log.level=debug"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Kill() })
	c.exporters[name] = p
	if behindProxy {
		c.proxies[name] = newScrapeProxy(t, p.Address())
	}
	c.writeTargets(t)
	return p
}

// books are what was produced: the value that every counter must have in the end.
type books struct {
	mu     sync.Mutex
	want   map[string]float64 // series to value; money in minor units
	end    map[string]int64   // topic/partition to the offset after the last record
	number int
}

func newBooks() *books { return &books{want: map[string]float64{}, end: map[string]int64{}} }

// produce writes events until stop is called, or ctx ends.
func (c *cluster) produce(ctx context.Context, t *testing.T, pause time.Duration) (stop func()) {
	t.Helper()
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.Idempotent = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Retry.Max = 100
	config.Net.MaxOpenRequests = 1
	config.Producer.Partitioner = sarama.NewManualPartitioner
	p, err := sarama.NewSyncProducer([]string{c.broker.Address()}, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.Close()
		for ctx.Err() == nil {
			var batch []*sarama.ProducerMessage
			for range 50 {
				batch = append(batch, c.books.next())
			}
			if err := p.SendMessages(batch); err != nil {
				t.Errorf("produce: %v", err)
				return
			}
			c.books.written(batch)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-done }
}

// next makes an event and enters what it must add.
func (b *books) next() *sarama.ProducerMessage {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	n := b.number
	client := fmt.Sprintf("client-%d", n%7)
	add := func(v float64, series string, args ...any) { b.want[fmt.Sprintf(series, args...)] += v }
	event := func(topic, typ, id, data string) *sarama.ProducerMessage {
		return &sarama.ProducerMessage{Topic: topic, Partition: int32(n / 3 % 4), Value: sarama.StringEncoder(fmt.Sprintf(
			`{"specversion":"1.0","id":%q,"source":"/test/%d","type":%q,"time":%q,"clientid":%q,"datacontenttype":"application/json","data":%s}`,
			id, n/3%4, typ, time.Now().UTC().Format(time.RFC3339Nano), client, data))}
	}
	id := fmt.Sprint("e", n)
	switch n % 3 {
	case 0:
		if n%30 == 0 && n > 300 { // the same order again: 300 events later, on the same partition only when the numbers fit
			id = fmt.Sprint("e", n-12*3)
			return event("consign.commerce", "consign.order.placed", id, orderData(n-12*3))
		}
		m := n
		cents := orderCents(m)
		add(1, `consign_orders_total{channel="online",client=%q,event="spring"}`, client)
		add(float64(cents), `consign_sales_amount_total{client=%q,currency="USD",event="spring"}`, client)
		add(float64(cents), `consign_order_amount_sum{currency="USD"}`)
		add(1, `consign_order_amount_count{currency="USD"}`)
		return event("consign.commerce", "consign.order.placed", id, orderData(m))
	case 1:
		add(1, `consign_api_requests_total{code="200",method="GET",route="/items"}`)
		add(1, `consign_client_api_requests_total{client=%q,code_class="2xx"}`, client)
		add(1, `consign_api_request_duration_seconds_count{route="/items"}`)
		return event("consign.telemetry", "consign.api.request", id, `{"route":"/items","method":"GET","status":200,"duration_seconds":0.0625}`)
	}
	add(1, `consign_token_validations_total{result="valid"}`)
	return event("consign.integration", "consign.auth.token", id, `{"result":"valid"}`)
}

func orderCents(n int) int { return n%9973 + 1 }

func orderData(n int) string {
	return fmt.Sprintf(`{"event":"spring","channel":"online","items":2,"amount_cents":%d,"currency":"USD"}`, orderCents(n))
}

func (b *books) written(batch []*sarama.ProducerMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range batch {
		k := fmt.Sprintf("%s/%d", m.Topic, m.Partition)
		b.end[k] = max(b.end[k], m.Offset+1)
	}
}

// awaitCounted waits until Prometheus has the offsets of everything that was produced.
func (c *cluster) awaitCounted(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		value, _, _, err := c.api.Query(ctx, `max by (topic, partition) (last_over_time(consignwatch_offset[1h]))`, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		missing := maps.Clone(c.books.end)
		for _, s := range value.(model.Vector) {
			k := fmt.Sprintf("%s/%s", s.Metric["topic"], s.Metric["partition"])
			if int64(s.Value) >= missing[k] {
				delete(missing, k)
			}
		}
		if len(missing) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			for name, p := range c.exporters {
				t.Logf("%s:\n%s", name, p.LogTail())
			}
			t.Fatalf("not counted within two minutes: %v, Prometheus has %v", missing, value)
		}
	}
}

// increases sums what each series has grown by since ever, from raw samples with their resets, over all instances.
func (c *cluster) increases(t *testing.T) map[string]float64 {
	t.Helper()
	sums := map[string]float64{}
	value, _, _, err := c.api.Query(t.Context(), `{__name__=~"consign_.+|consignwatch_records_total", __name__!~".+_bucket"}[1h]`, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range value.(model.Matrix) {
		labels := maps.Clone(s.Metric)
		name := string(labels[model.MetricNameLabel])
		for _, l := range []model.LabelName{model.MetricNameLabel, "instance", "job"} {
			delete(labels, l)
		}
		before := 0.0
		sum := 0.0
		for _, v := range s.Values {
			now := float64(v.Value)
			if now < before {
				before = 0 // a reset: the new process began at 0
			}
			sum += now - before
			before = now
		}
		sums[name+seriesLabels(model.LabelSet(labels))] += sum
	}
	return sums
}

// counted is increases in the units of the test's own books.
func (c *cluster) counted(t *testing.T) map[string]float64 {
	t.Helper()
	sums := c.increases(t)
	for series := range sums {
		if money(series) {
			sums[series] *= 100
		}
	}
	return sums
}

func seriesLabels(l model.LabelSet) string {
	if len(l) == 0 {
		return ""
	}
	return strings.ReplaceAll(l.String(), ", ", ",")
}

// money is what the test's own books hold in minor units.
func money(series string) bool {
	return strings.HasPrefix(series, "consign_sales_amount") || strings.HasPrefix(series, "consign_order_amount_sum")
}

// check compares the increases with the books.
func (c *cluster) check(t *testing.T) {
	t.Helper()
	got := c.counted(t)
	wrong := 0
	for _, series := range slices.Sorted(maps.Keys(c.books.want)) {
		if want := c.books.want[series]; math.Round(got[series]) != want || math.Abs(got[series]-want) > 1e-3 {
			wrong++
			t.Errorf("%s increased by %.4f, produced were %.0f (%+.0f)", series, got[series], want, got[series]-want)
		}
	}
	t.Logf("%d events, %d series compared, %d wrong", c.books.number, len(c.books.want), wrong)
}

package events_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheusv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
	"github.com/consignwatch/consignwatch/simulator"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// cluster is a broker, a Prometheus that scrapes, and exporters as processes that can be killed.
type cluster struct {
	broker     *kafka.Broker
	prometheus *servers.Process
	api        prometheusv1.API
	dir        string
	session    string // timeout of the members
	expected   *expectedCounters
	world

	exporters map[string]*servers.Process // by name
	scrapes   map[string]*proxy           // by name; Prometheus scrapes the exporters through them
	questions map[string]*proxy           // by name; the exporters ask Prometheus through them
	given     givenResponses
}

// world is what kind of members the exporters are, and of stream they count.
type world struct {
	dynamic       bool // members have no instance id
	transactions  bool // all is written in transactions, and a third of it in one that is aborted before
	defaultSettle bool // the exporters wait for what may be on its way to Prometheus as long as they do by default
}

// partitions is how many partitions the topics of the event stream have together.
func partitions() int {
	n := 0
	for _, p := range stream.Topics() {
		n += int(p)
	}
	return n
}

// newCluster starts broker and Prometheus. The exporters are targets of the job event-exporter, by file.
func newCluster(t *testing.T, scrapeInterval time.Duration) *cluster {
	t.Helper()
	broker, err := kafka.Start(t.Context(), kafka.Config{Topics: simulator.Topics(), MinSessionTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	c := &cluster{
		broker: broker, dir: t.TempDir(), session: "3s", expected: newExpectedCounters(),
		exporters: map[string]*servers.Process{}, scrapes: map[string]*proxy{}, questions: map[string]*proxy{},
	}
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
	t.Cleanup(func() { c.explain(t) })
	return c
}

// explain logs, when the test has failed, what the exporters have logged last, and how the scrapes went.
func (c *cluster) explain(t *testing.T) {
	if !t.Failed() {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.exporters)) {
		t.Logf("%s:\n%s", name, c.exporters[name].LogTail())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the test's own has ended
	defer cancel()
	if client, err := kgo.NewClient(kgo.SeedBrokers(c.broker.Address())); err == nil {
		defer client.Close()
		groups, err := kadm.NewClient(client).DescribeGroups(ctx, "events")
		t.Logf("group: %+v %v", groups, err)
	}
	scrapes, _, _, err := c.api.Query(ctx, `{__name__=~"up|scrape_duration_seconds"}[1h]`, time.Time{})
	t.Logf("scrapes: %v\n%v", err, scrapes)
}

func (c *cluster) writeTargets(t *testing.T) {
	t.Helper()
	type group struct {
		Targets []string `json:"targets"`
	}
	g := group{Targets: []string{}}
	for _, name := range slices.Sorted(maps.Keys(c.exporters)) {
		g.Targets = append(g.Targets, c.instance(name))
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

// instance is where Prometheus scrapes an exporter.
func (c *cluster) instance(name string) string {
	if p := c.scrapes[name]; p != nil {
		return p.server.Listener.Addr().String()
	}
	return c.exporters[name].Address()
}

// start runs an exporter under a name, which is also its instance id, unless the world has dynamic members.
func (c *cluster) start(t *testing.T, name, resume string) *servers.Process {
	t.Helper()
	p, _ := c.startBehindProxies(t, name, resume)
	return p
}

// startBehindProxies is start. It also returns the proxy that Prometheus scrapes the exporter through.
func (c *cluster) startBehindProxies(t *testing.T, name, resume string) (*servers.Process, *proxy) {
	t.Helper()
	c.questions[name] = newProxy(t, c.prometheus.Address(), hooks{before: c.awaitIngestion})
	p := c.run(t, name, resume, c.questions[name].server.URL)
	c.scrapes[name] = newProxy(t, p.Address(), hooks{whole: c.given.add})
	c.writeTargets(t)
	return p, c.scrapes[name]
}

// givenResponses are the scrape responses that Prometheus was given whole, and has not ingested as far as is known: by instance, when the request before
// came, and when the last one did.
type givenResponses struct {
	mu        sync.Mutex
	instances map[string][2]time.Time
}

func (g *givenResponses) add(instance string, requested time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.instances == nil {
		g.instances = map[string][2]time.Time{}
	}
	g.instances[instance] = [2]time.Time{g.instances[instance][1], requested}
}

// awaitIngestion waits, before a question of an exporter, until Prometheus has ingested the scrape responses that it was given. Exporters wait for
// prometheus.settle: half a second here, which is not always enough on a busy machine, and what comes later is counted twice (docs/event-exporter.md).
func (c *cluster) awaitIngestion(ctx context.Context) {
	c.given.mu.Lock()
	given := maps.Clone(c.given.instances)
	c.given.mu.Unlock()
	for instance, at := range given {
		for {
			up, _, _, err := c.api.Query(ctx, fmt.Sprintf("timestamp(up{instance=%q})", instance), time.Time{})
			v, ok := up.(model.Vector)
			if err != nil || !ok { // the exporter will not be answered, either
				return
			}
			// A scrape has the time when it was due, which is after the request of the one before came.
			if len(v) == 1 && time.UnixMilli(int64(v[0].Value*1000)).After(at[0]) {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

func (c *cluster) run(t *testing.T, name, resume, prometheus string) *servers.Process {
	t.Helper()
	config := filepath.Join(c.dir, name+".yml")
	instance, settle := "instance_id: "+name+", ", "settle: 500ms, "
	if c.dynamic {
		instance = ""
	}
	if c.defaultSettle {
		settle = ""
	}
	text := fmt.Sprintf(`
kafka: {brokers: [%q], group: events, %ssession_timeout: %s}
resume_from: %s
scrapers: [{name: main, anonymous: true}]
prometheus: {url: %q, %smatchers: {job: event-exporter}}
`, c.broker.Address(), instance, c.session, resume, prometheus, settle)
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
	return p
}

// await looks again and again until done says so, at most two minutes.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited for two minutes in vain: %s", what)
		}
	}
}

// delivered is what an exporter says it has delivered: the offsets of its partitions in the exposition for readers that are no scraper.
func delivered(t *testing.T, p *servers.Process) map[string]int64 {
	t.Helper()
	return offsets(acknowledgedSeries(t, p))
}

// offsets are those of an exposition, by topic/partition.
func offsets(page map[string]float64) map[string]int64 {
	offsets := map[string]int64{}
	for name, v := range page {
		if m := offsetSeries.FindStringSubmatch(name); m != nil {
			offsets[m[2]+"/"+m[1]] = int64(v)
		}
	}
	return offsets
}

var offsetSeries = regexp.MustCompile(`^consignwatch_offset\{partition="(\d+)",topic="([^"]+)",topic_id="[^"]+"\}$`)

// awaitPartitions waits until an exporter has partitions.
func awaitPartitions(t *testing.T, p *servers.Process) {
	t.Helper()
	await(t, p.Name()+" has partitions", func() bool { return len(delivered(t, p)) > 0 })
}

// awaitMembers waits until these exporters share all partitions, and each has some.
func (c *cluster) awaitMembers(t *testing.T, names ...string) {
	t.Helper()
	await(t, fmt.Sprint("these share the partitions: ", names), func() bool {
		owned := map[string]bool{}
		sum := 0
		for _, name := range names {
			own := delivered(t, c.exporters[name])
			if len(own) == 0 {
				return false
			}
			for partition := range own {
				owned[partition] = true
			}
			sum += len(own)
		}
		return len(owned) == partitions() && sum == partitions() // no exporter exposes one that another has taken over
	})
}

// awaitRead waits until an exporter that has all partitions has counted what was written before it started. That may not be delivered yet.
func (c *cluster) awaitRead(t *testing.T, name string) {
	t.Helper()
	await(t, name+" has counted everything", func() bool {
		page := acknowledgedSeries(t, c.exporters[name])
		for topic, n := range stream.Topics() {
			for partition := range n {
				if lag, known := page[fmt.Sprintf(`consignwatch_records_lag{partition="%d",topic=%q}`, partition, topic)]; !known || lag > 0 {
					return false
				}
			}
		}
		return true
	})
}

// newest is the time of the newest record of each topic that an exporter has counted since it took its partitions up, delivered or not.
func newest(t *testing.T, p *servers.Process) map[string]float64 {
	t.Helper()
	page := acknowledgedSeries(t, p)
	times := map[string]float64{}
	for topic := range stream.Topics() {
		times[topic] = page[fmt.Sprintf(`consignwatch_last_record_timestamp_seconds{topic=%q}`, topic)]
	}
	return times
}

// awaitNewer waits until an exporter has counted a newer record of each topic than these.
func awaitNewer(t *testing.T, p *servers.Process, than map[string]float64) {
	t.Helper()
	await(t, p.Name()+" counts records of each topic", func() bool {
		for topic, at := range newest(t, p) {
			if at <= than[topic] {
				return false
			}
		}
		return true
	})
}

// recordsCounted is how many records an exporter has counted and delivered since its start.
func recordsCounted(t *testing.T, p *servers.Process) float64 {
	t.Helper()
	page := acknowledgedSeries(t, p)
	sum := 0.0
	for topic := range stream.Topics() {
		sum += page[fmt.Sprintf(`consignwatch_records_total{outcome="counted",topic=%q}`, topic)]
	}
	return sum
}

// awaitDelivery waits until an exporter has delivered more than now.
func awaitDelivery(t *testing.T, p *servers.Process) {
	t.Helper()
	before := recordsCounted(t, p)
	await(t, p.Name()+" delivers more", func() bool { return recordsCounted(t, p) > before })
}

// awaitIngested waits until Prometheus has all that an exporter has delivered. Nothing is written meanwhile.
func (c *cluster) awaitIngested(t *testing.T, name string) {
	t.Helper()
	query := fmt.Sprintf(`sum(consignwatch_records_total{outcome="counted",instance=%q})`, c.instance(name))
	await(t, "Prometheus has what "+name+" has delivered", func() bool {
		v, _, _, err := c.api.Query(t.Context(), query, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		sum := v.(model.Vector)
		return len(sum) == 1 && float64(sum[0].Value) == recordsCounted(t, c.exporters[name])
	})
}

// killDuringQuery makes the group rebalance, and kills an exporter behind proxies in the middle of that: when it has asked Prometheus what was ingested, has no
// answer yet, and the time has come.
func (c *cluster) killDuringQuery(t *testing.T, name string, rebalance func(), now func() bool) {
	t.Helper()
	queries := c.questions[name]
	queries.reject(true) // none is missed: the exporter asks again
	defer queries.reject(false)
	rebalance()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for killed := false; !killed; {
		if ctx.Err() != nil {
			t.Fatalf("%s asked Prometheus for two minutes, and never at the moment to be killed", name)
		}
		queries.next(t, 1, func() {
			if now() {
				kill(t, c.exporters[name])
				killed = true
			}
		})
	}
}

// heldBack reports whether some partitions are nobody's: the member that is to give them up holds them until Prometheus has what it has exposed of them, and
// the group assigns them to another one after that.
func (c *cluster) heldBack(t *testing.T) bool {
	t.Helper()
	groups, err := newAdmin(t, c.broker).DescribeConsumerGroups([]string{"events"})
	if err != nil {
		t.Fatal(err)
	}
	owned := 0
	for _, member := range groups[0].Members {
		assignment, err := member.GetMemberAssignment()
		if err != nil {
			t.Fatal(err)
		}
		if assignment == nil { // there is none before the group has one
			continue
		}
		for _, own := range assignment.Topics {
			owned += len(own)
		}
	}
	return groups[0].State == "Stable" && owned < partitions()
}

// expectedCounters are the value that every counter must have in the end, from what was produced.
type expectedCounters struct {
	mu     sync.Mutex
	want   map[string]float64 // series to value; money in minor units
	end    map[string]int64   // topic/partition to the offset after the last record
	number int
	whole  int // the number after which all topics hold all events
}

func newExpectedCounters() *expectedCounters {
	return &expectedCounters{want: map[string]float64{}, end: map[string]int64{}}
}

// producer writes batches of events, and adds to the expected counters what they must add.
type producer struct {
	*kgo.Client
	expected     *expectedCounters
	transactions bool
	batches      int
}

func (c *cluster) newProducer(t *testing.T) *producer {
	t.Helper()
	options := []kgo.Opt{kgo.SeedBrokers(c.broker.Address()), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	if c.transactions {
		options = append(options, kgo.TransactionalID("producer"))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	return &producer{client, c.expected, c.transactions, 0}
}

func (p *producer) write(ctx context.Context) error {
	p.batches++
	batch := make([]*kgo.Record, 50)
	for i := range batch {
		batch[i] = p.expected.next()
	}
	if p.transactions && p.batches%3 == 0 { // the same events come after it: an order that was aborted must not make them duplicates
		aborted := make([]*kgo.Record, len(batch))
		for i, r := range batch {
			aborted[i] = &kgo.Record{Topic: r.Topic, Partition: r.Partition, Value: r.Value}
		}
		if err := p.send(ctx, aborted, kgo.TryAbort); err != nil {
			return err
		}
	}
	if err := p.send(ctx, batch, kgo.TryCommit); err != nil {
		return err
	}
	p.expected.written(batch)
	return nil
}

func (p *producer) send(ctx context.Context, batch []*kgo.Record, end kgo.TransactionEndTry) error {
	if p.transactions {
		if err := p.BeginTransaction(); err != nil {
			return fmt.Errorf("begin a transaction: %w", err)
		}
	}
	if err := p.ProduceSync(ctx, batch...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	if p.transactions {
		if err := p.EndTransaction(ctx, end); err != nil {
			return fmt.Errorf("end a transaction: %w", err)
		}
	}
	return nil
}

// write writes so many batches of events.
func (c *cluster) write(t *testing.T, batches int) {
	t.Helper()
	p := c.newProducer(t)
	defer p.Close()
	for range batches {
		if err := p.write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// produce writes events until stop is called, or the test ends.
func (c *cluster) produce(t *testing.T) (stop func()) {
	t.Helper()
	const pause = 20 * time.Millisecond
	p := c.newProducer(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.Close()
		for ctx.Err() == nil {
			if err := p.write(t.Context()); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-done }
}

// next makes an event and adds what it must add.
func (e *expectedCounters) next() *kgo.Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.number++
	n := e.number
	client := fmt.Sprintf("client-%d", n%7)
	add := func(v float64, series string, args ...any) { e.want[fmt.Sprintf(series, args...)] += v }
	event := func(topic, typ, id, data string) *kgo.Record {
		return &kgo.Record{Topic: topic, Partition: int32(n / 3 % 4), Value: fmt.Appendf(nil,
			`{"specversion":"1.0","id":%q,"source":"/test/%d","type":%q,"time":%q,"clientid":%q,"datacontenttype":"application/json","data":%s}`,
			id, n/3%4, typ, time.Now().UTC().Format(time.RFC3339Nano), client, data)}
	}
	id := fmt.Sprint("e", n)
	switch n % 3 {
	case 0:
		if n%30 == 0 && n > e.whole+300 { // the same order again: 300 events later, on the same partition only when the numbers fit
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

func (e *expectedCounters) written(batch []*kgo.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range batch {
		k := fmt.Sprintf("%s/%d", m.Topic, m.Partition)
		e.end[k] = max(e.end[k], m.Offset+1)
	}
}

// recreate deletes a topic and creates it again. All of it is counted, and nothing is written to it meanwhile.
func (c *cluster) recreate(t *testing.T, topic string) {
	t.Helper()
	recreate(t, c.broker, topic, stream.Topics()[topic])
	c.expected.mu.Lock()
	defer c.expected.mu.Unlock()
	maps.DeleteFunc(c.expected.end, func(partition string, _ int64) bool { return strings.HasPrefix(partition, topic+"/") })
	c.expected.whole = c.expected.number
}

// topicIDs are the ids of the topics, as consignwatch_offset has them.
func (c *cluster) topicIDs(t *testing.T) map[string]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.broker.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for name, topic := range topics {
		ids[name] = base64.RawURLEncoding.EncodeToString(topic.ID[:])
	}
	return ids
}

// awaitCounted waits until Prometheus has the offsets of everything that was produced.
func (c *cluster) awaitCounted(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	ids := c.topicIDs(t)
	for {
		value, _, _, err := c.api.Query(t.Context(), `max by (topic, topic_id, partition) (last_over_time(consignwatch_offset[1h]))`, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		missing := maps.Clone(c.expected.end)
		for _, s := range value.(model.Vector) {
			k := fmt.Sprintf("%s/%s", s.Metric["topic"], s.Metric["partition"])
			if string(s.Metric["topic_id"]) == ids[string(s.Metric["topic"])] && int64(s.Value) >= missing[k] {
				delete(missing, k)
			}
		}
		if len(missing) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
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

// counted is increases in the units of the expected counters.
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

// money reports whether the expected counter is in minor units.
func money(series string) bool {
	return strings.HasPrefix(series, "consign_sales_amount") || strings.HasPrefix(series, "consign_order_amount_sum")
}

// check compares the increases with the expected counters.
func (c *cluster) check(t *testing.T) {
	t.Helper()
	got := c.counted(t)
	wrong := 0
	for _, series := range slices.Sorted(maps.Keys(c.expected.want)) {
		if want := c.expected.want[series]; math.Round(got[series]) != want || math.Abs(got[series]-want) > 1e-3 {
			wrong++
			t.Errorf("%s increased by %.4f, produced were %.0f (%+.0f)", series, got[series], want, got[series]-want)
		}
	}
	t.Logf("%d events, %d series compared, %d wrong", c.expected.number, len(c.expected.want), wrong)
}

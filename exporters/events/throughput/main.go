// Command throughput measures how fast the event-exporter counts, side by side with its upper bounds and with what it
// replaces, in one run on one machine:
//
//	fetch        franz-go alone: records are fetched and thrown away
//	events       the event-exporter
//	predecessor  another event-exporter, the program that --predecessor names
//	plain        the exporter that one would write first: sarama, encoding/json, CounterVec
//
// Each is a process of its own, as is the broker. `make bench` runs it; docs/performance.md has the numbers.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/exporters/events"
	"github.com/consignwatch/consignwatch/pkg/demo/servers/kafka"
)

const (
	topic         = "consign.telemetry"
	partitions    = 4
	listenAddress = "127.0.0.1:29474" // of the exporters
	clients       = 360
	routes        = 20
)

func main() {
	app := kingpin.New("throughput", "Measures the event-exporter.")
	count := app.Flag("events", "Events to count.").Default("3000000").Int()
	rounds := app.Flag("rounds", "How often each is measured; the best counts.").Default("3").Int()
	predecessor := app.Flag("predecessor", "Another event-exporter to measure in the same rounds: a program.").String()
	role := app.Flag("role", "Which of the processes to be.").Hidden().String()
	broker := app.Flag("broker", "Address of the broker.").Hidden().String()
	config := app.Flag("config.file", "Configuration of the event-exporter.").Hidden().String()
	kingpin.MustParse(app.Parse(os.Args[1:]))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var err error
	switch *role {
	case "broker":
		err = serveBroker(ctx)
	case "fetch":
		err = fetch(ctx, *broker, *count)
	case "plain":
		err = consume(ctx, *broker, "plain", *count, newPlain().count)
	case "events":
		os.Exit(events.App().Run(ctx, []string{"--config.file", *config, "--web.listen-address", listenAddress, "--log.level", "error"}, os.Stdout, os.Stderr, nil))
	default:
		err = measure(ctx, *count, *rounds, *predecessor)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "throughput:", err)
		os.Exit(1)
	}
}

func serveBroker(ctx context.Context) error {
	b, err := kafka.Start(ctx, kafka.Config{Topics: map[string]int32{topic: partitions}, RetainedBytes: 1 << 30})
	if err != nil {
		return err
	}
	defer b.Close()
	fmt.Println(b.Address())
	<-ctx.Done()
	return nil
}

// child starts this program in another role.
func child(ctx context.Context, args ...string) (*exec.Cmd, *bufio.Scanner, error) {
	return start(ctx, os.Args[0], args...)
}

func start(ctx context.Context, program string, args ...string) (*exec.Cmd, *bufio.Scanner, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, bufio.NewScanner(out), cmd.Start()
}

// result is what one process needed.
type result struct {
	wall, cpu time.Duration
	peak      int64 // resident bytes
	series    int   // in the scrape response of the event-exporter
}

func measure(ctx context.Context, count, rounds int, predecessor string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b, lines, err := child(ctx, "--role=broker")
	if err != nil {
		return err
	}
	defer func() { cancel(); b.Wait() }()
	if !lines.Scan() {
		return fmt.Errorf("the broker did not start")
	}
	address := lines.Text()
	fmt.Printf("producing %d events\n", count)
	size, err := produce(ctx, address, count)
	if err != nil {
		return err
	}
	roles := []string{"fetch", "events", "plain"}
	if predecessor != "" {
		roles = []string{"fetch", "events", "predecessor", "plain"}
	}
	best := map[string]result{}
	for round := range rounds {
		for _, role := range roles {
			r, err := run(ctx, address, role, predecessor, count, round)
			if err != nil {
				return fmt.Errorf("%s: %w", role, err)
			}
			if old, ok := best[role]; !ok || r.wall < old.wall {
				best[role] = r
			}
		}
	}
	fmt.Printf("%d events of %d bytes, best of %d rounds; the event-exporter has %d series\n\n", count, size, rounds, best["events"].series)
	fmt.Printf("| | events/s | of fetch | µs CPU/event | peak memory |\n| --- | --- | --- | --- | --- |\n")
	base := best["fetch"].wall.Seconds()
	for _, role := range roles {
		r := best[role]
		fmt.Printf("| %s | %.2f million | %.2f | %.2f | %d MB |\n", role, float64(count)/r.wall.Seconds()/1e6, base/r.wall.Seconds(), r.cpu.Seconds()*1e6/float64(count), r.peak>>20)
	}
	return nil
}

// run measures one process, from the moment when it has partitions to the moment when it has counted everything.
func run(ctx context.Context, broker, role, predecessor string, count, round int) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	program, args := os.Args[0], []string{"--role=" + role, "--broker=" + broker, "--events=" + strconv.Itoa(count)}
	exporter := role == "events" || role == "predecessor"
	if exporter {
		dir, err := os.MkdirTemp("", "consignwatch-throughput-")
		if err != nil {
			return result{}, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "config.yml")
		text := fmt.Sprintf("kafka: {brokers: [%q], group: %s-%d, topics: [%s]}\n", broker, role, round, topic)
		if role == "events" {
			text += "scrapers: [{name: main, anonymous: true}]\n"
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return result{}, err
		}
		args = append(args, "--config.file="+file)
		if role == "predecessor" {
			program, args = predecessor, []string{"--config.file=" + file, "--web.listen-address=" + listenAddress, "--log.level=error"}
		}
	}
	cmd, lines, err := start(ctx, program, args...)
	if err != nil {
		return result{}, err
	}
	defer cmd.Wait()
	var r result
	if exporter {
		r, err = watch(ctx, cmd.Process.Pid, count)
	} else {
		r, err = readResult(lines)
	}
	if err != nil {
		return result{}, err
	}
	if r.peak, err = peak(cmd.Process.Pid); err != nil {
		return result{}, err
	}
	cancel()
	return r, nil
}

// readResult reads the result that a consumer prints.
func readResult(lines *bufio.Scanner) (result, error) {
	if !lines.Scan() {
		return result{}, fmt.Errorf("it ended without a word")
	}
	var wall, cpu int64
	if _, err := fmt.Sscan(lines.Text(), &wall, &cpu); err != nil {
		return result{}, err
	}
	return result{wall: time.Duration(wall), cpu: time.Duration(cpu)}, nil
}

// watch finds out from outside when the exporter begins to work and when it has nothing left to do, so that nothing
// disturbs it. A scrape afterwards shows that all was counted.
func watch(ctx context.Context, pid, count int) (result, error) {
	const look, idle = 5 * time.Millisecond, 300 * time.Millisecond
	var begin, last time.Time
	var used, before, busy time.Duration
	for ctx.Err() == nil {
		time.Sleep(look) // a sampling interval, nothing is awaited
		now := time.Now()
		var err error
		if used, err = cpuOf(pid); err != nil {
			return result{}, err
		}
		switch {
		case used-before >= 10*time.Millisecond && begin.IsZero() && used > 100*time.Millisecond:
			begin, busy, last = now.Add(-look), before, now
		case used > before:
			last = now
		}
		if used > before {
			before = used
		}
		if !begin.IsZero() && now.Sub(last) > idle {
			counted, series, err := recordsCounted(ctx)
			if err != nil {
				return result{}, err
			}
			if counted == count {
				return result{wall: last.Sub(begin), cpu: used - busy, series: series}, nil
			}
			last = now
		}
	}
	return result{}, ctx.Err()
}

// recordsCounted scrapes, and returns how many records were counted and how many series are exposed. It does so twice,
// since the first exposition of a process is empty.
func recordsCounted(ctx context.Context) (counted, series int, err error) {
	var page []byte
	for range 2 {
		if page, err = scrape(ctx); err != nil {
			return 0, 0, err
		}
	}
	m := regexp.MustCompile(`consignwatch_records_total\{outcome="counted",topic="` + topic + `"\} (\S+)`).FindSubmatch(page)
	if m == nil {
		return 0, 0, nil
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	return int(n), len(regexp.MustCompile(`(?m)^consign`).FindAll(page, -1)), err
}

func scrape(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listenAddress+"/metrics?scraper=main", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// cpuOf is the time that a process has computed.
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil // in hundredths of a second
}

// peak is the most memory that a process has had resident.
func peak(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("/proc/%d/status has no VmHWM", pid)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10, err
}

// fetch polls with the options of the event-exporter's reader, and throws the records away.
func fetch(ctx context.Context, broker string, count int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxPartitionBytes(1<<20), kgo.FetchMaxBytes(16<<20))
	if err != nil {
		return err
	}
	defer client.Close()
	var s stopwatch
	for counted := 0; counted < count; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		s.start()
		counted += fetches.NumRecords()
	}
	s.print()
	<-ctx.Done() // the parent process reads this one's memory first
	return nil
}

// stopwatch measures the time and the processor time of this process.
type stopwatch struct {
	begin time.Time
	used  time.Duration
}

// start begins at the first call.
func (s *stopwatch) start() {
	if s.begin.IsZero() {
		s.begin, s.used = time.Now(), processorTime()
	}
}

func (s *stopwatch) print() { fmt.Println(int64(time.Since(s.begin)), int64(processorTime()-s.used)) }

func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// consumer is the member of a group that counts to a number, for plain.
type consumer struct {
	count func(*sarama.ConsumerMessage)
	left  chan int
}

func (*consumer) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*consumer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *consumer) ConsumeClaim(_ sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	n := 0
	for m := range claim.Messages() {
		c.count(m)
		if n++; n == 1000 {
			c.left <- n
			n = 0
		}
		if m.Offset+1 == claim.HighWaterMarkOffset() {
			c.left <- n
			n = 0
		}
	}
	return nil
}

func consume(ctx context.Context, broker, group string, count int, f func(*sarama.ConsumerMessage)) error {
	config := sarama.NewConfig()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Fetch.Default = 1 << 20
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.ChannelBufferSize = 2048
	g, err := sarama.NewConsumerGroup([]string{broker}, fmt.Sprintf("%s-%d", group, time.Now().UnixNano()), config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &consumer{count: f, left: make(chan int, 100)}
	go g.Consume(ctx, []string{topic}, c)
	var s stopwatch
	for counted := 0; counted < count; {
		select {
		case n := <-c.left:
			s.start()
			counted += n
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.print()
	<-ctx.Done() // the parent process reads this one's memory first
	return nil
}

// plain is the exporter that one would write first.
type plain struct {
	requests *prometheus.CounterVec
	clients  *prometheus.CounterVec
	duration *prometheus.HistogramVec
	queries  *prometheus.CounterVec
}

func newPlain() *plain {
	p := &plain{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "api_requests_total"}, []string{"route", "method", "code"}),
		clients:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "client_requests_total"}, []string{"client", "code_class"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "request_duration_seconds"}, []string{"route"}),
		queries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "queries_total"}, []string{"operation", "table", "outcome"}),
	}
	prometheus.MustRegister(p.requests, p.clients, p.duration, p.queries)
	return p
}

func (p *plain) count(m *sarama.ConsumerMessage) {
	var e struct {
		Type     string `json:"type"`
		ClientID string `json:"clientid"`
		Data     struct {
			Route     string  `json:"route"`
			Method    string  `json:"method"`
			Status    int     `json:"status"`
			Duration  float64 `json:"duration_seconds"`
			Operation string  `json:"operation"`
			Table     string  `json:"table"`
			Outcome   string  `json:"outcome"`
		} `json:"data"`
	}
	if json.Unmarshal(m.Value, &e) != nil {
		return
	}
	switch e.Type { // the three most frequent ones: more would only make it slower
	case "consign.api.request":
		p.requests.WithLabelValues(e.Data.Route, e.Data.Method, strconv.Itoa(e.Data.Status)).Inc()
		p.clients.WithLabelValues(e.ClientID, strconv.Itoa(e.Data.Status/100)+"xx").Inc()
		p.duration.WithLabelValues(e.Data.Route).Observe(e.Data.Duration)
	case "consign.db.query":
		p.queries.WithLabelValues(e.Data.Operation, e.Data.Table, e.Data.Outcome).Inc()
	}
}

// produce writes the events and returns their mean size.
func produce(ctx context.Context, address string, count int) (size int, err error) {
	config := sarama.NewConfig()
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Flush.Messages, config.Producer.Flush.Frequency = 5000, 10*time.Millisecond
	p, err := sarama.NewSyncProducer([]string{address}, config)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	r := rand.New(rand.NewPCG(1, 2))
	bytes := 0
	batch := make([]*sarama.ProducerMessage, 0, 20000)
	for i := range count {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		text := event(r, i)
		bytes += len(text)
		batch = append(batch, &sarama.ProducerMessage{Topic: topic, Partition: int32(i % partitions), Value: sarama.StringEncoder(text)})
		if len(batch) == cap(batch) || i == count-1 {
			if err := p.SendMessages(batch); err != nil {
				return 0, err
			}
			batch = batch[:0]
		}
	}
	return bytes / count, nil
}

// event makes one of seven types, as a platform in a rush does: mostly requests, queries and the cache.
func event(r *rand.Rand, i int) string {
	client, duration := r.IntN(clients), r.ExpFloat64()/20
	typ, data := "consign.api.request", fmt.Sprintf(`{"route":"/api/r%d","method":"GET","status":%d,"duration_seconds":%.4f}`, r.IntN(routes), []int{200, 201, 404, 500}[r.IntN(4)], duration)
	switch i % 12 {
	case 1, 5, 9:
		typ, data = "consign.db.query", fmt.Sprintf(`{"operation":"select","table":"t%d","outcome":"ok","duration_seconds":%.5f}`, r.IntN(20), duration/10)
	case 2, 6, 10:
		typ, data = "consign.cache.operation", fmt.Sprintf(`{"operation":"get","result":"hit","duration_seconds":%.6f}`, duration/100)
	case 3:
		typ, data = "consign.external.call", fmt.Sprintf(`{"service":%q,"operation":"op%d","outcome":%q,"duration_seconds":%.4f}`,
			[]string{"shopify", "clerk", "mandrill", "storage"}[r.IntN(4)], r.IntN(10), []string{"ok", "error", "timeout", "throttled"}[r.IntN(4)], duration)
	case 7:
		typ, data = "consign.item.sold", fmt.Sprintf(`{"event":"sale-%d","category":"c%d","amount_cents":%d,"currency":"USD","markdown":%t,"listed_seconds":%d}`, r.IntN(5), r.IntN(16), r.IntN(9000)+1, r.IntN(2) == 0, r.IntN(1e6))
	case 8:
		typ, data = "consign.order.placed", fmt.Sprintf(`{"event":"sale-%d","channel":%q,"items":%d,"amount_cents":%d,"currency":"USD"}`, r.IntN(5), []string{"online", "pos"}[r.IntN(2)], r.IntN(5)+1, r.IntN(20000)+1)
	case 11:
		typ, data = "consign.error.raised", fmt.Sprintf(`{"category":"business","kind":%q,"component":"c%d","user_visible":false}`, []string{"validation", "process_violation", "state_conflict", "data_inconsistency"}[r.IntN(4)], r.IntN(10))
	}
	return fmt.Sprintf(`{"specversion":"1.0","id":"%016x","source":"/api/%d","type":%q,"time":%q,"clientid":"client-%d","data":%s}`,
		r.Uint64(), i%8, typ, time.Now().UTC().Format(time.RFC3339Nano), client, data)
}

package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// consumer counts the records of Kafka in the Aggregator, as a member of a consumer group.
type consumer struct {
	config       *Config
	kafka        *sarama.Config
	aggregator   *aggregate.Aggregator
	gatherer     *gatherer
	lease        *lease
	offsetSource *offsetSource // nil when the committed offsets of Kafka are the start offsets
	log          *slog.Logger
	bad          badRecords

	rebalances prometheus.Counter
	commits    *prometheus.CounterVec

	cancel       context.CancelFunc
	ended        chan struct{}
	leave        sync.Once
	firstAttempt chan struct{} // closed when the first attempt to get a session has succeeded or failed
	commitNeeded chan struct{} // there is something to commit

	mu           sync.Mutex
	session      sarama.ConsumerGroupSession
	claims       map[partitionID]sarama.ConsumerGroupClaim
	starts       map[partitionID]int64
	delivered    map[partitionID]int64 // to be committed
	failure      error                 // why there is no session
	missing      []string              // topics that do not exist
	lastEviction time.Time             // when label values without records were last evicted
}

// evictInterval is the time between two evictions of label values without records.
const evictInterval = time.Hour

func newConsumer(c *Config, k *sarama.Config, a *aggregate.Aggregator, g *gatherer, offsets *offsetSource, metrics *catalog.Catalog, log *slog.Logger) (*consumer, error) {
	own := prometheus.NewRegistry()
	n := &consumer{
		config: c, kafka: k, aggregator: a, gatherer: g, offsetSource: offsets, log: log,
		bad:          newBadRecords(log),
		ended:        make(chan struct{}),
		firstAttempt: make(chan struct{}),
		commitNeeded: make(chan struct{}, 1),
		claims:       map[partitionID]sarama.ConsumerGroupClaim{},
		starts:       map[partitionID]int64{},
		delivered:    map[partitionID]int64{},
	}
	rebalances, commits, err := ownMetrics(own, metrics)
	if err != nil {
		return nil, err
	}
	n.rebalances, n.commits = rebalances, commits
	for _, topic := range c.Kafka.Topics {
		for _, outcome := range []string{"succeeded", "failed"} {
			commits.WithLabelValues(topic, outcome)
		}
	}
	n.lease = &lease{group: c.Kafka.Group, length: time.Duration(c.Kafka.SessionTimeout) * 9 / 10}
	if c.Kafka.InstanceID != "" {
		n.lease.id = &c.Kafka.InstanceID
	}
	g.consumerMetrics, g.lease, g.exact, g.deliver, g.start, g.drain = own, n.lease, offsets != nil, n.deliver, n.start, n.drain
	return n, nil
}

// ownMetrics makes the counters of the consumer as the catalog declares them.
func ownMetrics(registry *prometheus.Registry, c *catalog.Catalog) (prometheus.Counter, *prometheus.CounterVec, error) {
	opts := func(name string) (prometheus.CounterOpts, []string, error) {
		m, ok := c.Lookup(name)
		if !ok {
			return prometheus.CounterOpts{}, nil, fmt.Errorf("metric %s is not declared in the catalog", name)
		}
		return prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.LabelNames(), nil
	}
	o1, _, err1 := opts("consignwatch_rebalances_total")
	o2, labels, err2 := opts("consignwatch_offsets_committed_total")
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, err
	}
	rebalances, commits := prometheus.NewCounter(o1), prometheus.NewCounterVec(o2, labels)
	registry.MustRegister(rebalances, commits)
	return rebalances, commits, nil
}

// start consumes in the background until stop.
func (n *consumer) start() {
	// The counters count from now on, and not from when the configuration was loaded: while it was, the old one's may
	// have been scraped once more.
	n.aggregator.Reset(time.Now())
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.ended)
		n.run(ctx)
	}()
}

// leaveTimeout is how long stop waits for brokers that do not answer.
const leaveTimeout = 5 * time.Second

// stop leaves the group, and waits until that is done. Without a session there is nothing to finish, and the goroutines
// end as soon as the client library returns.
func (n *consumer) stop() error {
	if n.cancel == nil {
		return nil // never started
	}
	n.cancel()
	n.leave.Do(n.awaitEnd)
	return nil
}

func (n *consumer) awaitEnd() {
	for {
		select {
		case <-n.ended:
			return
		case <-time.After(leaveTimeout):
		}
		n.mu.Lock()
		finished := n.session == nil
		n.mu.Unlock()
		if finished {
			n.log.Warn("the brokers do not answer, leaving the group without notice")
			return
		}
	}
}

// drain waits for one more scrape, and then revokes the partitions. Without it the next owner would have to count up to
// one scrape interval again.
func (n *consumer) drain(ctx context.Context) {
	defer n.stop()
	scraped, timeout := n.gatherer.nextDelivery()
	if scraped == nil {
		return // there is no scraper
	}
	n.log.Info("waiting for a last scrape", "at_most", timeout)
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-scraped:
	case <-timer.C:
		n.log.Warn("no scrape came, undelivered records are left to the next owner of the partitions")
	case <-ctx.Done():
	}
}

// retryPause is the time between two attempts to join the group.
const retryPause = time.Second

func (n *consumer) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.join(ctx); err != nil && ctx.Err() == nil {
			n.fail(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// join connects, and stays a member until the connection is of no use or ctx ends.
func (n *consumer) join(ctx context.Context) error {
	client, err := sarama.NewClient(n.config.Kafka.Brokers, n.kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	group, err := sarama.NewConsumerGroupFromClient(n.config.Kafka.Group, client)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() {
		for err := range group.Errors() {
			n.fail(err)
		}
	})
	helpers.Go(func() { n.commitLoop(inner, client) })
	for ctx.Err() == nil {
		if err = n.consume(ctx, group, client); err != nil {
			break // the client may be of no use any more: reconnect
		}
	}
	cancel()
	err = errors.Join(err, group.Close())
	helpers.Wait()
	return err
}

// consume is a member of the group for one session. Topics that do not exist are left out, so that the others are
// counted; when one of them appears, the session ends, and the next one has it.
func (n *consumer) consume(ctx context.Context, group sarama.ConsumerGroup, client sarama.Client) error {
	present, missing, err := existing(client, n.config.Kafka.Topics)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.missing = missing
	n.mu.Unlock()
	if len(missing) > 0 {
		err := missingTopics(missing)
		if len(present) == 0 {
			return err
		}
		n.log.Warn("some topics are not counted", "err", err)
		var found context.CancelFunc
		ctx, found = context.WithCancel(ctx)
		defer found()
		go awaitTopic(ctx, client, missing, found)
	}
	return group.Consume(ctx, present, &handler{consumer: n, client: client})
}

func missingTopics(topics []string) error {
	return fmt.Errorf("%s: %w", strings.Join(topics, ", "), sarama.ErrUnknownTopicOrPartition)
}

// existing separates the topics that exist from those that do not.
func existing(client sarama.Client, topics []string) (present, missing []string, err error) {
	for _, topic := range topics {
		switch err := client.RefreshMetadata(topic); {
		case err == nil:
			present = append(present, topic)
		case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
			missing = append(missing, topic)
		default:
			return nil, nil, err
		}
	}
	return present, missing, nil
}

// topicPause is the time between two checks for topics that are missing.
const topicPause = 5 * time.Second

// awaitTopic calls found when one of the topics exists.
func awaitTopic(ctx context.Context, client sarama.Client, topics []string, found func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(topicPause):
		}
		if present, _, err := existing(client, topics); err == nil && len(present) > 0 {
			found()
			return
		}
	}
}

func (n *consumer) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.session == nil {
		n.setStatus(err)
	}
	n.log.Debug("kafka", "err", err)
}

// setStatus sets why there is no session, or with nil that there is one. The caller holds mu.
func (n *consumer) setStatus(failure error) {
	n.failure = failure
	select {
	case <-n.firstAttempt:
	default:
		close(n.firstAttempt)
	}
}

// handler is what the client library calls for each session.
type handler struct {
	*consumer
	client  sarama.Client
	release func() // ends the lease
}

// Setup resolves the start offsets, before the first record is read.
func (h *handler) Setup(session sarama.ConsumerGroupSession) error {
	h.rebalances.Inc()
	ctx := session.Context()
	// The lease lasts longer than the session's context: revoked partitions may have to wait for a last scrape.
	lease, release := context.WithCancel(context.WithoutCancel(ctx))
	h.release = func() { release(); h.lease.release() }
	firstHeartbeat := make(chan struct{})
	go h.lease.hold(lease, h.client, session, func() { close(firstHeartbeat) })
	starts, err := h.resolveStartOffsets(ctx, session.Claims())
	if err != nil {
		return err
	}
	select { // so that what is counted can be delivered at once
	case <-firstHeartbeat:
	case <-ctx.Done():
	}
	for id, start := range starts {
		h.aggregator.Shard(id.topic, id.partition).Assign(start.offset, "")
		// Both are needed: one only moves forward, the other only back.
		session.MarkOffset(id.topic, id.partition, start.replayFrom, "")
		session.ResetOffset(id.topic, id.partition, start.replayFrom, "")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = session
	h.setStatus(nil)
	clear(h.starts)
	clear(h.delivered)
	for id, start := range starts {
		h.starts[id] = start.offset
	}
	h.log.Info("partitions assigned", "partitions", len(starts), "generation", session.GenerationID())
	return nil
}

// batchSize is how many records are counted under one lock.
const batchSize = 1024

// ConsumeClaim counts one partition.
func (h *handler) ConsumeClaim(_ sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	id := partitionID{claim.Topic(), claim.Partition()}
	h.mu.Lock()
	h.claims[id] = claim
	start := h.starts[id]
	h.mu.Unlock()
	shard := h.aggregator.Shard(id.topic, id.partition)
	report := func(r *cloudevent.Record, o aggregate.Outcome, p cloudevent.Problem) { h.bad.report(id, r, o, p) }
	b := batch{records: make([]cloudevent.Record, 0, batchSize)}
	for m := range claim.Messages() {
		b.clear()
		b.add(m)
		if m.Offset < start {
			shard.Replay(&b.records[0])
			continue
		}
		b.drain(claim.Messages())
		shard.CountBatch(time.Now(), b.records, report)
		shard.SetEnd(claim.HighWaterMarkOffset())
	}
	return nil
}

// batch is a number of records and their headers, in memory that is used again and again.
type batch struct {
	records []cloudevent.Record
	headers []cloudevent.Header
}

func (b *batch) clear() { b.records, b.headers = b.records[:0], b.headers[:0] }

func (b *batch) add(m *sarama.ConsumerMessage) {
	r := cloudevent.Record{Value: m.Value, Offset: m.Offset}
	if !m.Timestamp.IsZero() {
		r.Timestamp = m.Timestamp.UnixMilli()
	}
	if n := len(b.headers); len(m.Headers) > 0 {
		for _, h := range m.Headers {
			b.headers = append(b.headers, cloudevent.Header{Key: h.Key, Value: h.Value})
		}
		r.Headers = b.headers[n:len(b.headers):len(b.headers)]
	}
	b.records = append(b.records, r)
}

// drain takes what has arrived already.
func (b *batch) drain(messages <-chan *sarama.ConsumerMessage) {
	for len(b.records) < cap(b.records) {
		select {
		case m, ok := <-messages:
			if !ok {
				return
			}
			b.add(m)
		default:
			return
		}
	}
}

// Cleanup revokes the partitions, before another member gets them.
func (h *handler) Cleanup(session sarama.ConsumerGroupSession) error {
	defer h.release()
	h.mu.Lock()
	began := h.session == session
	h.mu.Unlock()
	if !began { // Setup has failed: nothing was counted, and the failure is known
		return nil
	}
	h.revoke(session, h.client)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = nil
	h.failure = errors.New("the group rebalances")
	clear(h.claims)
	return nil
}

// badRecords logs what could not be counted, with its place, and not more than a few lines a second.
type badRecords struct {
	log     *slog.Logger
	limiter *rate.Limiter

	mu      *sync.Mutex
	skipped *int
}

func newBadRecords(log *slog.Logger) badRecords {
	return badRecords{log: log, limiter: rate.NewLimiter(5, 50), mu: &sync.Mutex{}, skipped: new(int)}
}

func (b *badRecords) report(id partitionID, r *cloudevent.Record, o aggregate.Outcome, p cloudevent.Problem) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.limiter.Allow() {
		*b.skipped++
		return
	}
	b.log.Warn("record not counted", "outcome", o.String(), "reason", p.Reason, "problem", p.Error(),
		"topic", id.topic, "partition", id.partition, "offset", r.Offset, "not_logged_before", *b.skipped)
	*b.skipped = 0
}

// target is the consumer as a target: whether it is a member of the group, and its lag.
type target struct{ *consumer }

func (t target) Name() string { return "kafka" }

// Collect fails while there is no session, or a topic is missing. It sets the end offsets of the shards.
func (t target) Collect(ctx context.Context, _ *exporter.Sink) error {
	select {
	case <-t.firstAttempt:
	case <-ctx.Done():
		return exporter.Failure(exporter.ReasonTimeout, errors.New("no answer of the brokers yet"))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.lastEviction) > evictInterval {
		t.lastEviction = now
		if n := t.aggregator.Evict(); n > 0 {
			t.log.Info("series of label values without records removed", "values", n)
		}
	}
	if t.session == nil {
		return classify(t.failure)
	}
	for id, claim := range t.claims {
		if end := claim.HighWaterMarkOffset(); end > 0 {
			t.aggregator.Shard(id.topic, id.partition).SetEnd(end)
		}
	}
	if len(t.missing) > 0 {
		return classify(missingTopics(t.missing))
	}
	return nil
}

// classify gives an error of the client its reason.
func classify(err error) error {
	switch {
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed), errors.Is(err, sarama.ErrTopicAuthorizationFailed),
		errors.Is(err, sarama.ErrGroupAuthorizationFailed), errors.Is(err, sarama.ErrClusterAuthorizationFailed):
		return exporter.Failure(exporter.ReasonAuth, err)
	case errors.Is(err, sarama.ErrUnsupportedVersion):
		return exporter.Failure(exporter.ReasonCapability, err)
	case errors.Is(err, sarama.ErrUnknownTopicOrPartition):
		return exporter.Failure(exporter.ReasonQuery, err)
	case errors.Is(err, context.DeadlineExceeded):
		return exporter.Failure(exporter.ReasonTimeout, err)
	}
	return exporter.Failure(exporter.ReasonConnection, err)
}

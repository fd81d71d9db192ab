package events

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/consignwatch/consignwatch/exporters/events/internal/aggregate"
	"github.com/consignwatch/consignwatch/exporters/events/internal/cloudevent"
	"github.com/consignwatch/consignwatch/pkg/catalog"
)

// consumer counts the partitions that the group assigns to this process in the Aggregator. An assignment never waits for
// anything: a partition is resolved, which is to find out where its counting starts, in the background, and is counted from
// then on. docs/event-exporter.md has the argument why the sums are exact.
type consumer struct {
	config     *Config
	options    []kgo.Opt
	aggregator *aggregate.Aggregator
	delivery   *delivery
	offsets    *offsetSource // nil when the committed offsets of Kafka are the start offsets
	log        *slog.Logger
	bad        badRecords

	rebalances prometheus.Counter
	commits    *prometheus.CounterVec

	ready   chan struct{} // closed when start has set what follows
	member  *member
	reader  *reader
	end     context.CancelFunc
	helpers sync.WaitGroup
	wake    chan struct{} // there are partitions to resolve
	pending chan struct{} // there are offsets to commit
	stopped sync.Once
	drained chan struct{} // closed when there is no more time to wait for scrapes

	committing sync.Mutex // one commit at a time, so that the last one wins
	moving     sync.Mutex // held while a partition begins or ends to be read; before mu

	mu           sync.Mutex
	owned        map[partitionID]*partition
	releasing    int                    // calls that give partitions up, which are not owned any more
	joined       bool                   // there is a session
	failure      error                  // why there is none
	appeared     map[string]bool        // topics that were missing, or made anew, since this process looks: all they hold is new
	stale        map[string]bool        // topics whose id, as the reader's client has it, is not theirs any more
	delivered    map[partitionID]offset // to be committed
	lastEviction time.Time              // when label values without records were last evicted
}

// partition is a partition that this process owns. Its fields are guarded by the consumer's mu.
type partition struct {
	id       partitionID
	shard    *aggregate.Shard
	since    time.Time // when it was assigned, or has to be resolved again
	topicID  topicID
	start    int64
	started  bool // it is assigned to its shard: it is counted, or was
	counting bool // it is resolved, and read
	// moved says that its log, or its topic, is another one than it was while it was counted: what is pending stays, and what
	// was counted is known here.
	moved    bool
	counted  map[topicID]int64 // while it was moved: up to where each topic of the name was counted
	end      int64             // where what was counted is known to part from the log, -1 when it is not
	replay   bool              // its duplicates have to be read first: an event that counts once is next
	broken   bool              // the batch at its position cannot be read, or does not come
	looked   bool              // it is known whether it was added
	added    bool              // others were counted before it came: its first record is the first to count
	position int64             // offset that is read next
	trouble  error             // why it is not counted, or the error of its last fetch
	troubled time.Time         // since when
	stalled  time.Time         // when it was last seen at another position, or at the end
	seen     int64             // its position then
}

func newPartition(id partitionID, shard *aggregate.Shard) *partition {
	return &partition{id: id, shard: shard, since: time.Now(), end: -1, trouble: errResolving}
}

// move says that what comes next is not what follows what was counted, and why.
func (p *partition) move(why error) {
	p.counting, p.moved, p.replay, p.broken, p.trouble = false, true, false, false, why
}

var (
	errResolving = errors.New("where its counting starts is not known yet")
	errJoining   = errors.New("the group is not joined yet")
	errLost      = errors.New("the group has given the partitions to others")
)

func newConsumer(c *Config, options []kgo.Opt, a *aggregate.Aggregator, d *delivery, offsets *offsetSource, metrics *catalog.Catalog, log *slog.Logger) (*consumer, error) {
	own := prometheus.NewRegistry()
	n := &consumer{
		config: c, options: options, aggregator: a, delivery: d, offsets: offsets, log: log,
		bad:       newBadRecords(log),
		ready:     make(chan struct{}),
		wake:      make(chan struct{}, 1),
		pending:   make(chan struct{}, 1),
		drained:   make(chan struct{}),
		owned:     map[partitionID]*partition{},
		appeared:  map[string]bool{},
		stale:     map[string]bool{},
		delivered: map[partitionID]offset{},
		failure:   errJoining,
	}
	var err error
	if n.rebalances, n.commits, err = ownMetrics(own, metrics, a.ResetTime); err != nil {
		return nil, err
	}
	for _, topic := range c.Kafka.Topics {
		for _, outcome := range []string{"succeeded", "failed"} {
			n.commits.WithLabelValues(topic, outcome)
		}
	}
	d.own, d.commit, d.start, d.drain = own, n.deliver, n.start, n.drain
	return n, nil
}

// ownMetrics makes the metrics of the consumer as the catalog declares them. reset is when the counters were reset.
func ownMetrics(registry *prometheus.Registry, c *catalog.Catalog, reset func() time.Time) (prometheus.Counter, *prometheus.CounterVec, error) {
	var undeclared error
	opts := func(name string) (prometheus.Opts, []string) {
		m, ok := c.Lookup(name)
		if !ok {
			undeclared = errors.Join(undeclared, fmt.Errorf("metric %s is not declared in the catalog", name))
			return prometheus.Opts{}, nil
		}
		return prometheus.Opts{Name: m.Name, Help: m.Help}, m.LabelNames()
	}
	o1, _ := opts("consignwatch_rebalances_total")
	o2, labels := opts("consignwatch_offsets_committed_total")
	o3, _ := opts(resetMetric)
	if undeclared != nil {
		return nil, nil, undeclared
	}
	rebalances, commits := prometheus.NewCounter(prometheus.CounterOpts(o1)), prometheus.NewCounterVec(prometheus.CounterOpts(o2), labels)
	registry.MustRegister(rebalances, commits, prometheus.NewGaugeFunc(prometheus.GaugeOpts(o3), func() float64 { return resetSeconds(reset()) }))
	return rebalances, commits, nil
}

// start consumes in the background until stop.
func (n *consumer) start() {
	// The counters count from now on, and not from when the configuration was loaded: while it was, the old one's may
	// have been scraped once more.
	n.aggregator.Reset(time.Now())
	defer close(n.ready)
	var err error
	if n.reader, err = newReader(n.options, n.config.Kafka.MaxBatchBytes); err != nil {
		n.failed(err)
		return
	}
	if n.member, err = join(&n.config.Kafka, n.options, n); err != nil {
		n.failed(err)
		return
	}
	ctx, end := context.WithCancel(context.Background())
	n.end = end
	n.helpers.Go(func() { n.member.hold(ctx, n.delivery.lease) })
	n.helpers.Go(func() { n.resolveLoop(ctx) })
	n.helpers.Go(func() { n.commitLoop(ctx) })
}

// leaveTimeout is how long stop waits for brokers that do not answer.
const leaveTimeout = 5 * time.Second

// stop leaves the group, and waits until that is done. When nothing is left to finish it does not wait for brokers that do
// not answer.
func (n *consumer) stop() error {
	n.stopped.Do(func() {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if n.member != nil {
				n.member.leave()
				n.end()
			}
			if n.reader != nil {
				n.reader.close()
			}
			n.helpers.Wait()
		}()
		for {
			select {
			case <-ended:
				return
			case <-time.After(leaveTimeout):
			}
			n.mu.Lock()
			finished := len(n.owned) == 0 && n.releasing == 0
			n.mu.Unlock()
			if finished {
				n.log.Warn("the brokers do not answer, leaving the group without notice")
				return
			}
		}
	})
	return nil
}

// drain waits for one more scrape, and then revokes the partitions. Without it the next owner would have to count up to
// one scrape interval again. When ctx ends it waits for nothing any more.
func (n *consumer) drain(ctx context.Context) {
	defer n.stop()
	context.AfterFunc(ctx, func() { close(n.drained) })
	scraped, timeout := n.delivery.nextScrape()
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

// assigned takes new partitions.
func (n *consumer) assigned(topics map[string][]int32) {
	<-n.ready // the group may be faster than start
	n.rebalances.Inc()
	n.mu.Lock()
	defer n.mu.Unlock()
	for id := range partitionsOf(topics) {
		n.owned[id] = newPartition(id, n.aggregator.Shard(id.topic, id.partition))
	}
	n.joined, n.failure = true, nil
	if len(n.owned) > 0 {
		n.delivery.lease.acquire()
	}
	n.log.Info("partitions assigned", "new", len(slices.Collect(partitionsOf(topics))), "partitions", len(n.owned))
	signal(n.wake)
}

// failed takes an error because of which there is no session.
func (n *consumer) failed(err error) {
	n.log.Debug("the group is not joined", "err", err)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.joined, n.failure = false, err
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func partitionsOf(topics map[string][]int32) iter.Seq[partitionID] {
	return func(yield func(partitionID) bool) {
		for topic, partitions := range topics {
			for _, p := range partitions {
				if !yield(partitionID{topic, p}) {
					return
				}
			}
		}
	}
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

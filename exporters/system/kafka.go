package system

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// kafka makes the collector of the queues. It reads secrets, and does not connect.
func (b *builder) kafka() (err error) {
	if b.catalog, err = b.catalog.WithQueueSizes(b.config.KafkaLimits); err != nil {
		return b.file.Errorf("kafka_limits", "%w", err)
	}
	var all []scheduled
	for i, config := range b.config.Kafka {
		schedule := config.schedule(b.config.MaxAge)
		t, err := newKafkaTarget(config, schedule, b.log)
		if err != nil {
			return b.file.Errorf(fmt.Sprintf("kafka.%d", i), "%w", err)
		}
		b.closers = append(b.closers, t.close)
		all = append(all, scheduled{t, schedule})
	}
	b.add("kafka", all)
	return nil
}

// kafkaTarget reads the state of the queues from one Kafka cluster: what is in the topics, what consumer groups have not read
// and for how long it has waited, and how the groups are. It only ever asks: it joins no group, commits nothing and creates
// nothing. It remembers between rounds what would be costly to ask again, or cannot be asked.
type kafkaTarget struct {
	config  KafkaTarget
	maxAge  time.Duration
	now     func() time.Time
	log     *slog.Logger
	cluster *kafkaCluster

	round  uint64
	times  [arrivalRounds]time.Time // when the newest offsets were read
	topics map[string]*queueTopic
	groups map[string]*queueGroup
	dead   deadLetters

	troubles string // what the log was told last
}

// newKafkaTarget makes a target from a configuration that was filled and checked. Close it after the last collection has
// ended.
func newKafkaTarget(config KafkaTarget, schedule exporter.Schedule, log *slog.Logger) (*kafkaTarget, error) {
	client, err := config.clientConfig()
	if err != nil {
		return nil, err
	}
	return &kafkaTarget{
		config: config,
		// A value that cannot be told is kept as long as the kit keeps those of a collection that fails.
		maxAge:  max(schedule.MaxAge, 2*schedule.Interval+schedule.Timeout),
		now:     time.Now,
		log:     log.With("collector", "kafka", "target", config.Name),
		cluster: newKafkaCluster(client, config.Brokers, schedule.Timeout),
		topics:  map[string]*queueTopic{},
		groups:  map[string]*queueGroup{},
	}, nil
}

// close ends all connections.
func (t *kafkaTarget) close() error {
	t.cluster.close()
	return nil
}

func (t *kafkaTarget) Name() string { return t.config.Name }

// Collect does one round. What a broker does not tell in it stays from the rounds before, as long as max_age allows; the round
// fails only when nobody tells anything.
func (t *kafkaTarget) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := t.collect(ctx)
	up := 1.0
	if err != nil {
		up = 0
	}
	sink.Always().Gauge("consign_queue_up", up, t.config.Name)
	if err != nil {
		return err
	}
	t.tell(sink)
	return nil
}

func (t *kafkaTarget) collect(ctx context.Context) error {
	ctx, cancel := early(ctx)
	defer cancel()
	defer t.cluster.begin(ctx)()

	m, err := t.cluster.metadata(ctx)
	if err != nil {
		return err
	}
	t.round++
	t.seeTopics(m)
	troubles := t.askGroups(ctx)
	troubles = append(troubles, t.askOffsets(ctx)...) // after the commits: lag is never less than it was
	silent := t.cluster.silent()
	if len(silent) == len(t.cluster.leads) {
		return exporter.Failure(exporter.ReasonOf(kafkaFailure(silent[0])), errors.Join(silent...))
	}
	now := t.now()
	for _, topic := range t.topics {
		topic.count(now)
	}
	for _, g := range t.groups {
		for _, gt := range g.topics {
			if gt.seen == t.round {
				gt.measure(t.config.AllowedLag, now)
			}
		}
	}
	troubles = append(troubles, t.readRecords(ctx, now)...)
	for _, topic := range t.topics {
		topic.age(now)
	}
	for _, g := range t.groups {
		for _, gt := range g.topics {
			if gt.seen == t.round {
				gt.wait(t, now)
			}
		}
	}
	t.dead.tell(now)
	t.report(append(troubles, t.cluster.silent()...))
	return nil
}

// early ends a round a tenth before its deadline, so that what is known can still be told.
func early(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
}

// groupAnswer is what one broker says about the groups that it coordinates.
type groupAnswer struct {
	listed  map[string]groupListing // nil: it did not say
	offsets map[string]map[string]map[int32]*sarama.OffsetFetchResponseBlock
	members map[string]int
	errs    []error
}

// askGroups asks every broker which groups it coordinates, what they have committed and how many members they have. That makes
// no search for coordinators necessary.
func (t *kafkaTarget) askGroups(ctx context.Context) (troubles []error) {
	answers := map[int32]*groupAnswer{}
	for id := range t.cluster.leads {
		answers[id] = &groupAnswer{}
	}
	t.cluster.each(func(id int32, l *kafkaLink) { answers[id].ask(ctx, l, t.config.Groups) })
	now := t.now()
	all := true
	for _, a := range answers {
		all = all && a.listed != nil
		troubles = append(troubles, a.errs...)
		for name, listing := range a.listed {
			g := t.groups[name]
			if g == nil {
				g = &queueGroup{topics: map[string]*groupTopic{}}
				t.groups[name] = g
			}
			g.seen, g.at = t.round, now
			g.state = listing.state
			if n, ok := a.members[name]; ok {
				g.members.set(float64(n), now)
			} else if g.abandoned() {
				g.members.set(0, now)
			}
			if blocks, ok := a.offsets[name]; ok {
				t.readOffsets(g, blocks)
			}
		}
	}
	for name, g := range t.groups {
		// A group that nobody lists is gone; when somebody did not answer, it may be his.
		if g.seen != t.round && (all || now.Sub(g.at) > t.maxAge) {
			delete(t.groups, name)
		}
	}
	return troubles
}

func (a *groupAnswer) ask(ctx context.Context, l *kafkaLink, wanted NameFilter) {
	listed, err := l.listGroups(ctx)
	if err != nil {
		a.errs = l.complain(a.errs, err)
		return
	}
	var all, classic, consumer []string
	for name, g := range listed {
		if !wanted.admits(name) {
			delete(listed, name)
			continue
		}
		if g.kind == "share" {
			continue // a share group has no offsets of this kind
		}
		all = append(all, name)
		switch {
		case g.state == "empty" || g.state == "dead": // nobody is there to be counted
		case g.kind == "consumer":
			consumer = append(consumer, name)
		case g.kind == "classic" || g.kind == "":
			classic = append(classic, name)
		}
	}
	a.listed = listed
	slices.Sort(all)
	a.offsets = make(map[string]map[string]map[int32]*sarama.OffsetFetchResponseBlock, len(all))
	err = l.committed(ctx, all, func(group string, blocks map[string]map[int32]*sarama.OffsetFetchResponseBlock) {
		a.offsets[group] = blocks
	})
	a.errs = l.complain(a.errs, err)
	a.members, err = l.members(ctx, classic, consumer)
	a.errs = l.complain(a.errs, err)
}

// askOffsets asks every broker for the newest and the oldest offsets of the partitions that it leads.
func (t *kafkaTarget) askOffsets(ctx context.Context) (troubles []error) {
	type answer struct {
		newest, oldest map[string]map[int32]*sarama.OffsetResponseBlock
		errs           []error
	}
	answers := map[int32]*answer{}
	for id := range t.cluster.leads {
		answers[id] = &answer{}
	}
	t.cluster.each(func(id int32, l *kafkaLink) {
		led := func(add func(string, int32)) {
			for name, topic := range t.topics {
				for i := range topic.partitions {
					if topic.partitions[i].leader == id {
						add(name, int32(i))
					}
				}
			}
		}
		a, err := answers[id], error(nil)
		if a.newest, err = l.offsetsAt(ctx, sarama.OffsetNewest, led); err == nil {
			a.oldest, err = l.offsetsAt(ctx, sarama.OffsetOldest, led)
		}
		a.errs = l.complain(a.errs, err)
	})
	t.times[t.round%arrivalRounds] = t.now()
	for _, a := range answers {
		troubles = append(troubles, a.errs...)
		t.place(a.oldest, func(p *queuePartition, offset int64) { p.oldest = offset })
		t.place(a.newest, func(p *queuePartition, offset int64) { p.newest = offset })
	}
	for _, topic := range t.topics {
		topic.settle(t.round)
	}
	return troubles
}

func (t *kafkaTarget) place(blocks map[string]map[int32]*sarama.OffsetResponseBlock, put func(p *queuePartition, offset int64)) {
	for name, partitions := range blocks {
		for i, block := range partitions {
			if p := t.partition(name, i); p != nil && block.Err == sarama.ErrNoError && block.Offset >= 0 {
				put(p, block.Offset)
			}
		}
	}
}

// settle compares the offsets with those of the rounds before: records that were there and are not any more mean that the log
// was cut, or that the topic is another one by the same name.
func (t *queueTopic) settle(round uint64) {
	for i := range t.partitions {
		if p := &t.partitions[i]; p.newest != unknown && p.newest < p.last {
			t.anew()
			break
		}
	}
	for i := range t.partitions {
		p := &t.partitions[i]
		if p.newest != unknown {
			p.last = p.newest
		}
		if t.read {
			p.arrive(round)
		}
	}
}

// readRecords spends the round's budget for reading: times of records, configurations, dead letters.
func (t *kafkaTarget) readRecords(ctx context.Context, now time.Time) (troubles []error) {
	t.dead.follow(t.topics[t.config.DeadLetters.Topic])
	lookups := t.lookups()
	errs := map[int32]*[]error{}
	teller := int32(unknown)
	for id, l := range t.cluster.leads {
		errs[id] = &[]error{}
		if l.failed == nil && (teller == unknown || id < teller) {
			teller = id
		}
	}
	if l := t.cluster.leads[teller]; l != nil {
		troubles = l.complain(troubles, t.askConfigs(ctx, l, now))
	}
	t.cluster.each(func(id int32, l *kafkaLink) {
		all := errs[id]
		*all = l.complain(*all, t.findFirsts(ctx, id, l))
		t.look(ctx, l, lookups[id])
		*all = l.complain(*all, t.readDeadLetters(ctx, id, l))
	})
	for _, of := range errs {
		troubles = append(troubles, *of...)
	}
	return troubles
}

// report logs what could not be told when that changes: not each round of an outage.
func (t *kafkaTarget) report(troubles []error) {
	var lines []string
	for _, err := range troubles {
		lines = append(lines, strings.Split(err.Error(), "\n")...)
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if n := len(lines) - maxTroubles; n > 0 {
		lines = append(lines[:maxTroubles], fmt.Sprintf("and %d more", n))
	}
	text := strings.Join(lines, "; ")
	switch {
	case text == t.troubles:
	case text == "":
		t.log.Info("the whole cluster answers again")
	default:
		t.log.Warn("part of the cluster does not answer: its values are missing or stale", "err", text)
	}
	t.troubles = text
}

// maxTroubles bounds a line of the log.
const maxTroubles = 5

// forgetMeter ends the meter that the client library keeps of each topic that was read.
func (t *kafkaTarget) forgetMeter(topic string) {
	t.cluster.config.MetricRegistry.Unregister("consumer-fetch-rate-for-topic-" + strings.ReplaceAll(topic, ".", "_"))
}

// queueSink takes what is known: an exporter.Sink.
type queueSink interface {
	Gauge(name string, value float64, labels ...string)
	Counter(name string, value float64, since time.Time, labels ...string)
	Inventory(label string, values []string)
}

// tell hands everything that is known to the sink.
func (t *kafkaTarget) tell(sink queueSink) {
	now, server := t.now(), t.config.Name
	gauge := func(name string, h held, labels ...string) {
		if value, ok := h.get(now, t.maxAge); ok {
			sink.Gauge(name, value, labels...)
		}
	}
	counter := func(name string, h held, labels ...string) {
		if value, ok := h.get(now, t.maxAge); ok {
			sink.Counter(name, value, time.Time{}, labels...)
		}
	}
	sink.Inventory("topic", t.config.Topics.names)
	sink.Inventory("group", t.config.Groups.names)
	for name, topic := range t.topics {
		if topic.hidden {
			continue
		}
		gauge("consign_queue_messages", topic.messages, server, name)
		counter("consign_queue_produced_total", topic.produced, server, name)
		gauge("consign_queue_oldest_message_timestamp_seconds", topic.oldest, server, name)
		sink.Gauge("consign_queue_under_replicated_partitions", float64(topic.under), server, name)
		sink.Gauge("consign_queue_offline_partitions", float64(topic.offline), server, name)
	}
	for topic, n := range t.config.Capacity {
		sink.Gauge("consign_queue_capacity_messages", float64(n), server, topic)
	}
	for name, g := range t.groups {
		for topic, gt := range g.topics {
			counter("consign_queue_consumed_total", gt.consumed, server, name, topic)
			gauge("consign_queue_lag_messages", gt.lag, server, name, topic)
			gauge("consign_queue_lag_seconds", gt.lagSeconds, server, name, topic)
			gauge("consign_queue_time_to_loss_seconds", gt.timeToLoss, server, name, topic)
		}
		gauge("consign_queue_group_members", g.members, server, name)
		tellState(sink, "consign_queue_group_state", g.state, catalog.GroupStates(), server, name)
		tellState(sink, "consign_queue_group_condition", g.condition(t.config.AllowedLag).String(), catalog.GroupConditions(), server, name)
	}
	for queue, h := range t.dead.counts {
		gauge("consign_queue_dead_letters", *h, server, queue)
	}
}

// tellState tells 1 for the state that it is, and 0 for the others; nothing when it is not known.
func tellState(sink queueSink, name, is string, all []string, labels ...string) {
	if is == "" {
		return
	}
	for _, s := range all {
		value := 0.0
		if s == is {
			value = 1
		}
		sink.Gauge(name, value, append(slices.Clip(labels), s)...)
	}
}

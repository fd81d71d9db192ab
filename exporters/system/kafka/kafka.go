// Package kafka reads the state of the queues from Kafka clusters: size of the topics, lag of the consumer groups, and their
// condition. It joins no group, commits no offset and creates no topic.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/consignwatch/consignwatch/pkg/catalog"
	"github.com/consignwatch/consignwatch/pkg/exporter"
)

// Target reads the state of the queues from one Kafka cluster: size of the topics, lag of the consumer groups in
// records and in seconds, and state of the groups. It only reads: it joins no group, commits no offset and creates no
// topic. Between rounds it caches values that are costly to fetch again, or cannot be fetched again.
type Target struct {
	name      string
	essential bool
	config    Config
	maxAge    time.Duration
	now       func() time.Time
	log       *slog.Logger
	cluster   *cluster

	round  uint64
	times  [arrivalRounds]time.Time // when the newest offsets were read
	topics map[string]*queueTopic
	groups map[string]*queueGroup
	dead   deadLetters

	warnings string // as they were logged last
}

// Options are what a target is made of.
type Options struct {
	Name      string // of the target
	Essential bool   // whether the platform is down while the cluster is
	Config    Config // filled and checked
	Schedule  exporter.Schedule
	Log       *slog.Logger
}

// New makes the collector of a cluster. It does not connect. Close it after the last collection has ended.
func New(o Options) (*Target, error) {
	client, err := o.Config.clientConfig()
	if err != nil {
		return nil, err
	}
	return &Target{
		name:      o.Name,
		essential: o.Essential,
		config:    o.Config,
		// A value that cannot be fetched is kept as long as the kit keeps the samples before a failed collection.
		maxAge:  max(o.Schedule.MaxAge, 2*o.Schedule.Interval+o.Schedule.Timeout),
		now:     time.Now,
		log:     o.Log.With("collector", "kafka", "target", o.Name),
		cluster: newCluster(client, o.Config.Brokers, o.Schedule.Timeout),
		topics:  map[string]*queueTopic{},
		groups:  map[string]*queueGroup{},
	}, nil
}

// Close ends all connections.
func (t *Target) Close() error {
	t.cluster.close()
	return nil
}

// Name is the name of the target.
func (t *Target) Name() string { return t.name }

// Collect does one round. Values of an unreachable broker stay from the rounds before, as long as max_age allows; the round
// fails only when all brokers are unreachable.
func (t *Target) Collect(ctx context.Context, sink *exporter.Sink) error {
	err := t.collect(ctx)
	sink.Status().Gauge("consign_queue_up", exporter.Bool(err == nil), t.name, strconv.FormatBool(t.essential))
	if err != nil {
		return err
	}
	t.emit(sink)
	return nil
}

func (t *Target) collect(ctx context.Context) error {
	ctx, cancel := withSafetyMargin(ctx)
	defer cancel()
	defer t.cluster.startRound(ctx)()

	m, err := t.cluster.metadata(ctx)
	if err != nil {
		return err
	}
	t.round++
	t.updateTopics(m)
	warnings := t.fetchGroups(ctx)
	warnings = append(warnings, t.fetchOffsets(ctx)...) // after the committed offsets, so that the lag is never too small
	unreachable := t.cluster.unreachable()
	if len(unreachable) == len(t.cluster.brokers) {
		return exporter.Failure(exporter.ReasonOf(failure(unreachable[0])), errors.Join(unreachable...))
	}
	now := t.now()
	for _, topic := range t.topics {
		topic.updateMessages(now)
	}
	for _, g := range t.groups {
		for _, gt := range g.topics {
			if gt.seen == t.round {
				gt.updateOffsets(now)
			}
		}
	}
	warnings = append(warnings, t.readRecords(ctx, now)...)
	for _, topic := range t.topics {
		topic.updateOldest(now)
	}
	for _, g := range t.groups {
		for _, gt := range g.topics {
			if gt.seen == t.round {
				gt.updateLag(t.config.AllowedLag, t.round, now)
				gt.updateLagSeconds(t, now)
			}
		}
	}
	t.dead.updateCounts(now)
	t.logWarnings(append(warnings, t.cluster.unreachable()...))
	return nil
}

// withSafetyMargin ends a round a tenth before its deadline, so that there is time to report the values of the round.
func withSafetyMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/10))
}

// groupResponse is what one broker responds about the groups that it coordinates.
type groupResponse struct {
	listed  map[string]groupListing // nil: no response
	offsets map[string]map[string]map[int32]*sarama.OffsetFetchResponseBlock
	members map[string]int
	errs    []error
}

// fetchGroups lists, at every broker, the groups that it coordinates, with their committed offsets and number of members. So
// it needs no FindCoordinator request.
func (t *Target) fetchGroups(ctx context.Context) (warnings []error) {
	responses := map[int32]*groupResponse{}
	for id := range t.cluster.brokers {
		responses[id] = &groupResponse{}
	}
	t.cluster.each(func(id int32, b *brokerConn) { responses[id].fetch(ctx, b, t.config.Groups) })
	now := t.now()
	all := true
	for _, a := range responses {
		all = all && a.listed != nil
		warnings = append(warnings, a.errs...)
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
				t.updateCommitted(g, blocks)
			}
		}
	}
	for name, g := range t.groups {
		// A group that no broker lists is gone; an unreachable broker may be its coordinator.
		if g.seen != t.round && (all || now.Sub(g.at) > t.maxAge) {
			delete(t.groups, name)
		}
	}
	return warnings
}

func (a *groupResponse) fetch(ctx context.Context, b *brokerConn, wanted NameFilter) {
	listed, err := b.listGroups(ctx)
	if err != nil {
		a.errs = b.addWarning(a.errs, err)
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
		case g.state == "empty" || g.state == "dead": // it has no members
		case g.kind == "consumer":
			consumer = append(consumer, name)
		case g.kind == "classic" || g.kind == "":
			classic = append(classic, name)
		}
	}
	a.listed = listed
	slices.Sort(all)
	a.offsets = make(map[string]map[string]map[int32]*sarama.OffsetFetchResponseBlock, len(all))
	err = b.committed(ctx, all, func(group string, blocks map[string]map[int32]*sarama.OffsetFetchResponseBlock) {
		a.offsets[group] = blocks
	})
	a.errs = b.addWarning(a.errs, err)
	a.members, err = b.members(ctx, classic, consumer)
	a.errs = b.addWarning(a.errs, err)
}

// fetchOffsets fetches, from every broker, the newest and the oldest offsets of the partitions that it leads.
func (t *Target) fetchOffsets(ctx context.Context) (warnings []error) {
	type response struct {
		newest, oldest map[string]map[int32]*sarama.OffsetResponseBlock
		errs           []error
	}
	responses := map[int32]*response{}
	for id := range t.cluster.brokers {
		responses[id] = &response{}
	}
	t.cluster.each(func(id int32, b *brokerConn) {
		led := func(add func(string, int32)) {
			for name, topic := range t.topics {
				for i := range topic.partitions {
					if topic.partitions[i].leader == id {
						add(name, int32(i))
					}
				}
			}
		}
		a, err := responses[id], error(nil)
		if a.newest, err = b.offsetsAt(ctx, sarama.OffsetNewest, led); err == nil {
			a.oldest, err = b.offsetsAt(ctx, sarama.OffsetOldest, led)
		}
		a.errs = b.addWarning(a.errs, err)
	})
	t.times[t.round%arrivalRounds] = t.now()
	for _, a := range responses {
		warnings = append(warnings, a.errs...)
		t.setOffsets(a.oldest, func(p *queuePartition, offset int64) { p.oldest = offset })
		t.setOffsets(a.newest, func(p *queuePartition, offset int64) { p.newest = offset })
	}
	for _, topic := range t.topics {
		topic.reconcileOffsets(t.round)
	}
	return warnings
}

func (t *Target) setOffsets(blocks map[string]map[int32]*sarama.OffsetResponseBlock, set func(p *queuePartition, offset int64)) {
	for name, partitions := range blocks {
		for i, block := range partitions {
			if p := t.partition(name, i); p != nil && block.Err == sarama.ErrNoError && block.Offset >= 0 {
				set(p, block.Offset)
			}
		}
	}
}

// reconcileOffsets compares the newest offsets with those of the rounds before: a newest offset that has fallen means that
// the log was truncated, or that the topic was recreated.
func (t *queueTopic) reconcileOffsets(round uint64) {
	for i := range t.partitions {
		if p := &t.partitions[i]; p.newest != unknown && p.newest < p.last {
			t.reset()
			break
		}
	}
	for i := range t.partitions {
		p := &t.partitions[i]
		if p.newest != unknown {
			p.last = p.newest
		}
		if t.read {
			p.recordArrival(round)
		}
	}
}

// readRecords spends the round's budget for reading: times of records, configurations, dead letters.
func (t *Target) readRecords(ctx context.Context, now time.Time) (warnings []error) {
	t.dead.setTopic(t.topics[t.config.DeadLetters.Topic])
	lookups := t.lookups()
	errs := map[int32]*[]error{}
	broker := int32(unknown)
	for id, b := range t.cluster.brokers {
		errs[id] = &[]error{}
		if b.failed == nil && (broker == unknown || id < broker) {
			broker = id
		}
	}
	if b := t.cluster.brokers[broker]; b != nil {
		warnings = b.addWarning(warnings, t.fetchConfigs(ctx, b, now))
	}
	t.cluster.each(func(id int32, b *brokerConn) {
		all := errs[id]
		*all = b.addWarning(*all, t.fetchOldestTimestamps(ctx, id, b))
		t.lookUp(ctx, b, lookups[id])
		*all = b.addWarning(*all, t.readDeadLetters(ctx, id, b))
	})
	for _, err := range errs {
		warnings = append(warnings, *err...)
	}
	return warnings
}

// logWarnings logs the warnings of a round when they change: not in each round of an outage.
func (t *Target) logWarnings(warnings []error) {
	var lines []string
	for _, err := range warnings {
		lines = append(lines, strings.Split(err.Error(), "\n")...)
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if n := len(lines) - maxWarnings; n > 0 {
		lines = append(lines[:maxWarnings], fmt.Sprintf("and %d more", n))
	}
	text := strings.Join(lines, "; ")
	switch {
	case text == t.warnings:
	case text == "":
		t.log.Info("the whole cluster answers again")
	default:
		t.log.Warn("part of the cluster does not answer: its values are missing or stale", "err", text)
	}
	t.warnings = text
}

// maxWarnings bounds a line of the log.
const maxWarnings = 5

// unregisterMeter removes the meter that the client library keeps for each topic that was fetched.
func (t *Target) unregisterMeter(topic string) {
	t.cluster.config.MetricRegistry.Unregister("consumer-fetch-rate-for-topic-" + strings.ReplaceAll(topic, ".", "_"))
}

// queueSink receives samples: an exporter.Sink.
type queueSink interface {
	Gauge(name string, value float64, labels ...string)
	Counter(name string, value float64, since time.Time, labels ...string)
	Inventory(label string, values []string)
}

// emit reports all known values to the sink.
func (t *Target) emit(sink queueSink) {
	now, server := t.now(), t.name
	gauge := func(name string, v cachedValue, labels ...string) {
		if value, ok := v.get(now, t.maxAge); ok {
			sink.Gauge(name, value, labels...)
		}
	}
	counter := func(name string, v total, labels ...string) {
		if value, ok := v.get(now, t.maxAge); ok {
			sink.Counter(name, value, v.since, labels...)
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
		sink.Gauge("consign_queue_under_replicated_partitions", float64(topic.underReplicated), server, name)
		if n, ok := topic.underMinISR(); ok {
			sink.Gauge("consign_queue_under_min_isr_partitions", float64(n), server, name)
		}
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
		emitState(sink, "consign_queue_group_state", g.state, catalog.GroupStates(), server, name)
		emitState(sink, "consign_queue_group_condition", g.condition(t.config.AllowedLag).String(), catalog.GroupConditions(), server, name)
	}
	for queue, v := range t.dead.counts {
		gauge("consign_queue_dead_letters", *v, server, queue)
	}
}

// emitState reports 1 for the current state, and 0 for the others; nothing when the state is not known.
func emitState(sink queueSink, name, is string, all []string, labels ...string) {
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

package catalog

import "slices"

// QueueSizes are how many topics and consumer groups a system-exporter admits, over all Kafka servers, and how many topics
// a group reads. Further ones are folded into `other` or dropped, and counted.
type QueueSizes struct {
	Topics         int `yaml:"topics" json:"topics"`
	Groups         int `yaml:"groups" json:"groups"`
	TopicsPerGroup int `yaml:"topics_per_group" json:"topics_per_group"`
}

// DefaultQueueSizes are for a platform whose queues are its own. A Kafka that is shared with others wants a filter, or more.
func DefaultQueueSizes() QueueSizes { return QueueSizes{Topics: 600, Groups: 100, TopicsPerGroup: 30} }

// GroupStates is the closed set of states of a consumer group, as Kafka names them, in lower case: those of the classic
// protocol and of the consumer protocol (KIP-848).
func GroupStates() []string {
	return []string{"preparing_rebalance", "completing_rebalance", "stable", "assigning", "reconciling", "not_ready", "empty", "dead", "unknown"}
}

// GroupConditions is the closed set of conditions of a consumer group, derived from the progress of its offsets.
func GroupConditions() []string { return []string{"ok", "lagging", "stopped", "stalled", "rewound"} }

// queue declares the labels of one size.
type queue struct{ sizes QueueSizes }

// server is no factor of its own: the limits of the other labels count over all servers.
func (queue) server() Label { return typical(1, one(server())) }

func (q queue) topic() Label {
	return Label{Name: "topic", Pattern: `[A-Za-z0-9._-]+`, MaxLength: 249, Limit: q.sizes.Topics, Typical: min(40, q.sizes.Topics)}
}

// topicOf is a topic that a group reads.
func (q queue) topicOf() Label {
	l := q.topic()
	l.Present, l.Typical = min(q.sizes.TopicsPerGroup, q.sizes.Topics), min(6, q.sizes.TopicsPerGroup)
	return l
}

// group is a consumer group. Kafka takes any name; one with control characters becomes `other`.
func (q queue) group() Label {
	return Label{Name: "group", Pattern: `[^\x00-\x1f\x7f]+`, MaxLength: 249, Limit: q.sizes.Groups, Typical: min(15, q.sizes.Groups)}
}

// source is the queue that a dead letter came from, as the header of the record says.
func (q queue) source() Label {
	return Label{Name: "queue", Pattern: `[A-Za-z0-9._-]+`, MaxLength: 249, Limit: 100, Typical: 6}
}

// kafkaMetrics are the state of the queues: contract section 3, collector kafka.
func kafkaMetrics() []Metric { return queueMetrics(DefaultQueueSizes()) }

func queueMetrics(s QueueSizes) []Metric {
	q := queue{s}
	each := typical(1, server())
	server, topic := q.server(), q.topic()
	group, topicOf := q.group(), q.topicOf()
	return section("3", System, Max, []Metric{
		{Name: "consign_queue_up", Type: Gauge, Unit: Bool, Labels: []Label{each, essential()},
			Help: "Whether a broker of the Kafka cluster returned its metadata (1) or not (0). While an essential one is down, the platform is."},
		{Name: "consign_queue_messages", Type: Gauge, Unit: Count, Labels: []Label{server, topic},
			Help: "Topic size in messages: newest offset minus oldest, over its partitions. Compaction and transactions leave gaps, so it may hold fewer."},
		{Name: "consign_queue_produced_total", Type: Counter, Unit: Count, Labels: []Label{server, topic},
			Help: "Messages written to the topic since the exporter saw it first, by the newest offsets of its partitions. It never falls: a topic that is recreated counts on."},
		{Name: "consign_queue_consumed_total", Type: Counter, Unit: Count, Labels: []Label{server, group, topicOf},
			Help: "Messages of the topic that the group has consumed since the exporter saw it first, by its committed offsets. It never falls: what is consumed again after a reset counts again."},
		{Name: "consign_queue_lag_messages", Type: Gauge, Unit: Count, Labels: []Label{server, group, topicOf},
			Help: "Consumer lag in messages: newest offset minus committed, over the partitions of which the group has committed an offset. 0 where only markers and aborted records of transactions follow; those of open transactions count."},
		{Name: "consign_queue_lag_seconds", Type: Gauge, Unit: Seconds, Labels: []Label{server, group, topicOf},
			Help: "Consumer lag in seconds: the age of the message to read next, by its timestamp. 0 when nothing is left that can be read; absent when that record has expired before it was consumed."},
		{Name: "consign_queue_oldest_message_timestamp_seconds", Type: Gauge, Unit: Timestamp, Labels: []Label{server, topic},
			Help: "Timestamp of the oldest record in the topic, in seconds since 1970, also when its transaction was aborted. Absent when the topic is empty."},
		{Name: "consign_queue_time_to_loss_seconds", Type: Gauge, Unit: Seconds, Labels: []Label{server, group, topicOf},
			Help: "Time until the oldest message that the group has not consumed expires (retention.ms). 0 when such messages may be, or are, lost. Absent when everything is consumed, and without such a retention."},
		{Name: "consign_queue_dead_letters", Type: Gauge, Unit: Count, Labels: []Label{server, q.source()},
			Help: "Dead-lettered messages by the queue that they came from, without those of transactions that are aborted or open. Absent until the whole dead-letter topic was read once."},
		{Name: "consign_queue_group_members", Type: Gauge, Unit: Count, Labels: []Label{server, group},
			Help: "Members of the consumer group."},
		{Name: "consign_queue_group_state", Type: Gauge, Unit: Bool, Labels: []Label{server, group, oneOf("state", GroupStates()...)},
			Help: "State of the consumer group as Kafka lists it: 1 for the current state, 0 for the others."},
		{Name: "consign_queue_group_condition", Type: Gauge, Unit: Bool, Labels: []Label{server, group, oneOf("condition", GroupConditions()...)},
			Help: "Condition of the consumer group, judged from the last observations of its offsets, the worst of its partitions: 1 for the current condition, 0 for the others. Absent until there are enough observations."},
		{Name: "consign_queue_under_replicated_partitions", Type: Gauge, Unit: Count, Labels: []Label{server, topic},
			Help: "Under-replicated partitions of the topic: a replica is not in sync."},
		{Name: "consign_queue_under_min_isr_partitions", Type: Gauge, Unit: Count, Labels: []Label{server, topic},
			Help: "Partitions of the topic with fewer replicas in sync than min.insync.replicas: writes with acks=all are refused. Absent without the permission to describe the topic's configuration."},
		{Name: "consign_queue_offline_partitions", Type: Gauge, Unit: Count, Labels: []Label{server, topic},
			Help: "Offline partitions of the topic: without a leader, they can be neither written nor read."},
		{Name: "consign_queue_capacity_messages", Type: Gauge, Unit: Count, Labels: []Label{server, topic},
			Help: "Configured capacity of the topic, in messages."},
	})
}

// WithQueueSizes returns a catalog in which the metrics of the queues have the given limits.
func (c *Catalog) WithQueueSizes(s QueueSizes) (*Catalog, error) {
	sized := queueMetrics(s)
	var all []Metric
	for _, m := range c.metrics {
		if !slices.ContainsFunc(sized, func(q Metric) bool { return q.Name == m.Name }) {
			all = append(all, *m)
		}
	}
	return New(append(all, sized...)...)
}
